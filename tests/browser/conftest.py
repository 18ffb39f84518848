"""A report page with everything that strains a layout, opened in the machine's Chromium."""

import os
import shutil

import nbformat.v4 as v4
import pandas as pd
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import sync_playwright

from loyalty_research.display.shown import show_figure, show_finding, show_table
from loyalty_research.display.theme import WIDTH, house_style
from loyalty_research.reports.page import render_page

QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-gpu",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

MANIFEST = {
    "report": "02_retention",
    "title": "How long do patients keep coming back?",
    "slug": "example",
    "run_id": "20250105T101233Z-a1b2c3",
    "started_at": "2025-01-05T10:12:33+00:00",
    "parameters": {
        "data": "../data/example",
        "site": "",
        "lapse_days": 180,
        "windows": [90, 180, 365],
        "audience": "internal",
    },
    "data": {
        "name": "Riverside example study",
        "data_cutoff": "2024-12-31",
        "simulated": True,
        "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "tables": [
            {"table": "patients", "n_rows": 8000, "first_date": None, "last_date": None},
            {
                "table": "visits",
                "n_rows": 61234,
                "first_date": "2021-01-02",
                "last_date": "2024-12-31",
            },
        ],
    },
    "package": {"version": "0.1.0"},
    "checks": [
        {"check": "visits have patients", "passed": True, "message": "every visit has its patient"},
        {"check": "dates before cut-off", "passed": True, "message": "no visit after 2024-12-31"},
        {"check": "months covered", "passed": None, "message": "48 of 48 months hold visits"},
    ],
}

CLINICS = [
    ("Riverside", 1204, 811, 0.674),
    ("Hillcrest", 998, 702, 0.703),
    ("北京朝阳门诊部", 1377, 840, 0.610),
    ("North Quay & Sons <script>alert(1)</script>", 623, 420, 0.674),
]


def _curves():
    days = list(range(0, 731, 30))
    with house_style():
        figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
        axes = figure.subplots()
        for share, colour, name in ((0.9985, "#0072B2", "members"), (0.998, "#D55E00", "others")):
            axes.step(days, [share**day for day in days], where="post", color=colour, linewidth=2)
            axes.text(735, share**730, name, color=colour)
        axes.set_xlabel("days since first visit")
        axes.set_ylabel("share still coming")
        axes.set_ylim(0, 1)
    alt = "Two falling curves: members stay longer than others throughout two years."
    return show_figure(figure, name="retention", alt=alt)


def _triangle():
    cohorts = [
        {
            "cohort": f"2023-{cohort:02d}",
            **{str(month): f"{100 * 0.93**month:.1f} %" for month in range(24)},
        }
        for cohort in range(1, 13)
    ]
    caption = "Share of each monthly cohort with a visit, by month since the first"
    return show_table(pd.DataFrame(cohorts), name="triangle", caption=caption)


def _clinics():
    clinics = pd.DataFrame(CLINICS, columns=["clinic", "n_patients", "n_kept", "share"])
    return show_table(clinics, name="clinics", caption="Patients by clinic")


def _cell(shown):
    """A code cell that ended with that object, as a kernel leaves it."""
    bundle = shown._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    output = v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    return v4.new_code_cell("secret_source_line()", outputs=[output], execution_count=1)


def _finding(name: str, sentence: str):
    return show_finding(sentence, name=name, estimates=[{"estimate": 0.58}])


@pytest.fixture(scope="session")
def report_notebook():
    """A report in the house's skeleton, with a wide table, a figure and Chinese text."""
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(
                "# How long do patients keep coming back?\n\nThis report follows every patient "
                "from the first visit until the visits stop, and asks who stays.\n"
            ),
            v4.new_markdown_cell(
                "## Who is in the study\n\nPatients whose first visit fell between 2021 and 2023. "
                "See [how sure](#How-sure-is-this?) and the [next report](03_effects.ipynb)."
            ),
            _cell(_clinics()),
            v4.new_markdown_cell(
                "## How it was measured\n\nA patient has **lapsed** when no visit follows for more "
                "than 180 days; the event sits at the last visit. "
                "患者在一百八十天内没有就诊即视为流失。"
            ),
            v4.new_markdown_cell("## Result"),
            _cell(
                _finding(
                    "retention",
                    "Of 100 patients, 58 (95% interval 56 to 60) still come back one year after "
                    "their first visit, and 41 (39 to 43) after two years.",
                )
            ),
            _cell(_curves()),
            _cell(_triangle()),
            v4.new_markdown_cell("### By clinic\n\nClinics differ by at most nine points."),
            v4.new_markdown_cell("## How sure is this?"),
            _cell(
                _finding(
                    "windows",
                    "A window of 90 days instead of 180 would call 212 patients lapsed who came "
                    "back later.",
                )
            ),
            v4.new_markdown_cell(
                "## What this report cannot show\n\n- Whether the programme is *why* patients "
                "stay.\n- Visits elsewhere.\n\n> Numbers describe these clinics and this period."
            ),
        ]
    )


@pytest.fixture(scope="session")
def report_file(report_notebook, tmp_path_factory):
    """The page of that report, as a file."""
    path = tmp_path_factory.mktemp("report 报告") / "report.html"
    path.write_text(render_page(report_notebook, manifest=MANIFEST), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def chromium():
    """The machine's own Chromium with an empty profile."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.fail(f"the browser tests need one of {', '.join(BROWSERS)} on the path")
    # Chromium refuses its sandbox to root, as in containers.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*QUIET, *as_root])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open a file with given settings of the browser; keep what it said and what it asked for."""
    contexts = []

    def open_in(path, **settings):
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.said.append(("error", str(error))))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield open_in
    for context in contexts:
        context.close()
