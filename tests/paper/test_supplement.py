"""Every number of the supplement's tables is in our data at its coordinates, and nothing else is.

The text is parsed here on its own, from the headers and rows that it prints.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vssl_core.paper import TASK_GROUPS, find, load_paper_tables

TEXT = Path(__file__).resolve().parents[3] / "shared" / "reference" / "supplement.txt"

TASKS = {"Rot": "rotnet", "RotNet": "rotnet", "VCOP": "vcop", "PRP": "prp", "CVRL": "cvrl", "TDL": "tdl"}
TASKS |= {"RSP": "rspnet", "RSPNet": "rspnet"}
NETWORKS = {"ShuffleNet": "shufflenet", "Shuffle": "shufflenet", "MobileNet": "mobilenetv2", "R3D": "r3d"}
NETWORKS |= {"SqueezeNet": "squeezenet", "C3D": "c3d", "R(2+1)D": "r2plus1d", "R21D": "r2plus1d"}
NETWORKS |= {"Swin": "video_swin"}
NUMBER = re.compile(r"-|\d+(\.\d+)?M?")

Numbers = dict[tuple[tuple[str, str | int], ...], str]
"""Coordinates and metric, sorted → the number's text."""


@pytest.fixture(scope="module")
def tables() -> dict[int, list[list[str]]]:
    """Number of the table → the words of each of its lines, without line numbers and footnote marks."""
    if not TEXT.is_file():
        pytest.skip("../shared/reference/supplement.txt is not here")
    text = re.sub(r"[†∗]", " ", TEXT.read_text(encoding="utf-8"))
    parts = re.split(r"^\s?Table (\d+): ", text, flags=re.MULTILINE)
    return {
        int(number): [line.split() for line in part.splitlines() if line.strip()]
        for number, part in zip(parts[1::2], parts[2::2], strict=True)
    }


def rows(lines: list[list[str]], count: int) -> list[tuple[str, list[str]]]:
    """Lines that end in `count` numbers, with what stands before them."""
    return [
        (" ".join(words[:-count]), words[-count:])
        for words in lines
        if len(words) >= count and all(NUMBER.fullmatch(word) for word in words[-count:])
    ]


def header(lines: list[list[str]], *, count: int) -> list[str]:
    """The tasks in the order in which the first lines name them."""
    named = [[TASKS[word] for word in words if word in TASKS] for words in lines]
    found = next(tasks for tasks in named if len(tasks) == count)
    assert len(set(found)) == count
    return found


def unnumbered(text: str) -> str:
    """Without the numbers that count the lines of prose, each glued to the end of its line."""
    lines, number = [], 1
    for line in text.splitlines():
        lines.append(line.removesuffix(str(number)))
        number += lines[-1] != line
    return "\n".join(lines)


def key(**at: str | int) -> tuple[tuple[str, str | int], ...]:
    return tuple(sorted(at.items()))


def ours(table: int, *ignored: str) -> Numbers:
    """Our cells of a table; coordinates that the text does not print as rows or columns are ignored."""
    cells = find(table=f"supplement_table_{table}")
    found = {
        key(metric=cell.metric, **{n: v for n, v in cell.at.named().items() if n not in ignored}): cell.text
        for cell in cells
    }
    assert len(found) == len(cells)
    return found


def test_table_1(tables) -> None:
    columns = header(tables[1], count=4)
    expected: Numbers = {}
    for name, (parameters, gflops, *scores) in rows(tables[1], 6):
        at = {"architecture": NETWORKS[name], "target": "ucf101", "evaluator": "finetune"}
        assert parameters.endswith("M")
        expected[key(**at, metric="parameters")] = parameters.removesuffix("M")
        expected[key(**at, metric="gflops")] = gflops
        expected |= {key(**at, metric="top1", task=t): s for t, s in zip(columns, scores, strict=True)}
    assert len(expected) == 36
    assert ours(1, "pretrain", "subset") == expected


def test_the_daggers_of_table_1_are_kinetics_700(tables) -> None:
    line = next(
        line for line in TEXT.read_text(encoding="utf-8").splitlines() if line.startswith("Networks P")
    )
    marked = {TASKS[name] for name in re.findall(r"(\w+) ?†", line)}
    found = {cell.at.task for cell in find(table="supplement_table_1", pretrain="kinetics700")}
    assert found == marked == {"rotnet", "vcop", "prp"}


