"""The catalogue, read from the source, says what the registries say."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from deblurkit import catalogue, registry

REGISTRIES = {item.name: item for item in vars(registry).values() if isinstance(item, registry.ComponentRegistry)}


def test_kinds_are_the_registries() -> None:
    assert list(catalogue.kinds().values()) == list(REGISTRIES)


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
