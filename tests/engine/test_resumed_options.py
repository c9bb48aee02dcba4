"""``--resume`` with every option changed, one by one; the table in the docs is made of what these tests check."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from resumed_options import AFTER, BEFORE, CASES, GAN, LARGE, NOT_TRIED, Case, table
from runs import checkpoint_of, differences

from deblurkit import checkpoint, load_options, train
from deblurkit.engine.changes import UNKNOWN, Effect, changes, rule_for
from deblurkit.errors import UserError
from deblurkit.options.schema import DatasetEntry, Loader, LossTerm, Options, TestSet, TrainSet

PLUGIN = """
import torch

from deblurkit.engine.step import GANRestorer
from deblurkit.registry import DATASETS, RESTORERS


@RESTORERS.register_module()
class ResumedRestorer(GANRestorer):
    pass


@DATASETS.register_module()
class ResumedSet:
    def __len__(self):
        return 8

    def sample(self, index, rng):
        return {"blurred": torch.full((3, 32, 32), index / 10), "sharp": torch.full((3, 32, 32), 0.5),
                "key": str(index)}
"""
DOCS = Path(__file__).resolve().parents[2] / "docs" / "resume.md"
BEGIN, END = "<!-- begin: resumed options -->\n", "\n<!-- end: resumed options -->"
Bases = Callable[[dict[str, Any]], "Base"]


class Base:
    """A run that stopped early, where it would have ended, and what its option file was."""

    def __init__(self, folder: Path, options: Path) -> None:
        self.options = options
        self.stopped = train(load_options(options, [f"train.iters={BEFORE}"]), folder / "stopped", device="cpu")
        self.unchanged = folder / "unchanged"
        shutil.copytree(self.stopped, self.unchanged)
        self.resume(self.unchanged)
        self.final = checkpoint_of(self.unchanged, AFTER)

    def resume(self, folder: Path, *change: str) -> None:
        """Goes on in a copy of the run's folder."""
        train(load_options(self.options, change), folder, resume=True, device="cpu")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, module_option_file: Callable[..., Path], pairs: dict) -> Bases:
    made: dict[str, Base] = {}
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 2}
    data = {"train": pairs, "val": {"pairs": val}}

    def get(change: dict[str, Any]) -> Base:
        kind = change["generator"]["type"]
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = Base(folder, module_option_file({**change, "datasets": data}, f"{kind}.yml"))
        return made[kind]

    return get


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, pairs: dict) -> dict[str, str]:
    """What stands in braces in a case's change."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    shutil.copytree(pairs["blurred"], folder / "moved")
    return {"{plugin}": str(folder / "plugin.py"), "{moved}": str(folder / "moved"), "{sharp}": pairs["sharp"]}


@pytest.mark.parametrize("case", [pytest.param(c, id=c.key, marks=[pytest.mark.slow] if c.slow else []) for c in CASES])
def test_changed_at_resume(case: Case, bases: Bases, words: dict[str, str], tmp_path: Path):
    base = bases(case.base)
    change = list(case.change)
    for word, value in words.items():
        change = [text.replace(word, value) for text in change]
    folder = tmp_path / "run"
    shutil.copytree(base.stopped, folder)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name[0] != "."}
    if case.effect is Effect.REFUSED:
        with pytest.raises(UserError) as caught:
            base.resume(folder, *change)
        text = str(caught.value)
        assert "--init-from" in text
        assert "Traceback" not in text
        assert before == {file: file.read_bytes() for file in before}, "a refused resume changes nothing"
        return
    try:
        base.resume(folder, *change)
    finally:
        torch.use_deterministic_algorithms(False)  # one of the cases asks for them
    log = (folder / "log.txt").read_text(encoding="utf-8").split("resumed iter_")[1]
    said = [line.partition("changed since the checkpoint: ")[2] for line in log.splitlines() if "changed since" in line]
    assert any(line.startswith(case.key) and line.endswith(f"{case.effect.value}, {case.words}") for line in said), said
    last = checkpoint.load(folder / "checkpoints" / (folder / "checkpoints" / "last").read_text().strip())
    present = load_options(base.options, change)
    assert not changes(last["options"], present.to_dict()), "the checkpoint says what was used"
    alike = all(
        last[part] is None or not differences(dict(last[part]), dict(base.final[part])) for part in ("generator", "ema")
    )
    if case.alters is not None:
        assert alike is not case.alters, f"{case.key}: the weights are {'the same' if alike else 'others'}"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "optimizers.generator.lr=1e-4",
            lambda state: state["optimizers"]["generator"]["param_groups"][0]["initial_lr"],
        ),
        ("optimizers.critic={type: Adam, lr: 1e-4, betas: [0.5, 0.9]}", None),
    ],
)
def test_rates_are_those_of_the_options(change: str, found: Any, bases: Bases, tmp_path: Path):
    base = bases(GAN)
    folder = tmp_path / "run"
    shutil.copytree(base.stopped, folder)
    base.resume(folder, change)
    network = change.split(".")[1].partition("=")[0]
    group = checkpoint_of(folder, AFTER)["optimizers"][network]["param_groups"][0]
    assert group["initial_lr"] == 1e-4
    fresh = train(load_options(base.options, [change]), tmp_path / "fresh", device="cpu")
    wanted = checkpoint_of(fresh, AFTER)["optimizers"][network]["param_groups"][0]
    assert group == wanted, "as in a run that had these options from its beginning"


def test_scores_that_measure_something_else_are_forgotten(bases: Bases, tmp_path: Path):
    folder = tmp_path / "run"
    shutil.copytree(bases(GAN).stopped, folder)
    state = checkpoint_of(folder, BEFORE)
    state["best"] = {**state["best"], "psnr": 99.0}
    checkpoint.save(state, folder / "checkpoints" / f"iter_{BEFORE:08d}.pth")
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    bases(GAN).resume(folder, "datasets.val.pairs.limit=1")
    assert checkpoint_of(folder, AFTER)["best"]["iteration"] == AFTER
    assert "the best score so far no longer counts" in (folder / "log.txt").read_text(encoding="utf-8")
    bases(GAN).resume(kept)
    assert checkpoint_of(kept, AFTER)["best"] == {"psnr": 99.0, "iteration": BEFORE}


def keys(section: type[BaseModel], place: str = "") -> Iterator[str]:
    """Every key path of the options; of free dicts only where they begin."""
    for name, entry in section.model_fields.items():
        flat = (LossTerm, DatasetEntry, TrainSet, TestSet)
        inner = [kind for kind in sections_in(entry.annotation) if kind not in flat]
        if inner:
            yield from (key for kind in inner for key in keys(kind, f"{place}{name}."))
        else:
            yield f"{place}{name}"


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from sections_in(part)


def test_no_option_is_left_out():
    tried = [case.key for case in CASES]
    wanted = [key for key in keys(Options) if not key.startswith("paper.")]
    wanted += [f"datasets.train.{key}" for key in (*Loader.model_fields, "limit", "repeat", "0.weight")]
    wanted += [f"losses.image.{key}" for key in LossTerm.own_keys() if key != "critic"]
    missing = [key for key in wanted if not any(case == key or case.startswith(f"{key}.") for case in tried)]
    assert set(missing) == set(NOT_TRIED)
    assert not [key for key in wanted if rule_for(key) is UNKNOWN]


def test_what_only_the_checkpoint_knows_has_no_effect():
    (change,) = changes({"name": "a", "later": {"a": 1}}, {"name": "a"})
    assert str(change) == "later: {'a': 1} -> None: without effect, this version has no such option"


def test_table_in_the_docs():
    """``DEBLURKIT_WRITE_DOCS=1`` writes it."""
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    found, _, tail = rest.partition(END)
    if os.environ.get("DEBLURKIT_WRITE_DOCS"):
        DOCS.write_text(f"{head}{BEGIN}{table()}{END}{tail}", encoding="utf-8")
    else:
        assert found == table(), "run this test with DEBLURKIT_WRITE_DOCS=1"


def test_large_base_is_only_for_its_own_keys():
    assert {case.key for case in CASES if case.base is LARGE} == {"generator.encoder_weights", "generator.download"}
