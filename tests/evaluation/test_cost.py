"""What generators cost: counts against hand counts, statistics of given times, tables, JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deblurkit.costs import CostReport, GeneratorCost, Latency, SizeCost
from deblurkit.errors import UserError
from deblurkit.evaluation import cost
from deblurkit.inference.memory import LiveTensors
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.options.schema import Options
from deblurkit.registry import ARCHS
from deblurkit.report import costs

CPU = torch.device("cpu")


class CostsLittle(nn.Module):
    """Two convolutions; counted by hand in the tests."""

    size_divisor = 16

    def __init__(self, inplace: bool = False, widest: int = 10_000) -> None:
        super().__init__()
        self.widest = widest
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace), nn.Conv2d(8, 3, 1))

    def forward(self, blurred: Tensor) -> dict[str, Tensor]:
        assert not self.training
        if blurred.shape[-1] > self.widest:
            raise ValueError(f"at most {self.widest} wide\nreally")
        return {"image": self.body(blurred)}


class CostsUnbuildable(nn.Module):
    """Never comes to be."""

    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("out of paper")

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    for network in (CostsLittle, CostsUnbuildable):
        ARCHS.register_module(module=network, force=True)


PARAMETERS = (3 * 9 + 1) * 8 + (8 + 1) * 3
PUBLISHED = {"parameters": 200.0, "mib": 0.001, "gmacs_256": 0.02, "gmacs_720p": 0.2, "seconds_720p": 0.5}


def macs(height: int, width: int) -> int:
    return height * width * (3 * 9 * 8 + 8 * 3)


def options(type_: str = "CostsLittle", published: dict[str, float] | None = None, **arguments: object) -> Options:
    paper = {"title": "A paper", "cost": published} if published else None
    return options_from_dict(
        {"name": f"the_{type_}", "paper": paper, "generator": {"type": type_, **arguments}}, "test.yml"
    )


def little(**arguments: object) -> nn.Module:
    with torch.device("meta"):
        return CostsLittle(**arguments).eval()


def test_work_against_a_hand_count():
    assert cost.count(little(), (32, 48)).macs == macs(32, 48)
    with torch.device("meta"):
        doubling = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ConvTranspose2d(4, 3, 2, stride=2)).eval()
    assert cost.count(doubling, (8, 8)).macs == 4 * 4 * (3 * 4 * 4) + 4 * 4 * (4 * 4 * 3), "at its input positions"


@pytest.mark.parametrize(("inplace", "channels"), [(False, 8 + 8), (True, 8 + 3)])
def test_live_peak_against_a_hand_count(inplace: bool, channels: int):
    """A new ReLU map stands beside its input; in place, the greatest pair is the last convolution's."""
    assert cost.count(little(inplace=inplace), (32, 48)).live_peak_bytes == 4 * channels * 32 * 48


def test_live_peak_is_the_same_where_it_is_computed():
    torch.manual_seed(0)
    real = CostsLittle().eval()
    assert cost.count(real, (30, 50)) == cost.count(little(), (30, 50))


def test_live_tensors_count_views_once_and_what_is_given_or_gone_not_at_all():
    given = torch.ones(1000)
    with LiveTensors([given]) as memory:
        view = (given.view(10, 100) + 1).t()
        assert view[0, 0] == 2
        del view
        kept = given * 2  # 4000 bytes again, where the first sum was
        more = kept[:500].clone()
        assert more.shape == (500,)
    assert memory.peak_bytes == 4000 + 2000


def test_sizes_that_do_not_divide_are_counted_as_they_are_padded():
    padded = cost.count(little(), (30, 50))
    assert (padded.computed_size, padded.macs) == ("32x64", macs(32, 64))
    row = cost.measure_generator(options(), "x.yml", ["720x1272"]).sizes[0]
    assert (row.size, row.computed_size) == ("720x1272", "720x1280")
    assert f"{macs(720, 1280) / 1e9:.3f} (as 720x1280)" in costs.markdown(CostReport([_of(row)], {}, {}))


def _of(*sizes: SizeCost, failures: tuple[str, ...] = ()) -> GeneratorCost:
    return GeneratorCost("n", "n.yml", "CostsLittle", {}, PARAMETERS, sizes, failures)


