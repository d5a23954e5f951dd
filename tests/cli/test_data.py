"""`edgebig data show`: what is asked for, what stands on stdout and in the picture, and what is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgebig.cli import data as command
from edgebig.errors import EdgebigError
from tests.commandline import Edgebig

ROOT = Path(__file__).resolve().parent.parent.parent
SHEET = (1204, 1216)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def show(edgebig: Edgebig) -> Edgebig:
    return partial(edgebig, "data", "show")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        picture.load()
        return picture.size


def put_npz(path: Path, *, shared_pictures: int = 0, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """60 + 30 colour pictures; so many of the test set are in train too, the first of them under another name."""
    random = np.random.default_rng(0)
    arrays = {
        part: random.integers(0, 256, (n, 9, 14, 3), np.uint8)
        for part, n in (("x_train", 60), ("x_test", 30))
    }
    labels = {"y_train": np.arange(60) % 2, "y_test": np.arange(30) % 2}
    arrays["x_test"][:shared_pictures] = arrays["x_train"][:shared_pictures]
    if shared_pictures:
        labels["y_test"][0] = 1
    np.savez(path, classes=np.array(classes), **arrays, **labels)
    return path


def test_a_source(show: Edgebig, here: Path) -> None:
    done = show("digits-5k")
    assert done.code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "digits-5k: 10 classes, pictures of 28 x 28 grey (uint8)"
    assert lines[1].split() == ["class", "train", "validation", "test", "total"]
    assert [line.split() for line in lines[3:13]] == [[str(k), "350", "50", "100", "500"] for k in range(10)]
    assert lines[14].split() == ["all", "3,500", "500", "1,000", "5,000"]
    assert lines[15:17] == ["train has 350 of each class", "no picture is there twice"]
    assert [line.split(":")[0] for line in lines[17:]] == [
        "no drift seen between train and validation",
        "no drift seen between train and test",
    ]
    assert done.stderr == "contact sheet: data-digits-5k.png (1204 x 1216 px)\n"
    assert size_of(here / "data-digits-5k.png") == SHEET


def test_json_is_all_of_it_and_alone(show: Edgebig, here: Path) -> None:
    done = show("digits-5k", "--json", "--out", "größe here/sheet.PNG")
    answer = json.loads(done.stdout)
    assert list(answer) == [
        "source", "classes", "shape", "framing", "notes", "counts", "twins", "drift", "findings", "sheet",
    ]  # fmt: skip
    assert answer["counts"]["test"] == {str(k): 100 for k in range(10)}
    assert (answer["source"], answer["shape"], answer["framing"]) == ("digits-5k", [28, 28, 1], "ink")
    assert [found["split"] for found in answer["drift"]] == ["validation", "test"]
    assert answer["twins"] == []
    assert answer["sheet"] == "größe here/sheet.PNG"
    assert size_of(here / "größe here" / "sheet.PNG") == SHEET


def test_a_sheet_in_the_place_of_another_is_told(show: Edgebig, here: Path) -> None:
    old = here / "data-digits-5k.png"
    old.write_text("old", encoding="utf-8")
    assert show("digits-5k").stderr.endswith(" px), in the place of the one there\n")
    assert size_of(old) == SHEET
    assert [path.name for path in here.iterdir()] == [old.name]


def test_the_same_sheet_again(show: Edgebig, here: Path) -> None:
    first, second = here / "a.png", here / "b.png"
    for path in (first, second):
        assert show("digits-5k", "--out", str(path)).code == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_recipe_by_name_and_by_path(show: Edgebig, here: Path) -> None:
    text = '[data]\nsource = "digits-5k"\n[model]\nname = "mlp"\n'
    (here / "recipes").mkdir()
    (here / "recipes" / "mine.toml").write_text(text, encoding="utf-8")
    for name in ("mine", "recipes/mine.toml"):
        done = show(name, "--set", "data.classes=['3', '1']")
        assert done.stdout.startswith("digits-5k: 2 classes")
        assert [line.split()[0] for line in done.stdout.splitlines()[3:5]] == ["3", "1"]
        assert done.stderr.startswith("contact sheet: data-mine.png")


def test_splits_that_overlap_are_shown_and_not_refused(show: Edgebig, here: Path) -> None:
    path = put_npz(here / "my pets.npz", shared_pictures=3)
    done = show(f"npz:{path.name}", "--set", "data.validation=10")
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"npz:{path}: 2 classes, pictures of 9 x 14 rgb (uint8)")
    start = done.stdout.index("test: ")
    told = done.stdout[start:].splitlines()[:4]
    assert told[0].startswith("test: 3 pictures are in train too, 1 in another class")
    assert told[1].startswith("  test[0] ('dog') is train[")
    assert told[1].endswith("('cat')")
    assert told[2].startswith("  test[1] ('dog') is train[")
    assert size_of(here / "data-my-pets.png")
    twins = json.loads(show(f"npz:{path.name}", "--set", "data.validation=10", "--json").stdout)["twins"]
    assert (twins[0]["split"], twins[0]["against"], twins[0]["pictures"]) == ("test", "train", 3)
    assert twins[0]["relabelled_pairs"][0][0] == {"split": "test", "index": 0, "label": "dog", "file": ""}


def test_a_folder_of_pictures_with_a_broken_one(show: Edgebig, here: Path) -> None:
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            (here / "pics" / part / name).mkdir(parents=True)
            for k in range(6):
                picture = Image.fromarray(random.integers(0, 256, (20, 30), np.uint8))
                picture.save(here / "pics" / part / name / f"{k}.png")
    (here / "pics/test/bee/9.png").write_bytes((here / "pics/train/ant/0.png").read_bytes())
    (here / "pics/train/ant/7.png").write_bytes(b"no picture")
    asked = ("images:pics", "--set", "data.validation=2")
    assert show(*asked).code == 1
    done = show(*asked, "--skip-broken")
    assert done.code == 0, done.stderr
    assert "train/ant/7.png" in done.stdout
    (twins,) = json.loads(show(*asked, "--skip-broken", "--json").stdout)["twins"]
    assert [place["file"] for place in twins["relabelled_pairs"][0]] == ["test/bee/9.png", "train/ant/0.png"]


def test_names_of_classes_cannot_steer_a_terminal(show: Edgebig, here: Path) -> None:
    from rich.console import Console

    from edgebig.data.examples import Examples, Splits
    from edgebig.data.survey import survey
    from edgebig.report import survey as report

    part = Examples(np.arange(8, dtype=np.uint8).reshape(4, 1, 2, 1), np.array([0, 1, 0, 1]))
    found = survey(Splits("x", ("[red]a", "b\x1b[31m"), part, part, part))
    with (here / "out").open("w", encoding="utf-8") as file:
        report.show(found, Console(file=file, force_terminal=False))
    printed = (here / "out").read_text("utf-8")
    assert "\x1b" not in printed
    assert "[red]a" in printed


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["minst"], "no source and no recipe 'minst' (did you mean 'mnist'?)", "'edgebig recipes' lists"),
        (["digit"], "did you mean 'digits", ""),
        (["images"], "'images': neither a source nor a recipe", "images:PATH"),
        (["."], "'.': neither a source nor a recipe", "images:."),
        (["a.csv"], "'a.csv': neither a source nor a recipe", "csv:a.csv"),
        (["none.toml"], "none.toml: no such file", "edgebig recipes"),
        (["image:x"], 'data show [data]: source = "image:x": must be one of digits-5k', "data show mnist"),
        (["npz:none.npz"], "none.npz: no such file", ""),
        (["digits-5k", "--augment"], "--augment: no augmentation is on", "--set data.augment.rotate_deg=12"),
        (["digits-5k", "--augment", "--set", "data.augment.fill=edge"], "no augmentation is on", ""),
        (["digits-5k", "--out", "x.jpg"], "--out x.jpg: the sheet is a PNG", "--out x.png"),
        (["digits-5k", "--set", "data.sise=3"], "[data]: unknown key 'sise' (did you mean 'size'?)", ""),
        (["digits-5k", "--out", "folder.png"], "folder.png: Is a directory", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(show: Edgebig, here: Path, arguments: list[str], problem: str, hint: str) -> None:
    (here / "a.csv").touch()
    (here / "folder.png").mkdir()
    done = show(*arguments)
    assert done.code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("edgebig: ")
    assert problem in done.stderr
    assert hint in done.stderr
    assert sorted(path.name for path in here.iterdir()) == ["a.csv", "folder.png"]


def test_a_source_goes_before_a_recipe_of_its_name(here: Path) -> None:
    (here / "recipes").mkdir()
    (here / "recipes" / "mnist.toml").write_text(
        '[data]\nsource = "digits-5k"\n[model]\nname = "mlp"\n', encoding="utf-8"
    )
    assert command.resolve("mnist", [])[1].source == "mnist"
    assert command.resolve("recipes/mnist.toml", [])[1].source == "digits-5k"


@pytest.mark.parametrize(
    ("source", "name", "anchored"),
    [
        ("images:pets/cats", "cats", "images:{here}/pets/cats"),
        ("images:.", "{stem}", "images:{here}"),
        ("csv:a b.csv", "a-b", "csv:{here}/a b.csv"),
        ("npz:größe.npz", "gr-e", "npz:{here}/größe.npz"),
        ("npz:猫.npz", "npz", "npz:{here}/猫.npz"),
        ("python:make.py:load", "make", "python:{here}/make.py:load"),
        ("idx:x.toml", "x", "idx:{here}/x.toml"),
    ],
)
def test_where_a_source_is_and_what_its_sheet_is_called(
    here: Path, source: str, name: str, anchored: str
) -> None:
    found, spec = command.resolve(source, [])
    assert found == name.format(stem=here.stem)
    assert spec.source == anchored.format(here=here)


def test_settings_reach_the_source(here: Path) -> None:
    _, spec = command.resolve(
        "images:x", ["data.size=[8, 9]", "data.skip_broken=true", "data.augment.flip=true"]
    )
    assert (spec.size, spec.skip_broken, spec.augment.flip) == ((8, 9), True, True)
    with pytest.raises(EdgebigError, match="must be a count") as caught:
        command.resolve("mnist", ["data.test=-1", "data.augment.zoom=7"])
    assert "zoom" in caught.value.problem


@pytest.mark.tf
def test_augmented(show: Edgebig, here: Path) -> None:
    done = show("digits-5k", "--augment", "--set", "data.augment.noise=0.3")
    assert done.code == 0, done.stderr
    assert done.stderr == "contact sheet: data-digits-5k-augmented.png (1464 x 1216 px)\n"
    pixels = np.asarray(Image.open(here / "data-digits-5k-augmented.png"))
    # The corner of a digit's picture is black, and under noise it is not.
    row = pixels[60:160, :, 0].astype(int)
    corner = row[:20]
    assert (corner == 0).all(0).sum() > 100
    assert ((corner > 0).any(0) & (corner < 250).any(0)).sum() > 500
