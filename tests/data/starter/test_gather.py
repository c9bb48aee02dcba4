"""Photographs out of packages: real archives, made here of photographs that scikit-image ships."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from in_process import run_here
from PIL import Image

from deblurkit.cli import progress
from deblurkit.data.checking.duplicates import digest
from deblurkit.data.images import decode_image, encode_image, read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.starter import table
from deblurkit.data.starter.archives import download, find_archives
from deblurkit.data.starter.gather import Gathered, gather
from deblurkit.data.starter.table import Package, StarterPhotograph
from deblurkit.errors import UserError

WALLS = Package("walls", "deb", "1.0", 100_000, "debian/copyright")
PUZZLES = Package("puzzle-game", "wheel", "2.0", 100_000, "README")

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb, which Debian has")


def picture(name: str, suffix: str) -> bytes:
    """An image file, 300 x 200 pixels."""
    photograph = next(photograph for photograph in PHOTOGRAPHS if photograph.name == name)
    return encode_image(read_image(photograph_file(photograph))[50:250, 60:360], suffix)


FILES = {"cat.jpg": picture("chelsea", ".jpg"), "cup.png": picture("coffee", ".png")}
INSIDE = {"launch.webp": picture("rocket", ".webp"), "portrait.webp": picture("astronaut", ".webp")}


def as_made(content: bytes, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(decode_image(content, "the test's"))
    return np.asarray(
        image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
    )


def row(name: str, package: Package, file: str, content: bytes, split: str = "train") -> StarterPhotograph:
    """A photograph of which three quarters of the width are left."""
    member = f"pictures/{name}" if file.endswith(".rcc") else ""
    words = (name.partition(".")[0], split, package.name, file, member, "somebody", "CC0-1.0", "")
    pixels = digest(as_made(content, 225, 150))
    return StarterPhotograph(*words, hashlib.sha256(content).hexdigest(), 225, 150, "series", pixels)  # type: ignore[arg-type]


ROWS = [
    row("cat.jpg", WALLS, "usr/share/walls/cat.jpg", FILES["cat.jpg"]),
    row("cup.png", WALLS, "usr/share/walls/cup.png", FILES["cup.png"], "val"),
    row("launch.webp", WALLS, "usr/share/walls/game.rcc", INSIDE["launch.webp"]),
    row("portrait.webp", WALLS, "usr/share/walls/game.rcc", INSIDE["portrait.webp"]),
]
WHEEL_ROWS = [row("cat2.jpg", PUZZLES, "puzzle/cat.jpg", FILES["cat.jpg"])]


def make_deb(folder: Path, version: str, files: dict[str, bytes]) -> Path:
    """Builds a package as Debian does."""
    tree = folder / f"tree-{version}"
    content = {f"usr/share/walls/{name}": data for name, data in files.items()}
    control = f"Package: walls\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n"
    for name, data in {**content, "DEBIAN/control": control.encode()}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    archive = folder / f"walls_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, archive], check=True, capture_output=True)
    shutil.rmtree(tree)
    return archive


def resources() -> bytes:
    """Two images between other bytes, as a Qt resource file holds them."""
    parts = [b"qres\0\0\0\3", *(len(data).to_bytes(4, "big") + data for data in INSIDE.values()), b"names"]
    return b"".join(parts)


def make_wheel(folder: Path, name: str = "puzzle_game-2.0-py3-none-any.whl") -> Path:
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("puzzle/cat.jpg", FILES["cat.jpg"])
    return folder / name


def gathered_from(folder: Path, rows: Sequence[StarterPhotograph]) -> Gathered:
    with progress() as show:
        return gather(rows, [WALLS, PUZZLES], folder, folder / "out", show)


def made_in(out: Path) -> list[str]:
    return sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png"))


@needs_dpkg
def test_every_photograph_is_found_reduced_and_put_into_its_split(tmp_path: Path) -> None:
    make_deb(tmp_path, "1.0", {**FILES, "game.rcc": resources()})
    make_wheel(tmp_path)
    gathered = gathered_from(tmp_path, ROWS + WHEEL_ROWS)
    assert gathered == Gathered(made=5)
    out = tmp_path / "out"
    names = ["train/cat.png", "train/cat2.png", "train/launch.png", "train/portrait.png", "val/cup.png"]
    assert made_in(out) == names
    for name, content in zip(names, ("cat.jpg", "cat.jpg", "launch.webp", "portrait.webp", "cup.png"), strict=True):
        np.testing.assert_array_equal(read_image(out / name), as_made({**FILES, **INSIDE}[content], 225, 150))
    assert (out / "photographs.csv").read_bytes() == table.PHOTOGRAPHS_FILE.read_bytes()


@needs_dpkg
def test_what_is_there_stays_and_what_was_spoilt_is_made_again(tmp_path: Path) -> None:
    make_deb(tmp_path, "1.0", {**FILES, "game.rcc": resources()})
    gathered_from(tmp_path, ROWS)
    kept, spoilt, lost = (tmp_path / "out" / name for name in ("train/cat.png", "train/launch.png", "val/cup.png"))
    before = kept.stat().st_mtime_ns
    spoilt.write_bytes(spoilt.read_bytes()[:1000])
    lost.unlink()
    assert gathered_from(tmp_path, ROWS) == Gathered(there=2, made=2)
    assert kept.stat().st_mtime_ns == before
    assert digest(read_image(spoilt)) == ROWS[2].pixels


@needs_dpkg
def test_a_changed_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    make_deb(tmp_path, "1.1", {"cat.jpg": FILES["cat.jpg"] + b"changed", "game.rcc": resources()[:-10000]})
    gathered = gathered_from(tmp_path, ROWS + WHEEL_ROWS)
    assert gathered.made == 1
    assert gathered.lacking == {
        "walls": [
            "cat (usr/share/walls/cat.jpg: changed)",
            "cup (usr/share/walls/cup.png: missing)",
            "portrait (pictures/portrait.webp: changed)",
        ],
        "puzzle-game": ["cat2 (no archive)"],
    }
    # The version with all files, in a folder below, fills the gaps.
    (tmp_path / "older").mkdir()
    make_deb(tmp_path / "older", "1.0", {**FILES, "game.rcc": resources()})
    make_wheel(tmp_path / "older")
    assert gathered_from(tmp_path, ROWS + WHEEL_ROWS) == Gathered(there=1, made=4)


def test_other_pixels_than_the_tables_are_told(tmp_path: Path) -> None:
    make_wheel(tmp_path)
    gathered = gathered_from(tmp_path, [replace(WHEEL_ROWS[0], pixels="0" * 32)])
    assert gathered == Gathered(made=1, other=["cat2"])


@pytest.mark.parametrize("kind", ["deb", "wheel"])
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "deb":
        if shutil.which("dpkg-deb") is None:
            pytest.skip("needs dpkg-deb, which Debian has")
        # its words, and not "unexpected end of data" of what reads from it
        archive, rows, by = make_deb(tmp_path, "1.0", FILES), ROWS, "dpkg-deb"
    else:
        archive, rows, by = make_wheel(tmp_path), WHEEL_ROWS, ""
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{archive.name}: it cannot be unpacked: {by}"):
        gathered_from(tmp_path, rows)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")
def test_downloads_each_package_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script in the place of apt-get writes what it is asked for, and where."""
    said: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    cache = tmp_path / "cache"
    program(tmp_path / "bin", "apt-get", "echo half >walls_1.0_all.deb; echo 'E: the mirror is gone' >&2; exit 100")
    with pytest.raises(UserError, match=r"walls: apt-get could not .*: E: the mirror is gone;.*--packages DIR"):
        download([WALLS], cache, said.append)
    assert find_archives(WALLS, cache) == []
    program(tmp_path / "bin", "apt-get", 'echo "$@" >walls_1.0_all.deb')
    download([WALLS], cache, said.append)
    (archive,) = find_archives(WALLS, cache)
    assert archive.read_text() == "download walls\n"
    assert said == [f"downloading walls to {cache}: about 0 MB"] * 2
    program(tmp_path / "bin", "apt-get", "exit 100")
    download([WALLS], cache, said.append)  # it is there
    assert len(said) == 2


