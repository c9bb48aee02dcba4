"""RealBlur: really blurred photographs of low-light scenes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from deblurkit.data.benchmarks.layout import (
    Benchmark,
    Layout,
    Source,
    check_choice,
    looking_into,
    repackaged,
    the_layout,
)
from deblurkit.data.dataset import shorten
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

_FOLDERS = {"J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref", "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"}
_EXPECTED = {"train": 3758, "test": 980}


@DATASETS.register_module()
class RealBlur(Benchmark):
    """RealBlur-J or RealBlur-R: 3,758 training and 980 test pairs, taken through a beam splitter by two cameras.

    ``J`` are the camera's JPEG images, ``R`` developed from raw. The pairs of a split stand in a list file beside the
    images, a line each: the sharp image's path, then the blurred one's. Keys are ``SCENE/NUMBER``. ``root`` may also
    hold the test set as MPRNet and Restormer hand it out, ``test/RealBlur_J/{input,target}``; keys are names there.

    Sharp and blurred images are aligned, but not to the pixel, and differ in brightness: the scores of papers are
    computed after an alignment that plain PSNR does not make.

    Args:
        root: The folder that holds the list files and image folders, or that holds ``RealBlur``.

    Source:
        Rim et al.: Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms, ECCV 2020; folder
        names from rimchang/RealBlur, counts and the lists' form as several public loaders state them.
    """

    def __init__(
        self,
        split: Literal["train", "test"],
        kind: Literal["J", "R"],
        root: str = "datasets/RealBlur",
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        check_choice("split", split, tuple(_EXPECTED))
        check_choice("kind", kind, tuple(_FOLDERS))
        top = Path(root).expanduser()
        example = f"{{RealBlur_{kind}_{split}_list.txt,{_FOLDERS[kind]}/scene001/{{blur/blur_1.png,gt/gt_1.png}}}}"
        source = Source("RealBlur", "RealBlur.tar.gz", "https://github.com/rimchang/RealBlur", example)
        with looking_into(top):
            official = [_listed(folder, split, kind) for folder in (top, top / "RealBlur")]
        found = the_layout(source, top, [*official, *repackaged(top, split, f"RealBlur_{kind}")])
        facts = {"set": "RealBlur", "kind": kind, "split": split}
        super().__init__(found.pairs(), facts, _EXPECTED[split], resize, crop, augment)


def _listed(top: Path, split: str, kind: str) -> Layout:
    """Finds the existing images of a list file; a UserError where lines of it are not two paths of one scene."""
    folder, names = top / _FOLDERS[kind], top / f"RealBlur_{kind}_{split}_list.txt"
    if not names.is_file():
        if folder.is_dir():  # all images would be taken for both splits
            lacking = f"but not {names}, which says which of its images are for {split}"
            raise UserError(f"RealBlur: {folder} is there, {lacking}")
        return Layout(f"{folder} ({names.name})", str(folder), {}, {})
    blurred, sharp = {}, {}
    wrong = []
    for number, line in enumerate(names.read_text(encoding="utf-8").splitlines(), start=1):
        paths = [PurePosixPath(word) for word in line.split()]
        if not paths:
            continue
        # scene230/7 of .../scene230/blur/blur_7.png and of .../scene230/gt/gt_7.png
        keys = {f"{path.parent.parent.name}/{path.stem.rpartition('_')[2]}" for path in paths}
        if len(paths) != 2 or len(keys) != 1:
            wrong.append(f"{names}:{number}: got {line!r}, expected the paths of a sharp and of its blurred image")
            continue
        key = keys.pop()
        if (top / paths[0]).is_file():
            sharp[key] = top / paths[0]
        if (top / paths[1]).is_file():
            blurred[key] = top / paths[1]
    if wrong:
        raise UserError(*shorten(wrong))
    return Layout(f"{folder}/*/blur ({names.name})", f"{folder}/*/gt ({names.name})", blurred, sharp)
