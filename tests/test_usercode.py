"""The user's own files: found, announced, run once, and their faults told with the place in their file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import files, usercode
from edgebig.errors import EdgebigError

ROOT = Path(__file__).resolve().parent.parent


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def fault_of(reference: str) -> EdgebigError:
    with pytest.raises(EdgebigError) as caught:
        usercode.load(reference)
    assert caught.value.hint
    return caught.value


def test_a_function_is_run_once_and_announced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "print('it runs')\ndef twice(x): return 2 * x\ndef thrice(x): return 3 * x\n")
    assert usercode.load(f"python:{path}:twice")(4) == 8
    assert usercode.load(f"python:{path}:thrice")(4) == 12
    said = capfd.readouterr()
    assert said.out == ""  # which is for results
    assert said.err == f"runs your code: {path} (sha256 {files.sha256_file(path)[:12]})\nit runs\n"


def test_two_files_of_one_name_are_two(tmp_path: Path) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, f"def value(): return {value}\n")
    assert [usercode.load(f"python:{tmp_path}/{folder}/own.py:value")() for folder in "ab"] == [1, 2]


def test_neighbours_can_be_imported_at_once_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    written(tmp_path, "ONE = 1\n", "neighbour_one.py")
    written(tmp_path, "TWO = 2\n", "neighbour_two.py")
    path = written(
        tmp_path,
        "from neighbour_one import ONE\n"
        "def total():\n"
        "    from neighbour_two import TWO\n"
        "    return ONE + TWO\n",
    )
    assert usercode.load(f"python:{path}:total")() == 3
    # What comes later is not looked for there first: a neighbour called `random.py` is the user's alone.
    assert sys.path[0] != str(tmp_path)


@pytest.mark.parametrize(
    "reference", ["", "python:", "model.py:build", "python:model.py", "python::f", "python:m.py:3"]
)
def test_what_is_no_reference(reference: str) -> None:
    error = fault_of(reference)
    assert error.problem == f"{reference}: not of the form python:FILE:FUNCTION"
    assert error.hint == "as in python:model.py:build"


@given(st.text(max_size=30) | st.from_regex("python:.{0,9}:.{0,9}", fullmatch=True))
def test_any_text_is_split_or_is_one_error(text: str) -> None:
    try:
        path, function = usercode.split(text)
    except EdgebigError:
        return
    assert text.startswith("python:")
    assert text.endswith(f":{function}")
    assert path == Path(text.removeprefix("python:").removesuffix(f":{function}"))


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    path = written(tmp_path, "def f(): return 1\n", "a:b.py")
    assert usercode.load(f"python:{path}:f")() == 1


def test_a_file_that_is_not_there_or_is_no_python(tmp_path: Path) -> None:
    assert fault_of(f"python:{tmp_path}/none.py:f").problem == f"python:{tmp_path}/none.py:f: no such file"
    assert fault_of(f"python:{tmp_path}:f").problem.endswith("no such file")
    path = written(tmp_path, "def f(): pass\n", "own.txt")
    assert fault_of(f"python:{path}:f").problem == f"{path}: not a Python file"


def test_a_function_that_is_not_there_and_what_is(tmp_path: Path) -> None:
    path = written(tmp_path, "LIMIT = 3\ndef build(): pass\ndef _helper(): pass\n")
    error = fault_of(f"python:{path}:biuld")
    assert (error.problem, error.hint) == (f"{path}: no function 'biuld' in it", "it has build")
    assert fault_of(f"python:{path}:LIMIT").problem == f"{path}: no function 'LIMIT' in it"
    path = written(tmp_path, "", "empty.py")
    assert fault_of(f"python:{path}:f").hint == "it has no function at all"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError: "),
        ("x = 1\n\nimport no_such_module\n", 3, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def g():\n    return 1 / 0\nx = 1\ng()\n", 2, "ZeroDivisionError: division by zero"),
        ("if True:\nx = 1\n", 2, "IndentationError: "),
        ("import sys\nsys.exit()\n", 2, "SystemExit: "),
        ("import sys\n\nsys.exit(0)\n", 3, "SystemExit: 0"),
    ],
    ids=range(6),
)
def test_a_file_that_does_not_load_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = written(tmp_path, text)
    error = fault_of(f"python:{path}:f")
    assert error.problem.startswith(f"{path}:{line}: does not load: {said}")
    assert error.hint == "mend your file"
    # And once it is mended, it loads.
    path.write_text("def f(): return 1\n\n\n\n\n\n")
    assert usercode.load(f"python:{path}:f")() == 1


def test_a_fault_in_a_neighbour_is_told_by_the_line_that_imports_it(tmp_path: Path) -> None:
    written(tmp_path, "\n\n\n\n\ndef f(:\n", "broken_neighbour.py")
    path = written(tmp_path, "x = 1\nimport broken_neighbour\n")
    problem = fault_of(f"python:{path}:f").problem
    assert problem.startswith(f"{path}:2: does not load: SyntaxError: ")
    assert "broken_neighbour.py, line 6" in problem


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_bytes(b"x = 1\n\xff\xfe = 2\n")
    assert "does not load: SyntaxError" in fault_of(f"python:{path}:f").problem


@pytest.mark.tf
def test_a_file_may_import_tensorflow_before_edgebig_does(tmp_path: Path) -> None:
    written(
        tmp_path,
        "import tensorflow as tf\n"
        "def build():\n"
        "    return tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])\n",
    )
    code = """if True:
        from edgebig import usercode
        model = usercode.load("python:own.py:build")()
        from edgebig.keras import keras
        assert isinstance(model, keras.Model), type(model)
    """
    env = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
