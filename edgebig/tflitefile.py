"""A .tflite file, read, unpacked for editing, packed again: the flatbuffer, and the zip of files behind it.

A file is first read within its bounds (`fbreader`); only then is it handed to the schema's generated classes.
Schema: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from edgebig.errors import EdgebigError
from edgebig.fbreader import Claim, DamagedError, Schema, read_table

IDENTIFIER = b"TFL3"
MAX_ATTACHED_BYTES = 1 << 26  # labels and vocabularies; a zip that claims more is a bomb
DTYPES = (  # by TensorType
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8"),
    *("float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16"),
    *("int2", "uint4", "float8_e4m3fn", "float8_e5m2"),
)
ZIP_FAULTS = (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, struct.error)
OVER_2_GB = "files of more than 2 GB are not supported"
NOT_A_MODEL = "is it the right file, and whole? Copy or convert it again"
TFLITE: Schema = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:str "
    "buffers:[Buffer] metadata_buffer:[i32] metadata:[Metadata] signature_defs:[SignatureDef] "
    "external_buffer_groups:[table] external_buffers:[table]",
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:str version:i32=1 builtin_code:i32",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:str",
    "Tensor": "shape:[i32] type:u8 buffer:u32 name:str quantization:Quantization is_variable:u8 "
    "sparsity:Sparsity shape_signature:[i32] has_rank:u8 variant_tensors:[table] external_buffer:u32",
    "Quantization": "min:[f32] max:[f32] scale:[f32] zero_point:[i64] details_type:u8 "
    "details:table dimension:i32",
    "Sparsity": "traversal_order:[i32] block_map:[i32] dim_metadata:[SparseDimension]",
    "SparseDimension": "format:i8 dense_size:i32 segments_type:u8 segments:Int32Vector|Uint16Vector|Uint8Vector "
    "indices_type:u8 indices:Int32Vector|Uint16Vector|Uint8Vector",
    "Int32Vector": "values:[i32]",
    "Uint16Vector": "values:[u16]",
    "Uint8Vector": "values:[u8]",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8 builtin_options:table "
    "custom_options:[u8] custom_options_format:i8 mutating_variable_inputs:[u8] intermediates:[i32] "
    "large_custom_options_offset:u64 large_custom_options_size:u64 builtin_options_2_type:u8 "
    "builtin_options_2:table",
    "Buffer": "data:[u8] offset:u64 size:u64",
    "Metadata": "name:str buffer:u32",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:str deprecated_tag:u32 "
    "subgraph_index:u32",
    "TensorMap": "name:str tensor_index:u32",
}


@functools.cache
def _builtin_names() -> dict[int, str]:
    return {value: key for key, value in vars(_schema().BuiltinOperator).items() if isinstance(value, int)}


def _schema() -> Any:
    """The schema's generated classes, which come with the runtime. Raises: EdgebigError where it is not installed."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise EdgebigError(
            f"to look into a .tflite needs ai-edge-litert, which is not installed here ({error})",
            'pip install "edgebig[device]"; from a checkout: pip install ".[device]"',
        ) from error
    return schema_py_generated


def builtin_name(deprecated_builtin_code: int, builtin_code: int) -> str:
    number = max(deprecated_builtin_code, builtin_code)  # the old field has 8 bits, the new one 32
    return _builtin_names().get(number, f"operator {number}")


def parse_model(
    model: bytes, name: str, *, several: bool = False, claim: Claim | None = None
) -> dict[str, Any]:
    """A .tflite as nested dicts (`TFLITE`), every index checked; of `several` subgraphs only where that is said.

    `claim` hears what lies where. Raises: EdgebigError.
    """
    if model[4:8] != IDENTIFIER:
        problem = (
            "is empty"
            if not model
            else "is a zip, not a .tflite"
            if model[:2] == b"PK"
            else "is not a .tflite"
        )
        raise EdgebigError(f"{name}: {problem}", NOT_A_MODEL)
    try:
        parsed, end = read_table(model, TFLITE, "Model", claim)
        _check_indices(parsed)
    except DamagedError as damage:
        raise EdgebigError(f"{name}: the .tflite is cut short or damaged: {damage}", NOT_A_MODEL) from None
    if len(parsed["subgraphs"]) != 1 and not (several and parsed["subgraphs"]):
        raise EdgebigError(
            f"{name}: has {len(parsed['subgraphs'])} subgraphs, and only one is understood",
            "convert it without control flow (tf.while_loop, tf.cond)",
        )
    graph = parsed["subgraphs"][0]
    for side in ("inputs", "outputs"):
        if not graph[side]:
            raise EdgebigError(f"{name}: the model has no {side}", NOT_A_MODEL)
    if _open_zip(model) is None and model.find(b"PK\x03\x04", end) >= 0:
        raise EdgebigError(f"{name}: the files attached to the .tflite are cut short", NOT_A_MODEL)
    return parsed


