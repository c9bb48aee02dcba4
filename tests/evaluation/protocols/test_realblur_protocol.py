"""RealBlur's alignment, on real photographs that were warped and scaled."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.metrics import structural_similarity
from skimage.transform import ProjectiveTransform, warp

from deblurkit.evaluation.alignment import align_ecc
from deblurkit.evaluation.protocols.protocol import get_protocol

MARGIN = 16
SMALL = {
    "shift": [[1, 0, 0.4], [0, 1, -0.6], [0, 0, 1]],
    "turn": [[1.001, 0.0007, -0.5], [-0.0012, 0.9995, 0.8], [1e-6, -1e-6, 1]],
    "tilt": [[0.9985, -0.002, 0.9], [0.0015, 1.001, -0.6], [-2e-6, 2e-6, 1]],
}
LARGE = [[0.998, -0.003, -3.0], [0.002, 1.003, 2.0], [-4e-6, 3e-6, 1]]


def warped_pair(photo: str, matrix: list[list[float]], gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sharp photograph; the same with an error of grain 4 px; that, darkened or brightened and warped.

    The warp interpolates by quintic splines, and the photograph holds nothing finer than they carry: what is compared
    is the alignment, not how an interpolation changes an image.
    """
    sharp = getattr(skimage.data, photo)()[:300, 100:420].astype(np.float64)
    sharp = cv2.GaussianBlur(sharp, (0, 0), 1.0) * 0.8 + 10
    error = cv2.GaussianBlur(np.random.default_rng(5).standard_normal(sharp.shape), (0, 0), 4.0)
    restored = sharp + error * (7 / error.std())
    moved = warp(restored * gain, ProjectiveTransform(np.array(matrix)), order=5, mode="reflect")
    inside = slice(MARGIN, -MARGIN)
    first, second, third = (
        np.clip(np.rint(image[inside, inside]), 0, 255).astype(np.uint8) for image in (sharp, restored, moved)
    )
    return first, second, third


def plain_psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((image.astype(np.float64) - truth) ** 2)))


@pytest.mark.parametrize(
    ("photo", "gain", "matrix"),
    [
        ("astronaut", 0.85, "shift"),
        ("astronaut", 1.1, "tilt"),
        ("coffee", 1.1, "shift"),
        ("coffee", 0.85, "turn"),
        ("chelsea", 0.9, "turn"),
        ("chelsea", 1.05, "tilt"),
    ],
)
def test_a_warped_and_scaled_pair_scores_as_before(photo: str, gain: float, matrix: str) -> None:
    sharp, restored, moved = warped_pair(photo, SMALL[matrix], gain)
    found = get_protocol("realblur-ecc-v1").score(moved, [sharp])
    assert found.facts == {"ecc": "converged"}
    assert found.scores["psnr"] == pytest.approx(plain_psnr(restored, sharp), abs=0.05)
    raw = get_protocol("realblur-raw-v1").score(moved, [sharp]).scores
    assert raw["psnr"] == pytest.approx(plain_psnr(moved, sharp), abs=1e-9)
    assert raw["psnr"] < found.scores["psnr"] - 1


def test_a_larger_warp_is_found_too() -> None:
    """The score loses more here, and rightly: the factor of intensity is taken before the warp, as published."""
    sharp, restored, moved = warped_pair("coffee", LARGE, 0.9)
    pair = align_ecc(moved, sharp)
    original = warped_pair("coffee", [[1, 0, 0], [0, 1, 0], [0, 0, 1]], 0.9)[2] / 255 / 0.9
    assert pair.mask is not None
    counted = pair.mask[..., None] > 0
    factor = np.sum(original * pair.image * counted) / np.sum(pair.image**2 * counted)
    remaining = np.abs(factor * pair.image - original)[counted.repeat(3, axis=2)].mean() * 255
    assert remaining < 1.0
    assert np.abs(moved / 0.9 - restored).mean() > 5
    assert get_protocol("realblur-ecc-v1").score(moved, [sharp]).scores["psnr"] == pytest.approx(
        plain_psnr(restored, sharp), abs=0.2
    )


def test_scores_are_those_of_the_published_script() -> None:
    """PSNR and SSIM of the overlap, written out with scikit-image as the script has them."""
    sharp, _, moved = warped_pair("coffee", LARGE, 0.9)
    pair = align_ecc(moved, sharp)
    assert pair.mask is not None
    mask = np.repeat(pair.mask[..., None], 3, axis=2)
    assert 0 < (mask == 0).mean() < 0.1
    error = np.sum((pair.truth - pair.image) ** 2, dtype=np.float64) / mask.sum()
    _, similarity = structural_similarity(
        pair.truth,
        pair.image,
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    inside = slice(5, -5)
    similarity, counted = (similarity * mask)[inside, inside], mask[inside, inside]
    scores = get_protocol("realblur-ecc-v1").score(moved, [sharp]).scores
    assert scores["psnr"] == pytest.approx(10 * np.log10(1 / error), abs=1e-6)
    assert scores["ssim"] == pytest.approx(np.mean(similarity.sum((0, 1)) / counted.sum((0, 1))), abs=1e-5)


def test_what_does_not_converge_is_counted_and_scored_without_a_warp() -> None:
    protocol = get_protocol("realblur-ecc-v1")
    sharp, restored, _ = warped_pair("chelsea", SMALL["shift"], 1.0)
    flat = np.full_like(sharp, 90)
    negative = 255 - sharp
    found = [protocol.score(image, [sharp]) for image in (restored, flat, negative)]
    assert [one.facts["ecc"] for one in found] == ["converged", "failed", "failed"]
    x, z = sharp.astype(np.float64), negative.astype(np.float64)
    factor = (x * z).sum() / (z * z).sum()
    assert found[2].scores["psnr"] == pytest.approx(plain_psnr(factor * z, sharp), abs=1e-4)
    assert protocol.facts_summary([one.facts for one in found]) == [
        "2 of 3 ECC alignments did not converge: scored without a warp"
    ]
    assert protocol.facts_summary([found[0].facts]) == []
    assert get_protocol("realblur-raw-v1").facts_summary([{}, {}]) == []


def test_black_images_are_scored() -> None:
    sharp = skimage.data.coffee()[:64, :64]
    found = get_protocol("realblur-ecc-v1").score(np.zeros_like(sharp), [sharp])
    assert found.facts == {"ecc": "failed"}
    assert found.scores["psnr"] == pytest.approx(plain_psnr(np.zeros_like(sharp), sharp), abs=1e-4)
