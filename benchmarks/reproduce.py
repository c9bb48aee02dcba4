"""The papers' networks against each other with one budget: a reproduction at small scale.

Under *one objective* every network of an option file (and the structure ablations of papers 001 and 003) is trained
with the same data, losses, optimizer and number of updates. Under *own recipes* every option file and every ablation is
trained with its own losses, critics, critic steps, optimizers and rates; equal are the data, the crops, the batch and
the number of the generator's updates. Both from several seeds, scored on photographs never trained on. What of the
papers' claims held is judged by a rule fixed beforehand: see ``claims.py``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from experiments import NAMES, SETTINGS, SKIP, THIN, TRIAL, Experiment, Run
from reproduction_page import KINDS, page

from deblurkit.checkpoint import build_generator
from deblurkit.engine.train import train
from deblurkit.evaluation.evaluate import evaluate
from deblurkit.files import write_atomically
from deblurkit.losses.perceptual import PerceptualLoss
from deblurkit.options.load import options_from_dict
from deblurkit.pretrained import MissingWeightsError


@dataclass(frozen=True)
class Job:
    """One training and where it is done: plain values, so that it can be sent to another process."""

    experiment: Experiment
    folder: Path
    device: str | None
    threads: int


def main() -> int:
    """Train what is not trained yet; write the record and the page after each training."""
    arguments = parse()
    jobs = planned(arguments)
    order = {(job.experiment.name, job.experiment.seed): number for number, job in enumerate(jobs)}
    runs: list[Run] = []
    failed = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(run, job): job for job in jobs}
        for done in as_completed(list(waiting)):
            job = waiting.pop(done).experiment
            if error := done.exception():
                failed += 1
                print(f"{job.name} seed {job.seed} FAILED: {error}", file=sys.stderr, flush=True)
                continue
            runs.append(done.result())
            end = expected_end([job.experiment.name for job in waiting.values()], runs, arguments.jobs)
            told = f"{len(jobs) - len(waiting)} of {len(jobs)}, expected end {end:%H:%M}"
            print(f"{job.name} seed {job.seed}: {runs[-1].psnr:.2f} dB ({told})", flush=True)
            runs.sort(key=lambda run: order[run.name, run.seed])
            if arguments.out:
                write(arguments, jobs[0].experiment, runs)
    if runs:
        print(page(about(arguments, jobs[0].experiment, runs), arguments.objective, runs))
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--small",
        action="store_true",
        help="own recipes in an hour on two CPU cores: --setting small --objective own --jobs 2",
    )
    parser.add_argument("--tiny", action="store_true", help="two updates of one network, to try it in seconds")
    parser.add_argument(
        "--setting", choices=SETTINGS, default="tiny", help="tiny, small: thin nets, for a CPU; real: for a GPU"
    )
    parser.add_argument("--objective", choices=NAMES, default="one", help="one for all, or each paper's own recipe")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="of the generator (default: the setting's)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these networks or option files only")
    parser.add_argument("--sharp", metavar="DIR", help="sharp photographs to train on (default: the sample set's)")
    parser.add_argument(
        "--look", nargs=2, metavar=("BLURRED", "SHARP"), help="folders of pairs to look at, not trained on"
    )
    parser.add_argument(
        "--vgg", metavar="FILE", help="VGG-19's weights for content losses (default: torchvision's cache, else random)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    parser.add_argument("--work-dir", default="work_dirs/reproduce", help="trainings found there are not run again")
    parser.add_argument("--data-name", help="what --sharp is, for the record (default: the folder's name)")
    parser.add_argument("--out", metavar="FILE", help="the record as JSON; the page goes beside it as .md")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.setting, arguments.objective, arguments.jobs = "small", "own", 2
    if arguments.tiny:
        arguments.only, arguments.seeds, arguments.jobs = [NAMES[arguments.objective][0]], [0], 1
    known = NAMES[arguments.objective]
    unknown = [name for name in arguments.only or () if name not in known]
    if unknown:
        parser.error(f"--only: {', '.join(unknown)}: not among those of --objective {arguments.objective}: {known}")
    return arguments


def planned(arguments: argparse.Namespace) -> list[Job]:
    """Return the trainings, seed by seed, so that an experiment that is stopped has compared all networks."""
    setting = TRIAL if arguments.tiny else SETTINGS[arguments.setting]
    if arguments.updates:
        setting = replace(setting, updates=arguments.updates)
    look = tuple(arguments.look) if arguments.look else None
    vgg = found_vgg(arguments.vgg) if arguments.objective == "own" else None
    folder = Path(arguments.work_dir) / setting.name / arguments.objective
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    return [
        Job(
            Experiment(name, arguments.objective, seed, setting, arguments.sharp, look, vgg),
            folder,
            arguments.device,
            threads,
        )
        for seed in arguments.seeds
        for name in arguments.only or NAMES[arguments.objective]
    ]


def found_vgg(named: str | None) -> str | None:
    """Return VGG-19's weights as ``PerceptualLoss`` takes them: random ones where there are no others."""
    try:
        PerceptualLoss(weights=named)
    except MissingWeightsError:
        if named is not None:
            raise
        return "random"
    return named


