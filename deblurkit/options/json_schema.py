"""A JSON Schema of option files, for editors: the sections from their models, the components from the registries."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from deblurkit import catalogue
from deblurkit.contracts import nested_components
from deblurkit.options import schema as sections
from deblurkit.options.components import Table
from deblurkit.options.merge import DELETE
from deblurkit.options.mmengine_checks import DOUBLED, SECTION_OF, mmengine_tables
from deblurkit.options.schema import DatasetEntry, Loader, LossTerm, Options, TestSet, TrainSet
from deblurkit.options.signature import adapter_of, signature_of
from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS, LOSSES, RESTORERS
from deblurkit.weight_init import INITS

Schema = dict[str, Any]

_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def json_schema() -> Schema:
    """Returns the schema of one option file, with what is registered at this moment.

    It demands no key, because any may stand in a base; ``load_options`` does.
    """
    # The sections, as pydantic describes them.
    schema = section_schema(Options)
    definitions = {name: _partial(definition) for name, definition in schema["$defs"].items()}
    properties = _partial(schema)["properties"]
    # The components, of which the sections say only that they are dicts: from the tables of names.
    mmengine = mmengine_tables()
    scheduler_keys = {"of": {"type": "string", "description": "The one network whose optimizer it schedules."}}
    hooks = dataclasses.replace(mmengine["hook"], names=set(mmengine["hook"].names) - set(DOUBLED))
    init = {"init": {"enum": [*INITS, None], "description": "How the weights start; absent: the network's own way."}}
    definitions |= {
        "Generator": _component(Table.of(ARCHS), giving_way=init),
        "Discriminator": _component(Table.of(DISCRIMINATORS), giving_way=init),
        "LossTerm": _component(Table.of(LOSSES), _own(LossTerm)),
        "Restorer": _component(Table.of(RESTORERS, fills_first=True)),
        "DatasetEntry": _component(Table.of(DATASETS), _own(DatasetEntry) | _own(Loader)),
        "TrainSet": _component(Table.of(DATASETS), _own(TrainSet) | _own(Loader)),
        "TestSet": _component(Table.of(DATASETS), _own(TestSet) | _own(Loader)),
        "Optimizer": _component(mmengine["optimizer"]),
        "Scheduler": _component(mmengine["scheduler"], scheduler_keys),
        "Hook": _component(hooks, {"priority": {}}),
    }
    properties["generator"] = _reference("Generator")
    properties["discriminators"] = _named("Discriminator")
    properties["losses"] = _named("LossTerm")
    properties["restorer"] = _reference("Restorer")
    properties["optimizers"] = _named("Optimizer")
    for key, item in (("schedulers", "Scheduler"), ("hooks", "Hook")):
        properties[key] = {"type": ["array", "null"], "items": {"type": "object", **_reference(item)}}
    # Of MMEngine's own arguments an editor is told only which have a section here.
    properties["engine"] = {"type": ["object", "null"], "propertyNames": {"not": {"enum": sorted(SECTION_OF)}}}
    base = {"type": "string", "description": "An option file, relative to this one; or deblurkit:NAME.yml."}
    properties["_base_"] = {"anyOf": [base, {"type": "array", "items": base}]}
    several = {"type": "array", "items": _reference("TrainSet")}
    train = {"anyOf": [_reference("TrainSet"), several, {"type": "null"}]}
    definitions["Datasets"]["properties"]["train"] = train
    for group, entry in (("val", "DatasetEntry"), ("test", "TestSet")):
        definitions["Datasets"]["properties"][group] = _named(entry)
    file = {"type": "object", "properties": properties, "additionalProperties": False}
    described: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "deblurkit option file",
        **_told_apart(file),
        "$defs": {},
    }
    for name, definition in definitions.items():  # null takes back what a base says
        described["$defs"][name] = {**_told_apart(definition), "type": ["object", "null"]}
    return described


def section_schema(model: type[BaseModel]) -> Schema:
    """Returns a section's schema and those of the sections inside it, described by the docstrings of their fields.

    pydantic would read the docstrings as well, but when a model is defined: at each start, for this rare use.
    """
    schema = model.model_json_schema()
    for name, definition in {model.__name__: schema, **schema.get("$defs", {})}.items():
        for base in reversed(vars(sections)[name].__mro__):
            for field, text in _field_docstrings(base.__name__).items():
                definition["properties"][field]["description"] = text
    return schema


def _field_docstrings(section: str) -> dict[str, str]:
    """Returns what stands below the fields that a section itself defines; nothing of a class from elsewhere."""
    source = catalogue.definitions(sections.__name__).get(section)
    found = {}
    for field, below in itertools.pairwise(source.body if source is not None else ()):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return found


def _told_apart(schema: Schema) -> Schema:
    """Rewrites a schema and all inside it for files that a person is still writing.

    Each union becomes cases by the type of the value. Of a plain ``anyOf`` an editor can only say that nothing fits, or
    which choice nobody meant: "not of type null", where a key is misspelt. And each dict takes ``_delete_``.
    """
    found = dict(schema)
    for keyword in ("items", "additionalProperties", "then"):
        if isinstance(found.get(keyword), dict):
            found[keyword] = _told_apart(found[keyword])
    for keyword in ("anyOf", "allOf", "prefixItems"):
        if keyword in found:
            found[keyword] = [_told_apart(each) for each in found[keyword]]
    if "properties" in found:
        found["properties"] = {name: _told_apart(each) for name, each in found["properties"].items()}
    if "anyOf" in found:
        found = {**_by_type(found.pop("anyOf")), **found}
    if "object" in _types(found) and "$ref" not in found:
        found["properties"] = {**found.get("properties", {}), DELETE: {"type": "boolean"}}
    return found


def _by_type(choices: Sequence[Schema]) -> Schema:
    """Returns what ``anyOf`` these choices accepts, where their types allow it without that keyword."""
    cases: dict[str, list[Schema]] = {}
    for choice in choices:
        kinds = _types(choice)
        if not kinds:
            return {"anyOf": list(choices)}
        for kind in kinds:
            cases.setdefault(kind, []).append(choice)
    nullable = cases.pop("null", None) is not None
    others = [choice for choice in choices if _types(choice) != ["null"]]
    if len(others) == 1:
        return _or_null(others[0]) if nullable else others[0]
    if {"integer", "number"} <= cases.keys():  # a whole number is both, and need fit only one
        cases["number"] += cases.pop("integer")
    conditions = []
    for kind, fitting in cases.items():
        then = fitting[0] if len(fitting) == 1 else {"anyOf": fitting}
        conditions.append({"if": {"type": kind}, "then": then})
    return {"type": [*cases, *(["null"] if nullable else [])], "allOf": conditions}


def _types(schema: Schema) -> list[str]:
    """Returns the JSON types that a schema accepts; none where it names none."""
    if "$ref" in schema:
        return ["object", "null"]  # as all definitions are
    if "enum" in schema and "type" not in schema:
        return list(dict.fromkeys(_JSON_TYPES[type(value)] for value in schema["enum"]))
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _or_null(schema: Schema) -> Schema:
    """Lets null stand for a value."""
    if "$ref" in schema:
        return schema
    widened = {**schema, "type": list(dict.fromkeys([*_types(schema), "null"]))}
    if "const" in widened:
        widened["enum"] = [widened.pop("const")]
    if "enum" in widened:
        widened["enum"] = [*widened["enum"], None]
    return widened


def _partial(definition: Schema) -> Schema:
    """Makes a section's schema fit a file that says a part of it and leaves the rest to its bases."""
    kept = dict(definition)
    kept.pop("required", None)
    if "properties" in kept:
        nullable: Schema = {}
        for name, entry in kept["properties"].items():
            nullable[name] = {"anyOf": [entry, {"type": "null"}]}  # null takes back what a base says
        kept["properties"] = nullable
    return kept


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _named(name: str) -> Schema:
    """Describes a dict of named entries, each of which null removes."""
    entry = {"anyOf": [_reference(name), {"type": "null"}]}
    return {"type": ["object", "null"], "additionalProperties": entry}


