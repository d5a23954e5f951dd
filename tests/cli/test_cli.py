"""The command line: exit codes, JSON and nothing else on stdout, and users who are clumsy or mean harm."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from edgebig import __version__, artifact, cli, recipe, runs
from edgebig.errors import DeviceError, EdgebigError, Shortfall
from tests.commandline import Edgebig

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "digits-int8.tflite"
RECIPES = (
    "article-logistic", "article-mlp", "digits", "digits-camera", "digits-camera-small", "digits-nano", "digits-quick",
    "digits-small", "digits-teacher", "fashion", "keras-convnet",
)  # fmt: skip
COMMANDS = [
    "train", "adopt", "compress", "convert", "export", "eval", "check", "inspect", "bench", "compare", "blame",
    "predict", "camera", "phone", "recipes", "init", "doctor", "runs", "devices", "data", "environment",
]  # fmt: skip
EPOCH = "digits.toml [train]: unknown key 'epoch' (did you mean 'epochs'?)"
SEED = "digits.toml [train]: seed = 9999999999: must be less than 2147483648"
SMALLEST = '[data]\nsource = "digits-5k"\n[model]\nname = "digit-cnn"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def child(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgebig", *arguments], env=env or {**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def make_run(*, finish: bool = True) -> runs.Run:
    run = runs.create(recipe.parse(recipe.tomllib.loads(SMALLEST), "tiny", file=""))
    artifact.save(run.folder, "int8", GOLDEN.read_bytes(), artifact.read_card(GOLDEN.with_suffix(".json")))
    if finish:
        runs.finish(run, {"schema": 1})
    return run


# Help and usage


def test_help_names_every_command(edgebig: Edgebig) -> None:
    for flag in ("--help", "-h"):
        done = edgebig(flag)
        assert done.code == 0
        assert [
            line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if line
        ] == COMMANDS
    assert edgebig().code == 2


@pytest.mark.parametrize("command", [*COMMANDS, "runs list", "runs show", "runs rm", "environment add"])
def test_help_of_every_command(edgebig: Edgebig, command: str) -> None:
    done = edgebig(*command.split(), "-h")
    assert done.code == 0
    assert done.stdout.startswith(f"Usage: edgebig {command} ")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("group", ["", "runs", "devices", "data", "environment"])
def test_a_list_of_commands_is_read_whole_in_80_columns(
    group: str, edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = edgebig(*group.split(), "--help").stdout.split("Commands:\n")[1].splitlines()
    assert listed
    # What does not fit is cut off in three dots.
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_version(edgebig: Edgebig) -> None:
    assert edgebig("--version").stdout == f"edgebig {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = """if True:
        import sys
        from edgebig.cli import main
        sys.argv = ["edgebig", "--help"]
        try:
            main()
        except SystemExit as stopped:
            assert not stopped.code
        heavy = {"numpy", "tensorflow", "keras", "pydantic", "rich", "PIL"}
        print("loaded", *sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train", "--epoch", "3"], "No such option: --epoch"),
        (["train"], "which recipe?"),
        (["train", "digits", "--resume", "x"], "leave out RECIPE"),
        (["train", "digits", "digits"], "unexpected extra argument"),
        (["train", "digits", "--seed", "-1"], "'--seed'"),
        (["train", "digits", "--seed", "x"], "'--seed'"),
        (["compress", "--prune", "half"], "'--prune'"),
        (["convert", "--io", "int9"], "'--io'"),
        (["eval", "--split", "half"], "'--split'"),
        (["bench", "--processes", "1"], "'--processes'"),
        (["bench", "--examples", "0"], "'--examples'"),
        (["predict", "x.tflite"], "Missing argument"),
        (["runs", "delete"], "No such command 'delete'"),
        (["runs", "rm"], "Missing argument"),
    ],
)
def test_usage_is_2(edgebig: Edgebig, arguments: list[str], line: str) -> None:
    done = edgebig(*arguments)
    assert done.code == 2
    assert done.stdout == ""
    assert line in done.stderr.splitlines()[-1]
    assert done.stderr.startswith("Usage: edgebig ")


# Exit codes


