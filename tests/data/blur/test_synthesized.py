from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deblurkit.data.blur.camera import Camera
from deblurkit.data.blur.kernels import Kernels, convolve
from deblurkit.data.blur.sensor import Sensor
from deblurkit.data.blur.synthesized import SynthesizedBlur
from deblurkit.data.dataset import ImagePairs
from deblurkit.data.images import to_uint8, write_image
from deblurkit.data.loader import FirstImages, build_train_loader, collate
from deblurkit.data.shake import linear_to_srgb, srgb_to_linear
from deblurkit.data.source import open_source
from deblurkit.data.transforms import Resize
from deblurkit.errors import UserError
from deblurkit.options.schema import Loader
from deblurkit.registry import BLURS

NOISE = {"full_well": 10_000, "read_noise": 3}


@pytest.fixture
def sharp(tmp_path: Path, photograph: np.ndarray) -> Path:
    folder = tmp_path / "sharp"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "more/a", "more/c")):
        write_image(folder / f"{name}.png", np.roll(photograph, 7 * number, axis=1))
    return folder


@pytest.fixture
def kernels(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for number, side in enumerate((3, 9, 13)):
        np.save(tmp_path / f"kernel{number}.npy", rng.random((side, side)) ** 4)
    return {"type": "Kernels", "kernels": f"{tmp_path}/kernel?.npy", "rotate": True}


@pytest.fixture
def identity(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "point.txt").write_text("1")
    return {"type": "Kernels", "kernels": str(tmp_path / "point.txt")}


def _blur(name: str, kernels: dict[str, Any]) -> dict[str, Any]:
    small: dict[str, dict[str, Any]] = {
        "Kernels": kernels,
        "Shake": {"extent": [2, 6], "tilt": [0, 0.1], "margin": 24},
        "ObjectMotion": {"extent": [2, 6], "margin": 24, "steps": 9},
        "Defocus": {"radius": [1, 3]},
    }
    return {"type": name, **small[name]}


def _levels(sample: dict[str, Any], name: str) -> np.ndarray:
    return to_uint8(sample[name]).astype(int)


@pytest.mark.parametrize("name", [name for name in BLURS.names() if name != "Still"])
def test_samples_repeat_and_the_device_gives_the_same(sharp: Path, kernels: dict[str, Any], name: str) -> None:
    arguments: dict[str, Any] = {"blur": [_blur(name, kernels)], "noise": NOISE, "gain": [0.8, 1.6], "crop": [40, 56]}
    worker, device = (SynthesizedBlur(str(sharp), **arguments, where=where) for where in ("worker", "device"))
    worker.verify()
    samples = [worker.sample(index, np.random.default_rng([1, 2, index])) for index in range(4)]
    again = worker.sample(3, np.random.default_rng([1, 2, 3]))
    assert torch.equal(samples[3]["blurred"], again["blurred"])
    assert not torch.equal(samples[3]["blurred"], worker.sample(3, np.random.default_rng([1, 3, 3]))["blurred"])
    assert samples[3]["key"] == "more/c"
    assert samples[3]["blurred"].shape == (3, 40, 56)
    batch = collate([device.sample(index, np.random.default_rng([1, 2, index])) for index in range(4)])
    finished = device.finish(batch)
    assert finished["key"] == [sample["key"] for sample in samples]
    for index, sample in enumerate(samples):
        for side in ("blurred", "sharp"):
            off = np.abs(_levels(sample, side) - _levels({side: finished[side][index]}, side))
            assert off.max() <= 1
            assert (off > 0).mean() < 2e-3
    assert (_levels(samples[0], "blurred") != _levels(samples[0], "sharp")).mean() > 0.3


def test_no_border_shows_in_a_crop_that_has_room(tmp_path: Path, kernels: dict[str, Any]) -> None:
    rows, columns = np.mgrid[:90, :110]
    places = np.stack([rows, columns, (rows * 37 + columns * 91) % 251], axis=2).astype(np.uint8)
    write_image(tmp_path / "places.png", places)
    (tmp_path / "kernel1.npy").rename(tmp_path / "only.npy")
    kernel = Kernels(str(tmp_path / "only.npy")).draw((1, 1), np.random.default_rng(0))["kernel"]
    whole = linear_to_srgb(convolve(srgb_to_linear(places), kernel))
    data = SynthesizedBlur(
        f"{tmp_path}/*.png", [{"type": "Kernels", "kernels": str(tmp_path / "only.npy")}], crop=[50, 40]
    )
    tops = set()
    for seed in range(20):
        sample = data.sample(0, np.random.default_rng(seed))
        blurred, sharp = _levels(sample, "blurred"), _levels(sample, "sharp")
        top, left = sharp[0, 0, :2]
        np.testing.assert_array_equal(sharp, places[top : top + 50, left : left + 40])
        assert np.abs(blurred - whole[top : top + 50, left : left + 40]).max() <= 1
        reach = len(kernel) // 2
        assert reach <= top <= 90 - 50 - reach
        tops.add(int(top))
    assert len(tops) > 10


@pytest.mark.parametrize("crop", [[120, 150], [118, 160]])
def test_crops_without_room_for_the_margin(sharp: Path, kernels: dict[str, Any], crop: list[int]) -> None:
    data = SynthesizedBlur(str(sharp), [kernels], crop=crop)
    data.verify()
    assert data.sample(0, np.random.default_rng(0))["blurred"].shape[1:] == tuple(crop)


def test_what_lies_outside_is_mirrored(sharp: Path, photograph: np.ndarray, kernels: dict[str, Any]) -> None:
    data = SynthesizedBlur(str(sharp), [kernels])
    shot = data.shoot(0, np.random.default_rng(0))
    whole = linear_to_srgb(convolve(srgb_to_linear(photograph), shot.drawn["kernel"]))
    assert np.abs(_levels(data.sample(0, np.random.default_rng(0)), "blurred") - whole).max() <= 1


@pytest.mark.parametrize("where", ["worker", "device"])
def test_pairs_stay_aligned(sharp: Path, identity: dict[str, Any], where: str) -> None:
    # On the device turns come before the crop; in a worker 40 x 50, turned, would not stack.
    augment = ["hflip", "vflip", *(["rot90"] if where == "device" else [])]
    data = SynthesizedBlur(str(sharp), [identity], resize=[70, 60], crop=[40, 50], augment=augment, where=where)
    finished = data.finish(collate([data.sample(index, np.random.default_rng(index)) for index in (0, 1, 2, 3)]))
    assert finished["blurred"].shape == (4, 3, 40, 50)
    torch.testing.assert_close(finished["blurred"], finished["sharp"], atol=1e-6, rtol=0)
    assert finished["sharp"].std() > 0.05


def test_transforms_that_mix_two_pairs_work_on_finished_ones(sharp: Path, kernels: dict[str, Any]) -> None:
    data = SynthesizedBlur(str(sharp), [kernels], crop=32, augment=[{"type": "Mixup", "probability": 1.0}])
    sample = data.sample(0, np.random.default_rng(0))
    assert sample["blurred"].shape == sample["sharp"].shape == (3, 32, 32)
    plain = SynthesizedBlur(str(sharp), [kernels], crop=32).sample(0, np.random.default_rng(0))
    assert not torch.equal(sample["sharp"], plain["sharp"])


def test_workers_and_epochs(sharp: Path, kernels: dict[str, Any]) -> None:
    def batches(workers: int) -> list[dict[str, Any]]:
        data = SynthesizedBlur(str(sharp), [kernels], noise=NOISE, jpeg=[60, 90], crop=32, augment=["hflip"])
        loader = build_train_loader(data, Loader(batch_size=2, workers=workers), seed=5)
        iterator = iter(loader)
        found = [next(iterator) for _ in range(4)]
        del iterator
        return found

    alone, spread = batches(0), batches(2)
    for one, other in zip(alone, spread, strict=True):
        assert one["key"] == other["key"]
        assert torch.equal(one["blurred"], other["blurred"])
    first = {key: image for batch in alone[:2] for key, image in zip(batch["key"], batch["blurred"], strict=True)}
    second = {key: image for batch in alone[2:] for key, image in zip(batch["key"], batch["blurred"], strict=True)}
    assert first.keys() == second.keys()
    assert not any(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_cache_and_limit_change_nothing_for_a_device(sharp: Path, method: str) -> None:
    def batches(workers: int) -> list[dict[str, Any]]:
        data = SynthesizedBlur(
            str(sharp), [{"type": "ObjectMotion", "steps": 4}], noise=NOISE, crop=32, augment=["rot90"], where="device"
        )
        if workers:
            data.cache(3)
        loader = build_train_loader(FirstImages(data, 3), Loader(batch_size=3, workers=workers), seed=5)
        if workers:
            loader.multiprocessing_context = method
        iterator = iter(loader)
        found = [data.finish(next(iterator)) for _ in range(2)]
        del iterator
        return found

    for one, other in zip(batches(0), batches(1), strict=True):
        assert one["key"] == other["key"]
        assert set(one["key"]) == {"a", "b", "more/a"}
        assert torch.equal(one["blurred"], other["blurred"])
        assert torch.equal(one["sharp"], other["sharp"])


def test_reading_gives_whole_pairs_that_do_not_change(
    sharp: Path, photograph: np.ndarray, kernels: dict[str, Any]
) -> None:
    data = SynthesizedBlur(str(sharp), [kernels], crop=32, where="device")
    pair = data.read(0)
    np.testing.assert_array_equal(pair["sharp"], photograph)
    assert pair["key"] == "a"
    np.testing.assert_array_equal(pair["blurred"], data.load(0)["blurred"])
    before = SynthesizedBlur(str(sharp), [kernels], crop=32)
    sample = before.sample(2, np.random.default_rng(9))
    before.cache(3)
    (sharp / "more" / "a.png").unlink()
    assert torch.equal(before.sample(2, np.random.default_rng(9))["blurred"], sample["blurred"])


def test_each_photograph_has_its_own_blur(sharp: Path, photograph: np.ndarray) -> None:
    write_image(sharp / "b.png", photograph)  # as a.png
    data = SynthesizedBlur(str(sharp), ["Shake"])
    first, second = data.read(0), data.read(1)
    np.testing.assert_array_equal(first["sharp"], second["sharp"])
    assert (first["blurred"] != second["blurred"]).mean() > 0.3


def test_what_is_read_is_resized_before_it_is_blurred(sharp: Path, kernels: dict[str, Any]) -> None:
    """So that blur made once is as wide, in the network's pixels, as blur made while training."""
    data = SynthesizedBlur(str(sharp), [kernels], resize=[60, 80])
    photograph = Resize([60, 80])({"sharp": ImagePairs(data.photographs.files).read(2)["blurred"]}, None)["sharp"]
    shot = data.shoot(2, np.random.default_rng(5))
    assert data.size(2) == (60, 80)
    np.testing.assert_array_equal(data.read(2)["sharp"], photograph)
    pair = data.camera.develop(shot)
    whole = linear_to_srgb(convolve(srgb_to_linear(photograph), shot.drawn["kernel"]))
    assert np.abs(pair["blurred"].astype(int) - whole).max() <= 1
    sample = data.sample(2, np.random.default_rng(5))
    np.testing.assert_array_equal(_levels(sample, "blurred"), pair["blurred"])


def test_a_limit_holds_for_partners_too(sharp: Path, kernels: dict[str, Any]) -> None:
    data = SynthesizedBlur(str(sharp), [kernels], crop=32, augment=[{"type": "Mixup", "probability": 1.0}])
    limited = FirstImages(data, 2)
    for name in ("more/a", "more/c"):
        (sharp / f"{name}.png").unlink()
    for seed in range(12):
        assert limited.sample(seed % 2, np.random.default_rng(seed))["key"] in ("a", "b")
    assert data.used == 2


def test_blurs_are_drawn_as_often_as_their_shares(photograph: np.ndarray, kernels: dict[str, Any]) -> None:
    camera = Camera([kernels | {"share": 3}, "Shake"], Sensor())
    small = photograph[:20, :20]
    numbers = [camera.shoot(small, np.random.default_rng(seed)).blur for seed in range(400)]
    assert np.mean(numbers) == pytest.approx(0.25, abs=0.06)


def test_sixteen_bit_photographs(tmp_path: Path, photograph: np.ndarray, identity: dict[str, Any]) -> None:
    write_image(tmp_path / "deep.png", photograph.astype(np.uint16) * 257)
    pair = SynthesizedBlur(f"{tmp_path}/deep.png", [identity]).read(0)
    np.testing.assert_array_equal(pair["sharp"], photograph)


def test_what_verify_notes(sharp: Path, tmp_path: Path, photograph: np.ndarray, identity: dict[str, Any]) -> None:
    write_image(tmp_path / "deep.png", photograph.astype(np.uint16) * 257)
    deep = SynthesizedBlur(f"{tmp_path}/deep.png", [identity])
    for _ in range(2):
        deep.verify()
        assert deep.notes == [
            f"{tmp_path}/deep.png has 16 bits a channel; the pairs made of {tmp_path}/deep.png have 8"
        ]
    for cutting in ("RandomRotatedCrop", "RandomResizedCrop", "RandomCrop"):
        late = SynthesizedBlur(str(sharp), [identity], augment=["hflip", {"type": cutting, "size": 32}])
        late.verify()
        assert late.notes == [f"whole photographs are blurred before {cutting} cuts them: crop would cut them before"]
        early = SynthesizedBlur(str(sharp), [identity], crop=64, augment=[{"type": cutting, "size": 32}])
        early.verify()
        assert early.notes == []


def test_photographs_that_are_turned_first_must_hold_the_crop_both_ways(sharp: Path, identity: dict[str, Any]) -> None:
    arguments = {"blur": [identity], "crop": [50, 130], "augment": ["rot90"]}
    SynthesizedBlur(str(sharp), **arguments).verify()
    turned = SynthesizedBlur(str(sharp), **arguments, where="device")
    with pytest.raises(UserError, match=r"a.png: 120 x 160 pixels \(h x w\), smaller than the crop of 130 x 130"):
        turned.verify()
    with pytest.raises(UserError, match=r"^more/c: 160 x 120 pixels \(h x w\), smaller than the crop of 50 x 130"):
        [turned.sample(3, np.random.default_rng(seed)) for seed in range(20)]


def test_the_largest_sides_of_all_photographs_are_tried(tmp_path: Path) -> None:
    """The panorama has the longer diagonal, the square the longer shorter side, which objects grow with."""
    for name, size in (("panorama", (300, 1500)), ("square", (1000, 1000))):
        write_image(tmp_path / f"{name}.png", np.zeros((*size, 3), np.uint8))
    with pytest.raises(UserError, match=r"ObjectMotion: margin: got 52, .* 1000 x 1500"):
        SynthesizedBlur(str(tmp_path), ["ObjectMotion"]).verify()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"jpeg": [50, 90]}, "there is no JPEG on a device"),
        ({"blur": ["Shake", "ObjectMotion"]}, "it takes one blur model, got Shake, ObjectMotion"),
        ({"augment": [{"type": "RandomCrop", "size": 8}]}, "augment: RandomCrop cannot be applied before the blur"),
        ({"blur": ["WorkerOnly"]}, "WorkerOnly cannot blur a batch"),
    ],
)
def test_what_the_device_cannot_do(
    sharp: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], said: str
) -> None:
    class WorkerOnly:
        margin = 0

        def draw(self, size, rng):
            return {}

        def expose(self, linear, drawn):
            return linear, linear

    BLURS.names()
    monkeypatch.setitem(BLURS._module_dict, "WorkerOnly", WorkerOnly)
    with pytest.raises(ValueError, match=said):
        SynthesizedBlur(str(sharp), **{"blur": ["Shake"], **arguments}, where="device")
    SynthesizedBlur(str(sharp), **{"blur": ["Shake"], **arguments})


