"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgebig import cli, files

ROOT = Path(__file__).resolve().parent.parent


def test_bytes_text_json(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "new" / "folder" / "a", b"\x00\xff")
    files.write_text(tmp_path / "grün.txt", "größe\n")
    files.write_json(tmp_path / "a.json", {"größe": [1, None]})
    assert (tmp_path / "new" / "folder" / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "grün.txt").read_bytes() == "größe\n".encode()
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"größe": [1, None]}
    assert files.sha256_file(tmp_path / "new" / "folder" / "a") == files.sha256_bytes(b"\x00\xff")


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    path = tmp_path / "a.json"
    files.write_text(path, "old")

    def fail() -> None:
        with files.replacing(path) as temporary:
            assert temporary.suffix == ".json"
            assert temporary.parent == tmp_path
            temporary.write_text("half of the n")
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_the_umask_s(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.write_text(tmp_path / "a", "x")
    assert caught.value.filename == str(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.replacing(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


WRITER = """if True:
    import sys
    from pathlib import Path
    from edgebig import files
    print("ready", flush=True)
    while True:
        for digit in b"01":
            files.write_bytes(Path(sys.argv[1]), bytes([digit]) * 3_000_000)
"""


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"0" * 3_000_000)
    moments = random.Random(0)
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(moments.random() * 0.03)
            child.kill()
        data = path.read_bytes()
        assert len(data) == 3_000_000
        assert data == data[:1] * 3_000_000


MODEL = ROOT / "tests" / "golden" / "digits-int8.tflite"
OUTPUT = "digits-int8-io-uint8.tflite"


def lay_out(folder: Path) -> Path:
    """A small .tflite of ours, whose I/O `edgebig convert` rewrites without TensorFlow."""
    folder.mkdir(exist_ok=True)
    for source in (MODEL, MODEL.with_suffix(".json")):
        (folder / source.name).write_bytes(source.read_bytes())
    return folder / MODEL.name


def refusal(folder: Path, before: Callable[[], None], *arguments: str) -> str:
    """What `edgebig` prints in a child of this process, after `before`; it must exit 1 and leave `folder` as it was.

    A fork has all modules loaded already, so that it also works for a user who may not read them.
    """
    names = {path.name for path in folder.iterdir()}
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.dup2(write, 1)
            os.dup2(write, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            sys.argv = ["edgebig", *arguments]
            before()
            cli.main()
        except SystemExit as done:
            status = int(done.code or 0)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(status)  # whatever came: pytest is not to go on twice
    os.close(write)
    with os.fdopen(read) as printed:
        text = printed.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1, text
    assert "Traceback" not in text
    assert {path.name for path in folder.iterdir()} == names
    return text


@pytest.fixture
def loaded(tmp_path: Path) -> None:
    """All that `edgebig convert` needs is in this process."""
    model = lay_out(tmp_path / "elsewhere")
    done = CliRunner().invoke(cli.app, ["convert", str(model), "--io", "uint8"])
    assert (done.exit_code, done.stdout) == (0, f"{model.with_name(OUTPUT)}: uint8 in, uint8 out, 4.9 kB\n")


@pytest.mark.usefixtures("loaded")
def test_a_file_too_large_for_its_limit(tmp_path: Path) -> None:
    model = lay_out(tmp_path / "here")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4500, resource.RLIM_INFINITY))

    text = refusal(model.parent, limit, "convert", str(model), "--io", "uint8")
    # It may be the copy for the check on this host that is too large: that one has no name worth telling.
    assert text.startswith(
        ("edgebig: the machine says: File too large\n", f"edgebig: {model.with_name(OUTPUT)}: File")
    )
    assert text.endswith("(ulimit -f); nothing half-written was left\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.usefixtures("loaded")
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], check=False
    ).returncode:
        pytest.skip("needs root that may mount a tmpfs")
    try:
        model = lay_out(disk)
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(b"x" * (room - 4096))
        text = refusal(disk, lambda: None, "convert", str(model), "--io", "uint8")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert text == (
        f"edgebig: {model.with_name(OUTPUT)}: No space left on device\n"
        "  free some space; nothing half-written was left\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_behind_stdout(tmp_path: Path) -> None:
    def redirect() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    assert refusal(tmp_path, redirect, "recipes").startswith(
        "edgebig: the machine says: No space left on device\n  free some"
    )


@pytest.mark.usefixtures("loaded")
def test_a_read_only_folder(tmp_path: Path) -> None:
    model = lay_out(tmp_path / "locked")

    def become_nobody() -> None:
        os.chdir(model.parent)  # by name from there: pytest's own folders are closed to others
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)

    os.chmod(model.parent, 0o555)
    text = refusal(model.parent, become_nobody, "convert", MODEL.name, "--io", "uint8")
    os.chmod(model.parent, 0o755)
    assert text == (f"edgebig: {OUTPUT}: Permission denied\n  work in a folder that you may read and write\n")


def test_the_commonest_refusals_are_answered() -> None:
    assert {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EEXIST} <= set(cli._MACHINE_SAYS_NO)
    assert all(cli._MACHINE_SAYS_NO.values())


def test_a_place_is_tried_before_anything_is_made_for_it(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "a" / "b" / "record.json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        files.check_writable(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        files.check_writable(tmp_path / "file" / "record.json")


def test_scratch_is_gone_at_the_end_and_what_a_killed_process_left_with_the_next(tmp_path: Path) -> None:
    with files.scratch(tmp_path / "scratch") as first:
        (first / "inner").mkdir()
        killed = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys, time; from pathlib import Path; from edgebig import files\n"
                "with files.scratch(Path(sys.argv[1])) as folder: (folder / 'a').touch(); print(folder, flush=True); "
                "time.sleep(60)",
                str(tmp_path / "scratch"),
            ],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        assert first.is_dir()
        with files.scratch(tmp_path / "scratch") as second:
            assert left.is_dir()
            assert len({first, left, second}) == 3
        killed.kill()
        killed.communicate()
        assert (left / "a").is_file()
        (tmp_path / "scratch" / "a-file").touch()
        with files.scratch(tmp_path / "scratch"):
            assert not left.exists()
            assert first.is_dir()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["a-file"]
