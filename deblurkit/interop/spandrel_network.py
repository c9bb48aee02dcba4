"""Networks of the package spandrel, which tells them by the names and shapes of their weights."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from deblurkit import checkpoint
from deblurkit.bounded import TooLargeError, bounded
from deblurkit.compat import ensure_torchvision
from deblurkit.errors import CheckpointError
from deblurkit.interop.containers import Candidate, asked_for, candidates
from deblurkit.registry import ARCHS

if TYPE_CHECKING:
    from spandrel import Architecture, ImageModelDescriptor

CONSENT = "DEBLURKIT_EXTRA_ARCHES"
"""The environment variable by which a user takes the licences of ``spandrel_extra_arches``, where it is 1."""

_PREFIX = "network."
"""Before the names of a network's own weights."""

_ACADEMIC = "for non-commercial use, changes under the same licence"
_LICENCES = {
    "M3SNet": f"{_ACADEMIC}, says spandrel",
    "MIRNet2": f"{_ACADEMIC}: github.com/swz30/MIRNetv2",
    "MPRNet": f"{_ACADEMIC}: github.com/swz30/MPRNet",
    "Restormer": f"{_ACADEMIC}: github.com/swz30/Restormer",
}
"""Licences of the networks in ``spandrel_extra_arches`` that restore; the package holds no texts of them."""


@ARCHS.register_module()
class Foreign(nn.Module):
    """Any network that the package spandrel knows (extra ``spandrel``) and that keeps an image's size.

    The file alone says which it is. A checkpoint that was trained from it does not need the file: its weights tell too.
    Networks of the package ``spandrel_extra_arches``, such as Restormer, may not be used for everything: they are known
    where that is installed and ``DEBLURKIT_EXTRA_ARCHES=1`` says that their licences are taken.

    Args:
        weights: A published file of it, of which nothing is executed.
        key: Which of several state dicts in the file, such as ``params``; by default the averaged one.

    Attributes:
        architecture: The network's name in spandrel.
        size_divisor: As spandrel says.
        min_size: As spandrel says.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to the same, not clamped.

    Raises:
        CheckpointError: spandrel is not installed or does not know the network, the file cannot be read, the network's
            licence is not taken, or it changes an image's size, or takes other than three channels, only square images,
            or a mask.
    """

    value_range = (0.0, 1.0)

    def __init__(self, weights: str, key: str | None = None) -> None:
        super().__init__()
        _require_spandrel()
        recognised = recognise(asked_for(candidates(checkpoint.read(weights)), key), weights)
        if recognised is None:
            raise CheckpointError(f"{weights}: spandrel knows no network with these weights")
        self._take(recognised[1])

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """Returns the network that has these weights, under the names that they have here.

        Raises:
            CheckpointError: As for a new one.
        """
        own = {name.removeprefix(_PREFIX): value for name, value in weights.items()}
        _require_spandrel()
        descriptor = _described(own, "a checkpoint of Foreign")
        if descriptor is None:
            raise CheckpointError("spandrel knows no network with these weights")
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network._take(descriptor)
        return network

    def _take(self, descriptor: ImageModelDescriptor[Any]) -> None:
        self.network: nn.Module = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.size_divisor = descriptor.size_requirements.multiple_of
        self.min_size = descriptor.size_requirements.minimum
        # Its own __call__ pads, clamps, and keeps no gradients; how a network is called it says nowhere else.
        self._call = descriptor._call_fn

    def forward(self, blurred: Tensor) -> Tensor:
        """Restores a batch."""
        restored: Tensor = self._call(self.network, blurred)
        return restored


def is_installed() -> bool:
    """Tells whether spandrel is there; imports nothing."""
    return importlib.util.find_spec("spandrel") is not None


def _require_spandrel() -> None:
    if not is_installed():
        raise CheckpointError("Foreign needs spandrel: pip install 'deblurkit[spandrel]'")


def weights_in(descriptor: ImageModelDescriptor[Any]) -> dict[str, Tensor]:
    """Returns a network's weights under the names that they have in :class:`Foreign`."""
    return {f"{_PREFIX}{name}": value for name, value in descriptor.model.state_dict().items()}


def licence_of(descriptor: ImageModelDescriptor[Any]) -> str:
    """Returns how a network's code may be used; empty where all may use it."""
    return _LICENCES.get(descriptor.architecture.id, "")


def recognise(found: Sequence[Candidate], where: object) -> tuple[Candidate, ImageModelDescriptor[Any]] | None:
    """Returns the first state dict of which spandrel knows the network, averaged ones before others; ``None``: none.

    Raises:
        CheckpointError: It knows one that does not do for photographs; says why. ``where`` names the file.
    """
    for candidate in sorted(found, key=lambda candidate: not candidate.averaged):
        descriptor = _described(candidate.weights, where)
        if descriptor is not None:
            return candidate, descriptor
    return None


def _described(weights: Mapping[str, Tensor], where: object) -> ImageModelDescriptor[Any] | None:
    ensure_torchvision()
    from spandrel import MAIN_REGISTRY, ImageModelDescriptor, canonicalize_state_dict

    own = canonicalize_state_dict(dict(weights))
    # The companion's networks first: M3SNet has all names by which the other package tells a NAFNet.
    restricted = _restricted(own)
    if restricted is not None and os.environ.get(CONSENT) != "1":
        licence = _LICENCES.get(restricted.id, "not permissive, see its authors' page")
        raise CheckpointError(
            f"{where}: this is {restricted.name}, whose code has a licence of its own ({licence}): {CONSENT}=1 takes it"
        )
    try:
        # Names may count blocks up to any number; a network is not built beyond what its weights can fill.
        with bounded(checkpoint.bounds_of(weights)):
            descriptor = MAIN_REGISTRY.load(own) if restricted is None else restricted.load(own)
    except TooLargeError as error:
        raise CheckpointError(f"{where}: does not fit the network that spandrel takes it for: {error}") from None
    except Exception:  # it knows none, or takes them for one that they only resemble: constructors raise anything
        return None
    name = descriptor.architecture.name
    if not isinstance(descriptor, ImageModelDescriptor):
        raise CheckpointError(f"{where}: this is {name}, which takes a mask beside the image")
    if descriptor.scale != 1:
        raise CheckpointError(f"{where}: this is {name}, which makes images {descriptor.scale} times as large")
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise CheckpointError(f"{where}: this is {name}, of {channels[0]} channels to {channels[1]}, expected RGB")
    if descriptor.size_requirements.square:
        raise CheckpointError(f"{where}: this is {name}, which takes square images alone")
    return descriptor


def _restricted(weights: dict[str, Any]) -> Architecture[Any] | None:
    """Returns the network of ``spandrel_extra_arches`` that has these weights, where that package is installed."""
    if importlib.util.find_spec("spandrel_extra_arches") is None:
        return None
    from spandrel_extra_arches import EXTRA_REGISTRY

    for support in EXTRA_REGISTRY.architectures():
        if support.detect(weights):
            found: Architecture[Any] = support.architecture
            return found
    return None