@pytest.mark.parametrize("margin", [None, 2.5, -1])
def test_a_blur_must_say_its_margin(sharp: Path, monkeypatch: pytest.MonkeyPatch, margin: Any) -> None:
    class Marginless:
        def draw(self, size, rng):
            return {}

        def expose(self, linear, drawn):
            return linear, linear

    Marginless.margin = margin
    BLURS.names()
    monkeypatch.setitem(BLURS._module_dict, "Marginless", Marginless)
    with pytest.raises(UserError, match=rf"blur\[1\]: Marginless: its attribute margin is {margin}, expected a whole"):
        SynthesizedBlur(str(sharp), ["Shake", "Marginless"])


def test_a_blur_without_a_type(sharp: Path) -> None:
    with pytest.raises(UserError, match=r"blur\[0\]: no blur is named None"):
        SynthesizedBlur(str(sharp), [{"extent": [1, 2]}])


def test_mistakes_are_said_before_training(sharp: Path, photograph: np.ndarray, identity: dict[str, Any]) -> None:
    def problems(text: str) -> str:
        with pytest.raises(UserError) as caught:
            open_source(text)
        return "\n".join(caught.value.problems)

    folder = f"type: SynthesizedBlur, sharp: '{sharp}'"
    assert "did you mean 'Shake'" in problems(f"{{{folder}, blur: [{{type: Shak}}]}}")
    assert "extend" in problems(f"{{{folder}, blur: [{{type: Shake, extend: [1, 2]}}]}}")
    assert "share: got 0" in problems(f"{{{folder}, blur: [{{type: Shake, share: 0}}]}}")
    assert "extent: should be a valid array, not 5" in problems(f"{{{folder}, blur: [{{type: Shake, extent: 5}}]}}")
    assert "focal: got inf" in problems(f"{{{folder}, blur: [{{type: Shake, focal: .inf}}]}}")
    assert "gain: got [1, inf]" in problems(f"{{{folder}, blur: [Shake], gain: [1, .inf]}}")
    assert "blur: got []" in problems(f"{{{folder}, blur: []}}")
    assert "where: should be 'worker' or 'device', not 'gpu'" in problems(f"{{{folder}, blur: [Shake], where: gpu}}")
    assert "smaller than the crop of 500 x 500" in problems(f"{{{folder}, blur: [Shake], crop: 500}}")
    assert "blur[0]: Shake: margin: got 5" in problems(f"{{{folder}, blur: [{{type: Shake, margin: 5}}], crop: 64}}")
    assert "there is no folder nowhere" in problems("{type: SynthesizedBlur, sharp: nowhere/, blur: [Shake]}")
    write_image(sharp / "a.jpg", photograph)
    assert "have the same key 'a'" in problems(f"{{{folder}, blur: [Shake]}}")


