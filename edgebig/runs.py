"""Run folders: runs/<recipe>-<YYYYMMDD-HHMMSS>/, and `latest`, the last finished one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from edgebig import artifact, files, recipe
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Recipe

ROOT = Path("runs")
LATEST = "latest"


@dataclass(frozen=True)
class Run:
    """A run folder and its resolved recipe."""

    folder: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model_path(self) -> Path:
        return self.folder / "model.keras"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.npz"

    @property
    def finished(self) -> bool:
        return self.metrics_path.is_file()

    def variants(self) -> list[Path]:
        """Its .tflite files with a card, oldest first."""
        whole = [path for path in self.folder.glob("*.tflite") if path.with_suffix(".json").is_file()]
        return sorted(whole, key=lambda path: (path.stat().st_mtime_ns, path.name))


def create(spec: Recipe, root: Path = ROOT) -> Run:
    """A new run folder with the resolved recipe in it. Two that start in one second get two folders."""
    stem = f"{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    root.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 100):
        folder = root / (stem if attempt == 1 else f"{stem}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            files.write_text(folder / "recipe.toml", f"# recipe: {spec.name}\n" + recipe.to_toml(spec))
            return Run(folder, spec)
    raise EdgebigError(f"{root}/{stem}: taken a hundred times over", "wait a second and try again")


def finish(run: Run, metrics: dict[str, object]) -> None:
    """Writes metrics.json, which makes the run a finished one, and points `latest` to it."""
    files.write_json(run.metrics_path, metrics)
    link = run.folder.parent / LATEST
    temporary = run.folder.parent / f".{LATEST}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(run.folder.name)
    temporary.replace(link)


def load(name: str | None, root: Path = ROOT) -> Run:
    """The run of that name or path; None is the last finished one. Raises EdgebigError."""
    if name is None:
        name = LATEST
        if not (root / LATEST).exists():
            raise EdgebigError(f"no finished run in {root}/", "make one: edgebig train digits-quick")
    folder = next((path for path in (Path(name), root / name) if (path / "recipe.toml").is_file()), None)
    if folder is None:
        raise EdgebigError(f"no run '{name}'", "'edgebig runs' lists those that are there")
    # Resolve `latest`, so that what is made from a run keeps that run's own name.
    if folder.is_symlink():
        folder = folder.parent / folder.readlink()
    path = folder / "recipe.toml"
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    name = first.removeprefix("# recipe:").strip() if first.startswith("# recipe:") else folder.name
    return Run(folder, recipe.parse(recipe.read_toml(path), name, file=str(path)))


def finished(name: str | None, root: Path = ROOT) -> Run:
    """Like `load`, but refuses a run whose training has not come to its end."""
    run = load(name, root)
    if not run.finished:
        raise EdgebigError(
            f"{run.folder}: its training has not finished", f"edgebig train --resume {run.folder}"
        )
    return run


def newest_variant(run: Run) -> Path:
    variants = run.variants()
    if not variants:
        raise EdgebigError(
            f"{run.folder}: no .tflite in it", "edgebig train makes one, edgebig compress another"
        )
    return variants[-1]


def resolve_model(name: str | None) -> Path:
    """The .tflite that MODEL names: a file, or the newest one of a run; it says which where the user did not."""
    if name is not None and (name.endswith(".tflite") or Path(name).is_file()):
        return Path(name)
    path = newest_variant(finished(name))
    say(f"model: {path}")
    return path


def list_all(root: Path = ROOT) -> list[Run]:
    """Every run under `root`, oldest first."""
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if not path.is_symlink() and (path / "recipe.toml").is_file()]
    return [
        load(str(path)) for path in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))
    ]


def remove(run: Run) -> None:
    """Deletes a run folder, and `latest` where it pointed there."""
    link = run.folder.parent / LATEST
    if link.is_symlink() and link.readlink().name == run.folder.name:
        link.unlink()
    shutil.rmtree(run.folder)


def summary(run: Run) -> dict[str, object]:
    """What `edgebig runs` shows of a run."""
    cards = [artifact.read_card(path.with_suffix(".json")) for path in run.variants()]
    metrics = json.loads(run.metrics_path.read_text(encoding="utf-8")) if run.finished else None
    return {
        "run": run.name,
        "folder": str(run.folder),
        "recipe": run.recipe.name,
        "finished": run.finished,
        "metrics": metrics,
        "variants": [
            {
                "variant": card.variant,
                "size_bytes": card.size_bytes,
                "accuracy": card.host_accuracy.value,
                "n": card.host_accuracy.n,
            }
            for card in cards
        ],
    }
