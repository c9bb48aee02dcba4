"""The contracts: for each kind of component, what it must be and what it may declare besides.

A component inherits nothing from here. It has the members of its Protocol, and any of the optional members that the
dataclass below it lists. They are read in this file and nowhere else, those of each kind by one function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from deblurkit.engine.finite_guard import FiniteGuard
    from deblurkit.engine.optim import NetworkOptimizer
    from deblurkit.registry import Nested

ValueRange = tuple[float, float]
"""The values of black and white."""

ReceptiveField = int | Literal["global"]
"""How far an output pixel looks, in pixels to each side, or that it sees the whole image."""

SizePadding = Literal["reflect", "zeros"]
"""How images are padded: with themselves, mirrored, or with zeros as the network sees them."""


class Generator(Protocol):
    """Restores images: what to write to add a network.

    A :class:`torch.nn.Module` whose ``forward(blurred)`` takes ``(n, 3, h, w)`` in its value range and returns the
    restored images of the same shape, or a dict with them as ``image``; further entries can be named in loss terms.
    """

    def __call__(self, blurred: Tensor) -> Tensor | dict[str, Tensor]:
        """Restores a batch."""


@dataclass(frozen=True)
class SizeRule:
    """The sides of images that a network takes, and how others are padded to them.

    Attributes:
        multiple_of: Both sides divide by it.
        minimum: The least side.
        fill: The value of what is added, as in images of [0, 1]; ``None``: the image is mirrored.
    """

    multiple_of: int = 1
    minimum: int = 0
    fill: float | None = None

    def fit(self, side: int) -> int:
        """Returns the least side, from ``side`` on, that the network takes."""
        return math.ceil(max(side, self.minimum) / self.multiple_of) * self.multiple_of


@dataclass(frozen=True)
class GeneratorTraits:
    """The optional members of a generator, each by an attribute of the name given here.

    Attributes:
        value_range: ``value_range``: black and white as the network sees and returns them; (0, 1) by default.
        size_rule: ``size_divisor`` (default 1) and ``min_size`` (default 0). Images are padded to it, and cropped
            back, outside the network; ``size_padding``: with the mirrored image, ``"reflect"`` (default), or with
            ``"zeros"``.
        receptive_field: ``receptive_field``: how many pixels to each side an output pixel depends on in eval mode, or
            ``"global"``; ``None`` where it says nothing, and then it is probed before an image is cut into tiles.
        live_bytes: ``live_bytes(height, width)``: the most that its tensors take at once; by default they are counted.
        load_pretrained: ``load_pretrained()``: takes up weights of others, once, when a training begins.
    """

    value_range: ValueRange
    size_rule: SizeRule
    receptive_field: ReceptiveField | None
    live_bytes: Callable[[int, int], int | None] | None
    load_pretrained: Callable[[], None] | None


def generator_traits(generator: object) -> GeneratorTraits:
    """Reads what a generator declares.

    Raises:
        ValueError: Its ``size_padding`` is none of those that there are.
    """
    value_range: ValueRange = getattr(generator, "value_range", (0.0, 1.0))
    padding = getattr(generator, "size_padding", "reflect")
    if padding not in get_args(SizePadding):
        known = " or ".join(map(repr, get_args(SizePadding)))
        raise ValueError(f"{type(generator).__name__}: size_padding is {known}, it is {padding!r}")
    fill = None
    if padding == "zeros":
        low, high = value_range
        fill = (0.0 - low) / (high - low)
    return GeneratorTraits(
        value_range=value_range,
        size_rule=SizeRule(int(getattr(generator, "size_divisor", 1)), int(getattr(generator, "min_size", 0)), fill),
        receptive_field=getattr(generator, "receptive_field", None),
        live_bytes=getattr(generator, "live_bytes", None),
        load_pretrained=getattr(generator, "load_pretrained", None),
    )


def built_from_weights(kind: object) -> Callable[[Mapping[str, Tensor]], nn.Module] | None:
    """Returns a generator's class method ``from_weights(weights)``, which builds what a checkpoint's options cannot."""
    return getattr(kind, "from_weights", None)


class Critic(Protocol):
    """Judges images: what to write to add a discriminator.

    A :class:`torch.nn.Module` whose ``forward(image)`` returns raw logits, never behind a sigmoid, for any crop size;
    a list of them where it judges at several scales.
    """

    def __call__(self, image: Tensor, /) -> Tensor | list[Tensor]:
        """Returns the logits of a batch."""


class Loss(Protocol):
    """Compares images (lists of them where its ``forward`` annotates ``Sequence[Tensor]``): what to write for a loss.

    A :class:`torch.nn.Module` whose ``forward(pred, target)`` returns a scalar, a mean over all elements.
    """

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of a batch."""


class Game(Protocol):
    """Sets a generator against a critic: the one other kind of loss, for terms that name a critic.

    ``generator_loss`` is given ``None`` for the real logits, and calls neither critic nor graph for them, where the
    loss declares ``needs_real_logits = False``.
    """

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Returns the generator's side, a scalar."""

    def critic_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Returns the critic's side, a scalar."""


