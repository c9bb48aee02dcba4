"""What a check found, as plain text: a line can be searched for and copied, whatever the terminal's width."""

from __future__ import annotations

from typing import Any

_SHOWN = 5
_BAR = 40  # characters


def summary(report: dict[str, Any]) -> str:
    """Returns the text.

    Args:
        report: What :func:`~deblurkit.data.checking.check.check_sets` returned.
    """
    lines: list[str] = []
    for figures in report["sets"]:
        lines += [*_of_set(figures), ""]
    for compared in report["duplicates"]:
        lines += _of_duplicates(compared)
    warnings = sum(not finding["fault"] for figures in report["sets"] for finding in figures["findings"])
    warnings += sum(bool(compared["exact"] or compared["near"]) for compared in report["duplicates"])
    faults = len(report["faults"])
    lines.append(
        f"{faults or 'no'} fault{'s' * (faults != 1)} (training would refuse these sets), "
        f"{warnings or 'no'} warning{'s' * (warnings != 1)}"
    )
    lines += [f"written: {file}" for file in report["files"]]
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def _of_set(figures: dict[str, Any]) -> list[str]:
    lines = [f"{figures['name']}: {figures['pairs']} pairs{_source(figures)}"]
    for side, orphans in figures["orphans"].items():
        if orphans:
            lines.append(f"  {side} images without partner: {len(orphans)}")
    if figures["sizes"]:
        lines.append(f"  sizes (h x w): {_sizes(figures['sizes'])}")
    if figures["psnr"]:
        response = figures["response"]["text"]
        lines += _psnr(figures["psnr"])
        lines += [
            _shift(figures),
            f"  blur averaged in stored values (linear) or light (gamma): {response}",
        ]
    for finding in figures["findings"]:
        named = "" if finding["fault"] else _few(finding["keys"])
        lines.append(f"  {'FAULT' if finding['fault'] else 'warning'}: {finding['text']}{named}")
    return lines if figures["findings"] else [*lines, "  nothing wrong was found"]


def _source(figures: dict[str, Any]) -> str:
    facts = [f"{name}: {value}" for name, value in figures["facts"].items()]
    component = figures["component"] or {}
    sides = [side for side in ("blurred", "sharp") if side in component and side not in figures["facts"]]
    facts += [f"{side}: {component[side]}" for side in sides]
    return f" ({', '.join(facts)})" if facts else ""


def _sizes(sizes: dict[str, int]) -> str:
    shown = ", ".join(f"{size} ({count})" for size, count in list(sizes.items())[:_SHOWN])
    return shown if len(sizes) <= _SHOWN else f"{shown}, and {len(sizes) - _SHOWN} others"


def _psnr(psnr: dict[str, Any]) -> list[str]:
    figures = "  ".join(
        f"{name} {psnr[name]:.2f}" for name in ("mean", "min", "p5", "p25", "median", "p75", "p95", "max")
    )
    counts, edges = psnr["histogram"]["counts"], psnr["histogram"]["edges"]
    most = max(counts)
    bars = [
        f"    {low:5.1f} dB  {'#' * -(-count * _BAR // most):{_BAR}} {count}"
        for low, count in zip(edges, counts, strict=False)
    ]
    return [f"  PSNR of blurred, dB: {figures}", *bars]


def _shift(figures: dict[str, Any]) -> str:
    shift = figures["shift"]
    unmeasured = sum(image["problem"] is None for image in figures["images"]) - shift["measured"]
    if not shift["measured"]:
        return "  shift of blurred against sharp: it could not be measured"
    text = f"median {shift['median']:.2f}  95 % {shift['p95']:.2f}  max {shift['max']:.2f}; {shift['above_1']} above 1"
    rest = f"; {unmeasured} could not be measured" if unmeasured else ""
    return f"  shift of blurred against sharp, pixels: {text}{rest}"


def _of_duplicates(compared: dict[str, Any]) -> list[str]:
    names = f"{compared['first']} and {compared['second']}"
    if not compared["exact"] and not compared["near"]:
        return [f"{names}: no image is in both"]
    lines = []
    for kind, what in (("exact", "equal"), ("near", "nearly equal")):
        if compared[kind]:
            images = [len(set(keys)) for keys in zip(*compared[kind], strict=True)]
            examples = _few([f"{first} and {second}" for first, second in compared[kind]])
            counts = f"{images[0]} images of {compared['first']} are {what} to {images[1]} of {compared['second']}"
            lines.append(f"warning: {counts}{examples}")
    return lines


def _few(keys: list[str]) -> str:
    if not keys:
        return ""
    rest = len(keys) - _SHOWN
    return f": {', '.join(keys[:_SHOWN])}{f' and {rest} more' if rest > 0 else ''}"
