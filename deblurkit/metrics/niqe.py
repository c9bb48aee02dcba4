"""The metric ``NIQE``, which needs no sharp image."""

from __future__ import annotations

import numpy as np

from deblurkit.compat import import_basicsr
from deblurkit.metrics.functional.images import Array, comparable
from deblurkit.registry import METRICS

_BLOCK = 96
_REACH = 3  # of the 7x7 window, in pixels


@METRICS.register_module()
class NIQE:
    """Natural image quality evaluator: how far an image's statistics are from those of unspoilt photographs.

    Computed by ``basicsr.metrics.calculate_niqe`` with the parameters it ships, those of the method's authors: on
    the luma of MATLAB's ``rgb2ycbcr``, rounded, in blocks of 96x96 pixels without overlap at two scales. What remains
    right and below of the last whole block is left out. Lower is better. MATLAB's built-in ``niqe`` gives other
    values.

    Reference:
        Mittal, Soundararajan, Bovik: Making a "completely blind" image quality analyzer, IEEE Signal Processing
        Letters 2013.
    """

    higher_is_better = False
    unit = ""
    needs_sharp = False

    def __init__(self) -> None:
        import_basicsr()
        from basicsr.metrics.metric_util import to_y_channel
        from basicsr.metrics.niqe import calculate_niqe

        self._to_luma, self._compute = to_y_channel, calculate_niqe

    def __call__(self, restored: Array, sharp: Array | None) -> float:
        """Score ``restored``, ``(h, w, 3)`` RGB; ``sharp`` is not looked at.

        Returns:
            The distance, 0 or more; NaN where fewer than two blocks have any texture, as in an image of one colour.

        Raises:
            ValueError: The image holds fewer than two blocks, is not RGB, or is of another dtype than uint8, uint16 and
                float.
        """
        image, _, white = comparable(restored, restored)  # its check of the dtype
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"NIQE needs an image of shape (h, w, 3), this one has {image.shape}")
        height, width = image.shape[:2]
        if (height // _BLOCK) * (width // _BLOCK) < 2:
            raise ValueError(
                f"NIQE compares blocks of {_BLOCK} x {_BLOCK} pixels and needs two of them, "
                f"the image has {height} x {width} pixels"
            )
        bgr = image[..., ::-1].astype(np.float32) * np.float32(255 / white)
        luma = np.rint(self._to_luma(bgr)[..., 0])
        if _blocks_with_texture(luma) < 2:  # there would be a warning, and no covariance
            return float("nan")
        try:
            with np.errstate(all="ignore"):  # a block of one colour: 0 / 0, which the method leaves out
                return float(self._compute(luma, crop_border=0, input_order="HW"))
        except np.linalg.LinAlgError:
            return float("nan")


def _blocks_with_texture(luma: Array) -> int:
    """Count the blocks that are not of one value within the reach of a window."""
    rows, columns = ((side // _BLOCK) * _BLOCK for side in luma.shape)
    whole = luma[:rows, :columns]
    reached = (
        whole[max(0, top - _REACH) : top + _BLOCK + _REACH, max(0, left - _REACH) : left + _BLOCK + _REACH]
        for top in range(0, rows, _BLOCK)
        for left in range(0, columns, _BLOCK)
    )
    return sum(int(part.min() != part.max()) for part in reached)
