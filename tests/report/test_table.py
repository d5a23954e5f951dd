"""The table that people read: in 80 columns, without colour where none is wanted, and nothing in it but what is so."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from edgebig.check.tflite import Parity
from edgebig.measurement import Accuracy, Comparison, Delegate, Latency, Measurement, ModelResult, Open
from edgebig.report import table

LONG = "runs/a-recipe-with-a-long-name-20261124-215826/slim-distil-prune-cluster-int8-of-the-second-attempt.tflite"


def model(name: str, invoke_ns: int = 1_234_567, **changes: Any) -> ModelResult:
    processes = tuple(tuple(invoke_ns + 1000 * k + 10 * i for i in range(20)) for k in range(5))
    frames = tuple(tuple((9_000, time_ns, 4_000) for time_ns in process) for process in processes)
    values: dict[str, Any] = {
        "name": name, "sha256": "0" * 64, "size_bytes": 1_234_567, "deflated_bytes": 1_111_111, "io": "int8",
        "latency": Latency(
            kind="raw", batch=(1,) * 5, settled=(True,) * 5, init=(1,) * 5, first=(1,) * 5,
            processes=processes, frames=frames,
        ),
        "peak_memory_kb": 1, "energy": "not measured",
        "delegate": Delegate(asked="xnnpack", actual="xnnpack", nodes=4, of=4, partitions=1, left=()),
        "predictions": (1, 2), "accuracy": Accuracy(correct=10_000, n=10_000, value=1.0, low=0.9996, high=1.0),
        "parity": Parity(
            n=500, unit="steps", largest_difference=3.0, rms_difference=0.1, tolerance=0.75, labels_differ=0, holds=True
        ),
        "verdict": "OK", "cause": "",
    }  # fmt: skip
    return ModelResult(**{**values, **changes})


def measurement(*models: ModelResult, **changes: Any) -> Measurement:
    comparisons = tuple(
        Comparison(
            a=other.name, b=models[0].name, ratio=1.53, low=1.41, high=1.66, verdict="SLOWER",
            accuracy_points=-0.1, accuracy_low=-0.4, accuracy_high=0.2, mcnemar_p=0.5,
        )
        for other in models[1:]
    )  # fmt: skip
    device = {"name": "local", "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1}
    data = {
        "source": "mnist",
        "split": "test",
        "n": 10_000,
        "of": 10_000,
        "leak_check": "no test example was",
    }
    values: dict[str, Any] = {
        "provenance": "real", "device": Open.model_validate(device),
        "machine": Open.model_validate({"cpu": "A CPU", "runtimes": {"ai-edge-litert": "2.3.0"}}),
        "conditions": (), "settings": Open(), "data": Open.model_validate(data), "models": models,
        "comparisons": comparisons,
    }  # fmt: skip
    return Measurement(**{**values, **changes})


def shown(record: Measurement, encoding: str = "utf-8", **console: Any) -> str:
    """What comes out in a pipe, or on the terminal that `console` describes."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    table.show(record, Console(**{"file": out, "width": 80, "_environ": {"NO_COLOR": "1"}, **console}))
    out.flush()
    return raw.getvalue().decode(encoding)


def rows(text: str) -> str:
    """The table itself, without the notes below it."""
    return text.partition("\naccuracy")[0]


def test_long_names_fit_in_80_columns_and_no_figure_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(measurement(model(LONG, 9_876_543), model("runs/b/float32.tflite")))
    assert max(len(line.rstrip()) for line in rows(text).splitlines()) <= 80
    for figure in (
        "1234.6 kB",
        "1111.1 kB",
        "100.00%",
        "99.96 .. 100.00",
        "9,892 us",
        "9.0 + 9,879",
        "+ 4.0 us",
    ):
        assert figure in text, figure
    assert re.search(r" 9,879 us *\n.* 9,877 \.\. 9,881 *\n", text)
    folded = "".join(line.split("  ")[0].strip() for line in rows(text).splitlines())
    assert "slim-distil-prune-cluster-int8-of-the-second-attempt" in folded


def test_a_narrow_window_cuts_no_figure() -> None:
    record = measurement(model(LONG, 9_876_543), model("runs/b/float32.tflite"))
    lines = shown(record).splitlines()[1:]
    assert shown(record, width=40).splitlines()[-len(lines) :] == lines


