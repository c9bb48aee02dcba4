"""The perceptual loss: where its weights come from, what it computes, and where it leaves no trace."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from deblurkit import checkpoint, load_options, train
from deblurkit.errors import UserError
from deblurkit.losses.functional import feature_distance
from deblurkit.losses.perceptual import PerceptualLoss, feature_index
from deblurkit.pretrained import PUBLISHED, MissingWeightsError

VGG19_FILE = PUBLISHED["vgg19"].file


@pytest.fixture(scope="module")
def vgg19() -> torch.nn.Sequential:
    """torchvision's own VGG-19 up to conv3_3, with random weights."""
    from torchvision.models import vgg19 as build

    with torch.device("meta"):
        features = build(weights=None).features[:15]
    features.to_empty(device="cpu")
    torch.manual_seed(3)
    for weight in features.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.05)
    return features


@pytest.fixture
def file(tmp_path: Path, vgg19: torch.nn.Sequential) -> Path:
    """Its weights as torchvision's file names them."""
    path = tmp_path / "vgg.pth"
    torch.save({f"features.{name}": value for name, value in vgg19.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_torchvisions_features(
    file: Path, vgg19: torch.nn.Sequential, value_range: tuple[float, float], normalize: bool
):
    loss = PerceptualLoss(layer="conv3_3", normalize=normalize, weights=str(file))
    loss.value_range = value_range
    pred, target = torch.rand(2, 2, 3, 24, 32)
    low, high = value_range
    found = loss(pred * (high - low) + low, target * (high - low) + low)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def features(image: torch.Tensor) -> torch.Tensor:
        return vgg19((image - mean) / std if normalize else image * (high - low) + low)

    with torch.no_grad():
        wanted = (features(pred) - features(target)).square().mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_caffe_feeds_blue_first_from_0_to_255_less_its_means(
    file: Path, vgg19: torch.nn.Sequential, value_range: tuple[float, float]
):
    loss = PerceptualLoss(layer="relu2_1", normalize="caffe", weights=str(file))
    loss.value_range = low, high = value_range
    pred, target = torch.rand(2, 2, 3, 24, 32)
    found = loss(pred * (high - low) + low, target * (high - low) + low)

    def features(image: torch.Tensor) -> torch.Tensor:
        red, green, blue = (255 * image).unbind(1)
        return vgg19[:7](torch.stack([blue - 103.939, green - 116.779, red - 123.68], dim=1))

    with torch.no_grad():
        wanted = (features(pred) - features(target)).square().mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("value", ["Caffe", "imagenet", 2, None])
def test_another_normalisation_is_refused(value: object):
    with pytest.raises(ValueError, match=f"normalize is true, false or caffe, got {value!r}"):
        PerceptualLoss(normalize=value, weights="random")


def test_option_files_say_true_false_or_caffe(tmp_path: Path):
    def checked(value: str) -> object:
        text = OPTIONS.replace("weights: random", f"weights: random, normalize: {value}")
        (tmp_path / "options.yml").write_text(text, encoding="utf-8")
        return load_options(tmp_path / "options.yml").to_dict()["losses"]["content"]["normalize"]

    assert [checked(value) for value in ("true", "false", "caffe")] == [True, False, "caffe"]
    for value in ("imagenet", "'true'", "1", "[caffe]"):
        with pytest.raises(UserError, match=r"losses\.content\.normalize: should be a valid boolean or .*'caffe'"):
            checked(value)


@pytest.mark.parametrize(("layer", "index"), [("conv1_1", 0), ("conv3_3", 14), ("relu4_3", 24), ("conv5_4", 34)])
def test_layers(layer: str, index: int):
    from torchvision.models import vgg19 as build

    assert feature_index(layer) == index
    with torch.device("meta"):
        module = build(weights=None).features[index]
    assert isinstance(module, torch.nn.Conv2d if layer.startswith("conv") else torch.nn.ReLU)


@pytest.mark.parametrize("layer", ["conv1_3", "conv6_1", "pool3", "3_3", "conv3_5"])
def test_no_such_layer(layer: str):
    with pytest.raises(ValueError, match="layer is convB_C"):
        feature_index(layer)


def test_gradient_reaches_the_image_and_nothing_else(file: Path):
    loss = PerceptualLoss(weights=str(file))
    pred = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss(pred, torch.rand(1, 3, 16, 16)).backward()
    assert pred.grad.abs().sum() > 0
    assert all(not weight.requires_grad and weight.grad is None for weight in loss.parameters())
    assert not loss.train().training


PAIR = torch.tensor([[[[1.0, 7.0]], [[2.0, 7.0]]]]), torch.tensor([[[[4.0, 7.0]], [[-2.0, 7.0]]]])
"""Two positions of two channels: the first differs by -3 and 4, the second not at all."""


@pytest.mark.parametrize(
    ("distance", "wanted", "slope"),
    [
        ("mse", (9 + 16) / 4, [2 * -3 / 4, 2 * 4 / 4]),
        ("l1", (3 + 4) / 4, [-1 / 4, 1 / 4]),
        ("l2", (5 + 0) / (2 * 2 * 1), [-3 / 5 / 4, 4 / 5 / 4]),  # over C W H = 2 * 2 * 1
    ],
)
@pytest.mark.parametrize("copies", [1, 3])
def test_distances_by_hand(distance: str, wanted: float, slope: list[float], copies: int):
    pred, target = (item.repeat(copies, 1, 1, 1).requires_grad_() for item in PAIR)
    value = feature_distance(pred, target, distance)
    assert value.item() == pytest.approx(wanted)
    value.backward()
    assert (copies * pred.grad[0, :, 0, 0]).tolist() == pytest.approx(slope)
    assert not pred.grad[0, :, 0, 1].any(), "equal features pass a zero, not a NaN"


@pytest.mark.parametrize("distance", ["mse", "l1", "l2"])
def test_distance_of_the_loss_and_its_gradient_at_equal_images(file: Path, vgg19: torch.nn.Sequential, distance: str):
    loss = PerceptualLoss(layer="relu1_2", normalize=False, weights=str(file), distance=distance)
    pred, target = torch.rand(2, 1, 3, 6, 5)
    with torch.no_grad():
        d = (vgg19[:4](pred) - vgg19[:4](target))[0]
    positions = [d[:, y, x] for y in range(6) for x in range(5)]
    sums = {
        "mse": sum(float((p * p).sum()) for p in positions),
        "l1": sum(float(p.abs().sum()) for p in positions),
        "l2": sum(float((p * p).sum()) ** 0.5 for p in positions),
    }
    assert loss(pred, target).item() == pytest.approx(sums[distance] / (64 * 6 * 5), rel=1e-4)
    same = target.clone().requires_grad_()
    loss(same, target).backward()
    assert not same.grad.any()


def test_wrong_distance_is_refused():
    with pytest.raises(ValueError, match="distance is mse, l1 or l2, got 'L2'"):
        PerceptualLoss(distance="L2")


def test_missing_weights_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vgg19: torch.nn.Sequential
):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(MissingWeightsError) as caught:
        PerceptualLoss()
    for part in (
        VGG19_FILE,
        str(tmp_path / "checkpoints" / VGG19_FILE),
        "weights: PATH",
        "download: true",
        "weights: random",
    ):
        assert part in str(caught.value)
    with pytest.raises(MissingWeightsError, match=r"there is no file .*nowhere\.pth"):
        PerceptualLoss(weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "checkpoints").mkdir()
    state = {f"features.{name}": value for name, value in vgg19.state_dict().items()}
    torch.save(state, tmp_path / "checkpoints" / VGG19_FILE)
    assert torch.equal(PerceptualLoss().features[0].weight, vgg19[0].weight)


def test_files_that_are_not_vgg19(tmp_path: Path, vgg19: torch.nn.Sequential):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as weights"):
        PerceptualLoss(weights=str(path))
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"not the weights of VGG-19: features\.\d+\.\w+ is missing"):
        PerceptualLoss(weights=str(path))
    state = {f"features.{name}": value for name, value in vgg19.state_dict().items()}
    torch.save({**state, "features.0.weight": torch.zeros(1, 3, 3, 3)}, path)
    with pytest.raises(UserError, match="not the weights of VGG-19") as caught:
        PerceptualLoss(weights=str(path))
    assert str(path) in str(caught.value)


