"""The page: self-contained, byte-stable, escaped, whole, and written atomically."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_runs import Cell, write_cell, write_failure, write_study

from vssl_core.errors import StoreError
from vssl_core.report import load_report, render, write_html

VOID = {"meta", "link", "img", "br", "path", "use", "rect", "image"}


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
    sections = {"results", "failed", "nearest", "hardest", "views", "cells", "provenance"}
    assert sections <= set(page.attributes("id"))
    assert "random_init (floor)" in page.text
    assert "supervised (ceiling)" in page.text
    assert "Satterthwaite" in page.text
    assert "vssl 0.1.0" in page.text  # the distribution of a component
    assert '"python": "3.11.7"' in page.text
    assert '"num_frames": 8' in page.text


def test_pictures_and_charts_have_words(page: Page) -> None:
    shown = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "thumb"]
    assert len([attrs for attrs in shown if "one video per row" in (attrs["aria-label"] or "")]) > 3 * 2 + 2
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in shown)
    charts = [attrs for tag, attrs in page.tags if tag == "svg" and "class" not in attrs]
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
    names = [attrs.get("aria-labelledby") or attrs.get("aria-label") for attrs in regions]
    assert all(names)
    assert all(attrs.get("tabindex") == "0" for attrs in regions)
    assert len([value for value in page.attributes("data-value") if value and float(value) >= 0]) > 20


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


def test_a_picture_stands_on_the_page_once_however_often_it_is_shown(page: Page) -> None:
    stored = [attrs["href"] or "" for tag, attrs in page.tags if tag == "image"]
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in stored)
    assert len(stored) == len(set(stored))
    uses = [attrs["href"] for tag, attrs in page.tags if tag == "use" and "href" in attrs]
    assert len(uses) > 3 * len(stored)


def test_neighbours_are_marked_as_of_the_query_s_class_or_not(page: Page) -> None:
    classes = [attrs.get("class") for tag, attrs in page.tags if tag == "figure"]
    assert classes.count("video hit") > 0
    assert page.text.count("✗ other class") == 2 * page.text.count("✓ same class")


def test_every_cell_has_a_page_with_its_ledger_rows_and_provenance(runs: Path, html: str, page: Page) -> None:
    for folder in (runs / "cells").iterdir():
        assert f"cell-{folder.name}" in page.attributes("id")
        part = html[html.index(f'id="cell-{folder.name}"') :]
        part = Page(part[: part.index("</article>")]).text
        assert "Provenance" in part
        if (folder / "failure.json").exists():
            assert "Failed DivergedError" in " ".join(part.split())
        else:
            assert all(word in part for word in ("Ledger", "top1", "What decides about its numbers"))


def test_confusions_and_hardest_videos_follow_from_the_scores(page: Page, html: str) -> None:
    # Every wrong video of the test data is taken for the class after its own.
    mistakes = re.findall(r'<th scope="row">motion (.)</th><td>motion (.)</td>', html)
    assert mistakes
    assert all((ord(other) - ord(own)) % 8 == 1 for own, other in mistakes)
    assert "probability of it" in page.text


def test_bundles_without_names_and_pictures_are_shown_by_number(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,), showcase=False)
    page = Page(render(load_report(tmp_path), "html"))
    assert "class 3" in page.text
    assert "nearest" not in page.attributes("id")


def test_other_metrics_are_there_on_demand_and_the_first_are_seen(page: Page) -> None:
    heads = [attrs for tag, attrs in page.tags if tag == "th" and "data-metric" in attrs]
    assert {attrs["data-metric"] for attrs in heads if "data-more" in attrs} == {"top5"}
    assert {attrs["data-metric"] for attrs in heads if "data-more" not in attrs} == {"top1", "R@1"}


def test_notes_that_cannot_be_read_cost_their_part_alone(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    cell = next((tmp_path / "cells").glob("vcop-*"))
    (cell / "evaluations" / "retrieval-shapes_motion-e0" / "examples.json").write_text(
        '{"schema": 1, "x": 2}'
    )
    (cell / "evaluations" / "linear-shapes_motion-e0" / "scores.npy").write_bytes(b"no array")
    page = Page(render(load_report(tmp_path), "html"))
    assert "examples.json' is not what this version writes (x)" in page.text
    assert "scores.npy'" in page.text
    assert "cvrl · shufflenet" in page.text
