"""TFLite Metadata, held against bytes that MediaPipe and tflite-support read, and against a file that they wrote."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgebig.errors import EdgebigError
from edgebig.flatbuffer import rewrite_io
from edgebig.metadata import ModelMetadata, attach_metadata, read_labels, read_metadata
from edgebig.tflitefile import attached_files, parse_model

GOLDEN = Path(__file__).parent / "golden"
PIXELS = (GOLDEN / "pixels-int8.tflite").read_bytes()
COLOURS: dict[str, Any] = {
    "name": "pixels",
    "description": "Which colour is strongest.",
    "labels": ["red", "grün", "blue"],
    "mean": 0,
    "std": 255,
    "author": "edgebig",
    "licence": "Apache-2.0",
    "version": "1.2",
}


def metadata_buffer(model: bytes) -> bytes:
    parsed = parse_model(model, "m")
    (buffer,) = [entry["buffer"] for entry in parsed["metadata"] if entry["name"] == "TFLITE_METADATA"]
    return bytes(parsed["buffers"][buffer]["data"])


def test_what_is_attached_is_read() -> None:
    model = attach_metadata(PIXELS, **COLOURS)
    assert read_metadata(PIXELS) is None
    assert read_labels(PIXELS) == ()
    assert read_labels(model) == ("red", "grün", "blue")
    assert read_metadata(model) == ModelMetadata(
        name="pixels",
        description="Which colour is strongest.",
        version="1.2",
        author="edgebig",
        licence="Apache-2.0",
        labels=("red", "grün", "blue"),
        mean=(0.0,),
        std=(255.0,),
    )


def test_the_bytes_that_mediapipe_and_tflite_support_read() -> None:
    """MediaPipe 1.2.3 and tflite-support 0.4.4 decoded pixels.tflitemeta; an ImageClassifier gave its labels."""
    assert metadata_buffer(attach_metadata(PIXELS, **COLOURS)) == (GOLDEN / "pixels.tflitemeta").read_bytes()


def test_the_fields_decoded_by_hand() -> None:
    """Slot by slot, as metadata_schema.fbs numbers them."""
    data = metadata_buffer(attach_metadata(PIXELS, **COLOURS))

    def number(code: str, at: int) -> Any:
        return struct.unpack_from("<" + code, data, at)[0]

    def field(table: int, slot: int) -> int:
        vtable = table - number("i", table)
        assert 4 + 2 * slot < number("H", vtable)
        assert number("H", vtable + 4 + 2 * slot)
        return table + int(number("H", vtable + 4 + 2 * slot))

    def follow(table: int, slot: int) -> int:
        return field(table, slot) + int(number("I", field(table, slot)))

    def text(table: int, slot: int) -> str:
        at = follow(table, slot)
        return data[at + 4 : at + 4 + number("I", at)].decode()

    def only(table: int, slot: int) -> int:
        vector = follow(table, slot)
        assert number("I", vector) == 1
        return vector + 4 + int(number("I", vector + 4))

    assert data[4:8] == b"M001"
    root = number("I", 0)
    assert [text(root, slot) for slot in (0, 1, 2, 4, 5, 7)] == [
        "pixels",
        "Which colour is strongest.",
        "1.2",
        "edgebig",
        "Apache-2.0",
        "1.0.0",
    ]
    graph = only(root, 3)
    image, probability = only(graph, 2), only(graph, 3)
    assert (text(image, 0), text(probability, 0)) == ("image", "probability")
    content = follow(image, 3)
    assert data[field(content, 0)] == 2  # ImageProperties
    assert data[field(follow(content, 1), 0)] == 1  # RGB
    unit = only(image, 4)
    assert data[field(unit, 0)] == 1  # NormalizationOptions
    options = follow(unit, 1)
    assert [number("I", follow(options, slot)) for slot in (0, 1)] == [1, 1]
    assert [number("f", follow(options, slot) + 4) for slot in (0, 1)] == [0.0, 255.0]
    assert data[field(follow(probability, 3), 0)] == 1  # FeatureProperties
    file = only(probability, 6)
    assert text(file, 0) == "labels.txt"
    assert data[field(file, 2)] == 2  # TENSOR_AXIS_LABELS


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_the_zip_lies_behind_the_flatbuffer(dtype: str) -> None:
    model = rewrite_io(attach_metadata(PIXELS, **COLOURS), dtype, "m")
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(entry) == "red\ngrün\nblue\n".encode()
    # Offsets count from the start of the file, as readers without Python's tolerance for a prefix need them.
    end = model.rfind(b"PK\x05\x06")
    directory = struct.unpack_from("<I", model, end + 16)[0]
    assert model[directory : directory + 4] == b"PK\x01\x02"
    local = struct.unpack_from("<I", model, directory + 42)[0]
    assert model[local : local + 4] == b"PK\x03\x04"
    assert b"labels.txtred\n" in model[local:]


def test_again_replaces_and_the_same_gives_the_same_bytes() -> None:
    model = attach_metadata(PIXELS, **COLOURS)
    assert attach_metadata(PIXELS, **COLOURS) == model
    assert attach_metadata(model, **COLOURS) == model
    other = attach_metadata(model, **{**COLOURS, "labels": ["a", "b", "c"], "mean": 127.5, "std": 127.5})
    metadata = read_metadata(other)
    assert metadata is not None
    assert (metadata.labels, metadata.mean, metadata.std) == (("a", "b", "c"), (127.5,), (127.5,))
    assert attach_metadata(other, **COLOURS) == model


def test_a_file_by_tflite_support() -> None:
    model = (GOLDEN / "pixels-by-tflite-support.tflite").read_bytes()
    metadata = read_metadata(model)
    assert metadata is not None
    assert (metadata.name, metadata.labels) == ("ImageClassifier", ("red", "green", "blue"))
    assert (metadata.mean, metadata.std) == ((127.5,), (127.5,))
    rewritten = rewrite_io(model, "float32", "m")
    assert read_metadata(rewritten) == metadata
    assert attached_files(rewritten, "m") == {"labels.txt": b"red\ngreen\nblue\n"}
    assert metadata_buffer(rewritten) == metadata_buffer(model)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"labels": ["red"]}, "1 labels for"),
        ({"labels": []}, "0 labels for"),
        ({"labels": ["red", " ", "blue"]}, "a label cannot be ' '"),
        ({"labels": ["red", "gr\nün", "blue"]}, "a label cannot be"),
        ({"std": 0}, "no normalisation"),
        ({"std": float("nan")}, "no normalisation"),
        ({"mean": float("inf")}, "no normalisation"),
    ],
)
def test_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem) as caught:
        attach_metadata(PIXELS, **{**COLOURS, **change})
    assert caught.value.problem.startswith("pixels: ")
    assert caught.value.hint


def test_a_model_without_an_image_is_refused() -> None:
    with pytest.raises(EdgebigError, match="labels go to a model of one image"):
        attach_metadata((GOLDEN / "dense-int8.tflite").read_bytes(), **COLOURS)


def test_labels_that_went_missing() -> None:
    model = attach_metadata(PIXELS, **COLOURS)
    with pytest.raises(EdgebigError, match=r"m: its labels .* are not in the file"):
        read_labels(model[: model.rfind(b"PK\x03\x04")], "m")
    with pytest.raises(EdgebigError, match=r"m: the files attached to the \.tflite are damaged"):
        read_labels(model.replace(b"labels.txtred", b"labels.txtrod"), "m")
    with pytest.raises(EdgebigError, match="m: the TFLite Metadata is damaged"):
        read_labels(model.replace(b"M001", b"M002"), "m")
