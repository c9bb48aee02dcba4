"""The papers' networks against each other with one budget: a reproduction at small scale.

Every network of an option file (and the structure ablations of papers 001 and 003) is trained with the same data, the
same objective, optimizer and number of updates, from several seeds, and scored on photographs never trained on. What
of the papers' claims held is judged by a rule fixed beforehand: see ``claims.py``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAPERS = ("deblurgan", "deblurgan_v2", "nafnet", "crosshatch", "structure_guided", "madn", "bag", "dsc")
SKIP = "+skip"  # with the global skip that paper 001 does not state: a short training cannot learn to copy its input
STRUCTURES = (
    *(f"bag/{row}" for row in ("plain", "model1", "model2", "model3", "model4")),
    *(f"structure_guided{row}{SKIP}" for row in ("", "/wo_rgcl", "/wo_mbrbs", "/wo_gradient_net")),
)
THIN: dict[str, dict[str, Any]] = {  # a quarter of the papers' widths
    "DeblurGAN": {"channels": 16},
    "DeblurGANv2": {"encoder": "mobilenet_v2", "channels": 32},
    "NAFNet": {"width": 8},
    "Crosshatch": {"encoder": [16, 32, 64], "res_channels": 64, "decoder": [32, 16]},
    "StructureGuided": {"channels": [16, 32, 64], "gradient_channels": 16, "reduction": 4},
    "MADN": {"channels": [16, 32, 64]},
    "BlurAttention": {"channels": [16, 32, 64], "growth": 18},
    "DSCNet": {"channels": 16},
}


@dataclass(frozen=True)
class Setting:
    """One size of the experiment; the same for every network.

    Attributes:
        name: How it is called on the command line.
        thin: Whether the networks have a fraction of their papers' widths.
        window: Side of the square cut from a photograph, in pixels; ``margin`` is cut off each side after the shake.
        margin: Pixels cut off each side.
        batch: Pairs an update.
        updates: Updates of the generator.
        lr: Adam's learning rate at the start; a cosine takes it to 1e-6.
        critic: The critic's arguments.
        workers: Processes that read for one training.
    """

    name: str
    thin: bool
    window: int
    margin: int
    batch: int
    updates: int
    lr: float
    critic: dict[str, Any]
    workers: int


SETTINGS = {
    "tiny": Setting("tiny", True, 90, 13, 4, 1200, 5e-4, {"channels": 8, "layers": 2}, 0),
    "real": Setting("real", False, 154, 13, 8, 10_000, 2e-4, {}, 4),
}


@dataclass(frozen=True)
class Job:
    """One training: plain values, so that it can be sent to another process."""

    name: str
    seed: int
    setting: Setting
    folder: Path
    sharp: str | None
    look: tuple[str, str] | None
    device: str | None
    threads: int


def main() -> int:
    """Train what is not trained yet, then write the record and the page."""
    arguments = parse()
    setting = SETTINGS[arguments.setting]
    names = arguments.only or [*PAPERS, *STRUCTURES]
    folder = Path(arguments.work_dir) / setting.name
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    look = tuple(arguments.look) if arguments.look else None
    jobs = [
        Job(name, seed, setting, folder, arguments.sharp, look, arguments.device, threads)
        for seed in arguments.seeds
        for name in names
    ]
    context = multiprocessing.get_context("spawn")
    results, failed = [], []
    with ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        for done in as_completed(futures):
            job = futures[done]
            try:
                results.append(done.result())
                print(f"{job.name} seed {job.seed}: {results[-1]['psnr']:.2f} dB", flush=True)
            except Exception as error:
                failed.append(job)
                print(f"{job.name} seed {job.seed} FAILED: {error}", file=sys.stderr, flush=True)
    results.sort(key=lambda result: (names.index(result["name"]), result["seed"]))
    if results:
        write(arguments, setting, results)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--setting", choices=SETTINGS, default="tiny", help="tiny: thin nets, for a CPU; real: for a GPU"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=[*PAPERS, *STRUCTURES], metavar="NAME", help="these networks only")
    parser.add_argument("--sharp", metavar="DIR", help="sharp photographs to train on (default: the sample set's)")
    parser.add_argument(
        "--look", nargs=2, metavar=("BLURRED", "SHARP"), help="folders of pairs to look at, not trained on"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    parser.add_argument("--work-dir", default="work_dirs/reproduce", help="trainings found there are not run again")
    parser.add_argument("--data-name", help="what --sharp is, for the record (default: the folder's name)")
    parser.add_argument("--out", metavar="FILE", help="the record as JSON; the page goes beside it as .md")
    return parser.parse_args()


def run(job: Job) -> dict[str, Any]:
    """Train and score one network from one seed; what an earlier call has done in the same way is not done again."""
    from deblurkit.options.load import options_from_dict
    from deblurkit.report.write import write_text

    folder = job.folder / job.name.replace("/", "-") / f"seed{job.seed}"
    result, trained = folder / "result.json", folder / "trained.json"
    wanted = experiment(job)
    options = options_from_dict(wanted, source=job.name)
    training = {key: value for key, value in wanted.items() if key != "datasets"}
    training["data"] = wanted["datasets"]["train"]
    if read(trained).get("training") != training:  # never trained, or on other data or in another setting
        result.unlink(missing_ok=True)
    found = read(result)
    if found and (job.look is None or "look" in found):
        return found
    import torch

    torch.set_num_threads(job.threads)
    from deblurkit.checkpoint import build_generator
    from deblurkit.engine.build import train
    from deblurkit.evaluation.evaluate import evaluate

    if not found:
        start = time.perf_counter()
        train(options, folder, device=job.device, overwrite=True)
        seconds = (time.perf_counter() - start) / job.setting.updates
        write_text(trained, json.dumps({"training": training, "seconds_per_update": seconds}, indent=2))
    metrics = evaluate(options, folder / "checkpoints" / f"iter_{job.setting.updates:08d}.pth", device=job.device)
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in build_generator(options).parameters())
    record = {"name": job.name, "seed": job.seed, "parameters": parameters, **scores(metrics)}
    record["seconds_per_update"] = read(trained)["seconds_per_update"]
    write_text(result, json.dumps(record, indent=2))
    return record


def read(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where there is none."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what the record keeps of an evaluation."""
    test = metrics["datasets"]["sample"]
    kept = {
        "psnr": test["restored"]["psnr"],
        "ssim": test["restored"]["ssim"],
        "psnr_blurred": test["blurred"]["psnr"],
        "protocol": metrics["protocol"],
        "inference": metrics["inference"],
        "images": test["images"],
        "device": metrics["environment"]["device"],
    }
    if "look" in metrics["datasets"]:
        seen = metrics["datasets"]["look"]
        kept["look"] = {"restored": seen["restored"]["psnr"], "blurred": seen["blurred"]["psnr"]}
    return kept


