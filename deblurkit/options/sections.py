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
    """Checks every section's keys and types; return the options where all fit."""
    try:
        return Options.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    for detail in details:
        path, value = within(detail["loc"], data)
        if detail["type"] == "missing":
            key = str(detail["loc"][-1])
            if not report.incomplete and not misspelt(key, _entries(data, path), _section(path)):
                report.add((*path, key), "missing")
        elif detail["type"] == "extra_forbidden":
            report.add(path, f"unknown key{_nearest(path)}")
        elif detail["loc"][-1:] == ("[key]",):
            report.add(path, f"{expectation(detail)}, not {detail['input']!r}")
        else:
            report.add(path, with_value(_in_yaml_words(expectation(detail)), value))
    return None


def _entries(data: Any, path: Path) -> list[str]:
    for part in path:
        data = data[part]
    return list(data) if isinstance(data, dict) else []


def _in_yaml_words(text: str) -> str:
    if text.startswith("should be a valid dictionary"):
        return "should be a dict of keys and values"
    return text.replace("valid string", "text").replace("should be a text", "should be text")


def _nearest(path: Path) -> str:
    """Suggests a key of the same section, else the one section that has a key of this very name."""
    key = str(path[-1])
    hint = did_you_mean(key, {"_base_"} | set(Options.model_fields) if len(path) == 1 else _section(path[:-1]))
    if hint:
        return hint
    homes = [name for name in Options.model_fields if key in _section((name,))]
    return f" (did you mean '{dotted((homes[0], key))}'?)" if len(homes) == 1 else ""


def _section(path: Path) -> set[str]:
    """Returns the keys that the section at ``path`` may have; none for a dict of named entries."""
    model: type[BaseModel] | None = Options
    for part in path:
        inner = model.model_fields.get(str(part)) if model is not None else None
        model = _model_in(inner.annotation) if inner is not None else None
    return set() if model is None else set(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the section that an annotation stands for, also ``Section | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None if issubclass(annotation, FlatSection) else annotation
    if typing.get_origin(annotation) in (dict, list):
        return None
    return next((model for arg in typing.get_args(annotation) if (model := _model_in(arg)) is not None), None)
