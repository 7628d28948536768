"""Studies that take seconds, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import yaml

TINY = f"{Path(__file__).resolve().parents[1] / 'tiny_dataset.py'}:Tiny"


def document(**scale: object) -> dict[str, object]:
    """A study of two rotation tasks on the tiny dataset, retrieval alone, no controls; `scale` replaces."""
    grid = {
        "settings": {"pretrain": TINY, "target": TINY, "backbone": "squeezenet"},
        "axes": {
            "task": {
                "two": {"task": "rotnet", "task.num_rotations": 2},
                "four": {"task": "rotnet"},
            }
        },
        "evaluate": [{"eval": "retrieval"}],
        "controls": False,
    } | scale
    return {
        "schema": 1,
        "name": "small",
        "title": "A small study",
        "question": "Does it run?",
        "scales": {"smoke": grid},
    }


def write_study(folder: Path, **scale: object) -> str:
    """The same as a file; gives its path."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(document(**scale), sort_keys=False))
    return str(path)
