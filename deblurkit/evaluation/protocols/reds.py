"""REDS, as the winners of its challenges report it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS


@PROTOCOLS.register_module(name="reds-val300-v1")
class REDSVal300(Protocol):
    """REDS val300 of the NTIRE 2021 track 2: blur and JPEG compression. Both usual SSIMs, under names of their own."""

    id = "reds-val300-v1"
    version = 1
    description = "8-bit RGB PSNR and both usual SSIMs on every tenth validation frame, as HINet and NAFNet report"
    data = "REDS val300 (300 images of 1280 x 720), blur and JPEG compression"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {"REDS": {"variant": "blur_jpeg", "split": "val300"}}
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "rgb"},
        "ssim3d": {"type": "SSIM", "kind": "3d", "channels": "rgb"},
        "ssim2d": {"type": "SSIM", "kind": "2d", "channels": "rgb"},
    }
    grouping = r"(?P<video>\d+)/"
    source = "option files of HINet and NAFNet; their SSIM is ssim3d"
