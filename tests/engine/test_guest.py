"""``train()`` in a program of others gives back all that it takes of the process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import guest
import pytest
import torch
from runs import run

PLUGIN = '''
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Breaks(Hook):
    """Fails in the middle, and once more when it ought to clean up."""

    priority = "VERY_HIGH"

    def after_iteration(self, runner):
        raise ZeroDivisionError("a bug of ours")

    def after_stop(self, runner):
        raise ZeroDivisionError("another one")
'''


NEWER = """
import torch
from deblurkit.device import switch_tf32
from deblurkit.engine.host import settings_given_back

torch.backends.cuda.matmul.fp32_precision = "tf32"
with settings_given_back():
    switch_tf32(False)
print(torch.backends.cuda.matmul.fp32_precision)
"""


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has no newer switches"
)
def test_a_program_that_uses_torchs_newer_switches(tmp_path: Path):
    script = tmp_path / "newer.py"
    script.write_text(NEWER, encoding="utf-8")
    assert run(tmp_path / "newer.txt", script=script).splitlines()[-1] == "tf32"


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize("fails", [False, True])
def test_all_is_given_back(tmp_path: Path, pairs: dict[str, Any], option_file: Callable[..., Path], fails: bool):
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    change: dict[str, Any] = {
        "datasets": {"train": {"workers": 1}, "val": {"pairs": val}},
        "train": {"iters": 1, "ema": {"decay": 0.9}},
        "logging": {"tensorboard": True, "samples": 1},
        "engine": {"randomness": {"deterministic": True}},
    }
    if fails:
        change |= {"plugins": [str(tmp_path / "plugin.py")], "hooks": [{"type": "Breaks"}]}
    text = run(tmp_path / "guest.txt", option_file(change), tmp_path / "runs", script=Path(guest.__file__))
    assert text.count("failed") == (guest.RUNS if fails else 0)
    assert [line for line in text.splitlines() if line.startswith("run ")] == []
    assert text.endswith("done\n")
