"""The layers of a network, to hold against a paper's figure or table: as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence

from deblurkit.costs import Layer, LayerTable
from deblurkit.report.costs import markdown_table
from deblurkit.report.tables import NOTHING, Table, as_text
from deblurkit.report.write import json_text

_COLUMNS = ("module", "kind", "kernel", "stride", "in", "out", "output", "calls", "parameters", "MACs")
_NOTE = (
    "Counted as in the table of costs: MACs of convolutions and matrix products, a transposed convolution at its input "
    "positions. A module that runs several times for one image has its number of calls, and the MACs of all of them."
)


def layers_text(networks: Sequence[LayerTable]) -> str:
    """Returns the tables for a terminal."""
    return "\n\n".join([as_text(*map(_table, networks)), _NOTE])


def layers_markdown(networks: Sequence[LayerTable]) -> str:
    """Returns the tables as a page."""
    lines = ["# Layers", ""]
    for network in networks:
        lines += markdown_table(_table(network))
    return "\n".join([*lines, _NOTE, ""])


def layers_csv(networks: Sequence[LayerTable]) -> str:
    """Returns one row a layer, with the experiment, the network and the size; an unknown value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["options", "network", "size", *(field.name for field in dataclasses.fields(Layer))])
    for network in networks:
        for layer in network.layers:
            writer.writerow([network.name, network.network, network.size, *dataclasses.astuple(layer)])
    return text.getvalue()


def layers_json(networks: Sequence[LayerTable]) -> str:
    """Returns everything as JSON: a list of networks, each with its layers and totals."""
    entries = []
    for network in networks:
        # asdict leaves properties out, and nobody should have to add up the layers to get the totals
        entries.append({**dataclasses.asdict(network), "parameters": network.parameters, "macs": network.macs})
    return json_text({"networks": entries})


def _table(network: LayerTable) -> Table:
    """Returns the layers as a table with a last row of totals."""
    title = f"{network.name}: {network.network}, {network.kind}, {network.size}"
    if network.size != network.computed_size:
        title += f" (as {network.computed_size})"
    rows = []
    for layer in network.layers:
        rows.append([layer.module or "(the network)", layer.kind, layer.kernel, layer.stride])
        rows[-1] += [str(layer.channels_in or NOTHING), str(layer.channels_out or NOTHING)]
        # one call is the rule and is not written, so that layers used several times stand out
        rows[-1] += [layer.output, "" if layer.calls == 1 else str(layer.calls)]
        for count in (layer.parameters, layer.macs):
            rows[-1].append(f"{count:,}" if count else NOTHING)
    rows.append(["total", *[""] * 7, f"{network.parameters:,}", f"{network.macs:,}"])
    return Table(title, _COLUMNS, rows, texts=4)
