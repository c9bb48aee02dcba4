"""A JSON Schema of option files, for editors: the sections from their models, the components from the registries."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from deblurkit.contracts import nested_components
from deblurkit.options.components import Table
from deblurkit.options.merge import DELETE
from deblurkit.options.mmengine_checks import SECTION_OF, mmengine_tables
from deblurkit.options.schema import DatasetEntry, Loader, LossTerm, Options, TestSet
from deblurkit.options.signature import adapter_of, signature_of
from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS, LOSSES, RESTORERS, Nested
from deblurkit.weight_init import INITS

Schema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """Returns the schema of one option file, with what is registered at this moment.

    It demands no key, because any may stand in a base; ``load_options`` does.
    """
    schema = Options.model_json_schema()
    definitions = {name: _partial(definition) for name, definition in schema["$defs"].items()}
    mmengine = mmengine_tables()
    scheduler_keys = {"of": {"type": "string", "description": "The one network whose optimizer it schedules."}}
    init = {"init": {"enum": [*INITS, None], "description": "How the weights start; absent: the network's own way."}}
    definitions |= {
        "Generator": _component(Table.of(ARCHS), giving_way=init),
        "Discriminator": _component(Table.of(DISCRIMINATORS), giving_way=init),
        "LossTerm": _component(Table.of(LOSSES), _own(LossTerm)),
        "Restorer": _component(Table.of(RESTORERS), first_filled=True),
        "DatasetEntry": _component(Table.of(DATASETS), _own(DatasetEntry) | _own(Loader)),
        "TestSet": _component(Table.of(DATASETS), _own(TestSet) | _own(Loader)),
        "Optimizer": _component(mmengine["optimizer"], first_filled=True),
        "Scheduler": _component(mmengine["scheduler"], scheduler_keys, first_filled=True),
        "Hook": _component(mmengine["hook"], {"priority": {}}),
    }
    properties = _partial(schema)["properties"]
    properties["generator"] = _reference("Generator")
    properties["discriminators"] = _named("Discriminator")
    properties["losses"] = _named("LossTerm")
    properties["restorer"] = _reference("Restorer")
    properties["optimizers"] = _named("Optimizer")
    properties["schedulers"] = {"type": ["array", "null"], "items": _reference("Scheduler")}
    properties["hooks"] = {"type": ["array", "null"], "items": _reference("Hook")}
    properties["engine"] = {"type": ["object", "null"], "propertyNames": {"not": {"enum": sorted(SECTION_OF)}}}
    base = {"type": "string", "description": "An option file, relative to this one; or deblurkit:NAME.yml."}
    properties["_base_"] = {"anyOf": [base, {"type": "array", "items": base}]}
    for group, entry in (("val", "DatasetEntry"), ("test", "TestSet")):
        definitions["Datasets"]["properties"][group] = _named(entry)
    return {
        "$schema": _DRAFT,
        "title": "deblurkit option file",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _partial(definition: Schema) -> Schema:
    """Makes a section's schema fit a file that says a part of it and leaves the rest to its bases."""
    kept = {key: value for key, value in definition.items() if key != "required"}
    if "properties" not in kept:
        return kept
    nullable = {name: {"anyOf": [_deletable(entry), {"type": "null"}]} for name, entry in kept["properties"].items()}
    return {**kept, "properties": {**nullable, DELETE: {"type": "boolean"}}}


def _deletable(entry: Schema) -> Schema:
    """Lets a dict of named values say that it takes none of its bases' ones."""
    if "anyOf" in entry:
        return {**entry, "anyOf": [_deletable(choice) for choice in entry["anyOf"]]}
    if isinstance(entry.get("additionalProperties"), dict):
        return {**entry, "properties": {DELETE: {"type": "boolean"}}}
    return entry


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _named(name: str) -> Schema:
    """Describes a dict of named entries, each of which null removes."""
    entry = {"anyOf": [_reference(name), {"type": "null"}]}
    return {"type": ["object", "null"], "properties": {DELETE: {"type": "boolean"}}, "additionalProperties": entry}


def _own(model: type[BaseModel]) -> dict[str, Schema]:
    """Returns the keys that a section adds to its component."""
    properties = model.model_json_schema()["properties"]
    return {name: entry for name, entry in properties.items() if name not in ("component", "loader")}


def _component(
    table: Table,
    own: dict[str, Schema] | None = None,
    first_filled: bool = False,
    giving_way: dict[str, Schema] | None = None,
) -> Schema:
    """Describes ``{type: NAME, **arguments}``: what else may stand there depends on the name.

    Args:
        table: The names.
        own: Further keys that stand in the same dict.
        first_filled: Whether the engine gives the constructor's first argument.
        giving_way: Further keys, but where the component has an argument of the same name.
    """
    shared = {**(own or {}), DELETE: {"type": "boolean"}}
    cases = []
    for name in sorted(table.names):
        component = table.get(name)
        signature = signature_of(component)
        arguments = list(signature.annotations)[1 if first_filled else 0 :]
        properties = {argument: _argument(signature.annotations[argument]) for argument in arguments}
        nested = nested_components(component)
        properties |= {key: _nested(nested[key]) for key in properties.keys() & nested.keys()}
        then: Schema = {
            "properties": {
                "type": {"description": _summary(component)},
                **(giving_way or {}),
                **properties,
                **shared,
            }
        }
        if not signature.is_open:
            then["additionalProperties"] = False
        cases.append({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then})
    kinds = {"enum": sorted(table.names), "description": f"The name of a {table.kind}."}
    return {"type": "object", "properties": {"type": kinds, **shared}, "allOf": cases}


def _nested(nested: Nested) -> Schema:
    """Describes a list of components inside a component."""
    component = _component(Table.of(nested.registry), {name: {} for name in nested.own_keys})
    return {"type": "array", "items": {"anyOf": [{"enum": nested.registry.names()}, component]}}


def _argument(annotation: Any) -> Schema:
    adapter = adapter_of(annotation)
    try:
        schema = adapter.json_schema() if adapter is not None else {}
    except PydanticUserError:
        return {}
    return {} if "$defs" in schema else schema


def _summary(component: Any) -> str:
    return (inspect.getdoc(component) or "").partition("\n")[0]
