"""What a person sees while something runs: on a real pseudo-terminal, and in a log."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebig import progress
from edgebig.checkpoint import Checkpoint

ROWS, COLUMNS = 40, 80
CONTROL = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])")


class Terminal:
    """A pseudo-terminal of 80 columns, and the screen that it would show."""

    def __init__(self) -> None:
        self.ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.file = os.fdopen(theirs, "w", encoding="utf-8")
        self.received = b""
        self.looks = 1000
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        # Linux says EIO when the other side is closed.
        with contextlib.suppress(OSError):
            while data := os.read(self.ours, 4096):
                self.received += data

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lets stdout and stderr go there. By the test itself: pytest puts its own in after the fixtures."""
        monkeypatch.setattr(sys, "stdout", self.file)
        monkeypatch.setattr(sys, "stderr", self.file)

    def close(self) -> None:
        self.file.close()
        self.reader.join(timeout=10)
        os.close(self.ours)

    def screen(self) -> list[str]:
        """Its lines; one that is too long would be wrapped by a real one, and here it stays long."""
        self.file.flush()
        self.looks += 1
        mark = (
            f"\x1b[?{self.looks}h".encode()
        )  # A sequence that shows nothing: what was written before it has come.
        os.write(self.file.fileno(), mark)
        deadline_s = time.monotonic() + 10
        while mark not in self.received:
            assert time.monotonic() < deadline_s
            time.sleep(0.002)
        lines, row, column = [""], 0, 0
        for part in re.split(r"(\x1b\[\??[\d;]*[A-Za-z]|\r|\n)", self.received.decode()):
            control = CONTROL.fullmatch(part)
            if part == "\r":
                column = 0
            elif part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif control and control[2] == "A":
                row = max(0, row - int(control[1] or 1))
            elif control and control[2] == "K":
                lines[row] = ""
            elif not control:
                lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("LINES", str(ROWS))
    yield made
    made.close()


def figures(epoch: int, epochs: int = 20, *, wide: bool = False) -> dict[str, str]:
    """As edgebig.train shows a row; `wide` are the longest that are not absurd."""
    if wide:
        row = (f"{epoch}/10000", "123.4567", "100.00%", "123.4567", "100.00%", "0.00012", "12345.6")
    else:
        row = (f"{epoch}/{epochs}", f"{1 / epoch:.4f}", "91.02%", "0.3120", "90.60%", "0.0025", "1.5")
    names = ("epoch", "loss", "accuracy", "validation loss", "validation", "rate", "seconds")
    return dict(zip(names, row, strict=True))


def wait_for(terminal: Terminal, text: str) -> None:
    """Until the screen shows it: a live table is drawn four times a second."""
    deadline_s = time.monotonic() + 10
    while not any(text in line for line in terminal.screen()):
        assert time.monotonic() < deadline_s, terminal.screen()
        time.sleep(0.02)


def rows_shown(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := re.match(r" *(\d+)/", line))]


