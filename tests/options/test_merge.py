"""Bases, overrides and the rules by which they merge."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deblurkit.options.load import load_options

Write = Callable[..., Path]
Lines = Callable[..., list[str]]


def test_bases_come_in_order_then_the_file_then_overrides(write: Write, good: Path) -> None:
    write("train: {iters: 20, keep: 7}\nseed: 1\n", "sub/second.yml")
    file = write("_base_: [good.yml, sub/second.yml]\nname: child\nseed: 2\n", "child.yml")
    options = load_options(file, ["seed=3", "train.keep=9", "train.keep=8"])
    assert (options.name, options.seed, options.train.iters, options.train.keep) == ("child", 3, 20, 8)
    assert options.train.ema is not None


def test_a_base_may_be_absolute_and_have_bases(write: Write, good: Path) -> None:
    middle = write(f"_base_: '{good}'\nseed: 4\n", "elsewhere/middle.yml")
    file = write(f"_base_: '{middle}'\nname: child\n", "child.yml")
    assert load_options(file).seed == 4


def test_two_bases_may_share_a_base(write: Write, good: Path) -> None:
    write("_base_: good.yml\nseed: 1\n", "left.yml")
    write("_base_: good.yml\n", "right.yml")
    assert load_options(write("_base_: [left.yml, right.yml]\n")).seed == 1


def test_lists_replace(write: Write, good: Path) -> None:
    file = write("_base_: good.yml\nschedulers: [{type: StepLR, step_size: 2}]\n")
    assert load_options(file).schedulers == [{"type": "StepLR", "step_size": 2}]


def test_delete_replaces_a_dict(write: Write, good: Path) -> None:
    file = write("_base_: good.yml\nlosses: {_delete_: true, only: {type: ToyL1}}\ndiscriminators: null\n")
    options = load_options(file)
    assert list(options.losses) == ["only"]
    assert options.discriminators == {}


def test_a_changed_type_drops_the_other_keys(write: Write, good: Path) -> None:
    file = write("_base_: good.yml\nlosses: {edges: {type: ToyL1}}\ndatasets: {train: {type: ToyOpen, anything: 1}}\n")
    options = load_options(file)
    assert options.losses["edges"].to_dict() == {
        "type": "ToyL1", "weight": 1.0, "pred": "image", "target": "sharp", "start": 0,
    }  # fmt: skip
    (train,) = options.datasets.train
    assert train.component == {"type": "ToyOpen", "anything": 1}
    assert train.loader.batch_size == 1


def test_the_same_type_keeps_the_other_keys(write: Write, good: Path) -> None:
    file = write("_base_: good.yml\nlosses: {edges: {type: ToyScaled, weight: 3}}\n")
    assert load_options(file).losses["edges"].component == {"type": "ToyScaled", "scale": 2}


def test_null_removes_named_entries_and_turns_settings_off(write: Write, good: Path) -> None:
    file = write(
        """\
        _base_: good.yml
        losses: {adversarial: null, edges: ~}
        discriminators: {critic: null}
        optimizers: {discriminators: null}
        datasets: {val: {toy: null}}
        train: {ema: null, freeze: {encoder: null}}
        hooks: null
        """
    )
    options = load_options(file)
    assert list(options.losses) == ["image"]
    assert (options.discriminators, options.datasets.val, options.hooks) == ({}, {}, [])
    assert list(options.optimizers) == ["generator"]
    assert options.train.ema is None
    assert options.train.freeze == {}


def test_a_removal_of_nothing_is_reported(write: Write, good: Path, problems: Lines) -> None:
    file = write("_base_: good.yml\nlosses:\n  adversarail: null\n")
    assert problems(file) == [
        f"{file}:3: losses.adversarail: null removes nothing: there is no loss term of that name"
        " (did you mean 'adversarial'?)"
    ]


@pytest.mark.parametrize(
    ("override", "get", "value"),
    [
        ("train.iters=77", lambda options: options.train.iters, 77),
        ("optimizers.generator.lr=1e-5", lambda options: options.optimizers["generator"]["lr"], 1e-5),
        ("generator.channels=[32,64]", lambda options: options.generator["channels"], [32, 64]),
        ("schedulers.0.eta_min=1e-7", lambda options: options.schedulers[0]["eta_min"], 1e-7),
        ("schedulers=[]", lambda options: options.schedulers, []),
        ("train.ema=null", lambda options: options.train.ema, None),
        ("train.ema=", lambda options: options.train.ema, None),
        ("losses.edges=null", lambda options: list(options.losses), ["image", "adversarial"]),
        ("losses.edges.type=ToyL1", lambda options: options.losses["edges"].component, {"type": "ToyL1"}),
        ("datasets.val.toy.sharp=a=b", lambda options: options.datasets.val["toy"].component["sharp"], "a=b"),
        ("paper.title='x: y'", lambda options: options.paper.title, "x: y"),
        ("losses.new={type: ToyL1, weight: 2}", lambda options: options.losses["new"].weight, 2.0),
    ],
)
def test_overrides(good: Path, override: str, get: Callable[[object], object], value: object) -> None:
    assert get(load_options(good, [override])) == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.iters", "should read KEY.KEY=VALUE"),
        ("=3", "should read KEY.KEY=VALUE"),
        ("train..iters=3", "should read KEY.KEY=VALUE"),
        ("train.iters=[1", "not valid YAML"),
        ("train.iters=!!int 3", "train.iters: the tag !!int is refused"),
        ("seed=!!python/object/apply:os.system [x]", "the tag !!python/object/apply:os.system is refused"),
        ("train.iters=ten", "train.iters: should be a valid integer, not 'ten'"),
        ("train.itres=3", "train.itres: unknown key (did you mean 'iters'?)"),
        ("schedulers.5.eta_min=1", "schedulers.5.eta_min: there is no item '5', the list has 1"),
        ("schedulers.first.eta_min=1", "there is no item 'first'"),
        ("name.deeper=3", "name: should be text"),
        ("_base_=other.yml", "_base_: bases are named in option files only"),
        ("generator.chanels=3", "generator.chanels: ToyNet has no argument 'chanels' (did you mean 'channels'?)"),
    ],
)
def test_bad_overrides_name_themselves(good: Path, problems: Lines, override: str, said: str) -> None:
    lines = problems(good, [override])
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"--set {override}: ")
    assert said in lines[0]


def test_a_base_that_is_missing_suggests_its_neighbour(write: Write, good: Path, problems: Lines) -> None:
    file = write("seed: 1\n_base_:\n  - good.yml\n  - goood.yml\n")
    missing = good.with_name("goood.yml")
    assert problems(file) == [f"{file}:4: _base_.1: there is no file {missing} (did you mean 'good.yml'?)"]


def test_bases_in_a_circle(write: Write, problems: Lines) -> None:
    first = write("name: x\n_base_: b.yml\n", "a.yml")
    second = write("generator: {type: FilterBankUNet}\n_base_: a.yml\n", "b.yml")
    lines = problems(first)
    assert len(lines) == 1
    assert lines[0].startswith(f"{second}:2: _base_: {first} is being read already")


@pytest.mark.parametrize("value", ["3", "[3]", "{a: b}", "null", "''"])
def test_a_base_is_a_path(write: Write, good: Path, problems: Lines, value: str) -> None:
    file = write(f"_base_: {value}\nname: x\ngenerator: {{type: FilterBankUNet}}\n")
    lines = problems(file)
    assert len(lines) == 1
    assert lines[0].startswith(f"{file}:1: _base_")


def test_plugins_are_relative_to_the_file_that_names_them(
    write: Write, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = os.path.relpath(toys, tmp_path / "deep")
    write(f"plugins: ['{relative}']\n", "deep/plugins.yml")
    file = write("_base_: deep/plugins.yml\nname: ü\ngenerator: {type: ToyNet}\n", "ä b/../main.yml")
    assert load_options(file).plugins == [str(toys)]
    monkeypatch.chdir(toys.parent)
    assert load_options(file, ["plugins=[toys.py]"]).plugins == [str(toys)]


def test_relative_paths_and_another_current_directory(
    good: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: Lines
) -> None:
    write("_base_: ../good.yml\nsede: 1\n", "größe/mit raum.yml")
    monkeypatch.chdir(tmp_path / "größe")
    assert problems("mit raum.yml") == ["mit raum.yml:2: sede: unknown key (did you mean 'seed'?)"]
    monkeypatch.chdir(tmp_path)
    assert problems("größe/mit raum.yml") == ["größe/mit raum.yml:2: sede: unknown key (did you mean 'seed'?)"]