@pytest.mark.parametrize(
    ("raised", "code", "lines"),
    [
        (EdgebigError("a.toml: no", "do this"), 1, ["edgebig: a.toml: no", "  do this"]),
        (EdgebigError("one\ntwo"), 1, ["edgebig: one", "two"]),
        (Shortfall("slow", "faster"), 3, ["edgebig: slow", "  faster"]),
        (DeviceError("gone", "plug it in"), 4, ["edgebig: gone", "  plug it in"]),
        (PermissionError(13, "No", "x"), 1, ["edgebig: x: No", "  work in a folder that you may read and write"]),
        (OSError(errno.EIO, "No"), 1, ["edgebig: the machine says: No", "  the disk fails, or the connection to it"]),
        (EdgebigError("\x1b[2Jgone \udcff\x07"), 1, ["edgebig: \\x1b[2Jgone \\udcff\\x07"]),
        (KeyboardInterrupt(), 130, []),
    ],
)  # fmt: skip
def test_exit_codes(
    edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, lines: list[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise raised

    monkeypatch.setattr("edgebig.lookup.available", fail)
    done = edgebig("recipes")
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.splitlines() == lines


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("division by zero"), OSError("h5py says no"), RecursionError()]
)
def test_a_bug_keeps_its_traceback(edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise bug

    monkeypatch.setattr("edgebig.lookup.available", fail)
    done = edgebig("recipes")
    assert done.code == 70
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert type(bug).__name__ in done.stderr
    assert done.stderr.endswith("edgebig: this is a bug; please report it with the lines above\n")


# JSON


def test_every_command_has_json() -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    assert list(commands) == COMMANDS
    every = {name: command for name, command in commands.items() if name != "data"}
    for group in ("runs", "devices", "data"):
        every |= {f"{group} {name}": sub for name, sub in commands[group].commands.items()}
    without = [
        name for name, command in every.items() if "--json" not in str([p.opts for p in command.params])
    ]
    assert without == []


def test_json_and_nothing_else(edgebig: Edgebig, here: Path) -> None:
    run = make_run()
    (here / "recipes").mkdir()
    (here / "recipes" / "größe.toml").write_text("# 99 %\n")
    rows = json.loads(edgebig("recipes", "--json").stdout)
    assert [row["recipe"] for row in rows] == sorted([*RECIPES, "größe"])
    assert rows[[row["recipe"] for row in rows].index("größe")] == {
        "recipe": "größe",
        "file": "recipes/größe.toml",
        "header": ["99 %"],
    }
    assert {row["name"] for row in json.loads(edgebig("devices", "--json").stdout)} >= {"local", "fake"}
    for arguments in (["runs", "--json"], ["runs", "list", "--json"]):
        (row,) = json.loads(edgebig(*arguments).stdout)
        assert row["run"] == run.name
    for arguments in (["runs", "show", "--json"], ["runs", "show", run.name, "--json"]):
        assert json.loads(edgebig(*arguments).stdout) == row
    done = edgebig("convert", run.name, "--io", "uint8", "--json")
    card = json.loads(done.stdout)
    assert (card["file"], card["input"]["dtype"], card["schema"]) == (
        f"{run.folder}/int8-io-uint8.tflite",
        "uint8",
        1,
    )
    assert done.stderr == f"model: {run.folder}/int8.tflite\n"


def test_json_of_a_name_that_is_no_text(edgebig: Edgebig, here: Path) -> None:
    (here / "recipes").mkdir()
    try:
        (here / "recipes" / "bad\udcff.toml").write_text("")
    except OSError:
        pytest.skip("needs Linux")  # other file systems take UTF-8 alone
    done = edgebig("recipes", "--json")
    assert done.stdout.isascii()
    assert "bad\udcff" in [row["recipe"] for row in json.loads(done.stdout)]
    assert "bad\\udcff" in edgebig("recipes").stdout


# Clumsy users, and those who mean harm


def test_names_and_headers_cannot_steer_the_terminal(edgebig: Edgebig, here: Path) -> None:
    for folder in ("recipes", "runs"):
        (here / folder).mkdir()
    (here / "recipes" / "a\x1b[31m\nb.toml").write_text("# \x1b]0;title\x07 \x9b2J\n")
    evil = here / "runs" / "run\x1b[2J\r"
    evil.mkdir()
    (evil / "recipe.toml").write_text(SMALLEST)
    (here / "devices").mkdir()
    (here / "devices" / "d.toml").write_text('kind = "local"\nabout = "\\u001b[31mred"\n')
    for arguments in (["recipes"], ["devices"], ["runs"], ["runs", "show", evil.name], ["train", "\x1b[2J"]):
        done = edgebig(*arguments)
        printed = (done.stdout + done.stderr).replace("\n", "")
        assert printed.isprintable(), arguments
        assert "\\x1b[" in printed


def test_a_damaged_recipe_or_device_does_not_hide_the_others(edgebig: Edgebig, here: Path) -> None:
    for folder in ("recipes", "devices"):
        (here / folder).mkdir()
        (here / folder / "odd.toml").write_bytes(b"\xff\xfe = 1")
        (here / folder / "folder.toml").mkdir()
    done = edgebig("recipes")
    assert (done.code, len(done.stdout.splitlines())) == (0, len(RECIPES) + 1)
    done = edgebig("devices")
    assert done.code == 0
    assert "local                local    this machine" in done.stdout.splitlines()
    assert "odd                  ?        odd.toml: not TOML" in done.stdout
    row = next(row for row in json.loads(edgebig("devices", "--json").stdout) if row["name"] == "odd")
    assert set(row) == {"name", "file", "problem"}
    done = edgebig("bench", "--device", "odd")
    assert (done.code, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["train", "digits-quikc"], "no recipe 'digits-quikc' (did you mean 'digits-quick'?)"),
        (["train", "../../etc/passwd"], "../../etc/passwd: no such file"),
        (["train", "/dev/zero"], "/dev/zero: no such file"),
        (["train", "digits", "--set", "train.epoch=3"], EPOCH),
        (["train", "digits", "--seed", "9999999999"], SEED),
        (["train", "--resume", "nope"], "no run 'nope'"),
        (["compress"], "no finished run in runs/"),
        (["compress", "nope"], "no run 'nope'"),
        (["convert"], "no finished run in runs/"),
        (["convert", "nope.tflite"], "nope.tflite: no such file"),
        (["convert", "."], "no run '.'"),
        (["bench", "--device", "lcoal"], "no device 'lcoal' (did you mean 'local'?)"),
        (["bench", "nope.tflite"], "nope.tflite: no such file"),
        (["predict", "nope.tflite", "x.png"], "nope.tflite: no such file"),
        (["runs", "show"], "no finished run in runs/"),
        (["runs", "rm", "nope"], "no run 'nope'"),
        (["runs", "rm", "..", "--yes"], "no run '..'"),
        (["runs", "rm", "/", "--yes"], "no run '/'"),
    ],
)  # fmt: skip
def test_the_user_s_faults_are_1(edgebig: Edgebig, arguments: list[str], problem: str) -> None:
    done = edgebig(*arguments)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"edgebig: {problem}"
    assert done.stderr.splitlines()[1].startswith("  ")
    assert list(Path().iterdir()) == []


