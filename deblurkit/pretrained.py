"""Weights that others trained: from a file the user names, from torch's cache, or downloaded where that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deblurkit.compat import ensure_torchvision
from deblurkit.errors import UserError
from deblurkit.torchfile.read import CheckpointError, digest, read


class MissingWeightsError(UserError):
    """Weights are nowhere to be had without a download."""


class Published(NamedTuple):
    """ImageNet weights that torchvision publishes for one of its networks."""

    title: str
    """The network's name in messages."""
    file: str
    """The file's name; what stands behind the last hyphen begins the file's SHA-256."""

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"https://download.pytorch.org/models/{self.file}"


PUBLISHED = {
    "alexnet": Published("AlexNet", "alexnet-owt-7be5be79.pth"),
    "squeezenet1_1": Published("SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth"),
    "vgg16": Published("VGG-16", "vgg16-397923af.pth"),
    "vgg19": Published("VGG-19", "vgg19-dcbb9e9d.pth"),
}
"""By the name of torchvision's function that builds the network."""


def read_pretrained(file: str, url: str, path: str | None, download: bool, what: str, advice: str) -> dict[str, Tensor]:
    """Reads a published state dict onto the CPU; nothing in the file is executed.

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
    cached = place_in_cache(file)
    chosen = Path(path) if path is not None else cached
    if path is None and not cached.is_file():
        if not download:
            raise MissingWeightsError(f"{what} are missing: put {file} at {cached}, {advice}")
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), hash_prefix=_digest_in(file))
        except (OSError, RuntimeError) as error:
            raise MissingWeightsError(
                f"{what} cannot be fetched from {url} ({error}): put {file} at {cached}"
            ) from None
    if not chosen.is_file():
        raise MissingWeightsError(f"there is no file {chosen}; it should hold {what} ({file})")
    try:
        state = read(chosen)
    except CheckpointError as error:
        raise CheckpointError(f"{error}: cannot be read as weights, expected {what} ({file})") from None
    if not isinstance(state, dict):
        raise UserError(f"{chosen}: holds a {type(state).__name__}, not the state dict of {what}")
    return {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}


def torchvision_features(
    name: str, weights: str | None, *, advice: str, what: str = "", download: bool = False, layers: int | None = None
) -> nn.Sequential:
    """Builds the convolutional part of a classifier of torchvision's with published weights, frozen, on the CPU.

    Args:
        name: One of :data:`PUBLISHED`.
        weights: A state dict file of the network or of its features alone; ``None`` for torchvision's cache;
            ``random`` for He-initialised weights that are the same in every run.
        advice: As :func:`read_pretrained` takes it.
        what: What the weights are, for messages; absent: ``the ImageNet weights of`` the network.
        download: Whether to fetch the file where the cache lacks it.
        layers: How many layers to build; absent: all.

    Returns:
        The layers under torchvision's names, in evaluation mode. No stream of random numbers is touched.

    Raises:
        MissingWeightsError: There is no such file, and none may be fetched.
        UserError: The file cannot be read, or does not fit the network.
    """
    ensure_torchvision()
    from torchvision import models

    # built without memory, which the weights bring: nothing is drawn, so no random stream moves
    with torch.device("meta"):
        features: nn.Sequential = getattr(models, name)(weights=None).features[:layers]
    features.eval().requires_grad_(False)
    if weights == "random":
        return _random_features(features)
    title, file = PUBLISHED[name]
    what = what or f"the ImageNet weights of {title}"
    state = read_pretrained(file, PUBLISHED[name].url, weights, download, what, advice)
    fill_from_published(features, state, "features.", f"{weights or file}: not the weights of {title}", assign=True)
    return features.float().requires_grad_(False)


def fill_from_published(
    network: nn.Module, weights: Mapping[str, Tensor], prefix: str, complaint: str, *, assign: bool = False
) -> None:
    """Loads published weights, whose file may hold more than the network uses.

    Names in the file may have ``prefix`` before the network's own. With ``assign`` its tensors take the place of the
    network's, which may then be on the meta device.

    Raises:
        UserError: One is missing, or has another shape; the message begins with ``complaint``.
    """
    weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    counter = "num_batches_tracked"  # old files have none, and nothing here reads it
    missing = [key for key in network.state_dict() if key not in weights and not key.endswith(counter)]
    if missing:
        raise UserError(f"{complaint}: {prefix}{missing[0]} is missing ({len(missing)} are)")
    try:
        network.load_state_dict(weights, strict=False, assign=assign)
    except RuntimeError as error:  # torch tells each difference on a line of its own; one will do
        raise UserError(f"{complaint}: {str(error).splitlines()[-1].strip()}") from None


def is_published(name: str, weights: str | None) -> bool:
    """Says whether a file that :func:`torchvision_features` reads is, byte for byte, the one that is published.

    Its SHA-256 is compared with the start of it that the published file's name holds.
    """
    file = PUBLISHED[name].file
    found = digest(Path(weights) if weights is not None else place_in_cache(file))
    return found.startswith(_digest_in(file))


def _digest_in(file: str) -> str:
    """Returns the beginning of its SHA-256 that a published file's name holds."""
    return Path(file).stem.rsplit("-", 1)[1]


def place_in_cache(file: str) -> Path:
    """Returns where torch's cache has, or would have, a published file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def _random_features(features: nn.Sequential) -> nn.Sequential:
    features.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return features
