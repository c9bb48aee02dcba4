"""Koehler's benchmark, on synthetic exposures of a real photograph."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from deblurkit.evaluation.alignment import align_shift, scale_intensity, spectrum
from deblurkit.evaluation.protocols.protocol import get_protocol

SIDE, MARGIN = 300, 40
LUMA = np.array([0.299, 0.587, 0.114])


def trajectory(frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """What a camera sees that turns, slowly and always on, while it wanders about."""
    photo = skimage.data.astronaut()
    angles = np.linspace(-2.0, 2.0, frames)
    offsets = rng.uniform(-6, 6, (frames, 2))
    seen = []
    for angle, offset in zip(angles, offsets, strict=True):
        turn = cv2.getRotationMatrix2D((256, 256), angle, 1.0)
        turn[:, 2] += offset
        frame = cv2.warpAffine(photo, turn, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        seen.append(np.ascontiguousarray(frame[MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE]))
    return seen


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image moved within its frame, what comes in from outside black."""
    rows, columns = np.indices(image.shape[:2])
    rows, columns = rows - down, columns - right
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    return np.where(inside[..., None], image[rows % image.shape[0], columns % image.shape[1]], 0)


@pytest.mark.parametrize(("best", "down", "right", "gain"), [(6, 5, -3, 0.8), (2, -4, -6, 0.9), (8, 0, 0, 1.0)])
def test_best_frame_shift_scale_and_score_are_recovered(best: int, down: int, right: int, gain: float) -> None:
    rng = np.random.default_rng(best)
    truths = trajectory(9, rng)
    noise = rng.normal(0, 4, truths[0].shape)
    restored = np.clip(moved(truths[best], -down, -right) * gain + noise, 0, 255).astype(np.uint8)

    found = get_protocol("kohler-official-v1").score(restored, iter(truths))

    assert found.facts == {"best_frame": best + 1, "shift_y": down, "shift_x": right}
    x, z = truths[best].astype(np.float64), restored.astype(np.float64)
    factor = (x * z).sum() / (z * z).sum()
    assert factor * gain == pytest.approx(1, abs=0.05)
    there, here = (moved(np.ones_like(x), down, right) * x) @ LUMA, moved(factor * z, down, right) @ LUMA
    expected = 10 * np.log10(255**2 / np.mean((there - here) ** 2))
    assert found.scores["psnr"] == pytest.approx(expected, abs=1e-9)


def test_middle_frame_alone_is_another_score() -> None:
    truths = trajectory(5, np.random.default_rng(1))
    official, middle = (get_protocol(f"kohler-{name}-v1") for name in ("official", "mid"))
    restored = cv2.GaussianBlur(truths[3], (0, 0), 1.0)
    assert middle.score(restored, truths[2:3]).scores == official.score(restored, truths[2:3]).scores
    assert middle.score(restored, truths[2:3]).scores["psnr"] < official.score(restored, truths).scores["psnr"] - 1


