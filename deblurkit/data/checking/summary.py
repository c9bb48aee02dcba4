"""A check's findings as plain text: a line can be searched for and copied, whatever the terminal's width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from deblurkit.data.checking.results import CheckReport, PsnrFigures, SetResult, SharedImages

_SHOWN = 5
_BAR = 40  # characters


def summary(report: CheckReport) -> str:
    """Returns the text."""
    lines: list[str] = []
    warnings = 0
    for result in report.sets:
        lines += [*_of_set(result), ""]
        warnings += sum(not finding.fault for finding in result.findings)
    for shared in report.duplicates:
        lines += _of_duplicates(shared)
        warnings += bool(shared.exact or shared.near)
    faults = len(report.faults())
    lines.append(
        f"{faults or 'no'} fault{'s' * (faults != 1)} (training would refuse these sets), "
        f"{warnings or 'no'} warning{'s' * (warnings != 1)}"
    )
    for file in report.files:
        lines.append(f"written: {file}")
    # File names may hold bytes that are no UTF-8, which a terminal refuses.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def _of_set(result: SetResult) -> list[str]:
    facts = dict(result.facts)
    # Where a set says nothing of its folders, its component does.
    for side in ("blurred", "sharp"):
        if result.found.component and side in result.found.component:
            facts.setdefault(side, result.found.component[side])
    source = f" ({', '.join(f'{name}: {value}' for name, value in facts.items())})" if facts else ""
    lines = [f"{result.found.name}: {len(result.pairs)} pairs{source}"]
    for side, orphans in result.found.orphans.items():
        if orphans:
            lines.append(f"  {side} images without partner: {len(orphans)}")
    sizes = result.sizes()
    if sizes:
        shown = [f"{height} x {width} ({count})" for (height, width), count in sizes.items()]
        others = f", and {len(shown) - _SHOWN} others" if len(shown) > _SHOWN else ""
        lines.append(f"  sizes (h x w): {', '.join(shown[:_SHOWN])}{others}")
    if result.psnr:
        lines += _of_figures(result, result.psnr)
    for finding in result.findings:
        if finding.fault:
            lines.append(f"  FAULT: {finding.text}")
        else:
            lines.append(f"  warning: {finding.text}{_few(finding.keys)}")
    if not result.findings:
        lines.append("  nothing wrong was found")
    return lines


def _of_figures(result: SetResult, psnr: PsnrFigures) -> list[str]:
    figures = {"mean": psnr.mean, **asdict(psnr.percentiles)}
    lines = [f"  PSNR of blurred, dB: {'  '.join(f'{name} {value:.2f}' for name, value in figures.items())}"]
    most = max(psnr.counts)
    for low, count in zip(psnr.edges, psnr.counts, strict=False):  # there is one edge more
        length = -(-count * _BAR // most)  # rounded up: one image makes a bar among thousands
        lines.append(f"    {low:5.1f} dB  {'#' * length:{_BAR}} {count}")
    shifts, lengths = result.shifts, result.shifts.percentiles
    if lengths is None:
        lines.append("  shift of blurred against sharp: it could not be measured")
    else:
        unmeasured = sum(pair.problem is None for pair in result.pairs) - shifts.measured
        text = f"median {lengths.median:.2f}  95 % {lengths.p95:.2f}  max {lengths.max:.2f}; {shifts.above_1} above 1"
        rest = f"; {unmeasured} could not be measured" if unmeasured else ""
        lines.append(f"  shift of blurred against sharp, pixels: {text}{rest}")
    lines.append(f"  blur averaged in stored values (linear) or light (gamma): {result.response}")
    return lines


def _of_duplicates(shared: SharedImages) -> list[str]:
    if not shared.exact and not shared.near:
        return [f"{shared.first} and {shared.second}: no image is in both"]
    lines = []
    for pairs, words in ((shared.exact, "equal"), (shared.near, "nearly equal")):
        if pairs:
            # One image may equal several: each side counts its own.
            of_first, of_second = (len(set(keys)) for keys in zip(*pairs, strict=True))
            examples = _few([f"{first} and {second}" for first, second in pairs])
            counts = f"{of_first} images of {shared.first} are {words} to {of_second} of {shared.second}"
            lines.append(f"warning: {counts}{examples}")
    return lines


def _few(keys: Sequence[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f": {', '.join(keys[:_SHOWN])}{more}"
