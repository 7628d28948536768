"""The page: self-contained, byte-stable, escaped, whole, and written atomically."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_runs import Cell, write_cell, write_failure, write_study

from vssl_core.errors import StoreError
from vssl_core.report import load_report, render, write_html

VOID = {"meta", "link", "img", "br", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "my runs"
    write_study(folder)
    write_failure(folder, Cell("cvrl", 3), "diverged <script>alert(1)</script> & more")
    write_cell(folder, Cell("vcop", 0, task_label="<img src=x onerror=1>", code="bad"))
    return folder


@pytest.fixture(scope="module")
def html(runs: Path) -> str:
    return render(load_report(runs), "html")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_is_well_formed_and_ids_are_unique(page: Page) -> None:
    assert page.open == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    wanted = [ref[1:] for ref in (*page.attributes("href"), *page.attributes("xlink:href")) if ref[:1] == "#"]
    assert set(wanted) <= set(ids)


def test_nothing_is_fetched(page: Page, html: str) -> None:
    references = [*page.attributes("src"), *page.attributes("href"), *page.attributes("xlink:href")]
    assert all(ref.startswith(("#", "data:")) for ref in references)
    assert not re.findall(r"url\((?!#)", html)
    assert "@import" not in html
    assert "default-src 'none'" in "".join(page.attributes("content"))


def test_equal_results_give_equal_bytes(runs: Path, html: str, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "elsewhere" / runs.name
    shutil.copytree(runs, copy)
    assert render(load_report(copy), "html") == html
    assert str(runs.parent) not in html


def test_names_and_reasons_are_escaped(page: Page, html: str) -> None:
    assert "<script>alert" not in html
    assert "diverged <script>alert(1)</script> & more" in page.text
    assert not [attrs for _, attrs in page.tags if "onerror" in attrs]
    assert "<img src=x onerror=1>" in page.text


def test_every_section_is_there(page: Page) -> None:
    assert {"results", "failed", "curves", "views", "provenance"} <= set(page.attributes("id"))
    assert "random_init (floor)" in page.text
    assert "supervised (ceiling)" in page.text
    assert "Satterthwaite" in page.text
    assert "vssl 0.1.0" in page.text  # the distribution of a component
    assert '"python": "3.11.7"' in page.text
    assert '"num_frames": 8' in page.text


def test_pictures_and_charts_have_words(page: Page) -> None:
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 3 * 2 + 2
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in pictures if attrs["src"])
    assert all("one video per row" in (attrs["alt"] or "") for attrs in pictures)
    charts = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert charts
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in charts)


def test_curves_show_held_out_and_chance(page: Page) -> None:
    labels = page.attributes("aria-label")
    for name in ("loss", "accuracy", "feature std", "effective rank"):
        assert f"{name} over steps, one line per seed" in labels
    assert "linear on shapes_motion: train_loss over epochs, one line per seed" in labels


def test_tables_can_be_sorted_and_scrolled_by_keyboard(page: Page) -> None:
    assert "button" in {tag for tag, _ in page.tags}
    regions = [attrs for _, attrs in page.tags if attrs.get("class") == "scroll"]
    assert regions
    assert all(attrs.get("tabindex") == "0" and attrs.get("aria-labelledby") for attrs in regions)
    assert len([value for value in page.attributes("data-value") if float(value) >= 0]) > 20


def test_dollars_in_names_are_no_formulas(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    write_cell(tmp_path, Cell("vcop", 0, task_label="a$_b$ $\\frac$", code="aaaa"))
    assert "a$_b$ $\\frac$" in Page(render(load_report(tmp_path), "html")).text


def test_a_curve_of_one_step_and_one_of_nothing_but_nan_are_drawn_or_left_out(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    one, nan = (next((tmp_path / "cells").glob(f"{task}-*")) for task in ("vcop", "cvrl"))
    (one / "pretrain" / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (nan / "pretrain" / "curve.jsonl").write_text('{"step": 1, "loss": NaN}\n')
    page = Page(render(load_report(tmp_path), "html"))
    assert "vcop · shufflenet · shapes_motion · protocol laptop" in page.text
    labels = page.attributes("aria-label")
    assert labels.count("loss over steps, one line per seed") == 2  # vcop and supervised


def test_write_html_replaces_the_page_whole(runs: Path, html: str) -> None:
    path = runs / "report.html"
    path.write_text("old")
    assert write_html(runs) == path
    assert path.read_text(encoding="utf-8") == html
    assert not [p for p in runs.iterdir() if p.name.startswith(".")]
    path.unlink()


def test_a_page_that_cannot_be_written_says_so(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_html(runs, output=tmp_path / "file" / "report.html")
