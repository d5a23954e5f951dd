"""Where the time of an inference went, as `benchmark_model --enable_op_profiling` prints it. Text in, figures out.

Source: tflite/profiling/profile_summary_formatter.cc and tensorflow/core/util/stats_calculator.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from edgebig.drivers.benchmark_model import tail
from edgebig.errors import DeviceError

_HEAD = "Operator-wise Profiling Info for Regular Benchmark Runs:"
# Old builds tell the start of each before its first time.
_ROW = re.compile(
    r"\s*(?P<operator>\S.*?)\s+(?:\d+\.\d+\s+)?\d+\.\d+\s+(?P<mean_ms>\d+\.\d+)\s+\S+%\s+\S+%\s+\d+\.\d+"
    r"\s+(?P<times>\d+)\s+(?P<name>\S.*)"
)


def profile(text: str) -> dict[str, Any]:
    """{invokes, operators: [{operator, node, inside, us}]}, as ondevice.profile has it. Raises DeviceError without.

    The tool tells the mean of one call, in whole us, and how often it is called in an inference.
    """
    told = text.partition(_HEAD)[2]
    count = re.search(r"Timings \(microseconds\): count=(\d+)", told)
    rows = list(_rows(told))
    if count is None or not rows or count[1] == "0":
        raise DeviceError(
            f"benchmark_model printed no times of operators:\n{tail(text)}".rstrip(),
            "leave out --profile, or use another build of the tool",
        )
    # A delegate that tells its own operators stands with these, not with its node.
    tells = any(row["inside"] for row in rows)
    kept = [row for row in rows if row["inside"] or not (tells and "delegate" in row["operator"].lower())]
    return {"invokes": int(count[1]), "operators": kept}


def _rows(told: str) -> Iterator[dict[str, Any]]:
    """Of the main graph and of a delegate; the time of a loop's graph is within its node's."""
    inside = elsewhere = in_order = False
    for line in told.splitlines():
        if line.startswith("Delegate internal:"):
            inside, elsewhere = True, False
        elif re.match(r"(Primary graph|Subgraph) \(.*profile:$", line):
            elsewhere = line.startswith("Subgraph")
        elif line.startswith("====="):
            in_order = "Run Order" in line
        elif in_order and not elsewhere and (row := _ROW.fullmatch(line)):
            node = re.search(r":(\d+)$", row["name"])
            yield {
                "operator": row["operator"],
                "node": int(node[1]) if node else 0,
                "inside": inside or row["name"].startswith("Delegate/"),
                "us": float(row["mean_ms"]) * 1e3 * int(row["times"]),
            }
