"""Picture files as a source: real files of every kind, decoded once, into `Found`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edgebig.data.decode import _in_threads
from edgebig.data.examples import Found, Pictures, hash_images
from edgebig.data.pictures import load_folder, load_table
from edgebig.errors import EdgebigError
from edgebig.ondevice import whole
from edgebig.recipe import Data

Bytes = npt.NDArray[np.uint8]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def noise(seed: int, height: int = 8, width: int = 8) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save(path: Path, pixels: Bytes, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def from_folder(root: Path, **settings: Any) -> Found:
    return load_folder(root, Data(source=f"images:{root}", **settings))


def from_table(table: Path, **settings: Any) -> Found:
    return load_table(table, Data(source=f"csv:{table}", **settings))


def fault(root: Path, **settings: Any) -> EdgebigError:
    with pytest.raises(EdgebigError) as caught:
        from_folder(root, **settings)
    assert caught.value.hint
    return caught.value


def cached() -> dict[str, int]:
    folder = Path.home() / ".cache" / "edgebig" / "pictures"
    return {path.name: path.stat().st_ino for path in folder.glob("*")}


def test_pictures_come_with_their_labels_in_the_order_of_their_names(root: Path) -> None:
    for index, name in enumerate(["cat/b", "cat/a", "dog/sub/a", "dog/9"]):
        save(root / f"{name}.png", noise(index))
    found = from_folder(root)
    assert found.classes == ("cat", "dog")
    assert isinstance(found.train.images, Pictures)
    assert found.train.shape == (8, 8, 3)
    assert (np.asarray(found.train.images) == np.stack([noise(seed) for seed in (1, 0, 3, 2)])).all()
    assert found.train.labels.tolist() == [0, 0, 1, 1]
    assert (found.train.hashes == hash_images(found.train.images[:])).all()
    assert found.validation is None
    assert found.test is None
    assert found.framing == "whole"
    assert found.notes == ("4 pictures, 8 x 8 rgb",)


def test_splits_of_folders_and_of_a_table_are_kept(root: Path, tmp_path: Path) -> None:
    lines = ["path,label,split"]
    for index, name in enumerate(["train/cat", "train/dog", "val/dog", "test/cat", "test/dog"]):
        save(root / name / "a.png", noise(index))
        split, label = name.split("/")
        lines.append(f"photos/{name}/a.png,{label},{split}")
    table = tmp_path / "photos.csv"
    table.write_text("\n".join(lines))
    for found in (from_folder(root), from_table(table)):
        assert found.validation is not None
        assert found.test is not None
        assert found.train.labels.tolist() == [0, 1]
        assert found.validation.labels.tolist() == [1]
        assert (found.validation.images[0] == noise(2)).all()
        assert found.test.labels.tolist() == [0, 1]
        assert (found.test.images[1] == noise(4)).all()


def test_what_is_trained_on_is_what_a_device_makes_of_the_same_file(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [
        save(root / "a" / "turned.jpg", noise(0, 300, 410), exif=exif),
        save(root / "a" / "wide.png", (np.arange(40 * 90, dtype=np.uint16) * 18).reshape(40, 90)),
        save(root / "b" / "tall.webp", noise(1, 90, 31)),
        save(root / "b" / "tiny.gif", noise(2, 3, 2)),
    ]
    for colour, fit in [
        ("rgb", "pad"),
        ("rgb", "crop"),
        ("grey", "stretch"),
        ("grey", "pad"),
        (None, "crop"),
    ]:
        found = from_folder(root, size=(24, 32), colour=colour, fit=fit)
        shape = (24, 32, 1 if colour == "grey" else 3)
        assert found.train.shape == shape
        for path, picture in zip(paths, found.train.images, strict=True):
            assert (picture == whole.to_input(path, shape, fit)).all()
        assert f"24 x 32 {colour or 'rgb'}, fit = {fit}" in found.notes[0]


def test_without_a_colour_grey_is_what_is_grey_in_every_pixel(root: Path) -> None:
    grey = noise(0, 20, 30)[..., 0]
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    paths = [
        save(root / "a" / "grey.png", grey),
        save(root / "b" / "rgb.png", rgb),
        save(root / "b" / "rgb.jpg", rgb),
    ]
    found = from_folder(root, size=(11, 13))
    assert found.train.shape == (11, 13, 1)
    assert (found.train.hashes == hash_images(found.train.images[:])).all()
    for path, picture in zip(sorted(paths), found.train.images, strict=True):
        assert (picture == whole.to_input(path, (11, 13, 1))).all()
    rgb[3, 4, 2] ^= 1
    save(root / "b" / "almost.png", rgb)
    assert from_folder(root, size=(11, 13)).train.shape == (11, 13, 3)
    assert from_folder(root, size=(11, 13), colour="grey").train.shape == (11, 13, 1)


def test_sizes_that_differ_are_counted_and_a_size_proposed(root: Path) -> None:
    for index in range(5):
        save(root / "a" / f"{index}.png", noise(index, 480, 640)[:, :, :1].repeat(3, 2), compress_level=1)
    for index in range(8):
        save(root / "b" / f"{index}.png", noise(index, 4, 5 + index))
    error = fault(root)
    assert "9 sizes (height x width): 5 of 480 x 640, 1 of 4 x 5, " in error.problem
    assert error.problem.endswith(" and 4 more")
    assert error.hint == "bring them to one, as in [data] size = [96, 128]"
    assert cached() == {}


def test_sizes_are_those_of_the_upright_pictures(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    save(root / "a" / "turned.jpg", noise(0, 60, 40), exif=exif)
    save(root / "a" / "turned.tif", noise(0, 60, 40), exif=exif)
    save(root / "b" / "level.png", noise(1, 40, 60))
    assert from_folder(root).train.shape == (40, 60, 3)


def test_a_png_whose_exif_stands_behind_its_pixels_is_told(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(root / "a" / "late.png", noise(0, 60, 40), exif=exif).read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    (root / "a" / "late.png").write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
    save(root / "b" / "b.png", noise(1, 60, 40))
    assert "a/late.png is 40 x 60 when turned as its EXIF says, and not 60 x 40" in fault(root).problem
    assert from_folder(root, size=(60, 40)).train.shape == (60, 40, 3)


def broken_files(root: Path) -> list[str]:
    """Files that each have another fault, as they are told."""
    save(root / "a" / "good.png", noise(0))
    save(root / "b" / "good.png", noise(1))
    cut = save(root / "b" / "cut.jpg", noise(2, 64, 64))
    cut.write_bytes(cut.read_bytes()[:-900])
    (root / "b" / "empty.png").touch()
    (root / "b" / "text.png").write_text("not a picture")
    (root / "b" / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (root / "b" / "gone.png").symlink_to("nowhere")
    Image.new("L", (8, 8)).save(root / "b" / "camera.nef", "TIFF")
    Image.new("F", (8, 8)).save(root / "b" / "float.tif")
    frames = [Image.new("L", (8, 8), level) for level in (0, 99)]
    frames[0].save(root / "b" / "moves.gif", save_all=True, append_images=frames[1:])
    os.mkfifo(root / "b" / "pipe.png")
    return [
        "b/camera.nef is a camera's raw file (.nef), which is not read (save it as PNG)",
        "b/cut.jpg is cut short or damaged: ",
        "b/drawing.svg is no picture that can be read (use PNG, JPEG, ",
        "b/empty.png is no picture that can be read (use PNG, JPEG, ",
        "b/float.tif has floating point pixels (save it with 8 or 16 bits)",
        "b/gone.png is not there (check the name of the picture)",
        "b/moves.gif moves: it has several frames (save the one that is meant as a picture of its own)",
        "b/pipe.png is no regular file (name a picture file)",
        "b/text.png is no picture that can be read (use PNG, JPEG, ",
    ]


def test_every_broken_file_is_told_or_left_out(root: Path) -> None:
    faults = broken_files(root)
    for _ in range(2):  # the second time out of the cache
        error = fault(root, size=(8, 8))
        title, *lines = error.problem.splitlines()
        assert title == f"images:{root}: 9 of 11 pictures cannot be used"
        assert len(lines) == len(faults)
        assert all(line.startswith(start) for line, start in zip(lines, faults, strict=True))
        assert "skip_broken = true" in error.hint
        found = from_folder(root, size=(8, 8), skip_broken=True)
        assert (np.asarray(found.train.images) == np.stack([noise(0), noise(1)])).all()
        assert found.train.labels.tolist() == [0, 1]
        assert found.notes == (
            "2 pictures, 8 x 8 rgb, fit = pad",
            "left out 9 broken files: b/camera.nef, b/cut.jpg, b/drawing.svg and 6 more",
        )


def test_a_table_names_broken_and_missing_files_with_their_lines(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    (tmp_path / "b.png").write_text("no picture")
    table = tmp_path / "table.csv"
    table.write_text("label,path\ny,c.png\nx,b.png\nx,a.png\n")
    with pytest.raises(EdgebigError) as caught:
        from_table(table)
    assert caught.value.problem.splitlines()[1:] == [
        "line 3: b.png is no picture that can be read (use PNG, JPEG, BMP, GIF, WebP or TIFF)",
        "line 2: c.png is not there (check the name of the picture)",
    ]
    assert "line 2: c.png" in from_table(table, skip_broken=True).notes[-1]


def test_nothing_that_can_be_read(root: Path) -> None:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "a.png").touch()
    assert "2 of 2 pictures cannot be used" in fault(root).problem
    assert "no picture of train can be read" in fault(root, skip_broken=True).problem


def test_a_second_load_decodes_nothing_and_any_change_is_noticed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/1", "a/2", "b/1"):
        save(root / f"{name}.bmp", noise(0))
    from_folder(root)
    once = cached()
    assert "decoding 3 pictures to 8 x 8, once" in capsys.readouterr().err
    from_folder(root)
    assert cached() == once
    assert capsys.readouterr().err == ""

    changed = root / "a" / "2.bmp"
    times = changed.stat().st_atime_ns, changed.stat().st_mtime_ns
    save(changed, noise(1))  # of the same length, and at the same time as it seems
    os.utime(changed, ns=times)
    assert (from_folder(root).train.images[1] == noise(1)).all()
    save(root / "b" / "2.bmp", noise(2))
    assert (from_folder(root).train.images[3] == noise(2)).all()
    (root / "a" / "1.bmp").unlink()
    assert (from_folder(root).train.images[0] == noise(1)).all()
    assert len(cached()) == 4
    for settings in ({"size": (4, 4)}, {"size": (4, 4), "fit": "crop"}, {"colour": "grey"}):
        from_folder(root, **settings)
    assert len(cached()) == 7


def test_the_same_names_and_times_in_another_folder_are_other_pictures(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        for label in "ab":
            os.utime(save(tmp_path / name / label / "a.bmp", noise(seed)), (0, 0))
        assert (from_folder(tmp_path / name).train.images[0] == noise(seed)).all()


def test_wanted_classes_alone_are_decoded(root: Path) -> None:
    for seed, label in enumerate(("1", "2", "10")):
        save(root / label / "a.png", noise(seed))
    (root / "2" / "broken.png").touch()
    found = from_folder(root, classes=("10", "1"))
    assert found.classes == ("1", "10")
    assert (np.asarray(found.train.images) == np.stack([noise(0), noise(2)])).all()
    assert "no class '3'" in fault(root, classes=("3", "1")).problem


LOAD = """
import json, resource, sys
from pathlib import Path
from edgebig.data.pictures import load_folder
from edgebig.recipe import Data
peaks_bytes = []
for root in sys.argv[1:]:
    found = load_folder(Path(root), Data(source=f"images:{root}", colour="rgb"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peaks_bytes.append(peak * (1 if sys.platform == "darwin" else 1024))
hashes = sorted(map(int, found.train.hashes))
print(json.dumps({"peaks_bytes": peaks_bytes, "bytes": found.train.images.mapped.nbytes, "hashes": hashes}))
"""


def start(*roots: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", LOAD, *map(str, roots)], stdout=subprocess.PIPE, text=True)


def result_of(child: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    result: dict[str, Any] = json.loads(output)
    return result


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    picture = save(tmp_path / "picture.jpg", noise(0, 320, 320))
    for root, count in ((tmp_path / "few", 20), (tmp_path / "many", 220)):
        for label in "ab":
            (root / label).mkdir(parents=True)
            for index in range(count // 2):
                os.link(picture, root / label / f"{index}.jpg")
    result = result_of(start(tmp_path / "few", tmp_path / "many"))
    assert result["bytes"] > 60_000_000
    few, many = result["peaks_bytes"]
    assert many - few < 15_000_000


@pytest.mark.slow
def test_two_processes_at_once_do_each_other_no_harm(root: Path) -> None:
    for index in range(60):
        save(root / "ab"[index % 2] / f"{index}.png", noise(index, 40, 40))
    children = [start(root), start(root)]
    results = [result_of(child)["hashes"] for child in children]
    assert (
        results[0]
        == results[1]
        == sorted(map(int, hash_images(np.stack([noise(i, 40, 40) for i in range(60)]))))
    )
    assert len(cached()) == 1
    assert sorted(map(int, from_folder(root, colour="rgb").train.hashes)) == results[0]


def test_the_first_error_of_a_thread_ends_all_of_them() -> None:
    done: list[int] = []

    def work(index: int) -> None:
        if index == 20:
            raise ZeroDivisionError
        time.sleep(0.001)
        done.append(index)

    with pytest.raises(ZeroDivisionError):
        _in_threads("work", 5000, work)
    assert len(done) < 1000


def test_ctrl_c_ends_all_threads() -> None:
    done: list[int] = []

    def work(index: int) -> None:
        if index == 20:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.001)
        done.append(index)

    with pytest.raises(KeyboardInterrupt):
        _in_threads("work", 5000, work)
    assert len(done) < 1000
