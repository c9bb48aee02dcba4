from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deblurkit.data.epoch_plan import EpochPlan
from deblurkit.data.images import write_image
from deblurkit.data.loader import (
    EpochBatchSampler,
    FirstImages,
    SeededSamples,
    build_dataset,
    build_train_loader,
    collate,
)
from deblurkit.data.prefetch import DeviceBatches
from deblurkit.data.sample import SamplePairs
from deblurkit.errors import UserError
from deblurkit.evaluation.scoring import draw
from deblurkit.plugins import load_plugins
from deblurkit.registry import TRANSFORMS


def _settings(**changes: Any) -> Any:
    return SimpleNamespace(
        **{"batch_size": 4, "workers": 0, "prefetch": 2, "persistent": True, "cache": False} | changes
    )


def _entry(component: dict, limit: int | None = None, **loader: Any) -> Any:
    return SimpleNamespace(component=component, limit=limit, loader=_settings(**loader))


@pytest.fixture
def pairs(sample_root: Path) -> SamplePairs:
    return SamplePairs("test", crop=32, augment=["hflip", "rot90"], root=str(sample_root))


def _take(loader: Any, count: int) -> list[dict]:
    return list(itertools.islice(iter(loader), count))


def _equal(first: list[dict], second: list[dict]) -> bool:
    return all(
        a["key"] == b["key"] and torch.equal(a["blurred"], b["blurred"]) and torch.equal(a["sharp"], b["sharp"])
        for a, b in zip(first, second, strict=True)
    )


def test_batches(pairs: SamplePairs) -> None:
    loader = build_train_loader(pairs, _settings(), seed=1)
    batches = _take(loader, 9)
    assert batches[0]["blurred"].shape == (4, 3, 32, 32)
    assert batches[0]["sharp"].dtype == torch.float32
    for epoch in (batches[:4], batches[4:8]):
        keys = [key for batch in epoch for key in batch["key"]]
        assert len(set(keys)) == 16
    assert [b["key"] for b in batches[:4]] != [b["key"] for b in batches[4:8]]
    assert _equal(batches, _take(build_train_loader(pairs, _settings(), seed=1), 9))
    assert not _equal(batches, _take(build_train_loader(pairs, _settings(), seed=2), 9))


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, 0), (1, 2), (0, 4)])
def test_starting_later_gives_the_same_batches(pairs: SamplePairs, epoch: int, batch: int) -> None:
    everything = _take(build_train_loader(pairs, _settings(), seed=1), 10)
    later = build_train_loader(pairs, _settings(), seed=1, start_epoch=epoch, start_batch=batch)
    start = epoch * 4 + batch
    assert _equal(_take(later, 10 - start), everything[start:])


EVERYTHING = [
    {"type": "RandomResizedCrop", "size": 90},
    {"type": "RandomRotatedCrop", "size": 58, "degrees": 20},
    "hflip",
    "vflip",
    "rot90",
    {"type": "CameraShake", "extent": [2.0, 4.0], "margin": 5, "steps": 4},
    {"type": "ColourJitter", "shuffle": True},
    "CutBlur",
    "Mixup",
    {"type": "RandomCrop", "size": 44},
    {"type": "Resize", "size": 32},
]


def test_everything_is_every_transform() -> None:
    assert {entry if isinstance(entry, str) else entry["type"] for entry in EVERYTHING} == set(TRANSFORMS.names())


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("workers", "method", "cached"),
    [(1, "fork", False), (3, "fork", False), (3, "fork", True), (1, "spawn", True)],
)
def test_workers_and_resuming_change_nothing(sample_root: Path, workers: int, method: str, cached: bool) -> None:
    """Also in the middle of an epoch, with each transform there is, and where pairs are mixed."""
    entry = {"type": "SamplePairs", "split": "test", "root": str(sample_root), "augment": EVERYTHING}
    dataset = build_dataset(_entry(entry, limit=12, cache=cached), "datasets.train")
    alone = _take(build_train_loader(dataset, _settings(), seed=5), 7)
    assert len({batch["blurred"].numpy().tobytes() for batch in alone}) == 7
    assert _equal(_take(build_train_loader(dataset, _settings(), seed=5, start_batch=2), 5), alone[2:])
    for epoch, batch in [(0, 0), (1, 1)] if method == "fork" else [(1, 1)]:
        settings = _settings(workers=workers)
        loader = build_train_loader(dataset, settings, seed=5, start_epoch=epoch, start_batch=batch)
        loader.multiprocessing_context = method
        start = epoch * 3 + batch
        assert _equal(_take(loader, 7 - start), alone[start:])


