"""Every file in ``options/`` passes the check, builds and trains; the slow tests train it long enough to learn."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from shrunk import SHRUNK

from deblurkit.data.sample import SamplePairs
from deblurkit.engine.train import train
from deblurkit.options.load import load_options

OPTIONS = Path(__file__).resolve().parents[1] / "options"
FILES = sorted(file for file in OPTIONS.rglob("*.yml") if file.parent.name != "_base_")
SIDE = 64


def name_of(file: Path) -> str:
    return file.relative_to(OPTIONS).with_suffix("").as_posix()


@pytest.fixture(scope="module")
def gopro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as GoPro is, of a few real photographs under modelled shake, 144 pixels wide."""
    root = tmp_path_factory.mktemp("gopro")
    pairs = SamplePairs(split="train")
    for split, count in (("train", 2), ("test", 1)):
        for index in range(count):
            pair = pairs.read(index)
            for side, folder in (("blurred", "blur"), ("sharp", "sharp")):
                file = root / "datasets" / "GoPro" / split / f"GOPR{index:04d}_11_00" / folder / "000001.png"
                file.parent.mkdir(parents=True)
                cv2.imwrite(str(file), np.ascontiguousarray(pair[side][64:208, 64:208, ::-1]))
    # The photographs of the network in the box are sharp ones alone.
    for split, folder in (("train", "train"), ("test", "val")):
        sharp = root / "datasets" / "starter" / folder
        sharp.mkdir(parents=True)
        for number, file in enumerate(sorted((root / "datasets" / "GoPro" / split).glob("*/sharp/*.png"))):
            shutil.copy(file, sharp / f"{number}.png")
    return root


def overrides(file: Path, iterations: int) -> list[str]:
    """What makes an experiment small enough for a test, as ``--set`` takes it; the recipe stays as it is."""
    options = load_options(file).to_dict()
    data = options["datasets"]["train"]
    changes: dict[str, Any] = {f"datasets.train.{key}": SIDE for key in ("crop", "resize") if data.get(key) is not None}
    changes |= {"datasets.train.batch_size": 2, "datasets.train.workers": 0, "datasets.train.cache": False}
    if data.get("persistent"):
        changes["datasets.train.persistent"] = False
    if options["name"] == "quickstart":
        window = next(entry for entry in data["augment"] if entry["type"] == "RandomResizedCrop")
        changes["datasets.train.augment"] = [{**window, "size": SIDE}]
    for name, term in options["losses"].items():
        if term["type"] == "PerceptualLoss":
            changes[f"losses.{name}.weights"] = "random"
    changes |= {"train.iters": iterations, "logging.every": 1, "logging.tensorboard": False, "logging.curves": False}
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def shrunk(file: Path) -> list[str]:
    """What makes an experiment's networks small, as ``--set`` takes it."""
    options = load_options(file).to_dict()
    networks = {"generator": options["generator"]}
    networks |= {f"discriminators.{name}": critic for name, critic in options["discriminators"].items()}
    return [
        f"{place}.{key}={json.dumps(value)}"
        for place, network in networks.items()
        for key, value in SHRUNK.get(network["type"], {}).items()
    ]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_checks_and_names_itself(file: Path):
    options = load_options(file)
    assert options.name == name_of(file).removeprefix("ablations/").replace("/", "_")
    if file.parent != OPTIONS:
        parent = load_options(OPTIONS / f"{file.parent.name}.yml")
        assert options.paper.title == parent.paper.title
        assert options.to_dict() != parent.to_dict()
    if options.paper is not None:
        assert options.train.ema is None, "no paper here states an averaged generator"


@pytest.mark.parametrize(
    "file",
    # An ablation changes an argument or a term of its paper's file, and is checked above; it is trained with --slow.
    [pytest.param(file, marks=[] if file.parent == OPTIONS else pytest.mark.slow) for file in FILES],
    ids=name_of,
)
def test_trains_three_iterations(file: Path, gopro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(gopro)
    work_dir = train(load_options(file, [*overrides(file, 3), *shrunk(file)]), tmp_path / "run", device="cpu")
    state = torch.load(work_dir / "checkpoints" / "iter_00000003.pth", weights_only=True)
    assert state["position"]["iteration"] == 3
    assert all(torch.isfinite(value).all() for value in state["generator"].values() if value.is_floating_point())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_lowers_its_own_total_in_thirty_iterations(
    file: Path, gopro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """At the paper's widths, on one pair: the mean total of the last five iterations is below the first five's."""
    monkeypatch.chdir(gopro)
    changes = [*overrides(file, 30), "datasets.train.limit=1", "datasets.train.batch_size=1"]
    generator = load_options(file).generator
    if "encoder_weights" in generator:
        changes.append("generator.encoder_weights=null")
    if generator.get("encoder") == "inception_resnet_v2":
        changes.append("datasets.train.crop=128")
    options = load_options(file, changes)
    work_dir = train(options, tmp_path / "run", device="cpu")
    lines = (work_dir / "scalars.jsonl").read_text(encoding="utf-8").splitlines()
    # A Wasserstein critic's scores have no zero: its term may rise while the generator learns, and is left out.
    wasserstein = [name for name, term in options.losses.items() if term.component.get("mode") == "wgan"]
    totals = [
        record["loss"] - sum(record[f"term/{name}"] for name in wasserstein)
        for record in map(json.loads, lines)
        if "loss" in record
    ]
    assert len(totals) == 30
    print(f"{name_of(file)}: {statistics.fmean(totals[:5]):.4g} -> {statistics.fmean(totals[-5:]):.4g}")
    assert statistics.fmean(totals[-5:]) < statistics.fmean(totals[:5])
