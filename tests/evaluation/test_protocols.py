"""What a protocol fixes, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit.data.images import to_tensor
from deblurkit.errors import UserError
from deblurkit.evaluation.alignment import Aligned
from deblurkit.evaluation.protocols.protocol import Protocol, find_protocol, get_protocol
from deblurkit.metrics.psnr import psnr
from deblurkit.metrics.ssim import ssim
from deblurkit.registry import PROTOCOLS


class CroppedY(Protocol):
    id = "cropped-y-v1"
    version = 1
    description = "for these tests"
    crop_border = 3
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {"psnr_y": {"type": "PSNR", "channels": "y"}}


class Blind(Protocol):
    id = "blind-v1"
    version = 1
    description = "one metric that needs a truth and one that does not"
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {"psnr": {"type": "PSNR"}, "niqe": {"type": "NIQE"}}


def photograph() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.coffee()[:200, :210])


def test_gopro_basicsr_rounds_and_scores() -> None:
    protocol = get_protocol("gopro-basicsr-v1")
    sharp = photograph()
    restored = (to_tensor(sharp) + 0.013).mul(1.001)
    first, second = protocol.quantise(restored), protocol.quantise(to_tensor(sharp))
    assert np.array_equal(second, sharp)
    exact = np.clip(np.floor(restored.numpy().astype(np.float64) * 255 + 0.5), 0, 255).transpose(1, 2, 0)
    assert np.abs(first - exact).max() <= 1
    assert (first != exact).mean() < 1e-3  # float32 against float64 next to a half
    assert protocol.score(first, [second]) == ({"psnr": psnr(first, sharp), "ssim": ssim(first, sharp)}, {})


def test_quantisations_differ_as_named() -> None:
    ramp = torch.tensor([-0.2, 0.0, 0.4, 0.5, 0.9, 254.0, 254.5, 255.0, 300.0]).div(255).expand(3, 1, 9)

    def quantised(protocol: str) -> list[float]:
        return get_protocol(protocol).quantise(ramp)[0, :, 0].tolist()

    assert quantised("gopro-basicsr-v1") == [0, 0, 0, 1, 1, 254, 255, 255, 255]
    assert quantised("deblurgan-v1-legacy") == [0, 0, 0, 0, 0, 254, 254, 255, 255]
    assert quantised("gopro-float-v1") == ramp[0, 0].clamp(0, 1).tolist()


@pytest.mark.parametrize("protocol", ["gopro-basicsr-v1", "deblurgan-v1-legacy"])
def test_eight_bit_images_survive_quantisation(protocol: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(get_protocol(protocol).quantise(to_tensor(levels)), levels)


def test_identical_images_are_infinite_and_so_is_their_mean() -> None:
    protocol = get_protocol("gopro-basicsr-v1")
    image = protocol.quantise(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)))
    scores = protocol.score(image, [image]).scores
    assert scores == {"psnr": float("inf"), "ssim": 1.0}
    assert protocol.average([scores, {"psnr": 30.0, "ssim": 0.5}]) == {"psnr": float("inf"), "ssim": 0.75}


def test_average_is_over_the_images_that_have_a_score() -> None:
    protocol = get_protocol("gopro-basicsr-v1")
    assert protocol.average([{"psnr": 20.0}, {"psnr": 30.0, "ssim": 0.5}]) == {"psnr": 25.0, "ssim": 0.5}
    assert protocol.average([{"psnr": 20.0}]) == {"psnr": 20.0}


def test_attributes_make_another_protocol() -> None:
    sharp = photograph()
    restored = np.roll(sharp, 1, axis=1)
    expected = psnr(restored, sharp, channels="y", crop_border=3)
    assert CroppedY().score(restored, [sharp]).scores == {"psnr_y": expected}
    assert "3 pixels" in CroppedY.definition()


def test_without_a_truth_only_blind_metrics_score() -> None:
    assert set(Blind().score(photograph(), []).scores) == {"niqe"}
    assert set(Blind().score(photograph(), [photograph()]).scores) == {"psnr", "niqe"}
    assert get_protocol("gopro-basicsr-v1").score(photograph(), []) == ({}, {})


def test_digest_follows_the_definition_and_not_its_wording() -> None:
    class Reworded(CroppedY):
        description = "in other words"
        source = "somewhere else"
        averaging = "the mean, as ever"

    class Wider(CroppedY):
        crop_border = 4

    class WithFurther(CroppedY):
        margin = 5

    class Measured(CroppedY):
        def measure(self, pair: Aligned) -> dict[str, float]:
            return {"psnr_y": 1.0}

    class Averaged(CroppedY):
        def average(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
            return {"psnr_y": 1.0}

    digests = [kind().digest for kind in (CroppedY, Reworded, Wider, WithFurther, Measured, Averaged)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5
    assert digests[0] in CroppedY().explain()


def test_metrics_are_explained_that_leave_their_arguments_out() -> None:
    class Bare(CroppedY):
        metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            name.lower(): {"type": name} for name in ("PSNR", "SSIM", "MSSSIM", "GradientPSNR", "LPIPS")
        }

    text = " ".join(Bare.definition().split())
    for part in ("SSIM: of R, G and B: 11x11 Gaussian", "five scales, halved", "PSNR of the gradients", "AlexNet's"):
        assert part in text


def test_unknown_attributes_are_refused() -> None:
    class Rounded(CroppedY):
        quantisation = "round_8"

    with pytest.raises(ValueError, match=r"quantisation: got 'round_8', expected one of .*did you mean 'round_u8'"):
        Rounded()


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match=r"--protocol: no protocol is named 'gopro-basicsr'.*did you mean"):
        get_protocol("gopro-basicsr", "--protocol")
    with pytest.raises(UserError, match=r"--explain: no protocol is named 'gopro'"):
        find_protocol("gopro", "--explain")


def test_backbones_go_to_the_metrics_that_use_them() -> None:
    protocol = get_protocol("perceptual-v1", backbones={"alex": "random", "vgg": "random"})
    assert len(protocol.notes()) == 3  # LPIPS twice, and the metric of texture and structure
    assert all("random" in note for note in protocol.notes())
    assert all(note in protocol.explain() for note in protocol.notes())
    with pytest.raises(UserError, match=r"backbones: got 'alx', but its networks are alex, vgg .*mean 'alex'"):
        get_protocol("perceptual-v1", backbones={"alx": "random"})
    with pytest.raises(UserError, match="got 'vgg', but none of its metrics is a network"):
        get_protocol("gopro-basicsr-v1", backbones={"vgg": "random"})


def test_single_precision_is_close_and_said_aloud() -> None:
    sharp = photograph()
    restored = np.roll(sharp, 1, axis=0)
    double, single = (get_protocol("gopro-matlab-v1", single=value) for value in (False, True))
    first, second = (protocol.score(restored, [sharp]).scores for protocol in (double, single))
    assert first != second
    assert first == pytest.approx(second, abs=2e-6)
    assert double.notes() == []
    assert ["single precision" in note for note in single.notes()] == [True]
    assert single.digest == double.digest


def test_data_that_a_protocol_is_not_defined_on_is_said() -> None:
    protocol = get_protocol("gopro-matlab-v1")
    right = {"set": "GoPro", "variant": "linear", "split": "test", "images": 1111}
    assert protocol.deviations(right) == []
    assert protocol.deviations({}) == []
    assert "variant: gamma" in protocol.deviations({**right, "variant": "gamma"})[0]
    assert protocol.deviations({"set": "SamplePairs"})[0].endswith("scored were images of SamplePairs")
    folders = {"set": "SharpImages", "sharp": "data/sharp", "blurred": "data/blur"}
    assert protocol.deviations(folders)[0].endswith("scored were images of data/sharp")
    assert get_protocol("gopro-deepdeblur-v1").deviations({**right, "variant": "gamma"}) == []
    assert get_protocol("video-shift-v1").deviations({"set": "SamplePairs"}) == []


@pytest.mark.parametrize(
    ("protocol", "key", "groups"),
    [
        ("gopro-matlab-v1", "GOPR0384_11_00/000001", {"video": "GOPR0384_11_00"}),
        ("gopro-basicsr-v1", "GOPR0384_11_00-000001", {"video": "GOPR0384_11_00"}),
        ("gopro-matlab-v1", "test-close-ups/1fromGOPR1096", {}),
        ("reds-val300-v1", "003/00000009", {"video": "003"}),
        ("kohler-official-v1", "Blurry1_12", {"poster": "1", "trajectory": "12"}),
        ("kohler-mid-v1", "4_3", {"poster": "4", "trajectory": "3"}),
        ("realblur-ecc-v1", "scene230/7", {"scene": "scene230"}),
        ("realblur-raw-v1", "scene004_1/blur_7", {"scene": "scene004_1"}),
        ("video-shift-v1", "IMG_0030/00002", {"video": "IMG_0030"}),
    ],
)
def test_images_are_grouped_by_their_keys(protocol: str, key: str, groups: dict[str, str]) -> None:
    assert get_protocol(protocol).groups(key) == groups


def test_the_protocol_in_the_documentation_of_metrics_takes_what_no_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr(PROTOCOLS, "_module_dict", dict(PROTOCOLS._module_dict))
    written: dict[str, Any] = {"__name__": "a_plugin"}
    exec(code, written)
    protocol = get_protocol("all-metrics-v1", backbones={"squeeze": "random"})
    sharp = skimage.data.coffee()[:192, :192]
    scores = protocol.score(np.roll(sharp, 1, axis=1), [sharp]).scores
    built_in = [
        component
        for name in PROTOCOLS.names()
        if find_protocol(name).__module__.startswith("deblurkit.")
        for component in find_protocol(name).metrics.values()
    ]
    assert list(scores) == list(protocol.metrics)
    assert not [component for component in protocol.metrics.values() if component in built_in]
    assert {"GradientPSNR", "MSSSIM", "SSIM", "PSNR", "LPIPS"} == {one["type"] for one in protocol.metrics.values()}


def test_videos_lose_their_first_frames() -> None:
    keys = ["b/00003", "b/00002", "a/00001", "a/00010", "a/00002", "b/00004"]
    assert get_protocol("video-shift-v1").select(keys) == [0, 3, 4, 5]
    assert get_protocol("video-shift-v1").select(["2", "1", "3"]) == [0, 2]
    assert get_protocol("gopro-matlab-v1").select(keys) == list(range(6))


@pytest.mark.parametrize("protocol", ["kohler-mid-v1", "video-shift-v1", "realblur-ecc-v1"])
def test_nothing_is_scaled_onto_a_black_truth(protocol: str) -> None:
    """It would be black then, and equal."""
    aligned = get_protocol(protocol)
    found = aligned.score(photograph(), [np.zeros_like(photograph())])
    assert found == ({}, {"truth": "black"})
    assert aligned.facts_summary([found.facts, {}, found.facts]) == [
        "2 of 3 images have a black true image, onto which nothing can be scaled: they are not scored"
    ]


def test_a_black_truth_counts_where_nothing_is_scaled() -> None:
    sharp = np.zeros_like(photograph())
    assert get_protocol("gopro-basicsr-v1").score(photograph(), [sharp]).scores["psnr"] == psnr(photograph(), sharp)
