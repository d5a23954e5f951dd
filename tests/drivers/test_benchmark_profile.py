"""benchmark_model's tables of operators, as builds of several years print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.drivers.benchmark_profile import profile
from edgebig.errors import DeviceError

HEAD = "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:\n"
ORDER = "============================== Run Order ==============================\n"
COLUMNS = "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]\n"
TOP = "============================== Top by Computation Time ==============================\n"
INIT = (
    f"INFO: Profiling Info for Benchmark Initialization:\n{ORDER}{COLUMNS}"
    "\t         AllocateTensors\t    1.356\t    1.356\t100.000%\t100.000%\t     0.000\t        1\tAllocateTensors/0\n\n"
    "Timings (microseconds): count=1 curr=1356\n"
)
CONV = "\t  CONV_2D\t   87.754\t   60.957\t  2.066%\t  2.066%\t     0.000\t        1\t[Conv2d_0/Relu6]:0\n"
DELEGATE = (
    "\t   TfLiteXNNPackDelegate\t    0.500\t    0.400\t 80.000%\t 80.000%\t     0.000\t        1\t[out]:71\n"
)
SOFTMAX = (
    "\t                 SOFTMAX\t    0.100\t    0.002\t 20.000%\t100.000%\t     0.000\t        1\t[probs]:8\n"
)
# Newer: wider columns, and of a delegate's operator how often it is called.
DEPTHWISE = (
    "                  Convolution (NHWC, QC8) DWConv            0.428           0.051         4.317%          8.304%"
    "             0.000               13       Delegate/Convolution (NHWC, QC8) DWConv:1\n"
)
# Older: with the start of each.
POOL = "\t  AVERAGE_POOL_2D\t  11.422\t    0.075\t    0.080\t  0.153%\t 22.092%\t     0.000\t        1\t[Pool]:61\n"
TIMINGS = (
    "Timings (microseconds): count=50 first=1 curr=1 min=1 max=1 avg=1 std=0\n"
    "Memory (bytes): count=0\n2 nodes observed\n"
)


def rows(text: str) -> list[tuple[str, int, bool, float]]:
    found = profile(text)["operators"]
    return [(row["operator"], row["node"], row["inside"], round(row["us"], 3)) for row in found]


def test_the_operators_of_the_model_and_none_of_the_start() -> None:
    text = f"{INIT}\n{HEAD}{ORDER}{COLUMNS}{CONV}{SOFTMAX}\n{TOP}{COLUMNS}{CONV}{SOFTMAX}\n{TIMINGS}"
    assert profile(text)["invokes"] == 50
    assert rows(text) == [("CONV_2D", 0, False, 60957.0), ("SOFTMAX", 8, False, 2.0)]


def test_a_delegate_that_tells_its_own_operators_does_not_count_twice() -> None:
    inner = f"Delegate internal: \n{ORDER}{COLUMNS}{DEPTHWISE}\n{TOP}{COLUMNS}{DEPTHWISE}\n{TIMINGS}"
    text = f"{HEAD}{ORDER}{COLUMNS}{DELEGATE}{SOFTMAX}\n{TOP}{COLUMNS}{DELEGATE}\n{TIMINGS}"
    assert rows(text) == [("TfLiteXNNPackDelegate", 71, False, 400.0), ("SOFTMAX", 8, False, 2.0)]
    own = [("SOFTMAX", 8, False, 2.0), ("Convolution (NHWC, QC8) DWConv", 1, True, 663.0)]
    assert rows(f"{text}{inner}") == own
    # Newer ones print them all in one table.
    assert sorted(rows(f"{HEAD}{ORDER}{COLUMNS}{DELEGATE}{SOFTMAX}{DEPTHWISE}\n{TIMINGS}")) == sorted(own)


def test_an_older_build_tells_when_each_starts() -> None:
    assert rows(f"{HEAD}{ORDER}{COLUMNS}{POOL}\n{TIMINGS}") == [("AVERAGE_POOL_2D", 61, False, 80.0)]


def test_the_graph_of_a_loop_is_within_its_node() -> None:
    text = (
        f"{HEAD}Primary graph (name: main) profile:\n{ORDER}{COLUMNS}{SOFTMAX}\n{TIMINGS}\n"
        f"Subgraph (index: 1, name: body) profile:\n{ORDER}{COLUMNS}{CONV}\n{TIMINGS}"
        f"Delegate internal: \n{ORDER}{COLUMNS}{DEPTHWISE}\n{TIMINGS}"
    )
    assert [row[0] for row in rows(text)] == ["SOFTMAX", "Convolution (NHWC, QC8) DWConv"]


def test_an_inference_of_no_time_at_all() -> None:
    nothing = "\t                     ADD\t    0.000\t    0.000\t   -nan%\t   -nan%\t     0.000\t        1\t[sum]:0\n"
    assert rows(f"{HEAD}{ORDER}{COLUMNS}{nothing}\n{TIMINGS}") == [("ADD", 0, False, 0.0)]


@pytest.mark.parametrize("text", ["", INIT, HEAD, f"{HEAD}{ORDER}{COLUMNS}{TIMINGS}", f"{HEAD}{ORDER}{CONV}"])
def test_a_tool_that_printed_none(text: str) -> None:
    with pytest.raises(DeviceError, match="no times of operators"):
        profile(text)


@given(st.text(st.sampled_from("\t 01.%:ab\n="), max_size=300))
def test_no_line_makes_it_stumble(text: str) -> None:
    try:
        found = profile(f"{HEAD}{ORDER}{text}\n{TIMINGS}")
    except DeviceError:
        return
    assert all(row["us"] >= 0 for row in found["operators"])
