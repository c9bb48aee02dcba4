"""The sections of an option file, typed. Components (anything with a ``type``) stay dicts here: see ``check.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
    model_validator,
)

from deblurkit import names
from deblurkit.device import Precision
from deblurkit.errors import UserError
from deblurkit.options.inference import parse_inference
from deblurkit.options.problems import missing_for_training

Component = dict[str, Any]
"""``{type: NAME, **arguments}``."""

DEFAULT_RESTORER = "GANRestorer"


def _inference_mode(mode: str) -> str:
    parse_inference(mode)
    return mode


def _default_restorer(component: Component) -> Component:
    return {"type": DEFAULT_RESTORER, **component}


def listed_sets(sets: object) -> list[Any]:
    """Returns what ``datasets.train`` holds as a list: one set alone is a dict there, none is null."""
    if sets is None:
        return []
    return sets if isinstance(sets, list) else [sets]


EntryName = Annotated[str, AfterValidator(names.entry_name)]


class Section(BaseModel):
    """A part of the option file: no key that is not listed, no value silently converted, no NaN or infinity."""

    # Strict: what a text such as "10" means for a number is not guessed. Docstrings end up in the JSON Schema, which
    # reads them itself: see json_schema.py.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FlatSection(Section):
    """A section that the option file writes in one dict with its component: ``{type, weight, **arguments}``."""

    component: Component
    """``type`` and the component's own arguments."""

    @classmethod
    def own_keys(cls) -> set[str]:
        """Returns the keys that are the section's own; every other belongs to the component."""
        return set(cls.model_fields) - {"component"}

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        if isinstance(data, dict) and ("component" not in data or "type" in data):
            return cls.split(data)
        return data  # built in Python, by field

    @classmethod
    def split(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Separates the section's own keys from the component's."""
        component = dict(data)
        parts = {key: component.pop(key) for key in data.keys() & cls.own_keys()}
        return {**parts, "component": component}

    @model_serializer
    def to_dict(self) -> dict[str, Any]:
        """Returns the one dict that the option file writes; optional keys that are not set are left out."""
        flat = dict(self.component)
        for name, value in self:
            if isinstance(value, Section):
                flat |= value.model_dump()
            elif name != "component" and value is not None:
                flat[name] = value
        return flat


class LossTerm(FlatSection):
    """One named term of the generator's loss."""

    weight: float = 1.0
    """Multiplies the term, once."""
    pred: str = "image"
    """The side that is compared: an output of the generator, or ``view(output)``."""
    target: str = "sharp"
    """The side that it is compared with: ``sharp``, ``blurred``, an output, or a view of one."""
    critic: str | None = None
    """For adversarial losses, the discriminator by name."""
    start: NonNegativeInt = 0
    """The first iteration in which the term counts."""
    end: PositiveInt | None = None
    """The iteration from which the term counts no more."""


def count_or_auto(value: object) -> object:
    """Refuses what is neither a count nor ``auto``, in one message: a union would have one for each of the two."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError("should be a number from 0 on, or auto")


class Loader(Section):
    """How samples become batches."""

    batch_size: PositiveInt = 1
    """Samples in a batch."""
    workers: Annotated[NonNegativeInt | Literal["auto"], BeforeValidator(count_or_auto)] = 0
    """Processes that read ahead; 0 reads in the training process; ``auto``, for training, times both and chooses."""
    prefetch: PositiveInt = 2
    """Batches that each worker reads ahead."""
    persistent: bool = True
    """Keep the workers from epoch to epoch."""
    cache: bool = False
    """Keep decoded images in memory."""


class DatasetEntry(FlatSection):
    """A data set, the loader's settings and an optional limit, written in one dict."""

    loader: Loader = Field(default_factory=Loader)
    """``batch_size``, ``workers``, ``prefetch``, ``persistent`` and ``cache``."""
    limit: PositiveInt | None = None
    """Use the first N samples only; the score says so."""

    @classmethod
    def own_keys(cls) -> set[str]:
        """Returns the loader's keys and ``limit``."""
        return set(Loader.model_fields) | {"limit"}

    @classmethod
    def split(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Separates the loader's keys, ``limit`` and the set's own arguments."""
        parts = super().split(data)
        parts["loader"] = {key: parts.pop(key) for key in Loader.model_fields if key in parts}
        return parts


class TrainSet(DatasetEntry):
    """A data set that is trained on: alone, or one of several that batches are mixed from."""

    repeat: PositiveInt | None = None
    """How often an epoch draws each of its images; null: once."""
    weight: PositiveFloat | None = None
    """Its share of an epoch, in proportion to the other sets' weights; an epoch is as long as all sets together."""

    @classmethod
    def own_keys(cls) -> set[str]:
        """Returns the loader's keys, ``limit``, ``repeat`` and ``weight``."""
        return super().own_keys() | {"repeat", "weight"}


class TestSet(DatasetEntry):
    """A data set that is tested on, which may be scored in a way of its own."""

    __test__ = False  # or pytest would take it for tests

    protocol: str | None = None
    """How its images are scored; null: as ``val.protocol`` or the command line says."""

    @classmethod
    def own_keys(cls) -> set[str]:
        """Returns the loader's keys, ``limit`` and ``protocol``."""
        return super().own_keys() | {"protocol"}


class Datasets(Section):
    """The data to train on, to validate on while training, and to test on."""

    train: Annotated[list[TrainSet], BeforeValidator(listed_sets)] = Field(default_factory=list)
    """The training sets, a dict where there is one; the first entry has the loader's settings for all."""
    val: dict[EntryName, DatasetEntry] = Field(default_factory=dict)
    """Sets scored while training, by name."""
    test: dict[EntryName, TestSet] = Field(default_factory=dict)
    """Sets scored by ``deblurkit test``, by name."""

    @field_serializer("train")
    def _as_written(self, sets: list[TrainSet]) -> Component | list[Component] | None:
        entries = [entry.to_dict() for entry in sets]
        for later in entries[1:]:
            for key in Loader.model_fields:
                del later[key]
        return entries if len(entries) > 1 else next(iter(entries), None)


class Ema(Section):
    """The generator's exponential moving average, which validation, testing and deblurring use."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """The share of the old average that each iteration keeps."""
    warmup: bool = False
    """Keep ``(1 + n) / (10 + n)`` after n iterations where that is less: the random start is soon forgotten."""

    @model_serializer
    def to_dict(self) -> dict[str, Any]:
        """Returns the section; without ``warmup`` as it was before there was one, so that older runs see no change."""
        section: dict[str, Any] = {"decay": self.decay}
        if self.warmup:
            section["warmup"] = True
        return section


class Train(Section):
    """How long and in which manner to train."""

    epochs: PositiveInt | None = None
    """Passes over the training set; the earlier of ``epochs`` and ``iters`` ends the run."""
    iters: PositiveInt | None = None
    """Generator updates."""
    critic_steps: PositiveInt = 1
    """Critic updates before each generator update."""
    critic_batches: Literal["same", "own"] = "same"
    """Whether the critics see the generator's batches, or each of their updates takes a fresh one of their own."""
    critic_warmup: NonNegativeInt = 0
    """Iterations of critic updates alone, at the beginning."""
    freeze: dict[str, PositiveInt] = Field(default_factory=dict)
    """Parts of the generator by name, and the epochs for which each is held still."""
    order: Literal["alternating", "parallel"] = "alternating"
    """Whether the generator's gradient is that of the critics after their step, or both step from the same weights."""
    clip_grad_norm: PositiveFloat | dict[EntryName, PositiveFloat] | None = None
    """The largest gradient norm of an optimizer's step: of all, or by their names in ``optimizers``; null: any."""
    precision: Precision = "fp32"
    """The arithmetic of the networks."""
    accumulate: PositiveInt = 1
    """Batches whose gradients make up one update."""
    compile: bool = False
    """Compile the generator with ``torch.compile``."""
    channels_last: bool = False
    """Keep tensors in channels-last memory order."""
    fast: Literal["auto", False] = False
    """Choose what makes the step fast on this machine and leaves the loss curve as it is; the log says what."""
    ema: Ema | None = None
    """Average the generator's weights; null: do not."""
    checkpoint_every: PositiveInt = 5000
    """Iterations between checkpoints; one is written before each validation and at the end too."""
    keep: PositiveInt = 3
    """How many of the latest of them stay on the disk, and the very latest, and the best."""

    @model_serializer(mode="wrap")
    def to_dict(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the section; without ``fast`` as it was before there was one, so that older runs see no change."""
        section: dict[str, Any] = dump(self)
        if not self.fast:
            del section["fast"]
        return section


class Val(Section):
    """Validation while training."""

    every: PositiveInt = 5000
    """Iterations between validations."""
    protocol: str = "gopro-basicsr-v1"
    """How scores are computed, also those of test sets that name no protocol."""
    inference: Annotated[str, AfterValidator(_inference_mode)] | None = None
    """How images pass through the generator; null: as the protocol has it."""


class Logging(Section):
    """Records of a run."""

    every: PositiveInt = 100
    """Iterations between log entries."""
    tensorboard: bool = True
    """Write TensorBoard event files."""
    samples: Annotated[int, Field(ge=0, le=200)] = 3
    """Images of each validation set in the strips that are written at each validation; 0: none.

    No more than 200: a strip of all is one JPEG file, of at most 65,500 pixels.
    """
    outputs: list[str] = Field(default_factory=list)
    """Inner outputs of the generator that the strips show too; ``deblurkit look --list`` prints their names."""
    curves: bool = True
    """Write the page of curves and samples at the end of a run."""
    wandb: dict[str, Any] | None = None
    """Arguments of ``wandb.init``; null: do not use it."""


class PublishedCost(Section):
    """The cost of its generator as a paper states it; ``deblurkit measure`` shows it beside what it measures."""

    parameters: PositiveFloat | None = None
    """Number of parameters."""
    mib: PositiveFloat | None = None
    """Size of the parameters as fp32, in MiB (2^20 bytes)."""
    gmacs_256: PositiveFloat | None = None
    """10^9 multiply-accumulates for 3x256x256."""
    gmacs_720p: PositiveFloat | None = None
    """10^9 multiply-accumulates for 3x720x1280."""
    seconds_720p: PositiveFloat | None = None
    """Seconds for one image of 720x1280, on the paper's own machine."""


class Paper(Section):
    """Published figures to show beside ours, always labelled as published."""

    title: str
    """The paper's title."""
    published: dict[str, dict[str, float]] = Field(default_factory=dict)
    """The paper's own row: data set, metric, value."""
    compared: list[dict[str, str | float]] = Field(default_factory=list)
    """Rows of other methods: ``method``, ``dataset`` and metrics."""
    called: list[str] = Field(default_factory=list)
    """Names that other papers' rows give this one's method, so that times within one paper can be compared."""
    cost: PublishedCost | None = None
    """The generator's published cost."""


class Options(Section):
    """A whole experiment: everything that an option file says, merged, checked and complete with defaults."""

    name: Annotated[str, AfterValidator(names.folder_name)]
    """Names the work directory."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seeds every random number of the run."""
    plugins: list[str] = Field(default_factory=list)
    """Modules and Python files that register further components."""
    paper: Paper | None = None
    """Published figures for the report."""
    generator: Component
    """The network that deblurs."""
    discriminators: dict[EntryName, Component] = Field(default_factory=dict)
    """The critics, by name; none: plain regression."""
    losses: dict[EntryName, LossTerm] = Field(default_factory=dict)
    """The terms of the generator's loss, by name."""
    # pydantic copies a default that can change, so that no two options share this one.
    restorer: Annotated[Component, AfterValidator(_default_restorer)] = {"type": DEFAULT_RESTORER}
    """The training step, ``GANRestorer`` if no ``type`` is said."""
    optimizers: dict[str, Component] = Field(default_factory=dict)
    """``generator``, ``discriminators`` (for every critic), or a critic's name."""
    schedulers: list[Component] = Field(default_factory=list)
    """Learning-rate schedules of MMEngine, for all optimizers unless ``of`` names one."""
    datasets: Datasets = Field(default_factory=Datasets)
    """The data."""
    train: Train = Field(default_factory=Train)
    """How to train."""
    val: Val = Field(default_factory=Val)
    """How to validate."""
    logging: Logging = Field(default_factory=Logging)
    """Things to record."""
    hooks: list[Component] = Field(default_factory=list)
    """Further hooks of MMEngine or of plugins."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of MMEngine's Runner, merged over ours."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the expanded options in plain types, of which ``options_from_dict`` makes equal options."""
        return self.model_dump()

    def optimizer_for(self, network: str) -> Component:
        """Returns the optimizer of ``generator`` or of a critic: its own entry, else that of all critics.

        Raises:
            UserError: The options name none.
        """
        if network in self.optimizers:
            return self.optimizers[network]
        shared = "generator" if network == "generator" else "discriminators"
        if shared not in self.optimizers:
            raise UserError(f"optimizers.{shared}: missing, {network} cannot be trained without it")
        return self.optimizers[shared]

    def clip_grad_norm_of(self, network: str) -> float | None:
        """Returns the largest gradient norm of a step of ``generator`` or of a critic; ``None``: any."""
        limits = self.train.clip_grad_norm
        if not isinstance(limits, dict):
            return limits
        if network == "generator" or network in limits:
            return limits.get(network)
        return limits.get("discriminators")

    def missing_for_training(self) -> list[str]:
        """Returns what a run needs and the options do not say, ``key.path: problem`` each; empty if complete."""
        return [f"{'.'.join(path)}: {text}" for path, text in missing_for_training(self.to_dict())]