def test_random_weights_are_the_same_everywhere_and_touch_no_stream():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = PerceptualLoss(layer="conv2_1", weights="random")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = PerceptualLoss(layer="conv2_1", weights="random")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert "RANDOM" in one.notes[0]
    image = torch.rand(1, 3, 16, 16)
    assert one(image, image).item() == 0
    assert copy.deepcopy(one)(image, 1 - image).item() > 0


OPTIONS = """
name: perceptual
generator: {type: FilterBankUNet, channels: [4], blocks: 1}
losses: {content: {type: PerceptualLoss, layer: conv1_2, weights: random}}
optimizers: {generator: {type: Adam, lr: 1e-3}}
datasets: {train: {type: SamplePairs, split: train, crop: 32, batch_size: 1}}
train: {iters: 2, ema: {decay: 0.9}}
logging: {tensorboard: false, curves: false}
"""


def test_leaves_no_trace_in_checkpoints_and_says_random_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "options.yml").write_text(OPTIONS, encoding="utf-8")
    folder = train(load_options(tmp_path / "options.yml"), tmp_path / "run", device="cpu")
    state = checkpoint.load(folder / "checkpoints" / "iter_00000002.pth")
    assert state["losses"] == [{"content": {}}]
    assert set(state["optimizers"]) == {"generator"}
    assert len(state["optimizers"]["generator"]["state"]) == len(state["generator"])
    assert "losses.content: PerceptualLoss uses RANDOM VGG-19 weights" in (folder / "log.txt").read_text(
        encoding="utf-8"
    )


def test_dry_run_says_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from deblurkit.engine.dry_run import dry_run

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = OPTIONS.replace(", weights: random", "").replace(
        "SamplePairs, split: train", "PairedImages, blurred: a, sharp: b"
    )
    (tmp_path / "options.yml").write_text(text, encoding="utf-8")
    dry_run(load_options(tmp_path / "options.yml"), "cpu")
    told = capsys.readouterr().out
    assert "RANDOM weights stand in for this trial" in told
    assert "one iteration, generator: term/content" in told
    assert [item.name for item in tmp_path.iterdir()] == ["options.yml"], "it writes nothing"
