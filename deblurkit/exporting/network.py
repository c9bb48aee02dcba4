"""Holds the network that every format starts from, and makes the description that travels with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from deblurkit import checkpoint
from deblurkit.errors import UserError
from deblurkit.interop.foreign import read_weights
from deblurkit.names import folder_name
from deblurkit.weights import box
from deblurkit.weights.description import Description


@dataclass(frozen=True)
class Labels:
    """What the user says of weights; where it is empty, what they say themselves.

    Attributes:
        name: What reports call the network; by default the experiment's name.
        licence: Of the weights.
        data: What they were trained on, and under which licences.
    """

    name: str = ""
    licence: str = ""
    data: str = ""


@dataclass(frozen=True)
class Network:
    """A network that is to be exported.

    Attributes:
        file: Where its weights come from.
        state: The checkpoint, or what stands for one.
        generator: In eval mode on the CPU.
        labels: What the user says of it.
    """

    file: Path
    state: dict[str, Any]
    generator: nn.Module
    labels: Labels

    def describe(self, half: bool) -> Description:
        """Returns the description of the network, to be packed; ``half``: its weights are rounded to fp16.

        Raises:
            UserError: The name cannot be used.
        """
        state, labels = self.state, self.labels
        try:
            name = folder_name(labels.name or state["options"]["name"])
        except ValueError as error:
            raise UserError(f"name {labels.name[:100]!a}: it {error}") from None
        return Description(
            name=name,
            generator=state["options"]["generator"],
            recipe=state.get("recipe", state["options"]["name"]),
            iteration=state["position"]["iteration"],
            averaged=state["ema"] is not None,
            half=half,
            licence=labels.licence or state.get("licence", ""),
            data=labels.data or state.get("data", ""),
            trained_on=state.get("trained_on"),
            data_notes=state.get("data_notes", []),
            note=state.get("note"),
            generator_package=state.get("generator_package"),
        )


def read_network(weights: str | Path, labels: Labels, plugins: tuple[str, ...] = (), key: str | None = None) -> Network:
    """Reads a checkpoint, or what else :class:`~deblurkit.inference.deblurrer.Deblurrer` takes, and builds its network.

    Raises:
        CheckpointError: The weights cannot be read, or do not fit their generator.
        UserError: Nothing in the box has this name.
    """
    file = box.find(weights)
    state = read_weights(file, key)
    return Network(file, state, checkpoint.load_generator(state, file, plugins).requires_grad_(False), labels)
