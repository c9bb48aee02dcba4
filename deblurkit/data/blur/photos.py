"""Writing blurred versions of sharp photographs to disk: what SynthesizedBlur makes while training, made once."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import deblurkit
from deblurkit.contracts import blur_traits
from deblurkit.data.blur.pair_folder import Manifest, PairFolder, PairRecord, Show, keep_apart, score
from deblurkit.data.blur.synthesized import SynthesizedBlur
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.registry import BLURS, DATASETS

_MADE_BY = "tools/blur.py photos"
_OF_READERS = ("crop", "windows", "augment", "where")
_LISTED = 8  # parameters of one exposure with at most so many numbers are written down whole


def blur_photos(
    component: Mapping[str, Any],
    out: Path,
    count: int = 1,
    seed: int = 0,
    progress: Show = lambda name, done, total: None,
    limit: int | None = None,
) -> Manifest:
    """Blurs every photograph ``count`` times and writes the pairs, with their manifest, to ``out``.

    Whole photographs, resized if the data set says so, with their mirror image beyond the border. Run again with the
    same settings and photographs, it continues where an earlier run stopped, however that ended, and ends with the same
    files. Photographs are told from others by their keys and sizes in bytes, a measured curve by its numbers, and the
    files of a blur model by the text that its method ``identity()`` returns, if it has one.

    Args:
        component: A data set as an option file writes it, ``{type: SynthesizedBlur, sharp: ..., blur: [...], ...}``.
            Its ``crop``, ``augment`` and ``where`` are left out: the first two go to the set that reads the pairs.
        out: Folder of the results: new, empty, or left by the same call; see :mod:`deblurkit.data.blur.pair_folder`.
        count: Pairs made of each photograph; above 1 their number is added to the key.
        seed: With a photograph's place in the list and a pair's number it decides every random number.
        progress: Called with a name, the pairs done and all of them.
        limit: Blur the first so many photographs only.

    Returns:
        The manifest; its records have ``photograph``, ``blur`` (the model's name) and ``parameters`` (what was drawn,
        arrays of more than 8 numbers by shape and range).

    Raises:
        UserError: A setting is wrong, a photograph cannot be read, ``out`` holds something else or cannot be written.
    """
    if count < 1 or seed < 0:
        raise UserError(f"count and seed: got {count} and {seed}, expected at least 1 and at least 0")
    if component.get("type") != SynthesizedBlur.__name__:
        raise UserError(f"type: got {component.get('type')!r}, expected {SynthesizedBlur.__name__}: it makes the blur")
    options = {key: value for key, value in component.items() if key not in _OF_READERS}
    photographs: SynthesizedBlur = DATASETS.build(options, where="photos")
    photographs.verify()
    keep_apart(photographs.sharp, out)
    used = len(photographs.photographs.files[:limit])
    digest = hashlib.sha256()
    for files in photographs.photographs.files[:used]:
        digest.update(f"{files.key} {files.blurred.stat().st_size}\n".encode())
    identity = f"{used} files, sha256 {digest.hexdigest()}"
    made = {"made_by": _MADE_BY, "version": deblurkit.__version__, "photographs": identity}
    folder = PairFolder(out, {**made, **_settings(options, photographs), "count": count, "seed": seed})
    jobs = [(index, number) for index in range(used) for number in range(count)]
    pairs: list[PairRecord] = []
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:  # OpenCV and the PNG coder release Python's lock
        for record in pool.map(partial(_make, photographs, folder, seed, count), jobs):
            pairs.append(record)
            progress("photographs", len(pairs), len(jobs))
    return folder.finish(pairs)


def by_default(sharp: str) -> dict[str, Any]:
    """Returns the data set that blurs the photographs of a folder or glob: camera shake and a sensor's noise."""
    noise = {"full_well": 10_000.0, "read_noise": 3.0}
    return {"type": SynthesizedBlur.__name__, "sharp": sharp, "blur": [{"type": "Shake"}], "noise": noise}


def _make(photographs: SynthesizedBlur, folder: PairFolder, seed: int, count: int, job: tuple[int, int]) -> PairRecord:
    index, number = job
    name = photographs.photographs.files[index].key
    key = name if count == 1 else f"{name}_{number:0{len(str(count - 1))}d}"
    # Each pair has its own generator, so neither the threads' order nor an earlier run changes what is drawn.
    shot = photographs.shoot(index, np.random.default_rng([seed, index, number]))

    def develop() -> tuple[np.ndarray, np.ndarray]:
        pair = photographs.camera.develop(shot)
        return pair["blurred"], pair["sharp"]

    pair = folder.pair(key, develop)
    parameters: dict[str, Any] = {}
    for drawn, array in {**shot.drawn, **shot.sensor}.items():
        if array.size <= _LISTED:
            parameters[drawn] = array.tolist()
        else:
            least, greatest = float(array.min()), float(array.max())
            parameters[drawn] = {"shape": list(array.shape), "least": least, "greatest": greatest}
    model = photographs.camera.names[shot.blur]
    return PairRecord(key, {"photograph": name, "blur": model, "parameters": parameters}, score(*pair))


def _settings(options: Mapping[str, Any], photographs: SynthesizedBlur) -> dict[str, Any]:
    """Returns the options with every default, and what identifies the files that they name."""
    settings = _with_defaults(SynthesizedBlur, options)
    # With the defaults in place, an option that is spelled out equals one that is left out.
    settings["blur"] = []
    for given in options["blur"]:
        entry = {"type": given} if isinstance(given, str) else given
        settings["blur"].append({"share": 1.0, **_with_defaults(BLURS.get(entry["type"]), entry)})
    # A file may have been rewritten under the same name, or moved.
    identities = [curve.identity() for curve in photographs.camera.sensor.responses]
    settings["response"] = identities[0] if isinstance(settings["response"], str) else identities
    settings["blur_files"] = []
    for model in photographs.camera.models:
        identity = blur_traits(model).identity
        settings["blur_files"].append(identity() if identity else None)
    return {name: value for name, value in settings.items() if name not in _OF_READERS}


def _with_defaults(component: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(component).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    return {**defaults, **arguments}
