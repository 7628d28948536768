"""The section of a run folder over all columns of a table: methods that meet several targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vssl_core.report.across import Across, across
from vssl_core.report.section import Section, SectionFigure, SectionTable
from vssl_core.report.table import Column, Line, Table
from vssl_core.report.wording import name_texts, title

__all__ = ["across_sections"]

_Scores = dict[str, dict[str, dict[int, float]]]


def across_sections(tables: Sequence[Table], *, figures: bool = True) -> list[Section]:
    """One section for each protocol in which several methods have several columns of one unit in common.

    Args:
        tables: Of a run folder.
        figures: Draw them, too; text needs none.
    """
    return [
        Section(
            name=f"Across-{table.protocol_hash}",
            title=f"Over all targets and evaluators · {title(table)}",
            findings=tuple(text for one in found for text in one.sentences),
            tables=tuple(_table(one) for one in found),
            figures=tuple(_figures(found, table)) if figures else (),
        )
        for table in tables
        if (found := list(_found(table)))
    ]


def _found(table: Table) -> Iterator[Across]:
    units = dict.fromkeys((column.unit, column.higher_is_better) for column in table.columns)
    for unit, higher in units:
        if higher is None:
            continue
        places = [
            place
            for place, column in enumerate(table.columns)
            if (column.unit, column.higher_is_better) == (unit, higher)
        ]
        one = across(*_by_block(table, places), higher_is_better=higher, unit=unit)
        if one is not None:
            yield one


def _by_block(table: Table, places: Sequence[int]) -> tuple[_Scores, _Scores]:
    """Method → column → seed → score, of methods that have all of these columns, and of their floors."""
    floors = {line.backbone: _scores(line, table, places) for line in table.lines if line.role == "floor"}
    ours: _Scores = {}
    of_floor: _Scores = {}
    for line in table.lines:
        found = _scores(line, table, places)
        if line.role == "method" and len(found) == len(places):
            name = " · ".join(name_texts(line, table))
            ours[name] = found
            of_floor[name] = floors.get(line.backbone, {})
    return ours, of_floor


def _scores(line: Line, table: Table, places: Sequence[int]) -> dict[str, dict[int, float]]:
    return {
        _block(table.columns[place]): dict(score.by_seed)
        for place in places
        if (score := line.scores[place]) is not None
    }


def _block(column: Column) -> str:
    return f"{column.evaluator} {column.metric} on {column.target}"


def _table(found: Across) -> SectionTable:
    content = found.table(f"{len(found.blocks)} blocks in {found.unit}", "method")
    rows = tuple(tuple(row) for row in content["rows"])
    return SectionTable(content["caption"], tuple(content["headers"]), rows, tuple(content["notes"]))


def _figures(found: Sequence[Across], table: Table) -> Iterator[SectionFigure]:
    from vssl_core.report.figures_ranks import rank_diagram  # heavy

    for place, one in enumerate(found):
        if one.ranks.difference is not None:
            caption = f"Mean ranks over {len(one.blocks)} blocks; a bar joins what could not be told apart"
            salt = f"across {table.protocol_hash} {place}"
            drawn = rank_diagram(one.ranks.mean_ranks, ties=one.ties, title=caption, salt=salt)
            yield SectionFigure(caption, drawn)
