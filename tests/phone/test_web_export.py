"""`edgebig export --to web`: what is in the folder, and that it works without a network once it was seen."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgebig import artifact, cli, files
from edgebig.artifact import Card
from edgebig.data.examples import Examples
from edgebig.export import web, webmodel
from edgebig.export.webmodel import WebModel
from tests.phone.client import no_runtime

from .conftest import WRITTEN, ZOO, Phone, hosted

RUNTIME = (
    "wasm/litert_wasm_internal.js",
    "wasm/litert_wasm_internal.wasm",
    "wasm/litert_wasm_threaded_internal.wasm",
)


@pytest.fixture
def site(tmp_path: Path) -> web.Site:
    """Without the real runtime and with the model as it is, which is enough for what is in the folder."""
    packed = no_runtime(tmp_path, *RUNTIME)
    item = artifact.load(ZOO / "digits-nano.tflite")
    card: Card = artifact.require_card(item, "")
    model = WebModel("digits-nano", item.path.read_bytes(), item, card)
    pictures = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28, 1)
    return web.Site((model,), Examples(pictures, np.array([7, 0, 1])), packed)


def test_the_folder_has_all_that_the_page_asks_for(site: web.Site) -> None:
    contents = web.files(site)
    asked = set()
    for path, data in contents.items():
        if not path.endswith((".js", ".html", ".webmanifest")) or path.startswith("runtime/"):
            continue
        here = Path(path).parent
        text = data.decode()
        for name in re.findall(r'(?:src=|href=)"([^"]+\.[a-z]+)"', text):
            asked.add((here / name).as_posix())
        for name, module in re.findall(r'URL\("([^"]+\.[a-z]+)", addressOf\("([^"]+)"\)', text):
            asked.add((Path(module).parent / name).as_posix())
    resolved = {Path("/", *Path(name).parts).resolve().relative_to("/").as_posix() for name in asked}
    # What the server has and a host has not, or what has another place in each browser.
    assert resolved - set(contents) == set()
    assert {"app/bundle.js", "app/manifest.webmanifest", "sw.js"} <= resolved
    assert "dashboard.html" not in contents
    assert not any("threaded" in path for path in contents)
    assert b"Apache License" in contents["runtime/LICENSE.txt"]


def test_the_page_s_modules_are_in_one_script_that_its_policy_names(site: web.Site) -> None:
    contents = web.files(site)
    named = base64.b64encode(hashlib.sha256(contents["app/bundle.js"]).digest()).decode()
    assert f" 'sha256-{named}';" in contents["index.html"].decode()
    scripts = {path for path in contents if path.endswith(".js") and not path.startswith("runtime/wasm/")}
    assert scripts == {"app/bundle.js", "sw.js"}


def test_models_json(site: web.Site) -> None:
    contents = web.files(site)
    [row] = json.loads(contents["models.json"])
    card = site.models[0].card
    assert contents[row["file"]] == site.models[0].data
    assert row["sha256"] == files.sha256_bytes(contents[row["file"]])
    assert (row["classes"], row["threshold"]) == (list(card.classes), card.least_confidence())
    assert row["preprocessing"]["ink_is_high"] is True
    assert row["input"] == {
        "dtype": "int8",
        "shape": [1, 28, 28, 1],
        "scale": pytest.approx(1 / 255),
        "zero_point": -128,
    }
    assert row["examples"]["labels"] == [7, 0, 1]
    assert contents[row["examples"]["file"]] == site.examples.images.tobytes()


def test_what_a_phone_keeps_is_another_version_as_soon_as_a_file_is_another(site: web.Site) -> None:
    worker = web.files(site)["sw.js"].decode()
    assert "$" not in re.sub(r"\$\{", "", worker)
    kept = json.loads(re.search(r"const FILES = (\[[^]]*\])", worker)[1])  # type: ignore[index]
    later = json.loads(re.search(r"const LATER = (\[[^]]*\])", worker)[1])  # type: ignore[index]
    assert sorted([*kept, *later, "sw.js", "README.md"]) == sorted(web.files(site))
    assert all(path.startswith("runtime/wasm/") for path in later)
    version = re.compile(r'const VERSION = "([0-9a-f]{16})"')
    again = web.files(site)["sw.js"].decode()
    assert version.search(again)[1] == version.search(worker)[1]  # type: ignore[index]
    other = web.Site(site.models, Examples(site.examples.images, np.array([7, 0, 2])), site.runtime)
    assert version.search(web.files(other)["sw.js"].decode())[1] != version.search(worker)[1]  # type: ignore[index]


def test_a_model_of_int8_becomes_one_of_uint8(tmp_path: Path) -> None:
    made = webmodel.prepare(artifact.load(ZOO / "digits-nano.tflite"), tmp_path)
    assert (made.card.input.dtype, made.card.output.dtype) == ("uint8", "uint8")
    assert made.card.sha256 == files.sha256_bytes(made.data)
    assert webmodel.row(made)["input"]["zero_point"] == 0


# ---------------------------------------------------------------- in a browser


@pytest.mark.browser
def test_in_flight_mode(phone: Callable[..., Phone], exported: Path) -> None:
    """Seen once, the host is gone for good: it is opened again, reads a digit, the camera, and measures itself."""
    here = phone()
    with hosted(exported) as port:
        here.open(f"http://127.0.0.1:{port}/")
        here.page.wait_for_selector("html[data-offline=ready]", timeout=60_000)
    here.page.close()
    here.page = here.context.new_page()
    here.open(f"http://127.0.0.1:{port}/index.html")
    here.page.tap("#tab-draw")
    here.page.focus("#paper")
    here.page.keyboard.press("3")
    here.reads("#draw-answer", lambda text: text == "3")
    here.page.tap("#tab-camera")
    here.page.tap("#camera-start")
    here.reads("#camera-answer", lambda text: text == WRITTEN)
    # What a static host cannot send, the service worker adds: a fine clock.
    assert here.page.evaluate("crossOriginIsolated") is True
    here.page.tap("#tab-bench")
    here.page.tap("#bench-start")
    rows = here.reads("#bench-rows", lambda text: text.count("whole frame p50") == 2, 60)
    right = [int(found) for found in re.findall(r"(\d+) of 100 \(", rows)]
    assert len(right) == 2
    assert min(right) >= 97


@pytest.mark.browser
def test_a_new_export_takes_the_old_one_s_place(
    phone: Callable[..., Phone], exported: Path, tmp_path: Path
) -> None:
    place = tmp_path / "site"
    shutil.copytree(exported, place)
    here = phone()
    keys = "caches.keys()"
    with hosted(place) as port:
        here.open(f"http://127.0.0.1:{port}/")
        here.page.wait_for_selector("html[data-offline=ready]", timeout=60_000)
        [before] = here.page.evaluate(keys)
        worker = (place / "sw.js").read_text()
        (place / "sw.js").write_text(re.sub(r'VERSION = "[0-9a-f]+"', 'VERSION = "0123456789abcdef"', worker))
        registration = "navigator.serviceWorker.getRegistration()"
        here.page.evaluate(f"{registration}.then((one) => one.update())")
        waits(here, f"{registration}.then((one) => one.waiting !== null)", True)
        # The page that is open goes on with its own; the next one that is opened has the new one.
        assert before in here.page.evaluate(keys)
        after = [before.replace(before.rsplit(" ", 1)[1], "0123456789abcdef")]
        end_s = time.monotonic() + 60
        found = [before]
        while found != after:
            assert time.monotonic() < end_s, found
            # Of a page that was closed the browser thinks for a moment that it is still open.
            here.page.close()
            here.page = here.context.new_page()
            here.page.wait_for_timeout(500)
            here.open(f"http://127.0.0.1:{port}/")
            found = here.page.evaluate(keys)


def waits(here: Phone, question: str, wanted: Any) -> None:
    end_s = time.monotonic() + 30
    while (found := here.page.evaluate(question)) != wanted:
        assert time.monotonic() < end_s, found
        here.page.wait_for_timeout(100)


@pytest.mark.browser
def test_the_command(litertjs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the runtime in the cache, with no network; again over its own folder, never over another's."""
    monkeypatch.setattr("edgebig.phone.runtime.ready", lambda cache, given=None: litertjs)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    arguments = ["export", "digits-nano", "--to", "web", "--examples", "50", "--out", "page"]
    for _ in range(2):
        done = runner.invoke(cli.app, arguments)
        assert done.exit_code == 0, done.output
    assert "reads 50 examples as digits-nano.tflite does" in done.stdout
    record = json.loads(Path("page/export.json").read_text())
    assert (record["target"], record["runtime"]["version"]) == ("web", "2.5.3")
    assert record["models"][0]["source"] == "digits-nano.tflite"
    Path("page/mine.txt").write_text("mine")
    done = runner.invoke(cli.app, arguments)
    assert (done.exit_code, Path("page/mine.txt").read_text()) == (1, "mine")
