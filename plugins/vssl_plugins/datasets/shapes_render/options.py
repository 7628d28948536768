"""What a user may choose about the embedded data set."""

from __future__ import annotations

import hashlib

from pydantic import Field

from vssl_core.options import Options

__all__ = ["RENDERER_VERSION", "ShapesOptions"]

RENDERER_VERSION = 3  # another number whenever the same options would give other pixels or other labels


class ShapesOptions(Options):
    """Size, length, number and difficulty of the rendered videos. Both label sets share the files."""

    train_videos: int = Field(320, ge=1, le=100_000)
    """Videos of the train part. The two labels are perfectly balanced in multiples of 64."""
    validation_videos: int = Field(64, ge=0, le=100_000)
    """Videos of the validation part; 0 leaves it to be carved out of train."""
    test_videos: int = Field(192, ge=1, le=100_000)
    """Videos of the test part."""
    videos_per_scene: int = Field(4, ge=1, le=1_000)
    """Videos that share background, palette and camera: a group, which never straddles two parts."""
    size: int = Field(96, ge=32, le=512, multiple_of=2)
    """Height and width of the frames in pixels."""
    num_frames: int = Field(64, ge=2, le=10_000)
    """Frames of every video, at 12 frames per second."""
    seed: int = Field(0, ge=0)
    """Another seed gives other videos of the same kind."""
    noise: float = Field(4.0, ge=0, le=64)
    """Standard deviation of the sensor noise in grey levels; a video draws between 0.5 and 1.5 of it."""
    camera_jitter: float = Field(1.0, ge=0, le=8)
    """Strength of the shaking camera: 1 shakes by about 0.5 % of the frame's side, zoom and 0.3 degrees."""
    light_variation: float = Field(1.0, ge=0, le=4)
    """Differences of light between videos; with 1 exposures differ up to 1.8 times, channels 1.35 times."""
    background_motion: float = Field(1.0, ge=0, le=8)
    """Speed of the two background layers: with 1 they drift up to 0.5 % of the frame's side per frame."""
    background_contrast: float = Field(1.0, ge=0, le=8)
    """Contrast of the background's texture; the objects stay brighter and darker than it up to about 3."""

    @property
    def digest(self) -> str:
        """Ten characters that differ where the rendered files would differ."""
        key = f"{RENDERER_VERSION} {self.model_dump_json()}"
        return hashlib.blake2b(key.encode(), digest_size=5).hexdigest()
