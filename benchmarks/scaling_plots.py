"""The plots of docs/scaling.md, from a record of ``scaling.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MIB, GIB = 2**20, 2**30
STYLE = {"font.size": 9, "axes.spines.right": False, "axes.spines.top": False, "axes.grid": True, "grid.alpha": 0.3}


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Write ``scaling_images.png``, ``scaling_sets.png`` and ``scaling_processes.png``."""
    parts = {"images": _images, "sets": _sets, "processes": _processes}
    with rc_context(STYLE):
        for name, panels in parts.items():
            figure = Figure((9, 3.2), layout="constrained")
            left, right = figure.subplots(1, 2)
            panels(figures[name], left, right)
            for axes in (left, right):
                axes.legend(fontsize=7)
            # no version, so that equal figures make equal files
            figure.savefig(folder / f"scaling_{name}.png", dpi=80, metadata={"Software": None})


def _images(cases: list[dict[str, Any]], time: Axes, memory: Axes) -> None:
    for axes, key, unit, label in (
        (time, "seconds", 1.0, "seconds"),
        (memory, "bytes", MIB, "MiB at the peak, beyond weights and images"),
    ):
        for network, training in sorted({(case["network"], case["training"]) for case in cases}):
            own = [case for case in cases if (case["network"], case["training"]) == (network, training)]
            kind = "training step" if training else "inference"
            for varied, style in (("side", "o-"), ("batch", "x--")):
                points = sorted(
                    (case["batch"] * case["side"] ** 2 / 1e6, case[key] / unit)
                    for case in own
                    if (case["batch"] == 1) == (varied == "side")
                )
                of = "by image size" if varied == "side" else "by batch"
                colour = f"C{2 * int(training) + ('gan' in network)}"
                axes.plot(*zip(*points, strict=True), style, color=colour, label=f"{network}, {kind}, {of}", ms=4)
        axes.set(xscale="log", yscale="log", xlabel="megapixels in a batch", ylabel=label)


def _sets(found: dict[str, Any], memory: Axes, time: Axes) -> None:
    shown = (
        ("packed", "peak", "opening a packed set's index", "C2"),
        ("objects", "kept", "folder: list of paths, as before", "C1"),
        ("folder", "kept", "folder: names in arrays, now", "C0"),
        ("order before", "peak", "order of an epoch, as before", "C3"),
        ("order", "peak", "order of an epoch, now", "C4"),
    )
    for name, key, label, colour in shown:
        points = sorted((entry["size"], entry[key] / GIB, entry["seconds"]) for entry in found[name])
        sizes, gibibytes, seconds = zip(*points, strict=True)
        for axes, values, words in ((memory, gibibytes, label), (time, seconds, label)):
            axes.plot(sizes, values, "o-", color=colour, label=words, ms=4)
            if sizes[-1] < 10**8:  # bytes and seconds a pair no longer change: a line onwards
                end = values[-1] * 10**8 / sizes[-1]
                axes.plot((sizes[-1], 10**8), (values[-1], end), ":", color=colour)
    for key, label, colour in (("seconds", "listing a folder", "C5"), ("headers", "looking at all headers", "C6")):
        last = found["listing"][-1]
        time.plot((last["size"], 10**8), (last[key], last[key] * 10**8 / last["size"]), ":", color=colour)
        time.plot([entry["size"] for entry in found["listing"]], [e[key] for e in found["listing"]], "o-", color=colour,
                  label=label, ms=4)  # fmt: skip
    memory.set(xscale="log", yscale="log", xlabel="pairs", ylabel="GiB")
    time.set(xscale="log", yscale="log", xlabel="pairs", ylabel="seconds (dotted: calculated)")


def _processes(found: dict[str, Any], waiting: Axes, overlapping: Axes) -> None:
    styles = {"10 Gbit/s Ethernet": ":", "100 Gbit/s": "--", "NVLink": "-"}
    for axes, column, title in ((waiting, 0, "exchange after computing"), (overlapping, 1, "exchange while computing")):
        for number, (network, entry) in enumerate(found["networks"].items()):
            for label, by_world in entry["computing share"].items():
                worlds = [int(world) for world in by_world]
                shares = [share[column] for share in by_world.values()]
                named = f"{network}, {entry['gradient bytes'] / 1e6:.0f} MB" if label == "NVLink" else None
                axes.plot(worlds, shares, styles[label], color=f"C{number}", label=named, lw=1.2)
        for label, style in styles.items():
            axes.plot([], [], style, color="grey", label=label)
        axes.set(
            xscale="log", xlabel="processes", ylabel="share of a step that is computing", title=title, ylim=(0, 1.03)
        )
        axes.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
