"""The layer table: of every registered network, with sums that are the whole network's."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import torch
from shrunk import SHRUNK
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deblurkit.costs import Layer, LayerTable
from deblurkit.errors import UserError
from deblurkit.evaluation.cost import count
from deblurkit.evaluation.layers import layer_tables, take_apart
from deblurkit.options.schema import Options
from deblurkit.registry import ARCHS, DISCRIMINATORS
from deblurkit.report.layers import layers_csv, layers_json, layers_markdown, layers_text

GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.")]
CRITICS = [name for name in DISCRIMINATORS.names() if DISCRIMINATORS.get(name).__module__.startswith("deblurkit.")]


def options(generator: dict[str, Any], **critics: dict[str, Any]) -> Options:
    return Options(name="tried", generator=generator, discriminators=critics)


@pytest.mark.parametrize("name", GENERATORS)
def test_sums_are_the_generators(name: str):
    config = {"type": name, **SHRUNK.get(name, {})}
    (table,) = layer_tables(options(config), "file.yml", "100x90")
    with torch.device("meta"):
        network = ARCHS.build(config).eval()
    counts = count(network, (100, 90))
    assert table.parameters == sum(weight.numel() for weight in network.parameters())
    assert table.macs == counts.macs
    assert table.computed_size == counts.computed_size


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("name", CRITICS)
def test_sums_are_the_critics(name: str, spectral_norm: bool):
    config = {"type": name, **SHRUNK.get(name, {}), "in_channels": 6, "spectral_norm": spectral_norm}
    (table,) = layer_tables(options({"type": "DeblurGAN"}, judge=config), "file.yml", "128x128", "judge")
    critic = DISCRIMINATORS.build(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as work:
        critic(torch.rand(1, 6, 128, 128))
    assert table.parameters == sum(weight.numel() for weight in critic.parameters())
    assert table.macs == work.get_total_flops() // 2
    kinds = {layer.kind for layer in table.layers}
    assert "Conv2d" in kinds
    assert not any("arametri" in f"{layer.module} {layer.kind}" for layer in table.layers)


def test_a_table_against_a_hand_count():
    (table,) = layer_tables(options({"type": "DSCNet", "channels": 4, "blocks": 1, "reduction": 4}), "f.yml", "64x64")
    rows = {layer.module: layer for layer in table.layers}
    assert rows["encoder.1"] == Layer(
        "encoder.1", "Conv2d", "7x7", "1", 3, 4, "4x64x64", 1, 3 * 4 * 49 + 4, 64 * 64 * 3 * 4 * 49
    )
    assert rows["encoder.3"].stride == "2"
    depthwise = rows["blocks.0.body.2"]
    assert (depthwise.kernel, depthwise.parameters) == ("3x3, 16 groups", 16 * 9)
    perceptron = rows["blocks.0.body.0.perceptron.0"]
    assert (perceptron.calls, perceptron.macs) == (2, 2 * 16 * 4), "shared by mean and maximum"


class Odd(nn.Module):
    """Multiplies matrices itself, runs a layer three times, and holds one that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.again = nn.Linear(4, 4)
        self.idle = nn.Linear(4, 2)
        self.inner = nn.ModuleDict({"same": self.again})

    def forward(self, features: Tensor) -> Tensor:
        for _ in range(3):
            features = self.again(features)
        return features @ torch.ones(4, 7)


def test_own_work_shared_layers_and_idle_ones():
    layers, size = take_apart(network := Odd(), lambda: network(torch.rand(1, 2, 4)))
    assert size == (2, 4)
    assert [(layer.module, layer.calls, layer.parameters, layer.macs) for layer in layers] == [
        ("", 1, 5, 2 * 4 * 7),
        ("again", 3, 20, 3 * 2 * 4 * 4),
        ("idle", 0, 10, 0),
    ]


def test_networks_are_chosen_by_name():
    critic = {"type": "PatchDiscriminator", **SHRUNK["PatchDiscriminator"]}
    tried = options({"type": "DeblurGAN", **SHRUNK["DeblurGAN"]}, near=critic, far=critic)
    assert [table.network for table in layer_tables(tried, "f.yml", "64x64", "all")] == ["generator", "near", "far"]
    with pytest.raises(
        UserError, match=r"^f.yml: no network is named 'fer' \(did you mean 'far'\?\); it has generator"
    ):
        layer_tables(tried, "f.yml", "64x64", "fer")
    with pytest.raises(UserError, match="near: PatchDiscriminator cannot be run on 2x2: ValueError"):
        layer_tables(tried, "f.yml", "2x2", "near")


def test_every_format_holds_every_layer():
    first = Layer("a", "Conv2d", "3x3", "1", 3, 1234, "1234x8x8", 2, 5000, 10**9)
    tables = [
        LayerTable("x", "generator", "Net", "6x8", "8x8", (first, Layer("b", "Tanh", "", "", None, None, "", 1, 0, 0)))
    ]
    text, page = layers_text(tables), layers_markdown(tables)
    for found in (text, page):
        assert "x: generator, Net, 6x8 (as 8x8)" in found
        assert all(part in found for part in ("1234x8x8", "5,000", "1,000,000,000", "total"))
    rows = [*csv.DictReader(io.StringIO(layers_csv(tables)))]
    assert [(row["module"], row["calls"], row["macs"], row["channels_in"]) for row in rows] == [
        ("a", "2", "1000000000", "3"),
        ("b", "1", "0", ""),
    ]
    (network,) = json.loads(layers_json(tables))["networks"]
    assert (network["parameters"], network["macs"], len(network["layers"])) == (5000, 10**9, 2)
