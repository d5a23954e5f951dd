"""Several devices at once, in real processes: what fails or dies takes no other along, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edgebig import device, group
from edgebig.device import AdbDevice, FakeDevice, LocalDevice, McuDevice, SshDevice
from edgebig.errors import DeviceError, EdgebigError
from edgebig.group import Outcome, Task

ROOT = Path(__file__).resolve().parent.parent


def fake(name: str) -> FakeDevice:
    return FakeDevice(name=name)


def local(name: str) -> LocalDevice:
    return LocalDevice(name=name)


def lost(problem: str) -> None:
    raise DeviceError(problem, "plug it in")


# ---------------------------------------------------------------- names


def test_names_between_commas() -> None:
    assert [target.name for target in group.load("local, fake,")] == ["local", "fake"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("local,lcoal", r"no device 'lcoal' \(did you mean 'local'\?\)"),
        ("fake,local,fake", "fake: named twice"),
        (" , ", "--device ' , ': names no device"),
        ("", "--device '': names no device"),
    ],
)
def test_names_that_are_refused(names: str, problem: str) -> None:
    with pytest.raises(EdgebigError, match=problem):
        group.load(names)


def test_what_shares_a_board_shares_a_place() -> None:
    here = {group._place(target) for target in (local("a"), local("b"), McuDevice(name="c"))}
    assert len(here) == 1
    boards = [
        SshDevice(name="a", address="pi@one"),
        SshDevice(name="b", address="pi@one", threads=4),
        SshDevice(name="c", address="pi@one", port=2222),
        SshDevice(name="d", address="pi@two"),
        AdbDevice(name="e", serial="1"),
        AdbDevice(name="f", serial="2"),
        fake("g"),
        fake("h"),
    ]
    places = [group._place(target) for target in boards]
    assert places[0] == places[1]
    assert len(set(places) | here) == len(boards)


# ---------------------------------------------------------------- processes


@pytest.mark.slow
def test_one_that_fails_or_dies_does_not_take_the_others_along() -> None:
    tasks = [
        Task(fake("dies"), partial(os._exit, 9)),
        Task(fake("lost"), partial(device.load, "nope")),
        Task(fake("refused"), partial(os.listdir, "/nowhere")),
        Task(fake("well"), partial(len, "abc")),
        Task(local("here"), partial(len, "abcd")),
    ]
    seen: list[str] = []
    outcomes = group.run(tasks, lambda outcome: seen.append(outcome.device))
    assert [outcome.device for outcome in outcomes] == [task.target.name for task in tasks]
    assert sorted(seen) == sorted(task.target.name for task in tasks)
    dies, missing, refused, well, here = outcomes
    assert dies.failure is not None
    assert (dies.failure.problem, dies.failure.exit_code) == ("its process died in the middle", 4)
    assert missing.failure is not None
    assert (missing.failure.problem, missing.failure.exit_code) == ("no device 'nope'", 1)
    assert refused.failure is not None
    assert refused.failure.problem == "/nowhere: No such file or directory"
    assert (well, here) == (Outcome("well", 3), Outcome("here", 4))


@pytest.mark.slow
def test_boards_side_by_side_and_this_machine_last_and_in_turn() -> None:
    tasks = [
        Task(local("first"), os.getpid),
        Task(fake("one"), partial(time.sleep, 1)),
        Task(local("second"), os.getpid),
        Task(fake("two"), os.getpid),
    ]
    order: list[str] = []
    first, _, second, two = group.run(tasks, lambda outcome: order.append(outcome.device))
    assert set(order[:2]) == {"one", "two"}
    assert order[2:] == ["first", "second"]
    assert first.result == second.result != two.result
    assert os.getpid() not in (first.result, two.result)


@pytest.mark.slow
def test_a_bug_is_told_with_its_traceback_once_the_others_have_ended() -> None:
    seen: list[Outcome] = []
    tasks = [Task(fake("bug"), partial(int, "x")), Task(fake("well"), partial(time.sleep, 1))]
    with pytest.raises(RuntimeError, match=r"(?s)Traceback .*invalid literal for int"):
        group.run(tasks, seen.append)
    assert seen == [Outcome("well")]


# ---------------------------------------------------------------- its end

_SLEEPERS = """
import sys, time
from functools import partial
from edgebig import group
from edgebig.device import FakeDevice
if __name__ == "__main__":
    tasks = [group.Task(FakeDevice(name=name), partial(time.sleep, 600)) for name in ("a", "b")]
    try:
        group.run(tasks)
    except KeyboardInterrupt:
        sys.exit(130)
"""


_KEEPERS = """
import sys, time
from functools import partial
from pathlib import Path
from edgebig import group
from edgebig.device import FakeDevice, SshDevice
from edgebig.errors import Interrupted
def work(begun):
    try:
        begun.touch()
        time.sleep(600)
    except KeyboardInterrupt:
        raise Interrupted("stopped, a part is kept", "go on") from None
if __name__ == "__main__":
    board = SshDevice(kind="ssh", name="b", address="b")
    targets = [FakeDevice(name="a"), board, board.model_copy(update={"name": "later"})]
    begun = Path(__file__).parent
    tasks = [group.Task(target, partial(work, begun / target.name)) for target in targets]
    try:
        group.run(tasks, lambda found: print(found, flush=True))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def _children(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found[1:]


def _until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def _two_at_work(script: Path, code: str) -> subprocess.Popen[str]:
    script.write_text(code)
    running = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    # Of two workers and the tracker of multiprocessing; a worker that has setsid behind it is at its task.
    _until(lambda: sum(os.getsid(pid) == pid for pid in _children(running.pid)) == 2)
    return running


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_what_is_kept_where_it_is_stopped_is_told_and_no_other_task_begins(tmp_path: Path) -> None:
    running = _two_at_work(tmp_path / "keepers.py", _KEEPERS)
    _until(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")
    told = sorted(out.splitlines())
    assert [line.split("'")[1] for line in told] == ["a", "b"]
    assert all("a part is kept" in line for line in told)
    assert not (tmp_path / "later").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_where_it_is_stopped(tmp_path: Path, how: signal.Signals) -> None:
    running = _two_at_work(tmp_path / "sleepers.py", _SLEEPERS)
    children = _children(running.pid)
    os.kill(running.pid, how) if how == signal.SIGKILL else os.killpg(running.pid, how)
    out, err = running.communicate(timeout=60)
    assert running.returncode == (130 if how == signal.SIGINT else -9)
    assert "Traceback" not in out + err
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
