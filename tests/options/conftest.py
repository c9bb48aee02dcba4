"""Small components, registered the way a user's are: by a plugin file outside the package."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deblurkit.options.load import load_options
from deblurkit.options.problems import OptionsError

TOYS = '''
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS, LOSSES

if TYPE_CHECKING:
    from nowhere import Thing


@ARCHS.register_module()
class ToyNet(nn.Module):
    """Two outputs: the image and, where asked for, its gradient."""

    def __init__(self, channels: int | Sequence[int] = 3, gradient: bool = True, thing: Thing | None = None):
        super().__init__()
        if channels == 13:
            raise ValueError("13 channels bring bad luck")
        self.encoder = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(()))
        self.gradient = gradient

    def forward(self, blurred):
        image = self.encoder(blurred) * self.scale
        return {"image": image, "gradient": image} if self.gradient else image


@ARCHS.register_module()
class ToyShrinking(nn.Module):
    size_divisor = 48

    def forward(self, blurred):
        return blurred[..., ::2, ::2]


@ARCHS.register_module()
class ToyLooking(nn.Module):
    """Looks at values, so that it cannot run on the meta device."""

    def forward(self, blurred):
        return blurred * float(blurred.mean())


@DISCRIMINATORS.register_module()
class ToyCritic(nn.Module):
    def __init__(self, depth: int):
        super().__init__()

    def forward(self, image):
        return image


@LOSSES.register_module()
class ToyL1(nn.Module):
    def forward(self, pred, target):
        return (pred - target).abs().mean()


@LOSSES.register_module()
class ToyScaled(nn.Module):
    def __init__(self, scale: float, *, layers: Sequence[int] = (1, 2)):
        super().__init__()

    def forward(self, pred, target):
        return (pred - target).abs().mean()


@LOSSES.register_module()
class ToyGame(nn.Module):
    def __init__(self, mode: Literal["vanilla", "lsgan"] = "vanilla", condition: str | None = None):
        super().__init__()

    def generator_loss(self, real_logits, fake_logits):
        return fake_logits.mean()

    def critic_loss(self, real_logits, fake_logits):
        return real_logits.mean()


@DATASETS.register_module()
class ToyPairs:
    def __init__(self, blurred: str, sharp: str, crop: int | tuple[int, int] | None = None):
        pass

    def __len__(self):
        return 1

    def sample(self, index, rng):
        return {}


@DATASETS.register_module()
class ToyOpen:
    def __init__(self, **settings):
        pass

    def __len__(self):
        return 1

    def sample(self, index, rng):
        return {}


@HOOKS.register_module()
class ToyHook(Hook):
    def __init__(self, every: int = 1):
        pass
'''

GOOD = """\
name: good
plugins: [{toys}]
generator: {{type: ToyNet}}
discriminators:
  critic: {{type: ToyCritic, depth: 2}}
losses:
  image: {{type: ToyL1}}
  edges: {{type: ToyScaled, scale: 2, pred: sobel(gradient), target: sobel(sharp), weight: 1e-4}}
  adversarial: {{type: ToyGame, critic: critic, weight: 0.05}}
optimizers:
  generator: {{type: Adam, lr: 1e-4, betas: [0.9, 0.999]}}
  discriminators: {{type: Adam, lr: 4e-4}}
schedulers: [{{type: PolyLR, eta_min: 0, power: 1.0}}]
datasets:
  train: {{type: ToyPairs, blurred: a, sharp: b, crop: [8, 8], batch_size: 4, workers: 2}}
  val: {{toy: {{type: ToyPairs, blurred: a, sharp: b, limit: 3}}}}
train: {{iters: 10, ema: {{decay: 0.99}}, freeze: {{encoder: 1}}}}
hooks: [{{type: ToyHook, every: 2, priority: LOW}}]
engine: {{env_cfg: {{cudnn_benchmark: true}}, default_hooks: {{timer: {{type: IterTimerHook}}}}}}
"""


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin file with one small component of each kind; its folder's name has a space and an umlaut."""
    file = tmp_path_factory.mktemp("größe zwei") / "toys.py"
    file.write_text(TOYS, encoding="utf-8")
    return file


@pytest.fixture
def write(tmp_path: Path, toys: Path) -> Callable[..., Path]:
    """Write an option file; ``TOYS`` in its text becomes the plugin file's path."""

    def write_file(text: str, name: str = "options.yml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).replace("TOYS", f"'{toys}'"), encoding="utf-8")
        return file

    return write_file


@pytest.fixture
def good(write: Callable[..., Path]) -> Path:
    """A whole option file without a mistake."""
    return write(GOOD.format(toys="TOYS"), "good.yml")


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """Load an option file and return its problem lines; none where it is right."""

    def lines(path: Path | str, overrides: Sequence[str] = ()) -> list[str]:
        try:
            load_options(path, overrides)
        except OptionsError as error:
            return list(error.problems)
        return []

    return lines
