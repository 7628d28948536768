"""The way through a short video."""

from __future__ import annotations

import numpy as np

from vssl_core.sampling import back_and_forth


def test_a_video_is_read_forwards_backwards_and_forwards_again_each_end_once() -> None:
    assert back_and_forth(np.arange(11), 4).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert back_and_forth(np.arange(4), 2).tolist() == [0, 1, 0, 1]
    assert back_and_forth(np.arange(4), 1).tolist() == [0, 0, 0, 0]


def test_places_in_the_video_are_its_frames_and_shapes_stay() -> None:
    places_2T = np.arange(10).reshape(2, 5)
    assert (back_and_forth(places_2T, 10) == places_2T).all()
    assert back_and_forth(places_2T, 3).shape == (2, 5)
