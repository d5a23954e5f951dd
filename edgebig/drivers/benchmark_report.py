"""What a run of `benchmark_model` printed: its figures, and what its delegate took. Text in, figures out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from edgebig.drivers.benchmark_model import is_path, tail
from edgebig.errors import DeviceError


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
    applied = "external" if is_path(asked) else asked
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
    return asked if is_path(asked) else kernel


def unsupported(text: str) -> dict[str, str]:
    """The operators that a GPU delegate says it left to the CPU -> its reason for each, empty where it tells none."""
    block = re.search(
        r"(?:Following|Next) operations are not supported by GPU delegate:\n(.*?)\n(?:First )?\d+ operations will run",
        text,
        re.DOTALL,
    )
    parts = (line.partition(":") for line in block[1].splitlines()) if block else ()
    return {operator.strip(): reason.strip() for operator, _, reason in parts if operator.strip()}
