"""The registries refuse what cannot work, and look names up in their own tables only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deblurkit import plugins as plugins_module
from deblurkit.errors import UserError
from deblurkit.plugins import load_plugins, package_of, plugins_told
from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS, LOSSES, METRICS, VIEWS, ComponentRegistry


@pytest.fixture(autouse=True)
def _plugins_of_these_tests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spawned workers of other tests import every plugin again, where these are not to be found."""
    monkeypatch.setattr(plugins_module, "_loaded", dict(plugins_module._loaded))


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a plugin file."""

    def write(body: str, name: str = "plugin.py") -> Path:
        file = tmp_path / name
        file.write_text("from torch import nn\nimport deblurkit.registry as kit\n" + body, encoding="utf-8")
        return file

    return write


def module(registry: str, name: str, forward: str = "forward(self, blurred)", base: str = "nn.Module") -> str:
    return f"@kit.{registry}.register_module()\nclass {name}({base}):\n    def {forward}:\n        return 0\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            module("ARCHS", "NoNet", base="object"),
            "NoNet cannot be a generator: it is not a subclass of torch.nn.Module",
        ),
        (module("ARCHS", "TwoIn", "forward(self, a, b)"), "TwoIn cannot be a generator: forward must take 1 required"),
        (module("ARCHS", "Keyed", "forward(self, a, *, scale)"), "Keyed cannot be a generator: forward must"),
        (module("ARCHS", "Idle", "other(self)"), "Idle cannot be a generator: it defines no forward"),
        (
            module("DISCRIMINATORS", "Pair", "forward(self, a, b)"),
            "Pair cannot be a discriminator: forward must take 1",
        ),
        (module("LOSSES", "OneArm", "forward(self, pred)"), "OneArm cannot be a loss: forward must take 2 required"),
        (
            module("LOSSES", "HalfGame", "generator_loss(self, real, fake)"),
            "HalfGame cannot be a loss: an adversarial loss",
        ),
        (
            module("DATASETS", "NoLength", "sample(self, index, rng)", "object"),
            "NoLength cannot be a dataset: it has no",
        ),
        (module("METRICS", "NoCall", "other(self)", "object"), "NoCall cannot be a metric: it has no method __call__"),
        (
            "@kit.VIEWS.register_module()\ndef both(a, b):\n    return a\n",
            "both cannot be a view: it must take 1 required",
        ),
        (
            "@kit.ARCHS.register_module()\ndef net(blurred):\n    return 0\n",
            "net cannot be a generator: it is not a sub",
        ),
        (module("ARCHS", "Dotted").replace("()\n", "(name='os.system')\n", 1), "may not be named 'os.system'"),
    ],
)
def test_contract_is_checked_at_registration(plugin: Callable[..., Path], body: str, told: str):
    file = plugin(body)
    with pytest.raises(UserError) as caught:
        load_plugins([str(file)])
    message = str(caught.value)
    assert told in message
    assert str(file) in message


def test_what_meets_the_contract_is_taken(plugin: Callable[..., Path]):
    body = module("ARCHS", "RegistryOptional", "forward(self, blurred, scale=1, *, more=2)")
    body += module("ARCHS", "RegistryAny", "forward(self, *images)")
    load_plugins([str(plugin(body))])
    assert ARCHS.get("RegistryOptional").__name__ == "RegistryOptional"
    assert {"RegistryAny", "RegistryOptional"} <= set(ARCHS.names())


def test_taken_name_names_both_files(plugin: Callable[..., Path]):
    first, second = (plugin(module("ARCHS", "RegistryTaken"), f"{name}.py") for name in ("one", "two"))
    load_plugins([str(first)])
    with pytest.raises(UserError) as caught:
        load_plugins([str(second)])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    with pytest.raises(UserError, match=r"deblurgan\.py"):
        load_plugins([str(plugin(module("ARCHS", "DeblurGAN"), "three.py"))])


def test_same_plugin_twice_is_fine(plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    file = plugin(module("ARCHS", "RegistryTwice"), "registry_twice.py")
    load_plugins([str(file), str(file)])
    load_plugins([str(file.parent / ".." / file.parent.name / file.name)])
    monkeypatch.syspath_prepend(str(file.parent))
    load_plugins(["registry_twice"])
    assert ARCHS.get("RegistryTwice") is not None


@pytest.mark.parametrize(
    "name", ["os.system", "torch.nn.Identity", "deblurkit.archs.deblurgan.DeblurGAN", "mmengine.Config"]
)
def test_dotted_names_are_never_imported(name: str):
    for registry in (ARCHS, DISCRIMINATORS, LOSSES, VIEWS, DATASETS, METRICS):
        assert registry.get(name) is None
        with pytest.raises(UserError, match="is named"):
            registry.build({"type": name})


def test_registries_are_apart():
    assert LOSSES.get("Adam") is None
    assert LOSSES.get("DeblurGAN") is None
    assert ARCHS.get("Conv2d") is None
    assert isinstance(ARCHS, ComponentRegistry)
    assert ARCHS.parent is None


def test_miss_says_what_is_near_and_what_was_loaded(plugin: Callable[..., Path]):
    file = plugin(module("ARCHS", "RegistryNear"), "near.py")
    load_plugins([str(file)])
    message = ARCHS.miss("DeblurGan")
    assert "no generator is named 'DeblurGan' (did you mean 'DeblurGAN'?)" in message
    assert "known: " in message
    assert "FilterBankUNet" in message
    assert str(file) in message


def test_installed_plugins_are_loaded_and_their_packages_known(
    plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    file = plugin(module("ARCHS", "RegistryInstalled"), "registry_installed.py")
    package = file.parent / "registry_installed-1.2.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: registry-installed\nVersion: 1.2\n")
    (package / "entry_points.txt").write_text(
        "[deblurkit.plugins]\nit = registry_installed\ngone = registry_gone_at_all\n"
    )
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.setattr(plugins_module, "_installed_loaded", False)
    with pytest.warns(UserWarning, match="installed plugin registry_gone_at_all was not loaded"):
        load_plugins([])
    assert package_of(ARCHS.get("RegistryInstalled")) == "registry-installed 1.2"
    assert package_of(ARCHS.get("NAFNet")) is None
    assert f"registry_installed ({file})" in plugins_told()


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("x = 1\nraise KeyError('no')\n", 4, "KeyError"),
        ("def broken(:\n", 3, "SyntaxError"),
        ("import nowhere\n", 3, "nowhere"),
    ],
)
def test_broken_plugin_names_file_and_line(plugin: Callable[..., Path], body: str, line: int, told: str):
    file = plugin(body)
    with pytest.raises(UserError) as caught:
        load_plugins([str(file)])
    assert f"{file}:{line}: " in str(caught.value)
    assert told in str(caught.value)


def test_missing_plugins():
    with pytest.raises(UserError, match="there is no such file"):
        load_plugins(["/nowhere/at_all.py"])
    with pytest.raises(UserError, match=r"plugin nowhere\.at_all: ModuleNotFoundError"):
        load_plugins(["nowhere.at_all"])


def test_registering_interactively(checkout: Path):
    """Classes typed at a prompt have no file."""
    script = module("ARCHS", "Typed", "forward(self, a, b)")
    script = f"from torch import nn\nimport deblurkit.registry as kit\n{script}"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, cwd=checkout, timeout=60)
    assert "Typed cannot be a generator: forward must take 1 required argument, it takes 2" in done.stderr
