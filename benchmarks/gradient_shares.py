"""How much of the generator's gradient each term of each paper's recipe makes, shortly after the beginning.

Each recipe is trained as its option file says (losses, critic steps, rates, clipping) with a quarter of its widths, on
small crops of photographs under synthetic shake, one pair at a time; the content losses see a VGG-19 with random
weights. Read are the norms of each weighted term's gradient at the generator's outputs, as a training logs them, and
the PSNR of the untrained and of the trained generator. It is a measure of scale, not of quality.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from experiments import NAMES, PAPERS, SETTINGS, THIN, TRIAL, Experiment, Setting
from torch import nn

from deblurkit.checkpoint import load, load_generator
from deblurkit.data.loader import build_dataset
from deblurkit.engine.build import Problems, build_parts
from deblurkit.engine.train import train
from deblurkit.evaluation.aggregate import summarise
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.evaluation.provenance import environment
from deblurkit.evaluation.scoring import score_dataset
from deblurkit.evaluation.sources import NetworkSource
from deblurkit.files import write_atomically
from deblurkit.options.load import options_from_dict
from deblurkit.options.schema import Options

LAST = 20  # updates that are averaged
SETTING = dataclasses.replace(SETTINGS["small"], name="shares", window=122, batch=1, updates=120)
RECIPES = tuple(name for name in PAPERS if name != "nafnet")  # which has one term and no critic


@dataclass(frozen=True)
class Balance:
    """What one training showed.

    Attributes:
        recipe: The option file.
        seed: Of the training.
        norms: Of each weighted term's gradient at the generator's outputs, by term, the mean of the last updates.
        shares: Each term's part of the sum of the norms.
        adversarial: The shares of all adversarial terms together.
        blurred: PSNR of the test images before they are restored, in decibels.
        untrained: PSNR that the untrained generator reaches.
        trained: PSNR after the training.
    """

    recipe: str
    seed: int
    norms: dict[str, float]
    shares: dict[str, float]
    adversarial: float
    blurred: float
    untrained: float
    trained: float


def main() -> int:
    """Train, and print the table; with ``--out`` write the record too."""
    arguments = parse()
    setting = dataclasses.replace(SETTING, updates=arguments.updates, window=arguments.crop + 2 * SETTING.margin)
    if arguments.tiny:
        setting, arguments.seeds, arguments.only = TRIAL, [0], ["madn"]  # the one without VGG-19
    experiments = [
        Experiment(name, "own", seed, setting, overrides=tuple(arguments.set))
        for seed in arguments.seeds
        for name in arguments.only
    ]
    context = multiprocessing.get_context("spawn")
    balances: list[Balance] = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        for balance in pool.map(measure, experiments):
            balances.append(balance)
            print(line(balance), flush=True)
            if arguments.out:
                write(Path(arguments.out), setting, arguments.set, balances)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES["own"], default=RECIPES, metavar="NAME", help="recipes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=SETTING.updates, help="of the generator")
    parser.add_argument("--crop", type=int, default=SETTING.crop, help="side of what is trained on, in pixels")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes of every recipe")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--tiny", action="store_true", help="two updates of one recipe, to try it in seconds")
    parser.add_argument("--out", metavar="FILE", help="the record as JSON")
    return parser.parse_args()


def measure(experiment: Experiment) -> Balance:
    """Train one recipe in a folder that is removed again."""
    torch.set_num_threads(1)
    plain = experiment.options()
    options = options_from_dict({**plain, "logging": {**plain["logging"], "every": 1}}, experiment.name)
    untrained = build_parts(options, Problems(), lambda _: None).generator
    blurred, before = psnr(untrained, options)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run = train(options, Path(folder) / "run", device="cpu")
        records = [json.loads(text) for text in (run / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]
        checkpoint = run / "checkpoints" / f"iter_{experiment.setting.updates:08d}.pth"
        _, after = psnr(load_generator(load(checkpoint), checkpoint), options)
    norms = {term: statistics.fmean(record[f"grad/{term}"] for record in records[-LAST:]) for term in options.losses}
    shares = {term: norm / sum(norms.values()) for term, norm in norms.items()}
    adversarial = sum(shares[term] for term, loss in options.losses.items() if loss.critic is not None)
    return Balance(experiment.name, experiment.seed, norms, shares, adversarial, blurred, before, after)


def psnr(generator: nn.Module, options: Options) -> tuple[float, float]:
    """Return the test images' PSNR in decibels, blurred and restored."""
    protocol = get_protocol(options.val.protocol, "val.protocol")
    images = build_dataset(options.datasets.test["sample"], "datasets.test.sample")
    scored = score_dataset(NetworkSource(generator.eval(), "fp32", protocol.inference), images, protocol)
    summary = summarise([outcome.row for outcome in scored], protocol)
    if summary.blurred is None or summary.restored is None:
        raise ValueError("the sample set has its true images")
    return summary.blurred["psnr"], summary.restored["psnr"]


def line(balance: Balance) -> str:
    """Return a training's row of the table."""
    terms = ", ".join(f"{term} {norm:.3g} ({balance.shares[term]:.1%})" for term, norm in balance.norms.items())
    scores = f"{balance.untrained:.2f} -> {balance.trained:.2f} dB, blurred {balance.blurred:.2f}"
    return f"{balance.recipe} seed {balance.seed}: adversarial {balance.adversarial:.1%} | {terms} | {scores}"


def write(file: Path, setting: Setting, changes: Sequence[str], balances: Sequence[Balance]) -> None:
    """Write the record of what is measured so far."""
    record = {
        "about": {
            "networks": {"thinned": THIN},
            "content losses": "VGG-19 with RANDOM weights",
            "budget": f"{setting.updates} updates of {setting.batch} pair of {setting.crop} pixels",
            "norms": f"mean of the last {LAST} updates",
            "set": list(changes),
            "environment": environment(torch.device("cpu"), "fp32"),
        },
        "runs": [dataclasses.asdict(balance) for balance in balances],
    }
    write_atomically(file, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
