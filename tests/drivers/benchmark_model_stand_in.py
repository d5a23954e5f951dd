"""A stand-in for TFLite's benchmark_model, for phones without one: it takes the real flags, runs the model by LiteRT,
and prints the real lines. It says first that it is a stand-in, with --help too, so that no record can pass for real.

    write(folder, "tflite" | "litert")    the program; "litert" is the other tool of that name, with --use_npu
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

MARK = "edgebig-stand-in-for-benchmark_model"
COMMON = {
    "num_runs": 50, "min_secs": 1.0, "max_secs": 150.0, "run_delay": -1.0, "run_frequency": -1.0, "num_threads": -1,
    "use_caching": False, "benchmark_name": "", "output_prefix": "", "warmup_runs": 1, "warmup_min_secs": 0.5,
    "verbose": False, "dry_run": False, "report_peak_memory_footprint": False,
    "memory_footprint_check_interval_ms": 50, "graph": "", "signature_to_run_for": "",
    "require_full_delegation": False, "allow_fp16": False, "use_gpu": False,
}  # fmt: skip
FLAGS: dict[str, dict[str, Any]] = {
    "tflite": {
        **COMMON, "input_layer": "", "input_layer_shape": "", "input_layer_value_range": "",
        "input_layer_value_files": "", "enable_op_profiling": False, "output_filepath": "", "use_xnnpack": False,
        "use_nnapi": False, "external_delegate_path": "", "external_delegate_options": "",
    },
    "litert": {**COMMON, "use_cpu": True, "use_npu": False, "dispatch_library_path": "", "use_profiler": False},
}  # fmt: skip


def write(folder: Path, kind: str = "tflite") -> Path:
    """The program in `folder`, which this Python runs: on the test's phone, which is this machine, it is there too."""
    path = folder / f"benchmark_model_{kind}"
    source = Path(__file__).read_text("utf-8").replace('\nKIND = "tflite"', f'\nKIND = "{kind}"')
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return path


KIND = "tflite"


def main(words: list[str]) -> int:
    print(f"INFO: {MARK}: its figures say nothing of any device", flush=True)
    print("INFO: STARTING!")
    flags = parse(words)
    if flags is None:
        return 1
    log("Log parameter values verbosely: [0]")
    log(f"Graph: [{flags['graph']}]")
    if not flags["graph"]:
        return fail("Please specify the name of your TF Lite input file with --graph")
    started_s = time.perf_counter()
    runner = load(flags)
    if runner is None:
        return 1
    init_us = (time.perf_counter() - started_s) * 1e6
    log(f"The input model file size (MB): {Path(flags['graph']).stat().st_size / 1e6:g}")
    log(f"Initialized session in {init_us / 1e3:g}ms.")
    give_input(runner, flags)
    warmup = repeat(runner, flags["warmup_runs"], flags["warmup_min_secs"], flags["max_secs"])
    timed = repeat(runner, flags["num_runs"], flags["min_secs"], flags["max_secs"])
    if flags.get("output_filepath"):
        output = runner.get_tensor(runner.get_output_details()[0]["index"])
        Path(flags["output_filepath"]).write_bytes(output.tobytes())
    first_us = warmup[0] if warmup else 0
    mean = [f"{statistics.fmean(times):g}" if times else "0" for times in (warmup, timed)]
    if KIND == "litert":
        log("[litert/tools/benchmark_litert_model.h:81] \n========== BENCHMARK RESULTS ==========")
        log(f"[litert/tools/benchmark_litert_model.h:82] Model initialization: {init_us / 1e3:.2f} ms")
        return 0
    log(
        f"Inference timings in us: Init: {init_us:.0f}, First inference: {first_us}, Warmup (avg): {mean[0]}, "
        f"Inference (avg): {mean[1]}"
    )
    if flags["enable_op_profiling"]:
        print(profile_text(runner, timed))
    if flags["report_peak_memory_footprint"]:
        log(f"Overall peak memory footprint (MB) via periodic monitoring: {peak_mb():g}")
    return 0


