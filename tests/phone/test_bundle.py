"""The page's modules as one script: what it does is what they do, and what cannot be strung together is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgebig.phone import assets, bundle, server
from edgebig.phone.hub import Hub
from edgebig.phone.serving import serving
from tests.phone.client import Client, no_runtime

MAIN = """// The page.
import { shown as told, Counter } from "./parts/shown.js";
import * as rest from "./parts/rest.js";
import {
  doubled,
  where,
} from "./parts/rest.js";

export const unused = 1;
const all = [told(3), new Counter().next(), rest.doubled(2), doubled(4), where, Object.keys(rest)];
console.log(JSON.stringify(all));
"""
PARTS = {
    "app/parts/shown.js": """import { doubled } from "./rest.js";
export { doubled as twice } from "./rest.js";
let count = 40;
export class Counter {
  next() {
    return ++count;
  }
}
export async function* never() {}
export function shown(value) {
  return `import me: ${doubled(value)}`;
}
""",
    "app/parts/rest.js": """const doubled = (value) => 2 * value;
export const where = new URL("../../x.png", import.meta.url).href;
export { doubled, doubled as again };
//# sourceMappingURL=rest.js.map
""",
}
WORKER = "self.worker = true;\n"


def modules(main: str = MAIN, **more: str) -> dict[str, str]:
    return {"app/main.js": main, "app/worker.js": WORKER, **PARTS, **more}


def strung(told: dict[str, str]) -> str:
    return bundle.strung(told, "app/main.js", "app/worker.js")


@pytest.fixture(scope="module")
def run(node: str) -> Any:
    def run(script: str, world: dict[str, Any]) -> str:
        """What it prints where `self` is of these values."""
        code = f"globalThis.self = globalThis; Object.assign(globalThis, {json.dumps(world)});\n{script}"
        done = subprocess.run([node, "-e", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_does_on_a_page_what_its_modules_do(run: Any) -> None:
    told = run(strung(modules()), {"document": {"baseURI": "https://host/at/index.html#t=a"}})
    assert json.loads(told) == [
        "import me: 6", 41, 4, 8, "https://host/at/x.png", ["doubled", "again", "where"],
    ]  # fmt: skip


def test_a_worker_begins_elsewhere(run: Any) -> None:
    text = strung(modules()) + "console.log(self.worker, self.edgebigBase);"
    assert run(text, {"edgebigBase": "https://host/"}) == "true https://host/\n"


def test_what_nobody_imports_is_left_out() -> None:
    assert "lonely" not in strung(modules(**{"app/lonely.js": "export const lonely = 1;\n"}))


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ("export let count = 1;\n", "export let count = 1;"),
        ("export default 3;\n", "export default 3;"),
        ('import "./parts/rest.js";\n', 'import "./parts/rest.js"'),
        ('import rest from "./parts/rest.js";\n', "nothing that can be strung together"),
        ('const late = await import("./parts/rest.js");\n', "import("),
        ("export const { a, b } = {};\n", "nothing that can be strung together"),
        ("function need() {}\n", "function need"),
        ('import { a } from "bare";\n', "no path from there"),
        ('import { a } from "./absent.js";\n', "app/absent.js: not there, and app/main.js needs it"),
        ('import { a } from "./ring.js";\n', "in a ring"),
    ],
)  # fmt: skip
def test_what_is_written_otherwise_is_refused(main: str, words: str) -> None:
    ring = 'import { unused } from "./main.js";\nexport const a = 1;\n'
    with pytest.raises(ValueError, match="app/") as refused:
        strung(modules(main, **{"app/ring.js": ring}))
    assert words in str(refused.value)


def test_the_page_s_own_modules_can_be_strung_together(tmp_path: Path) -> None:
    found = assets.load(no_runtime(tmp_path))
    script = found[assets.BUNDLE].content().decode()
    for path in (
        "app/main.js",
        "app/camera.js",
        "app/process.js",
        "preprocess/kernels_wasm.js",
        "runtime/index.js",
    ):
        assert f'modules["{path}"] = ' in script
    assert "dashboard" not in script
    page = found[assets.PAGE].content().decode()
    named = re.findall(r"'(sha256-[^']+)'", assets.policy_of(found))
    [boot] = re.findall(r"<script>(.*)</script>", page, re.S)
    [style] = re.findall(r"<style>(.*)</style>", page, re.S)
    assert named == [assets.source_of(text) for text in (boot, script, style)]
    assert assets.is_within_page("app/camera.js")
    assert not assets.is_within_page("app/bundle.js")


@pytest.mark.parametrize("text", ["</script>", "</STYLE", "<!--"])
def test_what_would_end_within_the_page_is_refused(tmp_path: Path, text: str) -> None:
    static = tmp_path / "static"
    shutil.copytree(assets.STATIC, static)
    with (static / "app" / "kept.js").open("a") as file:
        file.write(f"const text = '{text}';\n")
    with pytest.raises(ValueError, match="end within the page"):
        assets.load(no_runtime(tmp_path), static)


def test_the_server_says_of_the_page_what_it_says_of_itself(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="needs uvicorn")
    site = server.Site(assets.load(no_runtime(tmp_path)))
    with serving(site, Hub("page", 1), "127.0.0.1", None) as served:
        answer = Client(served).request("GET", "/", token=False)
    policy = answer.headers["content-security-policy"]
    assert policy == assets.policy_of(site.assets) + "; frame-ancestors 'none'"
    assert "script-src 'self' 'wasm-unsafe-eval' 'sha256-" in policy
    assert "unsafe-inline" not in policy
    assert "blob:" not in re.findall(r"script-src ([^;]+)", policy)[0]
