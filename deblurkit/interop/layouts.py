"""The layouts of published weights, and how their names become ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deblurkit.archs.fpn_encoders import modern_name

Weights = Mapping[str, Tensor]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Adopted:
    """A published network as one of ours."""

    layout: str  # which network it is, in words
    generator: dict[str, Any]  # the option ``generator`` that builds it
    weights: dict[str, Tensor]  # under our names; one that has no place keeps its own, and is refused by it
    left_out: tuple[str, ...]  # what of the file is not used, in words


@dataclass(frozen=True)
class Layout:
    """A published layout: what tells it from others, and how it is taken over."""

    name: str
    fits: Callable[[Weights], bool]
    adopt: Callable[[Weights], Adopted]


def _is_kernel(weights: Weights, name: str) -> bool:
    """Tells whether a convolution's weights have this name, so that its width can be read from their shape."""
    return name in weights and weights[name].dim() == 4


_BLOCK_KERNEL = re.compile(r"model\.(\d+)\.conv_block\.([156])\.weight")


def _is_deblurgan(weights: Weights) -> bool:
    return _is_kernel(weights, "model.1.weight") and any(_BLOCK_KERNEL.fullmatch(key) for key in weights)


def _adopt_deblurgan(weights: Weights) -> Adopted:
    """Takes over DeblurGAN's one row of layers, ``model.N``; its residual blocks hold ``conv_block.N``.

    The blocks' convolutions stand at 1 and 6, or 5 where dropout was off; in files of the public code since March 2019
    at 1 alone.
    """
    blocks: list[int] = []  # indices of the residual blocks in the row
    places: list[int] = []  # indices of the convolutions in each
    for key in weights:
        match = _BLOCK_KERNEL.fullmatch(key)
        if match:
            blocks.append(int(match[1]))
            places.append(int(match[2]))
    blocks, places = sorted(set(blocks)), sorted(set(places))

    # Our names of the layers with weights: at 1, 4 and 7 of the encoder, at 0, 3 and 7 of the decoder.
    after = blocks[-1] + 1
    names: dict[str, str] = {}
    for index in (1, 4, 7):
        names[f"model.{index}"] = f"encoder.{index}"
    for index in (0, 3, 7):
        names[f"model.{after + index}"] = f"decoder.{index}"
    for number, index in enumerate(blocks):
        for place, ours in zip(places, (1, 6), strict=False):
            names[f"model.{index}.conv_block.{place}"] = f"blocks.{number}.body.{ours}"

    # Its instance norms track statistics, which ours do not use.
    taken, statistics = {}, 0
    for key, value in weights.items():
        layer, _, kind = key.rpartition(".")
        if kind in _STATISTICS:
            statistics += 1
        elif layer in names:
            taken[f"{names[layer]}.{kind}"] = value
        else:
            taken[key] = value
    channels, convs = weights["model.1.weight"].shape[0], len(places)
    generator = {"type": "DeblurGAN", "channels": channels, "blocks": len(blocks), "convs_per_block": convs}
    convolutions = f"{convs} convolution{'s' * (convs > 1)} a block"
    return Adopted(f"DeblurGAN ({convolutions})", generator, taken, _told(statistics))


def _told(statistics: int) -> tuple[str, ...]:
    return (f"{statistics} running statistics of its instance norms",) if statistics else ()


_V2_ENCODERS = {
    "fpn.inception.conv2d_1a.conv.weight": ("fpn_inception", "inception_resnet_v2", "fpn.inception."),
    "fpn.features.0.0.weight": ("fpn_mobilenet", "mobilenet_v2", "fpn.features."),
    "fpn.features.conv0.weight": ("fpn_densenet", "densenet121", "fpn.features."),
}
"""Keys that tell DeblurGAN-v2's networks apart, each with its name there, our encoder and the prefix of its layers."""

# its encoder's layers once more, under the names of the pyramid's stages
_V2_AGAIN = re.compile(r"fpn\.(enc[0-4]|norm|tr[123]|pool0)\.")

_V2_NAMES = (
    (re.compile(r"fpn\.lateral([0-4])\."), lambda match: f"laterals.{match[1]}."),
    (re.compile(r"fpn\.td([123])\."), lambda match: f"top_down.{int(match[1]) - 1}."),
    (re.compile(r"head([1-4])\.block([01])\."), lambda match: f"heads.{int(match[1]) - 1}.{2 * int(match[2])}."),
)

_INCEPTION_UNUSED = ("repeat_2", "block8", "conv2d_7b", "avgpool_1a", "last_linear", "classif")
_MOBILENET_PLACES = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
_MOBILENET_PLACES_FIRST = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}  # its first block does not widen


def _is_deblurgan_v2(weights: Weights) -> bool:
    return _is_kernel(weights, "fpn.lateral4.weight") and any(key in weights for key in _V2_ENCODERS)


