"""The operations of a network, as torch.export finds them: what both kinds of graphs are made from."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError, first_line
from deblurkit.exporting.network import Network
from deblurkit.exporting.portable import Portable
from deblurkit.inference.tlc import local_means

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_OPERATION = re.compile(r"(?:aten|prims)[.:]+[\w.]+")


def traced(network: Network, half: bool, tlc: int | None, smallest: bool = True) -> ExportedProgram:
    """Returns the operations of a network, for images of any size and number.

    Args:
        network: Whose :class:`~deblurkit.exporting.portable.Portable` it is.
        half: See there.
        tlc: Take local means, for a network trained on crops of this many pixels.
        smallest: See ``Portable``.

    Raises:
        UserError: It has an operation that depends on the values of pixels, or on the sizes of images.
    """
    portable = Portable(network.generator, half, smallest).eval()
    least = generator_traits(network.generator).size_rule.fit(64)
    free = torch.export.Dim.DYNAMIC
    # No two sides are equal here, nor one and the number of images: equal ones would be taken for one and the same.
    example = torch.zeros(2, 3, least + 5, 2 * least + 3)
    with contextlib.ExitStack() as active:
        active.enter_context(naming_what_fails(network, "a graph"))
        active.enter_context(torch.no_grad())
        if tlc is not None:
            portable.means = local_means(portable.generator, tlc)
        program = torch.export.export(portable, (example,), dynamic_shapes=({0: free, 2: free, 3: free},))
        # What a loop or a branch has settled for the example's size fails here; ONNX would keep it in silence.
        program.module()(torch.zeros(1, 3, 3 * least + 1, least + 7))
        return program


@contextlib.contextmanager
def naming_what_fails(network: Network, target: str) -> Iterator[None]:
    """Turns whatever the exporter raises into one line that names the operation."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it logs its progress
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Exception as error:  # of torch.export, its decompositions and onnxscript
        causes = [error]
        while (cause := causes[-1].__cause__) is not None and isinstance(cause, Exception):
            causes.append(cause)
        operation = next((found[0] for item in reversed(causes) if (found := _OPERATION.search(str(item)))), "")
        why = first_line(causes[-1]) or type(causes[-1]).__name__
        name = type(network.generator).__name__
        what = f"its operation {operation}" if operation else "it"
        raise UserError(f"{network.file}: {name} does not become {target}: {what} cannot be exported: {why}") from error
    finally:
        logger.setLevel(level)
