"""LPIPS and DISTS: equal to the packages they come from, read from files only, and honest about their backbones."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import pretrained
from deblurkit.device import computing_in
from deblurkit.errors import UserError
from deblurkit.metrics.images import Array
from deblurkit.metrics.network_metric import BACKBONES, NetworkMetric
from deblurkit.pretrained import PUBLISHED, MissingWeightsError, Published
from deblurkit.registry import METRICS

METRIC_OF = {
    "alex": {"type": "LPIPS", "net": "alex"},
    "squeeze": {"type": "LPIPS", "net": "squeeze"},
    "vgg": {"type": "LPIPS", "net": "vgg"},
    "dists": {"type": "DISTS", "net": "vgg"},
}


def blurred(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


SHARP = np.ascontiguousarray(skimage.data.chelsea()[100:164, 130:210])
BLURRED = blurred(SHARP, 2)


def tensor(image: Array) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """torchvision's cache with the three files, of random features and of classifiers that take little space."""
    from torchvision import models

    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.manual_seed(5)
    for name in BACKBONES.values():
        with torch.device("meta"):
            network = getattr(models, name)(weights=None)
        state = {key: torch.zeros(value.shape, dtype=torch.uint8) for key, value in network.state_dict().items()}
        for key, value in state.items():
            if key.startswith("features."):
                state[key] = torch.randn(value.shape) / max(1, value[0].numel()) ** 0.5
        torch.save(state, folder / "checkpoints" / PUBLISHED[name].file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.hub, "_hub_dir", str(folder))
        yield folder / "checkpoints"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def random_metrics() -> dict[str, NetworkMetric]:
    return {name: METRICS.build({**component, "weights": "random"}) for name, component in METRIC_OF.items()}


@pytest.mark.parametrize(("net", "version"), [("alex", "0.1"), ("vgg", "0.1"), ("squeeze", "0.1"), ("squeeze", "0.0")])
def test_lpips_equals_the_package_that_reads_the_cache(cache: Path, net: str, version: str):
    import lpips

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", UserWarning)
        theirs = lpips.LPIPS(net=net, version=version, verbose=False)
        expected = theirs(2 * tensor(BLURRED) - 1, 2 * tensor(SHARP) - 1).item()
    assert expected > 1e-4
    found = METRICS.build({"type": "LPIPS", "net": net, "version": version})(BLURRED, SHARP)
    assert found == pytest.approx(expected, rel=1e-6)


def test_dists_equals_torchmetrics_that_reads_the_cache(cache: Path):
    from torchmetrics.functional.image.dists import DISTSNetwork

    expected = DISTSNetwork()(tensor(BLURRED), tensor(SHARP)).item()
    assert expected > 1e-3
    assert METRICS.build({"type": "DISTS"})(BLURRED, SHARP) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("name", METRIC_OF)
def test_a_file_by_path_equals_the_cache_and_says_that_it_is_not_published(cache: Path, tmp_path: Path, name: str):
    component = METRIC_OF[name]
    published = PUBLISHED[BACKBONES[component["net"]]]
    moved = tmp_path / "backbone.pth"
    moved.write_bytes((cache / published.file).read_bytes())
    by_path, by_cache = (METRICS.build({**component, "weights": weights}) for weights in (str(moved), None))
    assert by_path(BLURRED, SHARP) == by_cache(BLURRED, SHARP) > 0
    for metric in (by_path, by_cache):
        assert metric.notes == [
            f"{metric.title}: the backbone is not torchvision's published {published.file} (its SHA-256 differs); "
            "compare with no others"
        ]


def test_a_published_file_needs_no_note(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = (cache / PUBLISHED["squeezenet1_1"].file).read_bytes()
    file = tmp_path / "any_name.pth"
    file.write_bytes(content)
    known = Published("SqueezeNet 1.1", f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    monkeypatch.setitem(pretrained.PUBLISHED, "squeezenet1_1", known)
    assert METRICS.build({"type": "LPIPS", "net": "squeeze", "weights": str(file)}).notes == []


@pytest.mark.parametrize("name", METRIC_OF)
def test_random_backbones_are_labelled_the_same_everywhere_and_touch_no_stream(
    random_metrics: dict[str, NetworkMetric], name: str, capfd: pytest.CaptureFixture[str]
):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = METRICS.build({**METRIC_OF[name], "weights": "random"})
    assert torch.equal(torch.get_rng_state(), before)
    assert again(BLURRED, SHARP) == random_metrics[name](BLURRED, SHARP)
    measure = again.title.split()[0]
    assert again.notes == [f"{again.title}: random backbone, this is not {measure}"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", METRIC_OF)
def test_zero_for_identical_images_and_more_for_more_blur(random_metrics: dict[str, NetworkMetric], name: str):
    metric = random_metrics[name]
    before = SHARP.copy()
    assert metric(SHARP, SHARP) == pytest.approx(0, abs=1e-12)
    values = [metric(blurred(SHARP, sigma), SHARP) for sigma in (0.8, 1.5, 3)]
    assert 0 < values[0] < values[1] < values[2]
    assert np.array_equal(SHARP, before)
    assert (metric.higher_is_better, metric.unit, metric.needs_sharp) == (False, "", True)
    assert not any(weight.requires_grad for weight in metric.network.parameters())
    assert metric.to("cpu") is metric


@pytest.mark.parametrize("name", ["squeeze", "dists"])
def test_value_does_not_depend_on_the_number_format(random_metrics: dict[str, NetworkMetric], name: str):
    metric = random_metrics[name]
    expected = metric(BLURRED, SHARP)
    assert metric(BLURRED.astype(np.uint16) * 257, SHARP.astype(np.uint16) * 257) == pytest.approx(expected, rel=1e-4)
    for dtype in (np.float32, np.float64):
        pair = [(image / 255).astype(dtype) for image in (BLURRED, SHARP)]
        assert metric(*pair) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["alex", "dists"])
def test_threads_get_the_same_values(random_metrics: dict[str, NetworkMetric], name: str):
    metric = random_metrics[name]
    images = [blurred(SHARP[:48, :48], 0.5 + step / 4) for step in range(8)]
    expected = [metric(image, SHARP[:48, :48]) for image in images]
    assert len(set(expected)) == len(expected)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: metric(image, SHARP[:48, :48]), images)) == expected


