"""The page of the paper's numbers: every table of `vssl_core.paper` with its source and trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from docstrings import table

from vssl_core.paper import SOURCES, TRUST, Coordinates, PaperCell, PaperTable, load_paper_tables

__all__ = ["paper_page"]

WIDEST = 7  # columns of numbers


def paper_page() -> str:
    """The page's content."""
    parts = [
        "# The paper's numbers",
        "Every number of the benchmark paper that could be reached, as `vssl_core.paper` ships it: "
        '`load_paper_tables()` gives them all, `find(task="vcop", target="ucf101")` those at some '
        "coordinates. They stand beside our results and are never targets. Where sources print different "
        "numbers for one thing, both are here. The supplement announces tables of zero-shot accuracies "
        "(11) and of distillation (7, 8, 9) that it does not print; the first was found nowhere.",
        table(("trust", "means"), [(f"`{word}`", text) for word, text in TRUST.items()]),
        table(("source", "is"), [(f"`{word}`", text) for word, text in SOURCES.items()]),
    ]
    for found in load_paper_tables():
        parts += [f"## `{found.name}`", *_section(found)]
    return "\n\n".join(parts)


def _section(found: PaperTable) -> Iterable[str]:
    fields = [axis for axis in Coordinates.model_fields if axis != "level"]  # says what complexity says
    values = {axis: list(dict.fromkeys(getattr(cell.at, axis) for cell in found.cells)) for axis in fields}
    varying = {axis: known for axis, known in values.items() if len(known) > 1}
    across = max((a for a in varying if len(varying[a]) <= WIDEST), key=lambda a: len(varying[a]))
    shared = [f"{axis} `{known[0]}`" for axis, known in values.items() if len(known) == 1 and known[0]]
    yield f"{found.title}. Source: {found.source}. Trust: `{found.trust}`. {found.note}".strip()
    if shared:
        yield f"All: {', '.join(shared)}."
    marks: dict[tuple[str, str, str], int] = {}
    beside = [axis for axis in varying if axis != across]
    yield _grid(found, beside, across, varying[across], marks)
    if marks:
        yield "\n".join(
            f"- [{number}] {' '.join(filter(None, (f'{source}, `{trust}`.', note)))}"
            for (source, trust, note), number in marks.items()
        )


def _grid(
    found: PaperTable,
    beside: Sequence[str],
    across: str,
    columns: Sequence[str | int | None],
    marks: dict[tuple[str, str, str], int],
) -> str:
    rows: dict[tuple[str, ...], dict[str | int | None, list[str]]] = {}
    for cell in found.cells:
        names = (*(_name(getattr(cell.at, axis)) for axis in beside), _metric(cell))
        entry = rows.setdefault(names, {}).setdefault(getattr(cell.at, across), [])
        entry.append(cell.text + _mark(cell, found, marks))
    lines = [[*names, *_entries(entries, columns)] for names, entries in rows.items()]
    heads = [_name(column) if column is not None else f"no {across}" for column in columns]
    return table([*beside, "metric", *heads], lines)


def _entries(
    entries: Mapping[str | int | None, Sequence[str]], columns: Sequence[str | int | None]
) -> list[str]:
    return [", ".join(entries.get(column, ())) for column in columns]


def _mark(cell: PaperCell, found: PaperTable, marks: dict[tuple[str, str, str], int]) -> str:
    """Number of the line below the table that says what the cell has of its own."""
    own = (cell.source, cell.trust, cell.note)
    if own == (found.source, found.trust, found.note) or (own[:2], cell.note) == (
        (found.source, found.trust),
        "",
    ):
        return ""
    return f" [{marks.setdefault(own, len(marks) + 1)}]"


def _metric(cell: PaperCell) -> str:
    return cell.metric if cell.metric == cell.unit else f"{cell.metric}, {cell.unit}"


def _name(value: str | int | None) -> str:
    return f"{value:,}" if isinstance(value, int) else value or ""
