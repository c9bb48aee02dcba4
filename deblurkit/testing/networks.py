"""Laws that generators and critics keep."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.inference.receptive_field import reach, receptive_field
from deblurkit.inference.restore import restore
from deblurkit.testing.component import Component


def leaves(value: object) -> Iterator[Tensor]:
    """Yields the tensors that a network returned, in lists, tuples and dicts too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        raise AssertionError(f"a network returns tensors, or lists and dicts of them, not a {type(value).__name__}")


def are_finite(value: object) -> bool:
    """Tells whether all that a network returned are numbers, none of them infinite."""
    return all(torch.isfinite(output).all() for output in leaves(value))


def restores_any_size(component: Component) -> None:
    """Expects an image of any size, from one pixel on, to be restored to one of the same size in [0, 1].

    Images are padded to what ``size_divisor`` and ``min_size`` ask for.
    """
    for size in ((64, 64), (65, 97), (33, 47), (1, 1), (3, 7), (7, 3)):
        blurred = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
        restored = restore(component.shared().eval(), blurred)
        assert restored.shape == blurred.shape, f"{tuple(restored.shape)} for {tuple(blurred.shape)}"
        assert torch.isfinite(restored).all(), f"pixels that are no numbers at {size[0]} x {size[1]}"
        assert 0 <= restored.min() <= restored.max() <= 1, f"pixels outside [0, 1] at {size[0]} x {size[1]}"


def keeps_or_refuses_odd_sizes(component: Component) -> None:
    """Expects 165 x 167 pixels to come out as they went in, or an error where ``size_divisor`` does not divide them."""
    generator = component.shared().eval()
    divisor = generator_traits(generator).size_rule.multiple_of
    try:
        size = next(leaves(generator(torch.rand(1, 3, 165, 167)))).shape[-2:]
    except (ValueError, RuntimeError):
        assert divisor > 1, "an error, and no size_divisor above 1 is declared"
        return
    assert tuple(size) == (165, 167), f"{size[0]} x {size[1]} come out"


def declares_its_value_range(component: Component) -> None:
    """Expects ``value_range``, where it is declared, to be (0, 1) or (-1, 1)."""
    value_range = generator_traits(component.shared()).value_range
    assert tuple(value_range) in ((0.0, 1.0), (-1.0, 1.0)), f"it is {value_range}"


def looks_as_far_as_it_declares(component: Component) -> None:
    """Expects ``receptive_field``, where it is declared, to be how far NaN in one half of a strip spreads."""
    generator = component.build(component.traits.small).eval()
    traits = generator_traits(generator)
    if traits.receptive_field is None:
        return
    declared, measured = receptive_field(generator), reach(generator)
    found = "further than any strip shows" if measured is None else f"{measured} pixels"
    agree = declared is None and measured is None
    if declared is not None and measured is not None:
        # Up to size_divisor - 1 pixels of what is measured may be too much, and whoever declares may know better.
        agree = 0 <= measured - declared < traits.size_rule.multiple_of
    assert agree, f"it is {traits.receptive_field!r}, and measured it is {found}"


def returns_an_image(component: Component) -> None:
    """Expects a generator to return a tensor, or a dict with ``image``, of the input's shape."""
    generator = component.shared().eval()
    blurred = _picture(generator)
    with torch.no_grad():
        image = generator(blurred)
    if isinstance(image, dict):
        assert "image" in image, f"a dict with {', '.join(image)}"
        image = image["image"]
    assert isinstance(image, Tensor), f"a {type(image).__name__}"
    assert image.shape == blurred.shape, f"{tuple(image.shape)} for {tuple(blurred.shape)}"


def outputs_are_finite(component: Component) -> None:
    """Expects finite outputs in single precision and, of the small network, in bfloat16."""
    network, small = component.shared().eval(), component.build(component.traits.small).eval()
    with torch.no_grad():
        assert are_finite(network(_picture(network))), "others in float32"
        with torch.autocast("cpu", dtype=torch.bfloat16):  # which processors compute slowly: hence the small one
            assert are_finite(small(_picture(small))), "others in bfloat16"


def every_parameter_gets_a_finite_gradient(component: Component) -> None:
    """Expects a finite gradient for every parameter, from the sum of all outputs with random weights."""
    gradients = _gradients(component.shared().train())
    assert gradients, "it has no parameters"
    without = [name for name, gradient in gradients.items() if gradient is None]
    assert not without, f"none for {', '.join(without)}"
    for name, gradient in gradients.items():
        assert are_finite(gradient), f"one that is not finite for {name}"


