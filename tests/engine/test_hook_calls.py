"""Which methods of a hook are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from deblurkit import load_options, train

CALLED: list[str] = []


class OfEveryIteration(Hook):
    """Has only the method that MMEngine's own methods of an iteration call."""

    def _after_iter(self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any, mode: str = "train") -> None:
        CALLED.append(f"{mode} {batch_idx}")


@HOOKS.register_module()
class OfOurs(Hook):
    """Has a method of our loop's, and one set on the object alone; brings a hook of its own into the run."""

    def __init__(self) -> None:
        self.after_train = lambda runner: CALLED.append("after train")

    def after_iteration(self, runner: Any) -> None:
        CALLED.append(f"done {runner.iter}")
        if runner.iter == 1:
            runner.register_hook(OfEveryIteration())


@HOOKS.register_module()
class Wrong(Hook):
    """Takes too few arguments."""

    def before_train(self) -> None:  # type: ignore[override]
        raise AssertionError


def test_own_methods_are_called(option_file: Callable[..., Path], pairs: dict, tmp_path: Path) -> None:
    CALLED.clear()
    changes = {"datasets": {"train": pairs}, "train": {"iters": 3}, "hooks": [{"type": "OfOurs"}]}
    train(load_options(option_file(changes)), tmp_path / "run", device="cpu")
    assert CALLED == ["done 1", "train 1", "done 2", "train 2", "done 3", "after train"]


def test_a_hook_that_takes_other_arguments_is_named(
    option_file: Callable[..., Path], pairs: dict, tmp_path: Path
) -> None:
    options = load_options(option_file({"datasets": {"train": pairs}, "hooks": [{"type": "Wrong"}]}))
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given in Wrong"):
        train(options, tmp_path / "run", device="cpu")
