"""A training where TensorBoard cannot be imported: one line in its log, and it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runs import ROOT, TRAIN, checkpoint_of, run

WITHOUT = ROOT / "tests" / "without.py"


@pytest.mark.parametrize("wanted", [True, False])
def test_training_goes_on_without(tmp_path: Path, option_file: Callable[..., Path], wanted: bool):
    options = option_file({"logging": {"tensorboard": wanted}, "train": {"iters": 2}})
    folder = tmp_path / "run"
    arguments = ("tensorboard", TRAIN, "-opt", options, "--work-dir", folder)
    text = run(tmp_path / "printed.txt", *arguments, script=WITHOUT)
    assert checkpoint_of(folder, 2)["position"]["iteration"] == 2
    assert not (folder / "tensorboard").exists()
    told = [line for line in (folder / "log.txt").read_text(encoding="utf-8").splitlines() if "TensorBoard" in line]
    if wanted:
        (line,) = told
        assert line.endswith(
            "logging.tensorboard: TensorBoard cannot be imported: No module named 'tensorboard'; the run goes on "
            "without it; to have it: pip install --force-reinstall tensorboard"
        )
    else:
        assert not told
    assert "Traceback" not in text
