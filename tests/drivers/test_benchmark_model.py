"""What real runs of the tools printed is read as it says, and what no tool would print is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.drivers import benchmark_model, benchmark_report
from edgebig.drivers.benchmark_model import Runs, Tool
from edgebig.errors import DeviceError, EdgebigError

LOGS = Path(__file__).resolve().parent.parent / "golden" / "benchmark_model"
TFLITE_FLAGS = (
    "graph num_threads num_runs min_secs max_secs warmup_runs warmup_min_secs use_xnnpack use_gpu use_nnapi "
    "report_peak_memory_footprint input_layer input_layer_shape input_layer_value_files output_filepath "
    "external_delegate_path"
)
LITERT_FLAGS = (
    "graph num_threads num_runs min_secs max_secs warmup_runs warmup_min_secs use_cpu use_gpu use_npu"
)
ONCE = Runs(1, 0.0, 0, 0.0, 60.0)


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text("utf-8")


def help_of(flags: str) -> str:
    """As tensorflow/lite/tools/command_line_flags.cc prints it."""
    lines = [f"\t--{name}=0          \tint32\toptional\twhat --{name} does" for name in flags.split()]
    return "\n".join(["ERROR: usage: /data/local/tmp/benchmark_model <flags>", "Flags:", *lines])


TFLITE, LITERT = (benchmark_model.tool_of(help_of(flags)) for flags in (TFLITE_FLAGS, LITERT_FLAGS))


def taken(delegate: str, nodes: int, of: int, partitions: int) -> dict[str, Any]:
    return {
        "delegate": delegate, "nodes": nodes, "of": of, "partitions": partitions, "left": [], "reasons": {},
    }  # fmt: skip


def test_an_older_build_tells_no_percentiles() -> None:
    report = benchmark_report.report(log("tflite-xnnpack-am62x"), "xnnpack")
    assert (report.init_us, report.first_us) == (592232, 633430)
    assert (report.inference.n, report.inference.mean_us, report.inference.p50_us) == (50, 602943, None)
    assert report.peak_memory_kb is None
    assert report.delegated == {
        "delegate": "xnnpack", "nodes": 0, "of": 1, "partitions": 1, "left": [],
        "reasons": {"count": "this build does not tell how many of its operators"},
    }  # fmt: skip


def test_a_newer_one_tells_them_and_writes_large_numbers_with_an_exponent() -> None:
    report = benchmark_report.report(log("tflite-none-am62x"), "none")
    told = report.inference
    assert (told.n, told.min_us, told.max_us, told.mean_us) == (50, 1238588, 1252566, 1240270)
    assert (told.p5_us, told.p50_us, told.p95_us, told.std_us) == (1238753, 1239807, 1247415, 2565)
    assert report.first_us == 1357602
    assert report.delegated == taken("none", 0, 0, 0)


def test_the_gpu_took_all_and_nnapi_nothing() -> None:
    text = log("tflite-gpu-nnapi-android")
    assert benchmark_report.report(text, "gpu").delegated == taken("gpu", 49, 49, 1)
    assert benchmark_report.report(text, "nnapi").delegated == {
        **taken("gpu", 0, 49, 0), "reasons": {"instead": "gpu ran 49 of them in its place"},
    }  # fmt: skip
    assert benchmark_report.report(text, "gpu").first_us == 328140


def test_litert_s_tool_is_read_by_the_lines_that_both_share() -> None:
    report = benchmark_report.report(log("litert-cpu-arm"), "xnnpack")
    assert (report.init_us, report.first_us) == (pytest.approx(4478), 1033)
    assert (report.inference.n, report.inference.p50_us, report.inference.p95_us) == (2112, 462, 478)
    assert report.delegated == taken("xnnpack", 1, 1, 1)


def test_lines_are_found_behind_other_prefixes() -> None:
    found = benchmark_report.delegated(log("tflite-default-logcat"), "xnnpack")
    assert found == taken("xnnpack", 642, 685, 19)


REFUSED = "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
XNNPACK = "VERBOSE: Replacing 9 out of 10 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions\n"


@pytest.mark.parametrize(
    ("text", "asked", "delegate", "nodes"),
    [
        (REFUSED, "nnapi", "none", 0),
        (REFUSED + XNNPACK, "nnapi", "xnnpack", 0),
        ("WARN: GPU acceleration is unsupported on this platform.\n" + XNNPACK, "gpu", "xnnpack", 0),
        ("", "gpu", "none", 0),
        (
            XNNPACK.replace("TfLiteXNNPackDelegate", "TfLiteQnnDelegate"),
            "/data/libqnn.so",
            "/data/libqnn.so",
            9,
        ),
        (XNNPACK.replace("TfLiteXNNPackDelegate", "LITERT_CL"), "gpu", "gpu", 9),
        (XNNPACK + XNNPACK.replace("TfLiteXNNPackDelegate", "TfLiteGpuDelegateV2"), "gpu", "gpu", 9),
    ],
)
def test_what_ran_is_named_and_not_what_was_asked_for(
    text: str, asked: str, delegate: str, nodes: int
) -> None:
    found = benchmark_report.delegated(text, asked)
    assert (found["delegate"], found["nodes"]) == (delegate, nodes)
    assert ("instead" in found["reasons"]) == (asked in ("gpu", "nnapi") and delegate == "xnnpack")


def test_what_a_gpu_leaves_is_named_with_its_reason() -> None:
    text = (
        "ERROR: Following operations are not supported by GPU delegate:\nDEQUANTIZE:\n"
        "TRANSPOSE_CONV: Max version supported: 3. Requested version 4.\n"
        "123 operations will run on the GPU, and the remaining 156 operations will run on the CPU.\n"
        "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 "
        "delegate kernels.\n"
        "VERBOSE: Replacing 123 out of 279 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 7 partitions\n"
    )
    assert benchmark_report.delegated(text, "gpu") == {
        "delegate": "gpu", "nodes": 123, "of": 279, "partitions": 3,
        "left": ["DEQUANTIZE", "TRANSPOSE_CONV"],
        "reasons": {"TRANSPOSE_CONV": "Max version supported: 3. Requested version 4."},
    }  # fmt: skip


def test_the_two_tools_are_told_apart_by_help() -> None:
    assert (TFLITE.kind, TFLITE.takes_inputs, TFLITE.stand_in) == ("tflite", True, False)
    assert (LITERT.kind, LITERT.takes_inputs) == ("litert", False)
    assert benchmark_model.tool_of(f"{benchmark_model.STAND_IN}\n{help_of(TFLITE_FLAGS)}").stand_in


@pytest.mark.parametrize(
    "text", ["", "usage: ls [OPTION]... [FILE]...\n --all  do not ignore", "bash: no such option"]
)
def test_another_program_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="does not answer --help as the tool does"):
        benchmark_model.tool_of(text)


@pytest.mark.parametrize(
    ("tool", "delegate", "flag"),
    [
        (TFLITE, "xnnpack", "--use_xnnpack=true"),
        (TFLITE, "none", "--use_xnnpack=false"),
        (TFLITE, "gpu", "--use_gpu=true"),
        (TFLITE, "nnapi", "--use_nnapi=true"),
        (TFLITE, "/data/local/tmp/libqnn.so", "--external_delegate_path=/data/local/tmp/libqnn.so"),
        (LITERT, "xnnpack", "--use_cpu=true"),
        (LITERT, "gpu", "--use_gpu=true"),
    ],
)
def test_a_delegate_is_a_flag(tool: Tool, delegate: str, flag: str) -> None:
    words = benchmark_model.arguments(tool, "/m", delegate, 2, ONCE, memory=True)
    assert flag in words
    assert {"--graph=/m", "--num_threads=2", "--num_runs=1", "--warmup_runs=0", "--max_secs=60"} <= set(words)
    assert ("--report_peak_memory_footprint=true" in words) == (tool is TFLITE)


@pytest.mark.parametrize(
    ("tool", "delegate", "words"),
    [
        (TFLITE, "reference", "TFLite's benchmark_model has no delegate 'reference'"),
        (LITERT, "nnapi", "LiteRT's benchmark_model has no delegate 'nnapi'"),
        (LITERT, "/data/x.so", "LiteRT's benchmark_model has no delegate"),
        (
            benchmark_model.tool_of(help_of(TFLITE_FLAGS.replace("use_nnapi", ""))),
            "nnapi",
            "has no --use_nnapi",
        ),
    ],
)
def test_a_delegate_that_the_tool_lacks_is_refused_before_it_runs(
    tool: Tool, delegate: str, words: str
) -> None:
    with pytest.raises(EdgebigError, match=words) as caught:
        benchmark_model.arguments(tool, "/m", delegate, 1, ONCE)
    assert not isinstance(caught.value, DeviceError)


GOOD = log("tflite-none-am62x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ends before its figures"),
        (GOOD[:700], "ends before its figures"),
        (GOOD.replace("count=50", "count=0"), "made no inference"),
        (GOOD.replace("avg=1.24027e+06", "avg=nonsense"), "figures cannot be read"),
        (GOOD.replace("std=2565", "sd=2565"), "figures cannot be read"),
        (GOOD.replace("Init: 5579", "Init: soon"), "figures cannot be read"),
        (GOOD.replace("min=1238588", "min=-5"), "a time is negative or no number"),
        (GOOD.replace("min=1238588", "min=nan"), "a time is negative or no number"),
    ],
)
def test_malformed_output_is_one_error(text: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        benchmark_report.report(text, "none")


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (
            1,
            "ERROR: Failed to load model /data/x\nERROR: Benchmarking failed.",
            EdgebigError,
            "m.tflite: .* refuses it",
        ),
        (
            1,
            "ERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.",
            DeviceError,
            "GPU delegate fails",
        ),
        (
            126,
            "/system/bin/sh: ./t: not executable: 64-bit ELF file",
            DeviceError,
            "does not start on this phone",
        ),
        (127, "sh: ./t: inaccessible or not found", DeviceError, "does not start on this phone"),
        (
            1,
            'CANNOT LINK EXECUTABLE "./t": library "libx.so" not found',
            DeviceError,
            "does not start on this phone",
        ),
        (139, "Segmentation fault", DeviceError, "killed by signal 11"),
        (137, "Killed", DeviceError, "killed by signal 9"),
        (3, "what now", DeviceError, "ended with exit code 3:\nwhat now"),
    ],
)
def test_a_failure_is_named(code: int, text: str, kind: type[EdgebigError], words: str) -> None:
    with pytest.raises(EdgebigError, match=words) as caught:
        benchmark_model.raise_failure(code, text, "m.tflite")
    assert type(caught.value) is kind
    assert caught.value.hint


@given(
    times_us=st.lists(st.integers(1, 10**9), min_size=1, max_size=50), prefix=st.sampled_from(["", "INFO: "])
)
def test_any_run_s_figures_come_back(times_us: list[int], prefix: str) -> None:
    from tests.drivers import benchmark_model_stand_in as stand_in

    line = stand_in.count_line(times_us)
    text = (
        f"{prefix}count=0\n{prefix}{line}\n{prefix}Inference timings in us: Init: 12, First inference: 0, \n"
    )
    report = benchmark_report.report(text, "none")
    assert report.inference.n == len(times_us)
    assert (report.inference.min_us, report.inference.max_us) == (min(times_us), max(times_us))
    assert report.inference.mean_us == pytest.approx(sum(times_us) / len(times_us), rel=1e-5)
    assert report.first_us == times_us[0]


@given(st.text(max_size=400))
def test_noise_is_refused_and_never_crashes(text: str) -> None:
    with pytest.raises(DeviceError):
        benchmark_report.report(text, "gpu")
    assert set(benchmark_report.delegated(text, "gpu")) == set(taken("gpu", 0, 0, 0))
