"""TFLite's official `benchmark_model`: its command lines, and why one failed. Text in, text out; nothing is run.

Two tools bear the name: TFLite's own, and LiteRT's, which has --use_npu and takes no input files. Both print the lines
of one base class, which benchmark_report.py reads; --help tells them apart.
Source: tensorflow/lite/tools/benchmark/benchmark_model.cc and benchmark_tflite_model.cc; LiteRT's
litert/tools/benchmark_litert_model.h and tflite/tools/stats_calculator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from edgebig.errors import DeviceError, EdgebigError

# What a stand-in for the tool prints before anything else, with --help too; whoever runs it says so in every record.
STAND_IN = "edgebig-stand-in-for-benchmark_model"
# The name that the input has in commands: the tool compares it with the flags alone, and ':' or ',' would split it.
_INPUT = "input"
_FLAG = re.compile(r"^\s*--([a-z_0-9]+)=", re.MULTILINE)
_DELEGATES: dict[str, dict[str, str]] = {
    "tflite": {
        "xnnpack": "--use_xnnpack=true",
        "none": "--use_xnnpack=false",
        "gpu": "--use_gpu=true",
        "nnapi": "--use_nnapi=true",
    },
    "litert": {"xnnpack": "--use_cpu=true", "gpu": "--use_gpu=true"},
}
_NAMES = {"tflite": "TFLite's benchmark_model", "litert": "LiteRT's benchmark_model"}
_LINES_SHOWN = 8


@dataclass(frozen=True)
class Tool:
    """Which of the two it is, and the flags that this build of it takes."""

    kind: Literal["tflite", "litert"]
    flags: frozenset[str]
    stand_in: bool

    @property
    def name(self) -> str:
        return ("a stand-in for " if self.stand_in else "") + _NAMES[self.kind]

    @property
    def takes_inputs(self) -> bool:
        """Whether pictures can be given to it and its outputs be had, without which nothing is known of its answers."""
        return {
            "input_layer",
            "input_layer_shape",
            "input_layer_value_files",
            "output_filepath",
        } <= self.flags


def tool_of(help_text: str) -> Tool:
    """What printed this for --help. Raises DeviceError where it is no benchmark_model."""
    flags = frozenset(_FLAG.findall(help_text))
    if not {"graph", "num_runs", "warmup_runs"} <= flags:
        raise DeviceError(
            f"what 'benchmark_model' names does not answer --help as the tool does:\n{tail(help_text)}".rstrip(),
            "name the official tool, built for this phone, as 'benchmark_model' in the device's file",
        )
    return Tool("litert" if "use_npu" in flags else "tflite", flags, STAND_IN in help_text)


@dataclass(frozen=True)
class Runs:
    """How often and how long: `runs` invokes or more, until `seconds` have passed, after a warm-up alike."""

    runs: int
    seconds: float
    warmup_runs: int
    warmup_seconds: float
    most_seconds: float


def arguments(
    tool: Tool,
    graph: str,
    delegate: str,
    threads: int,
    runs: Runs,
    *,
    memory: bool = False,
    profile: bool = False,
) -> list[str]:
    """The words behind the tool's path. Raises EdgebigError where it has no such delegate, or no times of operators."""
    chosen = _DELEGATES[tool.kind].get(delegate)
    if chosen is None and tool.kind == "tflite" and is_path(delegate):
        chosen = f"--external_delegate_path={delegate}"
    if chosen is None:
        raise EdgebigError(
            f"{tool.name} has no delegate '{delegate}'",
            f"use one of: {', '.join(_DELEGATES[tool.kind])}"
            + (", or the path of a delegate's library on the phone" if tool.kind == "tflite" else ""),
        )
    words = [
        f"--graph={graph}",
        f"--num_threads={threads}",
        chosen,
        f"--num_runs={runs.runs}",
        f"--min_secs={runs.seconds:g}",
        f"--warmup_runs={runs.warmup_runs}",
        f"--warmup_min_secs={runs.warmup_seconds:g}",
        f"--max_secs={runs.most_seconds:g}",
    ]
    if memory and "report_peak_memory_footprint" in tool.flags:
        words.append("--report_peak_memory_footprint=true")
    if profile and "enable_op_profiling" not in tool.flags:
        # LiteRT's --use_profiler names operators, and tells no times.
        raise EdgebigError(
            f"{tool.name} tells no times of operators", "leave out --profile, or use TFLite's benchmark_model"
        )
    words += ["--enable_op_profiling=true"] * profile
    for word in words:
        if (flag := word[2:].partition("=")[0]) not in tool.flags:
            raise EdgebigError(
                f"this build of {tool.name} has no --{flag}, which delegate '{delegate}' needs",
                "use another build, or another delegate",
            )
    return words


def with_files(shape: Sequence[int | str], inputs: str, outputs: str) -> list[str]:
    """The words that give it an input of `shape` from a file, and have its outputs written to another."""
    return [
        f"--input_layer={_INPUT}",
        f"--input_layer_shape={','.join(map(str, shape))}",
        f"--input_layer_value_files={_INPUT}:{inputs}",
        f"--output_filepath={outputs}",
    ]


def raise_failure(code: int, text: str, name: str) -> NoReturn:
    """Why a run of the model `name` ended with `code`, after printing `text`, as the error that the user sees."""
    shown = tail(text)
    if re.search(r"Failed to load model|model identifier|Failed to initialize the interpreter", text):
        raise EdgebigError(
            f"{name}: benchmark_model refuses it:\n{shown}", "the file is damaged or no .tflite"
        )
    if found := re.search(r"Failed to apply (.+?) delegate", text):
        raise DeviceError(
            f"{name}: the {found[1]} delegate fails on this phone:\n{shown}", "use delegate = 'xnnpack'"
        )
    if code in (126, 127) or "CANNOT LINK EXECUTABLE" in text or "not executable" in text:
        raise DeviceError(
            f"benchmark_model does not start on this phone (exit code {code}):\n{shown}",
            "is it built for this phone's processor? May files be executed in 'folder'?",
        )
    if code > 128:
        hint = "the file is damaged, or this tool or its delegate cannot run it here"
        if code == 137:
            hint = (
                "the phone was short of memory, or the system stopped it: close apps, or use a smaller model"
            )
        raise DeviceError(
            f"{name}: benchmark_model was killed by signal {code - 128}:\n{shown}".rstrip(":\n"), hint
        )
    raise DeviceError(
        f"{name}: benchmark_model ended with exit code {code}:\n{shown}".rstrip(":\n"),
        "what it says stands above",
    )


def tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LINES_SHOWN:])


def is_path(delegate: str) -> bool:
    return "/" in delegate or ".so" in delegate