@pytest.mark.parametrize(
    ("invoke_ns", "p50", "interval"),
    [
        (15_000, "17.0 us", "15.2 .. 19.1"),
        (999_999, "1,002 us", "1,000 .. 1,004"),
        (98_765_432, "98.8 ms", "98.8 .. 98.8"),
        (9_876_543_210, "9,877 ms", "9,877 .. 9,877"),
        (98_765_432_100, "98.8 s", "98.8 .. 98.8"),
    ],
)
def test_times_have_the_unit_that_keeps_them_short(invoke_ns: int, p50: str, interval: str) -> None:
    text = rows(shown(measurement(model("m.tflite", invoke_ns))))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    *_, first, second = text.splitlines()
    assert first.rstrip().endswith(f" {p50}")
    assert second.rstrip().endswith(f" {interval}")


def test_sizes_stay_short() -> None:
    text = shown(measurement(model("m.tflite", size_bytes=123_456_789, deflated_bytes=9_999_949)))
    assert "123.5 MB" in text
    assert "9999.9 kB" in text


def test_models_of_one_name_are_told_apart() -> None:
    text = shown(measurement(model("runs/a/float32.tflite"), model("runs/b/float32.tflite")), width=120)
    assert "b/float32 against a/float32: 1.53 (1.41 .. 1.66) of its time, SLOWER" in text
    assert "runs" not in text


def test_wrong_answers_get_no_time() -> None:
    wrong = model("w.tflite", verdict="WRONG", cause="outputs differ by 200")
    text = shown(measurement(wrong))
    assert " us" not in text
    assert text.count("WRONG") == 4
    assert "w: WRONG: outputs differ by 200" in text


def test_what_could_not_be_checked_is_said() -> None:
    stray = model("stray.tflite", accuracy=None, predictions=None, parity=None, deflated_bytes=None)
    text = shown(measurement(model("m.tflite"), stray))
    assert "stray: no card beside it" in text
    half = Open.model_validate(
        {
            "source": "mnist",
            "split": "test",
            "n": 1,
            "leak_check": "no test example was in a training set; not possible for m",
        }
    )
    assert "leak check" in shown(measurement(model("m.tflite"), data=half))
    restless = model("m.tflite").latency.model_copy(update={"settled": (True, False, False, True, True)})
    text = shown(measurement(model("m.tflite", latency=restless)))
    assert "the warm-up did not settle in 2 of its processes" in text


@pytest.mark.parametrize("provenance", ["fake", "emulated", "software", "simulated", "stand-in"])
def test_what_is_not_real_is_stamped_on_top(provenance: str) -> None:
    first = shown(measurement(model("m.tflite"), provenance=provenance)).splitlines()[0]
    assert first == table._UNREAL[provenance]
    assert table._UNREAL[provenance] not in shown(measurement(model("m.tflite")))


def test_markup_in_a_name_is_a_name() -> None:
    text = shown(measurement(model("[bold]x.tflite"), model("[link=a]y.tflite")))
    assert text.count("[bold]x") == 4
    assert "[link=a]y against" in text


def test_a_pipe_gets_no_colour_and_a_terminal_none_with_no_color() -> None:
    record = measurement(model("m.tflite"), provenance="fake")
    assert "\x1b" not in shown(record, _environ={})
    on_terminal = shown(record, force_terminal=True, _environ={"NO_COLOR": "1", "TERM": "xterm-256color"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", on_terminal)
    coloured = shown(record, force_terminal=True, _environ={"TERM": "xterm-256color"})
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", coloured)


def test_a_note_stays_on_its_line_in_a_pipe() -> None:
    text = shown(measurement(model("m.tflite"), model(LONG)))
    assert len([line for line in text.splitlines() if "McNemar p" in line and "against" in line]) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_the_table(encoding: str) -> None:
    assert "100.00%" in shown(measurement(model("m.tflite")), encoding)


def test_a_disturbed_process_and_a_busy_machine_are_told() -> None:
    calm = model("calm.tflite")
    processes = (tuple(2 * time_ns for time_ns in calm.latency.processes[0]), *calm.latency.processes[1:])
    latency = Latency(kind="raw", init=(1,) * 5, first=(1,) * 5, settled=(True,) * 5, processes=processes)
    busy = {
        "machine": Open.model_validate({"cpu": "A CPU", "cores": 2}),
        "conditions": (Open.model_validate({"when": "before", "load_1min": 4.7}),),
    }
    text = shown(measurement(calm, model("slow.tflite", latency=latency), **busy))
    assert "slow: 1 of 5 processes ran at 2.00 of the others' time: the machine was disturbed" in text
    assert "calm: 1 of 5" not in text
    assert "load 4.7 on 2 cores before it began" in text
    assert "was busy" not in shown(measurement(calm, **{**busy, "conditions": ()}))
    pinned = Open.model_validate({"cpu": "A CPU", "cores": 2, "machine_cores": 8})
    assert "was busy" not in shown(measurement(calm, **{**busy, "machine": pinned}))
