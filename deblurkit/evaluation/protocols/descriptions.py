"""Metrics in words, and the page that explains a protocol."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from deblurkit.contracts import metric_traits
from deblurkit.registry import METRICS

_WIDTH = 110
_CHANNELS = {
    "rgb": "R, G and B",
    "y": "Y of MATLAB's rgb2ycbcr, 16 + (65.481 R + 128.553 G + 24.966 B) / 255",
    "luma": "luma 0.299 R + 0.587 G + 0.114 B",
}
_SSIM = {
    "2d": "11x11 Gaussian window of sigma 1.5, only where it lies wholly inside; biased covariance; mean over pixels "
    "and channels (BasicSR)",
    "3d": "as MATLAB's ssim takes a colour image, for a volume: 11x11x11 Gaussian window of sigma 1.5 over rows, "
    "columns and channels, borders repeated; biased covariance; mean over the volume",
    "uniform": "7x7 uniform window, 3 pixels of the border left out; sample covariance; mean over pixels and channels "
    "(scikit-image's default)",
    "gauss": "Gaussian window of sigma 1.5 cut off at 3.5 sigma, 5 pixels of the border left out; biased covariance; "
    "mean over channels and pixels that count (scikit-image's gaussian_weights)",
    "zero": "11x11 Gaussian window of sigma 1.5, zeros outside the image; biased covariance; mean over pixels and "
    "channels (DeblurGAN)",
}
_MS_SSIM_FILTERS = {
    "gaussian": "halved by 2x2 means between scales",
    "bior97": "low-pass filtered by the biorthogonal 9/7 wavelet's before each halving; means of contrast and of "
    "structure taken apart (the code of Koehler et al.)",
}

_BACKBONES = {"alex": "AlexNet", "squeeze": "SqueezeNet 1.1", "vgg": "VGG-16"}
_DEFINITIONS = {
    "PSNR": "10 log10(white^2 / MSE) in dB, MSE over all pixels that count of {channels}",
    "SSIM": "of {channels}: {kind}",
    "MSSSIM": "of {channels}: five scales, {filter}",
    "LPIPS": "of RGB in [-1, 1] at the images' own size: squared differences of {backbone}'s features, normalised over "
    "channels, mean over pixels, sum over layers; weights by channel of the package lpips, version {version}; backbone "
    "from torchvision's file, ImageNet weights",
    "DISTS": "at the images' own size: 1 - weighted similarity of means (texture) and of covariances (structure) of "
    "the images and of VGG-16's features at five layers; weights of the package torchmetrics; backbone from "
    "torchvision's file, ImageNet weights",
    "NIQE": "of the restored image alone, its Y rounded: distance of the statistics of blocks of 96x96 pixels at two "
    "scales from those of unspoilt photographs, with the parameters of its authors, as BasicSR ships them; left out "
    "of the mean where fewer than two blocks have texture",
    "CWSSIM": "of PIL's 8-bit greyscale, all rows joined to one line: 30 Ricker wavelets of widths 1 to 30, compared "
    "pixel by pixel, K = 0.01, mean over pixels (pyssim 0.4); not SSIM",
}


def in_words(component: Mapping[str, Any]) -> str:
    """Says what a metric computes, from its name and arguments; of others, what their docstring begins with."""
    name = str(component["type"])
    metric = METRICS.get(name)
    arguments = {key: str(value) for key, value in component.items() if key != "type"}
    written = ", ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
    if name in _DEFINITIONS:
        # An argument that a protocol leaves out has the metric's own default, which the sentence must name too.
        computed = _DEFINITIONS[name].format(
            channels=_CHANNELS.get(arguments.get("channels", "rgb"), ""),
            kind=_SSIM.get(arguments.get("kind", "2d"), ""),
            filter=_MS_SSIM_FILTERS.get(arguments.get("filter", "gaussian"), ""),
            backbone=_BACKBONES.get(arguments.get("net", "alex"), ""),
            version=arguments.get("version", "0.1"),
        )
    else:
        paragraph = (inspect.getdoc(metric) or "").split("\n\n")[0].replace("\n", " ").replace("``", "")
        computed = paragraph.split(". ")[0].rstrip(".")
    direction = "" if metric_traits(metric).higher_is_better else "lower is better"
    return ": ".join(filter(None, (written, "; ".join(filter(None, (computed, direction))))))


def layout(title: str, description: str, rows: Mapping[str, str]) -> str:
    """Sets a title, a sentence and a table of two columns as text, its lines wrapped under their column."""
    width = max(map(len, rows)) + 3
    lines = [title, *textwrap.wrap(description, _WIDTH), ""]
    for name, text in rows.items():
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=f"{name}:".ljust(width), subsequent_indent=" " * width, break_on_hyphens=False
        )
    return "\n".join(lines)
