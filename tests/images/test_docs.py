"""docs/image_files.md says what each format keeps, as files that are written and read show it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from deblurkit.errors import UserError
from deblurkit.images import reading, writing
from deblurkit.images.formats import Format
from deblurkit.images.image import Image, Metadata

PAGE = Path(__file__).resolve().parents[2] / "docs" / "image_files.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| [A-Z].*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:]
]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def everything(photograph: np.ndarray) -> Image:
    """An image with all that a file may say."""
    exif = Pillow.Exif()
    exif[271] = "a maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = Metadata(profile, exif.tobytes().removeprefix(b"Exif\0\0"), XMP, (300.0, 300.0))
    alpha = (np.arange(photograph[..., 0].size) % 256).astype(np.uint8).reshape(photograph.shape[:2])
    return Image(photograph, alpha, metadata=metadata)


def kept(kind: Format, image: Image, path: Path) -> dict[str, str]:
    """Writes and reads; returns the table's cells."""
    writing.write(path, image)
    read = reading.read(path)
    writing.write(path, Image(image.pixels[..., :1]))
    grey = reading.read(path)
    bits = ["8"]
    try:
        writing.write(path, Image(image.pixels.astype(np.uint16) * 257))
        bits.append("16")
    except UserError:
        pass
    there = {
        "Grey": grey.is_grey,
        "Alpha": read.alpha is not None,
        "ICC profile": read.metadata.profile == image.metadata.profile,
        "EXIF": read.metadata.exif is not None and b"a maker" in read.metadata.exif,
        "XMP": read.metadata.xmp == XMP,
        "Pixels an inch": read.metadata.density is not None and np.allclose(read.metadata.density, 300, atol=0.02),
    }
    return {
        "Format": kind.name,
        "Endings": " ".join(kind.suffixes),
        "Bits": ", ".join(bits),
        **{name: "yes" if held else "no" for name, held in there.items()},
        "Longest side": str(kind.max_side),
    }


@pytest.mark.parametrize("kind", writing.WRITTEN, ids=lambda kind: kind.name)
def test_each_row_is_true(kind: Format, photograph: np.ndarray, tmp_path: Path) -> None:
    found = kept(kind, everything(photograph), tmp_path / f"image{kind.suffixes[0]}")
    assert list(found.values()) == next(row for row in ROWS if row[0] == kind.name)


def test_every_format_has_a_row() -> None:
    assert [row[0] for row in ROWS] == [kind.name for kind in writing.WRITTEN]