def run(job: Job) -> Run:
    """Train and score one experiment; what an earlier call has done in the same way is not done again."""
    experiment = job.experiment
    folder = job.folder / experiment.name.replace("/", "-") / f"seed{experiment.seed}"
    scores, trained = folder / "scores.json", folder / "trained.json"
    wanted = experiment.options()
    options = options_from_dict(wanted, source=experiment.name)
    training = {key: value for key, value in wanted.items() if key != "datasets"}
    training["data"] = wanted["datasets"]["train"]
    if read(trained).get("training") != training:  # never trained, or on other data or in another setting
        scores.unlink(missing_ok=True)
    if (found := read(scores)) and (experiment.look is None or found["look"] is not None):
        return Run(**found)
    torch.set_num_threads(job.threads)
    if not found:
        start = time.perf_counter()
        train(options, folder, device=job.device, overwrite=True)
        seconds = time.perf_counter() - start
        write_atomically(trained, json.dumps({"training": training, "seconds": seconds}, indent=2))
    start = time.perf_counter()
    checkpoint = folder / "checkpoints" / f"iter_{experiment.setting.updates:08d}.pth"
    metrics = evaluate(options, checkpoint, device=job.device)
    result = scored(experiment, metrics, read(trained)["seconds"], time.perf_counter() - start)
    write_atomically(scores, json.dumps(asdict(result), indent=2))
    return result


def read(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where there is none."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def scored(experiment: Experiment, metrics: Mapping[str, Any], training: float, scoring: float) -> Run:
    """Return what the record keeps of an evaluation, and of the seconds that training and scoring took."""
    with torch.device("meta"):
        generator = build_generator(options_from_dict(experiment.options(), source=experiment.name))
    test, look = metrics["datasets"]["sample"], metrics["datasets"].get("look")
    protocol = test["protocol"]
    return Run(
        name=experiment.name,
        seed=experiment.seed,
        content=experiment.content(),
        parameters=sum(weight.numel() for weight in generator.parameters()),
        psnr=test["restored"]["psnr"],
        ssim=test["restored"]["ssim"],
        psnr_blurred=test["blurred"]["psnr"],
        images=test["images"],
        protocol=f"{protocol['id']} version {protocol['version']}, inference {test['inference']}",
        device=metrics["environment"]["device"],
        seconds=training + scoring,
        seconds_per_update=training / experiment.setting.updates,
        look=look["restored"]["psnr"] if look else None,
        look_blurred=look["blurred"]["psnr"] if look else None,
    )


def expected_end(waiting: Sequence[str], runs: Sequence[Run], jobs: int) -> datetime:
    """Return when the trainings that are not done yet will be: by their own earlier seeds, else by the mean of all."""
    mean = statistics.fmean(run.seconds for run in runs)
    took = {run.name: run.seconds for run in runs}
    return datetime.now() + timedelta(seconds=sum(took.get(name, mean) for name in waiting) / jobs)


def write(arguments: argparse.Namespace, example: Experiment, runs: Sequence[Run]) -> None:
    """Write the record and the page of what is done so far."""
    told = about(arguments, example, runs)
    record = {
        "setting": asdict(example.setting),
        "kind": KINDS[arguments.objective],
        "about": told,
        "runs": [asdict(run) for run in runs],
    }
    out = Path(arguments.out)
    write_atomically(out, json.dumps(record, indent=2) + "\n")
    write_atomically(out.with_suffix(".md"), page(told, arguments.objective, runs))


def about(arguments: argparse.Namespace, example: Experiment, runs: Sequence[Run]) -> dict[str, str]:
    """Return what one must know to read the figures."""
    setting, first = example.setting, runs[0]
    photographs = arguments.data_name or (
        Path(arguments.sharp).name if arguments.sharp else "the sample set's training split"
    )
    told = {
        "date": date.today().isoformat(),
        "setting": setting.name,
        "device": f"{first.device}, torch {torch.__version__}",
        "training data": f"{photographs}, a fresh camera shake for every sample",
        "test data": f"the sample set's test split, {first.images} images, blurred {first.psnr_blurred:.2f} dB",
        "protocol": first.protocol,
        "budget": f"{setting.updates} updates of the generator by {setting.batch} pair(s) of {setting.crop} pixels",
        "networks": "thinned: " + json.dumps(THIN) if setting.thin else "as published",
        "seeds": ", ".join(map(str, sorted({run.seed for run in runs}))),
        "command": " ".join(
            [f"python benchmarks/reproduce.py --setting {setting.name} --objective {arguments.objective} --seeds"]
            + [str(seed) for seed in arguments.seeds]
            + ([f"--updates {arguments.updates}"] if arguments.updates else [])
            + ([f"--sharp {Path(arguments.sharp).name}"] if arguments.sharp else [])
        ),
    }
    if arguments.objective == "one":
        told["objective"] = (
            "L1 + 0.0005 least-squares adversarial, Adam, cosine schedule, averaged generator; in each network's own "
            "value range"
        )
        told[SKIP] = (
            "structure_guided with a skip from input to output, which the paper does not state: without it the short "
            "training is spent on learning to copy. Table 5's comparisons are made with it"
        )
    else:
        told["objective"] = (
            "each option file's own losses, weights, critics, critic steps, optimizers and learning rates, constant: "
            "the budget is the beginning of any recipe, where no schedule has moved. Not its own: data, crop, batch, "
            "ImageNet encoders (random weights, not frozen), and widths where they are thinned"
        )
    if arguments.look:
        told["looked at"] = Path(arguments.look[0]).parent.name
    return told


if __name__ == "__main__":
    sys.exit(main())
