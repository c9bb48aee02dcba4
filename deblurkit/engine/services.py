"""Asks for what an option file names and a machine may lack, before anything is built; a lack is told in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deblurkit.errors import UserError, first_line, one_line

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


def check_services(options: Options, device: torch.device) -> None:
    """Refuses options that name what cannot be had here: a compiler, or Weights & Biases.

    Raises:
        UserError: ``torch.compile`` does not work on the device, or ``wandb`` cannot be imported.
    """
    problems = []
    if options.train.compile and (reason := _why_not_compiled(device)) is not None:
        problems.append(
            f"train.compile: torch.compile does not work here: {reason}; install what it lacks, or give "
            "train.compile: false"
        )
    if options.logging.wandb is not None:
        try:
            import wandb  # noqa: F401
        except Exception as error:  # half an installation fails in many ways
            problems.append(
                f"logging.wandb: wandb cannot be imported: {one_line(error)}; pip install wandb, or give "
                "logging.wandb: null"
            )
    if problems:
        raise UserError(*problems)


def _why_not_compiled(device: torch.device) -> str | None:
    """Returns why torch cannot compile for a device, in one line; ``None`` where it compiled a line of code."""
    # Without its cache, in which another machine that shares this home may have left the line compiled.
    compiled = torch.compile(_line, options={"fx_graph_cache": False})
    try:
        compiled(torch.ones(8, device=device))
    except Exception as error:  # tools, headers, Triton, a folder for temporaries: each is missed in another way
        return first_line(error) or type(error).__name__
    return None


def _line(numbers: Tensor) -> Tensor:
    return 2 * numbers + 1
