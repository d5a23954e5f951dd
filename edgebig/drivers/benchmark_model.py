"""TFLite's official `benchmark_model`: its command lines, and what its lines say. Text in, text out; nothing is run.

Two tools bear the name: TFLite's own, and LiteRT's, which has --use_npu and takes no input files. Both print the lines
of one base class, which are read here; --help tells them apart.
Source: tensorflow/lite/tools/benchmark/benchmark_model.cc and benchmark_tflite_model.cc; LiteRT's
litert/tools/benchmark_litert_model.h and tflite/tools/stats_calculator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

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
    tool: Tool, graph: str, delegate: str, threads: int, runs: Runs, *, memory: bool = False
) -> list[str]:
    """The words behind the tool's path. Raises EdgebigError where it has no such delegate."""
    chosen = _DELEGATES[tool.kind].get(delegate)
    if chosen is None and tool.kind == "tflite" and _is_path(delegate):
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


@dataclass(frozen=True)
class Statistics:
    """Microseconds over `n` invokes; older builds tell no percentiles."""

    n: int
    first_us: float
    min_us: float
    max_us: float
    mean_us: float
    std_us: float
    p5_us: float | None
    p50_us: float | None
    p95_us: float | None


@dataclass(frozen=True)
class Report:
    """What one run of the tool said. `delegated` is as in a `loaded` event."""

    init_us: float
    first_us: float
    inference: Statistics
    peak_memory_kb: int | None
    delegated: dict[str, Any]


def report(text: str, asked: str) -> Report:
    """What a run that ended well printed, asked for the delegate `asked`. Raises DeviceError where it is malformed."""
    init = re.search(r"Inference timings in us: Init: (\S+),", text)
    session = re.search(r"Initialized session in (\S+)ms\.", text)
    counts = re.findall(r"^(?:\w+: )?(count=\d.*)$", text, re.MULTILINE)
    if len(counts) < 2 or not (init or (session and "BENCHMARK RESULTS" in text)):
        _malformed("it ends before its figures", text)
    try:
        init_us = float(init[1]) if init else float(session[1]) * 1e3 if session else 0.0
        warmup, inference = (_statistics(line) for line in counts[:2])
    except (KeyError, ValueError) as error:
        _malformed(f"its figures cannot be read ({error})", text)
    if inference is None:
        _malformed("it made no inference", text)
    first_us = (warmup or inference).first_us
    times_us = (
        init_us,
        first_us,
        inference.min_us,
        inference.max_us,
        inference.mean_us,
        inference.p50_us or 0.0,
    )
    if not all(0 <= time_us < math.inf for time_us in times_us):
        _malformed("a time is negative or no number", text)
    return Report(init_us, first_us, inference, _peak_memory_kb(text), delegated(text, asked))


def _statistics(line: str) -> Statistics | None:
    """Of `count=50 first=1 curr=1 min=1 max=1 avg=1 std=0 p5=1 median=1 p95=1`; of one invoke it tells `curr` alone."""
    told = dict(re.findall(r"(\w+)=([-+.\w]+)", line))
    n = int(told["count"])
    if n == 0:
        return None
    if "avg" not in told:  # of equal ones it tells one as well: "count=3 curr=12(all same)"
        only = float(told["curr"])
        return Statistics(n, only, only, only, only, 0.0, only, only, only)
    first, least, most, mean, std = (float(told[key]) for key in ("first", "min", "max", "avg", "std"))
    p5, p50, p95 = (float(told[key]) if key in told else None for key in ("p5", "median", "p95"))
    return Statistics(n, first, least, most, mean, std, p5, p50, p95)


def _peak_memory_kb(text: str) -> int | None:
    found = re.search(
        r"(?:Overall peak memory footprint \(MB\) via periodic monitoring:|Peak memory:)\s+([\d.e+]+)", text
    )
    return round(float(found[1]) * 1024) if found else None


def _malformed(what: str, text: str) -> NoReturn:
    raise DeviceError(
        f"benchmark_model's output is not as it should be: {what}\n{tail(text)}".rstrip(),
        "is it the official tool? Run it by hand: adb shell",
    )


def delegated(text: str, asked: str) -> dict[str, Any]:
    """What the delegate that was asked for took, with the name of the one that ran: the default XNNPACK may have.

    As in a `loaded` event. `partitions` is the number of kernels where the tool tells it, else its own count, which has
    those of the CPU too. A build that counts no operators says "whole" or "a part": 1 of 1, or 0 of 1.
    """
    taken = [
        (_delegate_of(name, asked), int(nodes), int(of or nodes), int(partitions))
        for nodes, of, name, partitions in re.findall(
            r"Replacing (\d+)(?: out of (\d+))? node\(s\) with delegate \((.*?)\) node, yielding (\d+) partitions",
            text,
        )
    ]
    # Several may be tried in one run, each with a line of its own.
    applied = "external" if _is_path(asked) else asked
    said = re.findall(
        r"(?:Though|Explicitly applied) (\w+) delegate.*?(completely|partially|not be)(.*)", text
    )
    how, rest = next(((how, rest) for who, how, rest in said if who.lower() == applied), ("", ""))
    own = [entry for entry in taken if entry[0] == asked and how != "not be"]
    others = [entry for entry in taken if entry[0] != asked]
    kernels = re.search(r"w/ (\d+) delegate kernels", rest)
    reasons = unsupported(text)
    if asked == "none":
        name, nodes, of, partitions = "none", 0, 0, 0
    elif own:
        name, nodes, of, partitions = own[0]
        partitions = int(kernels[1]) if kernels else 1 if how == "completely" else partitions
    elif how in ("completely", "partially"):
        name, nodes, of, partitions = asked, int(how == "completely"), 1, int(kernels[1]) if kernels else 1
        if not nodes:
            reasons["count"] = "this build does not tell how many of its operators"
    elif others:
        name, nodes, of, partitions = others[0][0], 0, others[0][2], 0
        reasons["instead"] = f"{name} ran {others[0][1]} of them in its place"
    else:
        name, nodes, of, partitions = "none", 0, 0, 0
    left = sorted(set(reasons) - {"count", "instead"})
    told = {operator: reason for operator, reason in reasons.items() if reason}
    return {
        "delegate": name,
        "nodes": nodes,
        "of": of,
        "partitions": partitions,
        "left": left,
        "reasons": told,
    }


def _delegate_of(kernel: str, asked: str) -> str:
    """TfLiteXNNPackDelegate -> xnnpack, TfLiteGpuDelegateV2 or LITERT_CL -> gpu; one of a library as it was asked."""
    for word, name in (("xnnpack", "xnnpack"), ("gpu", "gpu"), ("litert_cl", "gpu"), ("nnapi", "nnapi")):
        if word in kernel.lower():
            return name
    return asked if _is_path(asked) else kernel


def _is_path(delegate: str) -> bool:
    return "/" in delegate or ".so" in delegate


def unsupported(text: str) -> dict[str, str]:
    """The operators that a GPU delegate says it left to the CPU -> its reason for each, empty where it tells none."""
    block = re.search(
        r"(?:Following|Next) operations are not supported by GPU delegate:\n(.*?)\n(?:First )?\d+ operations will run",
        text,
        re.DOTALL,
    )
    parts = (line.partition(":") for line in block[1].splitlines()) if block else ()
    return {operator.strip(): reason.strip() for operator, _, reason in parts if operator.strip()}


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
