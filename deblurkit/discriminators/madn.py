"""The critic of MADN, which judges images and gradient maps alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from deblurkit.discriminators.spectral import apply_spectral_norm
from deblurkit.registry import DISCRIMINATORS
from deblurkit.weight_init import init_kaiming

SIDE = 8  # of the map that the dense layers take: 256 after five halvings


@DISCRIMINATORS.register_module()
class MADNDiscriminator(nn.Module):
    """Pairs of 3x3 convolutions, each pair halving the size, two 1x1 convolutions to one channel, two dense layers.

    Every convolution and the first dense layer is followed by LeakyReLU of slope 0.2; no norm, no pooling. With no
    arguments: 4,827,332 parameters.

    Our readings: Table 1 gives every pair stride 2; twelve halvings leave nothing of 256 pixels, so each pair has
    stride 1 and then 2. Conv_11 and 12 are the text's "dimensionally invariant 1x1 convolutions" with the table's one
    channel. That leaves the dense layers 8 x 8 numbers, few but literal; images of other sizes are pooled to 8 x 8
    there. Initialisation is ours: He et al.'s, and 1 for the single weight of the last 1x1 convolution, where a random
    draw may fall near zero and cut off all that is before it.

    Args:
        in_channels: 3; 6 where the term's ``condition: blurred`` joins the blurred image.
        channels: Width of each pair.
        hidden: Width of the first dense layer.
        spectral_norm: Divide each layer's weight by its largest singular value; not in the paper.

    Shape:
        ``(n, in_channels, h, w)`` to raw logits ``(n, 1)``; never a sigmoid.

    Raises:
        ValueError: A width is not positive.

    Reference:
        Zhu, Xu, Choi, Su: Multi-scale Generative Adversarial Deblurring Network with Gradient Guidance, Journal of
        Internet Technology 24(2), 2023, section 3.4, Figure 5 and Table 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 64, 128, 256, 512),
        hidden: int = 1024,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if not channels or min(in_channels, hidden, *channels) < 1:
            raise ValueError(f"needs widths of at least 1, got {in_channels}, {channels} and {hidden}")
        pairs: list[nn.Module] = []
        for before, width in pairwise([in_channels, *channels]):
            keeping = nn.Conv2d(before, width, 3, padding=1)
            halving = nn.Conv2d(width, width, 3, stride=2, padding=1)
            pairs.append(nn.Sequential(*_activated(keeping), *_activated(halving)))
        single = nn.Conv2d(1, 1, 1)
        self.features = nn.Sequential(*pairs, *_activated(nn.Conv2d(channels[-1], 1, 1)), *_activated(single))
        self.head = nn.Sequential(nn.Flatten(), *_activated(nn.Linear(SIDE**2, hidden)), nn.Linear(hidden, 1))
        # ones last, over what He's draw gave the one weight through which everything passes
        init_kaiming(self, slope=0.2)
        nn.init.ones_(single.weight)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, image: Tensor) -> Tensor:
        features = self.features(image)  # (n, 1, 8, 8) of 256x256 pixels
        # only where it changes anything: the pooling's gradient on a GPU is not deterministic
        if features.shape[-2:] != (SIDE, SIDE):
            features = functional.adaptive_avg_pool2d(features, SIDE)
        return self.head(features)


def _activated(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    return layer, nn.LeakyReLU(0.2, inplace=True)
