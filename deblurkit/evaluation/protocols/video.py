"""Videos of hand-held cameras, scored as Koehler's photographs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS


@PROTOCOLS.register_module(name="video-shift-v1")
class VideoShift(Protocol):
    """Video sets as PVDNet scores them; a video is a folder of frames."""

    id = "video-shift-v1"
    version = 1
    description = "luma PSNR and SSIM after scaling and a whole-pixel shift, as PVDNet on DVD; not RGB scores of GoPro"
    data = "frames of videos, a folder each, such as DVD's quantitative subset; the first frame of each is left out"
    alignment = "shift"
    crop_border = 16
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "luma"},
        "ssim": {"type": "SSIM", "kind": "2d", "channels": "luma"},
    }
    averaging = "mean of the frames' scores, without each video's first frame"
    grouping = r"(?P<video>.+)/"
    source = "evaluation.m of codeslake/PVDNet, after Su et al.: Deep Video Deblurring for Hand-held Cameras, CVPR 2017"

    def select(self, keys: Sequence[str]) -> list[int]:
        """Returns all frames but the first, by name, of each folder."""
        first: dict[str, str] = {}
        for key in keys:
            video = self.groups(key).get("video", "")
            first[video] = min(key, first.get(video, key))
        return [index for index, key in enumerate(keys) if key not in first.values()]
