"""GoPro and HIDE, as the code bases that most tables come from score them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS

PSNR: Component = {"type": "PSNR", "channels": "rgb"}


class GoPro(Protocol):
    """Base of the protocols of GoPro and HIDE."""

    data = "GoPro test, linear variant (1,111 images of 1280 x 720), or HIDE test (2,025)"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "GoPro": {"variant": "linear", "split": "test"},
        "HIDE": {"split": "test"},
    }
    # `/` in the authors' folders, `-` in the flat copy that MPRNet and Restormer hand out
    grouping = r"(?P<video>GOPR\d+_\d+_\d+)[/-]"


@PROTOCOLS.register_module(name="gopro-matlab-v1")
class GoProMatlab(GoPro):
    """GoPro and HIDE as MPRNet, SRN, Restormer and Stripformer score them, with MATLAB."""

    id = "gopro-matlab-v1"
    version = 1
    description = "8-bit RGB PSNR and MATLAB's SSIM of whole images: the rows of most papers' tables since 2021"
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": PSNR,
        "ssim": {"type": "SSIM", "kind": "3d", "channels": "rgb"},
    }
    source = "evaluation scripts of MPRNet, SRN, Restormer, Stripformer, DiffIR and LoFormer (MATLAB's psnr and ssim)"


@PROTOCOLS.register_module(name="gopro-basicsr-v1")
class GoProBasicSR(GoPro):
    """GoPro and HIDE as BasicSR, mmagic and most of their forks score them."""

    id = "gopro-basicsr-v1"
    version = 1
    description = "8-bit RGB PSNR and 2-D SSIM of whole images, as BasicSR, mmagic and most forks"
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": PSNR,
        "ssim": {"type": "SSIM", "kind": "2d", "channels": "rgb"},
    }
    source = "calculate_psnr and calculate_ssim of BasicSR, crop_border 0, RGB"


@PROTOCOLS.register_module(name="gopro-nafnet-v1")
class GoProNAFNet(GoPro):
    """GoPro as NAFNet scores it: pooled statistics taken locally, as in its training patches."""

    id = "gopro-nafnet-v1"
    version = 1
    description = "gopro-matlab-v1 with local instead of global average pools (TLC), as NAFNet"
    metrics: ClassVar[Mapping[str, Component]] = GoProMatlab.metrics
    inference = "tlc:256"
    source = (
        "NAFNet's option files and _ssim_3d; Chu et al.: Improving Image Restoration by Revisiting Global Information "
        "Aggregation, ECCV 2022"
    )


@PROTOCOLS.register_module(name="gopro-float-v1")
class GoProFloat(GoPro):
    """GoPro as MIMO-UNet scores it: what the network returned, not what would be written to a file."""

    id = "gopro-float-v1"
    version = 1
    description = "RGB PSNR of clipped, unrounded outputs, as MIMO-UNet and HINet's use_image: false"
    quantisation = "float"
    metrics: ClassVar[Mapping[str, Component]] = {"psnr": PSNR}
    source = "MIMO-UNet's eval.py (scikit-image's PSNR, data_range 1); issue 20 there asks why"


@PROTOCOLS.register_module(name="gopro-deepdeblur-v1")
class GoProDeepDeblur(GoPro):
    """GoPro's other variant, as its authors score it."""

    id = "gopro-deepdeblur-v1"
    version = 1
    description = "8-bit RGB PSNR and Gaussian SSIM on the gamma variant, as DeepDeblur-PyTorch"
    data = "GoPro test, gamma variant (1,111 images of 1280 x 720)"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {"GoPro": {"variant": "gamma", "split": "test"}}
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": PSNR,
        "ssim": {"type": "SSIM", "kind": "gauss", "channels": "rgb"},
    }
    source = "DeepDeblur-PyTorch, whose torch SSIM equals scikit-image's gaussian_weights; it rounds halves to even"
