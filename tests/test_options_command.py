"""``deblurkit options`` lists, shows, expands and copies, and needs no torch for it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deblurkit.commands import options as command
from deblurkit.errors import UserError
from deblurkit.options import shipped
from deblurkit.options.load import load_options

ROOT = Path(__file__).resolve().parents[1]


def options(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    command.run(parser.parse_args(arguments))


def test_lists_every_file_on_one_line(capsys: pytest.CaptureFixture[str]):
    options()
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert sorted(name for name, _ in told) == shipped.names()
    assert ["madn", shipped.summary("madn")] in told
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings[0].startswith("Experiments")
    assert headings[1:-1] == [f"Ablations of {name}:" for name in ("bag", "crosshatch", "madn", "structure_guided")]
    assert headings[-1].startswith("Bases")


def test_shows_a_file_as_it_is(capsys: pytest.CaptureFixture[str]):
    options("ablations/bag/plain")
    assert capsys.readouterr().out == (ROOT / "options/ablations/bag/plain.yml").read_text(encoding="utf-8")


def test_copies_with_bases_what_then_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "my options"
    options("ablations/bag/plain", "--copy", str(folder))
    files = [folder / name for name in ("ablations/bag/plain.yml", "bag.yml", "_base_/runtime.yml", "_base_/gopro.yml")]
    assert capsys.readouterr().out.splitlines() == [
        *(f"wrote {file}" for file in files),
        f"Next: deblurkit train -opt '{files[0]}' --dry-run",
    ]
    assert sorted(file for file in folder.rglob("*") if file.is_file()) == sorted(files)
    assert load_options(files[0]) == load_options("ablations/bag/plain")
    files[1].unlink()
    options("bag", "--copy", str(folder))
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [f"wrote {files[1]}", f"{files[2]} is there already, the same"]


def test_copies_replace_nothing_that_differs(tmp_path: Path):
    own = tmp_path / "_base_" / "gopro.yml"
    own.parent.mkdir()
    own.write_text("mine\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        options("madn", "--copy", str(tmp_path))
    assert caught.value.problems == (
        f"{own}: is there already and differs from deblurkit:_base_/gopro.yml; move it away, or give another folder",
    )
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [own]
    assert own.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mdan"], r"^mdan: no shipped option file has this name \(did you mean 'madn'\?\)"),
        (["--expand"], "need a NAME"),
        (["--copy", "there"], "need a NAME"),
        (["options/madn.yml", "--copy", "there"], r"takes the name of a shipped .* \(did you mean 'madn'\?\)$"),
        (["madn", "--copy", __file__], "is a file; the copies need a folder"),
        (["./nowhere.yml", "--expand"], "^./nowhere.yml: cannot be read"),
        (["./nowhere.yml"], "^./nowhere.yml: cannot be read"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        options(*arguments)
    assert len(caught.value.problems) == 1
    assert list(tmp_path.iterdir()) == []


def test_needs_neither_torch_nor_mmengine(tmp_path: Path):
    script = (
        "import sys, argparse\n"
        "sys.modules |= dict.fromkeys(['torch', 'mmengine', 'numpy', 'cv2', 'torchvision'])  # importing them fails\n"
        "from deblurkit.commands import options\n"
        "for words in ([], ['madn'], ['madn', '--expand'], ['madn', '--copy', 'there']):\n"
        "    parser = argparse.ArgumentParser()\n"
        "    options.configure(parser)\n"
        "    options.run(parser.parse_args(words))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "# from deblurkit:_base_/gopro.yml" in done.stdout
    assert (tmp_path / "there" / "madn.yml").is_file()
