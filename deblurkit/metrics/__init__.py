"""Image-quality metrics: pure functions in :mod:`functional`, one thin registered class a file beside it."""

from deblurkit.metrics.psnr import PSNR
from deblurkit.metrics.ssim import SSIM

__all__ = ["PSNR", "SSIM"]
