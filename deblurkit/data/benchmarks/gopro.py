"""GoPro: dynamic scenes at 240 frames a second, averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from deblurkit.data.benchmarks.layout import (
    Benchmark,
    Layout,
    Source,
    check_choice,
    in_sequences,
    repackaged,
    the_layout,
)
from deblurkit.data.checking.response import AVERAGED
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

Variant = Literal["linear", "gamma"]

SOURCE = Source(
    "GoPro",
    "GOPRO_Large.zip",
    "https://seungjunnah.github.io/Datasets/gopro",
    "train/GOPR0372_07_00/{blur,blur_gamma,sharp}/000047.png",
)
_FOLDERS = {"linear": "blur", "gamma": "blur_gamma"}
_EXPECTED = {"train": 2103, "test": 1111}


@DATASETS.register_module()
class GoPro(Benchmark):
    """GoPro (GOPRO_Large): 2,103 training and 1,111 test pairs of 1280 x 720 pixels, in two variants.

    Both variants are the mean of 7 to 13 sharp frames and share the sharp images: ``linear`` (folder ``blur``)
    averages the values as stored, ``gamma`` (``blur_gamma``) averages light, ``(value / 255) ** 2.2``. Most published
    scores are of ``linear``; the authors' own are of ``gamma``. There is no default: a report that does not say which
    one compares with nothing. :meth:`verify` measures it too.

    ``root`` may also hold the set as MPRNet and Restormer hand it out: ``train/input`` and ``train/target`` with names
    ``GOPR0372_07_00-000047.png``. That copy is of ``linear``; ``gamma`` is refused for it.

    Args:
        root: The folder that holds ``train`` and ``test``, or that holds ``GOPRO_Large``.

    Source:
        Nah, Kim, Lee: Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring, CVPR 2017; counts
        and layout from the README of SeungjunNah/DeepDeblur_release; the repackaged names and variant from the threads
        24 and 75 of swz30/MPRNet.
    """

    def __init__(
        self,
        split: Literal["train", "test"],
        variant: Variant,
        root: str = "datasets/GoPro",
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        check_choice("split", split, tuple(_EXPECTED))
        check_choice("variant", variant, get_args(Variant))
        self.variant: str = variant
        folder, top = _FOLDERS[variant], Path(root).expanduser()
        official = []
        for place in (top / split, top / "GOPRO_Large" / split):
            blurred, sharp = in_sequences(place, folder), in_sequences(place, "sharp")
            official.append(Layout(f"{place}/*/{folder}", f"{place}/*/sharp", blurred, sharp))
        copies = []
        for layout in repackaged(top, split, "GoPro"):  # from SEQUENCE-000047 to the official SEQUENCE/000047
            blurred = {key.replace("-", "/", 1): path for key, path in layout.blurred.items()}
            sharp = {key.replace("-", "/", 1): path for key, path in layout.sharp.items()}
            copies.append(Layout(layout.blurred_at, layout.sharp_at, blurred, sharp))
        found = the_layout(SOURCE, top, [*official, *copies])
        if found in copies and variant == "gamma":
            copy = f"{found.blurred_at} is a repackaged copy, which holds the linear variant alone"
            advice = f"GoPro: get {SOURCE.archives} at {SOURCE.page} for both"
            raise UserError(f"variant: got 'gamma', but {copy}", advice)
        facts = {"set": "GoPro", "variant": variant, "split": split}
        super().__init__(found.pairs(), facts, _EXPECTED[split], resize, crop, augment)

    def verify(self) -> None:
        """Looks at the pairs as every data set does, and notes blur that contradicts ``variant``."""
        super().verify()
        if self.measured in AVERAGED and self.measured != self.variant:
            self.notes.append(f"says variant: {self.variant}, but its blur was averaged in {AVERAGED[self.measured]}")
