from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.ndimage import convolve as exact_convolve

from deblurkit.data.blur.kernel_files import centred, read_kernels
from deblurkit.data.blur.kernels import Kernels, convolve, convolve_batch
from deblurkit.data.images import write_image
from deblurkit.data.shake import srgb_to_linear
from deblurkit.errors import UserError


def _lopsided(side: int = 7) -> np.ndarray:
    """Weights that no turn and no mirror leaves as they are."""
    weights = np.zeros((side, side))
    weights[1, 1 : side - 1] = np.arange(1, side - 1)
    weights[1 : side - 1, 1] = 2
    weights[side - 2, 2] = 5
    return weights


def _grey(weights: np.ndarray) -> np.ndarray:
    return np.repeat(weights[..., None], 3, axis=2).astype(np.uint8)


def _save_hdf5(path: Path, cells: list[np.ndarray]) -> None:
    """Write a version 7.3 file as MATLAB does: a cell array of references, dimensions reversed, an empty part."""
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")
        references = [group.create_dataset(chr(98 + i), data=cell.T).ref for i, cell in enumerate(cells)]
        empty = group.create_dataset("a", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        kernels = file.create_dataset("kernels", (len(cells), 1), dtype=h5py.ref_dtype)
        kernels[:, 0] = references
        text = file.create_dataset("text", data=np.full((9, 1), 65, np.uint16))
        text.attrs["MATLAB_class"] = np.bytes_("char")
        file["stack"] = np.stack(cells, axis=2).T  # (h, w, n) in MATLAB
    with path.open("r+b") as file:
        head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
        file.write(head)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".txt", ".mat", ".bmp"])
def test_every_format_gives_the_same_kernel(tmp_path: Path, suffix: str) -> None:
    weights, path = _lopsided(), tmp_path / f"kernel{suffix}"
    if suffix == ".npy":
        np.save(path, weights)
    elif suffix == ".txt":
        path.write_text("\n".join(",".join(f"{weight:g}" for weight in row) for row in weights))
    elif suffix == ".mat":
        savemat(path, {"kernel": weights, "gain": 2.0})
    else:
        write_image(path, _grey(weights))
    (kernel,) = read_kernels(str(path))
    np.testing.assert_array_equal(kernel.weights, centred(weights))
    assert kernel.weights.dtype == np.float32
    assert kernel.weights.sum() == pytest.approx(1, abs=1e-6)


def test_all_arrays_of_matlab_files_are_found(tmp_path: Path) -> None:
    cells = [_lopsided(side) for side in (5, 7, 9)]
    boxed = np.empty((1, 3), dtype=object)
    boxed[0] = cells
    inside = {"settings": {"psf": cells[0], "iterations": 3}, "stack": np.stack([cells[1]] * 2, axis=2)}
    savemat(tmp_path / "old.mat", {"kernels": boxed, "name": "text", "nothing": np.empty((0, 0)), **inside})
    found = {kernel.name.rpartition(": ")[2]: kernel.weights for kernel in read_kernels(str(tmp_path / "old.mat"))}
    names = ["kernels{1}", "kernels{2}", "kernels{3}", "settings.psf", "stack(:,:,1)", "stack(:,:,2)"]
    assert list(found) == names
    for name, expected in zip(names, [*cells, cells[0], cells[1], cells[1]], strict=True):
        np.testing.assert_array_equal(found[name], centred(expected), err_msg=name)

    _save_hdf5(tmp_path / "new.mat", [cells[1], cells[1].T])
    found = {kernel.name.rpartition(": ")[2]: kernel.weights for kernel in read_kernels(str(tmp_path / "new.mat"))}
    assert list(found) == ["kernels{1}", "kernels{2}", "stack(:,:,1)", "stack(:,:,2)"]
    for name, expected in zip(found, [cells[1], cells[1].T] * 2, strict=True):
        np.testing.assert_array_equal(found[name], centred(expected), err_msg=name)
    only = read_kernels(f"{tmp_path}/new.mat:stack")
    assert len(only) == 2