def _adopt_deblurgan_v2(weights: Weights) -> Adopted:
    """Takes over a network of DeblurGAN-v2: ``fpn`` with the whole encoder, ``head1`` to ``head4``, ``smooth``."""
    name, encoder, prefix = next(found for key, found in _V2_ENCODERS.items() if key in weights)
    decoder_norm = "batch" if "smooth.1.weight" in weights else "instance"
    taken: dict[str, Tensor] = {}
    unused: dict[str, None] = {}  # a set that keeps its order, for the message
    statistics = 0
    for key, value in weights.items():
        if key.startswith(prefix):
            ours, group = _encoder_name(encoder, key.removeprefix(prefix))
            if ours is None:
                unused[f"{prefix}{group}"] = None
            else:
                taken[f"encoder.{ours}"] = value
        elif _V2_AGAIN.match(key):
            continue  # the same tensors: its state dict has the encoder's layers under two names
        elif key.endswith(_STATISTICS) and decoder_norm == "instance":
            statistics += 1
        else:
            taken[_decoder_name(key)] = value
    generator = {
        "type": "DeblurGANv2",
        "encoder": encoder,
        "channels": weights["fpn.lateral4.weight"].shape[0],
        "decoder_norm": decoder_norm,
        "top_down_convs": "fpn.td1.0.weight" in weights,
        "global_skip": encoder != "densenet121",
        "encoder_norm": "image",
    }
    return Adopted(f"DeblurGAN-v2 {name}", generator, taken, (*unused, *_told(statistics)))


def _encoder_name(encoder: str, name: str) -> tuple[str | None, str]:
    """Returns a tensor's name in our encoder, ``None`` where it is not used, and its group for messages."""
    group = name.partition(".")[0]
    if encoder == "densenet121":
        return modern_name(name), group
    if encoder == "inception_resnet_v2":
        if group in _INCEPTION_UNUSED:
            return None, group
        return name, group
    if int(group) > 15:
        return None, group
    block = re.fullmatch(r"(\d+)\.conv\.(\d)\.(\w+)", name)
    if block is None:
        return name, group
    places = _MOBILENET_PLACES_FIRST if group == "1" else _MOBILENET_PLACES
    return f"{group}.conv.{places.get(block[2], block[2])}.{block[3]}", group


def _decoder_name(key: str) -> str:
    for pattern, name in _V2_NAMES:
        match = pattern.match(key)
        if match:
            return name(match) + key[match.end() :]
    return key


_NAFNET_BLOCK = re.compile(r"(encoders\.\d+|middle_blks|decoders\.\d+)\.(\d+)\.(.+)")
_NAFNET_NAMES = {
    "norm1": "spatial.0",
    "conv1": "spatial.1",
    "conv2": "spatial.2",
    "sca.1": "spatial.4.conv",
    "conv3": "spatial.5",
    "norm2": "pointwise.0",
    "conv4": "pointwise.1",
    "conv5": "pointwise.3",
}
"""The layers of a block in NAFNet's public code, each with our name of it."""


def _is_nafnet(weights: Weights) -> bool:
    blocks = (match[3] for match in map(_NAFNET_BLOCK.fullmatch, weights) if match)
    is_like_it = _is_kernel(weights, "intro.weight") and "ending.weight" in weights and "sca.1.weight" in blocks
    return is_like_it and "middle_blks.0.temperature" not in weights  # M3SNet, whose other blocks are NAFNet's


def _adopt_nafnet(weights: Weights) -> Adopted:
    """Takes over a NAFNet of any width and any number of blocks; its ``NAFNetLocal`` has the same names."""
    taken: dict[str, Tensor] = {}
    numbers: dict[str, set[str]] = {}  # of the blocks of each stage: counted, as a gap would be missing all the same
    for key, value in weights.items():
        match = _NAFNET_BLOCK.fullmatch(key)
        ours = key
        if match:
            stage, number, rest = match.groups()
            numbers.setdefault(stage, set()).add(number)
            layer, _, kind = rest.rpartition(".")
            block = f"{stage.replace('middle_blks', 'middle')}.{number}"
            if rest in ("beta", "gamma"):
                ours = f"{block}.{rest}"
            elif layer in _NAFNET_NAMES:
                ours = f"{block}.{_NAFNET_NAMES[layer]}.{kind}"
        # no tensor takes the place of another: one whose place is taken keeps its name, and is refused by it
        taken[key if ours in weights else ours] = value
    levels = sum(re.fullmatch(r"downs\.\d+\.weight", key) is not None for key in weights)
    down, up = ([len(numbers.get(f"{way}.{level}", ())) for level in range(levels)] for way in ("encoders", "decoders"))
    middle, width = len(numbers.get("middle_blks", ())), weights["intro.weight"].shape[0]
    generator = {
        "type": "NAFNet",
        "width": width,
        "encoder_blocks": down,
        "middle_blocks": middle,
        "decoder_blocks": up,
        "padding": "zeros",
    }
    blocks = ", ".join("-".join(map(str, counts)) for counts in (down, [middle], up))
    return Adopted(f"NAFNet (width {width}, blocks {blocks}, padding zeros)", generator, taken, ())


LAYOUTS = (
    Layout("DeblurGAN", _is_deblurgan, _adopt_deblurgan),
    Layout("DeblurGAN-v2", _is_deblurgan_v2, _adopt_deblurgan_v2),
    Layout("NAFNet", _is_nafnet, _adopt_nafnet),
)
"""The layouts that are taken over."""
