"""TFLite Metadata: labels and normalisation in the .tflite, where MediaPipe, ML Kit and Android Studio look.

The flatbuffer ModelMetadata stands in a buffer of the model, and labels.txt in a zip behind it.
Schema: https://github.com/tensorflow/tflite-
support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebig.errors import EdgebigError
from edgebig.fbreader import DamagedError, Schema, fields, read_table
from edgebig.flatbuffer import io_contract
from edgebig.tflitefile import NOT_A_MODEL, attached_files, pack_model, parse_model, unpack_model

BUFFER_NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
LABELS_FILE = "labels.txt"
MIN_PARSER_VERSION = "1.0.0"  # nothing younger is used
TENSOR_AXIS_LABELS = 2
COLOUR_SPACES = {3: 1, 1: 2}  # channels -> RGB, GRAYSCALE
METADATA: Schema = {
    "ModelMetadata": "name:str description:str version:str subgraph_metadata:[SubGraphMetadata] author:str "
    "license:str associated_files:[AssociatedFile] min_parser_version:str",
    "SubGraphMetadata": "name:str description:str input_tensor_metadata:[TensorMetadata] "
    "output_tensor_metadata:[TensorMetadata] associated_files:[AssociatedFile]",
    "TensorMetadata": "name:str description:str dimension_names:[str] content:Content "
    "process_units:[ProcessUnit] stats:table associated_files:[AssociatedFile]",
    "Content": "properties_type:u8 properties:FeatureProperties|ImageProperties|table range:table",
    "FeatureProperties": "",
    "ImageProperties": "color_space:i8 default_size:table",
    "ProcessUnit": "options_type:u8 options:NormalizationOptions|table",
    "NormalizationOptions": "mean:[f32] std:[f32]",
    "AssociatedFile": "name:str description:str type:i8 locale:str",
}


@dataclass(frozen=True)
class ModelMetadata:
    """What a model's TFLite Metadata says: labels as the output has them, and input = (pixel - mean) / std.

    Pixels are 0 to 255. `mean` and `std` hold one value, or one a channel; they and `labels` are empty if not
    there.
    """

    name: str
    description: str
    version: str
    author: str
    licence: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def attach_metadata(
    model: bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    mean: float,
    std: float,
    author: str = "",
    licence: str = "",
    version: str = "",
) -> bytes:
    """`model`, an image classifier, with TFLite Metadata and labels.txt in place of any that it had.

    `mean` and `std` are in pixels (0 to 255) and hold for the real numbers that the input stands for,
    whatever its dtype: 0 and 255 for inputs from 0 to 1. The same arguments give the same bytes.

    Raises: EdgebigError if the model is damaged, its input no image (1, height, width, 1 or 3), its output
    not one number a label, or a label empty or of several lines.
    """
    contract = io_contract(model, name)
    shapes = [tensor.shape for tensor in contract.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] not in COLOUR_SPACES:
        raise EdgebigError(
            f"{name}: takes {_listed(shapes)}, and labels go to a model of one image",
            "an image has the shape (1, height, width, 1 or 3)",
        )
    shapes = [tensor.shape for tensor in contract.outputs]
    if len(shapes) != 1 or math.prod(shapes[0]) != len(labels):
        raise EdgebigError(
            f"{name}: has {len(labels)} labels for {_listed(shapes)}", "give a label for each output"
        )
    for label in labels:
        if not label.strip() or "\n" in label or "\r" in label:
            raise EdgebigError(
                f"{name}: a label cannot be {label!r}", "a label is one line with something in it"
            )
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise EdgebigError(
            f"{name}: no normalisation by mean {mean} and std {std}", "std is above 0, 255 mostly"
        )
    metadata = {
        "name": name,
        "description": description,
        "version": version,
        "subgraph_metadata": [_subgraph(contract.inputs[0].shape[-1], mean, std)],
        "author": author,
        "license": licence,
        "min_parser_version": MIN_PARSER_VERSION,
    }
    tree = unpack_model(model, name)
    _put(tree, _packed(metadata))
    return pack_model(tree, {LABELS_FILE: "".join(f"{label}\n" for label in labels).encode()})


def read_metadata(model: bytes, name: str = "model") -> ModelMetadata | None:
    """The TFLite Metadata of the .tflite bytes `model`, or None; `name` opens the error messages.

    Raises: EdgebigError if the model or its metadata is damaged, or the labels that it names are not there.
    """
    parsed = parse_model(model, name)
    found = [entry["buffer"] for entry in parsed["metadata"] if entry["name"] == BUFFER_NAME]
    if not found:
        return None
    data = bytes(parsed["buffers"][found[0]]["data"])
    try:
        if data[4:8] != IDENTIFIER:
            raise DamagedError("its identifier is not M001")
        metadata, _ = read_table(data, METADATA, "ModelMetadata")
    except DamagedError as damage:
        raise EdgebigError(f"{name}: the TFLite Metadata is damaged: {damage}", NOT_A_MODEL) from None
    graph = (metadata["subgraph_metadata"] or [{"input_tensor_metadata": [], "output_tensor_metadata": []}])[
        0
    ]
    normalisations = [
        unit["options"]
        for tensor in graph["input_tensor_metadata"]
        for unit in tensor["process_units"]
        if unit["options_type"] == 1 and unit["options"] is not None
    ]
    normalisation = normalisations[0] if normalisations else {"mean": (), "std": ()}
    return ModelMetadata(
        name=metadata["name"],
        description=metadata["description"],
        version=metadata["version"],
        author=metadata["author"],
        licence=metadata["license"],
        labels=_labels(graph["output_tensor_metadata"], model, name),
        mean=normalisation["mean"],
        std=normalisation["std"],
    )


def read_labels(model: bytes, name: str = "model") -> tuple[str, ...]:
    """The labels in the TFLite Metadata, () where there are none. Raises: EdgebigError as `read_metadata`."""
    metadata = read_metadata(model, name)
    return metadata.labels if metadata else ()


def _labels(outputs: Sequence[Mapping[str, Any]], model: bytes, name: str) -> tuple[str, ...]:
    named = [
        file["name"]
        for output in outputs
        for file in output["associated_files"]
        if file["type"] == TENSOR_AXIS_LABELS
    ]
    if not named:
        return ()
    files = attached_files(model, name)
    if named[0] not in files:
        raise EdgebigError(f"{name}: its labels ({named[0]}) are not in the file", NOT_A_MODEL)
    try:
        lines = files[named[0]].decode("utf-8").replace("\r\n", "\n").removesuffix("\n")
    except UnicodeDecodeError:
        raise EdgebigError(f"{name}: its labels ({named[0]}) are not UTF-8", "attach them again") from None
    return tuple(lines.split("\n")) if lines else ()


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(str(shape) for shape in shapes)


def _subgraph(channels: int, mean: float, std: float) -> dict[str, Any]:
    image = {"properties_type": 2, "properties": {"color_space": COLOUR_SPACES[channels]}}
    normalisation = {"options_type": 1, "options": {"mean": [mean], "std": [std]}}
    labels = {"name": LABELS_FILE, "description": "Labels of the classes.", "type": TENSOR_AXIS_LABELS}
    return {
        "input_tensor_metadata": [
            {
                "name": "image",
                "description": "Image to be classified.",
                "content": image,
                "process_units": [normalisation],
            }
        ],
        "output_tensor_metadata": [
            {
                "name": "probability",
                "description": "Probabilities of the labels.",
                "content": {"properties_type": 1, "properties": {}},
                "associated_files": [labels],
            }
        ],
    }


def _put(tree: Any, metadata: bytes) -> None:
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT(data=metadata)
    tree.metadata = tree.metadata or []
    for entry in tree.metadata:
        if entry.name == BUFFER_NAME.encode():
            tree.buffers[entry.buffer] = buffer
            return
    tree.buffers.append(buffer)
    tree.metadata.append(schema.MetadataT(name=BUFFER_NAME, buffer=len(tree.buffers) - 1))


def _packed(metadata: Mapping[str, Any]) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, "ModelMetadata", metadata), IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: Any, table: str, values: Mapping[str, Any]) -> int:
    written = {}
    spec = fields(METADATA[table])
    for field, kind, _ in spec:
        if values.get(field) in (None, "", []):
            continue
        if "|" in kind:
            kind = kind.split("|")[values[f"{field}_type"] - 1]
        written[field] = _write_value(builder, kind, values[field])
    builder.StartObject(len(spec))
    for slot, (field, kind, _) in enumerate(spec):
        if field in written and kind == "u8":
            builder.PrependUint8Slot(slot, written[field], 0)
        elif field in written and kind == "i8":
            builder.PrependInt8Slot(slot, written[field], 0)
        elif field in written:
            builder.PrependUOffsetTRelativeSlot(slot, written[field], 0)
    return int(builder.EndObject())


def _write_value(builder: Any, kind: str, value: Any) -> int:
    if kind in ("u8", "i8"):
        return int(value)
    if kind == "str":
        return int(builder.CreateString(value))
    if not kind.startswith("["):
        return _write_table(builder, kind, value)
    offsets = value if kind == "[f32]" else [_write_value(builder, kind[1:-1], item) for item in value]
    builder.StartVector(4, len(value), 4)
    for item in reversed(offsets):
        (builder.PrependFloat32 if kind == "[f32]" else builder.PrependUOffsetTRelative)(item)
    return int(builder.EndVector())