def log(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def fail(text: str) -> int:
    print(f"ERROR: {text}\nERROR: Benchmarking failed.", file=sys.stderr, flush=True)
    return 1


def parse(words: list[str]) -> dict[str, Any] | None:
    flags, known = dict(FLAGS[KIND]), FLAGS[KIND]
    if words[:1] == ["--help"]:
        print(f"ERROR: usage: {sys.argv[0]} <flags>\nFlags:", file=sys.stderr)
        for name, value in known.items():
            shown = str(value).lower() if isinstance(value, bool) else value
            print(f"\t--{name}={shown}\t{type(value).__name__}\toptional\t", file=sys.stderr)
        return None
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name not in known:
            print(f"WARN: Unconsumed cmdline flags: {word}")
        elif isinstance(known[name], bool):
            flags[name] = value in ("true", "1")
        else:
            flags[name] = type(known[name])(value)
    return flags


def load(flags: dict[str, Any]) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # As there: --use_xnnpack, whatever its value, keeps the default delegate away.
    asked = "use_xnnpack" in " ".join(sys.argv)
    plain = asked and not flags["use_xnnpack"]
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    try:
        runner = Interpreter(
            model_path=flags["graph"],
            num_threads=max(flags["num_threads"], 1),
            experimental_op_resolver_type=resolver,
        )
    except ValueError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        fail(f"Failed to load model {flags['graph']}")
        return None
    log(f"Loaded model {flags['graph']}")
    if flags["use_gpu"]:
        print("WARN: GPU acceleration is unsupported on this platform.", flush=True)
    if flags.get("use_nnapi"):
        print("WARN: NNAPI acceleration is unsupported on this platform.", flush=True)
    if flags.get("external_delegate_path"):
        print(f"ERROR: cannot load {flags['external_delegate_path']}", file=sys.stderr)
        fail("Failed to apply EXTERNAL delegate.")
        return None
    if shape := flags.get("input_layer_shape"):
        index = runner.get_input_details()[0]["index"]
        runner.resize_tensor_input(index, [int(size) for size in shape.split(",")])
    try:
        runner.allocate_tensors()
    except RuntimeError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        fail("Failed to allocate tensors!")
        return None
    if not plain:
        tell_delegates(runner, asked)
    return runner


def tell_delegates(runner: Any, asked: bool) -> None:
    operators = runner._get_ops_details()
    kernels = sum(op["op_name"] == "DELEGATE" for op in operators)
    nodes = [op for op in operators if op["op_name"] != "DELEGATE"]
    left = sum(op["op_name"] in ("SOFTMAX",) for op in nodes) if kernels else len(nodes)
    log("Created TensorFlow Lite XNNPACK delegate for CPU.")
    print(
        f"VERBOSE: Replacing {len(nodes) - left} out of {len(nodes)} node(s) with delegate (TfLiteXNNPackDelegate) "
        f"node, yielding {kernels + bool(left)} partitions for subgraph 0."
    )
    if asked:
        how = (
            f"partially executed by the delegate w/ {kernels} delegate kernels"
            if left
            else "completely executed by the delegate"
        )
        log(f"Explicitly applied XNNPACK delegate, and the model graph will be {how}.")


def give_input(runner: Any, flags: dict[str, Any]) -> None:
    import numpy as np

    detail = runner.get_input_details()[0]
    size = int(np.prod(detail["shape"]))
    if given := flags.get("input_layer_value_files"):
        path = given.split(":")[1]
        found = Path(path).stat().st_size
        wanted = size * np.dtype(detail["dtype"]).itemsize
        if found != wanted:
            print(
                f"FATAL: The size of {path} is {found} bytes. It should be {wanted} bytes.",
                file=sys.stderr,
                flush=True,
            )
            import os

            os.abort()
        values = np.fromfile(path, detail["dtype"])
    else:
        draw = np.random.default_rng()
        values = (
            draw.random(size) if np.issubdtype(detail["dtype"], np.floating) else draw.integers(0, 127, size)
        )
    runner.set_tensor(detail["index"], values.astype(detail["dtype"]).reshape(detail["shape"]))


def repeat(runner: Any, runs: int, seconds: float, most_seconds: float) -> list[int]:
    log(
        f"Running benchmark for at least {runs} iterations and at least {seconds:g} seconds but terminate if "
        f"exceeding {most_seconds:g} seconds."
    )
    times_us: list[int] = []
    began_s = time.perf_counter()
    while (
        len(times_us) < runs or time.perf_counter() - began_s < seconds
    ) and time.perf_counter() - began_s <= most_seconds:
        t = time.perf_counter_ns()
        runner.invoke()
        times_us.append((time.perf_counter_ns() - t) // 1000)
    log(count_line(times_us) + "\n")
    return times_us


def count_line(times_us: list[int]) -> str:
    if not times_us:
        return "count=0"
    ordered = sorted(times_us)
    p5, p50, p95 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.05, 0.5, 0.95))
    told = f" p5={p5} median={p50} p95={p95}"
    if ordered[0] == ordered[-1]:
        return f"count={len(ordered)} curr={times_us[-1]}{'(all same)' if len(ordered) > 1 else ''}{told}"
    return (
        f"count={len(ordered)} first={times_us[0]} curr={times_us[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={statistics.fmean(times_us):g} std={statistics.pstdev(times_us):.0f}{told}"
    )


