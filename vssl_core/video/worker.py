"""A process that looks into video files for another: a path on each line in, a JSON answer on each out.

    python -m vssl_core.video.worker JOB

FFmpeg reads what strangers made. What crashes it or makes it hang then costs this process and one answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from vssl_core.errors import VideoError
from vssl_core.video.fingerprint import fingerprint
from vssl_core.video.scan import scan_whole

__all__ = ["JOBS", "READY", "answer", "main"]

READY = "ready"


def decode(path: str) -> dict[str, Any]:
    """Decode every frame once; what the decoder found."""
    table = scan_whole(path)
    return {
        "num_frames": table.num_frames,
        "fps": str(table.fps),
        "width": table.width,
        "height": table.height,
        "codec": table.codec,
        "rotation": table.rotation,
        "rule": table.rule,
    }


JOBS: Mapping[str, Callable[[str], dict[str, Any]]] = {"decode": decode, "fingerprint": fingerprint}


def answer(job: str, path: str) -> dict[str, Any]:
    """What the job finds, or `error`; with `passing` where that says nothing of the file's content."""
    try:
        return JOBS[job](path)
    except VideoError as error:
        return {"error": error.reason}
    except OSError as error:
        return {"error": f"it cannot be read: {error.strerror or error}", "passing": True}
    except MemoryError:
        return {"error": "it takes more memory than there is", "passing": True}
    except Exception as error:  # noqa: BLE001  whatever a file provokes is said of that file
        return {"error": f"the decoder failed with {type(error).__name__}: {error}"}


def main() -> None:
    """Answer until the other side closes the pipe."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints is no answer
    print(json.dumps(READY), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(sys.argv[1], json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
