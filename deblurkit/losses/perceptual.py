"""The content loss on VGG-19 features."""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import Tensor, nn

from deblurkit.losses.functional import Distance, feature_distance
from deblurkit.pretrained import torchvision_features
from deblurkit.registry import LOSSES

_CONVS = (2, 2, 4, 4, 4)  # convolutions of each of VGG-19's blocks; a pooling layer ends each


def feature_index(layer: str) -> int:
    """Returns the index in torchvision's ``vgg19().features`` of ``convB_C`` or ``reluB_C``.

    >>> feature_index("conv3_3"), feature_index("relu4_3")
    (14, 24)

    Raises:
        ValueError: VGG-19 has no such layer.
    """
    match = re.fullmatch(r"(conv|relu)([1-5])_([1-4])", layer)
    if match is None or int(match[3]) > _CONVS[int(match[2]) - 1]:
        raise ValueError(f"layer is convB_C or reluB_C of VGG-19, such as conv3_3; got {layer!r}")
    block, convolution = int(match[2]), int(match[3])
    # each convolution is followed by its ReLU, each block by a pooling layer
    before = sum(2 * convs + 1 for convs in _CONVS[: block - 1])
    return before + 2 * (convolution - 1) + (match[1] == "relu")


@LOSSES.register_module()
class PerceptualLoss(nn.Module):
    """The distance of ``phi(pred)`` and ``phi(target)``, phi the features of VGG-19 at one layer.

    Args:
        layer: ``convB_C`` (before its ReLU) or ``reluB_C``, such as ``conv3_3`` of DeblurGAN.
        distance: Of the features' differences d, ``(n, c, h, w)``: ``mse`` the mean of d^2, ``l1`` of ``|d|``, ``l2``
            of the norm of d over the channels, divided by c.
        normalize: Map the images to [0, 1], then by ImageNet's mean and standard deviation, which is what the weights
            were trained on. ``False`` feeds the generator's own range as it is, as DeblurGAN's public code does; it
            changes the loss's scale by about 4.9 for [-1, 1]. ``caffe`` is the preprocessing of Keras's VGG: blue
            first, 0 to 255, minus its means. It fits weights that were trained so, the VGG authors' own, in a file
            that ``weights`` names. With torchvision's it takes red for blue and is some 58 times too large: it has the
            scale of Keras's loss (squares some 58^2 times larger), not its features. Keras's ``block3_conv3`` ends
            in a ReLU: ``layer: relu3_3``.
        weights: A state dict file of torchvision's VGG-19; absent: torchvision's cache; ``random``: untrained
            features, for trials.
        download: Whether to fetch the file where the cache lacks it.

    Attributes:
        value_range: The range of the images it is given; the restorer sets it.
        notes: What every log and report must say of this loss.

    Shape:
        Two tensors ``(n, 3, h, w)`` to a scalar.

    Raises:
        MissingWeightsError: No weights file is there and none may be fetched.
        ValueError: An unknown layer, distance or ``normalize``.

    Reference:
        Johnson et al.: Perceptual losses, ECCV 2016, equation 2; the Blur-Attention paper, equation 7. DeblurGAN
        (Kupyn et al., CVPR 2018, equation 4) and the depthwise-separable paper (equation 8, with G of the sharp image
        and W twice for W and H) print 1 / (W H) without 1 / C: as printed, it is this loss with C times the weight
        (256 at conv3_3). The structure-guided paper's equation 8 prints the norm without its square: ``l2``. It cites
        Johnson, who squares it, so ``mse`` is our reading.
    """

    mean: Tensor
    std: Tensor
    caffe_mean: Tensor

    def __init__(
        self,
        layer: str = "conv3_3",
        normalize: bool | Literal["caffe"] = True,
        weights: str | None = None,
        download: bool = False,
        distance: Distance = "mse",
    ) -> None:
        super().__init__()
        if distance not in ("mse", "l1", "l2"):
            raise ValueError(f"distance is mse, l1 or l2, got {distance!r}")
        if normalize not in (True, False, "caffe"):
            raise ValueError(f"normalize is true, false or caffe, got {normalize!r}")
        advice = (
            "or name the file with `weights: PATH`, or allow `download: true`; `weights: random` is for trials only"
        )
        layers = feature_index(layer) + 1
        self.features = torchvision_features("vgg19", weights, advice=advice, download=download, layers=layers)
        for module in self.features:
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.normalize = normalize
        self.distance = distance
        self.value_range = (0.0, 1.0)
        self.notes = ["PerceptualLoss uses RANDOM VGG-19 weights: for trials only"] if weights == "random" else []
        # constants, which move with the loss but are no state: checkpoints do not hold them
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        blue_first = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        self.register_buffer("caffe_mean", blue_first, persistent=False)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stays in evaluation mode whatever ``mode`` says: the features are frozen."""
        return super().train(False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        # the sharp image needs no gradient, so that only the activations of the restored one are kept
        with torch.no_grad():
            wanted = self.features(self._preprocess(target))
        return feature_distance(self.features(self._preprocess(pred)), wanted, self.distance)

    def _preprocess(self, image: Tensor) -> Tensor:
        if not self.normalize:
            return image
        low, high = self.value_range
        image = (image - low) / (high - low)
        if self.normalize == "caffe":
            return 255 * image.flip(1) - self.caffe_mean
        return (image - self.mean) / self.std
