"""Decides what becomes of options that differ from those that a resumed run was begun with."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deblurkit.options.schema import listed_sets


class Effect(enum.Enum):
    """The effect of a changed option on a resumed run."""

    APPLIED = "applied"
    REFUSED = "refused"
    NONE = "without effect"


@dataclass(frozen=True)
class Rule:
    """The rule for an option that is changed.

    Attributes:
        pattern: Key paths that the rule is for; ``*`` is any one key, ``**`` any number of them.
        words: How, or why.
        new_measure: Whether scores before and after the change are not comparable.
    """

    pattern: str
    effect: Effect
    words: str
    new_measure: bool = False

    def fits(self, key: str) -> bool:
        """Tells whether the rule is for a key path."""
        parts = [_WILD.get(part, re.escape(part)) for part in self.pattern.split(".")]
        return re.fullmatch(r"\.".join(parts).replace(r"\.(.+)?", r"(\..+)?"), key) is not None


_WILD = {"*": r"[^.]+", "**": "(.+)?"}

RULES = (
    Rule("name", Effect.APPLIED, "it names the run in logs, reports and later checkpoints"),
    Rule("seed", Effect.REFUSED, "the data's order and every random number of a run follow from its one seed"),
    Rule("plugins", Effect.APPLIED, "their present code runs"),
    Rule("paper.**", Effect.APPLIED, "reports show it"),
    Rule("generator.type", Effect.REFUSED, "the checkpoint holds the weights of another network"),
    Rule("generator.encoder_weights", Effect.NONE, "the weights come from the checkpoint"),
    Rule("generator.download", Effect.NONE, "the weights come from the checkpoint"),
    Rule("generator.init", Effect.NONE, "the weights come from the checkpoint"),
    Rule("generator.**", Effect.APPLIED, "where the checkpoint's weights fit, else it is refused"),
    Rule("discriminators.*", Effect.REFUSED, "the checkpoint holds the weights of other critics"),
    Rule("discriminators.*.type", Effect.REFUSED, "the checkpoint holds the weights of another critic"),
    Rule("discriminators.*.init", Effect.NONE, "the weights come from the checkpoint"),
    Rule("discriminators.**", Effect.APPLIED, "where the checkpoint's weights fit, else it is refused"),
    Rule("losses.*.start", Effect.APPLIED, "counted from the run's beginning"),
    Rule("losses.*.end", Effect.APPLIED, "counted from the run's beginning"),
    Rule("losses.**", Effect.APPLIED, "from the next iteration on"),
    Rule("restorer.**", Effect.APPLIED, "from the next iteration on"),
    Rule("optimizers.*.type", Effect.REFUSED, "the checkpoint holds the state of another optimizer"),
    Rule("optimizers.**", Effect.APPLIED, "from the next iteration on; refused where it asks for another state"),
    Rule("schedulers", Effect.APPLIED, "each rate is that of a run that had these schedules from its beginning"),
    Rule("datasets.train.**.workers", Effect.APPLIED, "only the speed changes"),  # of one set, or of the first
    Rule("datasets.train.**.prefetch", Effect.APPLIED, "only the speed changes"),
    Rule("datasets.train.**.persistent", Effect.APPLIED, "only the speed changes"),
    Rule("datasets.train.**.cache", Effect.APPLIED, "only the speed changes"),
    Rule("datasets.train.**", Effect.APPLIED, "from the next batch on, at the same share of the epoch"),
    Rule("datasets.val.**", Effect.APPLIED, "the best score so far no longer counts", new_measure=True),
    Rule("datasets.test.**", Effect.APPLIED, "deblurkit test scores it"),
    Rule("train.epochs", Effect.APPLIED, "the run ends there; each rate is that of a run of this length"),
    Rule("train.iters", Effect.APPLIED, "the run ends there; each rate is that of a run of this length"),
    Rule("train.critic_batches", Effect.APPLIED, "from the next iteration on; an epoch is a pass of the generator"),
    Rule("train.accumulate", Effect.APPLIED, "from the next iteration on, at the same share of the epoch"),
    Rule("train.critic_warmup", Effect.APPLIED, "counted from the run's beginning"),
    Rule("train.freeze.**", Effect.APPLIED, "counted from the run's beginning"),
    Rule("train.fast", Effect.APPLIED, "from the next iteration on; all but rounding stays as it is"),
    Rule("train.ema.decay", Effect.APPLIED, "from the next iteration on"),
    Rule("train.ema.warmup", Effect.APPLIED, "counted from the average's beginning"),
    Rule("train.ema", Effect.APPLIED, "a new average begins at the present weights; without one, it is dropped"),
    Rule("train.**", Effect.APPLIED, "from the next iteration on"),
    Rule("val.every", Effect.APPLIED, "from the next iteration on"),
    Rule("val.**", Effect.APPLIED, "the best score so far no longer counts", new_measure=True),
    Rule("logging.**", Effect.APPLIED, "from the next iteration on"),
    Rule("hooks", Effect.APPLIED, "they begin anew: checkpoints hold nothing of theirs"),
    Rule("engine.randomness.deterministic", Effect.APPLIED, "from the next iteration on"),
    Rule("engine.randomness.**", Effect.NONE, "the streams of random numbers go on from the checkpoint"),
    Rule("engine.**", Effect.APPLIED, "from the next iteration on"),
)
"""The first that fits a key counts."""

UNKNOWN = Rule("**", Effect.NONE, "this version has no such option")
"""The rule for a key of a checkpoint that a later version wrote, or that is damaged."""


@dataclass(frozen=True)
class Change:
    """An option that differs between the checkpoint and today; its value is ``None`` where the key is absent."""

    key: str
    before: Any
    after: Any
    rule: Rule

    def __str__(self) -> str:
        return f"{self.key}: {self.before!r} -> {self.after!r}: {self.rule.effect.value}, {self.rule.words}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Returns what differs between a checkpoint's options and those of today, with what becomes of it.

    Of a component whose ``type`` changed nothing but that is listed: its arguments are another component's.
    """
    return [Change(key, old, new, rule_for(key)) for key, old, new in _differences(before, after, "")]


def rule_for(key: str) -> Rule:
    """Returns the rule of a key path such as ``optimizers.generator.lr``."""
    return next((rule for rule in RULES if rule.fits(key)), UNKNOWN)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any, Any]]:
    if before.get("type") != after.get("type"):
        yield f"{place}type", before.get("type"), after.get("type")
        return
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if place == "engine.":  # MMEngine's arguments, absent ones included, are dicts without a meaning as a whole
            old, new = ({} if value is None else value for value in (old, new))
        if f"{place}{key}" == "datasets.train" and (isinstance(old, list) or isinstance(new, list)):
            old, new = _numbered(old), _numbered(new)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{place}{key}.")
        elif old != new:
            yield f"{place}{key}", old, new


def _numbered(sets: object) -> dict[str, Any]:
    """Returns one training set, or several, by their numbers."""
    return {str(number): entry for number, entry in enumerate(listed_sets(sets))}
