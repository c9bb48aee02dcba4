"""Mistakes: every one reported in one run, at its line, with the nearest right name; nothing of them run."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deblurkit.options.load import load_options, options_from_dict
from deblurkit.options.problems import OptionsError

Write = Callable[..., Path]
Lines = Callable[..., list[str]]

BASE = """\
plugins: [TOYS]
traim: {iters: 3}
generator:
  type: ToyNet
  chanels: 3
discriminators:
  critic: {type: ToyCritc, depth: 2}
  second: {type: ToyCritic}
optimizers:
  generator: {type: Adam, lr: fast}
  discriminators: {type: Adamm}
losses:
  image: {type: ToyL1, wieght: 2}
  image: {type: ToyL1}
  edges: {type: ToyScaled, pred: sobell(gradient)}
"""
CHILD = """\
_base_:
  - base.yml
  - bsae.yml
name: x
losses:
  scales: {type: ToyL1, pred: scales}
  fine: {type: ToyL1, pred: imagge}
  adversarial: {type: ToyGame, mode: lsgam, critic: critik}
  other: {type: ToyGame}
datasets:
  train: {type: ToyPairs, blurred: a, crop: big, batch_size: 2.5}
  val: {toy: {type: ToyPairs, blurred: a, sharp: b, bach_size: 1}}
