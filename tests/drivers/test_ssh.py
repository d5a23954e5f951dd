"""A board over a real sshd: what is sent and what is not, the lock between two hosts, and what stays behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import files, lookup
from edgebig.drivers import payload
from edgebig.drivers.board import BoardSession, provenance
from edgebig.drivers.protocol import Job, JobModel
from edgebig.drivers.ssh import COMMAND_VARIABLE, SshDriver
from edgebig.errors import EdgebigError
from tests.drivers.sshd import Board, board, gone, on_board

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "tests" / "golden" / "digits-int8.tflite"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = pytest.mark.slow


@pytest.fixture
def session(pi: Board) -> Iterator[BoardSession]:
    with next(iter(SshDriver(pi.device()).sessions())) as opened:
        yield opened


def job(session: BoardSession, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "models": (JobModel(sha256=session.put(MODEL), name="digits-int8.tflite", preprocessing=None),),
        "inputs": None, "examples": 0, "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "processes": 1, "rounds": 1, "samples": 2, "warmup_s": 0.05, "want": ("latency",),
    }  # fmt: skip
    return Job(**{**values, **changes})


def stored(board: Board) -> dict[str, int]:
    """The files of its store and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in board.store.iterdir() if path.suffix != ".lock"}


def test_a_second_run_sends_no_file_again(pi: Board) -> None:
    for turn in range(2):
        with next(iter(SshDriver(pi.device()).sessions())) as session:
            assert list(session.run(job(session), 60))[-1]["event"] == "result"
        if turn == 0:
            for path in pi.store.iterdir():
                os.utime(path, ns=(1, 1))
    assert stored(pi) == {files.sha256_file(MODEL): 1, payload.name(): 1}


def test_a_file_of_any_bytes_arrives_as_it_is(session: BoardSession, pi: Board, tmp_path: Path) -> None:
    noise = tmp_path / "a name with 'quotes' and $HOME"
    noise.write_bytes(np.random.default_rng(0).bytes(3_000_001) + b"\n\x00\r\n")
    sha256 = session.put(noise)
    assert (pi.store / sha256).read_bytes() == noise.read_bytes()
    (tmp_path / "empty").touch()
    assert (pi.store / session.put(tmp_path / "empty")).stat().st_size == 0


def test_a_damaged_file_is_mended(pi: Board) -> None:
    sha256 = files.sha256_file(MODEL)
    for _ in range(2):
        with next(iter(SshDriver(pi.device()).sessions())) as session:
            assert session.put(MODEL) == sha256
        assert files.sha256_file(pi.store / sha256) == sha256
        (pi.store / sha256).write_bytes(b"half")


def test_nothing_is_left_on_the_board_after_clean(session: BoardSession, pi: Board) -> None:
    list(session.run(job(session), 60))
    (pi.store / f".{'a' * 64}-123").write_bytes(b"half of one that was cut off")
    (pi.store / "environment" / "lib").mkdir(parents=True)
    session.clean()
    assert not pi.store.exists()
    assert [path.name for path in pi.home.iterdir()] == [".cache"]
    assert list(session.run(job(session), 60))[-1]["event"] == "result"  # what is missing is sent again
    session.clean()
    session.clean()


def test_another_hosts_files_are_not_taken_for_ours(pi: Board) -> None:
    (pi.home / "photos").mkdir()
    (pi.home / "photos" / "cat.jpg").touch()
    device = pi.device(folder="~/photos")
    with (
        pytest.raises(EdgebigError, match="has files in it that are not edgebig's"),
        next(iter(SshDriver(device).sessions())),
    ):
        pass
    assert [path.name for path in (pi.home / "photos").iterdir()] == ["cat.jpg"]


@pytest.mark.parametrize("folder", ["~/a b/'c'", "$(touch broken)", "-rf", "~"])
def test_a_folder_of_any_name_is_a_folder(folder: str, pi: Board, tmp_path: Path) -> None:
    if not folder.startswith("~"):
        folder = str(tmp_path / folder)
    there = Path(folder.replace("~", str(pi.home), 1))
    with next(iter(SshDriver(pi.device(folder=folder)).sessions())) as session:
        assert (there / session.put(MODEL)).is_file()
        session.clean()
    assert not there.exists()
    assert not list(tmp_path.rglob("broken"))


def test_noise_of_start_up_files_is_no_event(pi: Board) -> None:
    (pi.home / ".bashrc").write_text("echo Welcome; printf 'no newline'; echo oops >&2\n")
    with next(iter(SshDriver(pi.device()).sessions())) as session:
        assert list(session.run(job(session), 60))[-1]["event"] == "result"


