"""The model card of a network, as Markdown and as plain text."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Sequence

from deblurkit.report.tables import ABOUT_INTERVALS, scale
from deblurkit.weights.card import Card, Measured
from deblurkit.weights.description import Description


def card_markdown(name: str, card: Card, description: Description, file_bytes: int) -> str:
    """Returns a card as Markdown.

    Args:
        name: Of the network in the box.
        card: What was written of it and what was measured.
        description: What the weight file says of itself.
        file_bytes: The size of that file.
    """
    parts = [f"# {name}"]
    if card.placeholder:
        parts.append("**Placeholder**: these weights only stand in for others that are still being trained.")
    parts += [_wrapped(card.what), "## The file", _list(_facts(card, description, file_bytes))]
    sources = [f"{source.what}; {source.licence}; {source.source}" for source in card.data]
    parts += ["## Training data", _list(sources), "## Recipe", f"`{' '.join(card.recipe.split())}`"]
    parts += ["## Scores", _wrapped(card.protocol)]
    for key, score in card.scores.items():
        measured = card.measured.get(key)
        told = "not measured yet" if measured is None else "; ".join(_phrases(measured))
        # the command is not wrapped: it is there to be copied
        parts.append(f"{_list([f'{score.what}: {told}.'])}\n  `{' '.join(score.command.split())}`")
    if card.measured:
        parts.append(_wrapped(ABOUT_INTERVALS))
    parts += ["## What it cannot do", _list(card.limits), "## How it fails", _list(card.failures)]
    return "\n\n".join(parts) + "\n"


def card_text(name: str, card: Card, description: Description, file_bytes: int) -> str:
    """Returns a card as plain text for a terminal: its Markdown without the marks of headings and emphasis."""
    markdown = card_markdown(name, card, description, file_bytes)
    return re.sub(r"^#+ ", "", markdown, flags=re.MULTILINE).replace("**", "")


def _facts(card: Card, description: Description, file_bytes: int) -> list[str]:
    """Returns what the weight file says of itself, a line each."""
    averaged = ", averaged weights" if description.averaged else ""
    stored = "fp16, computed in fp32" if description.half else "fp32"
    return [
        f"generator: `{json.dumps(description.generator)}`",
        f"trained by {description.recipe} for {description.iteration} iterations{averaged}",
        f"{file_bytes / 1e6:.2f} MB, {stored}; written by deblurkit {description.deblurkit}",
        f"licence of the weights: {card.licence}",
        f"SHA-256 of its content: {description.sha256}",
    ]


def _phrases(measured: Measured) -> list[str]:
    """Returns one data set's scores, a phrase each."""
    result = measured.result
    told = []
    for metric in dict.fromkeys([*(result.blurred or {}), *(result.restored or {})]):
        written = scale(metric, measured.metrics)
        before = written.with_interval(*result.mean("blurred", metric))
        after = written.with_interval(*result.mean("restored", metric))
        mean_gain, interval = result.mean("gain", metric)
        if mean_gain is None or math.isfinite(mean_gain):
            gain = written.with_interval(mean_gain, interval, signed=True)
            told.append(f"{written.title} {before} to {after}, gain {gain}")
        else:
            # PSNR of images that were sharp already is infinite before, and nothing can be gained.
            told.append(f"{written.title} {after} against themselves")
    told.append(f"{result.images} images, {result.protocol.title}, inference {result.inference}")
    already_sharp = (result.blurred or {}).get("psnr") == math.inf
    if measured.harmed is not None and not already_sharp:
        told.append(f"{measured.harmed} with a lower PSNR than before")
    return told


def _list(lines: Sequence[str]) -> str:
    """Returns a list; wrapped lines are indented, so that they stay in their item."""
    return "\n".join(_wrapped(f"- {line}", "  ") for line in lines)


def _wrapped(text: str, indent: str = "") -> str:
    """Returns a text in lines of at most 100 characters, but for longer words, such as digests."""
    words = " ".join(text.split())
    return textwrap.fill(words, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