def test_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.npy", "a.npy"):
        np.save(tmp_path / name, _lopsided())
    np.save(tmp_path / "stack.npy", np.stack([_lopsided()] * 3))
    (tmp_path / "notes.md").write_text("nothing")
    assert [Path(kernel.name).name for kernel in read_kernels(f"{tmp_path}/?.npy")] == ["a.npy", "b.npy"]
    assert len(read_kernels(str(tmp_path))) == 5


def test_every_problem_is_said_with_file_and_array(tmp_path: Path) -> None:
    weights = _lopsided()
    savemat(tmp_path / "a.mat", {"x": np.zeros((255, 255)) + 1, "f": weights, "minus": -weights, "zero": weights * 0})
    (tmp_path / "b.mat").write_bytes(b"no MATLAB file")
    (tmp_path / "c.npy").write_bytes(b"")
    (tmp_path / "d.png").write_text("text")
    (tmp_path / "e.txt").write_text("1 2\n3 nan\n")
    write_image(tmp_path / "f.png", np.random.default_rng(0).integers(0, 255, (5, 5, 3), np.uint8))
    (tmp_path / "g.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(UserError) as caught:
        read_kernels(str(tmp_path))
    problems = "\n".join(caught.value.problems)
    for said in (
        "a.mat: x: 255 x 255 is too large for a kernel",
        "a.mat: minus: a weight is negative (-5)",
        "a.mat: zero: all weights are zero",
        "b.mat: it cannot be read as a MATLAB file",
        "c.npy: it cannot be read as numbers",
        "d.png: it cannot be decoded",
        "e.txt: a weight is not finite",
        "f.png: a colour image",
        "g.mat: it cannot be read as a MATLAB 7.3 file",
    ):
        assert said in problems
    assert len(caught.value.problems) == 9
    with pytest.raises(UserError, match=r"no variable 'F'.*did you mean 'f'"):
        read_kernels(f"{tmp_path}/a.mat:F")
    assert len(read_kernels(f"{tmp_path}/a.mat:f")) == 1
    with pytest.raises(UserError, match="no file of kernels is there"):
        read_kernels(f"{tmp_path}/none/*.png")


def test_files_that_hold_no_array_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    np.save(tmp_path / "flat.npy", np.zeros((0, 5)))
    np.savez(tmp_path / "several.npz", a=1)
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    (tmp_path / "torn.npy").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError) as caught:
        read_kernels(str(tmp_path))
    assert [problem.removeprefix(f"{tmp_path}/").split(";")[0] for problem in caught.value.problems] == [
        "empty.txt: it holds no numbers",
        "flat.npy: it holds no numbers",
        "several.npy: an archive of arrays (.npz)",
        "torn.npy: it cannot be read as numbers: File is not a zip file",
    ]


def test_the_centre_of_mass_lies_on_the_middle_pixel() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = rng.random(rng.integers(1, 20, 2)) ** 8 * (rng.random() < 0.9)
        weights[rng.integers(len(weights)), 0] += 1
        kernel = centred(weights)
        assert kernel.shape[0] == kernel.shape[1]
        assert kernel.shape[0] % 2
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        offsets = np.arange(len(kernel)) - len(kernel) // 2
        assert abs((kernel.sum(axis=1) * offsets).sum()) <= 0.5 + 1e-5
        assert abs((kernel.sum(axis=0) * offsets).sum()) <= 0.5 + 1e-5
        np.testing.assert_allclose(np.sort(kernel[kernel > 0]), np.sort(weights[weights > 0]) / weights.sum(), 1e-5)


@pytest.mark.parametrize("side", [3, 11, 13, 67])
def test_a_convolution_is_exact_whatever_the_size(photograph: np.ndarray, side: int) -> None:
    linear = srgb_to_linear(photograph)
    kernel = centred(np.random.default_rng(side).random((side, side)) ** 4)
    exact = np.stack([exact_convolve(linear[..., c].astype(np.float64), kernel, mode="mirror") for c in range(3)], 2)
    blurred = convolve(linear, kernel)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred, exact, atol=1e-5)
    batch = torch.from_numpy(np.stack([linear, linear[::-1].copy()])).permute(0, 3, 1, 2)
    kernels = torch.from_numpy(np.stack([kernel, kernel[::-1].copy()]))
    on_device = convolve_batch(batch, kernels).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(on_device[0], exact, atol=1e-5)
    np.testing.assert_allclose(on_device[1], exact[::-1], atol=1e-5)