def test_compress_takes_a_share(edgebig: Edgebig) -> None:
    make_run()
    done = edgebig("compress", "--prune", "50")
    assert done.code == 1
    assert done.stderr.splitlines()[-2:] == [
        "edgebig: --prune 50.0: a share of zeros is over 0 and under 1",
        "  as in --prune 0.5",
    ]


def test_runs_for_people(edgebig: Edgebig) -> None:
    assert edgebig("runs").stderr == "no runs here yet: edgebig train digits-quick\n"
    run = make_run(finish=False)
    assert edgebig("runs").stdout.split(maxsplit=1) == [
        run.name, f"not finished (edgebig train --resume {run.folder})\n"
    ]  # fmt: skip
    runs.finish(run, {"schema": 1})
    assert "recipe tiny  digits-int8" in edgebig("runs", "show").stdout
    done = edgebig("train", "--resume", run.name)
    assert (done.code, done.stderr.splitlines()[0]) == (
        1,
        f"edgebig: {run.folder}: its training has finished",
    )
    (run.folder / "int8.json").write_text("{")
    done = edgebig("runs")
    assert (done.code, "cannot be read: " in done.stdout) == (0, True)
    done = edgebig("runs", "show")
    assert (done.code, "int8.json: not JSON" in done.stderr) == (1, True)


def test_runs_rm_asks(here: Path) -> None:
    run = make_run()
    for answer in ("", "n\n", "maybe\n"):
        done = CliRunner().invoke(cli.app, ["runs", "rm", run.name], input=answer)
        assert isinstance(done.exception, EdgebigError)
        assert done.exception.problem == f"{run.folder}: kept"
        assert done.stderr == f"delete {run.folder} and everything in it? [y/N]\n"
        assert run.folder.is_dir()
    done = CliRunner().invoke(cli.app, ["runs", "rm", run.name], input="y\n")
    assert (done.exit_code, done.stdout) == (0, f"{run.folder}: deleted\n")
    assert list((here / "runs").iterdir()) == []
    run = make_run()
    done = CliRunner().invoke(cli.app, ["runs", "rm", run.name, "--yes", "--json"])
    assert json.loads(done.stdout) == {"deleted": str(run.folder)}


def test_runs_rm_leaves_what_is_outside(edgebig: Edgebig, here: Path) -> None:
    """A link in runs/, or a folder that happens to hold a recipe.toml, is not deleted, whoever says yes."""
    mine = here / "project"
    mine.mkdir()
    (mine / "recipe.toml").write_text(SMALLEST)
    (mine / "thesis.txt").write_text("")
    make_run()
    (here / "runs" / "linked").symlink_to(mine)
    for name in ("linked", "project", str(mine), "runs/linked/"):
        done = edgebig("runs", "rm", name, "--yes")
        assert done.code == 1
        assert done.stderr.splitlines()[0].endswith(": not a folder in runs/ itself")
    assert (mine / "thesis.txt").exists()


