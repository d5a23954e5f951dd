"""An evaluation as people see it: the lines of the terminal, and what is really in the pictures' pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edgebig.artifact import Artifact
from edgebig.data.examples import Examples, Pictures
from edgebig.evaluation import Result
from edgebig.evaluation.scores import Evaluation, calibration
from edgebig.report import confusion, drawing, evaluation, misread, words

LONG_NAME = "a class of a rather long name, which is number {}"
DATA = {
    "source": "digits", "split": "test", "n": 200, "of": 1000, "absent_classes": [],
    "changed_since_training": [], "leak_check": "no test example was in a training set",
}  # fmt: skip


def made(classes: int, n: int = 200, right: float = 0.9, seed: int = 0, name: str = "{}") -> Evaluation:
    """One who is right so often, and mostly takes a class for the next one otherwise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    read = np.where(random.random(n) < right, labels, (labels + 1) % classes)
    rows = np.full((n, classes), 0.1 / (classes - 1))
    rows[np.arange(n), read] = 0.9
    names = tuple(name.format(index) for index in range(classes))
    return Evaluation(names, labels, rows.astype(np.float32), split="test")


def result(*evaluations: Evaluation, **data: Any) -> Result:
    artifacts = tuple(
        Artifact(Path(f"runs/a-recipe-20261125-12000{index}/float32.tflite"), str(index), None)
        for index in range(len(evaluations))
    )
    return Result(artifacts, evaluations, {**DATA, **data}, {"name": "local"})


def pictures(n: int, shape: tuple[int, int, int] = (8, 6, 1)) -> Examples:
    random = np.random.default_rng(1)
    return Examples(random.integers(0, 256, (n, *shape), np.uint8), np.zeros(n, np.int64))


# Lines


def test_one_model_class_by_class() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2] * 30)
    read = np.array([0] * 10 + [1] * 7 + [2] * 3 + [2] * 30)
    found = Evaluation(("cat", "dog", "größe"), labels, np.eye(3, dtype=np.float32)[read], split="test")
    lines = evaluation.lines(result(found))
    assert lines[:4] == [
        "runs/a-recipe-20261125-120000/float32.tflite on digits",
        "47 of 50 test examples right: 94.00% (95 %: 83.78 .. 97.94)",
        "mean confidence 100.00%, expected calibration error 6.00 points (1 bin), Brier score 0.1200",
        "",
    ]
    table = [line.split("  ") for line in lines[4:8]]
    assert [[cell.strip() for cell in row if cell.strip()] for row in table] == [
        ["class", "n", "right", "recall", "95 %", "precision", "F1"],
        ["cat", "10", "10", "100.0%", "72.2 .. 100.0", "100.0%", "100.0%"],
        ["dog", "10", "7", "70.0%", "39.7 .. 89.2", "100.0%", "82.4%"],
        ["größe", "30", "30", "100.0%", "88.6 .. 100.0", "90.9%", "95.2%"],
    ]
    assert [line.split() for line in lines[9:11]] == [
        ["true", "read", "as", "count", "of", "it"],
        ["dog", "größe", "3", "30.0%"],
    ]


@pytest.mark.parametrize("models", [2, 3])
@pytest.mark.parametrize("classes", [2, 10])
def test_several_models_fit_in_80_columns(models: int, classes: int) -> None:
    found = [made(classes, seed=seed, right=0.9 - 0.1 * seed) for seed in range(models)]
    lines = evaluation.lines(result(*found))
    table = lines[lines.index("") + 1 :]
    table = table[: table.index("")]
    assert max(map(len, table)) <= 80
    assert table[0].split()[:models] == ["A", "B", "C"][:models]
    values = [one.accuracy.value for one in found]
    assert table[1].split() == [
        "accuracy", *(f"{value:.2%}" for value in values),
        f"{100 * np.mean(values):.2f}", "±", f"{100 * np.std(values, ddof=1):.2f}",
        f"{100 * min(values):.2f}", "..", f"{100 * max(values):.2f}",
    ]  # fmt: skip
    assert sum(line.startswith("recall of ") for line in table) == classes
    against = [line for line in lines if "against A" in line]
    assert [line[0] for line in against] == ["B", "C"][: models - 1]
    assert all("McNemar p = " in line for line in against)


