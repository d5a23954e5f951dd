"""The sketch, compiled against headers that these tests bring in place of the library's, and run.

That shows that it is C++11 and that its logic holds, not that the real library takes it: no toolchain is at hand.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import arduino, board

from .conftest import HOSTILE

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

Model = Callable[..., Artifact]
STUBS = Path(__file__).parent / "stubs"


@pytest.mark.parametrize("name", ["digits-int8", "digits-float32", "many-int16"])
def test_the_sketch_tests_itself(
    model: Model, digits: Examples, compiler: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    made = board.prepare(model(name, classes=HOSTILE), "digit", digits)
    folder = tmp_path / "sketch"
    folder.mkdir()
    for file, data in arduino.files(made, "sketch").items():
        (folder / file).write_bytes(data)
    main = folder / "main.cpp"
    # As the Arduino IDE does with an .ino, less the prototypes.
    main.write_text('#include "Arduino.h"\n#include "sketch.ino"\nint main() { setup(); for (;;) loop(); }\n')
    program = compiler(folder / "program", "c++11", "-isystem", STUBS, main, folder / "model.cpp")
    input_bytes = made.vector.input.nbytes

    def said(output: np.ndarray, **environment: str) -> str:
        (folder / "output").write_bytes(output.tobytes())
        variables = {
            **os.environ,
            "STUB_OUTPUT": str(folder / "output"),
            "STUB_INPUT": str(folder / "input"),
            "STUB_INPUT_BYTES": str(input_bytes),
            **environment,
        }
        return subprocess.run(
            [program], env=variables, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    expected = made.vector.output
    assert said(expected).splitlines() == [
        f"arena: 1234 of {made.arena.size_bytes}",
        "self-test: PASS",
        *([f"{HOSTILE[made.vector.label]} in 42 us"] * 3),
    ]
    assert (folder / "input").read_bytes() == made.vector.input.tobytes()
    other = (made.vector.label + 1) % 10
    for change, passes in ((made.tolerance, True), (made.tolerance * 1.5, False)):
        near = expected.copy()
        near[other] += np.dtype(expected.dtype).type(change)
        assert ("self-test: PASS" in said(near)) == passes, change
    wrong = np.roll(expected, 1)
    assert "self-test: FAIL" in said(wrong)
    assert f"{HOSTILE[int(np.argmax(wrong))]} in" in said(wrong)
    if expected.dtype == np.float32:
        assert "self-test: FAIL" in said(np.full_like(expected, np.nan))
    assert "another schema" in said(expected, STUB_VERSION="1")
    assert "another input" in said(expected, STUB_INPUT_BYTES="3")


@pytest.mark.parametrize("name", ["my sketch", "größe", "-x", ".x", "x" * 64, "x."])
def test_a_folder_that_the_ide_would_not_open(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgebigError, match="is no name for an Arduino sketch"):
        arduino.check_name(tmp_path / name)


@pytest.mark.parametrize("name", ["digits_int8", "a", "9.b-c"])
def test_a_folder_that_it_opens(tmp_path: Path, name: str) -> None:
    arduino.check_name(tmp_path / name)
