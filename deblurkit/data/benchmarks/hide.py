"""HIDE: people in motion."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deblurkit.data.benchmarks.layout import Benchmark, Layout, Source, check_choice, images_in, repackaged, the_layout
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

SOURCE = Source(
    "HIDE",
    "HIDE_dataset.zip",
    "https://github.com/joanshen0508/HA_deblur",
    "test/{test-close-ups,test-long-shot}/NAME.png with its sharp image in GT/NAME.png",
)
_SUBSETS = {"close-ups": "test-close-ups", "long-shot": "test-long-shot"}
_EXPECTED = {"train": 6397, "test": 2025}


@DATASETS.register_module()
class HIDE(Benchmark):
    """HIDE: 6,397 training and 2,025 test pairs of street scenes with people, 1280 x 720 pixels.

    Sharp images lie in one folder, ``GT``, for both splits. Keys are ``NAME`` for training images,
    ``test-close-ups/NAME`` and ``test-long-shot/NAME`` for test images. ``root`` may also hold the test set as MPRNet
    and Restormer hand it out, ``test/input`` and ``test/target``; the two subsets cannot be told apart there.

    Not confirmed: how many of the 2,025 test images are close-ups, and whether the blur was averaged in light.

    Args:
        subset: ``close-ups`` or ``long-shot`` (test images only); both, by default.
        root: The folder that holds ``train``, ``test`` and ``GT``, or that holds ``HIDE_dataset``.

    Source:
        Shen et al.: Human-Aware Motion Deblurring, ICCV 2019; counts from the README of joanshen0508/HA_deblur, layout
        as several public loaders read it.
    """

    def __init__(
        self,
        split: Literal["train", "test"],
        subset: Literal["close-ups", "long-shot"] | None = None,
        root: str = "datasets/HIDE",
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        check_choice("split", split, tuple(_EXPECTED))
        facts = {"set": "HIDE", "split": split}
        if subset is not None:
            check_choice("subset", subset, tuple(_SUBSETS))
            if split == "train":
                raise ValueError(f"subset: got {subset!r}, but the training images have none: leave it out")
            facts["subset"] = subset
        top = Path(root).expanduser()
        official = [_official(folder, split, subset) for folder in (top, top / "HIDE_dataset")]
        copies = repackaged(top, split, "HIDE")
        found = the_layout(SOURCE, top, [*official, *copies])
        if found in copies and subset is not None:
            copy = f"{found.blurred_at} is a repackaged copy, which mixes both subsets"
            raise UserError(f"subset: got {subset!r}, but {copy}")
        files = found.pairs()
        # How many images a subset should have is not known.
        expected = _EXPECTED[split] if subset is None else len(files)
        super().__init__(files, facts, expected, resize, crop, augment)


def _official(top: Path, split: str, subset: str | None) -> Layout:
    folders = {"": top / "train"}  # by what its images' keys begin with
    if split == "test":
        names = [_SUBSETS[subset]] if subset is not None else list(_SUBSETS.values())
        folders = {f"{name}/": top / "test" / name for name in names}
    truths = images_in(top / "GT")
    blurred: dict[str, Path] = {}
    for prefix, folder in folders.items():
        for name, path in images_in(folder).items():
            blurred[prefix + name] = path
    # GT serves both splits: of its images only those of this split count.
    sharp = {key: truths[path.stem] for key, path in blurred.items() if path.stem in truths}
    return Layout(" and ".join(map(str, folders.values())), str(top / "GT"), blurred, sharp)
