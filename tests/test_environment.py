"""Environments: made whole or not at all, found only when they are whole, and what runs in one is watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebig import environment, lookup
from edgebig.environment import ENVIRONMENTS, Environment
from edgebig.errors import EdgebigError

NAME = "small"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A known environment without requirements; its folder. pip installs nothing, and so needs no network."""
    monkeypatch.setattr(environment, "ENVIRONMENTS", {NAME: Environment((), range(10, 14), "nothing")})
    return environment._folder(NAME)


@pytest.fixture
def made(small: Path) -> Path:
    """As `add` leaves it, but with this test's interpreter."""
    (small / "bin").mkdir(parents=True)
    (small / "bin" / "python").symlink_to(sys.executable)
    (small / environment.MARKER).write_text(json.dumps({"packages": {"numpy": "1.26.4"}}))
    return small


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "script.py"
    path.write_text(text)
    return path


def refusal(call: Callable[[], object]) -> EdgebigError:
    with pytest.raises(EdgebigError) as refused:
        call()
    return refused.value


def test_names_and_folders() -> None:
    assert set(ENVIRONMENTS) == {"tflite-runtime", "tflite-micro", "vela", "mediapipe"}
    assert len({environment._folder(name) for name in ENVIRONMENTS}) == len(ENVIRONMENTS)
    fault = refusal(lambda: environment.python("velo"))
    assert fault.problem == "no environment 'velo'"
    assert "vela" in fault.hint


def test_what_is_not_made_is_told_with_the_command() -> None:
    fault = refusal(lambda: environment.python("vela"))
    assert fault.problem == "needs the environment 'vela'"
    assert fault.hint == "make it once: edgebig environment add vela"
    assert not any(row["made"] for row in environment.listed())
    # Only to ask leaves nothing behind.
    assert not lookup.cache_dir().exists()


def test_other_requirements_are_another_environment(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment.ENVIRONMENTS, NAME, Environment(("numpy<2",), range(10, 14), ""))  # type: ignore[misc]
    assert environment._folder(NAME) != small


def test_half_made_is_not_made(made: Path) -> None:
    assert environment.python(NAME) == made / "bin" / "python"
    assert environment.versions(NAME) == {"numpy": "1.26.4"}
    (made / environment.MARKER).unlink()
    assert "needs the environment" in refusal(lambda: environment.python(NAME)).problem


def test_a_python_that_went_is_told(made: Path) -> None:
    (made / "bin" / "python").unlink()
    (made / "bin" / "python").symlink_to("/nowhere/python3.11")
    assert "its Python is gone" in refusal(lambda: environment.python(NAME)).problem


def test_remove_takes_every_form_and_no_namesake(made: Path) -> None:
    older = made.with_name(f"{NAME}-01234567")
    namesake = made.with_name(f"{NAME}-er-01234567")
    for folder in (older, namesake):
        folder.mkdir()
    assert environment.remove(NAME) == sorted([made, older])
    assert namesake.is_dir()
    assert environment.remove(NAME) == []


