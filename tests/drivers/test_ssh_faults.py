"""What goes wrong on the way to a board or on it, on the real thing: one error, with its mend, and nothing left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, bench, device, measurement, partial
from edgebig.device import SshDevice
from edgebig.drivers import board as board_driver
from edgebig.drivers import ssh
from edgebig.drivers.board import BoardSession
from edgebig.drivers.protocol import Event, Job, JobModel
from edgebig.drivers.ssh import COMMAND_VARIABLE, SshDriver
from edgebig.errors import EXIT_DEVICE, DeviceError, EdgebigError
from tests.drivers.sshd import Board, board, free_port, gone, on_board

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "tests" / "golden" / "digits-int8.tflite"

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = pytest.mark.slow


def open_session(target: SshDevice) -> contextlib.AbstractContextManager[BoardSession]:
    return next(iter(SshDriver(target).sessions()))


def refused(target: SshDevice) -> DeviceError:
    with pytest.raises(DeviceError) as caught, open_session(target):
        pass
    return caught.value


def job(session: BoardSession, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "models": (JobModel(sha256=session.put(MODEL), name="digits-int8.tflite", preprocessing=None),),
        "inputs": None, "examples": 0, "runtime": "ai-edge-litert", "delegate": "xnnpack", "threads": 1,
        "processes": 1, "rounds": 1, "samples": 2, "warmup_s": 0.05, "want": ("latency",),
    }  # fmt: skip
    return Job(**{**values, **changes})


def another_host_key(pi: Board) -> None:
    known = (pi.folder / "known_hosts").read_text().split()
    other = (pi.folder / "user_key.pub").read_text().split()
    (pi.folder / "known_hosts").write_text(f"{known[0]} {other[0]} {other[1]}\n")


def test_another_host_key_is_refused_and_named_with_its_mend(pi: Board) -> None:
    another_host_key(pi)
    error = refused(pi.device())
    assert error.problem.startswith("pi: board shows another host key than the one that is known")
    assert f'ssh-keygen -f "{pi.folder}/known_hosts" -R "[127.0.0.1]:{pi.port}" && ' in error.hint
    assert not pi.store.exists()


def test_not_even_a_configuration_that_takes_any_key_has_a_changed_one_taken(pi: Board) -> None:
    another_host_key(pi)
    with (pi.folder / "ssh_config").open("a") as config:
        config.write("    StrictHostKeyChecking no\n")
    assert "shows another host key" in refused(pi.device()).problem


def test_an_unknown_host_is_not_taken_unseen(pi: Board) -> None:
    (pi.folder / "known_hosts").write_text("")
    error = refused(pi.device())
    assert "the host key of board is not known yet" in error.problem
    assert error.hint.endswith(f"ssh -F {pi.folder}/ssh_config board")
    assert (pi.folder / "known_hosts").read_text() == ""


def test_keys_that_are_not_taken(pi: Board) -> None:
    (pi.folder / "authorized_keys").write_text("")
    error = refused(pi.device())
    assert error.problem == "pi: board takes none of your keys, and edgebig asks for no password"
    assert error.hint.startswith("ssh-copy-id board ")


def test_a_name_that_is_no_host(pi: Board) -> None:
    error = refused(pi.device(address="me@no-such-board.invalid"))
    assert error.problem == "pi: no host of that name: me@no-such-board.invalid"
    assert "mend 'address' in pi.toml" in error.hint


def test_a_port_where_nothing_listens(pi: Board) -> None:
    error = refused(pi.device(port=free_port()))
    assert "nothing listens for ssh at that port" in error.problem


def test_a_port_that_does_not_answer(pi: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = refused(pi.device(port=silent.getsockname()[1]))
    assert error.problem == "pi: board does not answer"


def test_no_ssh_here(pi: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, "/no/such/ssh")
    assert refused(pi.device()).problem == "/no/such/ssh: cannot be started: No such file or directory"


def test_a_configuration_that_ssh_refuses(pi: Board) -> None:
    with (pi.folder / "ssh_config").open("a") as config:
        config.write("    NoSuchOption yes\n")
    assert refused(pi.device()).problem == "pi: ssh refuses its own configuration"


def test_an_address_is_no_option(tmp_path: Path) -> None:
    file = tmp_path / "evil.toml"
    file.write_text(f'kind = "ssh"\naddress = "-oProxyCommand=touch {tmp_path}/ran"\n')
    with pytest.raises(DeviceError), open_session(device.load(str(file))):  # type: ignore[arg-type]
        pass
    assert not (tmp_path / "ran").exists()


def python(pi: Board, script: str) -> str:
    """A command on the board that stands in the place of its Python; $RUN is the runner's action."""
    path = pi.home / "python"
    action = "for word; do case $word in hold|run|child) RUN=$word;; esac; done"
    path.write_text(f'#!/bin/bash\n{action}\n{script}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_no_python(pi: Board) -> None:
    error = refused(pi.device(python="/no/such/python"))
    assert error.problem.startswith("pi: /no/such/python: cannot be started there")
    assert error.hint.startswith("mend 'python' in pi.toml")
    (pi.home / "text").write_text("no program")
    (pi.home / "text").chmod(0o644)
    assert "cannot be started there" in refused(pi.device(python=f"{pi.home}/text")).problem


OLD = "import sys, runpy; sys.version_info = (3, 6); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def test_a_python_that_is_too_old(pi: Board) -> None:
    error = refused(pi.device(python=f'{sys.executable} -c "{OLD}"'))
    assert error.problem.endswith("is Python 3.6, and the runner needs 3.9 or newer")
    for version in ("2.7", "3.6", "3.8"):  # what this machine has of real ones
        old = f"python{version}"
        if (
            shutil.which(old)
            and not subprocess.run([old, "-c", ""], capture_output=True, check=False).returncode
        ):
            assert f"is Python {version}, and" in refused(pi.device(python=old)).problem


def fails(pi: Board, target: SshDevice, **changes: Any) -> EdgebigError:
    with pytest.raises(EdgebigError) as caught, open_session(target) as session:
        list(session.run(job(session, **changes), 60))
    gone(lambda: not on_board(pi), "the runner")
    return caught.value


def test_a_python_without_numpy(pi: Board) -> None:
    error = fails(pi, pi.device(python=f"{sys.executable} -S"))
    assert "cannot load what it needs: No module named 'numpy'" in error.problem
    assert "edgebig devices setup" in error.hint


def without_but(folder: Path, *packages: str) -> str:
    """A Python that has these packages of this one and no others."""
    site = Path(np.__file__).parent.parent
    for package in packages:
        for path in site.glob(f"{package}*"):
            (folder / path.name).symlink_to(path)
    return f"env PYTHONPATH={folder} {sys.executable} -S"


def test_a_python_without_the_runtime(pi: Board) -> None:
    error = fails(pi, pi.device(python=without_but(pi.home, "numpy")))
    assert error.problem.startswith("ai-edge-litert is not installed here")


@pytest.mark.network
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="needs Python 3.11 or older: tflite-runtime")
def test_tflite_runtime_beside_numpy_2(pi: Board, environments: Callable[[str], Path]) -> None:
    made = environments("tflite-runtime")
    without_but(pi.home, "numpy")
    target = pi.device(python=f"env PYTHONPATH={pi.home} {made}", runtime="tflite-runtime")
    error = fails(pi, target, runtime="tflite-runtime")
    assert "tflite-runtime does not load beside numpy 2" in error.problem
    assert 'pip install "numpy<2"' in error.hint


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at `folder`."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("needs root, who may mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may mount")
def test_a_full_disk_is_named_and_keeps_no_half_file(pi: Board, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    with mounted(pi.store, "size=1m"):
        with pytest.raises(DeviceError) as caught, open_session(pi.device()) as session:
            session.put(tmp_path / "large")
        assert caught.value.problem == f"pi: {pi.store}: the disk is full"
        assert "edgebig devices clean pi" in caught.value.hint
        assert sorted(path.suffix for path in pi.store.iterdir()) == [".lock", ".pyz"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may mount")
def test_a_home_that_cannot_be_written_to(pi: Board, tmp_path: Path) -> None:
    with mounted(pi.home / ".cache", "ro"):
        error = refused(pi.device())
        assert error.problem.startswith("pi: ~/.cache/edgebig: cannot be written to (")
        assert "Read-only file system" in error.problem
        assert error.hint == "set 'folder' in pi.toml to one that can, as /tmp/edgebig"
        with open_session(pi.device(folder=str(tmp_path / "other"))) as session:
            session.put(MODEL)
            session.clean()


def test_garbage_among_the_events(pi: Board) -> None:
    target = pi.device(python=python(pi, '[ "$RUN" != run ] || echo garbage >&3'))
    assert fails(pi, target).problem.startswith("the runner said what is no event: garbage")
    target = pi.device(python=python(pi, "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2"))
    with open_session(target) as session:  # on stdout and stderr it is no event
        assert list(session.run(job(session), 60))[-1]["event"] == "result"


def test_a_login_shell_that_runs_nothing(pi: Board) -> None:
    (pi.home / ".bashrc").write_text("echo Only backups may be made here.; exit 0\n")
    error = refused(pi.device())
    assert error.problem == "pi: its shell ran nothing and said: Only backups may be made here."


def test_a_runner_that_hangs_is_stopped_at_the_deadline_there_too(pi: Board) -> None:
    target = pi.device(python=python(pi, f'[ "$RUN" != run ] || tail -f {pi.store}/edgebig.lock'))
    started_s = time.monotonic()
    with pytest.raises(DeviceError, match="not done after 3 s, stopped"), open_session(target) as session:
        list(session.run(job(session), 3.0))
    assert time.monotonic() - started_s < 60
    gone(lambda: not on_board(pi), "the one that hung")


def kill_there(pi: Board, action: str) -> None:
    for pid in on_board(pi):
        if f" {action} " in (Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("run", "pi: the runner was killed there (SIGKILL)"),
        ("child", "digits-int8.tflite was killed by SIGKILL"),
    ],
)
def test_a_runner_that_is_killed_for_memory(action: str, told: str, pi: Board) -> None:
    def run() -> None:
        with open_session(pi.device()) as session:
            for event in session.run(job(session, samples=10**9), 60):
                if event["event"] == "warmup":
                    kill_there(pi, action)

    with pytest.raises(DeviceError) as caught:
        run()
    assert told in caught.value.problem
    assert "memory" in caught.value.hint
    gone(lambda: not on_board(pi), "the rest of it")


def test_a_runner_of_another_version(pi: Board) -> None:
    with open_session(pi.device()) as session:
        other = job(session).model_copy(update={"schema_": 99})
        with pytest.raises(DeviceError, match="the job speaks protocol 99, this runner 1"):
            list(session.run(other, 60))
    ready = '{"event":"held"}\\n{"event":"ready","protocol":99,"facts":{}}\\n'
    error = refused(pi.device(python=python(pi, f"printf '{ready}' >&3; sleep 600")))
    assert error.problem == "pi: its runner speaks protocol 99, this edgebig 1"
    gone(lambda: not on_board(pi), "the other runner")


def benched(pi: Board, earlier: measurement.Measurement | None = None) -> measurement.Measurement:
    settings = bench.Settings(processes=3, rounds=2, samples=3, warmup_s=0.05, deadline_s=120, energy=False)
    return bench.bench([artifact.load(MODEL)], pi.device(), settings, None, earlier=earlier)


def at_the_second_process(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """`happens` once: when the second process has given its first samples."""
    run = BoardSession.run

    def watched(self: BoardSession, job: Job, deadline_s: float) -> Iterator[Event]:
        for event in run(self, job, deadline_s):
            yield event
            if event["event"] == "sample" and event["process"] == 1:
                happens()

    monkeypatch.setattr(BoardSession, "run", watched)


def test_a_board_that_goes_away_and_comes_back(
    pi: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as while_it_lasts:
        at_the_second_process(while_it_lasts, pi.kill)
        with pytest.raises(partial.Unfinished) as caught:
            benched(pi)
    assert caught.value.problem.startswith("pi: the connection to board was lost")
    record = tmp_path / "record.json"
    told = caught.value.keep(record)
    kept = measurement.load(record)
    # The second process may end before the connection does, on a busy machine.
    many = len(kept.models[0].latency.processes)
    assert many in (1, 2)
    assert told.problem.endswith(f"{many} of 3 processes are kept in {record}")
    assert told.hint.endswith(f"edgebig bench --resume {record}")
    gone(lambda: not on_board(pi), "what ran there")
    assert [len(process) for process in kept.models[0].latency.processes] == [6] * many
    pi.start()
    whole = benched(pi, kept)
    assert whole.incomplete is None
    assert whole.models[0].latency.processes[:many] == kept.models[0].latency.processes
    assert [len(process) for process in whole.models[0].latency.processes] == [6, 6, 6]


def test_the_command_keeps_the_part_and_goes_on_with_it(pi: Board, tmp_path: Path) -> None:
    stops = f'[ "$RUN" != child ] || [ -e {pi.home}/once ] || [ "$(echo >>~/n; wc -l <~/n)" != 3 ]'
    waits = f"{{ touch {pi.home}/once; tail --pid=$PPID -f /dev/null; }}"  # it is the second process, and ends with us
    (tmp_path / "pi.toml").write_text(
        f'kind = "ssh"\naddress = "board"\npython = "{python(pi, f"{stops} || {waits}")}"\n'
    )
    shutil.copy(MODEL, tmp_path)
    shutil.copy(MODEL.with_suffix(".json"), tmp_path)
    record = tmp_path / "record.json"

    def edgebig(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgebig", "bench", *words]
        return subprocess.Popen(
            command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    asked = ["--processes", "3", "--examples", "20", "--rounds", "2", "--no-energy"]
    process = edgebig("digits-int8.tflite", "--device", "pi.toml", "--out", str(record), *asked)
    gone(lambda: (pi.home / "once").exists() or process.poll() is not None, "the first process")
    pi.kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == EXIT_DEVICE, told
    assert f"1 of 3 processes are kept in {record}" in told
    pi.start()
    process = edgebig("--resume", str(record))
    shown, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "3 fresh processes" in shown
    whole = measurement.load(record)
    assert (whole.incomplete, len(whole.models[0].latency.processes)) == (None, 3)
    assert whole.models[0].accuracy is not None
    gone(lambda: not on_board(pi), "what ran there")


def test_a_board_that_falls_silent_is_given_up(pi: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "ALIVE_S", 1)
    daemons: list[int] = []

    def fall_silent() -> None:
        daemons[:] = [pid for pid in pi.sessions() if Path(f"/proc/{pid}/exe").resolve().name == "sshd"]
        for pid in daemons:
            os.kill(pid, signal.SIGSTOP)

    at_the_second_process(monkeypatch, fall_silent)
    with pytest.raises(partial.Unfinished, match="the connection to board was lost"):
        benched(pi)
    for pid in daemons:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    gone(lambda: not on_board(pi), "what ran there")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may make network namespaces")
def test_a_link_that_drops_ends_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cable is pulled: no packet comes through any more, and nobody is told."""
    monkeypatch.setattr(ssh, "ALIVE_S", 1)
    monkeypatch.setattr(board_driver, "SILENCE_S", 3.0)
    monkeypatch.setattr(board_driver, "HEARTBEAT_S", 0.5)
    with far_away() as (space, address, cut), board(address, ["ip", "netns", "exec", space]) as pi:
        monkeypatch.setenv(COMMAND_VARIABLE, pi.ssh())
        with monkeypatch.context() as while_it_lasts:
            at_the_second_process(while_it_lasts, cut)
            with pytest.raises(partial.Unfinished, match="the connection to board was lost"):
                benched(pi)
        gone(lambda: not on_board(pi), "the measurement that nobody hears")


@contextlib.contextmanager
def far_away() -> Iterator[tuple[str, str, Callable[[], None]]]:
    """A network namespace behind a link: its name, its address, and what cuts the link."""
    space, link, (here, there) = f"edgebig{os.getpid()}", f"eb{os.getpid()}", ("10.213.77.1", "10.213.77.2")

    def ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    if subprocess.run(["ip", "netns", "add", space], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root, who may make network namespaces")
    try:
        ip(f"link add {link} type veth peer name eth0 netns {space}")
        ip(f"address add {here}/30 dev {link}")
        ip(f"link set {link} up")
        ip(f"-n {space} address add {there}/30 dev eth0")
        ip(f"-n {space} link set eth0 up")
        ip(f"-n {space} link set lo up")
        yield space, there, lambda: ip(f"-n {space} link set eth0 down")
    finally:
        # A connection that was never closed keeps the namespace alive, and with it both ends of the link.
        subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", space], check=False)