def test_of_very_many_classes_the_weakest_are_shown() -> None:
    found = made(200, n=4000, name="breed {}")
    lines = evaluation.lines(result(found))
    assert "of 200 classes, these are the weakest; --json tells all" in lines
    rows = [line for line in lines if line.startswith("breed ")]
    recalls = [float(line.split()[4].rstrip("%")) for line in rows[:30]]
    assert recalls == sorted(recalls)
    several = evaluation.lines(result(found, made(200, n=4000, seed=1, name="breed {}")))
    assert sum(line.startswith("recall of breed ") for line in several) == 30


def test_what_a_reader_must_know_besides_the_figures() -> None:
    found = made(3)
    plain = evaluation.lines(result(found, of=200, n=200))
    assert plain[-1].split()[-1].endswith("%")  # no note
    noted = evaluation.lines(
        result(
            found, absent_classes=["owl"], changed_since_training=["x.tflite"],
            leak_check="not possible for a; no test example was in a training set; not possible for b",
        )
    )  # fmt: skip
    assert noted[-5:] == [
        "200 of the 1,000 were looked at, every class alike",
        "no example is of owl",
        "x.tflite: its card names another test split: the data was changed since it was trained, or is other data",
        "leak check not possible for a",
        "leak check not possible for b",
    ]
    trained_on = evaluation.lines(result(found, leak_check="none: these are the examples of its training"))
    assert trained_on[-1] == "these are the examples that it was trained on: on others it does worse"


def test_outputs_that_are_no_probabilities_are_said_to_be_none() -> None:
    logits = Evaluation(("a", "b"), np.array([0, 1]), np.array([[4, -4], [3, -3]], np.float32))
    assert words.NO_CALIBRATION in evaluation.lines(result(logits))
    assert words.NO_CALIBRATION in words.summary_lines(logits)
    several = evaluation.lines(result(logits, made(2, n=2)))
    assert any(line.split()[:4] == ["mean", "confidence", "-", "90.00%"] for line in several)


def test_the_summary_of_a_training() -> None:
    found = made(10, right=0.8)
    lines = words.summary_lines(found)
    assert len(lines) == 4
    assert lines[0] == words.headline(found)
    assert lines[1].startswith("weakest: ")
    assert lines[2].startswith("most often misread: ")
    assert words.summary_lines(made(10, right=1.1))[1:] == [words.how_sure(calibration(made(10, right=1.1)))]


# Pictures


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(1 << 24) or ()}


@pytest.mark.parametrize(
    ("classes", "name"),
    [(2, "{}"), (12, "{}"), (24, LONG_NAME), (60, "{}"), (61, "{}"), (300, LONG_NAME)],
)
def test_a_matrix_of_any_number_of_classes_keeps_its_size_within_reason(classes: int, name: str) -> None:
    image = confusion.confusion_png(made(classes, n=20 * classes, name=name))
    assert max(image.size) < 1700
    assert min(image.size) > 150


def test_cells_are_blue_where_right_orange_where_wrong_and_white_where_none() -> None:
    """Looked at in the pixels: the corners of cells, where no number stands."""
    labels = np.array([0] * 10 + [1] * 10 + [2])
    read = np.array([0] * 10 + [1] * 5 + [0] * 5 + [2])
    found = Evaluation(("a", "b", "c"), labels, np.eye(3, dtype=np.float32)[read])
    image = np.asarray(confusion.confusion_png(found)).astype(int)
    grid = np.argwhere((image == (228, 228, 231)).all(2))
    (top, left), (bottom, _) = grid.min(0), grid.max(0)
    side = (bottom - top) / 3
    cells = [
        [tuple(image[round(top + row * side) + 4, round(left + column * side) + 4]) for column in range(3)]
        for row in range(3)
    ]
    blue, white = (37, 99, 235), (255, 255, 255)
    assert [cells[0], cells[2]] == [[blue, white, white], [white, white, blue]]
    red, green, of_blue = cells[1][0]
    assert red > green > of_blue  # orange
    red, green, of_blue = cells[1][1]
    assert red < green < of_blue
    assert cells[1][2] == white