def experiment(job: Job) -> dict[str, Any]:
    """Return the whole experiment: the option file's generator, everything else the same for all."""
    from deblurkit.options.load import load_options

    setting = job.setting
    file = job.name.removesuffix(SKIP)
    folder = "options" if "/" not in file else "options/ablations"
    generator = dict(load_options(ROOT / folder / f"{file}.yml").generator)
    if file != job.name:
        generator["global_skip"] = True
    if generator.get("encoder_weights"):
        generator["encoder_weights"] = None  # ImageNet weights would be a head start for one network
    if setting.thin:
        generator.update(THIN[generator["type"]])
    return {
        "name": f"{job.name.replace('/', '-')}-seed{job.seed}",
        "seed": job.seed,
        "generator": generator,
        "discriminators": {"critic": {"type": "PatchDiscriminator", **setting.critic}},
        "losses": {
            "pixel": {"type": "L1Loss"},
            "adversarial": {"type": "AdversarialLoss", "weight": 0.0005, "mode": "lsgan", "critic": "critic"},
        },
        "optimizers": {
            "generator": {"type": "Adam", "lr": setting.lr, "betas": [0.9, 0.99]},
            "discriminators": {"type": "Adam", "lr": 2e-4, "betas": [0.9, 0.99]},
        },
        "schedulers": [{"type": "CosineAnnealingLR", "eta_min": 1e-6}],
        "datasets": data(job),
        "train": {
            "iters": setting.updates,
            "clip_grad_norm": 1.0,
            "ema": {"decay": 0.99 if setting.thin else 0.999},
            "checkpoint_every": setting.updates,
        },
        "logging": {"every": 100, "tensorboard": False},
    }


