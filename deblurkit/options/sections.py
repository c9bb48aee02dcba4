"""The typed sections of an option file, and pydantic's errors in words that point at keys."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from deblurkit.errors import did_you_mean
from deblurkit.options.components import Report, misspelt
from deblurkit.options.problems import Path, dotted
from deblurkit.options.schema import FlatSection, Options
from deblurkit.options.signature import expectation, with_value, within


def validate(report: Report, data: dict[str, Any]) -> Options | None:
    """Checks every section's keys and types, and returns the options where all fit."""
    try:
        return Options.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    for detail in details:
        path, value = within(detail["loc"], data)
        if detail["type"] == "missing":
            key = str(detail["loc"][-1])
            if not report.incomplete and not misspelt(key, value, _section(path)):
                report.add((*path, key), "missing")
        elif detail["type"] == "extra_forbidden":
            report.add(path, f"unknown key{_nearest(path)}")
        elif detail["loc"][-1:] == ("[key]",):
            report.add(path, f"{expectation(detail)}, not {detail['input']!r}")
        else:
            report.add(path, with_value(_in_yaml_words(expectation(detail)), value))
    return None


def _in_yaml_words(text: str) -> str:
    if text.startswith("should be a valid dictionary"):
        return "should be a dict of keys and values"
    return text.replace("valid string", "text").replace("should be a text", "should be text")


def _nearest(path: Path) -> str:
    """Suggests a key of the same section, else the one section that has a key of this very name."""
    key = str(path[-1])
    known = _section(path[:-1])
    if len(path) == 1:
        known.add("_base_")  # which is no option: it is gone once the file is read
    hint = did_you_mean(key, known)
    if hint:
        return hint
    homes = [name for name in Options.model_fields if key in _section((name,))]
    return f" (did you mean '{dotted((homes[0], key))}'?)" if len(homes) == 1 else ""


def _section(path: Path) -> set[str]:
    """Returns the keys that the section at ``path`` may have; none for a dict of named entries."""
    model: type[BaseModel] = Options
    for part in path:
        field = model.model_fields.get(str(part))
        section = _section_in(field.annotation) if field is not None else None
        if section is None:
            return set()
        model = section
    return set(model.model_fields)


def _section_in(annotation: object) -> type[BaseModel] | None:
    """Returns the section that an annotation ``Section`` or ``Section | None`` stands for."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        # The keys of a component are its constructor's, and are checked with that.
        return None if issubclass(annotation, FlatSection) else annotation
    if typing.get_origin(annotation) not in (dict, list):
        for choice in typing.get_args(annotation):
            if section := _section_in(choice):
                return section
    return None
