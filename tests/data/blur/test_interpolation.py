from __future__ import annotations

import cv2
import numpy as np
import pytest

from deblurkit.data.blur.interpolation import frames_between, with_frames_between
from deblurkit.data.images import read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr


@pytest.fixture(scope="module", params=["chelsea", "coffee", "astronaut"])
def scene(request: pytest.FixtureRequest) -> np.ndarray:
    photo = next(photo for photo in PHOTOGRAPHS if photo.name == request.param)
    return read_image(photograph_file(photo))[:300, :400]


def view(scene: np.ndarray, right: int, down: int) -> np.ndarray:
    return np.ascontiguousarray(scene[40 + down : 240 + down, 40 + right : 340 + right])


def moved(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """By how many pixels, right and down, the second image's content lies beside the first's."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (first, second)]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    return cv2.phaseCorrelate(*grey, window)[0]


@pytest.mark.parametrize("step", [(8, 0), (0, -8), (12, 4)])
def test_pixels_lie_where_they_are_at_that_instant(scene: np.ndarray, step: tuple[int, int]):
    start, end = view(scene, 0, 0), view(scene, *step)
    between = frames_between(start, end, 3)
    assert len(between) == 3
    for quarter, made in enumerate(between, start=1):
        shift = (step[0] * quarter // 4, step[1] * quarter // 4)
        truth = view(scene, *shift)
        t = quarter / 4
        blend = np.round((1 - t) * start.astype(float) + t * end).astype(np.uint8)
        assert psnr(made, truth) > psnr(blend, truth) + 8
        assert psnr(made, truth, crop_border=16) > 35
        found = moved(start, made)
        assert np.hypot(found[0] + shift[0], found[1] + shift[1]) < 0.1, f"{found} for {shift}"


def test_a_part_that_moves_alone_is_followed(scene: np.ndarray):
    frames = [view(scene, 0, 0).copy() for _ in range(3)]
    for frame, left in zip(frames, (100, 106, 112), strict=True):
        frame[60:140, left : left + 80] = scene[200:280, 250:330]
    made = frames_between(frames[0], frames[2], 1)[0]
    blend = ((frames[0].astype(int) + frames[2]) // 2).astype(np.uint8)
    assert psnr(made, frames[1]) > psnr(blend, frames[1]) + 3


def test_a_still_scene_stays_as_it_is(photograph: np.ndarray):
    np.testing.assert_array_equal(frames_between(photograph, photograph, 1)[0], photograph)


def test_sixteen_bits_are_kept(scene: np.ndarray):
    start, end = view(scene, 0, 0), view(scene, 8, 0)
    fine = frames_between(start.astype(np.uint16) * 257, end.astype(np.uint16) * 257, 1)[0]
    coarse = frames_between(start, end, 1)[0]
    assert fine.dtype == np.uint16
    assert psnr(fine, coarse.astype(np.uint16) * 257) > 45  # the flow sees rounding differently
    assert (fine % 257 != 0).any()


def test_the_result_does_not_depend_on_the_threads(scene: np.ndarray):
    before = cv2.getNumThreads()
    try:
        made = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            made.append(frames_between(view(scene, 0, 0), view(scene, 9, 3), 1)[0])
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*made)


def test_frames_keep_their_order(scene: np.ndarray):
    frames = [view(scene, 4 * i, 0) for i in range(3)]
    assert [id(frame) for frame in with_frames_between(iter(frames), 0)] == [id(frame) for frame in frames]
    dense = list(with_frames_between(iter(frames), 1))
    assert len(dense) == 5
    assert all(dense[2 * i] is frame for i, frame in enumerate(frames))


def test_frames_too_small_for_flow_are_refused(scene: np.ndarray):
    with pytest.raises(UserError, match="11 x 30 pixels"):
        frames_between(scene[:11, :30], scene[:11, 1:31], 1)
    assert frames_between(scene[:12, :12], scene[:12, 1:13], 1)[0].shape == (12, 12, 3)
