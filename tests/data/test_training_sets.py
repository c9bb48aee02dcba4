"""Batches of images from several training sets."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deblurkit.data.epoch_plan import EpochPlan
from deblurkit.data.loader import FirstImages, build_train_loader
from deblurkit.data.prefetch import DeviceBatches
from deblurkit.data.sample import SamplePairs
from deblurkit.data.training_sets import TrainingSets, described_sets
from deblurkit.errors import UserError


class Grey:
    """Images of one level, without chance."""

    def __init__(self, level: float, size: int = 4, count: int = 5) -> None:
        self.level, self.size, self.count = level, size, count
        self.notes = [f"level {level}"]

    def __len__(self) -> int:
        return self.count

    def describe(self) -> dict[str, str | int]:
        return {"set": "Grey", "level": str(self.level)}

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        if index == self.count - 1 and self.level < 0:
            raise UserError("4: it cannot be read")
        image = torch.full((3, self.size, self.size), self.level)
        return {"blurred": image, "sharp": image + index / 100, "key": str(index)}


class Unfinished(Grey):
    """Leaves the blur to the device."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        whole = super().sample(index, rng)
        return {"sharp": whole["sharp"], "drawn": {"level": np.float32(self.level)}, "key": whole["key"]}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        blurred = 0 * batch["sharp"] + batch["drawn"]["level"].view(-1, 1, 1, 1)
        return {"blurred": blurred, "sharp": batch["sharp"], "key": batch["key"]}


def settings(**changes: Any) -> Any:
    return SimpleNamespace(
        **{"batch_size": 4, "workers": 0, "prefetch": 2, "persistent": True, "cache": False} | changes
    )


def batches(sets: TrainingSets, count: int, workers: int = 0, **start: Any) -> list[dict[str, Any]]:
    loader = build_train_loader(sets, settings(workers=workers), 5, plan=sets.plan, **start)
    return list(itertools.islice(iter(DeviceBatches(loader, torch.device("cpu"), sets.finish)), count))


def equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(
        a["key"] == b["key"] and torch.equal(a["blurred"], b["blurred"]) and torch.equal(a["sharp"], b["sharp"])
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def mixed(sample_root: Path) -> TrainingSets:
    """Two sets with chance, of which the second is limited, and one whose batches the device finishes."""
    root = str(sample_root)
    first = SamplePairs("test", crop=32, augment=["hflip", "Mixup"], root=root)
    second = FirstImages(SamplePairs("test", crop=32, augment=["rot90"], root=root), 6)
    return TrainingSets([first, second, Unfinished(0.5, 32)], EpochPlan.weighted([18, 6, 5], [1, 1, 2]))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_depend_on_seed_epoch_and_index_alone(mixed: TrainingSets, workers: int):
    """Also in the middle of an epoch, and with workers."""
    whole = batches(mixed, 16)  # 7 an epoch
    assert whole[0]["blurred"].shape == (4, 3, 32, 32)
    assert len({batch["blurred"].numpy().tobytes() for batch in whole}) > 12
    for epoch, number in [(0, 0), (0, 3), (1, 5)]:
        start = 7 * epoch + number
        again = batches(mixed, 16 - start, workers, start_epoch=epoch, start_batch=number)
        assert equal(again, whole[start:])


def test_an_epoch_draws_by_the_plan(mixed: TrainingSets):
    keys = [key for batch in batches(mixed, 7) for key in batch["key"]]
    assert Counter(key.split("/")[0] for key in keys).keys() == {"train.0", "train.1", "train.2"}
    assert len(keys) == 28
    shares = Counter(key.split("/")[0] for key in keys)
    assert shares["train.2"] in (13, 14, 15), "28 of the 29 draws, of which 15 are its"


def test_images_stay_with_their_keys_and_what_the_device_finishes():
    sets = TrainingSets([Grey(0.25), Unfinished(0.5)], EpochPlan.repeating([5, 5], [1, 2]))
    for batch in batches(sets, 6):
        for key, blurred, sharp in zip(batch["key"], batch["blurred"], batch["sharp"], strict=True):
            place, index = key.split("/")
            level = {"train.0": 0.25, "train.1": 0.5}[place]
            assert blurred.unique().item() == level
            assert sharp.unique().item() == pytest.approx(level + int(index) / 100)


def test_every_process_has_its_part_of_an_epoch():
    sets = TrainingSets([Grey(0.25), Grey(0.5)], EpochPlan.repeating([5, 5], [1, 3]))
    drawn: Counter[str] = Counter()
    for rank in range(2):
        for batch in batches(sets, 2, rank=rank, world=2):
            drawn.update(batch["key"])
    assert sum(drawn.values()) == 16
    assert max(drawn[f"train.0/{index}"] for index in range(5)) == 1
    assert max(drawn[f"train.1/{index}"] for index in range(5)) == 3


def test_a_repeated_image_is_not_cropped_alike(sample_root: Path):
    data = FirstImages(SamplePairs("test", crop=32, root=str(sample_root)), 4)
    loader = build_train_loader(data, settings(), 5, plan=EpochPlan.repeating([4], [3]))
    found = list(itertools.islice(iter(loader), 3))
    images = {image.numpy().tobytes() for batch in found for image in batch["blurred"]}
    assert len(images) == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_names_its_set(workers: int):
    sets = TrainingSets([Grey(0.5), Grey(-1.0)], EpochPlan.repeating([5, 5], [1, 1]))
    with pytest.raises(UserError) as caught:
        batches(sets, 3, workers)
    assert caught.value.problems == ("datasets.train.1: 4: it cannot be read",)


def test_sets_of_different_sizes_are_refused_before_a_training():
    sets = TrainingSets([Grey(0.5), Grey(0.5, size=6)], EpochPlan.repeating([5, 5], [1, 1]))
    with pytest.raises(UserError, match=r"^datasets\.train: .*: train\.0/0 4 x 4, train\.1/0 6 x 6; give the"):
        sets.try_together()
    TrainingSets([Grey(0.5), Unfinished(0.2)], EpochPlan.repeating([5, 5], [1, 1])).try_together()


def test_what_the_sets_say_of_themselves():
    sets = TrainingSets([Grey(0.25), Grey(0.5, count=3)], EpochPlan.repeating([5, 3], [1, 5]))
    facts = sets.describe()
    assert facts["set"] == "Grey + Grey"
    assert described_sets(facts) == [
        {"set": "Grey", "share": "25 %", "images": 5, "level": "0.25"},
        {"set": "Grey", "share": "75 %", "images": 3, "level": "0.5"},
    ]
    assert sets.notes == ["datasets.train.0: level 0.25", "datasets.train.1: level 0.5"]
    assert described_sets({"set": "GoPro", "variant": "linear"}) == [{"set": "GoPro", "variant": "linear"}]
