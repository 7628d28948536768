"""A planned video as pixels.

Every random number comes from a generator keyed by seed, video and purpose. What is drawn for the
camera, the background, the light and the noise is drawn without a look at the labels.
"""

from __future__ import annotations

import cv2
import numpy as np

from vssl_core.seeding import generator
from vssl_plugins.datasets.shapes_render.motion import SIZE_RANGE, Track, draw_track
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import PlannedVideo
from vssl_plugins.datasets.shapes_render.scene import Scene, colour, draw_scene
from vssl_plugins.datasets.shapes_render.sprite import MARGIN, Sprite, draw_sprite

__all__ = ["render_frames"]

EXPOSURE = (0.6, 1.1)  # log-uniform; a video's factor of brightness, with `light_variation` 1
TINT = 0.15  # the logarithms of the three channels' factors are uniform within plus and minus this


def render_frames(video: PlannedVideo, options: ShapesOptions) -> np.ndarray:
    """The video's frames, uint8 (T, H, W, 3), RGB."""
    scene = draw_scene(options.seed, video.scene, options.size, options.background_contrast)
    rngs = {
        part: generator("shapes", options.seed, video.number, part)
        for part in ("object", "track", "camera", "background", "light", "noise")
    }
    sprite = _object(video, options, rngs["object"])
    track = draw_track(video.motion, num_frames=options.num_frames, rng=rngs["track"])
    camera_T23 = _camera(scene, options, rngs["camera"])
    shifts_LT2 = _drifts(options, rngs["background"])
    pulse_T, gradient_HWC = _light(scene, options, rngs["light"])
    noise_THW = _noise(options, rngs["noise"])
    frames_THWC = np.empty((options.num_frames, options.size, options.size, 3), np.uint8)
    for t in range(options.num_frames):
        frame_HWC = _draw_background(scene, camera_T23[t], shifts_LT2[:, t], options.size)
        _draw_object(frame_HWC, sprite, camera_T23[t], track, t)
        lit_HWC = frame_HWC * (pulse_T[t] * gradient_HWC)
        lit_HWC += cv2.cvtColor(noise_THW[t], cv2.COLOR_GRAY2RGB)
        frames_THWC[t] = np.clip(lit_HWC, 0, 255, out=lit_HWC)
    return frames_THWC


def _object(video: PlannedVideo, options: ShapesOptions, rng: np.random.Generator) -> Sprite:
    light, dark = colour(rng.uniform(185, 225), rng), colour(rng.uniform(25, 65), rng)
    side = int(np.ceil(SIZE_RANGE[1] * MARGIN * options.size))
    return draw_sprite(video.appearance, side=side, light=light, dark=dark, rng=rng)


def _camera(scene: Scene, options: ShapesOptions, rng: np.random.Generator) -> np.ndarray:
    """Affine maps (T, 2, 3) from pixels of the frame to pixels of the world: shift, turn and zoom."""
    strength = options.camera_jitter * scene.shake
    shift_x, shift_y, turn, zoom = (0.005 * strength * _shaking(options.num_frames, rng) for _ in range(4))
    scale = np.exp(zoom)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    centre = (options.size - 1) / 2
    return np.stack(
        [
            np.stack([cos, -sin, centre * (1 - cos + sin) + options.size * shift_x], axis=-1),
            np.stack([sin, cos, centre * (1 - sin - cos) + options.size * shift_y], axis=-1),
        ],
        axis=1,
    )