def test_the_worst_misread_picture_comes_first_enlarged_pixel_by_pixel() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.05, 0.95], [0.9, 0.1]], np.float32)
    found = Evaluation(("a", "b"), np.array([0, 0, 0, 1]), rows)
    examples = pictures(4, (8, 8, 3))
    image = np.asarray(misread.misread_png(found, examples))
    for place, index in enumerate((2, 3, 1)):
        tile = image[72 : 72 + 96, 24 + 108 * place : 24 + 108 * place + 96]
        np.testing.assert_array_equal(tile, np.asarray(examples.images)[index].repeat(12, 0).repeat(12, 1))
    assert (image[72:168, 24 + 3 * 108 :] == 255).all()


@pytest.mark.parametrize(
    "shape", [(28, 28, 1), (1, 1, 1), (500, 30, 3), (64, 400, 3), (96, 96, 1), (5, 5, 4)]
)
def test_pictures_of_any_shape_are_shown(shape: tuple[int, int, int]) -> None:
    image = misread.misread_png(made(3, n=11, right=-1), pictures(11, shape))
    assert image.size == (2 * 24 + 10 * 108 - 12, 72 + 2 * 165 + 24)
    assert len(colours(image)) > 20


def test_no_misread_picture_is_said_and_not_an_empty_file() -> None:
    found = made(3, right=1.1)
    assert words.misread_headline(found) == "none of 200 test examples misread"
    image = misread.misread_png(found, pictures(200))
    assert image.height == 72 + 24
    assert (24, 24, 27) in colours(image)


def test_only_the_misread_pictures_of_a_mapped_file_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(3, n=100)
    plain = pictures(100)
    mapped = Pictures(np.asarray(plain.images), np.arange(100, dtype=np.uint64))
    read: list[int] = []
    take = Pictures.__getitem__

    def watched(self: Pictures, index: Any) -> npt.NDArray[np.uint8]:
        read.append(index)
        return take(self, index)

    monkeypatch.setattr(Pictures, "__getitem__", watched)
    monkeypatch.setattr(Pictures, "__array__", None)
    misread.misread_png(found, Examples(mapped, found.labels))
    assert read == [int(index) for index in found.misread]


def test_both_pictures_are_written_whole_and_alike_each_time(tmp_path: Path) -> None:
    found, examples = made(10), pictures(200)
    paths = evaluation.write(tmp_path / "new", found, examples)
    assert paths == [tmp_path / "new" / "confusion.png", tmp_path / "new" / "misread.png"]
    assert sorted(tmp_path.glob("new/*")) == paths  # and nothing half-written
    before = [path.read_bytes() for path in paths]
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("PNG", "RGB")
    evaluation.write(tmp_path / "new", found, examples)
    assert [path.read_bytes() for path in paths] == before


def test_of_several_models_each_has_a_folder(tmp_path: Path) -> None:
    both = result(made(3), made(3, seed=1))
    paths = evaluation.save(tmp_path, both, pictures(200), {"schema": 1})
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "A-float32/confusion.png", "A-float32/misread.png", "B-float32/confusion.png", "B-float32/misread.png",
        "evaluation.json",
    ]  # fmt: skip


# Text in pictures


def test_names_that_no_font_can_draw_are_numbers() -> None:
    assert drawing.shown(["cat", "\x1b[2J", "\U0010fffd", "a b"]) == ["cat", "#1", "#2", "a b"]


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    text = drawing.fitted("a rather long name of a class, no 17", 120, 12)
    assert text.startswith("a r")
    assert "..." in text
    assert text.endswith("no 17")
    assert drawing.width_of(text, 12) <= 120
    assert drawing.fitted("short", 120, 12) == "short"
