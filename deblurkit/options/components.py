"""Checking one component of an option file against the table it is named from, before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deblurkit.errors import did_you_mean
from deblurkit.options.document import Node, follow
from deblurkit.options.problems import Path, Problem
from deblurkit.options.signature import Signature, argument_problems, signature_of

if TYPE_CHECKING:
    from deblurkit.registry import ComponentRegistry


@dataclass(frozen=True, slots=True)
class Table:
    """Names that may stand under ``type``, and what they mean.

    Args:
        kind: What one of them names, for messages.
        names: All of them.
        get: Returns what a name means, ``None`` for any other; only what it is asked for need be imported.
        fills_first: Whether the engine gives the first argument of each constructor, so that option files must not.
        fills: Further arguments that the engine gives.
    """

    kind: str
    names: Collection[str]
    get: Callable[[str], Any]
    fills_first: bool = False
    fills: tuple[str, ...] = ()

    @classmethod
    def of(cls, registry: ComponentRegistry, fills_first: bool = False) -> Table:
        """Takes the table of a registry of ours."""
        return cls(registry.name, registry.names(), registry.get, fills_first)

    def filled(self, signature: Signature) -> tuple[str, ...]:
        """Returns the arguments of a constructor that the engine gives."""
        first = tuple(signature.annotations)[:1] if self.fills_first else ()
        return (*first, *self.fills)


@dataclass(slots=True)
class Report:
    """Collects problems and finds out where each value was written.

    Args:
        root: The merged option tree.
        problems: Those found while reading; more are appended.
        incomplete: A file ended early, so what seems missing may stand there.
        names_open: A plugin failed, so names that seem unknown may be its.
    """

    root: Node
    problems: list[Problem] = field(default_factory=list)
    incomplete: bool = False
    names_open: bool = False

    def add(self, path: Path, text: str) -> None:
        """Notes a problem of the value at ``path``, or of the lack of it."""
        trail = follow(self.root, path)
        # A value that bears a tag is reported for that; whatever else it is, it is not what was meant.
        if not any(node.refused for node in trail):
            self.problems.append(Problem(trail[-1].origin, path, text))

    def has(self, path: Path) -> bool:
        """Tells whether a problem of exactly ``path`` is noted."""
        return any(problem.path == path for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Checked:
    """A component whose name is known."""

    component: Any
    arguments: dict[str, Any]
    """Those that fit the constructor."""
    clean: bool
    """Whether these are all that were given."""
    complete: bool
    """Whether nothing that the constructor requires is lacking."""


def check_component(
    report: Report,
    path: Path,
    config: Mapping[str, Any],
    table: Table,
    *,
    other_keys: Collection[str] = (),
    demand: bool = True,
) -> Checked | None:
    """Checks ``{type: NAME, **arguments}``, which stands at ``path``, against the names of a table.

    ``config`` is without the keys of that dict that are meant for others; these are ``other_keys``, for suggestions.
    Missing arguments are problems where ``demand`` says so. Returns ``None`` where the name is missing or unknown.
    """
    component = _named(report, path, config, table)
    if component is None:
        return None
    signature = signature_of(component)
    filled = table.filled(signature)
    name = config["type"]
    allowed = signature.annotations.keys() - filled
    good: dict[str, Any] = {}
    for argument, value in config.items():
        if argument == "type":
            continue
        if argument in filled:
            report.add((*path, argument), f"the engine fills this argument of {name}; leave it out")
        elif argument not in allowed and not signature.is_open:
            hint = did_you_mean(argument, {*allowed, *other_keys, "type"})
            report.add((*path, argument), f"{name} has no argument {argument!r}{hint}")
        else:
            # Where the constructor is open, other keys are for somebody whom we cannot see, and may have any value.
            wrong = argument_problems(signature.annotations[argument], value) if argument in allowed else []
            for inner, text in wrong:
                report.add((*path, argument, *inner), text)
            if not wrong:
                good[argument] = value
    lacking = [argument for argument in signature.required if argument not in {*config, *filled}]
    for argument in lacking:
        # One message for one mistake: a key that resembles the missing one is reported as unknown, with this hint.
        if demand and not misspelt(argument, config, {*allowed, "type"}):
            report.add((*path, argument), f"missing, {name} requires it")
    return Checked(component, good, len(good) == len(config) - 1, not lacking)


def misspelt(key: str, entries: Iterable[str], known: Container[str]) -> bool:
    """Tells whether one of ``entries`` is not known and probably means ``key``, which then is not missing."""
    return any(entry not in known and bool(did_you_mean(entry, [key])) for entry in entries)


def _named(report: Report, path: Path, config: Mapping[str, Any], table: Table) -> Any:
    place = (*path, "type")
    if "type" not in config:
        if not report.incomplete:  # the type may stand in the part that could not be read
            alike = [f" (did you mean 'type' by {key!r}?)" for key in config if did_you_mean(key, ["type"])]
            report.add(place, f"missing, it names the {table.kind}{''.join(alike[:1])}")
        return None
    name = config["type"]
    if not isinstance(name, str):
        report.add(place, f"should be the name of a {table.kind}, not {name!r}")
        return None
    component = table.get(name)
    if component is None and not report.names_open and not report.has(place):
        from deblurkit.plugins import plugins_told

        # A name that resembles no other may be that of a plugin that is not there.
        hint = did_you_mean(name, table.names) or f"; known: {', '.join(sorted(table.names))}; {plugins_told()}"
        report.add(place, f"no {table.kind} is named {name!r}{hint}")
    return component