class Switches(torch.nn.Module):
    """Notes whether TF32 is allowed while it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        self.seen.append(switches())
        return (first - second).abs().mean()


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def tf32_everywhere() -> Iterator[None]:
    before = switches()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(("precision", "allowed"), [("tf32", True), ("fp32", False)])
@pytest.mark.usefixtures("tf32_everywhere")
def test_networks_compute_in_full_precision_whatever_a_generator_beside_them_does(precision: str, allowed: bool):
    network = Switches()
    metric = NetworkMetric("Switches", network, [])
    with ThreadPoolExecutor(1) as pool:
        with computing_in(precision, "cuda"):
            job = pool.submit(metric, BLURRED, SHARP)
            wait([job], timeout=0.1)
            assert switches() == (allowed, allowed)
        assert job.result() > 0
    assert network.seen == [(False, False)]
    assert switches() == (True, True)


@pytest.mark.parametrize("name", METRIC_OF)
def test_missing_files_say_where_to_put_them_and_are_not_fetched(empty_cache: Path, name: str):
    component = METRIC_OF[name]
    published = PUBLISHED[BACKBONES[component["net"]]]
    with pytest.raises(MissingWeightsError) as caught:
        METRICS.build(component)
    for part in (
        f"{published.title} for {component['type']} ({component['net']}) are missing",
        f"put {published.file} at {empty_cache / published.file}",
        f"`--backbone {component['net']}=FILE`",
        f"`--backbone {component['net']}=random`",
        f"https://download.pytorch.org/models/{published.file}",
    ):
        assert part in str(caught.value)
    with pytest.raises(MissingWeightsError, match=rf"there is no file .*nowhere\.pth.*{published.file}"):
        METRICS.build({**component, "weights": str(empty_cache / "nowhere.pth")})


def test_files_of_something_else_are_refused(cache: Path, tmp_path: Path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as weights"):
        METRICS.build({"type": "LPIPS", "weights": str(file)})
    torch.save({"features.0.weight": Path("an object")}, file)
    with pytest.raises(UserError, match="cannot be read as weights") as caught:
        METRICS.build({"type": "LPIPS", "weights": str(file)})
    assert "weights_only" not in str(caught.value), "PyTorch's advice would execute what is in the file"
    assert f"expected the ImageNet weights of AlexNet for LPIPS (alex) ({PUBLISHED['alexnet'].file})" in str(
        caught.value
    )
    other = cache / PUBLISHED["squeezenet1_1"].file
    with pytest.raises(UserError, match=f"{other.name}: not the weights of AlexNet: features") as caught:
        METRICS.build({"type": "LPIPS", "weights": str(other)})
    assert str(cache) in str(caught.value)
    with pytest.raises(UserError, match="not the weights of VGG-16"):
        METRICS.build({"type": "DISTS", "weights": str(cache / PUBLISHED["alexnet"].file)})


def test_weights_stored_in_half_precision_are_computed_in_single(cache: Path, tmp_path: Path):
    state = torch.load(cache / PUBLISHED["squeezenet1_1"].file, weights_only=True)
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / "half.pth")
    metric = METRICS.build({"type": "LPIPS", "net": "squeeze", "weights": str(tmp_path / "half.pth")})
    expected = METRICS.build({"type": "LPIPS", "net": "squeeze"})(BLURRED, SHARP)
    assert metric(BLURRED, SHARP) == pytest.approx(expected, rel=1e-2)


def test_mistakes_are_named(random_metrics: dict[str, NetworkMetric]):
    with pytest.raises(UserError, match=r"net is one of .*'alexx' \(did you mean 'alex'\?\)"):
        METRICS.build({"type": "LPIPS", "net": "alexx", "weights": "random"})
    with pytest.raises(UserError, match=r"version is one of 0\.0, 0\.1, got '1'"):
        METRICS.build({"type": "LPIPS", "version": "1", "weights": "random"})
    with pytest.raises(UserError, match="net is vgg, got 'alex'"):
        METRICS.build({"type": "DISTS", "net": "alex", "weights": "random"})
    for metric in random_metrics.values():
        with pytest.raises(ValueError, match="needs at least 32 x 32 pixels, the images have 31 x 40"):
            metric(SHARP[:31, :40], SHARP[:31, :40])
        assert metric(BLURRED[:32, :32], SHARP[:32, :32]) > 0
        with pytest.raises(ValueError, match="differ in shape"):
            metric(SHARP, SHARP[1:])
        with pytest.raises(ValueError, match=r"shape \(h, w, 3\), these have \(64, 80\)"):
            metric(SHARP[..., 0], SHARP[..., 0])
        with pytest.raises(ValueError, match="not int64"):
            metric(SHARP.astype(np.int64), SHARP.astype(np.int64))
