"""The same dataset in another process: other hashes of text, another order of sets, folders backwards."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from vssl_core.interfaces import DatasetContext
from vssl_core.options import build_options
from vssl_core.progress import quiet_progress
from vssl_core.registry import load, resolve
from vssl_core.testing.dataset_worlds import SPLITS, DatasetSubject, Seen, look
from vssl_core.testing.file_listing import backwards
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.types import VideoRecord

__all__ = ["seen_elsewhere"]

_NOT_THERE = 3  # the exit code of a child that cannot import a class of this process
_MINUTES = 30
_SEEDS = 12  # hash seeds tried for one that would change the order of a set of these names


def seen_elsewhere(subject: DatasetSubject) -> Seen:
    """What another process sees with a cache folder of its own.

    Raises:
        CheckSkipped: The class lives in this process alone.
        CheckFailed: The dataset raises there.
    """
    cache = subject.cache("elsewhere")
    job = {
        "spec": subject.ref.spec,
        "module": subject.cls.__module__,
        "file": getattr(sys.modules.get(subject.cls.__module__), "__file__", None),
        "name": subject.cls.__qualname__,
        "path": sys.path,
        "values": dict(subject.values),
        "cache": str(cache),
    }
    environment = {**os.environ, "PYTHONHASHSEED": str(_hash_seed(subject.seen))}
    done = subprocess.run(
        [sys.executable, "-m", "vssl_core.testing.dataset_elsewhere"],
        input=json.dumps(job),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60 * _MINUTES,
        check=False,
    )
    if done.returncode == _NOT_THERE:
        raise CheckSkipped(f"another process cannot import {subject.cls.__qualname__}: {done.stderr.strip()}")
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CheckFailed(f"expected the dataset to open in another process too; there it raised {last[0]}")
    return _from_json(json.loads(done.stdout.splitlines()[-1]))


def _hash_seed(seen: Seen) -> int:
    """A seed under which sets of these names have another order than the names have now."""
    names = list(seen.order().values())
    code = "import json, sys; print(json.dumps([list(set(n)) for n in json.load(sys.stdin)]))"
    best = (-1, 1)
    for seed in range(1, _SEEDS + 1):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-S", "-c", code],
            input=json.dumps(names),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        moved = sum(order != now for order, now in zip(json.loads(done.stdout), names, strict=True))
        best = max(best, (moved, -seed))
        if all(
            order != now or len(now) < 2 for order, now in zip(json.loads(done.stdout), names, strict=True)
        ):
            break
    return abs(best[1])


def _from_json(document: Mapping[str, Any]) -> Seen:
    parts = {}
    for split in SPLITS:
        rows: Sequence[Any] = document["parts"].get(split, ())
        parts[split] = [
            VideoRecord(video_id, path, label, group, tuple(span) if span is not None else None)
            for video_id, path, label, group, span in rows
        ]
    return Seen(document["classes"], parts)


def _to_json(seen: Seen) -> dict[str, Any]:
    rows = {
        split: [[r.video_id, r.path, r.label, r.group, r.span_seconds] for r in seen.records(split)]
        for split in SPLITS
    }
    return {"classes": list(seen.classes), "parts": rows}


def _class(job: Mapping[str, Any]) -> Any:
    """The class that the job names: one that any process finds, or of a module that it imports."""
    if job["spec"] is not None:
        return load(resolve("dataset", job["spec"]))
    try:
        if importlib.util.find_spec(job["module"]) is None:
            raise ImportError(f"there is no module {job['module']!r}")
        return reduce(getattr, job["name"].split("."), importlib.import_module(job["module"]))
    except (ImportError, AttributeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_NOT_THERE) from error


def _main() -> None:
    job = json.loads(sys.stdin.read())
    sys.path[:] = job["path"]
    with backwards():  # before the plugin is imported, so that `from os import listdir` is reached, too
        cls = _class(job)
        options = build_options(cls.Options, job["values"], owner="dataset")
        dataset = cls(options, DatasetContext(Path(job["cache"]), quiet_progress()))
        dataset.prepare()
        sys.stdout.write(json.dumps(_to_json(look(dataset))) + "\n")


if __name__ == "__main__":
    _main()
