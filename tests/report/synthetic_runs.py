"""A run folder of made-up numbers in the layout that `vssl bench` leaves behind. Test data, no result."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HASH = "0123456789abcdef"
EVALUATORS = {"linear": "top1", "retrieval": "R@1"}
LEVELS = {"random_init": 30.0, "vcop": 42.0, "cvrl": 44.0, "supervised": 80.0}
NUM_GROUPS = 24
VIDEOS_PER_GROUP = 5
CLASSES = tuple(f"motion {letter}" for letter in "abcdefgh")


@dataclass
class Cell:
    """One cell to write; the defaults give a finished one."""

    task: str
    seed: int
    backbone: str = "shufflenet"
    target: str = "shapes_motion"
    protocol: str = "laptop"
    protocol_hash: str = HASH
    role: str = ""
    level: float | None = None
    code: str = "c0de"
    task_label: str = ""
    verdict: str = "ok"
    coverage: float = 1.0
    views: Sequence[str] = ("clip_0", "clip_1")
    evaluators: dict[str, str] = field(default_factory=lambda: dict(EVALUATORS))
    showcase: bool = True
    """Whether evaluations name the target's classes and hold pictures; older bundles do not."""

    def __post_init__(self) -> None:
        self.role = self.role or {"random_init": "floor", "supervised": "ceiling"}.get(self.task, "method")
        self.level = LEVELS.get(self.task, 40.0) if self.level is None else self.level
        self.task_label = self.task_label or self.task
        if self.role == "floor":
            self.views = ()

    @property
    def cell_id(self) -> str:
        return f"{self.task}-{self.backbone}-s{self.seed}-{self.code}-{self.protocol_hash[:4]}"


def write_cell(runs: Path, cell: Cell) -> Path:
    """Write a finished cell; gives its folder."""
    folder = runs / "cells" / cell.cell_id
    _json(folder / "cell.json", _description(cell))
    _json(folder / "protocol.json", {"schema": 1, "name": cell.protocol, "clip": {"num_frames": 8}})
    _json(folder / "environment.json", _environment(cell))
    unreadable = [{"video_id": "scene_3/7", "reason": "truncated"}] if cell.coverage < 1 else []
    _json(folder / "ledger.json", {"pretrain": {"videos": 200, "unreadable": unreadable}})
    if cell.role != "floor":
        _curve(folder / "pretrain" / "curve.jsonl", cell)
    for number, view in enumerate(cell.views):
        _strip(folder / "pretrain" / "views" / f"{view}.png", 60 + 40 * number)
    _json(folder / "pretrain" / "result.json", {"schema": 1, "status": "done", "verdict": cell.verdict})
    for evaluator, metric in cell.evaluators.items():
        _evaluation(runs, folder, cell, evaluator, metric)
    return folder


def write_study(
    runs: Path, *, seeds: Sequence[int] = (0, 1, 2), tasks: Sequence[str] = ("vcop", "cvrl"), **fields: Any
) -> Path:
    """Tasks beside both controls on these seeds."""
    for seed in seeds:
        for task in ("random_init", *tasks, "supervised"):
            write_cell(runs, Cell(task, seed, **fields))
    return runs


def write_failure(runs: Path, cell: Cell, reason: str) -> None:
    """A cell that stopped before it had a result."""
    folder = runs / "cells" / cell.cell_id
    _json(folder / "cell.json", _description(cell))
    _json(folder / "protocol.json", {"schema": 1, "name": cell.protocol})
    _json(folder / "failure.json", {"kind": "DivergedError", "reason": reason, "when": "2000-01-01T00:00:00"})


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _component(name: str, code: str) -> dict[str, Any]:
    return {
        "spec": name,
        "name": name,
        "label": name,
        "origin": "built-in",
        "dist": "vssl 0.1.0",
        "digest": (code * 16)[:64],
        "options": {},
    }


