"""Reading blur kernels from images, NumPy files, text and MATLAB files of both formats."""

from __future__ import annotations

import glob
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deblurkit.data.dataset import shorten
from deblurkit.data.images import read_image
from deblurkit.errors import UserError, did_you_mean

GREATEST_SIDE = 199
"""Pixels; a wider array in a file is taken for an image that lies beside the kernel, and refused."""

_IMAGES = (".png", ".bmp", ".tif", ".tiff")
KERNEL_SUFFIXES = (*_IMAGES, ".npy", ".txt", ".mat")
"""File name endings that are read, in lower case."""

Array = np.ndarray
Named = tuple[str, Array]  # an array and what messages call it


@dataclass(frozen=True)
class Kernel:
    """A point-spread function: what a point of light becomes.

    Attributes:
        name: File, and array where the file holds several.
        weights: float32 ``(k, k)``, ``k`` odd; not negative, the sum is 1, the centre of mass lies on the middle
            pixel (see :func:`centred`).
    """

    name: str
    weights: Array


def read_kernels(pattern: str) -> list[Kernel]:
    """Reads every kernel that ``pattern`` names, ordered by file and by place in the file.

    What is read, by the file name's ending:

    - ``.png .bmp .tif .tiff``: grey; the levels are the weights, no response is undone.
    - ``.txt``: one row of numbers a line, separated by blanks or commas.
    - ``.npy``: ``(h, w)``, or a stack ``(n, h, w)``.
    - ``.mat``, versions 4 to 7.3: every numeric array ``(h, w)`` and stack ``(h, w, n)``, in cells and structures too;
      single numbers and empty arrays are passed over. ``FILE.mat:NAME`` reads one variable.

    Args:
        pattern: A file, a folder (its files, not those of its subfolders), or a glob.

    Raises:
        UserError: A line for each thing wrong: nothing found, unreadable files, arrays that are no kernel.
    """
    kernels: list[Kernel] = []
    problems: list[str] = []
    for file, variable in _files(pattern):
        try:
            arrays = _arrays(file, variable)
            if not arrays:
                raise UserError(f"{file}: it holds no array that could be a kernel: numeric, two or three dimensions")
        except UserError as error:
            problems += error.problems
            continue
        for place, array in arrays:
            name = f"{file}: {place}" if place else str(file)
            lacking = _lacking(array)
            if lacking:
                problems.append(f"{name}: {lacking}")
            else:
                kernels.append(Kernel(name, centred(array)))
    if problems:
        raise UserError(*shorten(problems))
    return kernels


def centred(weights: Array) -> Array:
    """Normalises a kernel to the sum 1 and centres it in the smallest odd square that holds it.

    It is moved by whole pixels: the centre of mass ends within half a pixel of the middle. A shift by a fraction would
    have to interpolate, which blurs the kernel itself, and an image blurred with it more than the kernel did.

    Takes ``(h, w)``, not negative, not all zero; returns float32 ``(k, k)``, ``k`` odd.
    """
    weights = np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)
    rows, columns = np.nonzero(weights)
    shares = weights[rows, columns]
    row, column = (int(np.floor(np.average(places, weights=shares) + 0.5)) for places in (rows, columns))
    radius = int(max(np.abs(rows - row).max(), np.abs(columns - column).max()))
    square = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=np.float32)
    square[rows - row + radius, columns - column + radius] = shares
    return square


def _files(pattern: str) -> list[tuple[Path, str | None]]:
    """Returns the files that a pattern names, each with the one variable that is to be read, if it says so."""
    before, _, variable = pattern.rpartition(":")
    if before.lower().endswith(".mat") and Path(before).is_file():
        return [(Path(before), variable)]
    path = Path(pattern).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.iterdir())
    else:
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))
    files = [file for file in found if file.suffix.lower() in KERNEL_SUFFIXES and not file.name.startswith(".")]
    if not files:
        kinds = ", ".join(KERNEL_SUFFIXES)
        raise UserError(f"kernels: {pattern}: no file of kernels is there; expected a file, folder or glob of {kinds}")
    return [(file, None) for file in files]