@dataclass(frozen=True)
class LossTraits:
    """The optional members of a loss, each by an attribute of the name given here. All but ``notes`` are for games.

    Attributes:
        notes: What every log must say of it, such as that its weights are random.
        needs_real_logits: Whether ``generator_loss`` needs the logits of sharp images; true by default.
        takes_scale: Whether both sides take the index of the critic's scale as a third argument; false by default.
        penalty: ``weight``, ``norm`` and ``of`` of a gradient penalty: see
            :func:`deblurkit.losses.functional.gradient_penalty`.
        weight_clip: After each of its updates the critic's parameters are clamped to this magnitude.
        condition: The batch's image that joins what the critic sees, as further channels.
    """

    notes: Sequence[str]
    needs_real_logits: bool
    takes_scale: bool
    penalty: Mapping[str, Any] | None
    weight_clip: float | None
    condition: str | None


def loss_traits(loss: object) -> LossTraits:
    """Reads what a loss declares."""
    defaults = {"notes": (), "needs_real_logits": True, "takes_scale": False}
    return LossTraits(**_declared(loss, {**defaults, "penalty": None, "weight_clip": None, "condition": None}))


def is_game(loss: object) -> bool:
    """Tells whether a loss, or its class, sets a generator against a critic."""
    return hasattr(loss, "generator_loss") or hasattr(loss, "critic_loss")


def tell_value_range(module: Any, value_range: ValueRange) -> None:
    """Sets ``value_range`` of a loss or critic that has such an attribute: it depends on the generator's range."""
    if hasattr(module, "value_range"):
        module.value_range = value_range


class Dataset(Protocol):
    """Gives samples: what to write to add a data set."""

    def __len__(self) -> int:
        """Returns the number of images."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Returns float32 ``(3, h, w)`` tensors in [0, 1] by name, and ``key``; all its chance comes from ``rng``."""


@dataclass(frozen=True)
class DatasetTraits:
    """The optional members of a data set; ``None`` where it lacks one.

    Attributes:
        keys: ``keys()``: the names of its images, in order.
        read: ``read(index)``: the stored images as uint8 or uint16 ``(h, w, 3)`` arrays by name.
        size: ``size(index)``: height and width of the stored image, without decoding it.
        sample_size: ``sample_size(index)``: height and width of what ``sample`` returns.
        stamp: ``stamp(index)``: numbers that change when the image's files do.
        verify: ``verify()``: raises :class:`~deblurkit.errors.UserError` with every problem of its files.
        cache: ``cache(count)``: keeps the first images in memory from now on; all of them for ``None``.
        describe: ``describe()``: plain facts for reports, among them its name as ``set``.
        finish: ``finish(batch)``: completes a batch on the training's device.
        truths: ``truths(index)``: all sharp images of a blurred one, where a protocol compares with many.
        notes: What reports and logs must say of it. It may grow in ``verify``.
    """

    keys: Callable[[], list[str]] | None
    read: Callable[[int], dict[str, Any]] | None
    size: Callable[[int], tuple[int, int]] | None
    sample_size: Callable[[int], tuple[int, int]] | None
    stamp: Callable[[int], list[int]] | None
    verify: Callable[[], None] | None
    cache: Callable[[int | None], None] | None
    describe: Callable[[], Mapping[str, str | int]] | None
    finish: Callable[[dict[str, Any]], dict[str, Any]] | None
    truths: Callable[[int], Any] | None
    notes: Sequence[str]


def dataset_traits(dataset: object) -> DatasetTraits:
    """Reads what a data set has now."""
    optional = ("keys", "read", "size", "sample_size", "stamp", "verify", "cache", "describe", "finish", "truths")
    members = {name: getattr(dataset, name, None) for name in optional}
    return DatasetTraits(**members, notes=tuple(getattr(dataset, "notes", ())))