train: {iters: 10, precision: fp8, freeze: {encodr: 1}}
hooks: [{type: ToyHok}]
val: {protocol: gopro-basicsr-v2}
schedulers: [{type: PolyLR, of: critc}]
engine: {train_dataloader: {}, default_hook: {}}
"""


def test_all_planted_mistakes_are_reported_in_one_run(write: Write, problems: Lines) -> None:
    base = write(BASE, "base.yml")
    child = write(CHILD, "child.yml")
    assert problems(child) == [
        f"{child}:3: _base_.1: there is no file {child.with_name('bsae.yml')} (did you mean 'base.yml'?)",
        f"{child}:6: losses.scales.pred: the generator has no output 'scales' (it returns image, gradient)",
        f"{child}:7: losses.fine.pred: the generator has no output 'imagge' (did you mean 'image'?)",
        f"{child}:8: losses.adversarial.mode: should be 'vanilla' or 'lsgan', not 'lsgam'",
        f"{child}:8: losses.adversarial.critic: no discriminator is named 'critik' (did you mean 'critic'?)",
        f"{child}:9: losses.other.critic: missing, ToyGame needs one of critic, second",
        f"{child}:11: datasets.train.batch_size: should be a valid integer, not 2.5",
        f"{child}:11: datasets.train.crop: should be a valid integer or should be a valid array, not 'big'",
        f"{child}:11: datasets.train.sharp: missing, ToyPairs requires it",
        f"{child}:12: datasets.val.toy.bach_size: ToyPairs has no argument 'bach_size' (did you mean 'batch_size'?)",
        f"{child}:13: train.precision: should be 'fp32', 'tf32', 'bf16' or 'fp16', not 'fp8'",
        f"{child}:13: train.freeze.encodr: ToyNet has no part named 'encodr' (did you mean 'encoder'?)",
        f"{child}:14: hooks.0.type: no hook is named 'ToyHok' (did you mean 'ToyHook'?)",
        f"{child}:15: val.protocol: no protocol is named 'gopro-basicsr-v2' (did you mean 'gopro-basicsr-v1'?)",
        f"{child}:16: schedulers.0.of: no network is named 'critc' (did you mean 'critic'?)",
        f"{child}:17: engine.train_dataloader: this has a place of its own: datasets.train",
        f"{child}:17: engine.default_hook: MMEngine's Runner has no argument 'default_hook'"
        " (did you mean 'default_hooks'?)",
        f"{base}:2: traim: unknown key (did you mean 'train'?)",
        f"{base}:5: generator.chanels: ToyNet has no argument 'chanels' (did you mean 'channels'?)",
        f"{base}:7: discriminators.critic.type: no discriminator is named 'ToyCritc' (did you mean 'ToyCritic'?)",
        f"{base}:8: discriminators.second.depth: missing, ToyCritic requires it",
        f"{base}:10: optimizers.generator.lr: should be a valid number, not 'fast'",
        f"{base}:11: optimizers.discriminators.type: no optimizer is named 'Adamm' (did you mean 'Adam'?)",
        f"{base}:13: losses.image.wieght: ToyL1 has no argument 'wieght' (did you mean 'weight'?)",
        f"{base}:14: losses.image: duplicate key, first on line 13",
        f"{base}:15: losses.edges.scale: missing, ToyScaled requires it",
        f"{base}:15: losses.edges.pred: no view is named 'sobell' (did you mean 'sobel'?)",
    ]


def test_a_file_that_ends_early_leaves_the_rest_reported(write: Write, problems: Lines) -> None:
    broken = write("name: x\nlosses: {a: [}\n", "broken.yml")
    child = write("_base_: broken.yml\nplugins: [TOYS]\ngenerator: {type: ToyNet, chanels: 1}\ntrain: {}\n")
    lines = problems(child)
    assert len(lines) == 2
    assert lines[0].startswith(f"{child}:3: generator.chanels: ")
    assert lines[1].startswith(f"{broken}:2: not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("- a\n", "it holds a list"),
        ("text\n", "it holds a str"),
    ],
)
def test_an_option_file_is_a_dict(write: Write, problems: Lines, text: str, said: str) -> None:
    file = write(text)
    assert problems(file) == [f"{file}:1: an option file is a dict of sections; {said}"]


def test_files_that_cannot_be_read(tmp_path: Path, good: Path, problems: Lines) -> None:
    missing = tmp_path / "gud.yml"
    assert problems(missing)[0].startswith(f"{missing}: cannot be read: No such file")
    assert "did you mean 'good.yml'" in problems(tmp_path / "god.yml")[0]
    assert "cannot be read" in problems(tmp_path)[0]
    latin = tmp_path / "latin.yml"
    latin.write_bytes("a: 1\nname: größe\n".encode("latin-1"))
    assert problems(latin) == [f"{latin}:2: not UTF-8 text"]


@pytest.mark.parametrize(
    "line",
    [
        "generator: !!python/object/apply:os.system ['touch MARKER']",
        "name: !!python/object/apply:os.system ['touch MARKER']",
        "zzz: !!python/object/new:os.system ['touch MARKER']",
        "train: {iters: !!python/object/apply:os.system ['touch MARKER']}",
        "generator: {type: os.system, command: touch MARKER}",
        "restorer: {type: os.system, command: touch MARKER}",
        "losses: {a: {type: os.system, command: touch MARKER}}",
        "discriminators: {a: {type: os.system, command: touch MARKER}}",
        "datasets: {train: {type: os.system, command: touch MARKER}}",
        "optimizers: {generator: {type: os.system, command: touch MARKER}}",
        "schedulers: [{type: os.system, command: touch MARKER}]",
        "hooks: [{type: os.system, command: touch MARKER}]",
        "hooks: [{type: torchvision.datasets.utils.download_url, url: x}]",
        "hooks: [{type: EMAHook, ema_type: os.system}]",
        "hooks: [{type: EMAHook, ema_type: marker_module}]",
        "hooks: [{type: ProfilerHook, on_trace_ready: {type: os.system, command: touch MARKER}}]",
        "engine: {default_hooks: {timer: {type: os.system, command: touch MARKER}}}",
        "engine: {default_hooks: {timer: {type: EMAHook, ema_type: os.system}}}",
        "engine: {visualizer: {type: Visualizer, vis_backends: [{type: os.system, command: touch MARKER}]}}",
        "engine: {visualizer: {type: os.system, command: touch MARKER}}",
        "engine: {visualizer: {type: marker_module}}",
        "engine: {log_processor: {type: os.system, command: touch MARKER}}",
        "engine: {env_cfg: {deep: [[{type: os.system, command: touch MARKER}]]}}",
        "engine: {visualizer: {_scope_: marker_module, type: Visualizer}}",
        "engine: {default_scope: marker_module}",
        "engine: {custom_hooks: [{type: os.system, command: touch MARKER}]}",
    ],
)
def test_nothing_that_an_option_file_names_is_run(
    write: Write, problems: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "marker_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    key = line.partition(":")[0]
    rest = {"name": "x", "generator": "{type: ToyNet}", "plugins": "[TOYS]"}
    text = "".join(f"{name}: {value}\n" for name, value in rest.items() if name != key)
    file = write(text + line.replace("MARKER", str(marker)) + "\n")
    lines = [problem for problem in problems(file) if problem.startswith(f"{file}:{text.count(chr(10)) + 1}: {key}")]
    assert lines
    assert not marker.exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("generator.channels=13", "generator: ToyNet refuses its arguments: 13 channels bring bad luck"),
        ("generator.channels=[1,a]", "generator.channels.1: should be a valid integer, not 'a'"),
        ("generator.gradient=1", "generator.gradient: should be a valid boolean, not 1"),
        ("generator={_delete_: true}", "generator.type: missing, it names the generator"),
        ("losses.image.type=3", "losses.image.type: should be the name of a loss, not 3"),
        ("losses.image.weight=.nan", "losses.image.weight: should be a finite number, not nan"),
        ("losses.image.weight=.inf", "losses.image.weight: should be a finite number, not inf"),
        ("losses.image.weight='1'", "losses.image.weight: should be a valid number, not '1'"),
        ("losses.image.critic=critic", "losses.image.critic: only adversarial losses name a critic, and ToyL1 is none"),
        ("losses.image.end=0", "losses.image.end: should be greater than 0, not 0"),
        ("losses.image={start: 5, end: 5}", "losses.image.end: should be greater than start (5), not 5"),
        ("losses.image.pred=sobel(image", "losses.image.pred: 'sobel(image' opens 1 parentheses and closes 0"),
        ("losses.edges.layers=1", "losses.edges.layers: should be a valid array, not 1"),
        ("losses.edges.scale=.nan", "losses.edges.scale: NaN is no usable number"),
        ("losses.adversarial=null", "discriminators.critic: no loss term names it; give one `critic: critic`"),
        ("losses.adversarial.condition=blured", "losses.adversarial.condition: the generator has no output 'blured'"),
        ("losses.a b={type: ToyL1}", "losses.a b: a name here is made of letters"),
        ("optimizers.generator.lr=-1", "optimizers.generator: Adam refuses its arguments: Invalid learning rate: -1"),
        ("optimizers.generator.betas=[0.9]", "optimizers.generator.betas"),
        ("optimizers.generator.params=[]", "optimizers.generator.params: the engine fills this argument of Adam"),
        ("optimizers.critik={type: Adam}", "optimizers.critik: no network is named 'critik' (did you mean 'critic'?)"),
        ("optimizers.generator=null", "optimizers.generator: missing, training needs it"),
        ("optimizers.discriminators=null", "optimizers.discriminators: missing, nothing trains critic"),
        ("schedulers.0.gamma=1", "schedulers.0.gamma: PolyLR has no argument 'gamma'"),
        ("schedulers.0.by_epoch=true", "schedulers.0.by_epoch: the engine fills this argument of PolyLR"),
        ("schedulers.0.off=generator", "schedulers.0.off: PolyLR has no argument 'off' (did you mean 'of'?)"),
        ("schedulers=[{type: MultiStepLR}]", "schedulers.0.milestones: missing, MultiStepLR requires it"),
        ("schedulers={}", "schedulers: should be a valid list, not {}"),
        ("datasets.train=null", "datasets.train: missing, training needs it"),
        ("datasets.train.workers=true", "datasets.train.workers: should be a number from 0 on, or auto, not True"),
        ("datasets.train.workers=-1", "datasets.train.workers: should be a number from 0 on, or auto, not -1"),
        ("datasets.train.workers=atuo", "datasets.train.workers: should be a number from 0 on, or auto, not 'atuo'"),
        ("datasets.val.toy.limit=0", "datasets.val.toy.limit: should be greater than 0, not 0"),
        (
            "datasets.test.toy={type: ToyOpen, protocol: kohler-oficial-v1}",
            "datasets.test.toy.protocol: no protocol is named 'kohler-oficial-v1' (did you mean 'kohler-official-v1'?)",
        ),
        ("datasets.test.toy={type: ToyOpen, protocol: 3}", "datasets.test.toy.protocol: should be text, not 3"),
        ("datasets.train.protocol=gopro-matlab-v1", "datasets.train.protocol: a training set is not scored"),
        ("datasets.val.toy.protocol=gopro-matlab-v1", "datasets.val.toy.protocol: only test sets name a protocol"),
        ("datasets.tset={}", "datasets.tset: unknown key (did you mean 'test'?)"),
        ("train={_delete_: true}", "train.iters: missing, training needs epochs or iters"),
        ("train.ema.decay=1", "train.ema.decay: should be less than 1, not 1"),
        ("train.ema=true", "train.ema: should be"),
        ("train.compile=1", "train.compile: should be a valid boolean, not 1"),
        ("iters=10", "iters: unknown key (did you mean 'train.iters'?)"),
        ("val.inference=tile:64", "val.inference: 'tile:64' is no inference mode"),
        ("name=a/b", "name: names a folder, so it may not hold '/'"),
        ("name=..", "name: names a folder"),
        ("name=''", "name: names a folder"),
        ("name=con", "name: names a folder, and Windows"),
        ("name=null", "name: missing"),
        ("seed=-1", "seed: should be greater than or equal to 0, not -1"),
        ("restorer.type=GANRestore", "restorer.type: no restorer is named 'GANRestore' (did you mean 'GANRestorer'?)"),
        ("restorer.parts={}", "restorer.parts: the engine fills this argument of GANRestorer"),
        ("hooks.0.evry=1", "hooks.0.evry: ToyHook has no argument 'evry' (did you mean 'every'?)"),
        ("hooks.0.every=x", "hooks.0.every: should be a valid integer, not 'x'"),
        ("hooks=[{type: CheckpointHook, interval: 5}]", "hooks.0.type: MMEngine's CheckpointHook would do once more"),
        ("hooks=[{type: LoggerHook}]", "hooks.0.type: MMEngine's LoggerHook would do once more"),
        ("hooks=[{type: ParamSchedulerHook}]", "hooks.0.type: MMEngine's ParamSchedulerHook would do once more"),
        ("hooks=[{type: EMAHook}]", "hooks.0.type: MMEngine's EMAHook would do once more what ours does: train.ema"),
        (
            "engine.default_hooks.logger={type: LoggerHook}",
            "engine.default_hooks.logger.type: MMEngine's LoggerHook would do once more what ours does: logging.every",
        ),
        (
            "hooks=[{type: EarlyStoppingHook, monitor: val/toy/psnr}]",
            "hooks.0: EarlyStoppingHook refuses its arguments: Cannot infer the rule for val/toy/psnr",
        ),
        ("engine.model={}", "engine.model: this has a place of its own: generator, discriminators and restorer"),
        ("engine.env_cfg=3", "engine.env_cfg: should be"),
        ("engine.default_hooks.timer.type=IterTimerHok", "engine.default_hooks.timer.type: no hook is named"),
        ("engine.randomness.sede=3", "engine.randomness.sede: unknown key (did you mean 'seed'?)"),
        ("plugins=[nowhere_at_all]", "plugins.0: plugin nowhere_at_all: ModuleNotFoundError"),
        ("plugins=[./nowhere.py]", "plugins.0: plugin "),
        ("plugins=[/nowhere.py]", "plugins.0: plugin /nowhere.py: there is no such file"),
        ("train._delete_=3", "train._delete_: should be true or false, not 3"),
    ],
)
def test_one_mistake_is_one_line(good: Path, problems: Lines, override: str, said: str) -> None:
    lines = problems(good, [override])
    assert len(lines) == 1, lines
    assert f": {said}" in lines[0]
    assert lines[0].startswith((f"--set {override}: ", f"{good}:"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("discriminators=null", "losses.adversarial=null"),
            "no loss term names a critic, so nothing would be trained in it",
        ),
        (("losses.adversarial.start=3",), "no loss term with a critic counts in iteration 0, so nothing"),
        (("losses.adversarial.end=4",), "no loss term with a critic counts in iteration 4, so nothing"),
        (("losses.adversarial.end=5",), ""),
        (("losses.adversarial.end=4", "losses.later={type: ToyGame, critic: critic, start: 4}"), ""),
    ],
)
def test_a_warmup_has_something_to_train(good: Path, problems: Lines, overrides: tuple[str, ...], said: str) -> None:
    if not said:
        load_options(good, ["train.critic_warmup=5", *overrides])
        return
    lines = problems(good, ["train.critic_warmup=5", "optimizers.discriminators={type: Adam}", *overrides])
    assert len(lines) == 1, lines
    assert f"train.critic_warmup: {said}" in lines[0]


@pytest.mark.parametrize(
    ("term", "said"),
    [
        (
            "{type: L1Loss, pred: pyramid(image), target: sharp}",
            "losses.image.pred: pyramid(image) is a list of images, and L1Loss compares single ones",
        ),
        (
            "{type: L1Loss, target: sobel(pyramid(sharp))}",
            "losses.image.target: sobel(pyramid(sharp)) is a list of images, and L1Loss compares single ones",
        ),
        (
            "{type: MultiScaleMSELoss, pred: pyramid(image)}",
            "losses.image.target: sharp is a single image, and MultiScaleMSELoss compares lists of them",
        ),
        (
            "{type: ToyGame, critic: critic, pred: pyramid(image)}",
            "losses.image.pred: pyramid(image) is a list of images, and ToyGame compares single ones",
        ),
        ("{type: MultiScaleMSELoss, pred: pyramid(image), target: pyramid(sharp)}", ""),
        ("{type: L1Loss, pred: sobel_components(image), target: sobel_components(sharp)}", ""),
        ("{type: ToyL1, pred: pyramid(image)}", ""),  # nothing says what it compares
    ],
)
def test_a_loss_gets_the_images_or_lists_that_it_compares(good: Path, problems: Lines, term: str, said: str) -> None:
    override = f"losses.image={term}"
    if not said:
        load_options(good, [override])
        return
    lines = problems(good, [override])
    assert len(lines) == 1, lines
    assert said in lines[0]


def test_a_generators_lists_are_known_as_such() -> None:
    wrong = "losses.scales={type: L1Loss, pred: scales, target: sharp}"
    with pytest.raises(OptionsError, match=r"losses\.scales\.pred: scales is a list of images, and L1Loss"):
        load_options("madn", [wrong])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("generator: {typ: ToyNet}", "generator.type: missing, it names the generator (did you mean 'type' by 'typ'?)"),
        ("genrator: {type: ToyNet}", "genrator: unknown key (did you mean 'generator'?)"),
        ("generator: {type: ToyNett, chanels: 3}", "generator.type: no generator is named 'ToyNett'"),
        ("generator: {type: ToyShrinking}", "generator: ToyShrinking makes an image of 2x3x48x48 from 2x3x96x96"),
        ("generator: ToyNet", "generator: should be a dict of keys and values, not 'ToyNet'"),
        ("generator: {type: ToyNet}\ndiscriminator: {c: {type: ToyCritic, depth: 1}}", "discriminator: unknown key"),
    ],
)
def test_what_follows_from_a_mistake_is_left_out(write: Write, problems: Lines, text: str, said: str) -> None:
    file = write(f"plugins: [TOYS]\nname: x\n{text}\n")
    lines = problems(file)
    assert len(lines) == 1, lines
    assert said in lines[0]


def test_misspelt_sections_leave_no_shadows(good: Path, problems: Lines) -> None:
    text = good.read_text(encoding="utf-8")
    for section in ("discriminators", "optimizers", "losses", "datasets", "train"):
        wrong = f"{section[:-2]}x{section[-1]}"
        file = good.with_name("misspelt.yml")
        file.write_text(text.replace(f"\n{section}:", f"\n{wrong}:"), encoding="utf-8")
        lines = problems(file)
        assert len(lines) == 1, lines
        assert f"{wrong}: unknown key (did you mean '{section}'?)" in lines[0]


def test_a_misspelt_base_leaves_no_shadows(write: Write, good: Path, problems: Lines) -> None:
    file = write("bases: good.yml\nlosses: {image: {weight: 2}}\ntrain: {keep: 1}\n")
    assert problems(file) == [f"{file}:1: bases: unknown key (did you mean '_base_'?)"]


def test_a_generator_that_needs_real_values_goes_unchecked(write: Write) -> None:
    file = write("plugins: [TOYS]\nname: x\ngenerator: {type: ToyLooking}\n")
    assert load_options(file).generator == {"type": "ToyLooking"}


def test_a_plugin_that_fails_is_one_problem(write: Write, problems: Lines) -> None:
    plugin = write("x = 1\nraise RuntimeError('bad\\nday')\n", "bad plugin.py")
    file = write("name: x\nplugins:\n  - bad plugin.py\ngenerator: {type: FromThePlugin}\n")
    assert problems(file) == [f"{file}:3: plugins.0: plugin {plugin}:2: RuntimeError: bad day"]


def test_options_for_testing_alone_need_no_training_sections(write: Write) -> None:
    file = write("plugins: [TOYS]\nname: x\ngenerator: {type: ToyNet}\ndatasets: {test: {a: {type: ToyOpen, n: 1}}}\n")
    options = load_options(file)
    assert [line.partition(":")[0] for line in options.missing_for_training()] == [
        "losses", "optimizers.generator", "datasets.train", "train.iters",
    ]  # fmt: skip


def test_checking_takes_no_time_and_no_random_numbers(good: Path) -> None:
    load_options(good)
    torch.manual_seed(3)
    random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    start = time.perf_counter()
    load_options(good)
    assert time.perf_counter() - start < 0.3
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_no_value_anywhere_is_a_crash(good: Path) -> None:
    """Put every kind of value in every place; whatever is wrong is reported as problems."""
    expanded = load_options(good).to_dict()

    def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [path, *(inner for key, item in items for inner in places(item, (*path, key)))]

    said: list[tuple[str, ...]] = []
    for path in places(expanded)[1:]:
        for odd in (None, 3, -1.5, "x", "", True, [], {}, [None], [[]], {"type": []}, {"type": "x.y"}, {"a": {"b": 1}}):
            changed = copy.deepcopy(expanded)
            holder: Any = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = odd
            try:
                options_from_dict(changed, "fuzz")
            except OptionsError as error:
                said.append(error.problems)
    assert len(said) > 500
    assert all(lines for lines in said)
    assert all(line.startswith("fuzz: ") and "\n" not in line for lines in said for line in lines)


def test_a_visualizers_backends_are_taken_as_mmengine_takes_them(good: Path) -> None:
    """MMEngine annotates ``vis_backends`` wrongly, and gives each backend its ``save_dir`` itself."""
    backends = "engine.visualizer={type: Visualizer, vis_backends: [{type: TensorboardVisBackend}]}"
    assert load_options(good, [backends]).engine["visualizer"]["vis_backends"] == [{"type": "TensorboardVisBackend"}]


def test_components_inside_a_data_set_are_checked_too(write: Write, problems: Lines) -> None:
    file = write("""\
name: x
generator: {type: FilterBankUNet}
datasets:
  test:
    a:
      type: PairedImages
      blurred: a
      sharp: b
      augment:
        - hflop
        - {type: CameraShake, extend: [1, 2]}
        - {type: os.system}
        - hflip
""")
    assert problems(file) == [
        f"{file}:10: datasets.test.a.augment.0: no transform is named 'hflop' (did you mean 'hflip'?)",
        f"{file}:11: datasets.test.a.augment.1.extend: CameraShake has no argument 'extend' (did you mean 'extent'?)",
        f"{file}:12: datasets.test.a.augment.2.type: 'os.system' is refused: only registered names are looked up, and"
        " they have no dots",
    ]
