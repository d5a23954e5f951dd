"""python:FILE:FUNCTION: what the user's function may give, and its faults, which are told at their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebig.data import own
from edgebig.data.examples import Found
from edgebig.errors import EdgebigError

HEAD = """\
import numpy as np
x = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3) * 9
y = np.array([0, 1, 1, 0])

def data():
"""


def write(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), "utf-8")
    return f"python:{path}:data"


def load(folder: Path, body: str) -> Found:
    return own.load(write(folder, body))


def problem(folder: Path, body: str) -> str:
    with pytest.raises(EdgebigError) as caught:
        load(folder, body)
    assert caught.value.hint
    assert caught.value.problem.startswith(str(folder / "mine.py"))
    return caught.value.problem.removeprefix(str(folder / "mine.py"))


@pytest.mark.parametrize(
    "body",
    [
        "return x, y",
        "return [x, list(y)]",
        "return x[..., None], y[:, None]",
        "return (x / 255).astype(np.float32), y",
        "return {'train': (x, y)}",
        "return {'train': (x, y), 'test': None}",
        "return x.tolist(), y.tolist()",
        "return list(x), np.array([str(label) for label in y], object)",
        "return x, np.eye(2)[y]",
        "return iter(()) and None or (x, y)",
    ],
    ids=range(10),
)
def test_train_alone(tmp_path: Path, body: str) -> None:
    found = load(tmp_path, body)
    assert found.classes == ("0", "1")
    assert np.array_equal(found.train.images[..., 0].reshape(-1), np.arange(24) * 9)
    assert found.train.images.shape == (4, 2, 3, 1)
    assert found.train.labels.tolist() == [0, 1, 1, 0]
    assert found.validation is None
    assert found.test is None


def test_all_of_it(tmp_path: Path) -> None:
    body = "return {'train': (x, y), 'validation': (x + 1, y), 'test': (x + 2, y), 'classes': ('ant', 'bee')}"
    found = load(tmp_path, body)
    assert found.classes == ("ant", "bee")
    assert found.validation is not None
    assert found.test is not None
    assert int(found.test.images[0].max()) == 5 * 9 + 2
    assert found.framing == "whole"


def test_as_keras_data_sets_come(tmp_path: Path) -> None:
    found = load(tmp_path, "return (x, y), (x[:2] + 1, y[:2])")
    assert found.test is not None
    assert (len(found.train), len(found.test)) == (4, 2)


def test_floats_are_rounded_and_that_is_said(tmp_path: Path) -> None:
    found = load(tmp_path, "return np.full((4, 2, 3), 0.3), y")
    assert np.asarray(found.train.images).max() == 76  # 76.5, to even
    assert found.notes == (
        f"{tmp_path / 'mine.py'}:5: data() 'train' pictures: pixels were rounded to 8 bits",
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("z = 1\nraise KeyError('gone')", ":7: data() failed: KeyError: 'gone'"),
        ("return x @ x", ":6: data() failed: ValueError: "),
        ("return None", ":5: data() gives NoneType"),
        ("return x", ":5: data() gives ndarray"),
        ("return x, y, y", ":5: data() gives 3 things"),
        ("return {}", ":5: data() gives no 'train'"),
        ("return {'test': (x, y)}", ":5: data() gives no 'train'"),
        ("return {'train': x}", ":5: data() 'train' is no pair of pictures and labels"),
        (
            "return {'train': (x, y), 'tset': (x, y)}",
            ":5: data() gives the unknown key 'tset' (did you mean 'test'?)",
        ),
        ("return {'train': (x, y), 3: 4}", ":5: data() gives the unknown key 3"),
        ("return (x, y), (x, y, y)", ":5: data() 'train' pictures: no array: "),
        ("return [x[0], x[0, :1]], y[:2]", ":5: data() 'train' pictures: no array: "),
        ("return x, y[:3]", ":5: data() 'train' labels: 3 labels for the 4 pictures of "),
        ("return x, y - 1", ":5: data() 'train' labels: example 0 has the label -1"),
        ("return x, y / 2", ":5: data() 'train' labels: labels of float64"),
        ("return x * 1.5, y", ":5: data() 'train' pictures: float64 pixels from 0 to 310.5"),
        ("return np.full((4, 2, 2), np.nan), y", ":5: data() 'train' pictures: NaN or infinity in picture 0"),
        ("return x - 100.0, y", ":5: data() 'train' pictures: float64 pixels from -100 to 107"),
        ("return x[:0], y[:0]", ":5: data() 'train' pictures: no picture in it, its shape is (0, 2, 3)"),
        (
            "return {'train': (x, y), 'classes': 'ant'}",
            ":5: data() 'train' labels: example 1 has the label 1, but",
        ),
        ("return {'train': (x, y), 'classes': [0, 1]}", ":5: data() 'classes': name 1 is 0"),
        (
            "return {'train': (x, y), 'test': (x, [2] * 4), 'classes': list('ab')}",
            ":5: data() 'test' labels: ",
        ),
        ("return {'train': (x, y), 'test': (x, y == 9, y)}", ":5: data() 'test' is no pair"),
    ],
    ids=range(23),
)
def test_faults(tmp_path: Path, body: str, fault: str) -> None:
    assert problem(tmp_path, body).startswith(fault)


def test_a_function_that_wants_arguments(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def data(folder): ...\n")
    with pytest.raises(EdgebigError, match=r"data\(\) failed: TypeError: .*missing 1 required positional"):
        own.load(f"python:{path}:data")


def test_what_the_function_prints_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, "print('reading')\nreturn x, y")
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err
    assert f"runs your code: {tmp_path / 'mine.py'} (sha256 " in err
