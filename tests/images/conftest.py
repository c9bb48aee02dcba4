"""A real photograph for the tests of image files."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A colour photograph, uint8 (120, 160, 3)."""
    return np.ascontiguousarray(skimage.data.chelsea()[60:180, 100:260])
