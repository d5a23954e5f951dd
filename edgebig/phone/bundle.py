"""ES modules strung together into one script, which a page can keep and a policy can name by its hash.

The modules stay what they are; what stands here understands only how the page's are written, and refuses whatever else
it meets. Each becomes a function of its own, called once, by the first that needs it.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence

_NAME = r"[A-Za-z_$][\w$]*"
_LIST = r"\{([\w$\s,]*)\}"
_IMPORT = re.compile(rf'^import (?:{_LIST}|\* as ({_NAME})) from "([^"]+)";$', re.M)
_PASSED_ON = re.compile(rf'^export {_LIST} from "([^"]+)";$', re.M)
_EXPORTED = re.compile(rf"^export {_LIST};$", re.M)
_DECLARED = re.compile(rf"^export ((?:async )?function\*?|class|const) ({_NAME})", re.M)
_LEFT = re.compile(r"^(?:import|export)\b.*|\bimport\s*\(.*", re.M)
# What a module must not call something of its own.
_TAKEN = re.compile(r"^(?:const|let|var|class|(?:async )?function\*?) (need|addressOf|exports)\b", re.M)
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.M)

# `base`: where the page lies. A Worker's script has no address that would tell it, so that crew.js writes it before it.
_HEAD = """// Made by edgebig of its page's modules, and of LiteRT.js (Apache-2.0) where that is one, as they are.
(() => {
"use strict";
const base = self.edgebigBase ?? document.baseURI;
const modules = {};
const made = {};
const need = (path) => (made[path] ??= modules[path]({}));
const addressOf = (path) => new URL(path, base).href;
"""
_TAIL = """need(self.document ? {page} : {worker});
}})();
"""


def strung(modules: Mapping[str, str], page: str, worker: str | None = None) -> str:
    """`modules`: sources by their paths; `page`, `worker`: which of them it starts in a page and in a Worker. What
    neither needs is left out.

    Raises ValueError of what is written otherwise than the page's modules are, of imports in a ring, and of a module
    that is not there.
    """
    parts = [
        f"modules[{json.dumps(path)}] = (exports) => {{\n{_as_function(path, modules[path])}return exports;\n}};\n"
        for path in _needed(modules, [page, worker or page])
    ]
    return "".join([_HEAD, *parts, _TAIL.format(page=json.dumps(page), worker=json.dumps(worker or page))])


def _needed(modules: Mapping[str, str], entries: Sequence[str]) -> list[str]:
    """The paths of the entries and of all that they import, each behind what it imports. Raises as `strung`."""
    order: list[str] = []
    for entry in entries:
        _visit(entry, modules, order, ())
    return order


def _visit(path: str, modules: Mapping[str, str], order: list[str], above: tuple[str, ...]) -> None:
    if path in above:
        raise ValueError(f"{path}: imported in a ring, by {' -> '.join(above)}")
    if path in order:
        return
    if path not in modules:
        raise ValueError(f"{path}: not there, and {above[-1] if above else 'the page'} needs it")
    text = modules[path]
    asked = [match[3] for match in _IMPORT.finditer(text)] + [match[2] for match in _PASSED_ON.finditer(text)]
    for name in asked:
        _visit(_resolved(path, name), modules, order, (*above, path))
    order.append(path)


def _resolved(importer: str, name: str) -> str:
    if not name.startswith(("./", "../")):
        raise ValueError(f"{importer}: imports {name!r}, which is no path from there")
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), name))


def _as_function(path: str, text: str) -> str:
    """A module's body, in which imports are constants and exports are handed out at its end."""
    exports: list[str] = []

    def imported(match: re.Match[str]) -> str:
        found = f"need({json.dumps(_resolved(path, match[3]))});"
        if match[2]:
            return f"const {match[2]} = {found}"
        return "const { " + ", ".join(": ".join(pair) for pair in _pairs(match[1])) + " } = " + found

    def passed_on(match: re.Match[str]) -> str:
        found = f"need({json.dumps(_resolved(path, match[2]))})"
        exports.extend(f"{theirs}: {found}.{ours}" for ours, theirs in _pairs(match[1]))
        return ""

    def exported(match: re.Match[str]) -> str:
        exports.extend(f"{theirs}: {ours}" for ours, theirs in _pairs(match[1]))
        return ""

    def declared(match: re.Match[str]) -> str:
        exports.append(match[2])
        return f"{match[1]} {match[2]}"

    for pattern, change in (
        (_IMPORT, imported), (_PASSED_ON, passed_on), (_EXPORTED, exported), (_DECLARED, declared),
    ):  # fmt: skip
        text = pattern.sub(change, text)
    text = _SOURCE_MAP.sub("", text).replace("import.meta.url", f"addressOf({json.dumps(path)})")
    if left := _LEFT.search(text) or _TAKEN.search(text):
        raise ValueError(f"{path}: {left[0].strip()!r} is nothing that can be strung together")
    given = f"Object.assign(exports, {{ {', '.join(exports)} }});\n" if exports else ""
    return f"{text.rstrip()}\n{given}"


def _pairs(names: str) -> list[tuple[str, str]]:
    """`a, b as c` -> (a, a), (b, c)."""
    pairs = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        ours, _, theirs = name.partition(" as ")
        pairs.append((ours.strip(), theirs.strip() or ours.strip()))
    return pairs
