"""What every registered blur keeps; a new one is tested by being registered and given arguments here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblurkit.errors import UserError
from deblurkit.registry import BLURS
from deblurkit.testing import contract_tests
from deblurkit.testing.blurs import ROUNDING, compare_batch, inside, scene, size_of

STROKE = str(Path(__file__).resolve().parents[1] / "files" / "stroke.png")  # a short diagonal one

SMALL: dict[str, dict[str, Any]] = {
    "Shake": {"extent": [4, 8], "roll": [0, 1], "tilt": [0, 0.1], "margin": 16, "steps": 8},
    "ObjectMotion": {"extent": [4, 8], "margin": 16, "steps": 8, "camera": {"extent": [0, 2], "tilt": [0, 0]}},
    "Kernels": {"kernels": STROKE},
}
test_contracts = contract_tests("deblurkit.data.blur", kinds=["blur"], arguments=SMALL)

GREAT: dict[str, dict[str, Any]] = {  # motion; the margins are found
    "Shake": {"extent": [8, 12], "roll": [45, 45], "tilt": [1, 1], "focal": 300.0, "jerk": 3, "margin": 0},
    "ObjectMotion": {
        "extent": [0, 1],  # so that turning alone decides how far objects reach
        "rotation": [45, 45],
        "scale": [0.3, 0.3],
        "diameter": [0.5, 1],
        "objects": 2,
        "camera": {"extent": [0, 1], "roll": [0, 0.5], "tilt": [0, 0.1]},
        "exposure": 0.9,
        "margin": 0,
        "steps": 12,
    },
    "Kernels": {"kernels": STROKE, "rotate": True, "scale": [0.5, 2]},
    "Defocus": {"radius": [6, 9]},
    "Still": {},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.cuda),
]
FRAME = 40  # pixels put around an image
NAMES = [name for name in BLURS.names() if BLURS.get(name).__module__.startswith("deblurkit.")]
WITH_BATCHES = [name for name in NAMES if hasattr(BLURS.get(name), "expose_batch")]


@pytest.fixture
def great_blur(request: pytest.FixtureRequest) -> Any:
    """A blur that reaches far, with the least margin that it accepts."""
    assert request.param in GREAT, f"{request.param} is registered in BLURS: add its arguments to GREAT"
    arguments = {"type": request.param, **GREAT[request.param]}
    blur = BLURS.build(arguments)
    try:
        blur.draw(size_of(blur), np.random.default_rng(0))
    except UserError as error:
        (needed,) = re.findall(r"set margin: (\d+)", str(error))
        blur = BLURS.build({**arguments, "margin": int(needed)})
    return blur


def framed(drawn: dict[str, np.ndarray], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What was drawn, for the same scene with ``FRAME`` more pixels on each side: masks go on as their border is."""
    shift = np.array([[1, 0, FRAME], [0, 1, FRAME], [0, 0, 1]])
    found = {}
    for name, values in drawn.items():
        if values.dtype == np.float64 and values.shape[-2:] == (3, 3):
            found[name] = shift @ values @ np.linalg.inv(shift)
        elif values.shape[-2:] == size:
            found[name] = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(FRAME, FRAME)] * 2, mode="edge")
        else:
            found[name] = values
    return found


@pytest.mark.parametrize("great_blur", NAMES, indirect=True)
def test_what_is_kept_does_not_depend_on_what_lies_around_the_margin(great_blur: Any) -> None:
    size = size_of(great_blur)
    linear = scene(size)
    wider = np.pad(linear, ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), constant_values=1.0)
    most = 0.0
    for seed in range(12):
        drawn = great_blur.draw(size, np.random.default_rng(seed))
        if "origins" in drawn:  # an object's light is mirrored by design where it lies outside: here it never does
            drawn["origins"] = np.broadcast_to(np.eye(3), drawn["origins"].shape)
        alone = great_blur.expose(linear, drawn)
        among = great_blur.expose(wider, framed(drawn, size))
        for one, other in zip(alone, (image[FRAME:-FRAME, FRAME:-FRAME] for image in among), strict=True):
            kept = inside(one, great_blur.margin), inside(other, great_blur.margin)
            np.testing.assert_allclose(*kept, atol=ROUNDING)
            most = max(most, float(np.abs(one - other).max()))
    assert (most > 0.05) == (great_blur.margin > 0)  # the margin does depend on it


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("great_blur", WITH_BATCHES, indirect=True)
def test_a_batch_is_exposed_as_its_images_are(great_blur: Any, device: str) -> None:
    """Borders included."""
    compare_batch(great_blur, device)