def test_a_data_set_written_in_an_option_file(sharp: Path, kernels: dict[str, Any]) -> None:
    text = (
        f"{{type: SynthesizedBlur, sharp: '{sharp}', crop: 48, augment: [hflip], response: gamma, "
        f"blur: [{{type: Shake, share: 2, extent: [2, 5]}}, {{type: Kernels, kernels: '{kernels['kernels']}'}}], "
        "noise: {full_well: 8000, read_noise: 2.5}, gain: [1, 1.4], jpeg: [80, 95]}"
    )
    data = open_source(text)
    facts = {"set": "SynthesizedBlur", "sharp": str(sharp), "response": "gamma", "blur": "Shake, Kernels"}
    assert data.describe() == {**facts, "crop": "48 x 48 pixels (h x w)"}
    assert data.sample(1, np.random.default_rng(0))["blurred"].shape == (3, 48, 48)


def test_turns_before_the_blur_stack_in_a_batch(sharp: Path, identity: dict[str, Any]) -> None:
    data = SynthesizedBlur(str(sharp), [identity], crop=[30, 50], augment=["rot90"], where="device")
    batch = collate([data.sample(index, np.random.default_rng(index)) for index in (0, 1, 2, 3)])
    assert data.finish(batch)["sharp"].shape == (4, 3, 30, 50)