def test_a_generator_in_all():
    timing = cost.Timing(CPU, ["16x16"], repeats=3, warmup=1)
    found = cost.measure_generator(options(published=PUBLISHED), "x.yml", ["16x16", "256x256", "720x1280"], timing)
    assert (found.parameters, found.mib) == (PARAMETERS, 4 * PARAMETERS / 2**20)
    assert [size.macs for size in found.sizes] == [macs(16, 16), macs(256, 256), macs(720, 1280)]
    assert [size.latency and size.latency.repeats for size in found.sizes] == [3, None, None]
    assert found.why_incomplete() == []


def test_median_and_95th_percentile():
    seconds = [float(value) for value in range(100, -1, -1)]
    assert cost.latency_of(seconds) == Latency(50.0, 95.0, 101)
    assert cost.latency_of([1.0, 2.0]) == Latency(1.5, pytest.approx(1.95), 2)
    assert cost.latency_of([3.0]) == Latency(3.0, 3.0, 1)


def test_images_before_the_timed_ones_are_not_counted():
    runs = []
    network = CostsLittle().eval()
    network.register_forward_hook(lambda *_: runs.append(torch.is_inference_mode_enabled()))
    assert cost.time_images(network, (16, 16), cost.Timing(CPU, repeats=2, warmup=3)).repeats == 2
    assert runs == [True] * 5


def test_what_is_timed():
    assert cost.Timing(CPU).includes("256x256")
    assert not cost.Timing(CPU).includes("720x1280")
    assert cost.Timing(torch.device("cuda")).includes("720x1280")
    assert cost.Timing(CPU, ["720x1280"]).includes("720x1280")
    assert not cost.Timing(CPU, ["720x1280"]).includes("256x256")


def test_deviations():
    timed = SizeCost("720x1280", "720x1280", 230_000_000, latency=Latency(2.0, 3.0, 9))
    small = SizeCost("256x256", "256x256", 15_000_000)
    found = GeneratorCost("n", "n.yml", "CostsLittle", PUBLISHED, 250, (small, timed))
    compared = {item.figure: (item.measured, item.deviation_percent) for item in costs.compare(found)}
    assert compared == {
        "parameters": (250, pytest.approx(25.0)),
        "mib": (1000 / 2**20, pytest.approx(100 * (1000 / 2**20 / 0.001 - 1))),
        "gmacs_256": (0.015, pytest.approx(-25.0)),
        "gmacs_720p": (0.23, pytest.approx(15.0)),
        "seconds_720p": (2.0, None),  # another machine's
    }
    page = costs.markdown(CostReport([found], {}, {}))
    assert "| n | parameters | 250 | 200 | +25.00 % |" in page.replace("\\_", "_")
    assert "| n | seconds_720p | 2.000 | 0.500 | - |" in page.replace("\\_", "_")


def test_figures_that_were_not_measured_have_no_deviation():
    found = cost.measure_generator(options(published=PUBLISHED), "x.yml", ["64x64"])
    compared = {item.figure: item.deviation_percent for item in costs.compare(found)}
    assert [name for name, value in compared.items() if value is None] == ["gmacs_256", "gmacs_720p", "seconds_720p"]


def test_what_fails_says_why_and_the_rest_goes_on():
    timing = cost.Timing(CPU, repeats=1, warmup=0)
    experiments = {"a.yml": options(widest=64), "b.yml": options("CostsUnbuildable"), "c.yml": options()}
    seen: list[tuple[str, int, int]] = []
    found = cost.measure_all(experiments, ["64x64", "64x80"], timing, lambda *step: seen.append(step))
    assert [line for row in found for line in row.why_incomplete()] == [
        "the_CostsLittle, 64x80: ValueError: at most 64 wide",
        found[1].why_incomplete()[0],
    ]
    assert "out of paper" in found[1].why_incomplete()[0]
    assert found[0].sizes[0].latency is not None
    assert (found[0].sizes[1].macs, found[0].sizes[1].latency) == (None, None)
    assert (found[1].parameters, found[2].parameters) == (None, PARAMETERS)
    assert seen == [("measuring", done, 3) for done in (1, 2, 3)]
    page = costs.markdown(CostReport(found, {}, {}))
    assert "| the_CostsUnbuildable | CostsUnbuildable | failed | - | failed | failed |" in page.replace("\\_", "_")
    assert "- the_CostsLittle, 64x80: ValueError: at most 64 wide" in page.replace("\\_", "_")


@pytest.mark.parametrize("text", ["720", "720x", "0x64", "-1x64", "64 x 64", "64X64", "064x64", "123456x1"])
def test_sizes_that_are_none(text: str):
    with pytest.raises(UserError, match="HEIGHTxWIDTH"):
        cost.measure_generator(options(), "x.yml", [text])


