"""The contract of every registered protocol, on a real photograph."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
import skimage.data

from deblurkit.evaluation.protocols.protocol import Protocol, Scored, find_protocol, get_protocol
from deblurkit.registry import METRICS, PROTOCOLS

DIGESTS = {
    "deblurgan-v1-legacy": "bfcc66f25d38",
    "deblurganv2-legacy": "c1cabf2e1056",
    "gopro-basicsr-v1": "38c1aac51289",
    "gopro-deepdeblur-v1": "2bbf165b6f48",
    "gopro-float-v1": "b15ed0be5731",
    "gopro-matlab-v1": "bd378ef38ed4",
    "gopro-nafnet-v1": "b1ad22ed8eb0",
    "kohler-mid-unaligned-v1": "b47d9348b4c4",
    "kohler-mid-v1": "4ceafa5d9487",
    "kohler-official-v1": "777b73dfbec6",
    "kohler-unaligned-v1": "e7b61094cc4c",
    "no-reference-v1": "8444e8005695",
    "perceptual-v1": "2356920acd2b",
    "realblur-ecc-v1": "a17bf454eab3",
    "realblur-raw-v1": "a05963646801",
    "reds-val300-v1": "8e8d82fadc2a",
    "video-shift-v1": "7cf53a9507a5",
}
"""Of every definition: one that changes needs a new version, and so a new id, and a new line here."""

SLOW = {"perceptual-v1": (128, 192), "realblur-ecc-v1": (160, 240), "deblurganv2-legacy": (192, 288)}
BACKBONES = {"perceptual-v1": {"alex": "random", "vgg": "random"}}
IDS = sorted(name for name in PROTOCOLS.names() if PROTOCOLS.get(name).__module__.startswith("deblurkit."))


@cache
def built(name: str) -> Protocol:
    return get_protocol(name, backbones=BACKBONES.get(name))


@cache
def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of 800 x 600 pixels out of focus, and sharp; smaller for what takes seconds an image."""
    sharp = cv2.resize(skimage.data.coffee(), (800, 600), interpolation=cv2.INTER_CUBIC)
    height, width = SLOW.get(name, (600, 800))
    sharp = np.ascontiguousarray(sharp[:height, :width])
    return cv2.GaussianBlur(sharp, (0, 0), 2), sharp


@cache
def scored(name: str) -> Scored:
    return built(name).score(quantised(name, 0), [quantised(name, 1)])


def quantised(name: str, side: int) -> np.ndarray:
    image = pair(name)[side]
    return (image / np.float32(255)) if find_protocol(name).quantisation == "float" else image


def test_all_are_there_and_their_definitions_are_pinned() -> None:
    assert {name: built(name).digest for name in IDS} == DIGESTS


@pytest.mark.parametrize("name", IDS)
def test_it_states_what_it_is(name: str) -> None:
    kind = find_protocol(name)
    assert kind.id == name
    assert name.endswith((f"-v{kind.version}", "-legacy"))
    assert "\n" not in kind.description
    text = kind.definition()
    assert f"{name}, version {kind.version}, digest {built(name).digest}" in text
    assert all(f"metric {metric}:" in text for metric in kind.metrics)
    assert max(map(len, text.splitlines())) <= 110
    assert built(name).explain().startswith(text)


def test_metrics_that_others_define_are_explained_in_full() -> None:
    texts = {name: " ".join(find_protocol(name).definition().split()) for name in IDS}
    for part in (
        "AlexNet's features",
        "VGG-16's features",
        "backbone from torchvision's file",
        "weights by channel of the package lpips, version 0.1",
        "at the images' own size",
        "weights of the package torchmetrics",
        "blocks of 96x96 pixels",
        "parameters of its authors, as BasicSR ships them",
    ):
        assert part in texts["perceptual-v1"]
    assert "30 Ricker wavelets" in texts["deblurganv2-legacy"]
    assert "metric cw_ssim: CWSSIM: of PIL's 8-bit greyscale" in texts["deblurganv2-legacy"]


@pytest.mark.parametrize("name", IDS)
def test_it_scores_a_photograph(name: str) -> None:
    scores = scored(name).scores
    assert list(scores) == list(built(name).metrics)
    assert np.isfinite(list(scores.values())).all()


@pytest.mark.parametrize("name", IDS)
def test_identical_images_score_best(name: str) -> None:
    sharp = quantised(name, 1)
    best = built(name).score(sharp, [sharp]).scores
    for metric, component in built(name).metrics.items():
        kind = METRICS.get(component["type"])
        if getattr(kind, "needs_sharp", True):
            worst = scored(name).scores[metric]
            assert best[metric] > worst if kind.higher_is_better else best[metric] < worst
            assert best[metric] == pytest.approx(
                {"psnr": 100.0 if name.endswith("legacy") else np.inf}.get(metric, float(kind.higher_is_better)),
                abs=1e-6,
            )


@pytest.mark.parametrize("name", IDS)
def test_threads_do_not_change_a_score(name: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(built(name).score, quantised(name, 0), [quantised(name, 1)]) for _ in range(2)]
        assert [job.result() for job in jobs] == [scored(name)] * 2


@pytest.mark.parametrize("name", IDS)
def test_images_of_two_sizes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        built(name).score(quantised(name, 0)[:-1], [quantised(name, 1)])
