"""Parts of the generator that are held still for their first epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from runs import checkpoint_of, run


def test_a_frozen_part_moves_from_its_epoch_on(tmp_path: Path, option_file: Callable[..., Path], pairs: dict) -> None:
    options = option_file(
        {
            "datasets": {"train": pairs},
            "train": {"iters": None, "epochs": 2, "freeze": {"encoder": 1}, "checkpoint_every": 1, "keep": 1000},
        }
    )
    run(tmp_path / "run.txt", "-opt", options, "--work-dir", tmp_path / "run")
    saved = sorted((tmp_path / "run" / "checkpoints").glob("iter_*.pth"))
    half, last = len(saved) // 2, len(saved)
    first, thaw, end = (checkpoint_of(tmp_path / "run", number)["generator"] for number in (1, half, last))
    frozen = [name for name in first if name.startswith("encoder.")]
    assert frozen
    assert all(torch.equal(first[name], thaw[name]) for name in frozen), "still in its first epoch"
    assert all(not torch.equal(thaw[name], end[name]) for name in frozen if name.endswith("second.weight"))
    assert not torch.equal(first["stem.weight"], thaw["stem.weight"]), "the rest trains"
