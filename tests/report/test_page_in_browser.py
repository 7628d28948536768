"""The page in a headless Chromium: nothing fails or is fetched, filters and routes work, it can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import NAMES, Browser, browsing, find_browser
from markupsafe import Markup
from synthetic_runs import Cell, write_cell, write_failure, write_study

from vssl_core.report import Section, SectionFigure, SectionTable, write_html

pytestmark = pytest.mark.skipif(find_browser() is None, reason=f"none of {', '.join(NAMES)} is installed")

SECTION = Section(
    name="tasks",
    title="Tasks <under> noise",
    findings=("At 95 %, vcop loses less than cvrl: not detectable with these seeds.",),
    tables=(
        SectionTable("Ours beside the paper's", ("task", "drop"), (("vcop", "3.1 ± 0.2"), ("cvrl", "–"))),
    ),
    figures=(SectionFigure("A figure", Markup('<svg viewBox="0 0 1 1" role="img" aria-label="a"></svg>')),),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("browser") / "runs"
    write_study(runs, seeds=(0, 1, 2))
    write_study(runs, seeds=(0,), tasks=("vcop",), backbone="r3d", target="shapes_appearance")
    write_failure(runs, Cell("cvrl", 3), "diverged <script>throw 1</script>")
    write_cell(runs, Cell("vcop", 0, task_label='<b onclick="x">"quoted" & odd</b>', code="bad"))
    return write_html(runs, sections=[SECTION])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        found.window(1366, 768)
        yield found


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    """The page as it opens; afterwards, whatever was done to it, nothing has failed or been fetched."""
    browser.problems.clear()
    browser.requests.clear()
    browser.media()
    browser.open(page)
    yield browser
    browser.value("1")  # events up to here have come
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("data:", "about:", page.as_uri()))] == []


def visible(browser: Browser, selector: str) -> list[str]:
    """Texts of what can be seen."""
    found: list[str] = browser.value(
        f"[...document.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.innerText)"
    )
    return found


def lines(browser: Browser) -> list[str]:
    return visible(browser, ".leaderboard tbody tr > th")


def columns(browser: Browser) -> list[str]:
    return [" ".join(text.split("\n")[:3]) for text in visible(browser, ".leaderboard th.score")]


def press_chip(browser: Browser, facet: str, choice: str, key: str = "Enter") -> None:
    """Go to a filter and press a key on it, as someone without a mouse does."""
    browser.value(f"document.querySelector('[data-facet={facet}][data-choice=\"{choice}\"]').focus()")
    browser.press(key)


def test_the_page_opens_on_its_results(opened: Browser) -> None:
    assert "Results" in visible(opened, "h2")
    assert visible(opened, "article.cell") == []
    assert all("top5" not in name for name in columns(opened))
    assert len(columns(opened)) == 4  # linear and retrieval on two targets
    assert opened.value("document.documentElement.scrollWidth") <= 1366


def test_filters_change_lines_and_controls_stay_beside_their_backbone(opened: Browser) -> None:
    before = lines(opened)
    press_chip(opened, "task", "cvrl")
    assert [name for name in lines(opened) if "(" not in name] == ["cvrl"]
    assert lines(opened).count("random_init (floor)") == before.count("random_init (floor)") == 2
    press_chip(opened, "backbone", "shufflenet", key="Space")
    assert lines(opened).count("random_init (floor)") == 1
    assert "metrics shown" in visible(opened, "#shown")[0]


def test_filters_change_columns_and_charts(opened: Browser) -> None:
    charts = len(visible(opened, ".pair"))
    press_chip(opened, "evaluator", "linear")
    press_chip(opened, "target", "shapes_motion")
    assert columns(opened) == ["shapes_motion linear top1, %"]
    assert 0 < len(visible(opened, ".pair")) < charts
    press_chip(opened, "metric", "top5")
    assert columns(opened) == ["shapes_motion linear top5, %"]
    cells = opened.value(
        "[...document.querySelectorAll('.leaderboard tr')].map(r => [...r.cells]"
        ".filter(c => c.checkVisibility()).reduce((n, c) => n + c.colSpan, 0))"
    )
    assert len(set(cells)) == 1  # header, lines and footer hide the same columns


def test_what_is_chosen_stands_in_the_address_and_comes_back(opened: Browser, page: Path) -> None:
    press_chip(opened, "task", "vcop")
    opened.value("document.querySelector('.leaderboard th.score button').focus()")
    opened.press("Enter")
    fragment = opened.value("location.hash")
    assert fragment.startswith("#results?task=vcop&sort=1.")
    chosen, order = lines(opened), opened.value("document.querySelector('[aria-sort]').ariaSort")
    assert order == "descending"
    opened.open(page, fragment[1:])
    assert lines(opened) == chosen
    opened.value("document.getElementById('clear').click()")
    assert len(lines(opened)) > len(chosen)
    assert opened.value("location.hash") == "#results"


def test_sorting_puts_the_highest_score_first(opened: Browser) -> None:
    opened.value("document.querySelector('.leaderboard th.score button').click()")
    scores = opened.value(
        "(() => { const head = document.querySelector('[aria-sort]'); "
        "return [...head.closest('table').tBodies[0].rows]"
        ".map(r => parseFloat(r.cells[head.cellIndex].dataset.value)); })()"
    )
    known = [score for score in scores if score is not None]
    assert known == sorted(known, reverse=True)
    assert None not in scores[: len(known)]


def test_everything_is_reached_by_tab_and_seen_when_it_is(opened: Browser) -> None:
    look = (
        "(() => { const e = document.activeElement, s = getComputedStyle(e); "
        "return [e.id || e.dataset.facet || e.className, s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
    )
    met = []
    for _ in range(30):
        opened.press("Tab")
        met.append(opened.value(look))
    assert met[0][0] == "skip"
    assert "theme" in [name for name, *_ in met]
    facets = [name for name, *_ in met if name in ("task", "backbone", "target", "evaluator", "metric")]
    assert facets == sorted(facets, key=["task", "backbone", "target", "evaluator", "metric"].index)
    assert set(facets) >= {"task", "backbone", "target", "evaluator", "metric"}
    assert all(style != "none" and width >= 1 for _, style, width in met)
    opened.press("Tab", shift=True)
    assert opened.value("document.activeElement !== document.body")


def test_a_cell_has_an_address_of_its_own(opened: Browser, page: Path) -> None:
    link = "document.querySelector('.leaderboard tr.method .seeds a')"
    name = opened.value(f"{link}.hash")
    opened.value(f"{link}.focus()")
    opened.press("Enter")
    opened.value("new Promise(done => setTimeout(done, 50))")
    assert opened.value("location.hash") == name
    assert visible(opened, "#overview") == []
    assert len(visible(opened, "article.cell")) == 1
    assert len(visible(opened, "section.method")) == 1
    assert opened.value(f"document.querySelector('article.cell:not([hidden])').id === {name[1:]!r}")
    opened.open(page, name[1:])
    assert len(visible(opened, "article.cell")) == 1
    opened.value("history.pushState(null, '', '#results'); dispatchEvent(new HashChangeEvent('hashchange'))")
    assert visible(opened, "article.cell") == []
    opened.open(page, "all")
    assert len(visible(opened, "article.cell")) == opened.value(
        "document.querySelectorAll('article.cell').length"
    )


def test_names_that_look_like_code_are_filtered_by_as_text(opened: Browser) -> None:
    opened.value(
        "[...document.querySelectorAll('[data-facet=task]')].find(c => c.innerText.includes('odd')).click()"
    )
    methods = [name for name in lines(opened) if "(floor)" not in name and "(ceiling)" not in name]
    assert methods == ['<b onclick="x">"quoted" & odd</b>']


def test_without_scripts_everything_is_there(browser: Browser, page: Path) -> None:
    browser.scripts(on=False)
    try:
        browser.open(page)
        lines_of_page = browser.value("document.querySelectorAll('.leaderboard tbody tr').length")
        assert len(lines(browser)) == lines_of_page > 6
        assert any("top5" in name for name in columns(browser))
        assert len(visible(browser, "article.cell")) > 10
        assert visible(browser, "#filters, #theme") == []
    finally:
        browser.scripts(on=True)


def test_it_prints(opened: Browser, page: Path) -> None:
    first = opened.pdf()
    assert first.startswith(b"%PDF")
    opened.open(page, "all")
    assert len(opened.pdf()) > len(first)
    opened.media(scheme="dark", kind="print")
    assert opened.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert visible(opened, "#filters") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(opened: Browser, scheme: str) -> None:
    opened.media(scheme=scheme)
    paper = opened.value("getComputedStyle(document.body).backgroundColor")
    names = ("ink", "soft", "link", "warn", "right", "wrong")
    for name in names:
        for ground in ("paper", "panel"):
            colours = [_resolved(opened, each) for each in (name, ground)]
            assert contrast(*colours) >= 4.5, (name, ground)
    assert (np.mean(numbers(paper)) < 100) == (scheme == "dark")
    chip = "document.querySelector('#filters button')"
    opened.value(f"{chip}.click()")
    pressed = opened.value(f"[getComputedStyle({chip}).color, getComputedStyle({chip}).backgroundColor]")
    assert contrast(*pressed) >= 4.5


def test_the_colours_can_be_switched_by_hand(opened: Browser) -> None:
    seen = []
    for _ in range(3):
        seen.append(opened.value("getComputedStyle(document.body).backgroundColor"))
        opened.value("document.getElementById('theme').focus()")
        opened.press("Enter")
    assert seen[0] == seen[1] != seen[2]  # as the system (light), light, dark
    assert opened.value("document.getElementById('theme').innerText") == "Colours: as the system"


@pytest.mark.parametrize("width", [390, 768, 1366])
def test_nothing_but_tables_is_wider_than_the_window(opened: Browser, page: Path, width: int) -> None:
    opened.window(width, 800)
    try:
        for fragment in ("results", "all"):
            opened.open(page, fragment)
            opened.value("for (const d of document.querySelectorAll('details')) d.open = true")
            assert opened.value("document.documentElement.scrollWidth") <= width
    finally:
        opened.window(1366, 768)


def test_pictures_are_drawn(opened: Browser, page: Path) -> None:
    opened.open(page, "nearest")
    box = opened.value(
        "(() => { const b = document.querySelector('.video .thumb').getBoundingClientRect(); "
        "return [b.x, b.y, b.width, b.height].map(Math.round); })()"
    )
    shot = cv2.imdecode(np.frombuffer(opened.picture(), np.uint8), cv2.IMREAD_COLOR)
    x, y, width, height = box
    middle = shot[y + height // 4 : y + 3 * height // 4, x + width // 4 : x + 3 * width // 4].reshape(-1, 3)
    assert np.abs(middle.mean(axis=0) - [0, 0, 120]).max() < 12  # video v0 of the test data, BGR


def test_a_section_is_shown_with_its_table_and_figure(opened: Browser) -> None:
    text = visible(opened, "#study-tasks")[0]
    assert "Tasks <under> noise" in text
    assert "not detectable with these seeds" in text
    assert "3.1 ± 0.2" in text
    assert opened.value("document.querySelectorAll('#study-tasks svg').length") == 1


def _resolved(browser: Browser, variable: str) -> str:
    """A variable of the page's colours as `rgb(…)`."""
    colour: str = browser.value(
        "(() => { const e = document.body.appendChild(document.createElement('i')); "
        f"e.style.color = 'var(--{variable})'; const c = getComputedStyle(e).color; "
        "e.remove(); return c; })()"
    )
    return colour


def numbers(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]


def contrast(one: str, other: str) -> float:
    """Of two colours by WCAG 2.2."""
    lights = sorted(_luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [part / 255 for part in numbers(colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
