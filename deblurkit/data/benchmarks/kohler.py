"""Koehler's benchmark: camera shake recorded from hands and played back by a robot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deblurkit.data.benchmarks.layout import Benchmark, Source, images_in
from deblurkit.data.dataset import PairFiles, shorten
from deblurkit.data.images import read_image
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

SOURCE = Source(
    "Kohler",
    "BlurryImages.zip and GroundTruth_pngs_Image1.zip to GroundTruth_pngs_Image4.zip",
    "https://webdav.tuebingen.mpg.de/pixel/benchmark4camerashake/src_files/Instructions_authors.html",
    "{Blurry1_1.png,Image1/Kernel1/GroundTruth1_1_1.png}",
)
_EXPECTED = 48
_FRAMES = range(198, 201)  # sharp frames of one exposure
_BLURRED = re.compile(r"Blurry(\d+)_(\d+)")
_SHARP = re.compile(r"GroundTruth\d+_\d+_(\d+)")


@DATASETS.register_module()
class Kohler(Benchmark):
    """Koehler et al.: 4 posters under 12 recorded camera shakes, 48 photographs of 800 x 800 pixels.

    To each photograph belong 198 to 200 sharp frames along the camera's path; none is *the* truth. ``sharp`` is the
    middle one here, so scores are not those of papers, which take the best score over all frames after an alignment:
    :meth:`truths` gives them all. Keys are ``Blurry1_1`` (poster, shake) to ``Blurry4_12``.

    Args:
        root: The folder into which all five archives were unpacked, each directly or into a folder of its name.

    Source:
        Koehler et al.: Recording and Playback of Camera Shake, ECCV 2012; archives, layout and numbers of frames as
        deepinv's loader of the set has them.
    """

    def __init__(self, root: str = "datasets/Kohler") -> None:
        top = Path(root).expanduser()
        self.frames: dict[tuple[int, int], dict[int, Path]] = {}
        files, lines = [], []
        folders = [top, top / "BlurryImages"]
        photographs = _numbered(folders, _BLURRED)
        if not photographs:
            raise SOURCE.missing(top, (f"{folder}/Blurry*_*.png" for folder in folders))
        for (poster, shake), path in photographs.items():
            below = Path(f"Image{poster}", f"Kernel{shake}")
            places = [top / below, top / f"GroundTruth_pngs_Image{poster}" / below]
            frames = {number: frame for (number,), frame in _numbered(places, _SHARP).items()}
            self.frames[poster, shake] = frames
            if frames:
                middle = (max(frames) + 1) // 2
                nearest = min(frames, key=lambda number: abs(number - middle))  # frames may be missing
                files.append(PairFiles(path.stem, path, frames[nearest]))
            else:
                looked = " or ".join(map(str, places))
                advice = f"get GroundTruth_pngs_Image{poster}.zip at {SOURCE.page}"
                lines.append(f"{path}: it has no sharp frames: looked for {looked}; {advice}")
        if lines:
            raise UserError(*shorten(lines))
        super().__init__(files, {"set": "Kohler", "truth": "the middle frame of about 199"}, _EXPECTED)

    def truths(self, index: int) -> Iterator[np.ndarray]:
        """Yields all sharp frames of a photograph, RGB ``uint8`` ``(h, w, 3)``, along the camera's path.

        Raises:
            UserError: A frame cannot be read.
        """
        for path in list(self.frames.values())[index].values():
            yield read_image(path)

    def verify(self) -> None:
        """Looks at the headers of photographs and middle frames, and notes incomplete sets of frames."""
        super().verify()
        incomplete = []
        for (poster, shake), frames in self.frames.items():
            if len(frames) not in _FRAMES:
                incomplete.append(f"Blurry{poster}_{shake}: {len(frames)} sharp frames, expected 198 to 200")
        self.notes += shorten(incomplete)


def _numbered(folders: list[Path], name: re.Pattern[str]) -> dict[tuple[int, ...], Path]:
    """Returns the images named so, by the numbers in their names and in their order: as names, 10 comes before 9."""
    found = {}
    for folder in folders:
        for stem, path in images_in(folder).items():
            if match := name.fullmatch(stem):
                found[tuple(map(int, match.groups()))] = path
    return dict(sorted(found.items()))
