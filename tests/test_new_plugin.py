"""A new plugin is complete as it is written, and bears names that nothing else has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from states import whole_state

from deblurkit.checkpoint import load_generator
from deblurkit.errors import UserError
from deblurkit.new_plugin import new_plugin, plugin_names
from deblurkit.options.load import load_options

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    ".gitignore",
    "README.md",
    "options/my_blur.yml",
    "pyproject.toml",
    "src/my_blur/__init__.py",
    "src/my_blur/loss.py",
    "src/my_blur/network.py",
    "tests/test_contracts.py",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package ``my-blur``, in a folder that is made for it."""
    return new_plugin("my-blur", tmp_path_factory.mktemp("new") / "plugins")


def python(*arguments: object, cwd: Path, path: str = "", code: int = 0) -> str:
    """What a Python process prints that finds this checkout, and ``path`` before it."""
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def test_the_package_is_whole(folder: Path):
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()) == FILES
    assert [entry.name for entry in folder.parent.iterdir()] == ["my-blur"], "something is left beside it"
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "my-blur"
    assert project["dependencies"] == ["deblurkit"]
    assert project["entry-points"] == {"deblurkit.plugins": {"my_blur": "my_blur"}}


def test_ruff_has_nothing_to_say(folder: Path):
    for command in (["check"], ["check", "--select", "I"], ["format", "--check"]):
        python("-m", "ruff", *command, "--isolated", "--no-cache", ".", cwd=folder)


def test_it_passes_its_own_tests_before_it_is_installed(folder: Path):
    printed = python("-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", cwd=folder, path=str(folder / "src"))
    assert "test_contracts[MyBlur-restores_any_size]" in printed
    assert "test_contracts[MyBlurLoss-is_a_mean]" in printed
    assert "test_loss_by_hand" in printed


def test_only_the_plugin_is_missing_where_it_is_not_installed(folder: Path):
    with pytest.raises(UserError) as caught:
        load_options(folder / "options" / "my_blur.yml")
    network, loss = caught.value.problems
    assert "my_blur.yml:4: generator.type: no generator is named 'MyBlur'; known: BlurAttention, " in network
    assert "; plugins loaded: " in network
    assert "my_blur.yml:6: losses.frequency.type: no loss is named 'MyBlurLoss'" in loss


def test_a_checkpoint_says_which_package_it_wants():
    options = {"name": "gone", "generator": {"type": "GoneNet"}}
    with pytest.raises(UserError) as caught:
        load_generator(whole_state(options=options, generator_package="gone-net 1.0"), "a.pth")
    assert str(caught.value).startswith("a.pth: no generator is named 'GoneNet'")
    assert str(caught.value).endswith(
        "; it comes from the plugin package gone-net 1.0: install that where you run this"
    )


def test_the_command_says_what_comes_next(tmp_path: Path):
    printed = python("-m", "deblurkit", "new-plugin", "Other.net", "--out", "here", cwd=tmp_path)
    assert printed.startswith(f"{Path('here', 'other-net')}: ")
    assert "deblurkit train -opt options/other_net.yml" in printed
    assert (tmp_path / "here" / "other-net" / "src" / "other_net" / "network.py").is_file()


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("my-blur", ("my-blur", "my_blur", "MyBlur", "MyBlurLoss")),
        ("My__blur", ("my-blur", "my_blur", "MyBlur", "MyBlurLoss")),
        ("net2", ("net2", "net2", "Net2", "Net2Loss")),
    ],
)
def test_names_are_made_of_one(name: str, names: tuple[str, ...]):
    assert tuple(vars(plugin_names(name)).values()) == names


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "'': a plugin's name is made of letters a to z, digits, '-' and '_', such as my-blur"),
        ("2nd", "'2nd': a plugin's name is made of letters"),
        ("-x", "'-x': a plugin's name is made of letters"),
        ("../up", "'../up': a plugin's name is made of letters"),
        ("schärfe", "'sch\\xe4rfe': a plugin's name is made of letters"),
        ("class", "'class': class is a word of Python itself; choose another, such as class-net"),
        ("none", "'none': None is a word of Python itself; choose another, such as none-net"),
        ("con", "'con': names a folder, and Windows keeps this name for itself"),
        ("x" * 101, "names a folder: up to 100 characters"),
        ("json", "json: a module of this name is installed ("),
        ("sys", "sys: a module of this name is installed (built-in); choose another name"),
        ("Scikit.Image", "scikit-image: scikit-image "),
        ("deblurkit", "deblurkit: a module of this name is installed ("),
        ("Nafnet", "nafnet: there is a generator NAFNet already; choose another name"),
        ("perceptual", "perceptual: there is a loss PerceptualLoss already; choose another name"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, told: str):
    with pytest.raises(UserError) as caught:
        new_plugin(name, tmp_path)
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_of_data_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "frog_net").mkdir()
    assert importlib.util.find_spec("frog_net")
    assert new_plugin("frog-net", tmp_path).is_dir()


def test_what_exists_is_kept(folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"my-blur: exists already; choose another name, or another folder with --out"):
        new_plugin("My_Blur", folder.parent)
    (tmp_path / "my-blur").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists already"):
        new_plugin("my-blur", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*file: cannot be written to \(File exists\)"):
        new_plugin("my-blur", tmp_path / "file")


@pytest.mark.slow
def test_installed_beside_deblurkit_it_trains_and_removed_it_is_missed(folder: Path, tmp_path: Path):
    site, photo = tmp_path / "site", tmp_path / "photo.png"
    copy = tmp_path / "my-blur"  # the build leaves files
    shutil.copytree(folder, copy)
    install = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--target", site, copy]
    python(*install, cwd=tmp_path)
    options = copy / "options" / "my_blur.yml"
    train = ["-m", "deblurkit", "train", "-opt", options, "--device", "cpu", "--set", "train.iters=20", "val.every=20"]
    python(*train, cwd=tmp_path, path=str(site))
    weights = tmp_path / "work_dirs" / "my_blur" / "checkpoints" / "iter_00000020.pth"
    assert weights.is_file()
    assert " passed" in python("-m", "pytest", "-q", cwd=copy, path=str(site))

    shutil.copy(ROOT / "docs" / "images" / "quickstart.jpg", photo.with_suffix(".jpg"))
    deblur = ["-m", "deblurkit", "deblur", photo.with_suffix(".jpg"), "--weights", weights, "--device", "cpu", "--out"]
    python(*deblur, "with", cwd=tmp_path, path=str(site))
    assert list((tmp_path / "with").iterdir())

    shutil.rmtree(site)
    lines = python(*train, "name=again", cwd=tmp_path, code=2).splitlines()
    assert len(lines) == 2
    assert f"{options}:4: generator.type: no generator is named 'MyBlur'" in lines[0]
    assert "plugins loaded: none" in lines[0]
    (line,) = python(*deblur, "without", cwd=tmp_path, code=2).splitlines()
    assert "no generator is named 'MyBlur'" in line
    assert line.endswith("it comes from the plugin package my-blur 0.1.0: install that where you run this")
