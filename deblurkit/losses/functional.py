"""The losses as pure functions of tensors. Means are over all elements unless a function says otherwise.

``real`` and ``fake`` are a critic's raw logits for sharp and restored images, of any shape; C(r) and C(f) below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Distance = Literal["mse", "l1", "l2"]


def feature_distance(pred: Tensor, target: Tensor, distance: Distance = "mse") -> Tensor:
    """Returns one distance of two feature maps ``(n, c, h, w)``, in fp32.

    ``mse`` is ``mean d^2`` and ``l1`` is ``mean |d|`` over all elements of ``d = pred - target``; ``l2`` is
    ``sum |d_xy|_2 / (c h w)``, the norm over the channels at each position, as a mean over the batch. Where the two are
    equal its gradient is 0.
    """
    # features reach the thousands: their squares overflow fp16, and bf16 would keep three digits of a difference
    pred, target = pred.float(), target.float()
    if distance == "mse":
        return functional.mse_loss(pred, target)
    if distance == "l1":
        return functional.l1_loss(pred, target)
    return torch.linalg.vector_norm(pred - target, dim=1).mean() / pred.shape[1]


def bce_toward(logits: Tensor, target: float) -> Tensor:
    """Returns the binary cross entropy of ``sigmoid(logits)`` against one constant target, as a mean."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def half_square_toward(logits: Tensor, target: float) -> Tensor:
    """Returns ``mean((logits - target)^2) / 2``.

    Reference:
        Mao et al.: Least Squares Generative Adversarial Networks, ICCV 2017, equation 9. What DeblurGAN-v2's public
        code calls ``lsgan`` takes the absolute difference, a slip; its relativistic loss has the square.
    """
    return 0.5 * functional.mse_loss(logits, torch.full_like(logits, target))


def wgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Returns ``E C(f) - E C(r)``.

    Reference:
        Arjovsky et al.: Wasserstein GAN, ICML 2017, equation 2, negated for descent. The Blur-Attention paper's
        equation 6 sums over the training images where this takes the mean, and names no Lipschitz constraint, without
        which the critic has no bound: join ``gradient_penalty`` or ``weight_clip``.
    """
    return fake.mean() - real.mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Returns ``E max(0, 1 - C(r)) + E max(0, 1 + C(f))`` (Lim and Ye 2017; Miyato et al. 2018, equation 16)."""
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()


Toward = Callable[[Tensor, float], Tensor]


def relativistic_critic(
    real: Tensor, fake: Tensor, toward: Toward, fake_target: float, means: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Returns ``toward(C(r) - E C(f), 1) + toward(C(f) - E C(r), fake_target)``.

    With :func:`bce_toward` and 0 it is RaGAN, with :func:`half_square_toward` and -1 RaLSGAN. ``means`` are E C(r) and
    E C(f); absent: those over batch and positions, through which gradients pass.

    Reference:
        Jolicoeur-Martineau: The relativistic discriminator, ICLR 2019, equations 15, 16 and appendix. The
        depthwise-separable paper's equations 5 to 7 are RaGAN as it stands, s(C(r) - E C(f)), but it also ends its
        critic in a sigmoid: two in a row, and since the differences then lie in [-1, 1], no term could fall below
        log(1 + 1 / e) = 0.313. C here is the raw logit, with ``reduce: mean`` of its critic one an image.
    """
    real_mean, fake_mean = means or (real.mean(), fake.mean())
    return toward(real - fake_mean, 1.0) + toward(fake - real_mean, fake_target)


def relativistic_generator(
    real: Tensor,
    fake: Tensor,
    toward: Toward,
    real_target: float,
    symmetric: bool,
    means: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Returns ``toward(C(f) - E C(r), 1)``, plus ``toward(C(r) - E C(f), real_target)`` where ``symmetric``.

    The second half reaches the generator through E C(f), which is not detached unless it comes in ``means``; see
    :func:`relativistic_critic`.
    """
    real_mean, fake_mean = means or (real.mean(), fake.mean())
    loss = toward(fake - real_mean, 1.0)
    return loss + toward(real - fake_mean, real_target) if symmetric else loss


def gradient_penalty(
    critic: Callable[[Tensor], Tensor | list[Tensor]],
    real: Tensor,
    fake: Tensor,
    alpha: Tensor,
    norm: Literal["sample", "pixel"] = "sample",
    of: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Returns ``E (|grad_x f(x)| - 1)^2`` at ``x = alpha * real + (1 - alpha) * fake``.

    Args:
        critic: Maps images ``(n, c, h, w)`` to logits, or a list of logits of several scales.
        real: Sharp images ``(n, c, h, w)``.
        fake: Restored images of the same shape; no gradient reaches them.
        alpha: ``(n, 1, 1, 1)`` in [0, 1].
        norm: ``sample``: the norm is over all of one image, as in the paper. ``pixel``: over the channels of each
            pixel, as DeblurGAN's public code has it.
        of: f is the ``mean`` of an image's logits, the mean over scales of the mean over patches: the critic that the
            loss sees. Or their ``sum``, as pix2pix-style code has it, DeblurGAN's own included: with 30x30 patches
            the slope of what the loss sees is then held at 1/900. Both are one for a single logit an image.

    Reference:
        Gulrajani et al.: Improved Training of Wasserstein GANs, NeurIPS 2017, equation 3. DeblurGAN's public code takes
        the norm per pixel, which holds each pixel's slope to 1 and so the image's to about sqrt(h w), and one alpha
        for the whole batch. The structure-guided paper's equation 10 subtracts the penalty, prints ``|grad|^p`` for
        ``(|grad|_2 - 1)^2``, and draws x between the sharp and the blurred image: three errors against this one.
    """
    # detached, so that the penalty trains the critic alone; the images are leaves, whose gradient is what is wanted
    images = torch.lerp(fake.detach(), real.detach(), alpha).requires_grad_(True)
    logits = critic(images)
    scales = logits if isinstance(logits, (list, tuple)) else [logits]
    # one sum over the batch: without batch norm an image's logits depend on no other image, and its gradient is its own
    total = images.new_zeros(())
    for item in scales:
        of_each = item.reshape(len(images), -1)
        total = total + (of_each.mean(1).sum() / len(scales) if of == "mean" else of_each.sum())
    # create_graph: the gradient is itself differentiated, by the critic's weights
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    over_first_axis = gradient.flatten(1) if norm == "sample" else gradient  # pixel: over c alone
    return (over_first_axis.norm(2, dim=1) - 1.0).square().mean()
