"""The contracts find what is broken: each of these components fails the check that it is made to fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deblurkit.errors import UserError
from deblurkit.testing import contract_tests

ROOT = Path(__file__).resolve().parents[1]

PLUGIN = """
import numpy as np
import torch
from torch import nn

from deblurkit.registry import ARCHS, BLURS, DISCRIMINATORS, LOSSES, METRICS, TRANSFORMS, VIEWS


class Net(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, image):
        return image + self.body(image)


@ARCHS.register_module()
class Sound(Net):
    receptive_field = 2


@ARCHS.register_module()
class Nearsighted(Net):
    receptive_field = 1


@ARCHS.register_module()
class Averaging(Sound):
    def forward(self, image):
        return super().forward(image - image.mean((2, 3), keepdim=True))


@ARCHS.register_module()
class Unlimited(Net):
    receptive_field = "global"


@ARCHS.register_module()
class Cropping(Net):
    def forward(self, image):
        return super().forward(image)[..., 1:-1, 1:-1]


@ARCHS.register_module()
class Noisy(Net):
    def forward(self, image):
        return super().forward(image) + torch.rand_like(image)


@ARCHS.register_module()
class Neighbourly(Net):
    def forward(self, image):
        return super().forward(image) - image.mean()


@ARCHS.register_module()
class Forgetful(Net):
    def __init__(self):
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, image):
        return self.scale * super().forward(image)


@ARCHS.register_module()
class Idle(Net):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.rand(3))


