"""Data sets of blurred and sharp photographs; importing this package registers the built-in ones."""

from __future__ import annotations

from deblurkit.data import paired as paired
from deblurkit.data import sample as sample