def every_parameter_matters(component: Component) -> None:
    """Expects a gradient above 0 for every parameter except the biases in ``Traits(without_effect=...)``.

    In double precision; weights that start at zero are set to one, since what stands behind them would get none.
    """
    network = component.build(component.traits.small).double().train()
    with torch.no_grad():
        for key, weight in network.named_parameters():
            if not key.endswith("bias") and not weight.any():
                weight.fill_(1.0)
    sizes = {key: 0.0 if found is None else found.abs().max().item() for key, found in _gradients(network).items()}
    # A bias before a norm gets what rounding leaves, not quite 0.
    dead = [key for key, size in sizes.items() if size < 1e-12 * max(sizes.values())]
    patterns = component.traits.without_effect
    stale, unexplained = set(patterns), []
    for key in dead:
        explained = {pattern for pattern in patterns if re.fullmatch(pattern, key)}
        assert not explained or "bias" in key, f"{key} is no bias"
        stale -= explained
        if not explained:
            unexplained.append(key)
    assert not unexplained, f"0 for {', '.join(unexplained)}"
    assert not stale, f"listed as without effect, but with one: {', '.join(sorted(stale))}"


def state_survives_a_file(component: Component) -> None:
    """Expects equal outputs of another instance that got the weights from a file read with ``weights_only=True``."""
    small = component.traits.small
    network, other = component.build(small).eval(), component.build(small, seed=1).eval()
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    image = _picture(network)
    with torch.no_grad():
        for one, two in zip(leaves(network(image)), leaves(other(image)), strict=True):
            assert torch.equal(one, two), "they differ: something is in no state_dict"


def evaluation_repeats_and_ignores_the_neighbours(component: Component) -> None:
    """Expects, in eval mode, the same outputs of an image again, and beside another one in the batch."""
    network = component.shared().eval()
    image = _picture(network)
    torch.manual_seed(0)
    neighbour = 10 * torch.rand_like(image)  # far brighter: whatever averages over the batch shows it
    with torch.no_grad():
        alone, again = list(leaves(network(image))), list(leaves(network(image)))
        together = list(leaves(network(torch.cat([image, neighbour]))))
    for first, second, both in zip(alone, again, together, strict=True):
        assert torch.equal(first, second), "a second call gives something else"
        # Not to the bit: convolutions add up in another order for another batch size.
        torch.testing.assert_close(both[:1], first, rtol=1e-3, atol=1e-4)


def judges_any_crop(component: Component) -> None:
    """Expects finite logits for crops of 64, 96 and 256 pixels, as many as images."""
    critic = component.shared()
    for side in (64, 96, 256):
        with torch.no_grad():
            logits = critic(torch.rand(1, 3, side, side))
        assert are_finite(logits), f"others at {side} pixels"
        for item in leaves(logits):
            assert item.shape[0] == 1, f"{item.shape[0]} for one image of {side} pixels"


def returns_raw_logits(component: Component) -> None:
    """Expects logits above 1 of a critic with large weights: no sigmoid stands behind them."""
    large = copy.deepcopy(component.shared()).double().eval()
    with torch.no_grad():
        for weight in large.parameters():  # weights as they start give small logits, with or without a sigmoid
            weight.mul_(30.0).add_(3.0)
        largest = max(item.abs().max().item() for item in leaves(large(torch.rand(1, 3, 64, 64).double())))
    assert largest > 1, f"the largest is {largest:g}"


def _picture(network: nn.Module) -> Tensor:
    """Returns an image in [0, 1], as large as the network asks for."""
    side = generator_traits(network).size_rule.fit(64)
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def _gradients(network: nn.Module) -> dict[str, Tensor | None]:
    """Returns the gradients of a random sum of all outputs, and clears them."""
    # With equal weights a norm at the end would cancel: its outputs add up to a constant.
    network.zero_grad()
    torch.manual_seed(0)
    dtype = next(network.parameters()).dtype
    outputs = leaves(network(_picture(network).to(dtype).expand(2, -1, -1, -1) * 0.8 + 0.1))
    torch.stack([(output * torch.randn_like(output)).sum() for output in outputs]).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    network.zero_grad()
    return gradients


_NETWORK = (
    outputs_are_finite,
    every_parameter_gets_a_finite_gradient,
    every_parameter_matters,
    state_survives_a_file,
    evaluation_repeats_and_ignores_the_neighbours,
)
GENERATOR = (
    returns_an_image,
    restores_any_size,
    keeps_or_refuses_odd_sizes,
    declares_its_value_range,
    looks_as_far_as_it_declares,
    *_NETWORK,
)
CRITIC = (judges_any_crop, returns_raw_logits, *_NETWORK)