def test_a_machine_without_apt_is_told_of_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"apt-get: there is no such program on this machine; --packages DIR"):
        download([WALLS], tmp_path / "cache", lambda line: None)


@pytest.mark.parametrize(("packed", "code"), [(20, 0), (19, 2)])
def test_the_command_forgives_a_few_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: int, code: int
) -> None:
    photograph = read_image(photograph_file(PHOTOGRAPHS[0]))
    contents = [encode_image(photograph[number:, number:], ".jpg") for number in range(21)]
    with zipfile.ZipFile(tmp_path / "puzzle_game-2.0-py3-none-any.whl", "w") as wheel:
        for number in range(packed):
            wheel.writestr(f"{number}.jpg", contents[number])
    rows = tuple(row(f"cat{number}", PUZZLES, f"{number}.jpg", content) for number, content in enumerate(contents))
    monkeypatch.setattr(table, "read_packages", lambda: (PUZZLES,))
    monkeypatch.setattr(table, "read_photographs", lambda: rows)
    done = run_here("prepare_data.py", "photographs", "--out", tmp_path / "out", "--packages", tmp_path)
    made = f"{tmp_path / 'out'}: {packed} photographs made, 0 already there, of 21\n"
    if code == 0:
        lacking = "puzzle-game: 1 photographs are lacking: cat20 (20.jpg: missing)\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, made + lacking, "")
    else:
        lacking = "puzzle-game: 2 photographs are lacking: cat19 (19.jpg: missing), cat20 (20.jpg: missing)\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, made, lacking)


def test_the_command_says_what_packages_it_did_not_find(tmp_path: Path) -> None:
    done = run_here("prepare_data.py", "photographs", "--out", tmp_path / "out", "--packages", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == len(table.read_packages())
    assert "scikit-learn: 2 photographs are lacking: sklearn-china (no archive)" in done.stderr
    done = run_here("prepare_data.py", "photographs", "--out", tmp_path / "out", "--packages", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"--packages: {tmp_path / 'nowhere'} is no folder; expected one that holds .deb and .whl files\n"
    )
