"""RealBlur: photographs of two cameras, which differ in brightness and do not coincide to the pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS


class RealBlur(Protocol):
    """Base of the protocols of RealBlur."""

    data = "RealBlur-J or RealBlur-R test (980 images each)"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {"RealBlur": {"split": "test"}}
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "rgb"},
        "ssim": {"type": "SSIM", "kind": "gauss", "channels": "rgb"},
    }
    grouping = r"(?P<scene>scene\d+\w*)/"


@PROTOCOLS.register_module(name="realblur-ecc-v1")
class RealBlurECC(RealBlur):
    """RealBlur as its authors and most papers score it, after an alignment.

    The blurred input is aligned as the restored image is; the authors' script compares it unaligned.
    """

    id = "realblur-ecc-v1"
    version = 1
    description = "RGB PSNR and Gaussian SSIM where the aligned images overlap, as RealBlur, MPRNet and Restormer"
    alignment = "ecc"
    source = (
        "evaluation_RealBlur_ecc.py of rimchang/RealBlur, which demands OpenCV 4.2.0 and scikit-image 0.17.2: other "
        "versions of OpenCV may find another warp"
    )


@PROTOCOLS.register_module(name="realblur-raw-v1")
class RealBlurRaw(RealBlur):
    """RealBlur without the alignment, to stand beside the aligned scores."""

    id = "realblur-raw-v1"
    version = 1
    description = "RGB PSNR and Gaussian SSIM without any alignment: what realblur-ecc-v1's alignment is worth"
    source = "ours: realblur-ecc-v1 less its alignment"