class Transform(Protocol):
    """Changes a pair of images as ``augment`` lists it: what to write to add a transform.

    ``pair`` maps ``blurred`` and ``sharp`` to uint8 or uint16 arrays ``(h, w, 3)`` of one size. New arrays of the same
    kind are returned, and those that were given are left as they are.
    """

    def __call__(self, pair: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns the changed pair; all its chance comes from ``rng``."""


@dataclass(frozen=True)
class TransformTraits:
    """The optional members of a transform.

    Attributes:
        needs_partner: Whether it takes a function that gives another pair as a third argument; false by default.
        needed: The least height and width of what it takes; ``None`` where any size will do.
        keeps_size: Whether images are as large afterwards as before, but for quarter turns; true by default.
    """

    needs_partner: bool
    needed: tuple[int, int] | None
    keeps_size: bool


def transform_traits(transform: object) -> TransformTraits:
    """Reads what a transform declares."""
    return TransformTraits(**_declared(transform, {"needs_partner": False, "needed": None, "keeps_size": True}))


class Blur(Protocol):
    """Blurs photographs in linear light: what to write to add a blur."""

    margin: int
    """Pixels to each side that a blurred pixel looks at; they are cut off afterwards, so no border is seen."""

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws one blur for an image of ``(h, w)`` pixels, margins included: arrays by name, which stack."""

    def expose(self, linear: np.ndarray, drawn: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image of linear light ``(h, w, 3)``, margins included, at its size."""


@dataclass(frozen=True)
class BlurTraits:
    """The optional members of a blur; ``None`` where it lacks one.

    Attributes:
        margin: As above; ``None`` only where the blur is no blur.
        expose_batch: ``expose_batch(linear, drawn)``: the same of a batch ``(n, 3, h, w)``, on its device.
        identity: ``identity()``: what tells its files from others, as a text or plain values.
    """

    margin: int | None
    expose_batch: Callable[..., Any] | None
    identity: Callable[[], Any] | None


def blur_traits(blur: object) -> BlurTraits:
    """Reads what a blur has."""
    return BlurTraits(*(getattr(blur, name, None) for name in ("margin", "expose_batch", "identity")))


class Metric(Protocol):
    """Scores one restored image: what to write to add a metric."""

    def __call__(self, restored: np.ndarray, sharp: np.ndarray | None, /) -> float:
        """Returns the score of RGB images ``(h, w, 3)``, uint8, or float in [0, 1] where a protocol does not round."""


@dataclass(frozen=True)
class MetricTraits:
    """The optional members of a metric.

    Attributes:
        unit: Behind its values in tables; none by default.
        higher_is_better: True by default.
        needs_sharp: Whether it compares with a sharp image; true by default. Else ``sharp`` is ``None``.
        takes_mask: Whether it takes ``mask``, ``(h, w)``, true where a pixel counts; false by default.
        can_be_single: Whether its constructor takes ``single``, to compute in float32; false by default.
        notes: What reports must say of it.
        to: ``to(device)``: moves its networks.
    """

    unit: str
    higher_is_better: bool
    needs_sharp: bool
    takes_mask: bool
    can_be_single: bool
    notes: Sequence[str]
    to: Callable[[torch.device], Any] | None


def metric_traits(metric: object) -> MetricTraits:
    """Reads what a metric declares."""
    return MetricTraits(
        unit=getattr(metric, "unit", ""),
        higher_is_better=getattr(metric, "higher_is_better", True),
        needs_sharp=getattr(metric, "needs_sharp", True),
        takes_mask=getattr(metric, "takes_mask", False),
        can_be_single=getattr(metric, "can_be_single", False),
        notes=getattr(metric, "notes", ()),
        to=getattr(metric, "to", None),
    )


def nested_components(component: object) -> Mapping[str, Nested]:
    """Reads the class attribute ``nested``: the arguments that list components, by name."""
    return getattr(component, "nested", {})


class Restorer(Protocol):
    """Does the iterations of a training: what to write to add a training step.

    A :class:`torch.nn.Module` that is built from :class:`deblurkit.engine.step.Parts`, before the option file's own
    arguments. ``train_step`` alone is checked at registration; the engine saves, averages, validates and logs through
    the other members. A subclass of :class:`deblurkit.engine.step.GANRestorer` has them all.
    """

    generator: nn.Module
    """In training on the training's device; validated, averaged and saved."""
    critics: dict[str, nn.Module]
    """By the names of the option file; saved."""
    losses: dict[str, nn.Module]
    """By the names of the terms; their buffers are saved, their parameters are those of frozen helpers."""
    ema: nn.Module | None
    """The averaged generator: ``None`` at first, filled by the engine where an average is kept."""
    guard: FiniteGuard
    """Read before anything is logged, saved or validated."""
    iteration: int
    """Updates of the generator done so far; the engine sets it before each step."""
    measure: bool
    """Whether this step is logged, and so measures gradients; the engine sets it before each step."""

    @property
    def generator_batches(self) -> int:
        """Batches that the generator takes in an iteration."""

    @property
    def critic_batches(self) -> int:
        """Batches that the critics draw for themselves in an iteration; 0: they see the generator's."""

    def networks(self) -> dict[str, nn.Module]:
        """Returns the networks that are trained, by the name of their optimizer."""

    def distribute(self) -> None:
        """Has the processes of a distributed run exchange gradients; again after what is trained has changed."""

    def train_step(
        self, data: Sequence[dict[str, Any]], optim_wrapper: Mapping[str, NetworkOptimizer]
    ) -> dict[str, Tensor]:
        """Does one iteration and returns its scalars, on the device.

        ``data`` holds ``critic_batches`` batches, then ``generator_batches``; images ``(n, 3, h, w)`` in [0, 1].
        """


def needs_scores(scheduler: object) -> bool:
    """Tells whether one of MMEngine's schedules looks at validation scores, as it declares by ``need_val_args``."""
    return bool(getattr(scheduler, "need_val_args", False))


def _declared(component: object, defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(component, name, default) for name, default in defaults.items()}
