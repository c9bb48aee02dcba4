"""Says on which machine everything is measured, and that its device can be used at all."""

from __future__ import annotations

import subprocess

import torch

from deblurkit.device import usable_cores
from deblurkit.evaluation.provenance import environment
from deblurkit.report.tables import Table
from gpu.task import Task, run

_ASKED = "name,driver_version,memory.total,power.limit,clocks.max.sm,pstate"


def measure(task: Task) -> None:
    """Computes one sum on the device and writes what it is."""
    assert torch.ones(4, device=task.device).sum().item() == 4
    facts = {**environment(task.device, "fp32"), "cores": usable_cores()}
    if task.device.type == "cuda":
        card = torch.cuda.get_device_properties(task.device)
        facts |= {"cuda": str(torch.version.cuda), "cudnn": torch.backends.cudnn.version()}
        facts |= {"capability": f"{card.major}.{card.minor}", "multiprocessors": card.multi_processor_count}
        try:
            command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
            told = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
            facts["nvidia-smi"] = told.strip().splitlines()[0]
        except (OSError, subprocess.TimeoutExpired, IndexError) as error:  # a container may have the card alone
            facts["nvidia-smi"] = f"not told: {error}"
    task.found = facts
    rows = [[key, str(value)] for key, value in facts.items() if key not in ("platform", "precision")]
    task.keep([Table("The machine", ["", ""], rows, 2)])


if __name__ == "__main__":
    run("machine", measure)
