from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from deblurkit.data.blur.averaging import Exposure, Window, as_average
from deblurkit.data.blur.camera_response import RESPONSES, response
from deblurkit.data.images import read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr

GAMMA = response("gamma")


def pan(image: np.ndarray, count: int, step: int = 2, width: int = 160) -> list[np.ndarray]:
    """Successive frames of a camera that turns to the right by ``step`` pixels a frame."""
    return [np.ascontiguousarray(image[:, step * i : step * i + width]) for i in range(count)]


def average(frames: list[np.ndarray], exposure: Exposure, sequence: str = "s") -> tuple[np.ndarray, np.ndarray]:
    return exposure.expose(frames, Window(0, len(frames)), sequence)


@pytest.fixture(scope="module")
def colour() -> dict[str, np.ndarray]:
    """Whole colour photographs; large parts of the one taken at night are even, as a fixed camera's frames are."""
    chosen = [photo for photo in PHOTOGRAPHS if photo.name in ("chelsea", "coffee", "rocket")]
    return {photo.name: read_image(photograph_file(photo)) for photo in chosen}


@pytest.mark.parametrize("count", [7, 8, 13])
def test_the_gopro_protocol_to_the_last_level(colour: dict[str, np.ndarray], count: int):
    decoded = (np.arange(256, dtype=np.longdouble) / 255) ** np.longdouble(2.2)
    equal = rounded_equal = samples = 0
    for image in colour.values():
        frames = pan(image[80:240, 60:], count, width=200)
        # In more digits than the code has: what is a level exactly must not lose one to the floats' last bits.
        light = sum(decoded[frame] for frame in frames)
        formula = 255 * (light / count) ** (1 / np.longdouble(2.2))
        expected = np.floor(formula + np.longdouble(1e-12)).astype(int)
        blurred, sharp = average(frames, Exposure(GAMMA, quantise="truncate"))
        rounded, _ = average(frames, Exposure(GAMMA, quantise="round"))
        np.testing.assert_array_equal(sharp, frames[count // 2])
        assert np.abs(blurred - expected).max() <= 1
        equal += int((blurred == expected).sum())
        rounded_equal += int((rounded == expected).sum())
        samples += expected.size
    assert equal / samples > 0.99999
    assert rounded_equal / samples < 0.8, "rounding would pass too"


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("count", [1, 7, 10])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_does_not_move_is_not_changed(photograph: np.ndarray, name: str, count: int, dtype: type):
    image = photograph.astype(dtype) * (1 if dtype is np.uint8 else 257)
    for quantisation in ("round", "truncate"):
        blurred, sharp = average([image] * count, Exposure(response(name), quantise=quantisation))
        np.testing.assert_array_equal(blurred, image)
        np.testing.assert_array_equal(sharp, image)
        assert blurred.dtype == dtype


def test_the_linear_variant_is_the_mean_of_the_levels(colour: dict[str, np.ndarray]):
    frames = pan(colour["coffee"], 11)
    levels = np.stack(frames).astype(int).sum(axis=0)
    blurred, _ = average(frames, Exposure(response("linear")))
    np.testing.assert_array_equal(blurred, levels // 11)
    lighter, _ = average(frames, Exposure(GAMMA))
    assert (lighter >= blurred).all(), "a power mean of 2.2 is never below the arithmetic one"
    assert lighter.mean() > blurred.mean() + 0.5


def test_gain_saturates_highlights_of_both_images(photograph: np.ndarray):
    frames = [photograph, np.roll(photograph, 8, axis=1), np.roll(photograph, 16, axis=1)]
    blurred, sharp = average(frames, Exposure(GAMMA, gain=6.0, quantise="round"))
    brighter = np.round(255 * np.clip(6 * (frames[1] / 255) ** 2.2, 0, 1) ** (1 / 2.2))
    np.testing.assert_array_equal(sharp, brighter)
    assert 0.02 < (blurred == 255).mean() < 0.9
    assert (average(frames, Exposure(GAMMA))[0] == 255).mean() < 0.001


def test_noise_is_of_the_blurred_image_alone_and_depends_on_the_window(photograph: np.ndarray):
    frames = [photograph] * 3
    noisy = Exposure(GAMMA, noise=True, quantise="round", seed=4)
    blurred, sharp = average(frames, noisy)
    np.testing.assert_array_equal(sharp, photograph)
    error = blurred.astype(float) - photograph
    assert abs(error.mean()) < 0.2
    assert 0.5 < error.std() < 3
    np.testing.assert_array_equal(average(frames, noisy)[0], blurred)
    others = [
        average(frames, noisy, "other")[0],
        noisy.expose(frames, Window(1, 3), "s")[0],
        average(frames, Exposure(GAMMA, noise=True, quantise="round", seed=5))[0],
    ]
    assert all((other != blurred).mean() > 0.3 for other in others)


def test_frames_put_between_make_a_fast_pan_smooth(colour: dict[str, np.ndarray]):
    slow = pan(colour["chelsea"], 25, step=2)
    smooth, sharp = average(slow, Exposure(GAMMA))
    ghosts, _ = average(slow[::4], Exposure(GAMMA))
    filled, same = average(slow[::4], Exposure(GAMMA, interpolate=3))
    np.testing.assert_array_equal(same, sharp)
    assert psnr(filled, smooth) > psnr(ghosts, smooth) + 6


@pytest.mark.parametrize("interpolate", [0, 2])
def test_a_long_exposure_needs_no_more_memory(photograph: np.ndarray, interpolate: int):
    alive: list[weakref.ref[np.ndarray]] = []

    def frames() -> Iterator[np.ndarray]:
        for shift in range(9):
            frame = np.roll(photograph[:64, :64], shift, axis=1)
            alive.append(weakref.ref(frame))
            assert sum(known() is not None for known in alive) <= 4, "more than the middle, the last two and this one"
            yield frame

    Exposure(GAMMA, interpolate=interpolate).expose(frames(), Window(0, 9), "s")


@pytest.mark.parametrize("seed", range(5))
def test_windows_follow_each_other_and_use_every_length(seed: int):
    windows = list(itertools.islice(Exposure(GAMMA, seed=seed).windows("GOPR0372_07_00"), 300))
    assert all(later.start == earlier.stop for earlier, later in itertools.pairwise(windows))
    assert {window.exposed for window in windows} == set(range(7, 14))
    assert windows == list(itertools.islice(Exposure(GAMMA, seed=seed).windows("GOPR0372_07_00"), 300))
    other = list(itertools.islice(Exposure(GAMMA, seed=seed).windows("GOPR0374_11_00"), 300))
    assert windows != other


def test_stride_fraction_and_the_middle_frame():
    assert [Window(10, count).truth for count in (1, 2, 7, 8, 13)] == [10, 11, 13, 14, 16]
    strided = itertools.islice(Exposure(GAMMA, average=(5, 5), stride=3).windows("s"), 3)
    assert [(window.start, window.stop) for window in strided] == [(0, 5), (3, 8), (6, 11)]
    half_open = itertools.islice(Exposure(GAMMA, average=(10, 10), fraction=0.5).windows("s"), 2)
    assert [(window.start, window.stop, window.truth) for window in half_open] == [(0, 5, 2), (10, 15, 12)]
    assert next(Exposure(GAMMA, average=(3, 3), fraction=0.01).windows("s")).exposed == 1


@pytest.mark.parametrize(("limits", "stride"), [((7, 13), 4), ((1, 9), 5), ((6, 7), 1)])
def test_no_two_windows_have_the_same_middle_frame(limits: tuple[int, int], stride: int):
    truths = [w.truth for w in itertools.islice(Exposure(GAMMA, limits, stride).windows("s"), 500)]
    assert len(set(truths)) == 500
    if stride > 1:
        with pytest.raises(UserError, match=f"expected at least {stride}"):
            Exposure(GAMMA, limits, stride - 1)


def test_every_wrong_value_is_told_at_once():
    with pytest.raises(UserError) as raised:
        Exposure(GAMMA, (9, 7), 0, 1.5, -1, 0.0, quantise="trunc", seed=-1)
    problems = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 7
    for part in ("average: got (9, 7)", "stride: got 0", "fraction: got 1.5", "interpolate: got -1"):
        assert part in problems
    for part in ("gain: got 0.0", "quantise: got 'trunc', expected one of round, truncate (did you", "seed: got -1"):
        assert part in problems


def test_what_average_may_be():
    assert as_average(8) == (8, 8)
    assert as_average([7]) == (7, 7)
    assert as_average([7, 13]) == (7, 13)
    for wrong in ([1, 2, 3], [], [7.5, 9], "7", 7.0, True):
        with pytest.raises(UserError, match="average: got"):
            as_average(wrong)


def test_frames_of_different_kinds_are_not_averaged(photograph: np.ndarray):
    with pytest.raises(UserError, match="frame 2 of those averaged is 119 x 160 uint8, the first 120 x 160 uint8"):
        average([photograph, photograph[1:]], Exposure(GAMMA))
    with pytest.raises(UserError, match="frame 3 of those averaged is 120 x 160 uint16"):
        average([photograph, photograph, photograph.astype(np.uint16)], Exposure(GAMMA))