def data(job: Job) -> dict[str, Any]:
    """Return the data sets: a fresh shake of a sharp window for every sample, and what is scored."""
    setting = job.setting
    source = {"type": "SamplePairs", "split": "train"}
    if job.sharp:
        source = {"type": "PairedImages", "blurred": job.sharp, "sharp": job.sharp}
    window = {"type": "RandomResizedCrop", "size": setting.window, "scale": [0.8, 2.0]}
    shake = {"type": "CameraShake", "extent": [3.0, 13.0], "roll": [0.0, 1.0], "margin": setting.margin, "steps": 16}
    test = {"sample": {"type": "SamplePairs", "split": "test"}}
    if job.look:
        test["look"] = {"type": "PairedImages", "blurred": job.look[0], "sharp": job.look[1]}
    train = {
        **source,
        "augment": [window, shake, "hflip", "vflip", "rot90"],
        "batch_size": setting.batch,
        "workers": setting.workers,
        "cache": setting.workers == 0,
    }
    return {"train": train, "test": test}


def write(arguments: argparse.Namespace, setting: Setting, results: Sequence[dict[str, Any]]) -> None:
    """Print the page; with ``--out`` also write it and the record."""
    import torch
    from claims import page

    from deblurkit.report.write import write_text

    photographs = arguments.data_name or (
        Path(arguments.sharp).name if arguments.sharp else "the sample set's training split"
    )
    first = results[0]
    about = {
        "date": date.today().isoformat(),
        "device": f"{first['device']}, torch {torch.__version__}",
        "training data": f"{photographs}, a fresh camera shake for every sample",
        "test data": f"the sample set's test split, {first['images']} images, blurred {first['psnr_blurred']:.2f} dB",
        "protocol": f"{first['protocol']['id']} version {first['protocol']['version']}, inference {first['inference']}",
        "budget": f"{setting.updates} updates of {setting.batch} pairs of {setting.window - 2 * setting.margin} pixels",
        "objective": "L1 + 0.0005 least-squares adversarial, Adam, cosine schedule, averaged generator; in each "
        "network's own value range",
        "networks": "thinned: " + json.dumps(THIN) if setting.thin else "as published",
        SKIP: "structure_guided with a skip from input to output, which the paper does not state: without it the short "
        "training is spent on learning to copy. Table 5's comparisons are made with it",
        "seeds": sorted({result["seed"] for result in results}),
        "command": " ".join(
            ["python benchmarks/reproduce.py --setting", setting.name, "--seeds", *map(str, arguments.seeds)]
            + (["--sharp", Path(arguments.sharp).name] if arguments.sharp else [])
        ),
        **({"looked at": Path(arguments.look[0]).parent.name} if arguments.look else {}),
    }
    record = {"setting": asdict(setting), "about": about, "runs": list(results)}
    text = page(record)
    print(text)
    if arguments.out:
        out = Path(arguments.out)
        write_text(out, json.dumps(record, indent=2) + "\n")
        write_text(out.with_suffix(".md"), text)


if __name__ == "__main__":
    sys.exit(main())