@ARCHS.register_module()
class BeforeNorm(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm2d(3)

    def forward(self, image):
        return image + self.norm(self.body(image))


@ARCHS.register_module()
class Overflowing(Net):
    def forward(self, image):
        return torch.exp(200 + super().forward(image))


@ARCHS.register_module()
class Stretched(Net):
    value_range = (0, 255)


@ARCHS.register_module()
class Picky(Net):
    def forward(self, image):
        if image.shape[-1] % 2:
            raise ValueError("odd")
        return super().forward(image)


@ARCHS.register_module()
class Nameless(Net):
    def forward(self, image):
        return {"picture": super().forward(image)}


@ARCHS.register_module()
class Swallowing(Net):
    def __init__(self, **options):
        super().__init__()


@ARCHS.register_module()
class Wanting(Net):
    def __init__(self, channels):
        super().__init__(channels)


@ARCHS.register_module()
class Given(Wanting):
    pass


@DISCRIMINATORS.register_module()
class Squashed(Net):
    def forward(self, image):
        return self.body(image).sigmoid()


@DISCRIMINATORS.register_module()
class Small(Net):
    def __init__(self):
        super().__init__()
        self.judge = nn.Linear(3 * 64 * 64, 1)

    def forward(self, image):
        return self.judge(self.body(image).flatten(1))


@LOSSES.register_module()
class Summed(nn.Module):
    def forward(self, pred, target):
        return (pred - target).abs().sum()


@LOSSES.register_module()
class Upside(nn.Module):
    def forward(self, pred, target):
        return -(pred - target).abs().mean()


@LOSSES.register_module()
class Detached(nn.Module):
    def forward(self, pred, target):
        return (pred.detach() - target).abs().mean()


@LOSSES.register_module()
class Weighted(nn.Module):
    def __init__(self, weight=1.0):
        super().__init__()

    def forward(self, pred, target):
        return (pred - target).abs().mean()


@LOSSES.register_module()
class Listed(nn.Module):
    def forward(self, pred, target):
        return sum((p - t).abs().mean() for p, t in zip(pred, target, strict=True)) if type(pred) is list else 1 / 0


@LOSSES.register_module()
class OneSided(nn.Module):
    def generator_loss(self, real, fake):
        return -fake.mean()

    def critic_loss(self, real, fake):
        return (fake - real.detach()).mean()


@VIEWS.register_module()
def halved_by_the_broken(image):
    return image[..., ::2, ::2]


@TRANSFORMS.register_module()
class InPlace:
    def __call__(self, pair, rng):
        for image in pair.values():
            image[:, :, 0] = rng.integers(256)
        return pair


@TRANSFORMS.register_module()
class Global:
    def __call__(self, pair, rng):
        shift = np.random.randint(1, 9)
        return {side: np.roll(image, shift, axis=1) for side, image in pair.items()}


@TRANSFORMS.register_module()
class Unpaired:
    def __call__(self, pair, rng):
        return {**pair, "blurred": pair["blurred"][:, ::-1]}


@TRANSFORMS.register_module()
class Shrinking:
    def __call__(self, pair, rng):
        top = int(rng.integers(20))
        return {side: image[top : top + 90] for side, image in pair.items()}


@TRANSFORMS.register_module()
class Wrapping:
    def __call__(self, pair, rng):
        shift = np.uint8(rng.integers(10, 20))
        return {side: image + image.dtype.type(shift) for side, image in pair.items()}


@BLURS.register_module()
class Brightening:
    margin = 2

    def draw(self, size, rng):
        return {"gain": 1.2 + rng.random(1)}

    def expose(self, linear, drawn):
        return (linear * drawn["gain"].astype(np.float32)), linear


@BLURS.register_module()
class Lights:
    margin = 2.0

    def draw(self, size, rng):
        return {"places": rng.random(int(rng.integers(1, 99)))}

    def expose(self, linear, drawn):
        return np.sqrt(linear), linear


@METRICS.register_module()
class Loose:
    def __init__(self, *numbers):
        pass

    def __call__(self, restored, sharp):
        return 0.0
"""

BROKEN = {
    "Cropping": {"returns_an_image", "restores_any_size", "keeps_or_refuses_odd_sizes"},
    "Noisy": {"evaluation_repeats_and_ignores_the_neighbours", "state_survives_a_file"},
    "Neighbourly": {"evaluation_repeats_and_ignores_the_neighbours"},
    "Forgetful": {"state_survives_a_file"},
    "Idle": {"every_parameter_gets_a_finite_gradient", "every_parameter_matters"},
    "BeforeNorm": {"every_parameter_matters"},
    "Overflowing": {"outputs_are_finite", "restores_any_size", "every_parameter_gets_a_finite_gradient"},
    "Nearsighted": {"looks_as_far_as_it_declares"},
    "Averaging": {"looks_as_far_as_it_declares"},
    "Unlimited": {"looks_as_far_as_it_declares"},
    "Stretched": {"declares_its_value_range"},
    "Picky": {"restores_any_size", "keeps_or_refuses_odd_sizes"},
    "Nameless": {"returns_an_image", "restores_any_size"},
    "Swallowing": {"constructor_names_its_arguments"},
    "Wanting": {"constructor_has_all_arguments"},
    "Squashed": {"returns_raw_logits"},
    "Small": {"judges_any_crop"},
    "Summed": {"is_a_mean"},
    "Upside": {"equal_images_are_best"},
    "Detached": {"is_a_finite_scalar_with_a_gradient"},
    "Weighted": {"the_weight_is_the_terms"},
    "OneSided": {"has_two_sides"},
    "halved_by_the_broken": {"keeps_the_batch_and_carries_gradients"},
    "InPlace": {"keeps_the_pair"},
    "Global": {"draws_from_its_generator_alone"},
    "Unpaired": {"keeps_the_pair"},
    "Shrinking": {"keeps_the_pair", "keeps_16_bits"},
    "Wrapping": {"wraps_nothing_around"},
    "Brightening": {"keeps_a_wall", "keeps_the_mean_light"},
    "Lights": {"has_a_margin", "draws_arrays_that_stack", "adds_light_up"},
    "Loose": {"constructor_names_its_arguments"},
}
SOUND = {"Sound", "Given", "Listed"}

ONE_LINE = """
from deblurkit.testing import Traits, contract_tests

test_contracts = contract_tests(
    "broken", arguments={"Given": {"channels": 5}}, traits={"Listed": Traits(takes_lists=True)}
)
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints of the broken components."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "test_broken.py").write_text(ONE_LINE, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", "-rA", "test_broken.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def outcomes(output: str, outcome: str) -> set[tuple[str, str]]:
    return set(re.findall(rf"^{outcome} test_broken\.py::test_contracts\[(\w+)-(\w+)\]", output, re.MULTILINE))


@pytest.mark.parametrize("component", BROKEN)
def test_the_right_check_fails(output: str, component: str):
    failed = {check for name, check in outcomes(output, "FAILED") if name == component}
    assert BROKEN[component] <= failed


@pytest.mark.parametrize("component", sorted(SOUND))
def test_sound_components_pass(output: str, component: str):
    assert component not in {name for name, _ in outcomes(output, "FAILED")}
    assert component in {name for name, _ in outcomes(output, "PASSED")}


def test_failures_say_component_check_and_what_was_expected(output: str):
    told = (
        "generator Forgetful, state_survives_a_file: Expects equal outputs of another instance that got the weights "
        "from a file read with ``weights_only=True``. Found: they differ: something is in no state_dict"
    )
    assert told in output


@pytest.mark.parametrize(
    ("plugin", "given", "told"),
    [
        ("json", {}, "contract_tests: json registers no component; is each of its modules imported?"),
        ("nowhere_at_all", {}, "plugin nowhere_at_all: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("nowhere.py", {}, "there is no such file"),
        ("deblurkit.archs", {"kinds": ["genrator"]}, "no kind is named 'genrator' (did you mean 'generator'?)"),
        (
            "deblurkit.archs",
            {"arguments": {"NAFNett": {}}},
            "arguments: deblurkit.archs registers no 'NAFNett' (did you mean 'NAFNet'?)",
        ),
    ],
)
def test_what_cannot_be_tested_is_said(plugin: str, given: dict, told: str):
    with pytest.raises(UserError) as caught:
        contract_tests(plugin, **given)
    assert told in str(caught.value)
