"""Frames as an H.264 MP4 file, with the same bytes on every run.

x264 runs on one thread at constant quantiser. Rate control would give a still object a better picture
than a fast one and so tell the motion from one frame; and its macroblock tree was measured to give
other bytes from run to run even on one thread. GOP and B frames are those of any x264 file.
"""

from __future__ import annotations

import io

import av
import cv2
import numpy as np

from vssl_core.errors import DatasetError

__all__ = ["FRAMES_PER_SECOND", "encode_mp4"]

FRAMES_PER_SECOND = 12
ENCODER = {"preset": "veryfast", "qp": "24"}


def encode_mp4(frames_THWC: np.ndarray) -> bytes:
    """The bytes of an MP4 file with these RGB frames, uint8 (T, H, W, 3).

    Raises:
        DatasetError: This build of PyAV has no x264.
    """
    if "libx264" not in av.codecs_available:
        raise DatasetError(
            "the embedded videos need an FFmpeg with libx264; this build of PyAV has none. "
            "The wheels on PyPI have it: pip install --force-reinstall --only-binary av av."
        )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=ENCODER)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for number, frame_HWC in enumerate(frames_THWC):
            planes = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2YUV_I420)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