def test_the_global_generator_is_left_alone(pairs: SamplePairs) -> None:
    for workers in (0, 2):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        _take(build_train_loader(pairs, _settings(workers=workers), seed=5), 2)
        assert torch.equal(torch.get_rng_state(), before)


def test_ranks_share_an_epoch() -> None:
    plan = EpochPlan.repeating([23], [1])
    samplers = [EpochBatchSampler(plan, 3, seed=4, rank=rank, world=3) for rank in range(3)]
    assert {sampler.batches for sampler in samplers} == {2}
    shares = [list(itertools.islice(sampler, 2)) for sampler in samplers]
    positions = [position for share in shares for batch in share for position in batch]
    assert len(set(positions)) == len(positions) == 18
    assert {position.epoch for position in positions} == {0}


def test_unused_batches_are_skipped(pairs: SamplePairs) -> None:
    loader = build_train_loader(pairs, _settings(), seed=1, used_batches=3)
    full = _take(build_train_loader(pairs, _settings(), seed=1), 7)
    assert _equal(_take(loader, 6), full[:3] + full[4:7])


def test_too_few_images(pairs: SamplePairs) -> None:
    with pytest.raises(
        UserError, match="batch_size: 10 in each of 2 processes needs at least 20 images; an epoch has 18"
    ):
        build_train_loader(pairs, _settings(batch_size=10), seed=1, world=2)
    with pytest.raises(ValueError, match="make no batch"):
        EpochBatchSampler(EpochPlan.repeating([3], [1]), 4, seed=0)


def test_a_batch_of_different_sizes() -> None:
    samples = [{"blurred": torch.zeros(3, size, 8), "key": f"k{size}"} for size in (8, 9)]
    with pytest.raises(UserError, match="k8 8 x 8, k9 9 x 8; give the set a crop"):
        collate(samples)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_lost_during_training_is_named_without_traceback(
    tmp_path: Path, photograph: np.ndarray, workers: int
) -> None:
    for side in ("blurred", "sharp"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "a.png", photograph)
    component = {"type": "PairedImages", "blurred": str(tmp_path / "blurred"), "sharp": str(tmp_path / "sharp")}
    dataset = build_dataset(_entry(component), "datasets.train")
    (tmp_path / "sharp" / "a.png").unlink()
    with pytest.raises(UserError) as caught:
        _take(build_train_loader(dataset, _settings(batch_size=1, workers=workers), seed=1), 1)
    assert caught.value.problems == (f"{tmp_path}/sharp/a.png: it cannot be read: No such file or directory",)


SIGNALLED = """
import itertools, multiprocessing, subprocess, sys
from types import SimpleNamespace
from deblurkit.data.loader import build_train_loader
from deblurkit.data.sample import SamplePairs

settings = SimpleNamespace(batch_size=2, workers=1, prefetch=2, persistent=True, cache=False)
loader = build_train_loader(SamplePairs("test", crop=32, root=sys.argv[1]), settings, seed=1)
batches = iter(loader)
next(batches)
(worker,) = multiprocessing.active_children()
for name in ("INT", "TERM"):  # from a third process: the worker obeys its parent
    subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
list(itertools.islice(batches, 20))
print("went on")
raise SystemExit(3)
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_worker_outlives_the_groups_signals_and_ends_with_the_run(sample_root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", SIGNALLED, str(sample_root)]
    done = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "went on\n", "")


PLUGIN = """
import numpy as np
import torch
from deblurkit.registry import DATASETS

@DATASETS.register_module()
class Noise:
    def __init__(self, size):
        self.size = size
    def __len__(self):
        return 8
    def sample(self, index, rng):
        image = torch.from_numpy(rng.random((3, self.size, self.size), dtype=np.float32))
        return {"blurred": image, "sharp": image, "key": str(index)}
