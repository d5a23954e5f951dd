"""Models in a page that any https host serves: the phone's page, LiteRT.js, and what keeps them for flight mode."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgebig
from edgebig import files as filing
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.errors import EdgebigError
from edgebig.export import micro, template, webmodel
from edgebig.export.webmodel import WebModel
from edgebig.phone import assets, runtime

# A host has no bench to look on at.
_NOT_FOR_A_HOST = ("dashboard.html",)
# What needs headers that a static host does not send; the page asks for one thread there.
_NEEDS_HEADERS = "threaded"


@dataclass(frozen=True)
class Site:
    """The models, each in the browser's form, and examples for the page's own measurement."""

    models: tuple[WebModel, ...]
    examples: Examples
    runtime: runtime.Runtime

    def verdicts(self) -> list[str]:
        """A line for each model."""
        n = f"{len(self.examples):,} examples"
        return [
            f"{template.plain(model.name)}: reads {n} as {template.plain(model.source.path.name)} does, by the "
            "reference kernels on the host"
            for model in self.models
        ]


def prepare(items: Sequence[Artifact], examples: Examples, cache: Path, given: Path | None) -> Site:
    """`examples`: which each model must read as its source does. `cache`, `given`: as runtime.ready has them.

    Raises EdgebigError where a model has no card or no form for a browser, or an example is read otherwise; and what
    runtime.ready raises.
    """
    models = []
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        for number, item in enumerate(items):
            place = Path(folder, str(number))
            place.mkdir()
            made = webmodel.prepare(item, place)
            micro.check_answers(item, made.data, made.card, examples, "a browser")
            models.append(made)
    if len({model.card.sha256 for model in models}) != len(models):
        raise EdgebigError("the same model is named twice", "name each once")
    return Site(tuple(models), examples, runtime.ready(cache, given))


def files(site: Site) -> dict[str, bytes]:
    """Everything that is to be served, by its path in the folder."""
    contents = {
        path: asset.content()
        for path, asset in assets.load(site.runtime).items()
        if not (path in _NOT_FOR_A_HOST or assets.is_within_page(path) or _NEEDS_HEADERS in path)
    }
    pixels = np.ascontiguousarray(site.examples.images, np.uint8).tobytes()
    place = f"examples/{filing.sha256_bytes(pixels)[:16]}.u8"
    labels = [int(label) for label in site.examples.labels]
    rows = [{**webmodel.row(model), "examples": {"file": place, "labels": labels}} for model in site.models]
    contents["runtime/LICENSE.txt"] = (template.FOLDER / "apache-2.0.txt").read_bytes()
    contents["models.json"] = (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()
    contents[place] = pixels
    contents |= {model.file: model.data for model in site.models}
    version = _version_of(contents)
    contents["sw.js"] = template.filled("sw.js", _kept(contents, version))
    contents["README.md"] = template.filled("web.md", _words(site, version))
    return contents


def _version_of(contents: Mapping[str, bytes]) -> str:
    """16 hex digits that are others as soon as a file is."""
    told = "".join(f"{path} {filing.sha256_bytes(data)}\n" for path, data in sorted(contents.items()))
    return filing.sha256_bytes(told.encode())[:16]


def _kept(contents: Mapping[str, bytes], version: str) -> dict[str, str]:
    """The words of the service worker: a phone keeps all but the runtime's variants, of which it needs one."""
    later = [path for path in contents if path.startswith("runtime/wasm/")]
    return {
        "version": edgebig.__version__,
        "hash": version,
        "files": json.dumps(sorted(set(contents) - set(later)), indent=1),
        "later": json.dumps(sorted(later), indent=1),
    }


def _words(site: Site, version: str) -> dict[str, str]:
    names = [template.plain(model.name) for model in site.models]
    return {
        "version": edgebig.__version__,
        "title": names[0],
        "n": f"{len(site.examples):,}",
        "runtime": runtime.VERSION,
        "hash": version,
        "verdicts": "\n".join(f"- {verdict}" for verdict in site.verdicts()),
    }


def record(site: Site) -> dict[str, Any]:
    return {
        "models": [
            {
                "source": model.source.path.name,
                "source_sha256": model.source.sha256,
                "sha256": model.card.sha256,
                "size_bytes": len(model.data),
            }
            for model in site.models
        ],
        "runtime": {"name": runtime.CORE.name, "version": runtime.VERSION, "sha512": runtime.CORE.sha512},
        "check": {"against": "reference kernels", "n": len(site.examples), "labels_differ": 0},
    }
