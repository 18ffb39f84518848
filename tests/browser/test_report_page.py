"""What a reader's browser makes of a report page. Run by `make browser`."""

import re

import pytest

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
DARK = {"color_scheme": "dark"}

# Relative luminance and contrast as WCAG 2.2 defines them, of each text against what lies behind.
CONTRASTS = """() => {
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const channel = v => linear(v / 255);
  const colour = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || parent.matches('.skip')) continue;
    const [a, b] = [light(colour(getComputedStyle(parent).color)), light(behind(parent))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""

SCROLLED = """box => new Promise(done => {
  const look = () => box.scrollLeft > 0 ? done(true) : requestAnimationFrame(look);
  setTimeout(() => done(false), 3000);
  look();
})"""


@pytest.mark.parametrize(
    "settings", [DESKTOP, PHONE, DESKTOP | DARK], ids=["desk", "phone", "dark"]
)
def test_the_browser_has_nothing_to_complain_of_and_asks_for_nothing_else(
    open_page, report_file, settings
):
    page = open_page(report_file, **settings)
    assert page.said == []
    asked = [url for url in page.asked if not url.startswith("data:")]
    assert asked == [report_file.as_uri()]


@pytest.mark.parametrize("width", [320, 360, 768, 1055, 1056, 1280, 1920])
def test_the_page_never_scrolls_sideways(open_page, report_file, width):
    page = open_page(report_file, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_wide_table_scrolls_in_its_own_box(open_page, report_file):
    page = open_page(report_file, **PHONE)
    box = page.locator(".table-box.wide").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.focus()
    page.keyboard.press("ArrowRight")
    assert box.evaluate(SCROLLED)


def test_every_figure_fits_the_screen_and_is_described(open_page, report_file):
    page = open_page(report_file, **PHONE)
    figures = page.locator("img").all()
    assert figures
    for figure in figures:
        assert figure.get_attribute("alt")
        assert figure.evaluate("image => image.complete && image.naturalWidth > 0")
        box = figure.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_every_link_inside_the_page_arrives(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    links = page.locator("a[href^='#']").all()
    assert len(links) > 5
    for link in links:
        link.focus()
        page.keyboard.press("Enter")
        target = page.evaluate("document.querySelector(':target')?.getBoundingClientRect().top")
        assert target is not None, link.get_attribute("href")
        assert target < 900


def test_the_first_key_press_offers_to_skip_to_the_report(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    page.keyboard.press("Tab")
    skip = page.locator(".skip:focus")
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_what_has_the_focus_can_be_seen(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    for _ in range(4):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


@pytest.mark.parametrize("settings", [{}, DARK], ids=["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(open_page, report_file, settings):
    page = open_page(report_file, **DESKTOP, **settings)
    ratio, text = page.evaluate(CONTRASTS)[0]
    assert ratio >= 4.5, text


def test_dark_is_dark_and_figures_stay_on_light(open_page, report_file):
    page = open_page(report_file, **DESKTOP, **DARK)
    background = "element => getComputedStyle(element).backgroundColor"
    assert page.locator("body").evaluate(background) == "rgb(20, 25, 27)"
    assert page.locator("figure").first.evaluate(background) == "rgb(255, 255, 255)"


def test_chinese_text_is_drawn_with_a_chinese_font(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    cells = session.send("DOM.querySelectorAll", {"nodeId": root, "selector": "tbody th"})
    fonts = set()
    for node in cells["nodeIds"]:
        html = session.send("DOM.getOuterHTML", {"nodeId": node})["outerHTML"]
        if re.search("[\u4e00-\u9fff]", html):
            used = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
            fonts |= {font["familyName"] for font in used}
    assert fonts
    assert all(re.search("CJK|SC|Hei|Song|PingFang|Han", font) for font in fonts), fonts


def test_a_hostile_name_is_shown_as_it_is_spelt(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    assert page.get_by_text("<script>alert(1)</script>").count() == 1
    assert page.locator("script").count() == 0


def test_the_page_prints_with_pages_numbered_without_its_contents(open_page, report_file):
    page = open_page(report_file, **DESKTOP)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("img").first.is_visible()
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
    sizes = {
        tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^]]+)\]", printed)
    }
    # A4 is 595 by 842 points; the widest table stands on a page of its own, on its side.
    assert {(round(right), round(top)) for _, _, right, top in sizes} == {(595, 842), (842, 595)}


def test_nothing_is_cut_off_on_paper(open_page, report_file):
    page = open_page(report_file, viewport={"width": 673, "height": 950})
    page.emulate_media(media="print")
    # 673 CSS pixels are the 178 mm between the margins of A4; the widest tables have 265 mm.
    for table in page.locator(".table-box").all():
        room = 1001 if "widest" in table.get_attribute("class") else 673
        assert table.evaluate("box => box.querySelector('table').offsetWidth") <= room