"""


def test_a_plugins_data_set_reaches_spawned_workers(tmp_path: Path) -> None:
    plugin = tmp_path / "größe noise.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    load_plugins([str(plugin)])
    dataset = build_dataset(_entry({"type": "Noise", "size": 5}, limit=6), "datasets.train")
    assert len(dataset) == 6
    alone = _take(build_train_loader(dataset, _settings(batch_size=2), seed=5), 4)
    loader = build_train_loader(dataset, _settings(batch_size=2, workers=1), seed=5)
    loader.multiprocessing_context = "spawn"
    assert _equal(_take(loader, 4), alone)
    with pytest.raises(UserError, match=r"^datasets\.train: cache: a Noise cannot be cached"):
        build_dataset(_entry({"type": "Noise", "size": 5}, cache=True), "datasets.train")


def test_limit_and_cache(sample_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    component = {"type": "SamplePairs", "split": "test", "root": str(sample_root)}
    dataset = build_dataset(_entry(component, limit=5, cache=True), "datasets.val.sample")
    assert len(dataset) == 5
    assert dataset.keys() == [f"chelsea_{number:02d}" for number in range(5)]
    plain = build_dataset(_entry(component), "datasets.val.sample")
    np.testing.assert_array_equal(dataset.read(3)["blurred"], plain.read(3)["blurred"])
    assert np.shares_memory(dataset.read(3)["blurred"], dataset.read(3)["blurred"])


def test_build_errors_say_where(tmp_path: Path) -> None:
    component = {"type": "PairedImages", "blurred": str(tmp_path / "a"), "sharp": str(tmp_path / "b")}
    with pytest.raises(UserError) as caught:
        build_dataset(_entry(component), "datasets.train")
    assert len(caught.value.problems) == 2
    assert all(problem.startswith("datasets.train: ") for problem in caught.value.problems)
    with pytest.raises(UserError, match=r"datasets\.train: .*did you mean 'PairedImages'"):
        build_dataset(_entry({"type": "PairedImage"}), "datasets.train")


def test_a_sample_depends_on_seed_epoch_and_index(pairs: SamplePairs) -> None:
    samples = SeededSamples(pairs, seed=3)
    assert len(samples) == 18
    assert torch.equal(samples[2, 7]["blurred"], samples[2, 7]["blurred"])
    assert not torch.equal(samples[2, 7]["blurred"], samples[3, 7]["blurred"])
    assert torch.equal(samples[2, 7]["blurred"], samples[2, 7, 0]["blurred"])
    assert not torch.equal(samples[2, 7]["blurred"], samples[2, 7, 1]["blurred"]), "critics draw numbers of their own"


class Unfinished:
    """Gives grey levels, which ``finish`` makes images of; it has to be told a factor by the sample."""

    def __len__(self) -> int:
        return 6

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "sharp": torch.full((3, 4, 5), index / 10),
            "drawn": {"factor": np.float32(rng.random()), "path": rng.random((2, 3))},
            "key": str(index),
        }

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert batch["drawn"]["path"].shape == (len(batch["key"]), 2, 3)
        blurred = batch["sharp"] * batch["drawn"]["factor"].view(-1, 1, 1, 1)
        return {"blurred": blurred, "sharp": batch["sharp"], "key": batch["key"]}


@pytest.mark.parametrize("dataset", [Unfinished(), FirstImages(Unfinished(), 4)], ids=["whole", "limited"])
def test_what_a_set_leaves_to_the_device_is_done(dataset: Any) -> None:
    loader = build_train_loader(dataset, _settings(batch_size=2), seed=1)
    batches = DeviceBatches(loader, torch.device("cpu"), dataset.finish)
    (batch,) = itertools.islice(iter(batches), 1)
    assert set(batch) == {"blurred", "sharp", "key"}
    assert batch["blurred"].shape == (2, 3, 4, 5)
    index = int(batch["key"][1])
    factor = np.random.default_rng([1, 0, index]).random()
    assert batch["blurred"][1, 0, 0, 0].item() == pytest.approx(factor * index / 10)

    single = draw(dataset, 3, seed=7)
    assert single["key"] == "3"
    assert single["blurred"].shape == (3, 4, 5)
    assert single["blurred"][0, 0, 0].item() == pytest.approx(np.random.default_rng((7, 0, 3)).random() * 0.3)


def test_a_limited_set_finishes_nothing_where_the_whole_does_not(pairs: SamplePairs) -> None:
    assert not hasattr(FirstImages(pairs, 3), "finish")
