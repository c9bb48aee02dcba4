from __future__ import annotations

import numpy as np
import pytest

from deblurkit.data.blur import exposure, filter_flow
from deblurkit.data.blur.shake_blur import Shake
from deblurkit.data.shake import srgb_to_linear

MARGIN = 40
INSIDE = slice(MARGIN, -MARGIN)


def shaken(photograph: np.ndarray, roll: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a photograph's light and a path over it."""
    linear = srgb_to_linear(np.ascontiguousarray(photograph[:240, :260]))
    blur = Shake(extent=[16, 24], roll=[roll, roll], tilt=[0, 0], margin=MARGIN, steps=48)
    return linear, blur.draw(linear.shape[:2], np.random.default_rng(seed))["homographies"]


@pytest.mark.parametrize("cells", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shift_is_blurred_as_by_warps(photograph: np.ndarray, cells: int, seed: int) -> None:
    linear, path = shaken(photograph, 0.0, seed)
    exact = exposure.expose(linear, path)
    assert np.abs(exact - linear)[INSIDE, INSIDE].max() > 0.1
    np.testing.assert_allclose(
        filter_flow.expose(linear, path, cells)[INSIDE, INSIDE], exact[INSIDE, INSIDE], atol=1e-4
    )


def test_more_cells_follow_a_roll_more_closely(photograph: np.ndarray) -> None:
    errors, blurs = [], []
    for seed in range(4):  # how far one path bends is chance
        linear, path = shaken(photograph, 2.0, seed)
        exact = exposure.expose(linear, path)[INSIDE, INSIDE]
        blurs.append(np.abs(linear[INSIDE, INSIDE] - exact).mean())
        by_cells = [filter_flow.expose(linear, path, cells)[INSIDE, INSIDE] for cells in (1, 2, 4)]
        errors.append([np.abs(approximate - exact).mean() for approximate in by_cells])
    one, two, four = np.mean(errors, axis=0)
    assert two < 0.65 * one
    assert four < 0.8 * two
    assert four < np.mean(blurs) / 70


def test_light_is_kept() -> None:
    flat = np.full((90, 70, 3), 0.4, dtype=np.float32)
    path = Shake(extent=[9, 9], margin=20).draw((90, 70), np.random.default_rng(0))["homographies"]
    np.testing.assert_allclose(filter_flow.expose(flat, path, 3), flat, atol=1e-5)


def test_the_trace_of_a_point_at_rest_is_that_point() -> None:
    kernel = filter_flow.trace(np.eye(3)[None], (7.0, 9.0))
    assert kernel.sum() == kernel.max() == 1
    assert kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] == 1