def test_a_python_is_a_command_and_home_is_the_boards(pi: Board) -> None:
    (pi.home / "my python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (pi.home / "my python").chmod(0o755)
    for python in ("'~/my python'", f"env A='1 2' {sys.executable}"):
        with next(iter(SshDriver(pi.device(python=python)).sessions())) as session:
            assert list(session.run(job(session), 60))[-1]["event"] == "result"


def test_what_setup_made_is_its_python(pi: Board) -> None:
    made = pi.store / "environment" / "bin" / "python"
    made.parent.mkdir(parents=True)
    (pi.store / "edgebig.lock").touch()
    made.write_text(f'#!/bin/sh\necho ran >> {pi.home}/log\nexec {sys.executable} "$@"\n')
    made.chmod(0o755)
    with next(iter(SshDriver(pi.device(python="")).sessions())) as session:
        list(session.run(job(session), 60))
    assert (pi.home / "log").read_text().count("ran") == 4  # the lock, the job, and its two processes


def test_a_home_of_another_processor_is_emulated() -> None:
    facts = {"machine": "aarch64"}
    assert provenance("x86_64", facts, emulated=False) == "emulated"
    assert provenance("aarch64", facts, emulated=True) == "emulated"
    assert provenance("aarch64", facts, emulated=False) == "real"
    assert provenance("aarch64", {"machine": "armv7l"}, emulated=False) == "real"
    assert provenance("x86_64", {"machine": "riscv64"}, emulated=False) == "emulated"


def test_one_connection_serves_a_session_and_is_closed_with_it(pi: Board) -> None:
    with next(iter(SshDriver(pi.device()).sessions())) as session:
        list(session.run(job(session), 60))
    log = (pi.folder / "sshd.log").read_text()
    assert log.count("Accepted publickey") == 1
    gone(lambda: len(pi.sessions()) == 1, "the connection")
    gone(lambda: not list((lookup.cache_dir() / "ssh").iterdir()), "the socket of the connection")


def test_a_home_of_a_long_name_is_no_hindrance(
    pi: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("long" * 20)))
    with next(iter(SshDriver(pi.device()).sessions())) as session:
        session.put(MODEL)
    assert (pi.folder / "sshd.log").read_text().count("Accepted publickey") == 1


def test_a_board_behind_a_jump_host_is_reached_as_ssh_does_it(pi: Board) -> None:
    with (pi.folder / "ssh_config").open("a") as config:
        config.write(
            f"Host far\n HostName 127.0.0.1\n Port {pi.port}\n ProxyJump board\n IdentityFile {pi.folder}/user_key\n"
            f" UserKnownHostsFile {pi.folder}/known_hosts\n"
        )
    with next(iter(SshDriver(pi.device(address="far")).sessions())) as session:
        assert list(session.run(job(session), 60))[-1]["event"] == "result"
    assert (pi.folder / "sshd.log").read_text().count("Accepted publickey") == 2


def test_a_board_that_has_only_sh_and_a_few_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sh", "cat", "ls", "mkdir", "mv", "rm", "sha256sum", "uname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    with board(path=str(tmp_path)) as pi:
        monkeypatch.setenv(COMMAND_VARIABLE, pi.ssh())
        with pytest.raises(EdgebigError, match="pi: no python3 there"):
            next(iter(SshDriver(pi.device(python="")).sessions())).__enter__()
        with next(iter(SshDriver(pi.device()).sessions())) as session:
            assert list(session.run(job(session), 60))[-1]["event"] == "result"
            session.clean()
        assert not pi.store.exists()


HOST = """
import sys
from edgebig.device import SshDevice
from edgebig.drivers.ssh import COMMAND_VARIABLE, SshDriver
with next(iter(SshDriver(SshDevice(name="pi", address="board", python=sys.executable, folder="FOLDER")).sessions())):
    print("measuring", flush=True)
    sys.stdin.read()
"""


def host(folder: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOST.replace("FOLDER", folder)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


@pytest.mark.parametrize("folder", ["", "~/ben"], ids=["one folder", "folders of their own"])
def test_a_second_host_waits_for_the_first_and_says_for_whom(pi: Board, folder: str) -> None:
    hosts = [host()]
    try:
        assert hosts[0].stdout is not None
        assert hosts[0].stdout.readline() == "measuring\n"
        hosts.append(host(folder))
        assert hosts[1].stdout is not None
        assert hosts[1].stderr is not None
        told = rf"waiting: .+@.+, process {hosts[0].pid} has been measuring on pi for \d+ s\n"
        assert re.fullmatch(told, hosts[1].stderr.readline())
        hosts[0].send_signal(signal.SIGKILL)
        assert hosts[1].stdout.readline() == "measuring\n"  # the lock went with the first
    finally:
        for process in hosts:
            process.kill()
            process.communicate()
    gone(lambda: not on_board(pi), "the runners that held the lock")


def test_a_lock_of_all_users_that_somebody_turned_into_a_trap_is_told_of(
    pi: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    trap = pi.home / "precious"
    trap.write_text("precious")
    (pi.home / "edgebig-board.lock").symlink_to(trap)
    with next(iter(SshDriver(pi.device()).sessions())) as session:
        assert list(session.run(job(session), 60))[-1]["event"] == "result"
    told = capsys.readouterr().err
    assert f"pi: nothing keeps its other users from measuring too: {pi.home}/edgebig-board.lock: " in told
    assert trap.read_text() == "precious"


def test_a_host_that_is_killed_leaves_nothing_that_runs_there(pi: Board) -> None:
    script = (
        HOST.replace("sys.stdin.read()", "")
        .replace("FOLDER", "")
        .replace(
            'print("measuring", flush=True)',
            f"""import pathlib
    from edgebig.drivers.protocol import Job, JobModel
    sha256 = _.put(pathlib.Path({str(MODEL)!r}))
    for event in _.run(Job(models=(JobModel(sha256=sha256, name="m", preprocessing=None),), inputs=None, examples=0,
            runtime="ai-edge-litert", delegate="xnnpack", threads=1, processes=1, rounds=1, samples=10**9,
            warmup_s=0.05, want=("latency",)), 600):
        if event["event"] == "warmup":
            print("measuring", flush=True)""",
        )
        .replace("sessions())):", "sessions())) as _:")
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n"
        assert on_board(pi)
        process.kill()
    gone(lambda: not on_board(pi), "the measurement")