def _check_indices(model: Mapping[str, Any]) -> None:
    def check(indices: Iterable[int], least: int, end: int, what: str) -> None:
        for index in indices:
            if not least <= index < end:
                raise DamagedError(f"there is no {what} {index}")

    if model["version"] != 3:
        raise DamagedError(f"its schema version is {model['version']}, not 3")
    check((entry["buffer"] for entry in model["metadata"]), 0, len(model["buffers"]), "buffer")
    for graph in model["subgraphs"]:
        tensors = len(graph["tensors"])
        check((tensor["buffer"] for tensor in graph["tensors"]), 0, max(len(model["buffers"]), 1), "buffer")
        check((tensor["type"] for tensor in graph["tensors"]), 0, len(DTYPES), "tensor type")
        check((*graph["inputs"], *graph["outputs"]), 0, tensors, "tensor")
        for operator in graph["operators"]:
            check([operator["opcode_index"]], 0, len(model["operator_codes"]), "operator code")
            check(
                (*operator["inputs"], *operator["intermediates"]), -1, tensors, "tensor"
            )  # -1: an optional input
            check(operator["outputs"], 0, tensors, "tensor")
    for signature in model["signature_defs"]:
        check([signature["subgraph_index"]], 0, len(model["subgraphs"]), "subgraph")
        tensors = len(model["subgraphs"][signature["subgraph_index"]]["tensors"])
        check(
            (entry["tensor_index"] for entry in (*signature["inputs"], *signature["outputs"])),
            0,
            tensors,
            "tensor",
        )


def attached_files(model: bytes, name: str) -> dict[str, bytes]:
    """The files in the zip behind the flatbuffer (labels, say) by name; {} where there is none.

    Raises: EdgebigError if the zip is damaged or claims more than 64 MiB.
    """
    opened = _open_zip(model)
    if opened is None:
        return {}
    entries = opened.infolist()
    if sum(entry.file_size for entry in entries) > MAX_ATTACHED_BYTES:
        raise EdgebigError(f"{name}: the files attached to the .tflite are too large", "take their zip off")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise EdgebigError(
            f"{name}: the files attached to the .tflite are neither stored nor deflated", NOT_A_MODEL
        )
    try:
        return {entry.filename: opened.read(entry) for entry in entries}
    except (*ZIP_FAULTS, zlib.error, EOFError, RuntimeError, KeyError) as fault:
        raise EdgebigError(
            f"{name}: the files attached to the .tflite are damaged: {fault}", NOT_A_MODEL
        ) from None


def _open_zip(model: bytes) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(model))
    except ZIP_FAULTS:
        return None


def unpack_model(model: bytes, name: str) -> Any:
    """A checked .tflite as the schema's mutable object tree (ModelT). Raises: EdgebigError."""
    schema = _schema()
    parse_model(model, name)
    try:
        tree = schema.ModelT.InitFromPackedBuf(model)
    except (
        struct.error,
        ValueError,
        IndexError,
        TypeError,
        KeyError,
        OverflowError,
    ) as fault:  # in operator options
        raise EdgebigError(f"{name}: the .tflite is damaged: {fault}", NOT_A_MODEL) from None
    for operator in tree.subgraphs[0].operators or []:
        if (operator.builtinOptionsType and operator.builtinOptions is None) or (
            operator.builtinOptions2Type and operator.builtinOptions2 is None
        ):
            raise EdgebigError(
                f"{name}: has an operator newer than this ai-edge-litert", "pip install -U ai-edge-litert"
            )
        if operator.largeCustomOptionsOffset > 1:
            raise EdgebigError(f"{name}: keeps data behind the flatbuffer, and cannot be edited", OVER_2_GB)
    if tree.externalBuffers or any(buffer.offset > 1 for buffer in tree.buffers or []):
        raise EdgebigError(f"{name}: keeps data behind the flatbuffer, and cannot be edited", OVER_2_GB)
    return tree


def drop_unused_buffers(tree: Any) -> None:
    """Takes the buffers that neither a tensor nor metadata has out of a ModelT. Buffer 0, the empty one, stays."""
    owners = [*(tensor for graph in tree.subgraphs for tensor in graph.tensors), *(tree.metadata or ())]
    used = sorted({0, *(owner.buffer for owner in owners)})
    place = {index: position for position, index in enumerate(used)}
    tree.buffers = [tree.buffers[index] for index in used]
    for owner in owners:
        owner.buffer = place[owner.buffer]


class _AlignedBuffer:
    """A buffer whose data starts at a multiple of 16: the schema's force_align, which BufferT forgets."""

    def __init__(self, buffer: Any) -> None:
        self.data = b"" if buffer.data is None else bytes(buffer.data)
        self.absent = buffer.data is None

    def Pack(self, builder: Any) -> int:  # noqa: N802, the generated classes call it so
        if not self.absent:
            builder.StartVector(1, len(self.data), 16)
            head = builder.head - len(self.data)
            builder.Bytes[head : head + len(self.data)] = self.data
            builder.head = head
            data = builder.EndVector()
        builder.StartObject(3)
        if not self.absent:
            builder.PrependUOffsetTRelativeSlot(0, data, 0)
        return int(builder.EndObject())


def pack_model(tree: Any, files: Mapping[str, bytes]) -> bytes:
    """The bytes of a ModelT with `files` in a zip behind them; the same bytes for the same tree and files."""
    from edgebig.fbwriter import SharingBuilder

    tree.buffers = [_AlignedBuffer(buffer) for buffer in tree.buffers or []]
    builder = SharingBuilder(1024)
    builder.Finish(tree.Pack(builder), IDENTIFIER)
    packed = io.BytesIO(bytes(builder.Output()))
    if files:
        # Stored, with offsets from the start of the file, as tflite-support's populator does: readers map it
        # in place.
        with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
            for file_name, content in files.items():
                entry = zipfile.ZipInfo(file_name, (1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, content)
    return packed.getvalue()
