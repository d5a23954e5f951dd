"""The commands about phones: what is told before anything is served, and what they refuse."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from edgebig.drivers import reception
from edgebig.errors import EXIT_DEVICE, EXIT_USER
from edgebig.phone import serving
from tests.commandline import Edgebig
from tests.phone.client import no_runtime

pytest.importorskip("uvicorn", reason="needs uvicorn")


# No browser needs it otherwise.
MODEL = Path(__file__).resolve().parent.parent / "golden" / "digits-float32.tflite"


READY = reception.runtime.ready


@pytest.fixture
def edgebig(edgebig: Edgebig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgebig:
    """In a folder with the device `quick`, which waits for nobody for long."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "quick.toml").write_text(
        'kind = "browser"\naddress = "127.0.0.1"\nplain_http = true\nwait_s = 0.1\n'
    )
    (tmp_path / "runtime").mkdir()
    packed = no_runtime(tmp_path / "runtime")
    monkeypatch.setattr(reception.runtime, "ready", lambda cache, given: packed)

    return edgebig


def test_phones_are_of_browsers(edgebig: Any) -> None:
    done = edgebig("bench", "digits-nano", "--device", "local", "--phones", "3")
    assert done.code == EXIT_USER
    assert "--phones goes with a device of the kind browser" in done.stderr


def test_a_sweep_goes_with_one_phone(edgebig: Any) -> None:
    done = edgebig("bench", "digits-nano", "--device", "quick", "--phones", "2", "--delegate", "wasm,webgpu")
    assert (done.code, "a sweep goes with one phone" in done.stderr) == (EXIT_USER, True)


def test_one_file_is_none_for_several_phones(edgebig: Any) -> None:
    done = edgebig("bench", "digits-nano", "--device", "quick", "--phones", "2", "--out", "one.json")
    assert (done.code, "one file for several records" in done.stderr) == (EXIT_USER, True)


@pytest.mark.parametrize(
    ("command", "words"),
    [("probe", "--delegate wasm,webgpu"), ("clean", "nothing is put on a phone"), ("setup", "quick")],
)
def test_what_is_done_with_boards_alone(edgebig: Any, command: str, words: str) -> None:
    done = edgebig("devices", command, "quick")
    assert (done.code, words in done.stderr) == (EXIT_USER, True)


def test_its_keys_are_explained(edgebig: Any) -> None:
    done = edgebig("devices", "show", "phone")
    assert done.code == 0
    assert "phones = 1  # default" in done.stdout
    assert "one of: wasm, webgpu, webnn" in done.stdout


@pytest.mark.slow
def test_so_many_are_waited_for(edgebig: Any) -> None:
    done = edgebig("bench", "digits-nano", "--device", "quick", "--phones", "3", "--examples", "10")
    assert done.code == EXIT_DEVICE
    assert "waits for 3 phones" in done.stderr
    assert "no phone opened the page" in done.stderr
    assert "http://127.0.0.1:" in done.stderr


@pytest.mark.parametrize("command", [("bench", "digits-nano", "--device", "quick"), ("phone",)])
def test_without_the_extra_the_command_says_which(
    edgebig: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        serving.importlib.util,
        "find_spec",
        lambda name, *more: None if name == "segno" else find(name, *more),
    )
    done = edgebig(*command)
    assert done.code == EXIT_USER
    assert "a phone needs the extra 'phone' (segno is not installed)" in done.stderr
    assert "pip install 'edgebig[phone]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--address", "198.51.100.7"), "not an address of this machine"),
        (("--usb", "--address", "192.0.2.1"), "usb goes with no address"),
        (("--port", "70000"), "Invalid value for '--port'"),
        (("--runtime-dir", "nowhere"), "--runtime-dir nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_page_cannot_be_served_by(
    edgebig: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    if arguments[0] == "--runtime-dir":
        monkeypatch.setattr(reception.runtime, "ready", READY)
    done = edgebig("phone", str(MODEL), *arguments)
    assert done.code in (EXIT_USER, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
