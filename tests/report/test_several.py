"""The table of several devices or settings: 80 columns, the failed named, no speed of what is not real."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgebig.campaign import Found, Row
from edgebig.errors import Failure
from edgebig.measurement import Open
from edgebig.report import several
from edgebig.sweep import Best, Rival
from tests.report.test_table import measurement, model

LOST = Failure("pixel: phone 1234 went away", "plug it in again", 4)


def shown(found: Found) -> str:
    file = io.StringIO()
    several.show(found, Console(file=file, width=80, color_system=None))
    return file.getvalue()


def row(device: str, setting: str = "", invoke_ns: int = 1_000_000, **changes: Any) -> Row:
    verdict = {"verdict": changes.pop("verdict")} if "verdict" in changes else {}
    record = measurement(model("run/int8.tflite", invoke_ns, **verdict), **changes)
    return Row(device, setting, record, Path(f"{device}.json"))


def test_a_line_a_device_and_the_failed_named() -> None:
    text = shown(Found([row("pi4"), row("pi5", invoke_ns=400_000), Row("pixel", "", failure=LOST)]))
    table = text.partition("\npixel: failed")[0].splitlines()
    assert max(map(len, table)) <= 80
    starts = [line.split()[0] for line in table if line and not line.startswith(" ")]
    assert starts[-3:] == ["pi4", "pi5", "pixel"]
    assert "1,002 us" in text
    assert "402.1 us" in text
    assert "pixel: failed: phone 1234 went away (plug it in again)" in text


def test_what_is_said_of_all_is_said_once() -> None:
    text = shown(Found([row("pi4"), row("pi5")]))
    assert text.count("accuracy on 10,000 test examples of mnist") == 1
    assert "all: accuracy on 10,000 test examples of mnist" in text


@pytest.mark.parametrize("provenance", ["fake", "emulated", "software", "stand-in"])
def test_no_speed_of_what_is_not_real(provenance: str) -> None:
    rows = [row("pi4", provenance=provenance, invoke_ns=7_654_321), row("pi5")]
    text = shown(Found(rows))
    assert "7,654" not in text
    assert provenance in text
    best = {"pi4": (Best("run/int8.tflite", "1 thread", (Rival("2 threads", 0.5, 0.4, 0.6),), "FASTER"),)}
    text = shown(Found(rows, best))
    assert f"pi4: no setting is said to be best: {provenance}" in text
    assert "best: 1 thread" not in text


def test_wrong_answers_have_no_time() -> None:
    text = shown(Found([row("pi4", invoke_ns=7_654_321, verdict="WRONG"), row("pi5")]))
    assert "7,654" not in text
    assert "WRONG" in text


def test_settings_of_one_device() -> None:
    rows = [
        row("pi4", "xnnpack with 1 thread"),
        row("pi4", "xnnpack with 4 threads", 400_000),
        Row("pi4", "gpu", failure=Failure("no GPU", "", 4)),
    ]
    rivals = (Rival("xnnpack with 1 thread", 0.4, 0.38, 0.42),)
    best = {"pi4": (Best("run/int8.tflite", "xnnpack with 4 threads", rivals, "FASTER"),)}
    text = shown(Found(rows, best))
    assert text.split()[0:2] == ["accuracy", "frame"]
    assert "pi4: xnnpack" not in text
    assert "gpu: failed: no GPU" in text
    assert (
        "pi4: best: xnnpack with 4 threads, in 0.40 of the time of the next one, xnnpack with 1 thread (0.38 .. 0.42)"
        in " ".join(text.split())
    )


def test_a_margin_that_shows_nothing_is_inconclusive() -> None:
    rivals = (Rival("2 threads", 0.99, 0.9, 1.1), Rival("4 threads", 0.5, 0.4, 0.6))
    line = several.best_line("pi4", Best("m", "1 thread", rivals, "INCONCLUSIVE"))
    assert line == ("pi4: INCONCLUSIVE: 1 thread is not told apart from 2 threads (0.90 .. 1.10 of its time)")
    alone = several.best_line("pi4", Best("m", "1 thread", (), "INCONCLUSIVE"))
    assert alone == "pi4: 1 thread alone was measured"


def test_what_a_device_says_cannot_steer_the_terminal() -> None:
    machine = Open.model_validate({"cpu": "\x1b[2J", "runtimes": {}})
    evil = Failure("said \x1b]0;title\x07 and \x9b2J", "\x1b[31m", 4)
    text = shown(Found([row("pi4", machine=machine), Row("pixel", "", failure=evil)]))
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("failures", "best", "code"),
    [
        ([], {}, 0),
        ([("a", 1)], {}, 1),
        ([("a", 1), ("b", 4)], {}, 4),
        ([("a", 4)], {"a": ()}, 0),
        ([("a", 4), ("b", 4)], {"a": ()}, 4),
    ],
)
def test_the_exit_code(failures: list[tuple[str, int]], best: dict[str, Any], code: int) -> None:
    rows = [Row(device, "x", failure=Failure("p", "h", exit_code)) for device, exit_code in failures]
    assert Found([row("well"), *rows], best).exit_code == code