def _own(model: type[BaseModel]) -> dict[str, Schema]:
    """Returns the keys that a section adds to its component."""
    properties: dict[str, Schema] = section_schema(model)["properties"]
    for name in ("component", "loader"):  # written in the same dict, not as keys of it
        properties.pop(name, None)
    return properties


def _component(
    table: Table, own: dict[str, Schema] | None = None, giving_way: dict[str, Schema] | None = None
) -> Schema:
    """Describes ``{type: NAME, **arguments}``: what else may stand there depends on the name.

    ``own`` are further keys of the same dict, ``giving_way`` those that give way to an argument of the same name.
    """
    shared = {**(own or {}), DELETE: {"type": "boolean"}}
    cases = []
    for name in sorted(table.names):
        component = table.get(name)
        signature = signature_of(component)
        filled = table.filled(signature)
        properties = {name: _argument(taken) for name, taken in signature.annotations.items() if name not in filled}
        for key, nested in nested_components(component).items():
            if key in properties:
                inner = _component(Table.of(nested.registry), {name: {} for name in nested.own_keys})
                # Each item is a component, or its name where it needs no arguments.
                properties[key] = {"type": "array", "items": {"anyOf": [{"enum": nested.registry.names()}, inner]}}
        summary = (inspect.getdoc(component) or "").partition("\n")[0]
        named = {"type": {"description": summary}}
        then: Schema = {"properties": {**named, **(giving_way or {}), **properties, **shared}}
        if not signature.is_open:
            then["additionalProperties"] = False
        cases.append({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then})
    kinds = {"enum": sorted(table.names), "description": f"The name of a {table.kind}."}
    return {"type": "object", "properties": {"type": kinds, **shared}, "allOf": cases}


def _argument(annotation: object) -> Schema:
    """Describes an argument, where its annotation can be described on the spot; else lets it be anything."""
    adapter = adapter_of(annotation)
    if adapter is None:
        return {}
    try:
        schema = adapter.json_schema()
    except PydanticUserError:  # such as an object that no option file can hold
        return {}
    return {} if "$defs" in schema else schema