def _arrays(file: Path, variable: str | None) -> list[Named]:
    suffix = file.suffix.lower()
    if suffix == ".mat":
        return _of_matlab(file, variable)
    if suffix in _IMAGES:
        image = read_image(file)
        if (image != image[..., :1]).any():
            raise UserError(f"{file}: a colour image; a kernel is grey")
        return [("", image[..., 0])]
    try:
        if suffix == ".npy":
            array = np.load(file, allow_pickle=False)
        else:
            lines = file.read_text(encoding="utf-8").replace(",", " ").splitlines()
            # loadtxt warns of a file without numbers instead of returning nothing.
            rows = [line for line in lines if line.partition("#")[0].strip()]
            array = np.loadtxt(rows, ndmin=2) if rows else np.empty((0, 0))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: it cannot be read as numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{file}: an archive of arrays (.npz); expected one array, saved by np.save")
    if array.ndim == 3:
        return [(f"kernel {index}", part) for index, part in enumerate(array)]
    return [("", array)]


def _of_matlab(file: Path, variable: str | None) -> list[Named]:
    from scipy.io import loadmat

    # SciPy's reader of a damaged file fails in many ways of its own; each of them is the user's file, not our fault.
    try:
        # Beside the variables it returns the file's header, version and names of globals, none of them an array.
        variables = {name: value for name, value in loadmat(file).items() if isinstance(value, np.ndarray)}
    except NotImplementedError:  # SciPy's answer to version 7.3, which is HDF5
        variables = _of_new_matlab(file)
    except Exception as error:
        raise UserError(f"{file}: it cannot be read as a MATLAB file: {error}") from error
    if variable is not None and variable not in variables:
        hint = did_you_mean(variable, variables)
        raise UserError(f"{file}: it has no variable {variable!r}{hint}; known: {', '.join(variables) or 'none'}")
    found: list[Named] = []
    for name, value in variables.items():
        if variable in (None, name):
            found += _inside(name, value)
    return found


def _of_new_matlab(file: Path) -> dict[str, Any]:
    """Returns the variables as ``loadmat`` would: HDF5 keeps MATLAB's arrays with their dimensions reversed."""
    import h5py

    try:
        with h5py.File(file) as opened:
            return {name: _resolved(opened[name]) for name in opened if not name.startswith("#")}
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{file}: it cannot be read as a MATLAB 7.3 file: {error}") from error


def _resolved(node: Any) -> Any:
    """Returns a group as a dict, a data set as an array, and a cell array, stored as references, as one of objects."""
    import h5py

    if isinstance(node, h5py.Group):
        return {name: _resolved(node[name]) for name in node}
    # An empty array is stored as its shape, text as codes of letters: neither is weights.
    if node.attrs.get("MATLAB_empty", 0) or node.attrs.get("MATLAB_class") == b"char":
        return np.empty((0, 0))
    value = node[()]
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return np.asarray(value).T
    cells = np.empty(value.shape, dtype=object)
    for place, reference in np.ndenumerate(value):
        cells[place] = _resolved(node.file[reference])
    return cells.T


def _inside(name: str, value: object) -> Iterator[Named]:
    """Yields every numeric array of two dimensions in a variable; of cells, structures and stacks, each one's."""
    for place, part in _parts(value):
        yield from _inside(f"{name}{place}", part)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.ndim == 2 and value.size > 1:
        yield name, value


def _parts(value: object) -> list[tuple[str, object]]:
    """Returns what a structure, a cell array or a stack consists of, each part with its place in MATLAB's notation."""
    if isinstance(value, dict):
        return [(f".{field}", part) for field, part in value.items()]
    if not isinstance(value, np.ndarray):
        return []
    if value.dtype.names:
        return [(f".{field}", value[field]) for field in value.dtype.names]
    if value.dtype == object:
        cells = value.ravel(order="F")  # as MATLAB counts them
        if cells.size == 1:
            return [("", cells[0])]
        return [(f"{{{number}}}", cell) for number, cell in enumerate(cells, start=1)]
    if value.ndim == 3:
        return [(f"(:,:,{number + 1})", value[:, :, number]) for number in range(value.shape[2])]
    return []


def _lacking(array: Array) -> str | None:
    """Returns what keeps an array from being a kernel, in words."""
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        return f"{array.dtype} {array.shape}; expected numbers in two dimensions"
    if array.size == 0:
        return "it holds no numbers"
    if max(array.shape) > GREATEST_SIDE:
        # Files of benchmarks hold image and kernel side by side.
        return (
            f"{array.shape[0]} x {array.shape[1]} is too large for a kernel (at most {GREATEST_SIDE} pixels); "
            "of a .mat file that holds images too, read the kernel alone: FILE.mat:NAME"
        )
    if not np.isfinite(array).all():
        return "a weight is not finite"
    if array.min() < 0:
        return f"a weight is negative ({array.min():g}): light cannot be taken away"
    if array.max() == 0:
        return "all weights are zero"
    return None
