from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from deblurkit.data.blur.averaging import Exposure
from deblurkit.data.blur.camera_response import response
from deblurkit.data.blur.frame_pairs import blur_frames, windows_of
from deblurkit.data.blur.frames import AveragedFrames, FrameFolder, Video, find_sequences, natural
from deblurkit.data.images import read_image, write_image
from deblurkit.data.loader import build_train_loader
from deblurkit.data.source import open_source
from deblurkit.errors import UserError
from deblurkit.options.schema import Loader
from deblurkit.registry import DATASETS

GAMMA = response("gamma")


def view(photograph: np.ndarray, number: int) -> np.ndarray:
    return np.ascontiguousarray(photograph[:96, 2 * number : 2 * number + 96])


def write_frames(folder: Path, photograph: np.ndarray, count: int, name: str = "{}.png", first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        write_image(folder / name.format(number + first), view(photograph, number))


def write_video(file: Path, photograph: np.ndarray, count: int, codec: str = "MJPG") -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*codec), 240, (96, 96))
    assert writer.isOpened()
    for number in range(count):
        writer.write(cv2.cvtColor(view(photograph, number), cv2.COLOR_RGB2BGR))
    writer.release()


@pytest.fixture(scope="module")
def footage(photograph: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences, whose frames sort wrongly by letters, and one that is too short."""
    root = tmp_path_factory.mktemp("Aufnahmen é")
    write_frames(root / "train" / "GOPR1", photograph, 24, first=95)
    write_frames(root / "train" / "GOPR2", photograph, 16)
    write_frames(root / "train" / "short", photograph, 6)
    return root / "train"


def test_folders_are_found_however_they_are_named(footage: Path, monkeypatch: pytest.MonkeyPatch):
    def names(*sources: str) -> list[str]:
        return [sequence.name for sequence in find_sequences(sources)]

    assert names(str(footage)) == ["GOPR1", "GOPR2", "short"]
    assert names(str(footage.parent)) == ["train/GOPR1", "train/GOPR2", "train/short"]
    assert names(str(footage / "GOPR*")) == ["1", "2"]
    assert names(str(footage / "GOPR1"), str(footage / "short")) == ["GOPR1", "short"]
    monkeypatch.chdir(footage / "GOPR1")
    assert names(".") == ["GOPR1"]


def test_frames_come_in_natural_order(footage: Path, photograph: np.ndarray):
    sequence = next(iter(find_sequences([str(footage / "GOPR1")])))
    frames = list(sequence)
    assert [frame.name for frame in frames] == [str(number) for number in range(95, 119)]
    for number in (0, 9, 23):
        np.testing.assert_array_equal(frames[number].read(), view(photograph, number))


def test_a_superscript_in_a_name_is_no_number():
    assert sorted(["1²10", "1²9"], key=natural) == ["1²9", "1²10"]


@pytest.mark.parametrize(("codec", "suffix"), [("MJPG", ".avi"), ("mp4v", ".mp4")])
def test_a_videos_frames_are_those_that_were_written(tmp_path: Path, photograph: np.ndarray, codec: str, suffix: str):
    file = tmp_path / f"clip{suffix}"
    write_video(file, photograph, 20, codec)
    (video,) = find_sequences([str(file)])
    assert isinstance(video, Video)
    assert video.name == "clip"
    frames = list(video)
    assert [frame.name for frame in frames] == [f"{number:06d}" for number in range(20)]
    errors = [np.abs(frame.read().astype(int) - view(photograph, i)).mean() for i, frame in enumerate(frames)]
    assert max(errors) < 8, "lossy, but the right frame with the right channels"
    assert np.abs(frames[9].read().astype(int) - view(photograph, 13)).mean() > 2 * max(errors)
    assert video.notes == []


def test_a_video_cut_short_is_used_as_far_as_it_goes(tmp_path: Path, photograph: np.ndarray):
    write_video(tmp_path / "whole.avi", photograph, 30)
    data = (tmp_path / "whole.avi").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: len(data) // 2])
    video = Video("cut", cut)
    count = len(list(video))
    assert 5 < count < 25
    assert video.notes == [
        f"{cut}: {count} frames could be read of the 30 that its header promises; "
        "it may be cut short, those read were used"
    ]
    made = blur_frames([str(cut)], tmp_path / "out", Exposure(GAMMA, (5, 5)), lambda *_: None)
    assert made.notes == video.notes
    assert len(made.pairs) == count // 5
    cut.write_bytes(data[: data.index(b"movi") + 40])
    with pytest.raises(UserError, match=rf"{cut}: .* decoded"):
        blur_frames([str(cut)], tmp_path / "other", Exposure(GAMMA, (5, 5)), lambda *_: None)


def test_what_is_no_sequence_is_told_at_once(tmp_path: Path, footage: Path):
    (tmp_path / "empty").mkdir()
    text = tmp_path / "clip.mp4"
    text.write_text("not a video", encoding="utf-8")
    image = footage / "GOPR2" / "3.png"
    sources = [tmp_path / "empty", tmp_path / "nowhere", image, text, footage, footage]
    with pytest.raises(UserError) as raised:
        find_sequences([str(source) for source in sources])
    problems = raised.value.problems
    assert [problem.split(": ")[1].split(";")[0] for problem in problems[:4]] == [
        "no frames found",
        "no frames found",
        "a single image is no sequence",
        "it cannot be decoded",
    ]
    assert "2 sequences have the name 'GOPR1'; rename one" in problems


def test_frames_of_equal_names_are_refused(tmp_path: Path, photograph: np.ndarray):
    write_frames(tmp_path / "s", photograph, 3)
    write_image(tmp_path / "s" / "1.jpg", view(photograph, 1))
    with pytest.raises(UserError, match=r"2 frames of .* have the name '1'"):
        find_sequences([str(tmp_path / "s")])


@pytest.mark.parametrize(("average", "stride"), [((3, 3), 1), ((2, 5), 2), ((2, 7), None), ((3, 3), 10), ((1, 1), 4)])
def test_a_sequence_is_read_once_whatever_its_windows(footage: Path, average: tuple[int, int], stride: int | None):
    exposure = Exposure(GAMMA, average, stride)
    (sequence,) = find_sequences([str(footage / "GOPR1")])
    assert isinstance(sequence, FrameFolder)
    names = [frame.name for frame in sequence]
    found = list(windows_of(sequence, exposure))
    assert found, "there is nothing to compare"
    for window, frames in found:
        assert [frame.name for frame in frames] == names[window.start : window.stop]
    ahead = exposure.windows(sequence.name)
    assert [window for window, _ in found] == [next(ahead) for _ in found]
    assert next(ahead).stop > len(names), "one more would have fitted"


SETTINGS = {"average": [3, 6], "noise": True, "interpolate": 1, "gain": 1.5, "seed": 3}


def test_pairs_made_while_training_are_those_on_disk(footage: Path, tmp_path: Path):
    made = AveragedFrames(str(footage), "srgb", **SETTINGS)
    made.verify()
    exposure = Exposure(response("srgb"), (3, 6), noise=True, interpolate=1, gain=1.5, seed=3)
    manifest = blur_frames([str(footage)], tmp_path / "out", exposure, lambda *_: None)
    assert made.keys() == [pair.key for pair in manifest.pairs]
    assert len(set(made.keys())) == len(made) > 8
    for index, key in enumerate(made.keys()):
        pair = made.read(index)
        for side in ("blurred", "sharp"):
            np.testing.assert_array_equal(pair[side], read_image(tmp_path / "out" / side / f"{key}.png"))
        assert (pair["blurred"] != pair["sharp"]).any()


def test_the_sharp_image_is_the_frame_that_the_key_names(footage: Path):
    pairs = AveragedFrames(str(footage), "gamma", average=5)
    assert pairs.keys()[:2] == ["GOPR1/97", "GOPR1/102"]
    for index in range(len(pairs)):
        pair = pairs.read(index)
        np.testing.assert_array_equal(pair["sharp"], read_image(footage / f"{pair['key']}.png"))


def test_its_facts_and_notes(footage: Path):
    pairs = AveragedFrames(str(footage), "linear", average=[7, 7])
    assert pairs.describe() == {"set": "AveragedFrames", "variant": "linear", "average": 7}
    assert pairs.notes == ["short: 6 frames are fewer than its first window needs; left out"]
    entry = f"{{type: AveragedFrames, frames: '{footage}', response: gamma, average: [3, 5], stride: 4}}"
    assert open_source(entry).describe()["average"] == "3 to 5"
    with pytest.raises(UserError, match="response"):
        open_source(f"{{type: AveragedFrames, frames: '{footage}'}}")


def test_workers_make_the_same_samples(footage: Path):
    def batches(workers: int) -> list[np.ndarray]:
        entry = {"type": "AveragedFrames", "frames": str(footage), "response": "gamma", "average": 3}
        pairs = DATASETS.build({**entry, "noise": True, "crop": 32, "augment": ["hflip"]})
        loader = iter(build_train_loader(pairs, Loader(batch_size=2, workers=workers), seed=0))
        return [next(loader)[side].numpy() for _ in range(3) for side in ("blurred",)]

    for alone, beside in zip(batches(0), batches(2), strict=True):
        assert alone.shape == (2, 3, 32, 32)
        np.testing.assert_array_equal(alone, beside)


def test_frames_that_differ_or_are_damaged_are_found_before_training(tmp_path: Path, photograph: np.ndarray):
    write_frames(tmp_path / "s", photograph, 6)
    write_image(tmp_path / "s" / "1.png", photograph[:50, :50])
    damaged = tmp_path / "s" / "4.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    pairs = AveragedFrames(str(tmp_path / "s"), "gamma", average=3)
    with pytest.raises(UserError) as raised:
        pairs.verify()
    unreadable, differing = raised.value.problems
    assert unreadable.startswith(f"{damaged}: it cannot be decoded")
    assert differing.startswith("s/1: frames of one window differ in size (h x w)")
    assert "1.png 50 x 50" in differing
    with pytest.raises(UserError, match="s, 0 to 2: frame 2 of those averaged is 50 x 50"):
        pairs.read(0)
    with pytest.raises(UserError, match=r"s, 3 to 5: .*4\.png: it cannot be decoded"):
        pairs.read(1)


def test_its_mistakes_are_told(footage: Path, tmp_path: Path, photograph: np.ndarray):
    write_video(tmp_path / "clip.avi", photograph, 3)
    with pytest.raises(UserError, match=r"a video must be written to disk first: deblurkit blur frames .*clip\.avi"):
        AveragedFrames(str(tmp_path / "clip.avi"), "gamma")
    with pytest.raises(UserError, match="no sequence is long enough") as raised:
        AveragedFrames(str(footage), "gamma", average=50)
    assert len(raised.value.problems) == 4
    with pytest.raises(UserError, match="no frames found"):
        AveragedFrames(str(tmp_path / "nowhere"), "gamma")


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def write_pairs(footage: Path, out: Path, name: str = "gamma", seed: int = 0) -> None:
    blur_frames([str(footage / "GOPR2")], out, Exposure(response(name), (5, 5), seed=seed), lambda *_: None)


def test_a_damaged_result_is_made_again_and_other_settings_are_refused(footage: Path, tmp_path: Path):
    made = tmp_path / "made"
    write_pairs(footage, made)
    expected = hashes(made)
    assert {name.split("/")[0] for name in expected} == {"blurred", "sharp", "manifest.json", "settings.json"}
    damaged, missing, *_ = sorted((made / "blurred").rglob("*.png"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    missing.unlink()
    write_pairs(footage, made)
    assert hashes(made) == expected
    with pytest.raises(UserError) as raised:
        write_pairs(footage, made, "linear", seed=1)
    assert raised.value.problems == (
        f"--out {made}: it holds pairs of other settings: response is 'gamma' there, 'linear' now; give a new folder",
        f"--out {made}: it holds pairs of other settings: seed is 0 there, 1 now; give a new folder",
    )
    assert hashes(made) == expected


def test_a_measured_curve_is_known_by_what_it_holds(footage: Path, tmp_path: Path):
    curve, other = tmp_path / "curve.txt", tmp_path / "other.txt"
    made = tmp_path / "made"
    curve.write_text(" ".join(str(level**2) for level in range(256)), encoding="utf-8")
    write_pairs(footage, made, str(curve))
    write_pairs(footage, made, str(curve.rename(other)))
    curve.write_text(" ".join(str(level**3) for level in range(256)), encoding="utf-8")
    with pytest.raises(UserError, match=r"response is 'sha256:\w+' there, 'sha256:\w+' now"):
        write_pairs(footage, made, str(curve))


def test_only_a_folder_of_ours_is_written_to(footage: Path, tmp_path: Path):
    for name in ("photos", "settings"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text("{}", encoding="utf-8")
        with pytest.raises(UserError, match=rf"it holds something else \({name}\.json\)"):
            write_pairs(footage, tmp_path / name)
        assert [path.name for path in (tmp_path / name).iterdir()] == [f"{name}.json"]
    before = hashes(footage)
    for around in (footage / "GOPR2" / "made", footage / "GOPR2", footage):
        with pytest.raises(UserError, match="it lies among the images of"):
            write_pairs(footage, around)
    assert hashes(footage) == before
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="file: it cannot be made a folder"):
        write_pairs(footage, tmp_path / "file")


def test_results_are_not_written_where_sequences_are_looked_for(footage: Path):
    before = hashes(footage)
    with pytest.raises(UserError, match="it lies among the images of"):
        blur_frames([str(footage)], footage / "made", Exposure(GAMMA, (5, 5)), lambda *_: None)
    assert hashes(footage) == before


def test_other_frames_of_the_same_names_are_noticed(tmp_path: Path, photograph: np.ndarray):
    write_frames(tmp_path / "s", photograph, 6)
    exposure = Exposure(GAMMA, (5, 5))
    blur_frames([str(tmp_path / "s")], tmp_path / "out", exposure, lambda *_: None)
    write_image(tmp_path / "s" / "5.png", view(photograph, 30))
    with pytest.raises(UserError, match="other settings: sequences is"):
        blur_frames([str(tmp_path / "s")], tmp_path / "out", exposure, lambda *_: None)
