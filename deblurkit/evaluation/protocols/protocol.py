"""Protocols: all that must be the same before two scores may be compared.

A protocol is a class registered in ``PROTOCOLS`` under its id. What sets it apart from others is stated as class
attributes, and where attributes do not reach as overridden methods.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deblurkit.contracts import Metric, metric_traits
from deblurkit.data.images import to_uint8
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation.alignment import Aligned, Facts, align_ecc, align_nothing, align_shift
from deblurkit.evaluation.protocols.descriptions import in_words, layout
from deblurkit.metrics.images import Array
from deblurkit.registry import METRICS, PROTOCOLS

Component = Mapping[str, Any]
"""A metric as option files write it: ``{"type": NAME, **arguments}``."""

_WORDS = {"description", "data", "preparation", "averaging", "source", "grouping"}
"""Attributes that change no score and so stay out of the digest."""

_STEPS = ("prepare", "after", "select", "quantise", "score", "measure", "average")
"""Methods that decide scores; the digest names those that are overridden."""


class Quantisation(NamedTuple):
    """Turns an image ``(3, h, w)`` in [0, 1] into one that is scored, ``(h, w, 3)``."""

    description: str
    apply: Callable[[Tensor], Array]


class Alignment(NamedTuple):
    """Prepares a restored and a true image for their comparison."""

    description: str
    apply: Callable[[Array, Array], Aligned]


class Scored(NamedTuple):
    """The scores of one image.

    Attributes:
        scores: Each metric's value; empty where nothing could be computed.
        facts: What was found out on the way: whether an alignment converged, shifts, the best frame.
    """

    scores: dict[str, float]
    facts: Facts


def _cut_off(image: Tensor) -> Array:
    return (_to_float(image) * np.float32(255)).astype(np.uint8)


def _to_float(image: Tensor) -> Array:
    return np.ascontiguousarray(image.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy())


QUANTISATIONS = {
    "round_u8": Quantisation("clipped to [0, 1], times 255, rounded half up to 8 bits", to_uint8),
    "trunc_u8": Quantisation("clipped to [0, 1], times 255, cut off to 8 bits without rounding", _cut_off),
    "float": Quantisation("clipped to [0, 1], not rounded, float32", _to_float),
}
ALIGNMENTS = {
    "none": Alignment("none", align_nothing),
    "ecc": Alignment(
        "intensity by one factor; homography by ECC of grey images (at most 100 iterations, from the identity), "
        "bicubic; pixels from outside the frame do not count",
        align_ecc,
    ),
    "shift": Alignment(
        "intensity by one factor; whole-pixel shift by FFT cross-correlation of channel means; the emptied border is "
        "zero in both images and counts",
        align_shift,
    ),
}


class Protocol:
    """How restored images are scored against the true ones.

    Args:
        backbones: Weights of the networks that metrics use: network to a file, or to ``random``.
        single: Compute metrics that can in float32 instead of float64; a deviation, said in :meth:`notes`.

    Attributes:
        id: The name in ``PROTOCOLS``.
        version: Raised whenever the same images would get another score.
        description: One line: who scores like this.
        data: In words: the images that it is defined on.
        expects: The same as data sets describe themselves: set to facts. Empty: any data.
        preparation: In words: what :meth:`prepare` and :meth:`after` do.
        quantisation: A key of :data:`QUANTISATIONS`: what happens to an image before it is scored.
        alignment: A key of :data:`ALIGNMENTS`: what happens to a pair before it is compared.
        metrics: The name of each score in reports, and the metric it comes from as an option file writes it.
        crop_border: Pixels cut off at each edge before anything is computed, the alignment included.
        inference: The inference mode that the protocol prescribes.
        all_truths: Whether an image is scored against all true frames of its exposure instead of one.
        training_mode: Whether the generator runs in training mode, with dropout and the image's own statistics.
        averaging: In words, how a data set's score comes from its images.
        grouping: A pattern whose named groups, found at the start of an image's key, are what it is grouped by.
        source: In words: the code or paper that the definition was read from.

    Raises:
        ValueError: An attribute holds what is not known, or ``backbones`` names a network that no metric uses.
        UserError: A metric cannot be built: its weights are missing.
    """

    id: ClassVar[str]
    version: ClassVar[int]
    description: ClassVar[str]
    data: ClassVar[str] = "any pairs"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    preparation: ClassVar[str] = "none"
    quantisation: ClassVar[str] = "round_u8"
    alignment: ClassVar[str] = "none"
    metrics: ClassVar[Mapping[str, Component]]
    crop_border: ClassVar[int] = 0
    inference: ClassVar[str] = "whole"
    all_truths: ClassVar[bool] = False
    training_mode: ClassVar[bool] = False
    averaging: ClassVar[str] = "mean of the images' scores"
    grouping: ClassVar[str] = ""
    source: ClassVar[str] = "this class"

    def __init__(self, backbones: Mapping[str, str] | None = None, single: bool = False) -> None:
        # Checked here, or a plugin's mistyped attribute would show at the first image, and as a KeyError.
        _check_known("quantisation", self.quantisation, QUANTISATIONS)
        _check_known("alignment", self.alignment, ALIGNMENTS)
        self.single = single
        backbones, networks = backbones or {}, self.networks()
        for name in backbones:
            if name not in networks:
                used = "none of its metrics is a network"
                if networks:
                    used = f"its networks are {', '.join(sorted(networks))}"
                raise ValueError(f"backbones: got {name!r}, but {used}{did_you_mean(name, networks)}")
        self._metrics: dict[str, Metric] = {}
        for name, component in self.metrics.items():
            config = dict(component)
            if config.get("net") in backbones:
                config["weights"] = backbones[config["net"]]
            if single and metric_traits(METRICS.get(str(config["type"]))).can_be_single:
                config["single"] = True
            self._metrics[name] = METRICS.build(config, where=f"{self.id}: metric {name}")

    def to(self, device: torch.device | str) -> None:
        """Moves metrics that are networks to a device."""
        for metric in self._metrics.values():
            move = metric_traits(metric).to
            if move is not None:
                move(torch.device(device))

    def prepare(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Changes a sample before it is restored.

        Args:
            sample: ``blurred`` and, where known, ``sharp``, ``(3, h, w)`` in [0, 1]; and ``key``.
            rng: Where random numbers come from; equal ones give equal samples.
        """
        return sample

    def after(self, image: Tensor, sample: Mapping[str, Any]) -> Tensor:
        """Undoes in an image ``(3, h, w)`` what :meth:`prepare` did and the comparison must not see.

        It is done to the restored image and to the blurred input alike, each before :meth:`quantise`.

        Args:
            image: As the generator returned it, or ``sample["blurred"]``.
            sample: What :meth:`prepare` returned.
        """
        return image

    def select(self, keys: Sequence[str]) -> list[int]:
        """Returns the indices of the images that are scored, of a data set's keys; all, unless overridden."""
        return list(range(len(keys)))

    def groups(self, key: str) -> dict[str, str]:
        """Returns what an image belongs to, such as ``{"video": "GOPR0384_11_00"}``; nothing where it is not known."""
        found = re.match(self.grouping, key)  # an empty pattern matches, and names no groups
        return found.groupdict() if found else {}

    def quantise(self, image: Tensor) -> Array:
        """Turns an image ``(3, h, w)`` in [0, 1] into what is scored: ``(h, w, 3)``, uint8 unless float is scored."""
        return QUANTISATIONS[self.quantisation].apply(image)

    def score(self, image: Array, truths: Iterable[Array]) -> Scored:
        """Scores one image; may be called from several threads at once.

        Where an image is aligned, no scores are given against a black truth; the fact ``truth`` is ``black`` then.

        Args:
            image: As :meth:`quantise` returns it.
            truths: The true image, quantised too; with ``all_truths`` every true frame in turn. Nothing where no truth
                is known: only metrics that need none are computed then.

        Raises:
            ValueError: The images differ in shape or are too small for a metric.
        """
        image, truth = self._inside(image), next(iter(truths), None)
        if truth is None:
            return Scored(self._without_truth(image), {})
        truth = self._inside(truth)
        # The factor that fits an image to a black one is zero: every restoration would be perfect.
        if self.alignment != "none" and not truth.any():
            return Scored(self._without_truth(image), {"truth": "black"})
        aligned = ALIGNMENTS[self.alignment].apply(image, truth)
        return Scored(self.measure(aligned), aligned.facts)

    def measure(self, pair: Aligned) -> dict[str, float]:
        """Returns every metric's value of an aligned pair."""
        values = {}
        for name, metric in self._metrics.items():
            traits = metric_traits(metric)
            if not traits.needs_sharp:
                values[name] = float(metric(pair.image, None))
            elif traits.takes_mask and pair.mask is not None:
                masked: Callable[..., float] = metric  # it takes one more than every metric does
                values[name] = float(masked(pair.image, pair.truth, pair.mask))
            else:
                values[name] = float(metric(pair.image, pair.truth))
        return values

    def average(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns a data set's scores from those of its images: of each metric, over the images that have it."""
        means = {}
        for name in self.metrics:
            values = [score[name] for score in scores if name in score]
            if values:
                means[name] = math.fsum(values) / len(values)
        return means

    def facts_summary(self, facts: Sequence[Facts]) -> list[str]:
        """Says in lines what the facts of a data set's images amount to."""
        searches = [fact["ecc"] for fact in facts if "ecc" in fact]
        failed, black = searches.count("failed"), sum(fact.get("truth") == "black" for fact in facts)
        lines = []
        if failed:
            lines.append(f"{failed} of {len(searches)} ECC alignments did not converge: scored without a warp")
        if black:
            images = f"{black} of {len(facts)} images have a black true image"
            lines.append(f"{images}, onto which nothing can be scaled: they are not scored")
        return lines

    def notes(self) -> list[str]:
        """Says what a reader of the scores must know of how this protocol was built."""
        found: list[str] = []
        for metric in self._metrics.values():
            found += metric_traits(metric).notes
        if self.single:
            found.append("metrics were computed in single precision where they can be; the protocol's own is double")
        return list(dict.fromkeys(found))

    def deviations(self, described: Mapping[str, Any]) -> list[str]:
        """Says where a data set, as it describes itself, is not what the protocol is defined on."""
        if not self.expects or not described:
            return []
        name = str(described.get("set"))
        told = f"{self.id} is defined on {self.data}; scored were images of"
        if name not in self.expects:
            return [f"{told} {described.get('sharp', name)}"]
        # A set that was reduced or cropped is another one, whatever its name.
        wanted = {"resize": None, "crop": None, **self.expects[name]}
        found = []
        for fact, value in wanted.items():
            if described.get(fact) != value:
                found.append(f"{told} {name} with {fact}: {described.get(fact)}")
        return found

    @classmethod
    def networks(cls) -> set[str]:
        """Returns the networks that the metrics use, by the names that ``backbones`` has."""
        return {component["net"] for component in cls.metrics.values() if "net" in component}

    @property
    def digest(self) -> str:
        """A short hash of all attributes except wording, and of which methods that decide scores are overridden.

        What an overridden method does is not in it: ``version`` tells of a change there.
        """
        return self._digest()

    @classmethod
    def _digest(cls) -> str:
        stated = {}
        # All public attributes, those of a subclass too: a plugin may state in one of its own what changes scores.
        for name in dir(cls):
            value = getattr(cls, name)
            if not (name.startswith("_") or name in _WORDS or callable(value) or isinstance(value, property)):
                stated[name] = value
        stated["overridden"] = [name for name in _STEPS if getattr(cls, name) is not getattr(Protocol, name)]
        text = json.dumps(stated, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def explain(self) -> str:
        """Says what is computed, and how this instance deviates from the definition."""
        return "\n".join([self.definition(), *(f"note: {note}" for note in self.notes())])

    @classmethod
    def definition(cls) -> str:
        """Says what the protocol computes; needs no metric's weights."""
        rows = {"data": cls.data}
        if cls.preparation != "none":
            rows["preparation"] = cls.preparation
        rows["inference"] = cls.inference
        if cls.training_mode:
            rows["inference"] += ", generator in training mode"
        rows["quantisation"] = f"{cls.quantisation}: {QUANTISATIONS[cls.quantisation].description}"
        rows["crop_border"] = f"{cls.crop_border} pixels"
        rows["alignment"] = ALIGNMENTS[cls.alignment].description
        rows["truth"] = "all true frames of the exposure" if cls.all_truths else "one true image"
        for name, component in cls.metrics.items():
            rows[f"metric {name}"] = in_words(component)
        rows |= {"averaging": cls.averaging, "source": cls.source}
        return layout(f"{cls.id}, version {cls.version}, digest {cls._digest()}", cls.description, rows)

    def _without_truth(self, image: Array) -> dict[str, float]:
        values = {}
        for name, metric in self._metrics.items():
            if not metric_traits(metric).needs_sharp:
                values[name] = float(metric(image, None))
        return values

    def _inside(self, image: Array) -> Array:
        inside = slice(self.crop_border, -self.crop_border or None)  # a slice to -0 would be empty
        return image[inside, inside]


def find_protocol(name: str, where: str = "protocol") -> type[Protocol]:
    """Returns the class of the protocol registered as ``name``.

    Raises:
        UserError: There is none, naming ``where`` it was asked for.
    """
    found: type[Protocol] | None = PROTOCOLS.get(name)
    if found is None:
        raise UserError(f"{where}: {PROTOCOLS.miss(name)}")
    return found


def get_protocol(
    name: str, where: str = "protocol", *, backbones: Mapping[str, str] | None = None, single: bool = False
) -> Protocol:
    """Returns the protocol registered as ``name``, ready to score; see :class:`Protocol`.

    Raises:
        UserError: There is no such protocol, it has no use for one of the backbones, or lacks the weights of one.
    """
    found = find_protocol(name, where)
    try:
        return found(backbones, single)
    except ValueError as error:
        raise UserError(f"{where}: {name}: {error}") from error


def _check_known(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f"{kind}: got {name!r}, expected one of {', '.join(known)}{did_you_mean(name, known)}")
