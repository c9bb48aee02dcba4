"""A generator's outputs are the same on no images, which takes no time, as on the meta device, which tells all."""

from __future__ import annotations

import time

import pytest
import torch
from peak import forget_peak, peak_bytes
from shrunk import SHRUNK
from torch.nn import functional

from deblurkit.options.outputs import _unshuffled, probe_generator, probe_on_meta, probe_without_images
from deblurkit.registry import ARCHS

READS_ITS_WEIGHTS = "Foreign"  # so that the meta device cannot tell


@pytest.mark.parametrize("name", [name for name in ARCHS.names() if name != READS_ITS_WEIGHTS])
def test_ours_run_on_no_images_and_return_the_same(name: str):
    component, arguments = ARCHS.get(name), SHRUNK.get(name, {})
    found = probe_without_images(component, arguments)
    assert found is not None
    assert found == probe_on_meta(component, arguments)
    assert probe_generator(component, arguments) == found


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("NAFNet", {"width": 30}),
        ("NAFNet", {"width": 10**6}),
        ("MADN", {"channels": [10**5, 10**5, 10**5]}),
        ("FilterBankUNet", {"filters": 10**7, "taps": 99}),
        ("FilterBankUNet", {"taps": 4}),
    ],
)
def test_what_is_wrong_is_told_by_the_meta_device_and_takes_no_memory(name: str, arguments: dict[str, object]):
    component = ARCHS.get(name)
    forget_peak()
    before, began = peak_bytes(), time.monotonic()
    found = probe_generator(component, arguments)
    assert found == probe_on_meta(component, arguments)
    assert found.problem or arguments == {"width": 30}
    assert peak_bytes() - before < 500 * 2**20
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_unshuffling_is_torchs(factor: int):
    images = torch.rand(2, 3, 8, 12)
    assert torch.equal(_unshuffled(images, factor), functional.pixel_unshuffle(images, factor))
    assert _unshuffled(images[:0], factor).shape == (0, 3 * factor**2, 8 // factor, 12 // factor)


def test_no_random_number_is_drawn_and_torch_is_as_before():
    state = torch.random.get_rng_state()
    probe_without_images(ARCHS.get("NAFNet"), SHRUNK["NAFNet"])
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.rand(9).std() > 0
