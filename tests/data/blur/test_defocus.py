from __future__ import annotations

import numpy as np
import pytest

from deblurkit.data.blur.defocus import Defocus, disc


@pytest.mark.parametrize("radius", [0.0, 0.4, 1.0, 2.5, 6.0])
def test_a_point_becomes_a_disc_of_that_radius(radius: float) -> None:
    kernel = disc(radius, 7)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-8)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-8)
    if radius == 0:
        assert kernel[7, 7] == 1
    if radius > 1:
        # The mean square distance from the centre of a disc is half its radius squared, and a pixel's own a sixth.
        y, x = np.indices(kernel.shape) - 7
        assert (kernel * (x**2 + y**2)).sum() == pytest.approx(radius**2 / 2 + 1 / 6, rel=0.05)


def test_radii_are_drawn_between_their_limits() -> None:
    blur = Defocus([0.5, 3])
    kernels = [blur.draw((64, 64), np.random.default_rng(seed))["kernel"] for seed in range(50)]
    assert {kernel.shape for kernel in kernels} == {(2 * blur.margin + 1,) * 2}
    peaks = [float(kernel.max()) for kernel in kernels]
    assert max(peaks) > 0.4
    assert min(peaks) < 0.05


def test_refuses_a_radius_that_is_no_range() -> None:
    with pytest.raises(ValueError, match="radius: got 3"):
        Defocus(3)  # type: ignore[arg-type]
