"""How fast it was, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deblurkit.report.model import PageContent
from deblurkit.report.page.numbers import datasets_of
from deblurkit.report.tables import NOTHING, Table

_MIB = 2**20
_SECONDS = {"decode": "decoding, s", "network": "network, s", "metrics": "scoring, s", "wall": "wall clock, s"}
_MEMORY = "live tensors at most, MiB"


def speed_table(content: PageContent) -> Table | None:
    """Returns times, memory and inference modes by data set and candidate; columns that nothing fills are left out.

    ``None`` where nothing was measured, as when restored images were scored that came from elsewhere.
    """
    several = len(content.candidates) > 1
    found = [
        (
            {"data set": name, **({"candidate": candidate.name} if several else {})},
            dict(_measured(candidate.metrics["datasets"][name])),
        )
        for name in datasets_of(content)
        for candidate in content.candidates
    ]
    known = dict.fromkeys(column for _, measured in found for column in measured)
    if not known:
        return None
    columns = [*found[0][0], *known]
    rows = [[(named | measured).get(column, NOTHING) for column in columns] for named, measured in found]
    title = "Time and memory" if _MEMORY in known else "Time"
    return Table(title, columns, rows, texts=len(found[0][0]))


def _measured(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    seconds = entry.get("seconds_per_image") or {}
    for name in ("median", "p95"):
        if seconds.get(name) is not None:
            yield f"{name}, s", f"{seconds[name]:.3f}"
    for name, column in _SECONDS.items():
        if (entry.get("seconds") or {}).get(name) is not None:
            yield column, f"{entry['seconds'][name]:.1f}"
    if entry.get("live_bytes") is not None:
        yield _MEMORY, f"{entry['live_bytes'] / _MIB:,.0f}"
    if entry.get("inference_used"):
        yield "inference used", ", ".join(f"{mode}: {images}" for mode, images in entry["inference_used"].items())
