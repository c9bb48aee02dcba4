"""Weights that others trained: from a file the user names, from torch's cache, or downloaded where that is allowed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from deblurkit.errors import UserError


class MissingWeightsError(UserError):
    """Weights are nowhere to be had without a download."""


def read_pretrained(file: str, url: str, path: str | None, download: bool, what: str, advice: str) -> dict[str, Tensor]:
    """Read a published state dict onto the CPU; nothing in the file is executed.

    Args:
        file: The file's name in torch's cache of checkpoints.
        url: Where it is published; fetched only if ``download`` and the cache lacks it. Its name holds the start of
            its SHA-256, which is checked.
        path: A file to read instead of the cache.
        download: Whether to fetch what the cache lacks.
        what: What the weights are, for messages: ``the ImageNet weights of VGG-19``.
        advice: How else the user can name them, for the message when they are missing.

    Raises:
        MissingWeightsError: There is no such file, and none may be fetched.
        UserError: The file cannot be read, or is no state dict.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file
    chosen = Path(path) if path is not None else cached
    if path is None and not cached.is_file():
        if not download:
            raise MissingWeightsError(f"{what} are missing: put {file} at {cached}, {advice}")
        try:
            torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise MissingWeightsError(
                f"{what} cannot be fetched from {url} ({error}): put {file} at {cached}"
            ) from None
    if not chosen.is_file():
        raise MissingWeightsError(f"there is no file {chosen}; it should hold {what} ({file})")
    try:
        state = torch.load(chosen, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{chosen}: cannot be read as weights ({str(error).splitlines()[0]})") from None
    if not isinstance(state, dict):
        raise UserError(f"{chosen}: holds a {type(state).__name__}, not the state dict of {what}")
    return state
