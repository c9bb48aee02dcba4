"""The patch critic's output: a logit or a score a patch, or their mean."""

from __future__ import annotations

import pytest
import torch

from deblurkit.discriminators.patch import PatchDiscriminator


def small(**arguments: object) -> PatchDiscriminator:
    """Return a critic with logits of 0.1 to 10, the same weights for any arguments."""
    torch.manual_seed(0)
    critic = PatchDiscriminator(channels=4, layers=2, **arguments)
    with torch.no_grad():
        critic.body[8].weight.mul_(100)
    return critic


IMAGES = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))


def test_mean_is_one_logit_an_image():
    logits, found = small()(IMAGES), small(reduce="mean")(IMAGES)
    assert logits.shape == (2, 1, 6, 8)
    assert found.shape == (2, 1)
    by_hand = [sum(patch.item() for patch in image.flatten()) / 48 for image in logits]
    assert found.flatten().tolist() == pytest.approx(by_hand, rel=1e-4)


def test_sigmoid_gives_each_patch_a_score():
    logits = small()(IMAGES)
    assert logits.min() < -1
    assert logits.max() > 1
    torch.testing.assert_close(small(sigmoid=True)(IMAGES), 1 / (1 + torch.exp(-logits)))


def test_both_together_average_the_scores_not_the_logits():
    """The last layer has the sigmoid, and the results of the patches are averaged: section 2.5 of the paper."""
    logits, found = small()(IMAGES), small(sigmoid=True, reduce="mean")(IMAGES)
    torch.testing.assert_close(found, logits.sigmoid().mean((2, 3)))
    assert not torch.allclose(found, logits.mean((2, 3)).sigmoid(), atol=1e-3)


def test_state_dicts_are_the_same():
    assert list(small().state_dict()) == list(small(sigmoid=True, reduce="mean").state_dict())


def test_refuses_another_reduction():
    with pytest.raises(ValueError, match="reduce is none or mean, got 'sum'"):
        small(reduce="sum")