def _shaking(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random wobble (T,) of standard deviation 1, alike at every time."""
    period_F, phase_F = rng.uniform(5, 30, size=4), 2 * np.pi * rng.random(4)
    return np.sin(2 * np.pi * np.arange(num_frames)[:, None] / period_F + phase_F).sum(axis=1) / np.sqrt(2)


def _drifts(options: ShapesOptions, rng: np.random.Generator) -> np.ndarray:
    """Where the two background layers are: (2, T, 2) pixels."""
    start_L12 = options.size * rng.uniform(0, 4, size=(2, 1, 2))
    bearing_L, speed_L = 2 * np.pi * rng.random(2), 0.005 * options.size * rng.random(2)
    velocity_L2 = (speed_L * np.stack([np.cos(bearing_L), np.sin(bearing_L)])).T
    steps_T1 = np.arange(options.num_frames)[:, None]
    return start_L12 + options.background_motion * velocity_L2[:, None] * steps_T1


def _light(scene: Scene, options: ShapesOptions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Brightness over time (T,), and exposure, tint and gradient over the frame (H, W, 3), both factors."""
    amplitude, period_frames = scene.pulse
    time_T = np.arange(options.num_frames) / period_frames + rng.random()
    pulse_T = 1 + amplitude * np.sin(2 * np.pi * time_T)
    exposure = rng.uniform(*np.log(EXPOSURE))
    white_3 = np.exp(options.light_variation * (exposure + rng.uniform(-TINT, TINT, size=3)))
    axis = np.linspace(-0.5, 0.5, options.size)
    gradient_HW1 = (1 + scene.light[0] * axis + scene.light[1] * axis[:, None])[..., None]
    return pulse_T.astype(np.float32), (gradient_HW1 * white_3).astype(np.float32)


def _noise(options: ShapesOptions, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise (T, H, W), fresh in every pixel and frame, equal in the three colours."""
    level = np.float32(options.noise * rng.uniform(0.5, 1.5))
    shape = (options.num_frames, options.size, options.size)
    return level * rng.standard_normal(shape, dtype=np.float32)


def _warp(image: np.ndarray, to_image_23: np.ndarray, shape_HW: tuple[int, int], border: int) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, to_image_23, shape_HW[::-1], flags=flags, borderMode=border)


def _blend(under_HWC: np.ndarray, over_RGBA: np.ndarray) -> np.ndarray:
    """An image with premultiplied alpha (H, W, 4) laid over another (H, W, 3), all uint8."""
    see_through_HWC = cv2.cvtColor(cv2.bitwise_not(over_RGBA[..., 3]), cv2.COLOR_GRAY2RGB)
    return cv2.add(
        cv2.multiply(under_HWC, see_through_HWC, scale=1 / 255),
        cv2.cvtColor(over_RGBA, cv2.COLOR_RGBA2RGB),
    )


def _draw_background(scene: Scene, camera_23: np.ndarray, shifts_L2: np.ndarray, size: int) -> np.ndarray:
    """Both background layers, seen through the camera: uint8 (H, W, 3)."""
    ground_23, cloud_23 = camera_23.copy(), camera_23.copy()
    ground_23[:, 2] += shifts_L2[0] % scene.tile + scene.margin
    cloud_23[:, 2] += shifts_L2[1] % scene.tile + scene.margin
    ground_RGBA = _warp(scene.ground, ground_23, (size, size), cv2.BORDER_REPLICATE)
    cloud_RGBA = _warp(scene.cloud, cloud_23, (size, size), cv2.BORDER_REPLICATE)
    return _blend(cv2.cvtColor(ground_RGBA, cv2.COLOR_RGBA2RGB), cloud_RGBA)


def _draw_object(frame_HWC: np.ndarray, sprite: Sprite, camera_23: np.ndarray, track: Track, t: int) -> None:
    """Lay the object of frame `t` over the frame (H, W, 3), in place."""
    size = frame_HWC.shape[0]
    diameter = track.diameter[t] * size
    image_RGBA, image_diameter = sprite.level(diameter)
    scale = image_diameter / diameter  # pixels of the sprite per pixel of the world
    cos, sin = scale * np.cos(track.angle), scale * np.sin(track.angle)
    turn_22 = np.array([[cos, sin], [-sin, cos]])
    world_2 = np.array([track.x[t], track.y[t]]) * size - 0.5
    centre_2 = np.linalg.solve(camera_23[:, :2], world_2 - camera_23[:, 2])  # in the frame
    corner_2 = np.clip(centre_2 - diameter * 0.8, 0, size - 2).astype(int)
    (left, top), (right, bottom) = corner_2, np.clip(centre_2 + diameter * 0.8, 2, size).astype(int)
    to_image_23 = np.empty((2, 3))
    to_image_23[:, :2] = turn_22 @ camera_23[:, :2]
    to_image_23[:, 2] = (image_RGBA.shape[0] - 1) / 2 - to_image_23[:, :2] @ (centre_2 - corner_2)
    window_HWC = frame_HWC[top:bottom, left:right]
    object_RGBA = _warp(image_RGBA, to_image_23, window_HWC.shape[:2], cv2.BORDER_CONSTANT)
    window_HWC[:] = _blend(window_HWC, object_RGBA)
