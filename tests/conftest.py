"""What every test needs: one thread, a torchvision that imports, one sample set, ``--slow`` and ``cuda``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from deblurkit import compat

compat.ensure_torchvision()
torch.set_num_threads(1)  # the networks are tiny: on busy cores a second thread costs more than it brings


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``."""
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless they are asked for, and those that need a GPU where there is none."""
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="minutes long: run with --slow"))
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session", autouse=True)
def _sample_set_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the sample set once, outside the checkout; child processes find it too."""
    before = os.environ.get("DEBLURKIT_DATA")
    os.environ["DEBLURKIT_DATA"] = str(tmp_path_factory.mktemp("deblurkit_data"))
    yield
    if before is None:
        del os.environ["DEBLURKIT_DATA"]
    else:
        os.environ["DEBLURKIT_DATA"] = before


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[1]