def test_table_2(tables) -> None:
    columns = header(tables[2], count=3)
    found = [(name.replace("✓", "").strip(), values) for name, values in rows(tables[2], 3) if "✓" in name]
    assert [name for name, _ in found] == ["Shuffle", "", "R21D", ""]
    expected: Numbers = {}
    for place, (_, values) in enumerate(found):
        network = NETWORKS[found[place - place % 2][0]]
        at = {"architecture": network, "evaluator": ("linear", "finetune")[place % 2], "metric": "top1"}
        expected |= {key(**at, task=t): value for t, value in zip(columns, values, strict=True)}
    assert ours(2, "pretrain", "subset", "target") == expected


def test_table_3(tables) -> None:
    columns = header(tables[3], count=6)
    expected: Numbers = {}
    for name, values in rows(tables[3], 6):
        for task, value in zip(columns, values, strict=True):
            at = {"method": task} if name == "Reported" else {"architecture": NETWORKS[name], "task": task}
            expected[key(**at, metric="top1")] = value
    assert len(expected) == 18
    assert ours(3, "pretrain", "subset", "target", "evaluator") == expected


def test_the_groups_of_tasks_are_those_of_table_3(tables) -> None:
    columns = header(tables[3], count=6)
    kinds = next(words for words in tables[3] if words[0] == "(S)")
    names = {"(S)": "spatial", "(T)": "temporal", "(ST)": "spatio-temporal"}
    assert ["Non-Contrastive", "Contrastive"] in tables[3]
    expected = {"non-contrastive": tuple(columns[:3]), "contrastive": tuple(columns[3:])}
    for sign, name in names.items():
        expected[name] = tuple(t for t, kind in zip(columns, kinds, strict=True) if kind == sign)
    assert expected == TASK_GROUPS


def test_table_4(tables) -> None:
    columns = header(tables[4], count=6)
    expected = {
        key(subset=int(name.removesuffix("k")) * 1000, task=task, metric="top1", target="hmdb51"): value
        for name, values in rows(tables[4], 6)
        for task, value in zip(columns, values, strict=True)
    }
    assert len(expected) == 18
    assert ours(4, "architecture", "pretrain", "evaluator") == expected


def test_table_5(tables) -> None:
    networks = next([NETWORKS[w] for w in words[1:]] for words in tables[5] if words[0] == "Epochs")
    sizes = next([int(w.removesuffix("k")) * 1000 for w in words] for words in tables[5] if words[0] == "10k")
    columns = list(zip([n for n in networks for _ in range(4)], sizes, strict=True))
    expected = {
        key(architecture=network, subset=size, epochs=int(name), metric="top1"): value
        for name, values in rows(tables[5], 12)
        for (network, size), value in zip(columns, values, strict=True)
        if value != "-"
    }
    assert len(expected) == 47
    assert ours(5, "task", "pretrain", "target", "evaluator") == expected


def test_table_6(tables) -> None:
    columns = header(tables[6], count=6)
    expected: Numbers = {}
    for name, values in rows(tables[6], 6):
        noise = {"noise": "none"} if name == "No Noise" else {"noise": name.lower(), "severity": 1}
        expected |= {key(**noise, task=t, metric="top1"): v for t, v in zip(columns, values, strict=True)}
    assert len(expected) == 30
    assert ours(6, "architecture", "pretrain", "subset", "target", "evaluator") == expected


def test_no_table_of_the_text_is_left_out(tables) -> None:
    mine = {table.name for table in load_paper_tables() if re.match(r"supplement_table_\d", table.name)}
    assert mine == {f"supplement_table_{number}" for number in tables}


def test_numbers_of_the_prose(tables) -> None:
    text = " ".join(unnumbered(TEXT.read_text(encoding="utf-8")).split())
    drops = re.search(r"drop of (\d+)% \(ShuffleNet\) and (\d+)% \(R21D\)", text)
    assert drops is not None
    printed = find(table="supplement_probe_drop")
    assert [c.text for c in printed if c.source.startswith("supplement")] == list(drops.groups())
    counts = re.search(r"manipulated all (\d+) samples.*roughly (\d+).*approximately (\d+) samples", text)
    assert counts is not None
    found = [cell.text for cell in find(table="supplement_noise_videos")]
    assert found == [counts[1]] * 3 + [counts[2], counts[3], counts[3]] * 3
