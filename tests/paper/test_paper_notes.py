"""Every number of the notes on the paper's other tables (T1 to T12) is in our data at its coordinates.

The notes are parsed here on their own: Markdown grids by row and column, running text by its names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vssl_core.paper import find

NOTES = Path(__file__).resolve().parents[3] / "shared" / "reference" / "paper.md"

TASKS = {"Rot": "rotnet", "RotNet": "rotnet", "VCOP": "vcop", "PRP": "prp", "CVRL": "cvrl", "TDL": "tdl"}
TASKS |= {"RSP": "rspnet", "RSPNet": "rspnet"}
NETWORKS = {"ShuffleNet": "shufflenet", "Shuffle": "shufflenet", "R21D": "r2plus1d", "R3D": "r3d"}
NETWORKS |= {"VideoSwin": "video_swin", "Squeeze": "squeezenet", "Mobile": "mobilenetv2", "C3D": "c3d"}
SIZES = {f"{n}k": n * 1000 for n in (10, 30, 50, 100)}
BOTH = ("ucf101", "hmdb51")

Numbers = dict[tuple[tuple[str, object], ...], str]


@pytest.fixture(scope="module")
def notes() -> dict[str, str]:
    """T1 … T12 → what stands there."""
    if not NOTES.is_file():
        pytest.skip("../shared/reference/paper.md is not here")
    section = NOTES.read_text(encoding="utf-8").split("## 2. Numbers")[1].split("S's missing **Table 11")[0]
    parts = re.split(r"\*\*(T\d+)\. ", section)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def grid(text: str) -> list[tuple[str, str, str]]:
    """(row, column, entry) of the Markdown table; of the last column of names where there are two."""
    lines = [
        [c.strip() for c in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    head = lines[0]
    names = len([title for title in head if title not in {**TASKS, **NETWORKS, **SIZES}])
    return [
        (" ".join(line[:names]), title, entry)
        for line in lines[2:]
        for title, entry in zip(head[names:], line[names:], strict=True)
    ]


def key(**at: object) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(at.items()))


def ours(table: str, *axes: str) -> Numbers:
    """Our cells of a table by these coordinates and the metric."""
    cells = find(table=table)
    found = {
        key(metric=c.metric, **{axis: v for axis in axes if (v := getattr(c.at, axis)) is not None}): c.text
        for c in cells
    }
    assert len(found) == len(cells)
    return found


def test_t1(notes) -> None:
    expected = {
        key(subset=SIZES[row], task=TASKS[column], metric="top1"): entry
        for row, column, entry in grid(notes["T1"])
    }
    assert len(expected) == 18
    assert ours("tasks_by_subset", "subset", "task") == expected


def test_t2(notes) -> None:
    expected = {
        key(epochs=int(row), task=TASKS[column], target=target, metric="top1"): value
        for row, column, entry in grid(notes["T2"])
        for target, value in zip(BOTH, entry.split("/"), strict=True)
    }
    assert len(expected) == 48
    assert ours("tasks_by_epochs", "epochs", "task", "target") == expected


def test_t3(notes) -> None:
    expected, plotted = {}, set()
    for row, column, entry in grid(notes["T3"]):
        for target, value in zip(BOTH, entry.split("/"), strict=True):
            at = key(architecture=NETWORKS[row], subset=SIZES[column], target=target, metric="top1")
            expected[at] = value.removeprefix("≈")
            plotted |= {at} if "≈" in value else set()
    assert len(expected) == 24
    assert ours("architectures_by_subset", "architecture", "subset", "target") == expected
    found = find(table="architectures_by_subset", trust="read_off_plot")
    assert {
        key(architecture=c.at.architecture, subset=c.at.subset, target=c.at.target, metric=c.metric)
        for c in found
    } == plotted


def test_t4(notes) -> None:
    levels: Numbers = {}
    students: Numbers = {}
    for row, column, entry in grid(notes["T4"]):
        for network, value in zip(("shufflenet", "r2plus1d"), entry.split("/"), strict=True):
            at = {"architecture": network, "task": TASKS[column], "metric": "top1"}
            if row == "student":
                students[key(**at)] = value
            else:
                levels[key(**at, complexity=int(row[1]))] = value
    assert (len(levels), len(students)) == (18, 6)
    assert ours("complexity", "architecture", "task", "complexity") == levels
    assert ours("distill_complexities", "architecture", "task") == students


def test_t5(notes) -> None:
    expected = {
        key(target=row.split()[0].lower(), pretrain=source, task=TASKS[column], metric="top1"): value.strip()
        for row, column, entry in grid(notes["T5"])
        for source, value in zip(("kinetics400", "ssv2"), entry.split("/"), strict=True)
    }
    assert len(expected) == 16
    assert ours("sources_and_targets", "target", "pretrain", "task") == expected


def test_t6(notes) -> None:
    expected: Numbers = {}
    for row, column, entry in grid(notes["T6"]):
        severity = int(found[1]) if (found := re.search(r"lvl (\d)", row)) else 1
        at = {"architecture": NETWORKS[row.split()[0]], "severity": severity, "task": TASKS[column]}
        values = re.findall(r"[\d.]+", entry)
        for metric, value in zip(("top1", "relative_drop")[-len(values) :], values, strict=True):
            expected[key(**at, metric=metric)] = value
    assert len(expected) == 36
    assert ours("noise_mean", "architecture", "severity", "task") == expected


def test_t7(notes) -> None:
    expected = {
        key(subset=SIZES[column], target=target, metric="top1"): value
        for _, column, entry in grid(notes["T7"])
        for target, value in zip(BOTH, entry.split("/"), strict=True)
    }
    assert len(expected) == 8
    assert ours("distill_architectures", "subset", "target") == expected


def test_t8(notes) -> None:
    expected = {key(task=TASKS[column], metric="top1"): entry for _, column, entry in grid(notes["T8"])}
    assert len(expected) == 4
    assert ours("distill_sources", "task") == expected


def test_t9(notes) -> None:
    expected: Numbers = {}
    pattern = r"(\w+)\+(\w+) \(([\d.]+), ([\d.]+)\) → ([\d.]+) \((\w+) alone ([\d.]+)\)"
    for one, other, of_one, of_other, student, alone, of_alone in re.findall(pattern, notes["T9"]):
        expected[key(teachers=f"{TASKS[one]}+{TASKS[other]}", metric="top1")] = student
        for task, value in ((one, of_one), (other, of_other), (alone, of_alone)):
            expected[key(task=TASKS[task], metric="top1")] = value
    assert len(expected) == 8
    assert ours("distill_tasks", "teachers", "task") == expected


def test_t10(notes) -> None:
    expected = {
        key(architecture=NETWORKS[column], target=target, metric=row.replace("top-", "R@")): value
        for row, column, entry in grid(notes["T10"])
        for target, value in zip(("hmdb51", "ucf101"), entry.split("/"), strict=True)
    }
    assert len(expected) == 24
    assert ours("retrieval", "architecture", "target") == expected


def test_t11(notes) -> None:
    parts = re.split(r"(UCF101|HMDB51): ", notes["T11"])
    expected: Numbers = {}
    for target, text in zip(parts[1::2], parts[2::2], strict=True):
        pairs = re.findall(r"([\d.]+\d)/([\d.]+\d)", text)
        for task, values in zip(("rotnet", "vcop", "cvrl", "rspnet"), pairs, strict=True):
            for source, value in zip(("kinetics400", "ssv2"), values, strict=True):
                expected[key(target=target.lower(), pretrain=source, task=task, metric="R@5")] = value
    assert re.findall(r"(\w+) [\d.]+/", notes["T11"]) == ["Rot", "VCOP", "CVRL", "RSPNet"]
    assert len(expected) == 16
    assert ours("retrieval_sources", "target", "pretrain", "task") == expected


def test_t12(notes) -> None:
    expected: Numbers = {}
    listed = notes["T12"].split("]: ")[1].split("; S22 printed")[0]
    for entry in listed.split(";"):
        name, *values = re.findall(r"(\w[^/]*?) ([\d.]+)/([\d.]+\d)", entry)[0]
        words = name.split()
        at = {"method": words[0].lower() if words[0] != "theirs" else "paper"}
        at |= {"architecture": "r2plus1d"} if "R21D" in entry else {}
        expected |= {key(**at, target=t, metric="top1"): value for t, value in zip(BOTH, values, strict=True)}
    assert len(expected) == 32
    assert ours("state_of_the_art", "method", "architecture", "target") == expected
