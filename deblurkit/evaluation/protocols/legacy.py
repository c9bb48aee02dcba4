"""DeblurGAN's and DeblurGAN-v2's own test scripts, to find out where an old number comes from; never to report one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deblurkit.data.images import to_tensor, to_uint8
from deblurkit.evaluation.alignment import Aligned
from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS

_IMAGES = ("blurred", "sharp")


class Legacy(Protocol):
    """Base of both scripts: the generator in training mode, values cut off to 8 bits, a cap on PSNR.

    Attributes:
        cap_db: The PSNR of identical images.
    """

    data = "GoPro test, linear variant, 1280 x 720"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {"GoPro": {"variant": "linear", "split": "test"}}
    quantisation = "trunc_u8"
    training_mode = True
    cap_db: ClassVar[float] = 100.0

    def measure(self, pair: Aligned) -> dict[str, float]:
        """Returns every metric's value; the PSNR of identical images is 100 dB in these scripts."""
        scores = super().measure(pair)
        if math.isinf(scores["psnr"]):  # any other value stays as it is, even one above the cap
            scores["psnr"] = self.cap_db
        return scores


@PROTOCOLS.register_module(name="deblurgan-v1-legacy")
class DeblurGANv1(Legacy):
    """DeblurGAN's test script on small random crops of reduced images.

    Its true images pass the same truncation from [-1, 1], which in float32 takes one off the levels 1 to 63; here 8-bit
    images stay as they are.

    Attributes:
        resize: Height and width that images are reduced to, in pixels.
        crop: Side of the random crop in pixels.
    """

    id = "deblurgan-v1-legacy"
    version = 1
    description = "diagnosis only: random 256 crops of half-size images, dropout on, as DeblurGAN's test.py"
    preparation = "pairs reduced to 640 x 360 (bicubic), the same random 256 x 256 window cut from both"
    resize: ClassVar[tuple[int, int]] = (360, 640)
    crop: ClassVar[int] = 256
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "rgb"},
        "ssim": {"type": "SSIM", "kind": "zero", "channels": "rgb"},
    }
    averaging = "mean of the images' scores; identical images count as 100 dB"
    source = (
        "test.py, aligned_dataset.py and util/metrics.py of KupynOrest/DeblurGAN, whose SSIM was written for Python 2; "
        "later versions of the script print no score at all"
    )

    def prepare(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Reduces the pair to 640 x 360 (bicubic, on 8 bits) and cuts the same 256 x 256 window, drawn from ``rng``."""
        height, width = self.resize
        # The script excludes the last place of the window, on both axes.
        top, left = int(rng.integers(height - self.crop)), int(rng.integers(width - self.crop))
        window = np.s_[top : top + self.crop, left : left + self.crop]
        changed = dict(sample)
        for name in _IMAGES:
            if sample.get(name) is not None:
                # PIL and 8 bits as in the script: another library's bicubic would reduce to other values
                reduced = Image.fromarray(to_uint8(sample[name])).resize((width, height), Image.Resampling.BICUBIC)
                changed[name] = to_tensor(np.asarray(reduced)[window])
        return changed


@PROTOCOLS.register_module(name="deblurganv2-legacy")
class DeblurGANv2(Legacy):
    """DeblurGAN-v2's ``test_metrics.py``: padded images through normalisation layers in training mode.

    Attributes:
        pad: Least height and width that images are padded to, in pixels.
    """

    id = "deblurganv2-legacy"
    version = 1
    description = "diagnosis only: images padded to 736 rows, training-mode norms, as DeblurGAN-v2's test_metrics.py"
    preparation = "blurred image mirrored about its edges on all sides up to 736 x 1280; the result's middle is scored"
    pad: ClassVar[tuple[int, int]] = (736, 1280)
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "rgb"},
        "cw_ssim": {"type": "CWSSIM"},
    }
    averaging = "mean of the images' scores; identical images count as 100 dB"
    source = "test_metrics.py of VITA-Group/DeblurGANv2 with albumentations' PadIfNeeded; its SSIM is pyssim's CW-SSIM"

    def prepare(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Mirrors ``blurred`` about its edge pixels on all sides, half the missing rows and columns on each."""
        blurred = sample["blurred"].permute(1, 2, 0).numpy()
        height, width = blurred.shape[:2]
        rows, columns = max(0, self.pad[0] - height), max(0, self.pad[1] - width)
        # albumentations puts an odd row or column on the far side
        padded = cv2.copyMakeBorder(
            blurred, rows // 2, rows - rows // 2, columns // 2, columns - columns // 2, cv2.BORDER_REFLECT_101
        )
        whole = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)))
        return {**sample, "blurred": whole, "size": (height, width)}

    def after(self, image: Tensor, sample: Mapping[str, Any]) -> Tensor:
        """Cuts the middle of the original size."""
        height, width = sample["size"]
        top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
        return image[..., top : top + height, left : left + width]
