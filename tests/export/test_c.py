"""The C that is written: compiled as C99 and as C++11, run, and held against what it was made of."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgebig import flatbuffer
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.export import board, c

from .conftest import HOSTILE

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

Model = Callable[..., Artifact]
Compiler = Callable[..., Path]

# Prints all that the header gives, as JSON.
MAIN = r"""
#include <stdio.h>
#include <string.h>
#include "NAME.h"
#include "NAME.h"

static void bytes(const char *key, const void *data, unsigned long size) {
    const unsigned char *byte = (const unsigned char *)data;
    unsigned long i;
    printf("\"%s\": \"", key);
    for (i = 0; i < size; ++i) printf("%02x", byte[i]);
    printf("\",\n");
}

int main(void) {
    UPPER_INPUT_TYPE pixels[256];
    int i;
    printf("{");
    for (i = 0; i < 256; ++i) pixels[i] = NAME_from_pixel((uint8_t)i);
    bytes("pixels", pixels, sizeof(pixels));
    bytes("model", NAME_model, NAME_model_len);
    bytes("test_input", NAME_test_input, sizeof(NAME_test_input));
    bytes("test_output", NAME_test_output, sizeof(NAME_test_output));
    for (i = 0; i < UPPER_OUTPUT_COUNT; ++i) {
        char key[16];
        sprintf(key, "label%d", i);
        bytes(key, NAME_labels[i], strlen(NAME_labels[i]));
    }
#ifdef UPPER_INPUT_SCALE
    { const float scales[2] = {UPPER_INPUT_SCALE, UPPER_OUTPUT_SCALE}; bytes("scales", scales, sizeof(scales)); }
    printf("\"zero_points\": [%d, %d],\n", UPPER_INPUT_ZERO_POINT, UPPER_OUTPUT_ZERO_POINT);
#endif
    printf("\"misaligned\": %d,\n", (int)((unsigned long)(const void *)NAME_model % 16));
    printf("\"counts\": [%d, %d, %d],\n", UPPER_INPUT_HEIGHT, UPPER_INPUT_WIDTH, UPPER_INPUT_CHANNELS);
    printf("\"label\": %d, \"sha256\": \"%s\", \"arena\": %d}\n", UPPER_TEST_LABEL, UPPER_SHA256, UPPER_ARENA_BYTES);
    return 0;
}
"""


def ran(compiler: Compiler, folder: Path, made: board.Board, standard: str) -> dict[str, Any]:
    """What a program of these files says, which is C or C++ by `standard`."""
    folder.mkdir()
    for name, data in c.files(made, made.name).items():
        (folder / name).write_bytes(data)
    main = folder / "main.c"
    main.write_text(MAIN.replace("NAME", made.name).replace("UPPER", made.name.upper()))
    language = ["-x", "c++"] if "++" in standard else []
    program = compiler(folder / "program", standard, *language, main, folder / f"{made.name}.c")
    said = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True).stdout
    return dict(json.loads(said))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("digits-int8", {"recipe": "*/ int x; /* ??/ \n #error é", "classes": HOSTILE}),
        ("digits-float32", {}),
        # Neither a shift nor a 255th of the pixel: a table.
        (
            "digits-int8",
            {"preprocessing": {"low": -0.3, "high": 0.7, "ink_is_high": False, "colour": "grey"}},
        ),
        ("digits-float32", {"preprocessing": {"low": -1, "high": 1, "ink_is_high": True, "colour": "grey"}}),
        ("many-int16", {}),
    ],
    ids=["hostile", "float", "table", "float table", "int16"],
)
@pytest.mark.parametrize("standard", ["c99", "c++11"])
def test_it_compiles_and_says_what_it_was_made_of(
    model: Model, digits: Examples, compiler: Compiler, tmp_path: Path, standard: str, name: str, changes: Any
) -> None:
    made = board.prepare(model(name, **changes), "digit", digits)
    said = ran(compiler, tmp_path / "c", made, standard)
    for key, values in {
        "pixels": made.pixels,
        "test_input": made.vector.input,
        "test_output": made.vector.output,
    }.items():
        found = np.frombuffer(bytes.fromhex(said[key]), values.dtype)
        np.testing.assert_array_equal(found, values.reshape(-1), err_msg=key)
    assert bytes.fromhex(said["model"]) == made.model
    labels = [bytes.fromhex(said[f"label{i}"]).decode() for i in range(len(made.card.classes))]
    assert tuple(labels) == made.card.classes
    assert (said["misaligned"], said["counts"], said["sha256"]) == (0, [28, 28, 1], made.sha256)
    assert said["label"] == np.argmax(made.vector.output)
    assert said["arena"] == made.arena.size_bytes
    if name != "digits-float32":
        found = np.frombuffer(bytes.fromhex(said["scales"]), np.float32)
        assert found.tolist() == [made.input.scale, made.output.scale]
        assert said["zero_points"] == [made.input.zero_point, made.output.zero_point]


def test_two_models_live_in_one_program(
    model: Model, digits: Examples, compiler: Compiler, tmp_path: Path
) -> None:
    names = ("int8", "int8_t")
    for name in names:
        for file, data in c.files(board.prepare(model(), c.identifier(name), digits), name).items():
            (tmp_path / file).write_bytes(data)
    (tmp_path / "main.c").write_text(
        '#include "int8.h"\n#include "int8_t.h"\nint main(void) { return int8_model[0] != int8_t_model[0]; }\n'
    )
    program = compiler(tmp_path / "both", "c99", *(tmp_path / f"{name}.c" for name in ("main", *names)))
    assert subprocess.run([program], check=False).returncode == 0


def test_the_same_model_gives_the_same_bytes(model: Model, digits: Examples) -> None:
    first, second = (c.files(board.prepare(model(), "digit", digits), "digit") for _ in range(2))
    assert first == second


def test_other_inputs_and_outputs_become_int8(model: Model, digits: Examples) -> None:
    """A quantized model goes to a board as int8, whatever its edges are here."""
    int8 = board.prepare(model(), "digit", digits)
    data = flatbuffer.rewrite_io(int8.source.path.read_bytes(), "float32", "x")
    made = board.prepare(model("other", data), "digit", digits)
    assert (made.input.dtype, made.output.dtype) == ("int8", "int8")
    assert made.operators == int8.operators
    np.testing.assert_array_equal(made.vector.output, int8.vector.output)
    # One that was trained in float stays so.
    assert board.prepare(model("digits-float32"), "digit", digits).input.dtype == "float32"


def test_what_a_person_reads(model: Model, digits: Examples) -> None:
    header = c.files(board.prepare(model(), "digit", digits), "digit")["digit.h"].decode()
    assert "ESTIMATE" in header
    assert "UNCHECKED in tflite-micro: edgebig environment add tflite-micro" in header
    assert " * resolver.AddConv2D();\n" in header
    assert "tflite::MicroMutableOpResolver<4> resolver;" in header


@given(st.text())
@example("")
@example("int")
@example("9 lives")
@example("__x__")
@example("數字")
@example("Größe/*/")
@example("x" * 300)
def test_any_text_is_a_name(text: str) -> None:
    name = c.identifier(text)
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert len(f"{name}_OUTPUT_ZERO_POINT") <= 63
    assert c.identifier(name) == name


def test_names_stay_readable() -> None:
    assert c.identifier("digits int8") == "digits_int8"
    assert c.identifier("Café-9") == "cafe_9"
    assert c.identifier("9lives") == "model_9lives"
    assert c.identifier("數字") == "model"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(1.0)
@example(1e-45)
def test_a_float_reads_back_as_itself(value: float) -> None:
    text = c._float(value)
    assert text.endswith("f")
    assert re.search(r"[.e]", text)
    assert np.float32(text[:-1]) == np.float32(value)
