"""The outputs of a generator, found out on the meta device: no memory is used and no weights are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deblurkit.bounded import Bounds, TooLargeError, bounded, check_arguments
from deblurkit.contracts import generator_traits
from deblurkit.errors import did_you_mean
from deblurkit.inner_outputs import output_names, survey

_SMALLEST = 64
_BOUNDS = Bounds(weights=10**9, parts=6_000, calls=10_000)
"""Far above any network that deblurs; within, a check takes seconds."""
_IMPOSSIBLE = ("overflow", "negative dimension")
"""Words of torch about sizes that no device has."""
_BATCH = 2  # some norms refuse one sample in training mode, where a generator may return more than in eval mode


@dataclass(frozen=True, slots=True)
class Probe:
    """A generator's parts and outputs.

    Args:
        parts: Names of its parts at any depth, or ``None`` where it could not be built on the meta device.
        weights: Names of the weights that are trained, or ``None`` likewise.
        outputs: Names of what it returns, or ``None`` where it could not be run there.
        lists: Those of them that are lists of images.
        inner: Names of what can be looked at inside it, or ``None`` likewise.
        problem: What makes it unusable, in words.
    """

    parts: tuple[str, ...] | None = None
    weights: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    lists: tuple[str, ...] = ()
    inner: tuple[str, ...] | None = None
    problem: str | None = None


def probe_generator(component: type[nn.Module], arguments: Mapping[str, Any]) -> Probe:
    """Builds a generator and runs it on ``(2, 3, h, w)``, the smallest size from 64 up that it takes.

    A generator that cannot live on the meta device (it reads weights, or looks at values) is no mistake: what it
    returns then stays unknown.
    """
    known = probe_without_images(component, arguments) if component.__module__.startswith("deblurkit.") else None
    return known or probe_on_meta(component, arguments)


def probe_on_meta(component: type[nn.Module], arguments: Mapping[str, Any]) -> Probe:
    """Does it on the meta device, for any generator."""
    # Bounded: an option file from anybody may ask for a network that would keep this check busy for hours.
    with bounded(_BOUNDS), torch.device("meta"), torch.no_grad():
        try:
            check_arguments(arguments)
            generator = component(**arguments)
        except (TypeError, ValueError, ArithmeticError) as error:
            return Probe(problem=f"{component.__name__} refuses its arguments: {error}")
        except Exception as error:
            if any(words in str(error) for words in _IMPOSSIBLE):
                return Probe(problem=f"{component.__name__} cannot be built: {error}")
            return Probe()
        built = Probe(*parts_and_weights(generator))
        returned: list[object] = []
        try:
            size = generator_traits(generator).size_rule.fit(_SMALLEST)
            generator = generator.to("meta")  # a constructor may have chosen another device for a part
            seen = survey(generator, lambda: returned.append(generator(torch.zeros(_BATCH, 3, size, size))))
            inner = tuple(output_names(generator, seen))
        except TooLargeError as error:
            return dataclasses.replace(built, problem=f"{component.__name__} cannot be run: {error}")
        except Exception:
            return built
    return dataclasses.replace(_read(component.__name__, built, returned[0], _BATCH, size), inner=inner)


class _Instead(TorchFunctionMode):
    """Has functions of torch replaced by those that a table names; ``torch.device`` is such a mode too."""

    def __init__(self, table: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.table = table

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.table.get(func, func)(*args, **(kwargs or {}))


def _unchanged(tensor: Tensor, *args: object, **arguments: object) -> Tensor:
    return tensor


def _unshuffled(images: Tensor, factor: int) -> Tensor:
    # torch's own returns a batch of no images as it came
    n, c, h, w = images.shape
    return images.view(n, c, h // factor, factor, w // factor, factor).movedim((3, 5), (2, 3)).flatten(1, 3)


_IN_PLACE = ("normal_", "uniform_", "fill_", "zero_", "copy_", "mul_", "div_", "add_", "sub_", "clamp_", "erfinv_")
_INITIALISERS = [function for name, function in vars(nn.init).items() if name.endswith("_") and name[0] != "_"]
_WITHOUT_VALUES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((torch.rand, torch.randn), torch.empty),
    **dict.fromkeys([*_INITIALISERS, *(getattr(Tensor, name) for name in _IN_PLACE)], _unchanged),
}
"""What gives a new weight its values is left out, so that its memory stays unused."""


def probe_without_images(component: type[nn.Module], arguments: Mapping[str, Any]) -> Probe | None:
    """Runs one of our own generators on a batch of no images; ``None`` where that fails or finds something wrong.

    The meta device tells more, but it computes shapes in Python: for that, torch imports sympy and its own compiler,
    which takes as long as importing torch. A CPU finds the same shapes for no images at once.
    """
    with bounded(_BOUNDS), torch.no_grad():
        try:
            check_arguments(arguments)
            with _Instead(_WITHOUT_VALUES):
                generator = component(**arguments)
            size = generator_traits(generator).size_rule.fit(_SMALLEST)
            returned: list[object] = []
            with _Instead({nn.functional.pixel_unshuffle: _unshuffled}):
                seen = survey(generator, lambda: returned.append(generator(torch.zeros(0, 3, size, size))))
            built = Probe(*parts_and_weights(generator), inner=tuple(output_names(generator, seen)))
        except Exception:  # the meta device says whether it is a mistake, and which
            return None
    probe = _read(component.__name__, built, returned[0], 0, size)
    return probe if probe.problem is None else None


def parts_and_weights(generator: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of a generator's parts at any depth, and of its weights that are trained."""
    weights = tuple(name for name, weight in generator.named_parameters() if weight.requires_grad)
    return tuple(name for name, _ in generator.named_modules() if name), weights


def freeze_problems(kind: str, parts: Sequence[str], weights: Sequence[str], frozen: Collection[str]) -> dict[str, str]:
    """Returns what is wrong with the parts that ``train.freeze`` names, by their names; ``""`` for all together."""
    problems: dict[str, str] = {}
    for part in frozen:
        if part not in parts:
            problems[part] = f"{kind} has no part named {part!r}{did_you_mean(part, parts)}"
    held = tuple(f"{part}." for part in frozen)
    if held and not problems and all(weight.startswith(held) for weight in weights):
        problems[""] = f"holds every weight of {kind}, so the first epoch would train nothing; leave it one part"
    return problems


def _read(name: str, built: Probe, returned: object, images: int, size: int) -> Probe:
    if isinstance(returned, Tensor):
        returned = {"image": returned}
    if not isinstance(returned, dict):
        problem = f"{name} returns a {type(returned).__name__}, not a tensor or a dict with 'image'"
        return dataclasses.replace(built, problem=problem)
    outputs = tuple(str(key) for key in returned)
    lists = tuple(str(key) for key, value in returned.items() if isinstance(value, (list, tuple)))
    known = dataclasses.replace(built, outputs=outputs, lists=lists)
    image = returned.get("image")
    if not isinstance(image, Tensor):
        problem = f"{name} returns no tensor 'image'; it returns {', '.join(outputs) or 'nothing'}"
        return dataclasses.replace(known, problem=problem)
    if image.shape != (images, 3, size, size):
        shape = "x".join(map(str, image.shape))
        problem = f"{name} makes an image of {shape} from {images}x3x{size}x{size}; they must agree"
        return dataclasses.replace(known, problem=problem)
    return known
