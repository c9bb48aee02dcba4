"""Metrics in words, and the page that explains a protocol."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

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


def in_words(component: Mapping[str, Any]) -> str:
    """Say what a metric computes, from its name and arguments; of others, what their docstring begins with."""
    arguments = dict(component)
    name = str(arguments.pop("type"))
    channels = _CHANNELS.get(str(arguments.get("channels", "rgb")), "")
    known = {
        "PSNR": lambda: f"10 log10(white^2 / MSE) in dB, MSE over all pixels that count of {channels}",
        "SSIM": lambda: f"of {channels}: {_SSIM[arguments['kind']]}",
        "MSSSIM": lambda: f"of {channels}: five scales, {_MS_SSIM_FILTERS[arguments['filter']]}",
    }
    metric = METRICS.get(name)
    definition = known[name]() if name in known else _first_sentence(metric)
    written = ", ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
    direction = "" if getattr(metric, "higher_is_better", True) else "lower is better"
    return ": ".join(filter(None, (written, "; ".join(filter(None, (definition, direction))))))


def layout(title: str, description: str, rows: Mapping[str, str]) -> str:
    """Set a title, a sentence and a table of two columns as text, its lines wrapped under their column."""
    width = max(map(len, rows)) + 3
    lines = [title, *textwrap.wrap(description, _WIDTH), ""]
    for name, text in rows.items():
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=f"{name}:".ljust(width), subsequent_indent=" " * width, break_on_hyphens=False
        )
    return "\n".join(lines)


def _first_sentence(metric: type | None) -> str:
    text = inspect.getdoc(metric) if metric is not None else None
    return (text or "").split("\n\n")[0].replace("\n", " ").replace("``", "").split(". ")[0].rstrip(".")
