"""A model as C: an array with all that a board's code must know of it, and a real example to test the board with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import edgebig
from edgebig.export.board import Board
from edgebig.export.operators import call

C_TYPES = {"int8": "int8_t", "int16": "int16_t", "float32": "float"}
_NAME_LENGTH = 45  # with the longest suffix 63, which every compiler tells apart
_WIDTH = 110


def identifier(name: str) -> str:
    """Any text as the opening of C names: ASCII letters, digits and single underscores, lower case, a letter first.

    What is made of it has a suffix (digits_int8_model, DIGITS_INT8_ARENA_BYTES), so that no keyword can come out.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    name = words if words[:1].isalpha() else f"model_{words}"
    return name[:_NAME_LENGTH].strip("_")


def files(board: Board, stem: str, source_suffix: str = ".c") -> dict[str, bytes]:
    """The header and the source, which is C99 and C++11, by their file names."""
    return {
        f"{stem}.h": _header(board).encode(),
        f"{stem}{source_suffix}": _source(board, stem).encode(),
    }


def _header(board: Board) -> str:
    upper = board.name.upper()
    lines = [
        *_comment(*_told(board)),
        f"#ifndef {upper}_EDGEBIG_H",
        f"#define {upper}_EDGEBIG_H",
        "",
        "#include <stdint.h>",
        "",
        *(f"#define {upper}_{name} {value}" for name, value in _facts(board)),
        "",
        *_resolver(board),
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        *_declarations(board),
        "",
        *_from_pixel(board),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _resolver(board: Board) -> list[str]:
    """The calls that add the operators, to be copied, and as one expression."""
    upper = board.name.upper()
    calls = [call(operator) for operator in board.operators]
    tests = " && \\\n     ".join(f"(resolver).{add}() == kTfLiteOk" for add in calls)
    return [
        *_comment(
            f"tflite::MicroMutableOpResolver<{len(calls)}> resolver;",
            *(f"resolver.{add}();" for add in calls),
        ),
        *_comment("The same calls; true if all of them went well."),
        f"#define {upper}_ADD_OPERATORS(resolver) \\",
        f"    ({tests})",
    ]


def _told(board: Board) -> list[str]:
    """What a person reads on top of the header."""
    card, input_ = board.card, board.input
    _, height, width, channels = input_.shape
    colour = "grey" if channels == 1 else "red, green, blue"
    high, low = ("light", "dark") if card.preprocessing.ink_is_high else ("dark", "light")
    accuracy = card.host_accuracy
    framing = (
        f"a digit's ink is boxed, its longer side made 20 of {height} pixels, and centred by its mass"
        if card.preprocessing.framing == "ink"
        else f"the whole picture, upright ({card.preprocessing.fit})"
    )
    return [
        f"{board.title}; made by edgebig {edgebig.__version__}.",
        f"On the host it reads {accuracy.correct:,} of {accuracy.n:,} {accuracy.split} examples right.",
        "",
        f"Input: {input_.dtype} {height} x {width} x {channels}, row by row, {colour}. A pixel is 0 to 255, ink is",
        f"{high} on {low}; {framing}.",
        f"{board.name}_from_pixel makes the input of it.",
        f"Output: {board.output.dtype}, one score a class; the largest is the answer.",
        "",
        f"Arena: {board.arena.size_bytes:,} bytes ({board.arena.method}).",
        "A library with kernels of its own (ESP-NN) may want more: AllocateTensors then says so.",
        f"{board.verdict}.",
    ]


def _facts(board: Board) -> Iterable[tuple[str, str]]:
    _, height, width, channels = board.input.shape
    yield "SHA256", f'"{board.sha256}"'
    yield "EDGEBIG_VERSION", f'"{edgebig.__version__}"'
    yield "MODEL_BYTES", str(len(board.model))
    yield "ARENA_BYTES", str(board.arena.size_bytes)
    yield "OPERATORS", str(len(board.operators))
    yield "INPUT_TYPE", C_TYPES[board.input.dtype]
    yield "INPUT_HEIGHT", str(height)
    yield "INPUT_WIDTH", str(width)
    yield "INPUT_CHANNELS", str(channels)
    yield "INPUT_COUNT", str(height * width * channels)
    yield from _scale("INPUT", board.input.scale, board.input.zero_point)
    yield "OUTPUT_TYPE", C_TYPES[board.output.dtype]
    yield "OUTPUT_COUNT", str(len(board.card.classes))
    yield from _scale("OUTPUT", board.output.scale, board.output.zero_point)
    yield "TEST_LABEL", str(board.vector.label)
    floats = board.output.dtype == "float32"
    yield "TEST_TOLERANCE", _float(board.tolerance) if floats else str(board.tolerance)


def _scale(side: str, scale: float | None, zero_point: int | None) -> Iterable[tuple[str, str]]:
    """Real number = (stored - zero point) * scale."""
    if scale is not None and zero_point is not None:
        yield f"{side}_SCALE", _float(scale)
        yield f"{side}_ZERO_POINT", f"({zero_point})"


def _declarations(board: Board) -> list[str]:
    name, upper = board.name, board.name.upper()
    return [
        f"extern const unsigned char {name}_model[{upper}_MODEL_BYTES];",
        f"extern const unsigned int {name}_model_len;",
        f"extern const char *const {name}_labels[{upper}_OUTPUT_COUNT];",
        *_comment("A real example, and what the reference kernels make of it."),
        f"extern const {upper}_INPUT_TYPE {name}_test_input[{upper}_INPUT_COUNT];",
        f"extern const {upper}_OUTPUT_TYPE {name}_test_output[{upper}_OUTPUT_COUNT];",
    ]


def _from_pixel(board: Board) -> list[str]:
    """The function that makes a pixel, 0 to 255, a number of the input: by a sum where that gives all 256 of them."""
    type_ = f"{board.name.upper()}_INPUT_TYPE"
    opening = f"static inline {type_} {board.name}_from_pixel(uint8_t pixel) {{ return "
    if (offset := _offset(board.pixels)) is not None:
        return [f"{opening}({type_})(pixel + ({offset})); }}"]
    if _is_share(board.pixels):
        return [f"{opening}(float)pixel / 255.0f; }}"]
    return [
        f"extern const {type_} {board.name}_pixels[256];",
        f"{opening}{board.name}_pixels[pixel]; }}",
    ]


def _offset(pixels: npt.NDArray[Any]) -> int | None:
    if not np.issubdtype(pixels.dtype, np.integer):
        return None
    steps = pixels.astype(np.int64) - np.arange(256)
    return int(steps[0]) if (steps == steps[0]).all() else None


def _is_share(pixels: npt.NDArray[Any]) -> bool:
    shares = np.arange(256, dtype=np.float32) / np.float32(255)
    return pixels.dtype == np.float32 and np.array_equal(pixels, shares)


def _source(board: Board, stem: str) -> str:
    name, upper = board.name, board.name.upper()
    arrays = [
        (f"{upper}_INPUT_TYPE", f"{name}_test_input", "INPUT_COUNT", _numbers(board.vector.input)),
        (f"{upper}_OUTPUT_TYPE", f"{name}_test_output", "OUTPUT_COUNT", _numbers(board.vector.output)),
    ]
    lines = [
        *_comment(f"The model that {stem}.h tells of. C99 and C++11: call the file .c, .cc or .cpp."),
        f'#include "{stem}.h"',
        "",
        "/* A flatbuffer is read in place, by words: the array starts at a multiple of 16. */",
        "#if defined(__cplusplus)",
        "#define EDGEBIG_ALIGN16 alignas(16)",
        "#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L",
        "#define EDGEBIG_ALIGN16 _Alignas(16)",
        "#else",
        "#define EDGEBIG_ALIGN16 __attribute__((aligned(16)))",
        "#endif",
        "",
        f"EDGEBIG_ALIGN16 const unsigned char {name}_model[{upper}_MODEL_BYTES] = {{",
        *_rows([f"0x{byte:02x}" for byte in board.model]),
        "};",
        f"const unsigned int {name}_model_len = {upper}_MODEL_BYTES;",
        "",
        f"const char *const {name}_labels[{upper}_OUTPUT_COUNT] = {{",
        *(f"    {_string(label)}," for label in board.card.classes),
        "};",
    ]
    if _offset(board.pixels) is None and not _is_share(board.pixels):
        lines += [
            "",
            f"const {upper}_INPUT_TYPE {name}_pixels[256] = {{",
            *_rows(_numbers(board.pixels)),
            "};",
        ]
    for type_, array, count, numbers in arrays:
        lines += ["", f"const {type_} {array}[{upper}_{count}] = {{", *_rows(numbers), "};"]
    return "\n".join([*lines, ""])


def _numbers(values: npt.NDArray[Any]) -> list[str]:
    flat = values.reshape(-1)
    return [_float(value) if flat.dtype == np.float32 else str(int(value)) for value in flat]


def _float(value: float) -> str:
    """A float32 as C that reads back as the same float32."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def _rows(items: Sequence[str]) -> Iterable[str]:
    row = ""
    for item in items:
        if len(row) + len(item) + 2 > _WIDTH:
            yield row
            row = ""
        row += f"{' ' if row else '    '}{item},"
    if row:
        yield row


def _string(text: str) -> str:
    """UTF-8 as a C string of plain ASCII. Octal: a hex escape would swallow the digits behind it."""
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in '"\\?'}  # ? opens trigraphs
    return '"' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'


def _comment(*lines: str) -> list[str]:
    """A block comment; names from cards and files can neither end it nor steer a compiler or a terminal."""
    safe = [re.sub(r"[^\w .,:;()<>=+%'-]", "_", line, flags=re.ASCII) for line in lines]
    return ("/* " + "\n * ".join(safe) + " */").replace(" * \n", " *\n").split("\n")
