"""Options as values: complete, written out and read again, and described for editors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from deblurkit.errors import UserError
from deblurkit.options.dump import write_options
from deblurkit.options.json_schema import json_schema, section_schema
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.options.problems import OptionsError
from deblurkit.options.schema import LossTerm, Options

Write = Callable[..., Path]


def test_what_is_read(good: Path, toys: Path) -> None:
    options = load_options(good)
    assert options.plugins == [str(toys)]
    assert options.losses["edges"] == LossTerm(
        component={"type": "ToyScaled", "scale": 2}, weight=1e-4, pred="sobel(gradient)", target="sobel(sharp)"
    )
    assert options.losses["adversarial"].critic == "critic"
    (train,) = options.datasets.train
    assert train.component == {"type": "ToyPairs", "blurred": "a", "sharp": "b", "crop": [8, 8]}
    assert (train.loader.batch_size, train.loader.workers, train.loader.prefetch, train.limit) == (4, 2, 2, None)
    assert options.datasets.val["toy"].limit == 3
    assert options.optimizers["generator"] == {"type": "Adam", "lr": 1e-4, "betas": [0.9, 0.999]}
    assert options.train.ema is not None
    assert options.restorer == {"type": "GANRestorer"}
    assert options.missing_for_training() == []


def test_a_critic_has_its_own_optimizer_or_that_of_all(good: Path) -> None:
    options = load_options(good)
    assert options.optimizer_for("generator")["lr"] == 1e-4
    assert options.optimizer_for("critic")["lr"] == 4e-4
    assert load_options(good, ["optimizers.critic={type: SGD, lr: 1}"]).optimizer_for("critic")["type"] == "SGD"
    lonely = load_options(good, ["losses.adversarial=null", "discriminators=null", "optimizers.discriminators=null"])
    with pytest.raises(UserError, match=r"optimizers\.discriminators: missing"):
        lonely.optimizer_for("critic")


def test_the_dict_is_plain_and_makes_equal_options(good: Path) -> None:
    options = load_options(good, ["paper={title: T, published: {gopro: {psnr: 30}}, compared: [{method: M, psnr: 1}]}"])
    expanded = options.to_dict()

    def check(value: object) -> None:
        assert value is None or type(value) in (dict, list, str, int, float, bool)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(item)

    check(expanded)
    assert options_from_dict(expanded, "checkpoint") == options
    assert options_from_dict(expanded, "checkpoint").to_dict() == expanded
    expanded["generator"]["channels"] = 99
    assert "channels" not in options.generator


def test_a_dict_is_checked_and_names_its_source(good: Path) -> None:
    expanded = load_options(good).to_dict()
    expanded["generator"] = {"type": "os.system", "command": "true"}
    expanded["plugins"] = ["/nowhere/evil.py"]
    with pytest.raises(OptionsError) as caught:
        options_from_dict(expanded, "run.pth")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("run.pth: generator.type: 'os.system' is refused")
    with pytest.raises(OptionsError, match=r"run\.pth: these are no plain options"):
        options_from_dict({"name": object()}, "run.pth")


@pytest.mark.parametrize(
    "value",
    [0.1, 1e-4, 1e300, 5e-324, 1 / 3, 1.0, -0.0, math.inf, 3, -7, True, None, "", " ", "1e-4", "true", "null", "~",
     "0o17", "2026-11-21", "1_000", "yes", "a: b", "# no", "ü ✓ \U0001f600", "line\nbreak\n", "tab\t", "'\"", "*x",
     "&x", "!x", "<<", "=", "-", "?", "%", "@", "x" * 500, "x " * 300, "\x85\u2028", [], {}, [[1, 2], [3.5]],
     {"1": "a", "true": 2, "a b": {}}],
)  # fmt: skip
def test_written_options_read_the_same(good: Path, tmp_path: Path, value: object) -> None:
    expanded = load_options(good).to_dict()
    expanded["datasets"]["test"] = {"any": {"type": "ToyOpen", "value": value}}
    options = options_from_dict(expanded, "here")
    file = tmp_path / "deep ü.yml"
    write_options(options, file)
    again = load_options(file)
    assert again == options
    assert repr(again.to_dict()) == repr(options.to_dict())
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_options_cannot_be_changed(good: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_options(good).seed = 3  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    schema = section_schema(Options)
    sections = [schema, *schema["$defs"].values()]
    bare = [key for section in sections for key, entry in section["properties"].items() if "description" not in entry]
    assert bare == []


@pytest.fixture
def validator(good: Path) -> jsonschema.Draft202012Validator:
    load_options(good)  # so that the toys are registered
    return made_validator()


@functools.cache
def made_validator() -> jsonschema.Draft202012Validator:
    """The schema takes seconds to make; every test sees the same."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_json_schema_accepts_what_is_right(good: Path, validator: jsonschema.Draft202012Validator) -> None:
    written = YAML(typ="safe", pure=True).load(good)
    validator.validate(written)
    validator.validate(load_options(good).to_dict())
    validator.validate({"_base_": "x.yml", "losses": {"a": None, "_delete_": True}, "train": {"ema": None}})


