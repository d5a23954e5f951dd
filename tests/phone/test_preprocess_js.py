"""The page finds the digits that Python finds, to the bit: by kept answers and live, with SIMD and without."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edgebig import phone
from tests.boards import tool

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path(phone.__file__).parent / "static" / "preprocess"
RUNNER = Path(__file__).parent / "preprocess_runner.mjs"
GOLDEN = ROOT / "tests/golden/preprocess"

Bytes = npt.NDArray[np.uint8]
Answers = Callable[..., list[dict[str, Any]]]
NAMES = sorted(path.stem for path in GOLDEN.glob("*.png"))


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's modules where every Node takes them for modules: a browser needs no package.json."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(MODULES, folder / "preprocess")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "preprocess" / "index.js"


@pytest.fixture(scope="session")
def page(node: str, modules: Path) -> Answers:
    """Frames, uint8 (H, W) or RGBA (H, W, 4) -> what the page makes of each, all in one process."""

    def run(frames: list[Bytes], plain: bool = False) -> list[dict[str, Any]]:
        head = [{"width": f.shape[1], "height": f.shape[0], "channels": f.size // (f.shape[0] * f.shape[1])}
                for f in frames]  # fmt: skip
        given = json.dumps(head).encode() + b"\n" + b"".join(f.tobytes() for f in frames)
        command = [node, str(RUNNER), str(modules), *(["plain"] if plain else [])]
        ran = subprocess.run(command, check=False, input=given, capture_output=True, timeout=300)
        assert ran.returncode == 0, ran.stderr.decode()[-2000:]
        answers = [json.loads(line) for line in ran.stdout.splitlines()]
        assert len(answers) == len(frames)
        return answers

    return run


def kept() -> dict[str, dict[str, Any]]:
    frames: dict[str, dict[str, Any]] = json.loads((GOLDEN / "answers.json").read_text())["frames"]
    return frames


def frame(name: str) -> Bytes:
    return np.array(Image.open(GOLDEN / f"{name}.png"))


def python(grey_u8: Bytes) -> dict[str, Any]:
    answer: dict[str, Any] = tool("golden_preprocess").answer(grey_u8)
    return answer


def pixels(digit: dict[str, Any]) -> npt.NDArray[np.int64]:
    """Of an answer of either side: int64 (784,)."""
    text = digit["image"]
    image = bytes.fromhex(text) if re.fullmatch("[0-9a-f]{1568}", text) else zlib.decompress(b64decode(text))
    return np.frombuffer(image, np.uint8).astype(np.int64)


def hold(name: str, expected: dict[str, Any], got: dict[str, Any]) -> None:
    """Names the first step that parts."""
    for ours, theirs in zip(expected["steps"], got["steps"], strict=True):
        assert ours == theirs, f"{name}: {ours['name']} is the first step that is another"
    boxes = [[(digit["box"], digit["line"]) for digit in side["digits"]] for side in (expected, got)]
    assert boxes[0] == boxes[1], name
    for ours, theirs in zip(expected["digits"], got["digits"], strict=True):
        apart = np.abs(pixels(ours) - pixels(theirs)).max()
        assert apart == 0, f"{name}: the digit at {ours['box']} is up to {apart} of 255 another"


@pytest.mark.parametrize("name", NAMES)
def test_python_gives_the_kept_answers(name: str) -> None:
    hold(name, kept()[name], python(frame(name)))


@pytest.mark.browser
@pytest.mark.parametrize("plain", [False, True], ids=["simd", "plain"])
def test_the_page_gives_the_kept_answers(page: Answers, plain: bool) -> None:
    for name, got in zip(NAMES, page([frame(name) for name in NAMES], plain), strict=True):
        hold(name, kept()[name], got)


def noisy(rng: np.random.Generator) -> Bytes:
    """Blocks of any size, grey or of two greys, with a gradient or specks: what no page is, and every step sees."""
    height, width = (int(side) for side in rng.integers(1, 160, 2))
    block = int(rng.integers(1, 9))
    small = rng.integers(0, 256, (height // block + 1, width // block + 1), np.uint8)
    grey = np.kron(small, np.ones((block, block), np.uint8))[:height, :width].astype(np.int64)
    kind = int(rng.integers(4))
    if kind == 1:
        grey = np.where(grey > rng.integers(90, 250), 60, 200)
    elif kind == 2:
        grey = 180 - grey // 30 + np.arange(width) * 60 // width
    elif kind == 3:
        grey = np.where(rng.random((height, width)) < 0.02, 0, 230 - grey // 60)
    return np.ascontiguousarray(np.clip(grey, 0, 255).astype(np.uint8))


@pytest.mark.browser
def test_noise_of_any_size_is_read_alike(page: Answers) -> None:
    rng = np.random.default_rng(20261127)
    frames = [noisy(rng) for _ in range(40)]
    answers = page(frames)
    for number, (grey, got) in enumerate(zip(frames, answers, strict=True)):
        hold(f"noise {number} {grey.shape}", python(grey), got)
    assert page(frames, plain=True) == answers
    assert sum(len(answer["digits"]) for answer in answers) > 50


@pytest.mark.browser
def test_frames_of_a_camera_are_read_alike_and_left_alone(page: Answers) -> None:
    pages = tool("synthetic_pages")
    frames = {
        kind: pages.page(kind, 4711).grey_u8 for kind in ("page", "shadow", "squared", "desk", "touching")
    }
    answers = page(list(frames.values()))
    for (kind, grey), got in zip(frames.items(), answers, strict=True):
        hold(kind, python(grey), got)
        assert got["kept"], kind
    assert sum(len(answer["digits"]) for answer in answers) > 40


@pytest.mark.browser
def test_what_is_hard_to_search_is_read_alike(page: Answers) -> None:
    y, x = np.mgrid[:300, :400]
    frames = {
        "a checkerboard": np.where((x // 3 + y // 3) % 2, 20, 240),
        "squares": np.where((x % 17 < 2) | (y % 17 < 2), 90, 230),
        "dots": np.where((x % 9 < 5) & (y % 9 < 5), 40, 220),
        "strokes": np.where((x % 11 < 3) & (y % 40 < 30), 40, 220),
        "one grey": np.full((300, 400), 77),
        "a column": np.where(np.arange(900) % 50 < 30, 200, 60)[:, None],
    }
    greys = [np.ascontiguousarray(grey.astype(np.uint8)) for grey in frames.values()]
    for name, grey, got in zip(frames, greys, page(greys), strict=True):
        hold(name, python(grey), got)


@pytest.mark.browser
def test_photographs_are_read_alike(page: Answers, shared: Path) -> None:
    photos = list(tool("photographs").upright(shared / "data" / "photos"))
    for photo, got in zip(photos, page([photo.grey_u8 for photo in photos]), strict=True):
        hold(photo.name, python(photo.grey_u8), got)
        assert len(got["digits"]) > 10, photo.name


@pytest.mark.browser
def test_grey_is_pillows(page: Answers) -> None:
    rgba = np.random.default_rng(5).integers(0, 256, (97, 131, 4), np.uint8)
    grey = np.array(Image.fromarray(rgba[..., :3]).convert("L"))
    (answer,) = page([rgba])
    assert answer["steps"][0]["sha256"] == hashlib.sha256(grey.tobytes()).hexdigest()


@pytest.mark.browser
@pytest.mark.parametrize(
    "wrong",
    [
        "findDigits({ width: 4, height: 4, data: new Uint8Array(15) })",
        "findDigits({ width: 4, height: 4, data: new Float32Array(16) })",
        "findDigits({ width: 0, height: 4, data: new Uint8Array(0) })",
        "findDigits({ width: 2.5, height: 2, data: new Uint8Array(5) })",
        "findDigits({ width: 4, height: 4 })",
        "greyOf(new Uint8Array(16), 4, 4)",
    ],
)
def test_what_is_no_grey_picture_is_refused(node: str, modules: Path, wrong: str) -> None:
    script = f'import {{ findDigits, greyOf }} from "{modules.as_uri()}"; {wrong};'
    command = [node, "--input-type=module", "-e", script]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "TypeError: " in ran.stderr
    assert "needed" in ran.stderr


IN_PAGE = """async ([width, height, pixels]) => {
  const { findDigits } = await import("/index.js");
  const { kernels } = await import("/simd.js");
  const found = findDigits({ width, height, data: Uint8Array.from(pixels) });
  return [kernels(0) !== null, found.map(({ box, line, image }) => ({ box, line, image: [...image] }))];
}"""


@pytest.mark.browser
@pytest.mark.parametrize("allowed", [True, False])
def test_a_browser_reads_alike_whether_it_may_compile_or_not(chromium: Any, allowed: bool) -> None:
    def answer(route: Any) -> None:
        path = MODULES / route.request.url.rsplit("/", 1)[1]
        policy = "script-src 'self'" + (" 'wasm-unsafe-eval'" if allowed else "")
        headers = {"content-security-policy": policy}
        if path.is_file():
            route.fulfill(path=path, content_type="text/javascript")
        else:
            route.fulfill(
                body="<!doctype html><title>page</title>", content_type="text/html", headers=headers
            )

    grey = frame("five")
    tab = chromium.new_page()
    tab.route("**/*", answer)
    tab.goto("https://page.test/")
    with_simd, found = tab.evaluate(IN_PAGE, [*grey.shape[::-1], grey.ravel().tolist()])
    tab.close()
    assert with_simd == allowed
    expected = kept()["five"]["digits"]
    assert found == [{**digit, "image": pixels(digit).tolist()} for digit in expected]


TWINS = {"edges": "strokes", "lines": "strokes"}
NUMBER = r"^(?:export )?(?:const )?([A-Z][A-Z_]*) = (-?[\d.]+);?(?: |$)"


@pytest.mark.parametrize("name", sorted(path.stem for path in MODULES.glob("*.js")))
def test_constants_are_those_of_the_python_twin(name: str) -> None:
    twin = ROOT / "edgebig/ondevice" / f"{TWINS.get(name, name)}.py"
    if name in ("index", "grey", "scratch", "simd", "kernels_wasm"):
        assert not twin.exists()
        return
    ours = dict(re.findall(NUMBER, twin.read_text(), re.M))
    theirs = dict(re.findall(NUMBER, (MODULES / f"{name}.js").read_text(), re.M))
    page_only = {"shaping": {"SIDE"}, "touching": {"FAR"}}.get(name, set())
    assert {key: float(value) for key, value in theirs.items() if key not in page_only}.items() <= {
        key: float(value) for key, value in ours.items()
    }.items()


def test_the_kernels_are_made_from_their_source() -> None:
    source = hashlib.sha256((ROOT / "tools/preprocess_kernels.c").read_bytes()).hexdigest()
    assert source in (MODULES / "kernels_wasm.js").read_text(), "run tools/make_kernels.py"
