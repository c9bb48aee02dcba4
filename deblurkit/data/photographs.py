"""The photographs of the sample set: all of them come with scikit-image and are free to use.

Only photographs whose documentation in scikit-image states CC0, the public domain or no known copyright restrictions
are used; others that it bundles (the stereo motorcycle, for one) are left out.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from deblurkit.errors import UserError


@dataclass(frozen=True)
class Photograph:
    """One photograph, which belongs to one split as a whole."""

    file: str  # name in scikit-image's data folder
    title: str
    licence: str  # terms and source as scikit-image documents them
    split: str  # train or test
    images: int  # how many are made of it
    scales: tuple[float, ...] = (1.0,)  # factors by which it is reduced first, used in turn: 2 means half the width

    @property
    def name(self) -> str:
        """The file name without its ending."""
        return Path(self.file).stem


_NASA = "public domain, NASA"
_FREE = "no known copyright restrictions"
PHOTOGRAPHS = (
    Photograph("chelsea.png", "a cat's face", "CC0, Stefan van der Walt", "test", 6),
    Photograph("coffee.png", "a cup of coffee", "CC0, Rachel Michetti; courtesy of Pikolo Espresso Bar", "test", 6),
    Photograph(
        "rocket.jpg", "a launch site at night", "public domain, SpaceX (flickr.com/photos/spacexphotos)", "test", 6
    ),
    Photograph(
        "astronaut.png",
        "a portrait of Eileen Collins",
        f"{_NASA} Great Images (flic.kr/p/r9qvLn)",
        "train",
        40,
        (1.0, 1.5),
    ),
    Photograph("camera.png", "a photographer in a park, grey", "CC0, Lav Varshney", "train", 24, (1.0, 1.5)),
    Photograph("coins.png", "Greek coins, grey", f"{_FREE}, Brooklyn Museum Collection", "train", 12),
    Photograph("ihc.png", "stained tissue", f"{_FREE}, CMMI (Microscopy and Molecular Imaging)", "train", 12),
    Photograph(
        "hubble_deep_field.jpg", "galaxies", f"{_NASA} (hubblesite.org, release 2012/37)", "train", 10, (1.0, 2.0)
    ),
    Photograph(
        "retina.jpg",
        "the retina of an eye",
        "CC0, Mikael Häggström (doi:10.15347/wjm/2014.008)",
        "train",
        10,
        (2.0, 4.0),
    ),
    Photograph("brick.png", "a brick wall, grey", "CC0, CC0Textures (Bricks25)", "train", 8, (1.0, 1.5)),
    Photograph("gravel.png", "gravel, grey", "CC0, CC0Textures (Gravel04)", "train", 6),
    Photograph("grass.png", "grass, grey", "CC0, linolafett (DeviantArt, Grass-01)", "train", 6),
)


def photograph_file(photograph: Photograph) -> Path:
    """Returns where scikit-image keeps the photograph, without importing it.

    Raises:
        UserError: scikit-image is not installed, or does not bundle the file.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise UserError("the sample set is made of photographs that scikit-image bundles: pip install scikit-image")
    path = Path(found.origin).parent / "data" / photograph.file
    if not path.is_file():
        raise UserError(f"{path}: this scikit-image does not bundle the photograph; the sample set needs 0.19 or newer")
    return path