def _description(cell: Cell) -> dict[str, Any]:
    nothing = "none" if cell.role == "floor" else cell.target
    parts = {
        "task": {**_component(cell.task, cell.code), "label": cell.task_label},
        "backbone": _component(cell.backbone, "b"),
        "pretrain": _component(nothing, "d"),
    }
    spec = {"role": cell.role, **parts, "seed": cell.seed, "protocol_hash": cell.protocol_hash}
    key = {"protocol": cell.protocol_hash, **parts, "seed": cell.seed}
    return {"schema": 1, "cell_id": cell.cell_id, "spec": spec, "key": key}


def _environment(cell: Cell) -> dict[str, Any]:
    return {
        "vssl": "0.1.0",
        "python": "3.11.7",
        "device": "cpu",
        "threads": 2,
        "packages": {"torch": "2.15.0", "numpy": "2.4.6"},
        "components": {"task": _component(cell.task, cell.code)},
    }


def _curve(path: Path, cell: Cell) -> None:
    rng = np.random.default_rng([cell.seed, len(cell.task)])
    lines = []
    for step in range(1, 121):
        done = step / 120
        accuracy = 1 / 6 + 0.5 * done + 0.03 * rng.standard_normal()
        row = {"loss": 1.8 * np.exp(-done) + 0.05 * rng.standard_normal(), "accuracy": accuracy, "lr": 1e-3}
        lines.append({"step": step, "epoch": step // 20, "fraction": done, **row})
        if step % 30 == 0:
            held_out = {"loss": 1.9 * np.exp(-done), "accuracy": 1 / 6 + 0.4 * done}
            health = {"feature_std": 0.6 + 0.1 * done, "effective_rank": 10 + 20 * done}
            chance = {"accuracy": 1 / 6}
            lines.append({"step": step, "fraction": done, "held_out": held_out, "chance": chance, **health})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _strip(path: Path, shade: int) -> None:
    picture = np.full((4 * 58 - 2, 8 * 58 - 2, 3), 255, np.uint8)
    for row in range(4):
        for frame in range(8):
            tile = picture[row * 58 : row * 58 + 56, frame * 58 : frame * 58 + 56]
            tile[:] = (shade, 40 * row, 25 * frame)
            cv2.circle(tile, (8 + 5 * frame, 20 + 5 * row), 6, (255, 255, 255), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def _evaluation(runs: Path, folder: Path, cell: Cell, evaluator: str, metric: str) -> None:
    path = folder / "evaluations" / f"{evaluator}-{cell.target}-e0"
    path.mkdir(parents=True)
    values = _values(cell, evaluator)
    with (path / f"{metric.replace('@', '_')}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "group", "value"])
        for index, value in enumerate(values):
            writer.writerow([f"v{index}", f"scene_{index // VIDEOS_PER_GROUP}", float(value)])
    if evaluator == "linear":
        _scores(path, values)
    if cell.showcase:
        _showcase(path, evaluator)
    row = _row(cell, evaluator, metric, float(values.mean()))
    row["per_video"] = (path / f"{metric.replace('@', '_')}.csv").relative_to(runs).as_posix()
    second = {**row, "metric": "top5", "primary": False, "per_video": None}
    curves = {"train_loss": [2.0, 1.2, 0.9]}
    parts = {"evaluator": _component(evaluator, "e"), "target": _component(cell.target, "d")}
    _json(path / "request.json", {"schema": 1, "spec": {**parts, "label": evaluator}, "key": {}})
    _json(path / "result.json", {"schema": 1, "rows": [row, second], "curves": curves})


def _scores(path: Path, values: np.ndarray) -> None:
    """Scores that are right where `values` say so; a wrong video is taken for the class after its own."""
    labels = np.arange(len(values)) % len(CLASSES)
    scores = np.full((len(values), len(CLASSES)), 0.02)
    predicted = np.where(values > 0, labels, (labels + 1) % len(CLASSES))
    scores[np.arange(len(values)), predicted] = 0.86 - np.arange(len(values)) / 1000
    scores[:, 0] += 1 - scores.sum(axis=1)
    np.save(path / "scores.npy", scores.astype(np.float32))
    np.save(path / "labels.npy", labels)


def _showcase(path: Path, evaluator: str) -> None:
    count = NUM_GROUPS * VIDEOS_PER_GROUP
    ids, labels = [f"v{i}" for i in range(count)], [i % len(CLASSES) for i in range(count)]
    videos = [{"video_id": ids[i], "group": ids[i], "label": labels[i]} for i in range(count)]
    _json(path / "target.json", {"schema": 2, "classes": CLASSES, "videos": videos, "ledger": None})
    hardest = ids[-8:] if evaluator == "linear" else []
    queries = [_query(number) for number in range(3)] if evaluator == "retrieval" else []
    shown = [*hardest, *(v["video_id"] for query in queries for v in (query, *query["neighbours"]))]
    pictures = {video_id: f"examples/{number:02d}.jpg" for number, video_id in enumerate(shown)}
    for video_id, name in pictures.items():
        _picture(path / name, int(video_id[1:]))
    document = {"schema": 1, "queries": queries, "hardest": hardest, "pictures": pictures, "unreadable": {}}
    _json(path / "examples.json", document)


def _query(number: int) -> dict[str, Any]:
    """A query of class `number` whose second neighbour alone is of its class."""
    labels = [(number + step) % len(CLASSES) for step in (1, 0, 2)]
    neighbours = [
        {"video_id": f"v{200 + 10 * number + place}", "label": label} for place, label in enumerate(labels)
    ]
    return {"video_id": f"v{number}", "label": number, "neighbours": neighbours}


def _picture(path: Path, number: int) -> None:
    picture = np.full((64, 196, 3), (number % 250, 3 * number % 250, 120), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def _values(cell: Cell, evaluator: str) -> np.ndarray:
    """100 or 0 per video: groups differ in difficulty for all alike, seeds differ a little."""
    shared = np.random.default_rng(len(evaluator)).standard_normal(NUM_GROUPS).repeat(VIDEOS_PER_GROUP)
    own = np.random.default_rng([cell.seed, *f"{cell.task} {cell.backbone} {evaluator}".encode()])
    assert cell.level is not None
    level = cell.level + 2.0 * own.standard_normal() + 8.0 * shared
    return 100.0 * (100.0 * own.random(len(shared)) < level)


def _row(cell: Cell, evaluator: str, metric: str, value: float) -> dict[str, Any]:
    pretraining = 0.0 if cell.role == "floor" else {"cvrl": 61.0, "supervised": 31.0}.get(cell.task, 84.0)
    return {
        "cell_id": cell.cell_id,
        "evaluation_id": f"{evaluator}-{cell.target}-e0",
        "protocol_name": cell.protocol,
        "protocol_hash": cell.protocol_hash,
        "task": cell.task_label,
        "role": cell.role,
        "backbone": cell.backbone,
        "pretrain": "none" if cell.role == "floor" else cell.target,
        "target": cell.target,
        "evaluator": evaluator,
        "evaluator_label": evaluator,
        "seed": cell.seed,
        "metric": metric,
        "primary": True,
        "value": value,
        "unit": "%",
        "higher_is_better": True,
        "chance": 12.5,
        "num_videos": NUM_GROUPS * VIDEOS_PER_GROUP,
        "coverage": cell.coverage,
        "verdict": cell.verdict,
        "deterministic": True,
        "cost": {
            "parameters": 2_400_000 if cell.backbone == "shufflenet" else 14_365_000,
            "gflops": 0.9 if cell.backbone == "shufflenet" else 7.4,
            "unsupported_ops": {},
            "pretrain_seconds": pretraining + cell.seed,
            "pretrain_clips_per_second": 0.0 if cell.role == "floor" else 88.0,
            "peak_memory_mib": 1210.0,
        },
        "per_video": None,
    }
