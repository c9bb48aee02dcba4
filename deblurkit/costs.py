"""The costs of networks, as they travel from where they are measured to the tables that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Seconds that restoring one image took: median and 95th percentile, interpolated linearly, of ``repeats``."""

    median_s: float
    p95_s: float
    repeats: int


@dataclass(frozen=True)
class SizeCost:
    """The cost of one image of one size; ``None`` where it was not measured.

    Attributes:
        size: Of the image, ``HxW``.
        computed_size: What the generator sees after padding, ``HxW``.
        macs: Multiply-accumulates of convolutions and matrix products.
        live_peak_bytes: The most that live tensors take at once, above weights and image, counted in fp32.
        device_peak_bytes: The most that the device's allocator gave out at once, above weights and image.
        latency: Time of the restoration.
        failures: Why something could not be measured, one line each.
    """

    size: str
    computed_size: str | None = None
    macs: int | None = None
    live_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    latency: Latency | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class GeneratorCost:
    """The cost of one option file's generator.

    Attributes:
        name, file: The experiment's name and option file.
        generator: The registered name of the network.
        published: What the paper says, by the names of ``paper.cost``.
        parameters: Their number; ``None`` where the network could not be built.
        failures: Why it could not be built, one line each.
    """

    name: str
    file: str
    generator: str
    published: Mapping[str, float]
    parameters: int | None = None
    sizes: tuple[SizeCost, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def mib(self) -> float | None:
        """Size of the parameters as fp32, in MiB."""
        return None if self.parameters is None else 4 * self.parameters / 2**20

    def why_incomplete(self) -> list[str]:
        """Returns everything that could not be measured, one line each; empty if nothing failed."""
        at_sizes = [f"{self.name}, {cost.size}: {line}" for cost in self.sizes for line in cost.failures]
        return [f"{self.name}: {line}" for line in self.failures] + at_sizes


@dataclass(frozen=True)
class TimeRatio:
    """How long one generator takes in units of another, measured in turn on one machine.

    Attributes:
        name, against: The experiments'; the time of ``against`` is 1.
        size: Of the image, ``HxW``.
        published: The ratio of both times in the first one's paper, for 720x1280 on the paper's machine.
        median: Of the rounds' ratios.
        p5, p95: Their 5th and 95th percentile, interpolated linearly.
        rounds: How many rounds, of one image by each.
    """

    name: str
    against: str
    size: str
    published: float
    median: float
    p5: float
    p95: float
    rounds: int


@dataclass(frozen=True)
class RuntimeCost:
    """The time of one weight file in one runtime, measured in turn with others of the same network.

    Attributes:
        file: As the user named it.
        runtime, precision: What computed, and in which precision it was asked to.
        median_s, least_s: Seconds of one image, of all rounds.
        ratio: The median of the ratios to the reference's time in the same round; 1 for the reference.
        psnr: Between its images and the reference's, in dB, of values in [0, 1], the lowest of all images; infinite
            where they are equal; ``None`` for the reference.
    """

    file: str
    runtime: str
    precision: str
    median_s: float
    least_s: float
    ratio: float
    psnr: float | None


@dataclass(frozen=True)
class CostReport:
    """The costs of several generators and how they were found.

    Attributes:
        generators: One entry for each option file.
        methods: How each figure is defined, by its name.
        environment: Software and device, see :func:`deblurkit.evaluation.provenance.environment`.
    """

    generators: Sequence[GeneratorCost]
    methods: Mapping[str, str]
    environment: Mapping[str, str | int]
    ratios: Sequence[TimeRatio] = ()


@dataclass(frozen=True)
class Layer:
    """One module that has weights or does the work of one operation.

    Attributes:
        module: Its name; empty for the network itself.
        kind: Its class.
        kernel: ``3x3``, with the number of groups where there are several; empty where it has none.
        stride: Of a convolution or pooling; empty where it has none.
        channels_in: Of its first input; ``None`` where that is no map.
        channels_out: Of its output.
        output: Shape of its output without the batch, of the last call; empty where that is no tensor.
        calls: How often it runs for one image; 0: it has weights and does not run.
        parameters: Of its own, without those of modules inside it.
        macs: Multiply-accumulates of its own, of all calls together.
    """

    module: str
    kind: str
    kernel: str
    stride: str
    channels_in: int | None
    channels_out: int | None
    output: str
    calls: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class LayerTable:
    """The layers of one network of an option file, in the order in which they run.

    Attributes:
        name: The experiment's.
        network: ``generator`` or the critic's name.
        kind: The registered name of the network.
        size: Of the image, ``HxW``.
        computed_size: What the network sees after padding, ``HxW``.
    """

    name: str
    network: str
    kind: str
    size: str
    computed_size: str
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Of one image."""
        return sum(layer.macs for layer in self.layers)
