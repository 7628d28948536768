"""A process that looks into video files for another: a path on each line in, a JSON answer on each out.

    python -m vssl_core.video.worker JOB

FFmpeg reads what strangers made. What crashes it or makes it hang then costs this process and one answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vssl_core.errors import VideoError
from vssl_core.video.decoders import DECODERS, find_decoder
from vssl_core.video.fingerprint import fingerprint
from vssl_core.video.scan import scan, scan_whole
from vssl_core.video.second_try import with_second_try
from vssl_core.video.source import unreadable

__all__ = ["JOBS", "READY", "answer", "decode_job", "main"]

READY = "ready"


def decode(path: str, *, decoder: str) -> dict[str, Any]:
    """Decode every frame once; what the decoder found."""
    if decoder == "pyav":
        table = scan_whole(path)
    else:  # which goes by PyAV's table
        table = scan(path)
        find_decoder(decoder).decode_all(path, table, lambda index, frame: None)
    return {
        "num_frames": table.num_frames,
        "fps": str(table.fps),
        "width": table.width,
        "height": table.height,
        "codec": table.codec,
        "rotation": table.rotation,
        "rule": table.rule,
    }


def decode_job(decoder: str) -> str:
    """The name of the job that decodes with this decoder."""
    return f"decode with {decoder}"


JOBS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    **{decode_job(name): partial(decode, decoder=name) for name in DECODERS},
    "fingerprint": fingerprint,
}


def answer(job: str, path: str) -> dict[str, Any]:
    """What the job finds, or `error`; with `passing` where that says nothing of the file's content."""
    try:
        return with_second_try(path, lambda: JOBS[job](path))
    except VideoError as error:
        return _failure(error)
    except OSError as error:
        return _failure(unreadable(path, error))
    except MemoryError:
        return {"error": "it takes more memory than there is", "passing": True}
    except Exception as error:  # noqa: BLE001  whatever a file provokes is said of that file
        return {"error": f"the decoder failed with {type(error).__name__}: {error}"}


def _failure(error: VideoError) -> dict[str, Any]:
    return {"error": error.reason, "passing": True} if error.passing else {"error": error.reason}


def main() -> None:
    """Answer until the other side closes the pipe."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints is no answer
    print(json.dumps(READY), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(sys.argv[1], json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