def test_a_point_of_light_becomes_the_kernel_and_constants_stay() -> None:
    kernel = centred(_lopsided())
    reach = len(kernel) // 2
    point = np.zeros((21, 21, 3), dtype=np.float32)
    point[10, 10] = 1
    drawn = convolve(point, kernel)[10 - reach : 11 + reach, 10 - reach : 11 + reach, 0]
    np.testing.assert_allclose(drawn, kernel, atol=1e-7)
    np.testing.assert_allclose(convolve(np.full((9, 5, 3), 0.3, np.float32), kernel), 0.3, rtol=1e-5)


def test_images_smaller_than_the_kernel(photograph: np.ndarray) -> None:
    kernel = centred(np.ones((31, 31)))
    for size in [(1, 1), (4, 9)]:
        linear = srgb_to_linear(photograph[: size[0], : size[1]])
        batch = torch.from_numpy(linear).permute(2, 0, 1)[None]
        on_device = convolve_batch(batch, torch.from_numpy(kernel[None]))[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(on_device, convolve(linear, kernel), atol=1e-5)


def test_drawn_kernels_can_be_stacked_and_repeat(tmp_path: Path) -> None:
    for side in (5, 13):
        np.save(tmp_path / f"{side}.npy", _lopsided(side))
    model = Kernels(str(tmp_path))
    drawn = [model.draw((64, 64), np.random.default_rng(seed))["kernel"] for seed in range(30)]
    assert len({kernel.tobytes() for kernel in drawn}) == 2
    assert {kernel.shape for kernel in drawn} == {(2 * model.margin + 1,) * 2}
    np.testing.assert_array_equal(drawn[3], model.draw((9, 9), np.random.default_rng(3))["kernel"])
    turned = Kernels(str(tmp_path / "5.npy"), rotate=True)
    drawn = [turned.draw((64, 64), np.random.default_rng(seed))["kernel"] for seed in range(100)]
    assert len({kernel.tobytes() for kernel in drawn}) == 8


@pytest.mark.parametrize("limits", [(0.3, 0.9), (1.0, 1.0), (0.5, 3.0)])
def test_scaled_kernels_keep_sum_and_centre_and_grow(tmp_path: Path, limits: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    for case in range(10):
        np.save(tmp_path / f"{case}.npy", rng.random(rng.integers(1, 20, 2)) ** 6)
        model = Kernels(str(tmp_path / f"{case}.npy"), scale=limits, rotate=True)
        for _ in range(20):
            kernel = model.draw((1, 1), rng)["kernel"]
            offsets = np.arange(len(kernel)) - model.margin
            assert kernel.shape == (2 * model.margin + 1,) * 2
            assert kernel.sum() == pytest.approx(1, abs=1e-5)
            assert abs((kernel.sum(axis=1) * offsets).sum()) <= 0.5 + 1e-5
    spread = {}
    np.save(tmp_path / "box.npy", np.ones((9, 9)))
    for factor in (0.5, 1.0, 2.0):
        kernel = Kernels(str(tmp_path / "box.npy"), scale=(factor, factor)).draw((1, 1), rng)["kernel"]
        offsets = np.arange(len(kernel)) - len(kernel) // 2
        spread[factor] = np.sqrt((kernel.sum(axis=1) * offsets**2).sum())
    assert spread[0.5] == pytest.approx(spread[1.0] / 2, rel=0.15)
    assert spread[2.0] == pytest.approx(spread[1.0] * 2, rel=0.15)
    with pytest.raises(ValueError, match="scale: got"):
        Kernels(str(tmp_path / "box.npy"), scale=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"scale: got 2, expected \[least, greatest\]"):
        Kernels(str(tmp_path / "box.npy"), scale=2)


def test_the_identity_is_that_of_the_weights(tmp_path: Path) -> None:
    def identity(weights: np.ndarray) -> str:
        np.save(tmp_path / "kernel.npy", weights)
        return Kernels(str(tmp_path / "kernel.npy")).identity()

    assert identity(np.ones((9, 9))) == identity(2 * np.ones((9, 9)))  # only their ratios count
    assert len({identity(np.ones((9, 9))), identity(np.ones((3, 3))), identity(_lopsided())}) == 3
