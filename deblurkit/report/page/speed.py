"""How fast it was, and what it took."""

from __future__ import annotations

from collections.abc import Iterator

from deblurkit.report.model import PageContent
from deblurkit.report.tables import NOTHING, Table
from deblurkit.results import DatasetResult

_MIB = 2**20
_MEMORY = "live tensors at most, MiB"


def speed_table(content: PageContent) -> Table | None:
    """Returns times, memory and inference modes by data set and candidate; columns that nothing fills are left out.

    ``None`` where nothing was measured, as when restored images were scored that came from elsewhere.
    """
    texts = 2 if content.several else 1  # one candidate alone needs no name
    # A column is there if any row has it: a folder beside a network has no times.
    known: dict[str, None] = {}
    measured: list[tuple[list[str], dict[str, str]]] = []
    for name in content.datasets():
        for candidate in content.candidates:
            values = dict(_measured(candidate.datasets[name]))
            known |= dict.fromkeys(values)
            measured.append(([name, candidate.name][:texts], values))
    if not known:
        return None
    rows = []
    for names, values in measured:
        rows.append([*names, *(dict.fromkeys(known, NOTHING) | values).values()])
    title = "Time and memory" if _MEMORY in known else "Time"
    return Table(title, [*["data set", "candidate"][:texts], *known], rows, texts)


def _measured(entry: DatasetResult) -> Iterator[tuple[str, str]]:
    """Yields what is known, as column and text."""
    if entry.seconds_per_image is not None:
        yield "median, s", f"{entry.seconds_per_image.median:.3f}"
        yield "p95, s", f"{entry.seconds_per_image.p95:.3f}"
    spent = entry.seconds
    for column, value in (
        ("decoding, s", spent.decode),
        ("network, s", spent.network),
        ("scoring, s", spent.metrics),
        ("wall clock, s", spent.wall),
    ):
        if value is not None:
            yield column, f"{value:.1f}"
    if entry.live_bytes is not None:
        yield _MEMORY, f"{entry.live_bytes / _MIB:,.0f}"
    if entry.inference_used:
        yield "inference used", ", ".join(f"{mode}: {images}" for mode, images in entry.inference_used.items())
