"""The second Python of `interpreter`: reads requests, one a line, and answers each with a line."""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from vssl_core.registry import load, resolve
from vssl_core.testing.tasks.plain import draw, plain
from vssl_core.testing.tasks.processes import run_rank
from vssl_core.testing.tasks.subject import subject

__all__ = ["main"]


def main() -> None:
    """Answer until the other side closes the pipe."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what components print must not get between the answers
        for line in sys.stdin:
            print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        ref = resolve("task", request["task"])
        load(ref)
        if "sampler" in request:  # from the process that started this one, which made it a moment ago
            sampler = pickle.loads(base64.b64decode(request["sampler"]))
            return {"samples": [plain(draw(sampler, number)) for number in range(request["draws"])]}
        task = subject(ref, request["options"])
        run_rank(task, Path(request["folder"]), rank=request["rank"], train=request["train"])
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        return {"error": f"{type(error).__name__}: {error}"}
    return {}


if __name__ == "__main__":
    main()