def profile_text(runner: Any, times_us: list[int]) -> str:
    """The tool's tables; this stand-in cannot time operators, and lays the same share of the mean to each."""
    operators = [op["op_name"] for op in runner._get_ops_details()]
    left = [
        name for name in operators if name == "DELEGATE" or "DELEGATE" not in operators or name == "SOFTMAX"
    ]
    taken = [name.title() for name in operators if name not in left]
    share_ms = statistics.fmean(times_us) / 1e3 / len(operators)
    main = [
        ("TfLiteXNNPackDelegate", "[output]:9") if name == "DELEGATE" else (name, f"[{name.lower()}]:{place}")
        for place, name in enumerate(left)
    ]
    text = f"INFO: Operator-wise Profiling Info for Regular Benchmark Runs:\n{tables(main, share_ms)}"
    text += f"Timings (microseconds): {count_line(times_us)}\n{len(main)} nodes observed\n\n"
    if taken:
        inner = [
            (f"{name} (NHWC, QC8)", f"Delegate/{name} (NHWC, QC8):{place}")
            for place, name in enumerate(taken)
        ]
        text += f"Delegate internal: \n{tables(inner, share_ms)}"
        text += f"Timings (microseconds): {count_line(times_us)}\n{len(inner)} nodes observed\n"
    return text


def tables(rows: list[tuple[str, str]], mean_ms: float) -> str:
    text = ""
    for title in ("Run Order", "Top by Computation Time"):
        text += f"============================== {title} ==============================\n"
        text += f"\t{'[node type]':>24}\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]\n"
        for operator, name in rows:
            times = f"\t{mean_ms:9.3f}\t{mean_ms:9.3f}\t{10:7.3f}%\t{50:7.3f}%\t{0:10.3f}\t{1:9}"
            text += f"\t{operator:>24}{times}\t{name}\n"
        text += "\n"
    text += f"Number of nodes executed: {len(rows)}\n"
    text += "============================== Summary by node type ==============================\n"
    text += "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]\n"
    for operator, _ in rows:
        text += f"\t{operator:>24}\t{1:9}\t{mean_ms:10.3f}\t{10:10.3f}%\t{50:10.3f}%\t{0:10.3f}\t{1:9}\n"
    return text + "\n"


def peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