def test_each_metric_takes_its_own_best_frame_as_the_authors_code_does() -> None:
    """Expected values: the authors' algorithm written out for GNU Octave 7.3, on the same images."""
    wide = skimage.data.astronaut().astype(np.int64)

    def window(top: int, left: int) -> np.ndarray:
        return wide[top : top + 399, left : left + 401]

    truths = [
        (((4 - n) * window(40 + 3 * n, 60 - 2 * n) + n * window(41 + 3 * n, 63 - 2 * n)) // 4).astype(np.uint8)
        for n in range(5)
    ]
    restored = ((truths[2].astype(np.int64) + truths[3]) * 2 // 5).astype(np.uint8)
    restored = np.roll(restored, (-3, 5), axis=(0, 1))
    octave = [
        (11, -8, 22.0298006434, 0.933229952532),
        (7, -7, 23.6503338238, 0.946720457800),
        (4, -5, 24.8148226109, 0.953939189765),
        (2, -5, 24.6238130528, 0.954658330235),
        (-1, -3, 21.9768120356, 0.939269984047),
    ]
    protocol = get_protocol("kohler-official-v1")
    for truth, (down, right, psnr, mssim) in zip(truths, octave, strict=True):
        one = protocol.score(restored, [truth])
        assert one.facts == {"best_frame": 1, "shift_y": down, "shift_x": right}
        assert one.scores["psnr"] == pytest.approx(psnr, abs=1e-9)
        assert one.scores["mssim"] == pytest.approx(mssim, abs=1e-9)
    found = protocol.score(restored, truths)
    assert found.facts == {"best_frame": 3, "shift_y": 4, "shift_x": -5}
    assert found.scores["psnr"] == pytest.approx(octave[2][2], abs=1e-9)
    assert found.scores["mssim"] == pytest.approx(octave[3][3], abs=1e-9)


def test_a_missing_frame_is_passed_over() -> None:
    truths = trajectory(3, np.random.default_rng(2))
    protocol = get_protocol("kohler-official-v1")
    expected = protocol.score(truths[2], truths)
    with_black = [truths[0], np.zeros_like(truths[0]), truths[2]]
    assert protocol.score(truths[2], with_black) == expected
    assert expected.facts["best_frame"] == 3
    assert protocol.score(truths[2], []) == ({}, {})


@pytest.mark.parametrize("shape", [(32, 48), (31, 45)])
def test_shift_is_that_of_the_greatest_circular_correlation(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    truth, image = rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    pair = align_shift(image, truth)
    z, x = image.mean(axis=2), truth.mean(axis=2)
    sums = {
        (down, right): (x * np.roll(z, (down, right), axis=(0, 1))).sum()
        for down in range(shape[0])
        for right in range(shape[1])
    }
    down, right = max(sums, key=sums.__getitem__)
    assert (pair.facts["shift_y"] % shape[0], pair.facts["shift_x"] % shape[1]) == (down, right)
    assert align_shift(image, truth, spectrum(image)).facts == pair.facts


def test_scaling_takes_the_closest_factor_and_leaves_black_alone() -> None:
    truth = skimage.data.coffee()[:50, :50] / 255
    assert scale_intensity(truth * 0.7, truth) == pytest.approx(truth)
    factors = np.linspace(0.5, 1.5, 1001)
    image = np.roll(truth, 2, axis=0)
    best = factors[np.argmin([np.square(factor * image - truth).sum() for factor in factors])]
    assert scale_intensity(image, truth) == pytest.approx(image * best, abs=1e-3)
    assert not scale_intensity(np.zeros_like(truth), truth).any()


def test_video_protocol_crops_then_scales_and_shifts() -> None:
    photo = skimage.data.coffee()
    truth, image = photo[40:340, 50:450], photo[42:342, 47:447] // 2
    found = get_protocol("video-shift-v1").score(image, [truth])
    assert found.facts == {"shift_y": 2, "shift_x": -3}
    x, z = (side[16:-16, 16:-16].astype(np.float64) for side in (truth, image))
    factor = (x * z).sum() / (z * z).sum()
    there, here = (moved(np.ones_like(x), 2, -3) * x) @ LUMA, moved(factor * z, 2, -3) @ LUMA
    assert found.scores["psnr"] == pytest.approx(10 * np.log10(255**2 / np.mean((there - here) ** 2)), abs=1e-9)


def test_unaligned_scores_lose_what_a_shift_costs() -> None:
    """A perfect frame, darker and moved by some pixels: aligned it is nearly perfect, as it stands it is not."""
    truths = trajectory(5, np.random.default_rng(5))
    restored = (moved(truths[2], 4, -6) * 0.9).astype(np.uint8)
    aligned, unaligned = (get_protocol(f"kohler-{name}-v1") for name in ("official", "unaligned"))
    official, found = aligned.score(restored, truths), unaligned.score(restored, truths)
    assert official.facts == {"best_frame": 3, "shift_y": -4, "shift_x": 6}
    assert official.scores["psnr"] > found.scores["psnr"] + 5
    luma = [10 * np.log10(255**2 / np.mean(((truth.astype(float) - restored) @ LUMA) ** 2)) for truth in truths]
    assert found.scores["psnr"] == pytest.approx(max(luma), abs=1e-9)
    assert found.facts == {"best_frame": int(np.argmax(luma)) + 1}
    middle = get_protocol("kohler-mid-unaligned-v1").score(restored, truths[2:3])
    assert middle.scores["psnr"] == pytest.approx(luma[2], abs=1e-9)
    assert middle.facts == {}
