"""The catalogue, read from the source, says what the registries say."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

from deblurkit import catalogue, registry

REGISTRIES = {item.name: item for item in vars(registry).values() if isinstance(item, registry.ComponentRegistry)}


def test_kinds_are_the_registries() -> None:
    assert list(catalogue.kinds().values()) == list(REGISTRIES)


def test_the_table_is_what_importing_everything_registers() -> None:
    """In a process of its own: other tests register components of theirs."""
    script = (
        "import importlib, json, pkgutil, deblurkit\n"
        "from deblurkit.registry import REGISTRIES\n"
        "skipped = ('deblurkit.__main__', 'deblurkit.plugin_template')\n"
        "for found in pkgutil.walk_packages(deblurkit.__path__, 'deblurkit.'):\n"
        "    if not found.name.startswith(skipped):\n"
        "        importlib.import_module(found.name)\n"
        "print(json.dumps({kind: {name: [made.__module__, made.__name__] for name, made in each.module_dict.items()}\n"
        "                  for kind, each in REGISTRIES.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    table = {
        kind: {name: [place.module, place.defined] for name, place in named.items()}
        for kind, named in catalogue.places().items()
    }
    assert json.loads(done.stdout) == table
    assert all(table.values())


@pytest.mark.parametrize("kind", REGISTRIES)
def test_names_import_nothing_and_a_look_up_imports_one_module(kind: str) -> None:
    name, place = list(catalogue.places()[kind].items())[-1]
    script = (
        f"from deblurkit.registry import REGISTRIES\nregistry = REGISTRIES[{kind!r}]\n"
        f"print({name!r} in registry.names(), len(registry.module_dict))\n"
        f"print(registry.get('Nothing'), len(registry.module_dict))\nprint(registry.get({name!r}).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True 0", "None 0", place.module]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_names_and_first_lines(kind: str) -> None:
    known = REGISTRIES[kind]
    ours = [name for name in known.names() if known.get(name).__module__.startswith("deblurkit.")]
    assert [entry.name for entry in catalogue.entries() if entry.kind == kind] == ours
    for entry in catalogue.entries():
        if entry.kind == kind:
            found = known.get(entry.name)
            assert entry.summary == inspect.getdoc(found).partition("\n")[0]
            if entry.arguments:
                taken = list(inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters)
                assert list(entry.arguments) == taken[1:]


def test_it_imports_nothing() -> None:
    script = "import sys; from deblurkit import catalogue; catalogue.entries(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "mmengine", "pydantic"} & set(done.stdout.split())