@pytest.mark.parametrize(
    ("arguments", "message"), [({"precision": "fp8"}, "fp8"), ({"repeats": 0}, "got 0"), ({"warmup": -1}, "and -1")]
)
def test_timings_that_cannot_be(arguments: dict, message: str):
    with pytest.raises(UserError, match=message):
        cost.Timing(CPU, **arguments)


def test_json_holds_every_figure():
    timing = cost.Timing(CPU, repeats=2, warmup=0)
    measured = [
        cost.measure_generator(options(published=PUBLISHED), "x.yml", ["16x16"], timing),
        cost.measure_generator(options("CostsUnbuildable"), "y.yml", ["16x16"], timing),
    ]
    content = json.loads(costs.as_json(cost.cost_report(measured, timing)), parse_constant=pytest.fail)
    assert list(content) == ["methods", "environment", "generators", "ratios"]
    assert set(content["methods"]) == {"macs", "live_peak", "latency", "published"}
    assert {"date", "torch", "device", "threads", "precision", "warmup", "repeats"} <= set(content["environment"])
    first, second = content["generators"]
    assert set(first) == {"name", "file", "generator", "published", "parameters", "sizes", "failures", "mib"}
    assert (first["file"], first["parameters"], first["failures"]) == ("x.yml", PARAMETERS, [])
    (size,) = first["sizes"]
    assert (size["size"], size["computed_size"], size["macs"]) == ("16x16", "16x16", macs(16, 16))
    assert size["live_peak_bytes"] == 4 * 16 * 16 * 16
    assert size["device_peak_bytes"] is None
    assert 0 < size["latency"]["median_s"] <= size["latency"]["p95_s"] < math.inf
    assert [item["figure"] for item in first["published"]] == list(PUBLISHED)
    assert set(first["published"][0]) == {"figure", "published", "measured", "deviation_percent"}
    assert second["parameters"] is None
    assert second["failures"]


def test_markdown_tables_are_whole():
    timing = cost.Timing(CPU, repeats=2, warmup=0)
    measured = [cost.measure_generator(options(published=PUBLISHED), "x.yml", ["16x16"], timing)]
    page = costs.markdown(cost.cost_report(measured, timing))
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# What the generators cost",
        "## Size and work",
        "## Beside the published figures",
        "## Memory and time of one image",
        "## How it was measured",
        "## Where",
    ]
    for table in page.split("\n## ")[1:4]:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1
        assert len(rows) > 2
    assert "flop" in page
    assert "live peak" in page


def test_without_timing_nothing_is_said_of_a_device():
    found = cost.measure_generator(options(), "x.yml", ["16x16"])
    report = cost.cost_report([found], None)
    assert set(report.methods) == {"macs", "live_peak", "published"}
    assert str(report.environment["device"]).startswith("meta")
    assert "median" not in costs.markdown(report)


def test_targets_are_checked_first(tmp_path: Path):
    costs.check_targets(None, str(tmp_path / "new.md"))
    with pytest.raises(UserError, match="is a folder"):
        costs.check_targets(None, str(tmp_path))
    with pytest.raises(UserError, match="there is no folder"):
        costs.check_targets(str(tmp_path / "no" / "new.md"))


def test_option_files_are_told_in_order_and_read_all_at_once(tmp_path: Path):
    (tmp_path / "deeper").mkdir()
    for name in ("b.yml", "a.yml", "deeper/c.yml", "readme.md"):
        (tmp_path / name).write_text("name: x\ngenerator: {type: CostsLittle}\n", encoding="utf-8")
    files = cost.option_files(str(tmp_path))
    assert [Path(file).name for file in files] == ["a.yml", "b.yml"]
    assert list(cost.load_all(files, ["generator.inplace=true"])) == files
    with pytest.raises(UserError) as caught:
        cost.load_all([*files, "missing.yml"], ["generator.inplce=true"])
    assert len(caught.value.problems) >= 2
    with pytest.raises(UserError, match="no option files"):
        cost.option_files(str(tmp_path / "nowhere"))


def test_the_baselines_own_figures(checkout: Path):
    found = cost.measure_generator(load_options(checkout / "options" / "deblurgan.yml"), "deblurgan.yml")
    assert found.parameters == 11_378_179
    assert [round(size.macs / 1e9, 3) for size in found.sizes] == [49.552, 696.818]
