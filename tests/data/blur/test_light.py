from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.blur.camera_response import QUANTISATIONS, RESPONSES, quantise, response
from deblurkit.data.shake import srgb_to_linear
from deblurkit.errors import UserError

EVERY_LEVEL = {np.uint8: np.arange(256, dtype=np.uint8), np.uint16: np.arange(65536, dtype=np.uint16)}


def curve_file(folder: Path, curve: np.ndarray, suffix: str) -> Path:
    file = folder / f"kurve é{suffix}"
    if suffix == ".npy":
        np.save(file, curve)
    else:
        separator = ", " if suffix == ".csv" else "\n"
        file.write_text(separator.join(f"{value:.17g}" for value in curve), encoding="utf-8")
    return file


@pytest.fixture(params=[*RESPONSES, "measured"])
def any_response(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param != "measured":
        return response(request.param)
    s_shaped = np.cumsum(1 + np.sin(np.linspace(0, np.pi, 256)))
    return response(str(curve_file(tmp_path, s_shaped, ".csv")))


@pytest.mark.parametrize("how", QUANTISATIONS)
@pytest.mark.parametrize(
    ("levels", "floats"), [(np.uint8, np.float32), (np.uint8, np.float64), (np.uint16, np.float64)]
)
def test_every_level_survives_the_way_to_light_and_back(any_response, how: str, levels: type, floats: type):
    image = EVERY_LEVEL[levels]
    light = any_response.decode(image, floats)
    assert light.dtype == floats
    assert light.max() == 1
    assert light.min() >= 0
    assert (np.diff(light) > 0).all()
    encoded = any_response.encode(light)
    assert encoded.dtype == floats
    np.testing.assert_array_equal(quantise(encoded, how, levels), image)


def test_the_named_responses_are_the_published_formulas():
    half = np.full((1, 2, 3), 128, np.uint8)
    np.testing.assert_allclose(response("linear").decode(half), 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(response("gamma").decode(half), (128 / 255) ** 2.2, rtol=1e-6)
    np.testing.assert_array_equal(response("srgb").decode(EVERY_LEVEL[np.uint8]), srgb_to_linear(EVERY_LEVEL[np.uint8]))
    assert response("gamma").decode(half).shape == (1, 2, 3)


def test_light_outside_is_clipped(any_response):
    np.testing.assert_array_equal(quantise(any_response.encode(np.array([-0.5, 1.0, 7.0], np.float32)))[1:], [255, 255])
    assert any_response.encode(np.array([-0.5])) == any_response.encode(np.array([0.0]))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".npy"])
def test_a_measured_curve_may_have_any_unit(tmp_path: Path, suffix: str):
    lux = 731.5 * (np.arange(256) / 255) ** 2.2
    measured = response(str(curve_file(tmp_path, lux, suffix)))
    np.testing.assert_allclose(
        measured.decode(EVERY_LEVEL[np.uint8], np.float64),
        response("gamma").decode(EVERY_LEVEL[np.uint8], np.float64),
        atol=1e-12,
    )
    halfway = measured.decode(np.array([128 * 257 + 128], np.uint16), np.float64)
    np.testing.assert_allclose(halfway, (lux[128] + (lux[129] - lux[128]) * 128 / 257) / lux[-1])


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (np.arange(255.0), "it holds 255 numbers, expected 256"),
        (np.arange(256.0) - 1, "finite and not negative"),
        (np.append(np.arange(255.0), np.inf), "finite and not negative"),
        (np.minimum(np.arange(256.0), 200), "must ascend, but level 200 has 200 and level 201 has 200"),
    ],
)
def test_what_is_no_curve_is_refused(tmp_path: Path, suffix: str, curve: np.ndarray, message: str):
    file = curve_file(tmp_path, curve, suffix)
    with pytest.raises(UserError, match=message) as raised:
        response(str(file))
    assert str(file) in str(raised.value)


def test_other_mistakes_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"'gama' is neither .* \(did you mean 'gamma'\?\)"):
        response("gama")
    words = tmp_path / "curve.txt"
    words.write_text("zero one two", encoding="utf-8")
    with pytest.raises(UserError, match=r"curve\.txt: it cannot be read as numbers"):
        response(str(words))
    words.rename(tmp_path / "curve.npy")
    with pytest.raises(UserError, match=r"curve\.npy: it cannot be read as numbers"):
        response(str(tmp_path / "curve.npy"))
    with pytest.raises(ValueError, match=r"'trunc' \(did you mean 'truncate'\?\)"):
        quantise(np.zeros(1), "trunc")
    with pytest.raises(ValueError, match="expected uint8 or uint16, got float32"):
        response("gamma").decode(np.zeros(1, np.float32))


def test_rounding_and_truncating_differ_where_they_should():
    encoded = np.array([10.4, 10.5, 10.9, 11.0]) / 255
    np.testing.assert_array_equal(quantise(encoded, "round"), [10, 11, 11, 11])
    np.testing.assert_array_equal(quantise(encoded, "truncate"), [10, 10, 10, 11])


def test_it_can_be_sent_to_workers(any_response):
    again = pickle.loads(pickle.dumps(any_response))
    levels = EVERY_LEVEL[np.uint8]
    np.testing.assert_array_equal(again.decode(levels), any_response.decode(levels))


def test_what_tells_a_response_from_others(tmp_path: Path):
    assert [response(name).identity() for name in RESPONSES] == list(RESPONSES)
    curve = np.linspace(0, 1, 256) ** 2.0
    known = response(str(curve_file(tmp_path, curve, ".npy"))).identity()
    assert known.startswith("sha256:")
    assert response(str(curve_file(tmp_path, curve, ".txt"))).identity() == known, "the numbers are the same"
    curve[100] = np.nextafter(curve[100], 1)
    assert response(str(curve_file(tmp_path, curve, ".npy"))).identity() != known
