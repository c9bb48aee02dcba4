"""Restoring and scoring a data set, image by image."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from deblurkit.data.images import read_image, to_tensor, to_uint8
from deblurkit.errors import UserError
from deblurkit.evaluation.aggregate import dataset_result, summarise
from deblurkit.evaluation.protocols.protocol import Scored, get_protocol
from deblurkit.evaluation.scoring import (
    Keeping,
    Outcome,
    ScoringError,
    image_file,
    score_dataset,
    scored_images,
    undefined_notes,
)
from deblurkit.evaluation.sources import NetworkSource
from deblurkit.inference.forward import NonFiniteOutputError
from deblurkit.metrics.psnr import psnr
from deblurkit.metrics.ssim import ssim
from deblurkit.results import plain

PROTOCOL = get_protocol("gopro-basicsr-v1")


class Crops:
    """Random crops of a photograph, shifted sideways for the blurred one; the last has no truth."""

    def __len__(self) -> int:
        return 3

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        top = int(rng.integers(0, 300))
        image = skimage.data.astronaut()[top : top + 40, 100:160]
        sample = {"blurred": to_tensor(np.roll(image, 1, axis=1)), "key": f"scene/{index}"}
        return sample if index == 2 else {**sample, "sharp": to_tensor(image)}


class Shift(nn.Module):
    """Undoes the shift; its parts are in different modes."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Dropout(0.5).eval()
        self.active = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, blurred: Tensor) -> Tensor:
        return self.active(self.frozen(blurred.roll(-1, dims=3))) * self.gain


def rows_of(generator: nn.Module, dataset: Any, **options: Any) -> list[Any]:
    return [outcome.row for outcome in score_dataset(NetworkSource(generator), dataset, PROTOCOL, **options)]


