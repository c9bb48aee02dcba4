"""The key ``init`` of generators and critics: how their weights start, whatever the network."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from shrunk import SHRUNK
from torch import Tensor, nn

from deblurkit import load_options
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import _same_generator
from deblurkit.registry import ARCHS, DISCRIMINATORS
from deblurkit.weight_init import INITS, Layer, init_by_name

NETWORKS = [(registry, name) for registry in (ARCHS, DISCRIMINATORS) for name in registry.names() if name in SHRUNK]
OPTIONS = Path(__file__).resolve().parents[1] / "options"

PLUGIN = '''
from torch import nn
from deblurkit.registry import ARCHS


@ARCHS.register_module()
class StartsItself(nn.Module):
    """A network whose constructor has an argument of this name."""

    def __init__(self, init: float = 0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.conv.weight, init)

    def forward(self, blurred):
        return self.conv(blurred)
'''


def layers(network: nn.Module) -> list[Layer]:
    return [module for module in network.modules() if isinstance(module, Layer)]


def spread(weight: Tensor) -> dict[str, float]:
    """The standard deviation that each start gives a weight."""
    fan_in, fan_out = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    return {
        "pytorch": 1 / math.sqrt(3 * fan_in),
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "he": math.sqrt(2 / fan_in),
        "normal": 0.02,
    }


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize(("registry", "name"), NETWORKS, ids=[name for _, name in NETWORKS])
def test_every_layer_starts_as_the_option_says(registry, name: str, init: str):
    torch.manual_seed(0)
    network = registry.build({"type": name, **SHRUNK[name], "init": init})
    same = registry.build({"type": name, **SHRUNK[name]})
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in same.state_dict().items()
    }
    scaled = torch.cat([layer.weight.flatten() / spread(layer.weight)[init] for layer in layers(network)])
    assert scaled.std().item() == pytest.approx(1.0, abs=5 / math.sqrt(len(scaled)))
    biases = [layer.bias for layer in layers(network) if layer.bias is not None]
    assert all(bias.any().item() == (init == "pytorch") for bias in biases)


def test_pytorchs_start_is_that_of_its_layers():
    for make in (lambda: nn.Conv2d(3, 8, 3), lambda: nn.ConvTranspose2d(3, 8, 3), lambda: nn.Linear(5, 7)):
        layer = make()
        torch.manual_seed(1)
        fresh = make()
        torch.manual_seed(1)
        init_by_name(layer, "pytorch")
        assert torch.equal(layer.weight, fresh.weight)
        assert torch.equal(layer.bias, fresh.bias)


def test_spectral_norm_holds_on_the_new_weights():
    torch.manual_seed(0)
    critic = DISCRIMINATORS.build(
        {"type": "PatchDiscriminator", "channels": 8, "layers": 2, "spectral_norm": True, "init": "he"}
    )
    for layer in layers(critic.eval()):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)
        assert torch.linalg.matrix_norm(layer.parametrizations.weight.original.flatten(1), 2) > 1.1


def test_a_constructors_own_argument_wins(tmp_path: Path):
    plugin = tmp_path / "starts_itself.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    file = tmp_path / "own.yml"
    text = f"name: own\nplugins: [{plugin}]\ngenerator: {{type: StartsItself, init: 0.25}}\n"
    file.write_text(text, encoding="utf-8")
    options = load_options(file)
    assert ARCHS.build(options.generator).conv.weight.unique().tolist() == [0.25]
    file.write_text(text.replace("0.25", "glorot"), encoding="utf-8")
    with pytest.raises(UserError, match=r"generator\.init: should be a valid number, not 'glorot'"):
        load_options(file)


@pytest.mark.parametrize("place", ["generator", "discriminators.critic"])
def test_a_misspelt_start_is_refused(place: str):
    with pytest.raises(UserError, match=f"{place}.init: no initialisation is named 'gloro'.*did you mean 'glorot'"):
        load_options(OPTIONS / "dsc.yml", [f"{place}.init=gloro"])
    registry, config = (ARCHS, "DSCNet") if place == "generator" else (DISCRIMINATORS, "PatchDiscriminator")
    with pytest.raises(UserError, match="no initialisation is named 'gloro'"):
        registry.build({"type": config, "init": "gloro"})


def test_a_checkpoint_is_of_the_same_generator_however_it_started():
    options = load_options(OPTIONS / "dsc.yml", ["generator.init=he"])
    held = {key: value for key, value in options.generator.items() if key != "init"}
    network = SimpleNamespace(foreign=False, state={"options": {"generator": held}})
    assert _same_generator(options, network)
    network.state["options"]["generator"] = {**held, "dropout": 0.1}
    assert not _same_generator(options, network)
