"""What the system fails at is not said of a video; what FFmpeg says in the system's words may be damage."""

from __future__ import annotations

import errno
import json
import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from av.error import err_check
from video_samples import GOP12, write_video

from vssl_core.errors import VideoError
from vssl_core.video import second_try, worker
from vssl_core.video.fingerprint import fingerprint
from vssl_core.video.scan import scan
from vssl_core.video.second_try import with_second_try
from vssl_core.video.source import Source, frames, opened, stamp


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_video(tmp_path_factory.mktemp("clip") / "a.mp4", options=GOP12))


def plant_in_reading(monkeypatch: pytest.MonkeyPatch, number: int, *, times: int) -> None:
    """The first so many readings of packets end with this error of FFmpeg."""
    real, left = Source.packets, [times]

    def packets(self: Source) -> Iterator[Any]:
        if left[0]:
            left[0] -= 1
            err_check(-number)
        return real(self)

    monkeypatch.setattr(Source, "packets", packets)


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_errors_of_the_system_may_pass(number: int, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_in_reading(monkeypatch, number, times=1)
    with pytest.raises(VideoError, match="cannot be read") as caught:
        scan(clip)
    assert caught.value.passing
    monkeypatch.setattr(av, "open", lambda *a, **k: err_check(-number))
    with pytest.raises(VideoError, match="cannot be read") as caught, opened(clip):
        pass
    assert caught.value.passing


def test_damage_and_what_is_not_there_do_not_pass(clip: str, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_bytes(b"no video" * 99)
    for path in (text, tmp_path / "gone.mp4"):
        with pytest.raises(VideoError) as caught:
            scan(str(path))
        assert not caught.value.passing
    with pytest.raises(VideoError) as caught:
        stamp(str(tmp_path / "gone.mp4"))
    assert not caught.value.passing


def test_a_stamp_that_the_network_refuses_may_pass(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(self: Path, **_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(VideoError, match="Stale") as caught:
        stamp(clip)
    assert caught.value.passing


def test_a_frame_before_the_first_key_is_not_dropped_for_want_of_memory() -> None:
    class Poor:
        def decode(self, packet: object) -> None:
            err_check(-errno.ENOMEM)

    with pytest.raises(MemoryError):
        list(frames(Poor(), iter([av.Packet(b"x")])))


@pytest.mark.parametrize("job", ["decode with pyav", "fingerprint"])
def test_one_failure_costs_nothing(job: str, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = worker.answer(job, clip)
    plant_in_reading(monkeypatch, errno.EIO, times=1)
    assert worker.answer(job, clip) == sound
    assert "error" not in sound
    assert "undecodable" not in sound


def test_what_comes_again_while_the_system_gives_everything_is_damage(
    clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_in_reading(monkeypatch, errno.EIO, times=99)
    answer = worker.answer("decode with pyav", clip)
    assert "it is damaged" in answer["error"]
    assert "passing" not in answer
    found = fingerprint_twice(clip)
    assert "it is damaged" in found


def fingerprint_twice(path: str) -> str:
    with pytest.raises(VideoError) as caught:
        with_second_try(path, lambda: fingerprint(path))
    return caught.value.reason


def test_what_the_system_refuses_is_not_damage(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_in_reading(monkeypatch, errno.ENOMEM, times=99)

    def none_left(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", none_left)
    assert worker.answer("decode with pyav", clip) == {
        "error": "reading it takes more memory than there is",
        "passing": True,
    }
    monkeypatch.undo()
    plant_in_reading(monkeypatch, errno.EIO, times=99)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(second_try, "open", fails, raising=False)
    assert worker.answer("fingerprint", clip) == {
        "error": "it cannot be read: Input/output error",
        "passing": True,
    }


_POOR = """
import json, resource, sys
from pathlib import Path
from vssl_core.video import worker
path, extra = sys.argv[1], int(sys.argv[2])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (extra << 20),) * 2)
print(json.dumps([worker.answer(job, path) for job in ("decode with pyav", "fingerprint")]))
"""


@pytest.mark.parametrize("mebibytes", [2, 6, 12, 24])
def test_a_process_without_memory_calls_no_video_damaged(mebibytes: int, clip: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _POOR, clip, str(mebibytes)], capture_output=True, text=True, check=True
    )
    for answer in json.loads(done.stdout):
        assert answer.get("passing") or not answer.keys() & {"error", "undecodable"}, answer
