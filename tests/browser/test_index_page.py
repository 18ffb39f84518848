"""What a reader's browser makes of the index page. Run by `make browser`."""

import pytest

from loyalty_research.reports.index import Failure, IndexEntry, render_index

pytestmark = pytest.mark.browser

FAILURE = Failure(
    run_id="20250206T101233Z-d4e5f6",
    failed_at="2025-02-06T10:12:40+00:00",
    message="visits: visit_date is missing in 12 of 4,031 rows; give every visit a date",
    command="loyalty run 02_retention -p data=/data/a-long-folder-name/and-another/study --force",
)


def _entry(slug, **changes):
    known = {
        "report": "02_retention",
        "status": "published",
        "title": "How long do patients keep coming back?",
        "link": "02_retention/%E5%8C%97%E4%BA%AC%20a/run/report.html",
        "run_id": "20250105T101233Z-a1b2c3",
        "data_name": "Riverside example study",
        "data_cutoff": "2024-12-31",
        "simulated": True,
        "finished_at": "2025-01-05T10:13:00+00:00",
        "finding": "Of 100 patients, 58 (95% interval 56 to 60) still come back after one year.",
        "checks": "12 of 12 checks passed",
    }
    return IndexEntry(slug=slug, **known | changes)


@pytest.fixture(scope="session")
def index_file(tmp_path_factory):
    """An index with every state an entry can have, and the one report it links to."""
    folder = tmp_path_factory.mktemp("reports")
    report = folder / "02_retention" / "北京 a" / "run" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<!DOCTYPE html><title>arrived</title>", encoding="utf-8")
    entries = [
        _entry("example", report="01_data_and_cohort", title="Whose visits do we have?"),
        _entry("北京 a"),
        _entry("a-slug-without-any-space-" * 5, failure=FAILURE, simulated=False),
        _entry("hillcrest", status="failed", link="", finding="", failure=FAILURE),
        _entry("north-quay", status="unreadable", link="", finding=""),
    ]
    page = folder / "index.html"
    page.write_text(render_index(entries), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [360, 1280])
def test_the_index_is_quiet_and_never_scrolls_sideways(open_page, index_file, width):
    page = open_page(index_file, viewport={"width": width, "height": 740})
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [index_file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_link_with_chinese_letters_and_a_space_arrives(open_page, index_file):
    page = open_page(index_file)
    page.get_by_role("link", name="北京 a", exact=True).click()
    assert page.title() == "arrived"