def test_the_json_schema_accepts_our_option_files(validator: jsonschema.Draft202012Validator) -> None:
    folder = Path(__file__).resolve().parents[2] / "options"
    files = sorted(folder.rglob("*.yml"))
    assert files
    refused = [file.name for file in files if not validator.is_valid(YAML(typ="safe", pure=True).load(file))]
    assert refused == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"sede": 1},
        {"seed": "1"},
        {"generator": {"type": "ToyNet", "chanels": 1}},
        {"generator": {"type": "Nothing"}},
        {"losses": {"a": {"type": "ToyL1", "wieght": 1}}},
        {"losses": {"a": {"type": "ToyGame", "mode": "lsgam"}}},
        {"datasets": {"train": {"type": "ToyPairs", "batch_size": 0}}},
        {"schedulers": [{"type": "PolyLR", "off": "generator"}]},
        {"engine": {"model": {}}},
        {"hooks": [{"type": "LoggerHook"}]},
        {"train": {"precision": "fp8"}},
    ],
)
def test_the_json_schema_refuses_what_is_wrong(validator: jsonschema.Draft202012Validator, wrong: object) -> None:
    assert not validator.is_valid(wrong)


SLIPS = [
    ({"sede": 1}, "$", "sede"),
    ({"paper": {"titel": "T"}}, "$.paper", "titel"),
    ({"paper": {"cost": {"gmacs": 1}}}, "$.paper.cost", "gmacs"),
    ({"train": {"ema": {"decy": 0.9}}}, "$.train.ema", "decy"),
    ({"train": {"clip_grad_norm": {"generator": "1"}}}, "$.train.clip_grad_norm.generator", "'1' is not of type"),
    ({"generator": {"type": "ToyNet", "chanels": 1}}, "$.generator", "chanels"),
    ({"discriminators": {"critic": {"type": "ToyCritic", "dept": 2}}}, "$.discriminators.critic", "dept"),
    ({"losses": {"a": {"type": "ToyL1", "wieght": 1}}}, "$.losses.a", "wieght"),
    ({"losses": {"a": {"type": "ToyScaled", "scale": "2"}}}, "$.losses.a.scale", "'2' is not of type"),
    ({"datasets": {"train": {"type": "ToyPairs", "batchsize": 2}}}, "$.datasets.train", "batchsize"),
    ({"datasets": {"test": {"a": {"type": "ToyPairs", "protcol": "x"}}}}, "$.datasets.test.a", "protcol"),
    ({"optimizers": {"generator": {"type": "Adam", "lrr": 1}}}, "$.optimizers.generator", "lrr"),
    ({"schedulers": [{"type": "PolyLR", "off": "critic"}]}, "$.schedulers[0]", "off"),
    ({"val": {"evry": 1}}, "$.val", "evry"),
    ({"logging": None, "hooks": [None]}, "$.hooks[0]", "None is not of type 'object'"),
]


@pytest.mark.parametrize(("wrong", "place", "told"), SLIPS, ids=[place for _, place, _ in SLIPS])
def test_the_json_schema_tells_a_mistake_where_it_is(
    validator: jsonschema.Draft202012Validator, wrong: object, place: str, told: str
) -> None:
    """One message, at the mistake's own place: what an editor underlines and shows."""
    (error,) = validator.iter_errors(wrong)
    assert error.json_path == place
    assert told in error.message


def test_the_json_schema_tells_mistakes_in_transforms(validator: jsonschema.Draft202012Validator) -> None:
    """Of a list whose items are names or dicts."""
    data = {"type": "PairedImages", "augment": ["hflip", "hflp", {"type": "RandomResizedCrop", "siz": 3}]}
    first, second = sorted(validator.iter_errors({"datasets": {"train": data}}), key=lambda error: error.json_path)
    assert (first.json_path, second.json_path) == (
        "$.datasets.train.augment[1]",
        "$.datasets.train.augment[2]",
    )
    assert "'hflp' is not one of" in first.message
    assert "siz" in second.message


def test_the_json_schema_takes_delete_wherever_dicts_merge(validator: jsonschema.Draft202012Validator) -> None:
    """``_delete_`` may stand in any dict, also in those that hold numbers only."""
    validator.validate({"paper": {"published": {"_delete_": True, "gopro": {"_delete_": True, "psnr": 30.0}}}})
    validator.validate({"train": {"clip_grad_norm": {"_delete_": True, "generator": 1.0}, "ema": {"_delete_": True}}})
    with pytest.raises(jsonschema.ValidationError, match="'yes' is not of type 'boolean'"):
        validator.validate({"paper": {"published": {"gopro": {"_delete_": "yes"}}}})
