"""Weight files of unknown origin: checkpoints of ours, published ones as if they were ours, and guesses at the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.checkpoint_format import shown
from deblurkit.interop import spandrel_network
from deblurkit.interop.containers import Candidate, asked_for, candidates
from deblurkit.interop.layouts import LAYOUTS, Adopted, Layout
from deblurkit.names import folder_name_from
from deblurkit.options.schema import Options
from deblurkit.weights import exchange

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_KNOWN = (
    ("DeblurGAN's or DeblurGAN-v2's discriminator", ("model.0.weight", "model.2.weight")),
    ("DeblurGAN-v2's Inception or MobileNet network", ("fpn.lateral4.weight", "head1.block0.weight")),
    ("the plain baseline of NAFNet's public code", ("intro.weight", "middle_blks.0.se.1.weight")),
    ("a part or a relative of NAFNet", ("intro.weight", "ending.weight")),
    ("VGG-19 weights", ("features.0.weight", "features.34.weight")),
    ("the ImageNet weights of MobileNetV2", ("features.0.0.weight", "features.18.0.weight")),
    ("the ImageNet weights of DenseNet", ("features.conv0.weight", "features.norm5.weight")),
    ("the ImageNet weights of Inception-ResNet-v2", ("conv2d_1a.conv.weight", "mixed_7a.branch0.0.conv.weight")),
    ("a U-Net of DeblurGAN's public code", ("model.model.0.weight",)),
)
"""Guesses at a state dict, by names that it holds."""

_LISTED = 6  # keys in a message


def read_weights(path: Path | str, key: str | None = None) -> dict[str, Any]:
    """Reads a checkpoint of ours, or an exported or published weight file as if it were one.

    For an exported file see :func:`deblurkit.weights.exchange.state_of`. A published file, in one of the known
    layouts, becomes a state of iteration 0 with ``options`` that name its generator and nothing else, and with
    two further keys: ``layout``, which network it is, and ``note``, a line that says so, which of several state dicts
    was taken, and what of it was left out.

    Args:
        path: The file.
        key: Which state dict of a published file, such as ``params``; by default the averaged one, where there is one.

    Raises:
        CheckpointError: The file cannot be read, or is neither; says what it probably is. Or ``key`` names nothing in
            it, or several networks are in it and no ``key`` is given.
    """
    if Path(path).suffix.lower() == exchange.SUFFIX:
        content, description = exchange.read_tensors(path)
        if description is not None:
            _refuse_key(path, key)
            return exchange.state_of(content, description, path)
    else:
        content = checkpoint.read(path)
        if checkpoint.is_checkpoint(content):
            _refuse_key(path, key)
            return checkpoint.checked(content, path, to_resume=False)
    return _published(path, content, key)


def _refuse_key(path: Path | str, key: str | None) -> None:
    if key is not None:
        expected = "expected none: it is deblurkit's own, of which the averaged weights are taken where it has them"
        raise CheckpointError(f"{path}: --key {key[:80]!a}: {expected}")


def _published(path: Path | str, content: object, key: str | None) -> dict[str, Any]:
    found = candidates(content)
    asked = asked_for(found, key)
    if key is not None and not asked:
        raise CheckpointError(f"{path}: --key {key[:80]!a}: no weights are there; expected one of {_keys(found)}")
    fitting = [(candidate, layout) for candidate in asked for layout in LAYOUTS if layout.fits(candidate.weights)]
    if not fitting:
        if spandrel_network.is_installed() and (recognised := spandrel_network.recognise(asked, path)) is not None:
            return _state_of_foreign(*recognised, asked, path, key)
        known = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
        known += "" if spandrel_network.is_installed() else "; more with pip install 'deblurkit[spandrel]'"
        raise CheckpointError(
            f"{path}: neither a checkpoint of deblurkit (format {checkpoint.FORMAT}) nor weights in a layout that it "
            f"knows ({known}): this looks like {_guess(content, asked)}"
        )
    candidate, layout = _chosen(path, fitting)
    adopted = layout.adopt(candidate.weights)

    # A sketch without memory tells whether they fit before anything of their size is built.
    complaint = f"{path}: this looks like {adopted.layout}, but does not fit it"
    sketch = checkpoint.sketch_generator(adopted.generator, adopted.weights, complaint)
    if sketch is None:
        raise CheckpointError(f"{complaint}: no such network can be built ({adopted.generator})")
    checkpoint.refuse_differences(checkpoint.compare(sketch, adopted.weights), complaint)
    others = [other for other, _ in fitting if other is not candidate]
    return _state(adopted, candidate, others, path)


def _chosen(path: Path | str, fitting: Sequence[tuple[Candidate, Layout]]) -> tuple[Candidate, Layout]:
    """Returns the averaged one of several state dicts, or the only one."""
    best = [pair for pair in fitting if pair[0].averaged] or fitting
    if len(best) > 1:
        keys = _keys([candidate for candidate, _ in best])
        raise CheckpointError(f"{path}: holds several networks, expected one of them named by --key: {keys}")
    return best[0]


def _keys(found: Sequence[Candidate]) -> str:
    """Lists keys for a message; those of weights that stand under none are not to be named."""
    keys = list(dict.fromkeys(candidate.key[:80] for candidate in found if candidate.key))
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return (", ".join(keys[:_LISTED]) or "none, as its weights stand under no key") + more


def _state(adopted: Adopted, taken: Candidate, others: Sequence[Candidate], path: Path | str) -> dict[str, Any]:
    note = f"{path}: weights of {adopted.layout}, trained elsewhere"
    if others:
        kind = "the averaged weights" if taken.averaged else "the weights"
        note += f"; {kind} of {taken.key} are taken, not {_keys(others)} (--key KEY takes others)"
    if left_out := (*adopted.left_out, *taken.beside):
        note += f"; left out: {', '.join(left_out)}"
    name = folder_name_from(Path(path).stem, "published")
    return {
        "format": checkpoint.FORMAT,
        "generator": adopted.weights,
        "ema": adopted.weights if taken.averaged else None,
        "critics": {},
        "position": {"iteration": 0},
        "options": Options(name=name, generator=adopted.generator).to_dict(),
        "layout": adopted.layout,
        "note": note,
    }


def _state_of_foreign(
    taken: Candidate,
    descriptor: ImageModelDescriptor[Any],
    asked: Sequence[Candidate],
    path: Path | str,
    key: str | None,
) -> dict[str, Any]:
    generator = {"type": "Foreign", "weights": str(path)}
    if key is not None:
        generator["key"] = key
    layout = f"{descriptor.architecture.name}, a network of spandrel"
    if licence := spandrel_network.licence_of(descriptor):
        layout += f" whose code is {licence}"
    adopted = Adopted(layout, generator, spandrel_network.weights_in(descriptor), ())
    alike = [other for other in asked if other is not taken and other.weights.keys() == taken.weights.keys()]
    return _state(adopted, taken, alike, path)


def _guess(content: object, found: Sequence[Candidate]) -> str:
    """Says what a file probably is."""
    if isinstance(content, Mapping) and "format" in content and "generator" in content:
        return f"a checkpoint of another version of deblurkit (format {shown(content['format'])})"
    if isinstance(content, Mapping) and {"state", "param_groups"} <= set(content):
        return "an optimizer's state"
    for what, names in _KNOWN:
        if any(all(name in candidate.weights for name in names) for candidate in found):
            return what
    if found:
        weights = max((candidate.weights for candidate in found), key=len)
        return f"the weights of another network ({len(weights)} tensors, such as {next(iter(weights))[:80]})"
    return f"a {type(content).__name__} without weights"
