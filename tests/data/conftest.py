"""Real photographs and one sample set for the data tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.sample import ensure_sample_set


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A colour photograph, uint8 (120, 160, 3), higher than wide it is not."""
    chelsea = next(photograph for photograph in PHOTOGRAPHS if photograph.name == "chelsea")
    return np.ascontiguousarray(read_image(photograph_file(chelsea))[60:180, 100:260])


@pytest.fixture(scope="session")
def sample_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample set made for this session."""
    root = tmp_path_factory.mktemp("data") / "sample"
    ensure_sample_set(root)
    return root
