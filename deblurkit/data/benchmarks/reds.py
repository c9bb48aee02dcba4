"""REDS: realistic and dynamic scenes, of the NTIRE challenges."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from deblurkit.data.benchmarks.layout import Benchmark, Layout, Source, check_choice, in_sequences, the_layout
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

Variant = Literal["blur", "blur_comp", "blur_jpeg"]

_EXPECTED = {"train": 24000, "val": 3000, "val300": 300}


@DATASETS.register_module()
class REDS(Benchmark):
    """REDS: 240 training and 30 validation sequences of 100 pairs, 1280 x 720 pixels.

    Variants: ``blur``, ``blur_comp`` (blur and MPEG compression), ``blur_jpeg`` (blur and JPEG compression, the NTIRE
    2021 deblurring track 2). ``val300`` is every tenth frame of the validation set, those whose numbers end in 9, of
    which HINet and NAFNet report (on ``blur_jpeg``). Sharp test images are not public: for the blurred ones use
    ``BlurredImages``. Keys are ``SEQUENCE/FRAME``.

    Args:
        root: The folder into which the archives were unpacked: ``train/train_sharp/000`` or ``train_sharp/000``.

    Source:
        Nah et al.: NTIRE 2019 Challenge on Video Deblurring and Super-Resolution: Dataset and Study, CVPRW 2019; names
        from the authors' page; the choice of ``val300`` from the data preparation script of megvii-model/HINet.
    """

    def __init__(
        self,
        split: Literal["train", "val", "val300"],
        variant: Variant,
        root: str = "datasets/REDS",
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        check_choice("split", split, tuple(_EXPECTED))
        check_choice("variant", variant, get_args(Variant))
        top = Path(root).expanduser()
        part = split.removesuffix("300")
        source = Source(
            "REDS",
            f"{part}_{variant}.zip and {part}_sharp.zip",
            "https://seungjunnah.github.io/Datasets/reds",
            f"{part}/{{{part}_{variant},{part}_sharp}}/000/00000000.png",
        )
        layouts = []
        for folder in (top / part, top):
            blurred, sharp = folder / f"{part}_{variant}", folder / f"{part}_sharp"
            layouts.append(Layout(f"{blurred}/*", f"{sharp}/*", in_sequences(blurred), in_sequences(sharp)))
        files = the_layout(source, top, layouts).pairs()
        if split == "val300":
            files = [pair for pair in files if pair.key.endswith("9")]
            if not files:
                raise UserError(f"{top}: no validation frame's number ends in 9, as those of val300 do")
        facts = {"set": "REDS", "variant": variant, "split": split}
        super().__init__(files, facts, _EXPECTED[split], resize, crop, augment)
