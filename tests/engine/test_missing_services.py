"""What an option file asks for and the machine lacks: one line, and no work dir."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import ROOT, TRAIN, checkpoint_of, run

WITHOUT = ROOT / "tests" / "without.py"


@pytest.mark.parametrize("is_dry", [False, True])
def test_no_compiler(tmp_path: Path, option_file: Callable[..., Path], is_dry: bool):
    options, folder = option_file({"train": {"compile": True}}), tmp_path / "run"
    arguments = ("-opt", options, "--device", "cpu", *(["--dry-run"] if is_dry else ["--work-dir", folder]))
    text = run(tmp_path / "run.txt", *arguments, code=2, PATH=str(tmp_path))
    line = text.splitlines()[-1]
    assert line.startswith("train.compile: torch.compile does not work here: ")
    assert "compiler" in line
    assert "Traceback" not in text
    assert not folder.exists()


@pytest.mark.slow
def test_a_compiler(tmp_path: Path, option_file: Callable[..., Path]):
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        pytest.skip("needs a C++ compiler")
    options, folder = option_file({"train": {"compile": True, "iters": 1}}), tmp_path / "run"
    run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder, "--device", "cpu")
    assert checkpoint_of(folder, 1)["position"]["iteration"] == 1


def test_no_wandb(tmp_path: Path, option_file: Callable[..., Path]):
    options, folder = option_file({"logging": {"wandb": {"project": "mine"}}}), tmp_path / "run"
    arguments = ("wandb", TRAIN, "-opt", options, "--work-dir", folder, "--device", "cpu")
    text = run(tmp_path / "run.txt", *arguments, script=WITHOUT, code=2)
    (line,) = text.splitlines()
    missing = "wandb cannot be imported: No module named 'wandb'"
    assert line == f"logging.wandb: {missing}; pip install wandb, or give logging.wandb: null"
    assert not folder.exists()