def test_still_pairs_are_equal(sharp: Path) -> None:
    sample = SynthesizedBlur(str(sharp), ["Still"], crop=32).sample(0, np.random.default_rng(0))
    assert torch.equal(sample["blurred"], sample["sharp"])


def test_of_several_windows_the_one_with_the_most_detail_is_taken(tmp_path: Path, photograph: np.ndarray) -> None:
    half_flat = photograph.copy()
    half_flat[:, : half_flat.shape[1] // 2] = 128
    write_image(tmp_path / "half.png", half_flat)
    steps = {}
    for windows in (1, 4):
        data = SynthesizedBlur(str(tmp_path), ["Still"], crop=48, windows=windows)
        samples = [data.sample(0, np.random.default_rng(seed))["sharp"] for seed in range(40)]
        steps[windows] = [float(sample.diff(dim=2).abs().mean()) for sample in samples]
    assert np.mean(np.array(steps[1]) == 0) > 0.2  # crops of the flat half alone
    assert np.mean(np.array(steps[4]) == 0) < 0.05
    with pytest.raises(ValueError, match="windows: got 0, expected at least 1"):
        SynthesizedBlur(str(tmp_path), ["Still"], windows=0)


def test_several_responses_are_drawn_and_refused_on_a_device(sharp: Path, kernels: dict[str, Any]) -> None:
    data = SynthesizedBlur(str(sharp), [kernels], response=["linear", "srgb"], crop=32)
    assert data.describe()["response"] == "linear, srgb"
    single = {name: SynthesizedBlur(str(sharp), [kernels], response=name, crop=32) for name in ("linear", "srgb")}
    equal = dict.fromkeys(single, 0)
    for seed in range(20):
        sample = data.sample(0, np.random.default_rng(seed))
        for name, one in single.items():
            equal[name] += torch.equal(sample["blurred"], one.sample(0, np.random.default_rng(seed))["blurred"])
    assert equal["linear"] + equal["srgb"] == 20
    assert min(equal.values()) > 3
    with pytest.raises(ValueError, match="it takes one response, got 2"):
        SynthesizedBlur(str(sharp), [kernels], response=["linear", "srgb"], crop=32, where="device")
