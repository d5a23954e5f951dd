"""The runner as one file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from edgebig import ondevice
from edgebig.drivers import payload


def test_it_holds_the_sources_of_ondevice_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(payload.zipapp())) as archive:
        names = set(archive.namelist())
        sources = sorted(Path(ondevice.__file__).parent.glob("*.py"))
        assert names == {"__main__.py", *(f"ondevice/{path.name}" for path in sources)}
        for path in sources:
            assert archive.read(f"ondevice/{path.name}") == path.read_bytes()


def test_the_same_sources_are_the_same_bytes() -> None:
    first = payload.zipapp()
    payload.zipapp.cache_clear()
    assert payload.zipapp() == first


def test_it_is_written_once_and_mended_when_damaged(tmp_path: Path) -> None:
    path = payload.write(tmp_path)
    written = path.stat().st_mtime_ns
    assert payload.write(tmp_path) == path
    assert path.stat().st_mtime_ns == written
    path.write_bytes(payload.zipapp()[:1000])
    assert payload.write(tmp_path).read_bytes() == payload.zipapp()


def test_it_tells_its_facts_with_the_path_of_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(payload.write(tmp_path)), "facts"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    ready = json.loads(done.stdout)
    assert ready["event"] == "ready"
    assert ready["facts"]["python"] == ".".join(str(part) for part in sys.version_info[:3])


def test_facts_need_no_numpy(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('facts cost an import of numpy')\n")
    done = subprocess.run(
        [sys.executable, str(payload.write(tmp_path)), "facts"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["event"] == "ready", done.stderr


OLD = "import sys, runpy; sys.version_info = (3, 6); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def test_a_python_that_is_too_old_says_so_before_any_newer_syntax(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OLD, str(payload.write(tmp_path)), "facts"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (done.returncode, told["event"], told["code"]) == (1, "error", "old-python")
    assert told["problem"] == f"{sys.executable} is Python 3.6, and the runner needs 3.9 or newer"