def test_scores_of_input_and_output() -> None:
    generator = Shift()
    told: list[tuple[int, int]] = []
    rows = rows_of(generator, Crops(), seed=4, progress=lambda done, total: told.append((done, total)))
    assert [row.key for row in rows] == ["scene/0", "scene/1", "scene/2"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    for index, row in enumerate(rows[:2]):
        sample = Crops().sample(index, np.random.default_rng((4, 0, index)))
        blurred, sharp = to_uint8(sample["blurred"]), to_uint8(sample["sharp"])
        assert row.blurred == {"psnr": psnr(blurred, sharp), "ssim": ssim(blurred, sharp)}
        assert row.restored == {"psnr": float("inf"), "ssim": 1.0}
        assert row.seconds > 0
    assert (rows[2].blurred, rows[2].restored) == (None, None)
    assert generator.training
    assert generator.active.training
    assert not generator.frozen.training


def test_samples_depend_on_seed_and_index_alone() -> None:
    first, second, other = (rows_of(Shift(), Crops(), seed=seed) for seed in (4, 4, 5))
    assert [row.blurred for row in first] == [row.blurred for row in second]
    assert [row.blurred for row in first] != [row.blurred for row in other]


class Photographs(Crops):
    """Enough images for several threads to be busy."""

    def __len__(self) -> int:
        return 24


def test_values_and_their_order_do_not_depend_on_the_number_of_threads() -> None:
    alone, together = (rows_of(Shift(), Photographs(), threads=threads) for threads in (1, 7))
    assert [(row.key, row.blurred, row.restored) for row in alone] == [
        (row.key, row.blurred, row.restored) for row in together
    ]


class Counted(Photographs):
    """Counts the samples that were drawn and are not restored yet."""

    def __init__(self) -> None:
        self.lock, self.ahead, self.most = threading.Lock(), 0, 0

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        with self.lock:
            self.ahead += 1
            self.most = max(self.most, self.ahead)
        return super().sample(index, rng)


class Slow(Shift):
    """Takes longer than reading does."""

    def __init__(self, data: Counted) -> None:
        super().__init__()
        self.data = data

    def forward(self, blurred: Tensor) -> Tensor:
        time.sleep(0.01)
        with self.data.lock:
            self.data.ahead -= 1
        return super().forward(blurred)


@pytest.mark.parametrize(("pixels", "most"), [(2**25, 4), (2 * 40 * 60, 3), (1, 2)])
def test_no_more_is_read_ahead_than_was_said(pixels: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads: at most three images wait while one is restored; fewer where images are large."""
    monkeypatch.setattr("deblurkit.evaluation.scoring.PIXELS_AHEAD", pixels)
    data = Counted()
    score_dataset(NetworkSource(Slow(data)), data, PROTOCOL, threads=3)
    assert 1 < data.most <= most


def test_summary() -> None:
    outcomes = score_dataset(NetworkSource(Shift()), Crops(), PROTOCOL)
    rows = [outcome.row for outcome in outcomes]
    summary = summarise(rows, PROTOCOL)
    assert summary.images == 3
    assert summary.blurred["psnr"] == pytest.approx((rows[0].blurred["psnr"] + rows[1].blurred["psnr"]) / 2)
    assert summary.restored == {"psnr": float("inf"), "ssim": 1.0}
    blind = summarise(rows[2:], PROTOCOL)
    assert (blind.blurred, blind.restored) == (None, None)

    entry = plain(dataset_result(outcomes, PROTOCOL, 2.5))
    assert (entry["images"], entry["scored"], entry["inference_used"]) == (3, 2, {"whole": 3})
    assert entry["gain"]["ssim"] == pytest.approx(1.0 - entry["blurred"]["ssim"])
    low, high = entry["intervals"]["blurred"]["psnr"]
    assert low <= entry["blurred"]["psnr"] <= high
    assert "psnr" not in entry["intervals"]["restored"], "the mean is infinite"
    assert entry["seconds_per_image"]["median"] == pytest.approx(sorted(row.seconds for row in rows)[1])
    assert entry["seconds"]["wall"] == 2.5
    assert entry["seconds"]["network"] == pytest.approx(sum(row.seconds for row in rows))
    assert entry["seconds"]["decode"] > 0 < entry["seconds"]["metrics"]


def test_restored_images_are_saved_under_their_keys_before_they_are_recorded(tmp_path: Path) -> None:
    recorded: list[Outcome] = []

    def record(outcome: Outcome) -> None:
        assert (tmp_path / f"{outcome.row.key}.png").is_file()
        recorded.append(outcome)

    keeping = Keeping(lambda index, key: image_file(tmp_path, key), lambda image: bytes(image[0, 0]), record)
    outcomes = score_dataset(NetworkSource(Shift()), Crops(), PROTOCOL, keeping=keeping)
    sample = Crops().sample(0, np.random.default_rng((0, 0, 0)))
    restored = to_uint8(sample["sharp"])
    assert np.array_equal(read_image(tmp_path / "scene" / "0.png"), restored)
    assert sorted(path.name for path in (tmp_path / "scene").iterdir()) == ["0.png", "1.png", "2.png"]
    assert sorted(recorded, key=lambda outcome: outcome.index) == outcomes
    assert outcomes[0].thumbnail == bytes(restored[0, 0])


def test_what_is_known_is_not_touched_again() -> None:
    """And what is scored again is as it was."""
    first = score_dataset(NetworkSource(Shift()), Photographs(), PROTOCOL)
    data = Counted()
    told: list[tuple[int, int]] = []
    known = {outcome.index: outcome for outcome in first if outcome.index not in (3, 7)}
    second = score_dataset(
        NetworkSource(Shift()), data, PROTOCOL, done=known, progress=lambda *numbers: told.append(numbers)
    )
    assert (data.ahead, told) == (2, [(23, 24), (24, 24)])
    assert all(outcome is first[index] for index, outcome in enumerate(second) if index not in (3, 7))
    assert [outcome.row.restored for outcome in second] == [outcome.row.restored for outcome in first]


@pytest.mark.parametrize("key", ["../outside", "/outside", "a/../../outside", ""])
def test_keys_cannot_leave_the_folder(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not stay inside a folder"):
        image_file(tmp_path, key)


def test_pixels_that_are_no_numbers_name_the_image() -> None:
    generator = Shift()
    nn.init.constant_(generator.gain, float("inf"))
    with pytest.raises(NonFiniteOutputError, match="scene/0: Shift returned pixels that are NaN or infinite"):
        rows_of(generator, Crops())
    assert generator.training


class Tiny(Crops):
    """Images smaller than SSIM's window."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {"blurred": torch.rand(3, 8, 8), "sharp": torch.rand(3, 8, 8), "key": "icon"}


def test_images_that_cannot_be_scored_are_named() -> None:
    with pytest.raises(UserError, match="icon: protocol gopro-basicsr-v1: SSIM needs at least 11 x 11"):
        rows_of(Shift(), Tiny())


class Broken(Photographs):
    """Its fifth image is a bug of somebody's plugin."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {}["no such key"] if index == 5 else super().sample(index, rng)


class Refusing(Shift):
    """Fails where an image is darker than the others."""

    def forward(self, blurred: Tensor) -> Tensor:
        raise IndexError("out of range")


@pytest.mark.parametrize(
    ("generator", "data", "message"),
    [(Shift, Broken, "image 5: KeyError: 'no such key'"), (Refusing, Crops, "scene/0: IndexError: out of range")],
)
def test_bugs_name_the_image_and_end_the_threads(generator: type, data: type, message: str) -> None:
    before = threading.active_count()
    with pytest.raises(ScoringError, match=message):
        rows_of(generator(), data(), threads=4)
    assert threading.active_count() == before


def test_an_interrupt_stops_at_once_and_what_is_done_is_recorded() -> None:
    class Interrupted(Shift):
        calls = 0

        def forward(self, blurred: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 6:
                raise KeyboardInterrupt
            return super().forward(blurred)

    recorded: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        score_dataset(
            NetworkSource(Interrupted()), Photographs(), PROTOCOL, threads=2, keeping=Keeping(record=recorded.append)
        )
    assert 3 <= len(recorded) <= 5, "those under way are finished, those in the queue are not begun"


class Frames(Crops):
    """With several true images of each."""

    def truths(self, index: int) -> Iterator[np.ndarray]:
        image = skimage.data.astronaut()
        for left in (100, 101, 102):
            yield image[50:90, left : left + 60]


class BestOf(type(PROTOCOL)):
    """The best PSNR over all true frames."""

    id = "best-of"
    all_truths = True

    def score(self, image: np.ndarray, truths: Iterable[np.ndarray]) -> Scored:
        values = [psnr(image, truth) for truth in truths]
        return Scored({"psnr": max(values), "ssim": 0.0}, {"best_frame": int(np.argmax(values))})


def test_all_true_frames() -> None:
    data = Frames()
    outcomes = score_dataset(NetworkSource(Shift()), data, BestOf())
    for index, outcome in enumerate(outcomes):
        sample = data.sample(index, np.random.default_rng((0, 0, index)))
        blurred = to_uint8(sample["blurred"])
        values = [psnr(blurred, truth) for truth in data.truths(index)]
        assert outcome.row.blurred["psnr"] == max(values)
        assert outcome.row.blurred_facts == {"best_frame": int(np.argmax(values))}
    with pytest.raises(UserError, match=r"best-of scores against all true frames .* Crops gives one: .* Kohler"):
        score_dataset(NetworkSource(Shift()), Crops(), BestOf())


class Undefined(type(PROTOCOL)):
    """A plugin's, whose own ``score`` and summary know nothing of metrics without a value."""

    id = "undefined"

    def score(self, image: np.ndarray, truths: Iterable[np.ndarray]) -> Scored:
        return Scored({"psnr": 20.0, "ssim": float("nan")}, {"seen": "yes"})

    def facts_summary(self, facts: Sequence[Any]) -> list[str]:
        return []


def test_what_is_not_defined_of_an_image_is_left_out_and_counted_whatever_scores_it() -> None:
    outcomes = score_dataset(NetworkSource(Shift()), Crops(), Undefined())
    for outcome in outcomes:
        assert outcome.row.restored == outcome.row.blurred == {"psnr": 20.0}
        assert outcome.row.restored_facts == {"seen": "yes", "ssim_undefined": "yes"}
    facts = [outcome.row.restored_facts for outcome in outcomes]
    assert undefined_notes([*facts, {}]) == ["ssim is not defined for 3 of 4 images: they are left out of its mean"]
    assert undefined_notes([{}, {"ecc": "failed"}]) == []


class OneAVideo(Crops):
    """Each image is the first frame of its video."""

    def keys(self) -> list[str]:
        return [f"video{index}/0" for index in range(len(self))]


def test_a_protocol_that_scores_none_of_the_images_says_so() -> None:
    with pytest.raises(UserError, match="protocol video-shift-v1 scores none of the 3 images of OneAVideo"):
        scored_images(OneAVideo(), get_protocol("video-shift-v1"))


class Training(type(PROTOCOL)):
    """Dropout on, normalisation by the image itself."""

    id = "training"
    training_mode = True


class Random(nn.Module):
    """Draws random numbers and keeps running statistics in training mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, blurred: Tensor) -> Tensor:
        return self.drop(self.norm(blurred))


def test_training_mode_is_repeatable_and_leaves_no_trace() -> None:
    generator = Random().eval()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    whole = score_dataset(NetworkSource(generator), Crops(), Training())
    assert torch.equal(torch.rand(3), expected), "torch's own random numbers are not used up"
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert not any(module.training for module in generator.modules())
    alone = score_dataset(NetworkSource(generator), Crops(), Training(), indices=[1])
    assert alone[0].row.restored == whole[1].row.restored
    plain = score_dataset(NetworkSource(generator), Crops(), PROTOCOL)
    assert plain[1].row.restored != whole[1].row.restored
    assert whole[0].row.restored != whole[1].row.restored
