"""Shipped option files are found by name from anywhere, and nothing outside their folder is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deblurkit.data.source import find_entry
from deblurkit.errors import UserError
from deblurkit.evaluation import cost
from deblurkit.options import shipped
from deblurkit.options.load import load_options

Write = Callable[..., Path]
Lines = Callable[..., list[str]]
LISTED = "`deblurkit options` lists them; a file of your own is named by its path"


@pytest.mark.parametrize("text", ["quickstart", "deblurkit:quickstart.yml", "deblurkit:quickstart"])
def test_a_name_finds_the_shipped_file_from_anywhere(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    expected = load_options(checkout / "options" / "quickstart.yml", ["seed=3"])
    monkeypatch.chdir(tmp_path)
    assert load_options(text, ["seed=3"]) == expected


def test_a_name_may_lead_into_folders(checkout: Path) -> None:
    path = checkout / "options" / "ablations" / "bag" / "plain.yml"
    assert load_options("ablations/bag/plain") == load_options(path)


def test_names_are_those_of_all_files(checkout: Path) -> None:
    names = shipped.names()
    assert len(names) == len(list((checkout / "options").rglob("*.yml"))) > 30
    assert {"madn", "_base_/gopro", "ablations/madn/pixel_content"} <= set(names)
    assert cost.option_files(shipped.PREFIX) == [name for name in names if "/" not in name]


@pytest.mark.parametrize("name", shipped.names())
def test_the_first_line_says_what_the_file_is(name: str) -> None:
    summary = shipped.summary(name)
    assert re.fullmatch(r"[A-Z0-9][ -~]{15,110}\.", summary), "one line of ASCII that stands on its own"


def test_files_of_ones_own_are_paths_as_before(write: Write, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent)
    write("_base_: good.yml\nseed: 7\n", "madn.yml")
    write("_base_: good.yml\nseed: 8\n", "madn")
    write("_base_: good.yml\nseed: 9\n", "without_ending")
    assert load_options("madn.yml").seed == load_options("./madn.yml").seed == 7
    assert load_options("./madn").seed == 8
    assert load_options("without_ending").seed == 9
    assert load_options("madn").name == "madn"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mdan", " (did you mean 'madn'?)"),
        ("ablations/bag/plian", " (did you mean 'ablations/bag/plain'?)"),
        ("plain", " (did you mean 'ablations/bag/plain'?)"),
        ("deblurkit:mdan.yml", " (did you mean 'madn'?)"),
        ("deblurkit:../options/madn.yml", " (did you mean 'madn'?)"),
        ("deblurkit:/etc/passwd", ""),
        ("deblurkit:", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_is_one_line(problems: Lines, name: str, hint: str) -> None:
    [line] = problems(name)
    assert line.startswith(f"{name}: no shipped option file has this name{hint}; {LISTED}")


def test_a_missing_path_points_at_the_shipped_file_of_its_name(write: Write, problems: Lines) -> None:
    [line] = problems("options/elsewhere/plain.yml")
    assert line.endswith("No such file or directory (did you mean the shipped one, `-opt ablations/bag/plain`?)")
    file = write("name: x\n_base_: [madn.yml]\n")
    assert problems(file) == [
        f"{file}:2: _base_.0: there is no file {file.with_name('madn.yml')}"
        " (did you mean the shipped one, `_base_: deblurkit:madn.yml`?)"
    ]


def test_shipped_and_own_files_mix_as_bases(write: Write, good: Path) -> None:
    assert load_options(write("_base_: deblurkit:quickstart.yml\nseed: 5\n")).name == "quickstart"
    mixed = load_options(write("_base_: ['deblurkit:_base_/runtime.yml', good.yml]\nval: {every: 3}\n"))
    assert (mixed.name, mixed.val.every, mixed.val.protocol) == ("good", 3, "gopro-basicsr-v1")


@pytest.mark.parametrize("base", ["deblurkit:../secret.yml", "deblurkit:mdan.yml", "deblurkit:_base_/../madn.yml"])
def test_a_base_that_is_not_shipped_is_refused(write: Write, problems: Lines, base: str) -> None:
    file = write(f"name: x\n_base_: {base}\n")
    [line] = problems(file)
    assert line.startswith(f"{file}:2: _base_: {base}: no shipped option file has this name")


def test_mistakes_in_shipped_files_bear_their_names(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: Lines
) -> None:
    """Read from a copy of the package's folder, as an installation has it, in which files are broken."""
    installed = tmp_path / "option_files"
    shutil.copytree(checkout / "options", installed)
    monkeypatch.setattr(shipped, "folder", lambda: installed)
    with open(installed / "_base_" / "runtime.yml", "a", encoding="utf-8") as file:
        file.write("sede: 3\n")
    (tmp_path / "outside.yml").write_text("seed: 3\n", encoding="utf-8")
    for name, base in (("left", "right.yml"), ("right", "left.yml"), ("leaves", "../outside.yml")):
        (installed / f"{name}.yml").write_text(f"name: x\n_base_: {base}\n", encoding="utf-8")
    assert problems("quickstart") == ["deblurkit:_base_/runtime.yml:6: sede: unknown key (did you mean 'seed'?)"], (
        "of a base too, which the file names by a relative path"
    )
    [circle] = problems("left")
    assert circle.startswith("deblurkit:right.yml:2: _base_: deblurkit:left.yml is being read already")
    [leaves] = problems("leaves")
    assert leaves.startswith("deblurkit:leaves.yml:2: _base_: deblurkit:../outside.yml: no shipped option file")


def test_a_circle_through_the_prefix_is_found(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: Lines
) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    (tmp_path / "own.yml").write_text("name: x\n_base_: deblurkit:own.yml\n", encoding="utf-8")
    [line] = problems(tmp_path / "own.yml")
    assert "deblurkit:own.yml is being read already: the bases go round in a circle" in line


def test_an_installed_package_has_them_inside(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout / "deblurkit", tmp_path / "deblurkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(checkout / "options", tmp_path / "deblurkit" / "option_files")
    script = "from deblurkit.options import shipped; print(shipped.find('madn').path)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "deblurkit" / "option_files" / "madn.yml"), done.stderr


def test_data_sources_name_shipped_files() -> None:
    assert find_entry("quickstart:test.sample").component == {"type": "SamplePairs", "split": "test"}
    with pytest.raises(UserError, match=r"--data quickstrat:train: quickstrat: no shipped .*'quickstart'.*; expected"):
        find_entry("quickstrat:train")
