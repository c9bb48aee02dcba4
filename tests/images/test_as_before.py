"""Images that were read right are read as before: as OpenCV reads them, which once read all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from deblurkit.data.images import IMAGE_SUFFIXES, ImageReadError, read_image

BUNDLED = [file for file in sorted(Path(skimage.data.__file__).parent.iterdir()) if file.suffix in IMAGE_SUFFIXES]
SEVERAL_PAGES = {"multipage.tif", "multipage_rgb.tif"}


def test_there_are_some() -> None:
    assert {".png", ".jpg", ".tif"} <= {file.suffix for file in BUNDLED}


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.name)
def test_bundled_images(file: Path) -> None:
    if file.name in SEVERAL_PAGES:
        with pytest.raises(ImageReadError, match="images in one TIFF file; expected one"):
            read_image(file)
        return
    before = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
    np.testing.assert_array_equal(read_image(file), before)
