"""The layers of a network, to hold against a paper's figure or table: as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from deblurkit.report.costs import markdown_table
from deblurkit.report.tables import NOTHING, Table, as_text

_COLUMNS = ("module", "kind", "kernel", "stride", "in", "out", "output", "calls", "parameters", "MACs")


@dataclass(frozen=True)
class Layer:
    """One module that has weights or does the work of one operation.

    Attributes:
        module: Its name; empty for the network itself.
        kind: Its class.
        kernel: ``3x3``, with the number of groups where there are several; empty where it has none.
        stride: Of a convolution or pooling; empty where it has none.
        channels_in: Of its first input; ``None`` where that is no map.
        channels_out: Of its output.
        output: Shape of its output without the batch, of the last call; empty where that is no tensor.
        calls: How often it runs for one image; 0: it has weights and does not run.
        parameters: Of its own, without those of modules inside it.
        macs: Multiply-accumulates of its own, of all calls together.
    """

    module: str
    kind: str
    kernel: str
    stride: str
    channels_in: int | None
    channels_out: int | None
    output: str
    calls: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class LayerTable:
    """The layers of one network of an option file, in the order in which they run.

    Attributes:
        name: The experiment's.
        network: ``generator`` or the critic's name.
        kind: The registered name of the network.
        size: Of the image, ``HxW``.
        computed_size: What the network sees after padding, ``HxW``.
        layers: The layers.
    """

    name: str
    network: str
    kind: str
    size: str
    computed_size: str
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Of one image."""
        return sum(layer.macs for layer in self.layers)

    def table(self) -> Table:
        """Returns the layers as a table with a last row of totals."""
        padded = "" if self.size == self.computed_size else f" (as {self.computed_size})"
        title = f"{self.name}: {self.network}, {self.kind}, {self.size}{padded}"
        total = ["total", *[""] * 6, "", f"{self.parameters:,}", f"{self.macs:,}"]
        return Table(title, _COLUMNS, [*map(_row, self.layers), total], texts=4)


def layers_text(tables: Sequence[LayerTable]) -> str:
    """Returns the tables for a terminal."""
    return "\n\n".join([as_text(*(table.table() for table in tables)), *_NOTES])


def layers_markdown(tables: Sequence[LayerTable]) -> str:
    """Returns the tables as a page."""
    lines = ["# Layers", ""]
    for table in tables:
        lines += markdown_table(table.table())
    return "\n".join([*lines, *_NOTES, ""])


def layers_csv(tables: Sequence[LayerTable]) -> str:
    """Returns one row a layer, with the experiment, the network and the size; what a layer has not is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["options", "network", "size", *(field.name for field in dataclasses.fields(Layer))])
    for table in tables:
        for layer in table.layers:
            writer.writerow([table.name, table.network, table.size, *dataclasses.astuple(layer)])
    return text.getvalue()


def layers_json(tables: Sequence[LayerTable]) -> str:
    """Returns everything as JSON: a list of networks, each with its layers and totals."""
    networks = [{**dataclasses.asdict(table), "parameters": table.parameters, "macs": table.macs} for table in tables]
    return json.dumps({"networks": networks}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_NOTES = (
    "Counted as in the table of costs: MACs of convolutions and matrix products, a transposed convolution at its input "
    "positions. A module that runs several times for one image has its number of calls, and the MACs of all of them.",
)


def _row(layer: Layer) -> list[str]:
    channels = [NOTHING if number is None else str(number) for number in (layer.channels_in, layer.channels_out)]
    counts = [f"{number:,}" if number else NOTHING for number in (layer.parameters, layer.macs)]
    calls = str(layer.calls) if layer.calls != 1 else ""
    name = layer.module or "(the network)"
    return [name, layer.kind, layer.kernel, layer.stride, *channels, layer.output, calls, *counts]
