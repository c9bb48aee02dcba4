"""Checkpoints as a training writes them, of a network with one weight."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from deblurkit.checkpoint_format import FORMAT


def whole_state(**more: Any) -> dict[str, Any]:
    """Return all that a checkpoint holds; ``more`` replaces parts or adds some."""
    kind, keys, *rest = np.random.RandomState(0).get_state()
    version, internal, spare = random.Random(0).getstate()
    streams = {
        "python": [version, list(internal), spare],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "torch": torch.Generator().get_state(),
        "cuda": [],
    }
    group = {"lr": 1e-4, "betas": [0.9, 0.999], "params": [0]}
    return {
        "format": FORMAT,
        "generator": {"weight": torch.arange(6.0)},
        "ema": None,
        "critics": {},
        "losses": {"pixel": {}},
        "optimizers": {"generator": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [group]}},
        "schedulers": {"generator": []},
        "scalers": {"generator": {}},
        "rng": [streams],
        "position": {"iteration": 3, "epoch": 0},
        "best": {},
        "trained_on": {"set": "PairedImages"},
        "data_notes": [],
        "options": {"name": "small", "generator": {"type": "FilterBankUNet"}},
        "versions": {"deblurkit": "0"},
        **more,
    }