def test_a_failing_install_leaves_nothing(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\nmkdir -p $4/bin\necho collecting\necho 'no such thing' >&2\nexit 7\n")
    failing.chmod(0o755)
    monkeypatch.setattr(environment, "_suitable_python", lambda name: failing)
    fault = refusal(lambda: environment.add(NAME))
    assert "(exit 7)" in fault.problem
    assert f"{failing} -m venv" in fault.problem
    assert "no such thing" in fault.hint
    assert not small.exists()


def test_a_python_that_fits_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where this one does not fit: the newest of those that really run."""
    mine = sys.version_info[1]
    other = mine + 1
    monkeypatch.setattr(environment, "ENVIRONMENTS", {NAME: Environment((), range(other, other + 2), "")})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    fault = refusal(lambda: environment.add(NAME))
    assert f"needs Python 3.{other} to 3.{other + 1}" in fault.problem
    assert f"python3.{other + 1} is on PATH" in fault.hint

    def put(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    put(tmp_path / f"python3.{other + 1}", "echo not installed >&2; exit 127")  # pyenv's shim
    of_pyenv = put(tmp_path / "pyenv" / "versions" / f"3.{other}.1" / "bin" / "python", f"echo {other}")
    assert environment._suitable_python(NAME) == of_pyenv
    of_path = put(tmp_path / f"python3.{other}", f"echo {other}")
    assert environment._suitable_python(NAME) == of_path


def test_run_hands_json_over_and_back(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    there = script(
        tmp_path,
        "import json, sys\nprint('loading', file=sys.stderr)\nprint('a stray line')\n"
        "print(json.dumps({'got': json.load(sys.stdin), 'path': sys.path}))\n",
    )
    answer = environment.run(NAME, there, {"text": "ä", "n": [1, 2.5]})
    assert answer["got"] == {"text": "ä", "n": [1, 2.5]}
    assert str(tmp_path) not in answer["path"]


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("raise SystemExit('no model')", "failed (exit 1)", "no model"),
        ("import os; os.kill(os.getpid(), 9)", "died of signal 9", ""),
        ("print('done')", "gave no JSON but: ['done']", "please report"),
        ("", "gave no JSON but: nothing", "please report"),
    ],
)
def test_run_tells_how_it_failed(made: Path, tmp_path: Path, text: str, problem: str, hint: str) -> None:
    fault = refusal(lambda: environment.run(NAME, script(tmp_path, text), {}))
    assert "script.py in the environment 'small'" in fault.problem
    assert problem in fault.problem
    assert hint in fault.hint


def test_run_ends_in_time_with_all_that_it_started(made: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    there = script(
        tmp_path,
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open('{pid_file}.new', 'w').write(str(child.pid))\nimport os\n"
        f"os.rename('{pid_file}.new', {str(pid_file)!r})\ntime.sleep(60)\n",
    )
    for deadline_s in (0.5, 2, 8, 32):  # The machine may stall before the child has its own.
        fault = refusal(lambda: environment.run(NAME, there, {}, deadline_s=deadline_s))  # noqa: B023
        assert "did not end within" in fault.problem
        if pid_file.exists():
            break
    pid = int(pid_file.read_text())
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child's child still runs")


@pytest.mark.slow
def test_add_makes_it_whole_and_two_at_once_make_one(small: Path, users_state: Path) -> None:
    """A real venv, without packages; a killed one is made anew."""
    small.mkdir(parents=True)
    (small / "half").touch()
    code = (
        "from edgebig import environment as e\n"
        f"e.ENVIRONMENTS = {{{NAME!r}: e.Environment((), range(10, 14), '')}}\n"
        # pip refuses to install nothing.
        "install = e._install\n"
        "e._install = lambda command, name: '' if command[-1] == ':all:' else install(command, name)\n"
        f"print(e.add({NAME!r}))\n"
    )
    root = Path(__file__).parent.parent
    two = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env=dict(os.environ), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = [child.communicate(timeout=300) for child in two]
    assert [child.returncode for child in two] == [0, 0], outputs
    assert {out.strip() for out, _ in outputs} == {str(small / "bin" / "python")}
    assert sum("in " + str(small) in err for _, err in outputs) == 1
    assert not (small / "half").exists()
    assert "pip" in environment.versions(NAME)


@pytest.mark.network
@pytest.mark.slow
def test_a_real_environment(environments: Callable[[str], Path], tmp_path: Path) -> None:
    interpreter = environments("vela")
    assert environment.python("vela") == interpreter
    assert environment.versions("vela")["ethos-u-vela"] == "5.2.0"
    there = script(
        tmp_path, "import json, importlib.metadata as m; print(json.dumps(m.version('ethos-u-vela')))"
    )
    assert environment.run("vela", there) == "5.2.0"
    assert {row["environment"]: row["made"] for row in environment.listed()}["vela"]