def test_a_file_in_the_place_of_runs(edgebig: Edgebig, here: Path) -> None:
    (here / "runs").write_text("")
    done = edgebig("runs")
    assert (done.code, done.stdout) == (0, "")
    assert edgebig("compress").code == 1


# The shell


def complete(monkeypatch: pytest.MonkeyPatch, edgebig: Edgebig, line: str) -> list[str]:
    monkeypatch.setenv("_EDGEBIG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    done = edgebig()
    monkeypatch.delenv("_EDGEBIG_COMPLETE")
    return done.stdout.split("\n")[:-1]


def test_completion(monkeypatch: pytest.MonkeyPatch, edgebig: Edgebig, here: Path) -> None:
    run = make_run()
    (here / "recipes").mkdir()
    for name in ("mine", "$(reboot)", "`x`", "a b", "-rf", "new\nline"):
        (here / "recipes" / f"{name}.toml").write_text("")
    assert complete(monkeypatch, edgebig, "edgebig train ") == sorted([*RECIPES, "mine"])
    assert complete(monkeypatch, edgebig, "edgebig train digits-") == [
        "digits-camera",
        "digits-camera-small",
        "digits-nano",
        "digits-quick",
        "digits-small",
        "digits-teacher",
    ]
    assert complete(monkeypatch, edgebig, "edgebig bench --device l") == ["local"]
    with_runs = (
        "compress",
        "bench",
        "compare",
        "blame",
        "convert",
        "predict",
        "train --resume",
        "runs show",
        "runs rm",
    )
    for command in with_runs:
        assert complete(monkeypatch, edgebig, f"edgebig {command} ti") == [run.name]
    assert complete(monkeypatch, edgebig, "edgebig co") == ["compress", "convert", "compare"]


def test_completion_s_script(edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of the shell that it was started from, and tests need not have been started from one.
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    done = edgebig("--show-completion")
    assert (done.code, "_EDGEBIG_COMPLETE=complete_bash" in done.stdout) == (0, True)


def test_a_closed_stdin_is_no_yes(edgebig: Edgebig, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setattr(sys, "stdin", None)
    done = edgebig("runs", "rm", run.name)
    assert (done.code, done.stderr.splitlines()[1]) == (1, f"edgebig: {run.folder}: kept")
    assert run.folder.is_dir()


def test_real_children(here: Path) -> None:
    """A pipe that breaks, a stream that is closed, a terminal of another encoding: all at once, to save time."""
    (here / "recipes").mkdir()
    (here / "recipes" / "größe.toml").write_text("# ≤ schön\n", "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    broken = child("recipes", "--json")
    broken.stdout.close()
    no_stderr = child("recipes", preexec_fn=lambda: os.close(2))
    latin = child("recipes", env={**environment, "PYTHONIOENCODING": "latin-1:strict"})
    assert (broken.stderr.read(), broken.wait()) == (b"", 1)
    assert no_stderr.communicate()[0].count(b"\n") == len(RECIPES) + 1
    assert no_stderr.returncode == 0
    out, err = latin.communicate()
    assert (latin.returncode, err) == (0, b"")
    assert "größe                \\u2264 schön\n".encode("latin-1") in out


def test_ctrl_c_while_it_asks_is_130() -> None:
    run = make_run()
    asking = child("runs", "rm", run.name, stdin=subprocess.PIPE)
    assert asking.stderr.readline().endswith(b"[y/N]\n")
    asking.send_signal(signal.SIGINT)
    # Its stdin stays open until it has ended: an end of input is another answer.
    assert asking.wait(timeout=30) == 130
    assert asking.communicate() == (b"", b"")
    assert run.folder.is_dir()


def test_compress_takes_settings_of_its_own_alone(edgebig: Edgebig, here: Path) -> None:
    make_run()
    done = edgebig("compress", "--int8", "--set", "data.validation=100")
    assert done.code == 1
    assert (
        "--set data.validation=100: the training is done; compress takes compress.* and convert.*"
        in done.stderr
    )


def test_convert_twice_makes_one_file(edgebig: Edgebig, here: Path) -> None:
    run = make_run()
    for _ in range(2):
        assert edgebig("convert", run.name, "--io", "uint8").code == 0
        assert edgebig("convert", run.name).code == 0
    assert {path.name for path in run.folder.glob("*.tflite")} == {"int8.tflite", "int8-io-uint8.tflite"}
