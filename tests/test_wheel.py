"""The wheel: all that the package needs travels in it, and it asks for nothing that has to be built."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deblurkit.options import shipped

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel from a copy: a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("deblurkit", "options"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = source / "dist"
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out, source]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    return next(out.glob("deblurkit-*-py3-none-any.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Unpacks the wheel, as pip would, and returns an environment that finds it before the checkout."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_every_file_of_the_package_and_every_option_file_is_in_it(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("deblurkit/")}
    ours = {path.relative_to(ROOT) for path in (ROOT / "deblurkit").rglob("*") if path.is_file()}
    expected = {path.as_posix() for path in ours if "__pycache__" not in path.parts}
    expected |= {f"deblurkit/option_files/{name}.yml" for name in shipped.names()}
    assert packed == expected


def test_what_it_asks_for(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Requires-Python"] in (">=3.11,<3.15", "<3.15,>=3.11")
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in base if line.startswith(("basicsr", "tb-nightly"))]
    extras = set(metadata.get_all("Provides-Extra", []))
    assert extras == {"basicsr", "dev", "heic", "onnx", "openvino", "raw", "spandrel"}
    points = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "deblurkit = deblurkit.cli:main" in points


def test_option_files_are_found_by_name_from_any_folder(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("_base_: deblurkit:quickstart.yml\nname: mine\ntrain: {iters: 7}\n")
    script = (
        "import deblurkit; from deblurkit import load_options; print(deblurkit.__file__)\n"
        "print(load_options('madn').name, load_options('mine.yml').train.iters)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=installed, capture_output=True, text=True, check=True
    )
    where, found = done.stdout.splitlines()
    assert not Path(where).is_relative_to(ROOT)
    assert found == "madn 7"


def test_the_network_in_the_box_restores_with_nothing_but_the_wheel(installed: dict[str, str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event.startswith('socket.'): raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "import skimage.data, deblurkit\n"
        "image = skimage.data.coffee()[:61, :90]\n"
        "restored = deblurkit.Deblurrer(device='cpu')(image)\n"
        "print(deblurkit.__file__, restored.shape == image.shape, (restored != image).any())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, *found = done.stdout.split()
    assert not Path(where).is_relative_to(ROOT)
    assert found == ["True", "True"]


@pytest.mark.slow
def test_the_whole_way_from_any_folder(installed: dict[str, str], tmp_path: Path) -> None:
    def deblurkit(*words: str) -> str:
        command = [sys.executable, "-m", "deblurkit", *words]
        done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    report = deblurkit("quickstart", "--minutes", "0.5", "--device", "cpu").splitlines()[-2].removeprefix("report: ")
    assert (tmp_path / report).is_file()
    weights = "work_dirs/quickstart/checkpoints/best_psnr.pth"
    photo = next((Path(installed["DEBLURKIT_DATA"]) / "sample" / "test" / "blurred").glob("*.png"))
    assert "1 of 1 photographs restored" in deblurkit("deblur", str(photo), "--weights", weights, "--out", "sharper")
    assert "dry run passed" in deblurkit("train", "-opt", "madn", "--dry-run")
    assert "going on with it" in deblurkit("quickstart", "--minutes", "0.5", "--device", "cpu")