def test_a_table_grows_above_a_bar_and_stays(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.take_over(monkeypatch)
    with progress.watch("train", 200) as watcher:
        for epoch in (1, 2, 3):
            for _ in range(10):
                watcher.advance(1, f"epoch {epoch}/20 loss 0.1234 validation 98.76%")
            watcher.row(figures(epoch), best=epoch == 2)
        wait_for(terminal, "3/20")
        live = terminal.screen()
        assert any("train" in line and "15%" in line and "loss 0.1234" in line for line in live), live
    lines = terminal.screen()
    assert rows_shown(lines) == [1, 2, 3]
    assert sorted(" ".join(lines[:2]).split()) == [
        "accuracy", "epoch", "loss", "loss", "rate", "seconds", "train:", "validation", "validation",
    ]  # fmt: skip
    assert [line.endswith("best") for line in lines if "/20" in line] == [False, True, False]
    assert not any("15%" in line for line in lines)  # the bar has gone
    assert max(map(len, lines)) <= COLUMNS


def test_no_line_is_wider_than_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.take_over(monkeypatch)
    with progress.watch("prune", 1000) as watcher:
        for epoch in (9998, 9999):
            watcher.advance(400, "epoch 9999/10000 loss 123.4567 validation 100.00%")
            watcher.row(figures(epoch, wide=True), best=True)
        wait_for(terminal, "9999/10000")
        assert max(map(len, terminal.screen())) <= COLUMNS
    lines = terminal.screen()
    assert max(map(len, lines)) <= COLUMNS
    # And every figure can be read whole.
    (row,) = [line for line in lines if "9999/" in line]
    assert row.split() == [*figures(9999, wide=True).values(), "best"]


def test_a_long_training_shows_its_last_rows_and_its_best(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.take_over(monkeypatch)
    with progress.watch("train", 100) as watcher:
        for epoch in range(1, 31):
            watcher.row(figures(epoch), best=epoch in (1, 3))
    lines = terminal.screen()
    assert rows_shown(lines) == [3, *range(19, 31)]
    assert [line for line in lines if line.endswith("best")] == [
        line for line in lines if "  3/20" in f"  {line}"
    ]


def test_a_resumed_phase_shows_its_earlier_rows(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.take_over(monkeypatch)
    with progress.watch("train", 100, [figures(1), figures(2)], best=0) as watcher:
        watcher.row(figures(3))
        wait_for(terminal, "3/20")
        assert [line.endswith("best") for line in terminal.screen() if "/20" in line] == [True, False, False]
        watcher.row(figures(4), best=True)
    lines = terminal.screen()
    assert rows_shown(lines) == [1, 2, 3, 4]
    assert [line.endswith("best") for line in lines if "/20" in line] == [False, False, False, True]


def test_a_phase_that_fails_leaves_its_rows_and_the_message_below(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.take_over(monkeypatch)
    with contextlib.suppress(KeyError), progress.watch("train", 100) as watcher:
        watcher.row(figures(1))
        raise KeyError
    progress.say("edgebig: why")
    wait_for(terminal, "why")
    shown = [line for line in terminal.screen() if line]
    assert rows_shown(shown) == [1]
    assert shown[-1] == "edgebig: why"


def test_what_is_said_inside_a_phase_stands_above_the_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.take_over(monkeypatch)
    with progress.watch("train", 100) as watcher:
        watcher.row(figures(1))
        progress.say("a note")
        watcher.row(figures(2))
    shown = [line for line in terminal.screen() if line]
    assert shown[0] == "a note"
    assert rows_shown(shown) == [1, 2]


def test_without_a_terminal_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watch("qat", 100, [figures(1)]) as watcher:
        watcher.advance(3, "a note that no log wants")
        watcher.row(figures(2), best=True)
        watcher.row(figures(3))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "qat: epoch 2/20  loss 0.5000  accuracy 91.02%  validation loss 0.3120  validation 90.60%  "
        "rate 0.0025  seconds 1.5 (best)",
        "qat: epoch 3/20  loss 0.3333  accuracy 91.02%  validation loss 0.3120  validation 90.60%  "
        "rate 0.0025  seconds 1.5",
    ]


def test_a_bar_leaves_the_screen(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.take_over(monkeypatch)
    with progress.track("bench", 10) as advance:
        advance(5, "half")
        wait_for(terminal, "50%")
    assert not [line for line in terminal.screen() if line]


def test_a_bar_for_each_of_several(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.take_over(monkeypatch)
    with progress.several(["pi4", "pi5"]) as show:
        show("pi4", ("total", 10))
        show("pi5", ("total", 100))
        show("pi4", ("advance", 5, "process 1 of 2"))
        show("pi5", ("advance", 25, "accuracy"))
        show("pi5", ("say", "waiting [bold]for\x1b[2J"))
        wait_for(terminal, "50%")
        wait_for(terminal, "25%")
        lines = [line for line in terminal.screen() if line]
        assert lines[0] == r"pi5: waiting [bold]for\x1b[2J"
        assert [line.split()[0] for line in lines[1:]] == ["pi4", "pi5"]
        assert "process 1 of 2" in lines[1]
        show("pi4", ("total", 40))
        show("pi4", ("advance", 4, ""))
        wait_for(terminal, "10%")
    assert [line for line in terminal.screen() if line] == lines[:1]


def test_of_several_a_log_has_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.several(["pi4"]) as show:
        show("pi4", ("total", 10))
        show("pi4", ("advance", 5, "a note that no log wants"))
        show("pi4", ("say", "waiting"))
    assert capsys.readouterr() == ("", "pi4: waiting\n")


def test_what_a_process_would_show_is_relayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_elsewhere", None)
    sent: list[progress.Message] = []
    progress.relay(sent.append)
    with progress.track("bench", 10) as advance:
        advance(3, "note")
        advance()
    progress.say("a line")
    assert sent == [("total", 10), ("advance", 3, "note"), ("advance", 1, ""), ("say", "a line")]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_a_pipe_on_one_side_is_no_terminal(
    gone: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal.take_over(monkeypatch)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, gone, log)
        with progress.track("bench", 10) as advance:
            advance(5)
        with progress.watch("train", 10) as watcher:
            watcher.row(figures(1))
    assert "\x1b" not in terminal.received.decode() + (tmp_path / "log").read_text()


@pytest.mark.tf
def test_a_training_that_is_watched(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from edgebig import models, train
    from edgebig.data import source
    from edgebig.data.examples import Splits
    from edgebig.recipe import Augment, Data, Mlp, Train

    whole = source.load(Data(source="digits-5k"))
    few = Splits("digits-5k", whole.classes, whole.train[::10], whole.validation[::5], whole.test[::10])

    def fit(epochs_done: int) -> None:
        def stop(epoch: int, _logs: Any) -> None:
            if epoch == epochs_done:
                raise KeyboardInterrupt

        from edgebig.keras import keras

        model = models.build(Mlp(name="mlp", hidden=()), (28, 28, 1), 10)
        with contextlib.suppress(KeyboardInterrupt):
            train.fit(
                model, few, Train(epochs=4, batch_size=64), augment=Augment(), seed=0, what="train", resume=True,
                checkpoint=Checkpoint(tmp_path / "checkpoint.npz", "r"),
                callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)],
            )  # fmt: skip

    terminal.take_over(monkeypatch)
    fit(epochs_done=2)
    assert rows_shown(terminal.screen()) == [1, 2]
    terminal.received = b""
    fit(epochs_done=4)
    lines = terminal.screen()
    assert lines[0] == "train: goes on after epoch 2 of 4"
    assert rows_shown(lines) == [1, 2, 3, 4]
    assert sum(line.endswith("best") for line in lines) == 1
    assert max(map(len, lines)) <= COLUMNS
