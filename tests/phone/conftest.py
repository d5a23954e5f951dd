"""Chromium as a phone, with a camera that sees paper; LiteRT.js from the user's cache; the page in a folder."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from edgebig import artifact
from edgebig.data.examples import Examples
from edgebig.export import folder, web, webmodel
from edgebig.phone import runtime
from edgebig.phone.runtime import Runtime

ZOO = Path(artifact.__file__).parent / "zoo"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    # A name that is no localhost, so that http to it is no secure context.
    "--host-resolver-rules=MAP phone.test 127.0.0.1",
]
WRITTEN = "30718"
SIZES = {"small": (320, 568), "tall": (412, 915), "small on its side": (568, 320), "wide": (915, 412)}


@pytest.fixture(scope="session")
def litertjs(users_environment: dict[str, str]) -> Runtime:
    """LiteRT.js, fetched once into the user's own cache (mark it `browser` or `network`)."""
    caches = users_environment.get("XDG_CACHE_HOME") or Path(users_environment["HOME"], ".cache")
    return runtime.ready(Path(caches, "edgebig"))


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node") or shutil.which("nodejs")
    if found is None:
        pytest.skip("needs Node.js")
    return found


@dataclass(frozen=True)
class Digits:
    """uint8 (N, 28, 28, 1) and their labels (N,), of the embedded digits."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@functools.cache
def embedded(split: int) -> Digits:
    """`split`: 0 train, 1 validation, 2 test."""
    kept = np.load(ZOO / "digits-5k.npz")
    mine = kept["split"] == split
    return Digits(kept["images"][mine][..., np.newaxis], kept["labels"][mine].astype(np.int64))


def paper(text: str, width: int = 640, height: int = 480, seed: int = 4) -> Image.Image:
    """Grey: digits of the training split in a row on paper that a shadow lies over, as a camera sees it."""
    draw, train = np.random.default_rng(seed), embedded(0)
    ink = np.zeros((height, width), np.float32)
    size, step = 84, (width - 40) // len(text)
    for place, digit in enumerate(text):
        one = draw.choice(np.flatnonzero(train.labels == int(digit)))
        picture = Image.fromarray(train.images[one, :, :, 0]).resize((size, size), Image.Resampling.BICUBIC)
        x, y = 30 + place * step, height // 2 - size // 2 + int(draw.integers(-12, 12))
        ink[y : y + size, x : x + size] = np.maximum(ink[y : y + size, x : x + size], picture)
    light = np.linspace(225, 165, width)[np.newaxis] * np.linspace(1.0, 0.9, height)[:, np.newaxis]
    light[:, int(0.55 * width) :] *= 0.78
    seen = light * (1 - 0.8 * ink / 255) + draw.normal(0, 2, ink.shape)
    return Image.fromarray(seen.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))


def write_y4m(path: Path, frames: list[Image.Image]) -> None:
    """As Chromium's fake camera reads it: YUV 4:2:0, here without colour."""
    width, height = frames[0].size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + frame.tobytes() + b"\x80" * (width * height // 2))


@pytest.fixture(scope="session")
def chromium(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera sees WRITTEN on paper, moving a little, and may be used."""
    seen = tmp_path_factory.mktemp("camera") / "paper.y4m"
    still = paper(WRITTEN)
    write_y4m(
        seen,
        [
            still.transform(still.size, Image.Transform.AFFINE, (1, 0, dx, 0, 1, 0), fillcolor=200)
            for dx in (0, 1)
        ],
    )
    with launched(
        playwright,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={seen}",
    ) as browser:
        yield browser


@contextmanager
def launched(playwright: Any, *switches: str) -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    browser = playwright.chromium.launch(executable_path=program, args=[*SWITCHES, *switches])
    try:
        yield browser
    finally:
        browser.close()


class Phone:
    """A page in a context of its own. `told`: its warnings and errors on the console, and what it threw."""

    def __init__(self, browser: Any, **options: Any) -> None:
        as_a_phone = {"viewport": {"width": 412, "height": 915}, "has_touch": True, "is_mobile": True}
        self.context = browser.new_context(**{**as_a_phone, **options})
        self.page = self.context.new_page()
        self.told: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.told.append(str(error)))

    def _hear(self, message: Any) -> None:
        # Chromium says this of every machine without a GPU.
        if message.type in ("warning", "error") and message.text != "No available adapters.":
            self.told.append(message.text)

    def open(self, url: str) -> Any:
        """The page, as soon as its model is there."""
        self.page.goto(url)
        self.page.wait_for_selector("html[data-reader=ready]", timeout=60_000)
        return self.page

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text()).strip()

    def reads(self, selector: str, wanted: Callable[[str], bool], limit_s: float = 30) -> str:
        """The text there, once it is as wanted; else what it was at last, and the test fails."""
        end_s = time.monotonic() + limit_s
        while not wanted(text := self.text(selector)):
            assert time.monotonic() < end_s, f"{selector} says {text!r}; {self.told}"
            # By the page's clock, in which playwright hears events.
            self.page.wait_for_timeout(100)
        return text


@pytest.fixture
def phone(chromium: Any) -> Iterator[Callable[..., Phone]]:
    """Makes phones; options as of a browser's context."""
    made: list[Phone] = []

    def make(**options: Any) -> Phone:
        made.append(Phone(chromium, **options))
        return made[-1]

    yield make
    for one in made:
        one.context.close()


@pytest.fixture(scope="session")
def exported(litertjs: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `edgebig export digits digits-nano --to web` writes."""
    place = tmp_path_factory.mktemp("web")
    models = []
    for name in ("digits", "digits-nano"):
        (place / name).mkdir()
        models.append(webmodel.prepare(artifact.load(ZOO / f"{name}.tflite"), place / name))
    test = embedded(2)
    site = web.Site(tuple(models), Examples(test.images[:100], test.labels[:100]), litertjs)
    folder.write(place / "site", web.files(site), {"target": "web", **web.record(site)})
    return place / "site"


@contextmanager
def hosted(site: Path) -> Iterator[int]:
    """A static host that knows nothing of us; its port, on 127.0.0.1."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def site(exported: Path) -> Iterator[int]:
    """The port where the exported folder is served."""
    with hosted(exported) as port:
        yield port


@pytest.fixture
def page(phone: Callable[..., Phone], site: int) -> Phone:
    opened = phone()
    opened.open(f"http://127.0.0.1:{site}/")
    return opened
