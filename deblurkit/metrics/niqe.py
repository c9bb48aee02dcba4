"""The metric ``NIQE``, which needs no sharp image."""

from __future__ import annotations

from deblurkit.metrics.functional.images import Array, comparable
from deblurkit.metrics.functional.niqe import BLOCK, niqe, rounded_luma
from deblurkit.registry import METRICS


@METRICS.register_module()
class NIQE:
    """Natural image quality evaluator: how far an image's statistics are from those of unspoilt photographs.

    Computed with the authors' model, on the luma of MATLAB's ``rgb2ycbcr``, rounded, in blocks of 96x96 pixels without
    overlap at two scales. What remains right and below of the last whole block is left out. Lower is better. These are
    the values of BasicSR's ``calculate_niqe``; MATLAB's built-in ``niqe`` gives other ones.

    Reference:
        Mittal, Soundararajan, Bovik: Making a "completely blind" image quality analyzer, IEEE Signal Processing
        Letters 2013.
    """

    higher_is_better = False
    unit = ""
    needs_sharp = False

    def __call__(self, restored: Array, sharp: Array | None) -> float:
        """Scores ``restored``, ``(h, w, 3)`` RGB; ``sharp`` is not looked at.

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
        if (height // BLOCK) * (width // BLOCK) < 2:
            raise ValueError(
                f"NIQE compares blocks of {BLOCK} x {BLOCK} pixels and needs two of them, "
                f"the image has {height} x {width} pixels"
            )
        return niqe(rounded_luma(image, white))
