"""basicsr, which some tests compare with: an extra, without which they are skipped."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from deblurkit import compat
from deblurkit.errors import UserError


def basicsr(module: str) -> ModuleType:
    """Imports ``basicsr.MODULE``; where basicsr is not installed, skips the test that asks for it and says why."""
    try:
        compat.import_basicsr()
    except UserError as error:
        pytest.skip(str(error))
    return importlib.import_module(f"basicsr.{module}")
