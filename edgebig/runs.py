"""Run folders: runs/<recipe>-<YYYYMMDD-HHMMSS>/, and `latest`, the last finished one."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebig import artifact, files, recipe
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.recipe import Recipe

ROOT = Path("runs")
LATEST = "latest"
ZOO = Path(__file__).parent / "zoo"
# What the models of the zoo are tested with where their own test set is not at hand: it is embedded, and all that
# ships was trained without it.
ZOO_SOURCE = "digits-5k"
# The first that the package has.
_CAMERA_MODELS = ("digits-camera", "digits")
_DATA_LINE = "# data: "
METRICS_SCHEMA = 1


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


def create(spec: Recipe, root: Path = ROOT, data: Path | None = None) -> Run:
    """A new run folder with the resolved recipe in it. Two that start in one second get two folders."""
    folder = files.dated_folder(root, f"{spec.name}-")
    try:
        files.write_text(folder / "recipe.toml", _opening(spec, data) + recipe.to_toml(spec))
    except OSError:
        folder.rmdir()
        raise
    return Run(folder, spec)


def _opening(spec: Recipe, data: Path | None) -> str:
    where = str(data.absolute()) if data else ""
    return f"# recipe: {spec.name}\n" + (f"{_DATA_LINE}{where}\n" if where and where.isprintable() else "")


def data_folder(folder: Path) -> Path | None:
    """The --data that the run in `folder` was trained with, so that it need not be given again, or None."""
    path = folder / "recipe.toml"
    lines = path.read_text(encoding="utf-8").splitlines()[:2] if path.is_file() else []
    found = [Path(line.removeprefix(_DATA_LINE)) for line in lines if line.startswith(_DATA_LINE)]
    return found[0] if found and found[0].is_dir() else None


@contextlib.contextmanager
def training(run: Run) -> Iterator[None]:
    """Holds the run while it is trained. Raises EdgebigError where another process trains it."""
    with (run.folder / "recipe.toml").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgebigError(
                f"{run.folder}: another process is training it", "wait for it, or stop it"
            ) from error
        yield


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
    return _read(locate(name, root))


def locate(name: str | None, root: Path = ROOT) -> Path:
    """The folder of the run of that name or path, whatever state it is in. Raises EdgebigError where there is none."""
    if name is None:
        name = LATEST
    folder = _named(name, root)
    if folder is None:
        raise _not_found(name, root)
    # Resolve `latest`, so that what is made from a run keeps that run's own name.
    if folder.name == LATEST and folder.is_symlink():
        folder = folder.parent / folder.readlink()
    return folder


def _named(name: str, root: Path) -> Path | None:
    """The run folder of that path, else of that name in `root`."""
    return next((path for path in (Path(name), root / name) if (path / "recipe.toml").is_file()), None)


def _not_found(name: str, root: Path) -> EdgebigError:
    mend = "'edgebig runs' lists those that are there"
    link = root / LATEST
    if name != LATEST:
        close = difflib.get_close_matches(name, [*(path.name for path in _folders(root)), *zoo()], n=1)
        guess = f" (did you mean '{close[0]}'?)" if close else ""
        return EdgebigError(f"no run '{name}'{guess}", mend)
    if link.is_symlink():
        return EdgebigError(f"{link}: the run it points to, {link.readlink()}, is gone", f"name one: {mend}")
    return EdgebigError(f"no finished run in {root}/", "make one: edgebig train digits-quick")


def _read(folder: Path) -> Run:
    path = folder / "recipe.toml"
    tables = recipe.read_toml(path)
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    name = first.removeprefix("# recipe:").strip() if first.startswith("# recipe:") else folder.name
    return Run(folder, recipe.parse(tables, name, file=str(path), hint="undo the change to the file"))


def finished(name: str | None, root: Path = ROOT) -> Run:
    """Like `load`, but refuses a run whose training has not come to its end."""
    run = load(name, root)
    if not run.finished:
        raise EdgebigError(
            f"{run.folder}: its training has not finished", f"edgebig train --resume {run.folder}"
        )
    return run


def newest_variant(run: Run) -> Path:
    """The newest .tflite of a run; one with other I/O or for a target is the same model in another dress: name it."""
    variants = [path for path in run.variants() if "-io-" not in path.stem and "-for-" not in path.stem]
    if not variants:
        raise EdgebigError(
            f"{run.folder}: no .tflite in it", "edgebig train makes one, edgebig compress another"
        )
    return variants[-1]


def zoo() -> dict[str, Path]:
    """The trained models that come with edgebig, by name."""
    return {path.stem: path for path in sorted(ZOO.glob("*.tflite"))}


def camera_model() -> str:
    """What a camera's pictures are read with where nobody names a model: of the zoo's, one that was taught them."""
    shipped = zoo()
    return next(name for name in _CAMERA_MODELS if name in shipped)


def in_zoo(path: Path) -> bool:
    return path.parent == ZOO


def usual_source(paths: Iterable[Path], data: Path | None) -> str | None:
    """What models are tested with where nobody says it: None is their own data, whose files may be fetched first.

    Those of the zoo, and what was made of them, work with what is in the package, until MNIST's files are named.
    """
    at_hand = data is not None or "EDGEBIG_DATA" in os.environ
    of_zoo = all(in_zoo(path) or path.parent == ROOT / "zoo" for path in paths)
    return ZOO_SOURCE if not at_hand and of_zoo else None


def usual_data(paths: Sequence[Path], data: Path | None) -> tuple[Path | None, str | None]:
    """The folder and the source that models are tested with where only `data`, or nothing, is said of them."""
    return data or data_folder(paths[0].parent), usual_source(paths, data)


def beside(path: Path) -> Path:
    """The folder for what is made from the model at `path`: its own, but nothing is written into the package."""
    return ROOT / "zoo" if in_zoo(path) else path.parent


def resolve_model(name: str | None, choose: Callable[[Run], Path] = newest_variant) -> Path:
    """The .tflite that MODEL names: a file, the one that `choose` takes of a run, or one of the zoo; it says which
    where the user did not. Without a name it is of the last run.
    """
    if name is not None and (name.endswith(".tflite") or Path(name).is_file()):
        path = Path(name)
        # `latest` will point elsewhere tomorrow, and a record names its models.
        link = path.parent
        return (
            link.parent / link.readlink() / path.name if link.name == LATEST and link.is_symlink() else path
        )
    shipped = zoo()
    if name in shipped and _named(name, ROOT) is None:
        return shipped[name]
    path = choose(finished(name))
    say(f"model: {path}")
    return path


def list_all(root: Path = ROOT) -> list[Path]:
    """The folder of every run under `root`, in the order in which they were started."""
    return [
        path
        for _, path in sorted(((path / "recipe.toml").stat().st_mtime_ns, path) for path in _folders(root))
    ]


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if path.name != LATEST and (path / "recipe.toml").is_file()]


def remove(folder: Path, root: Path = ROOT) -> None:
    """Deletes a run folder of `root`, and `latest` where it pointed there.

    Raises EdgebigError where it is not a folder in `root` itself: a link leads to what another owns, and a folder
    elsewhere that happens to hold a recipe.toml may hold a user's work.
    """
    if folder.is_symlink() or folder.resolve().parent != root.resolve():
        raise EdgebigError(f"{folder}: not a folder in {root}/ itself", "delete it by hand if you mean it")
    link = root / LATEST
    if link.is_symlink() and link.resolve() == folder.resolve():
        link.unlink()
    # recipe.toml goes last: a run that is half deleted is still listed, and can be deleted again.
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "recipe.toml":
            path.unlink()
    shutil.rmtree(folder)


def of_recipe(name: str, root: Path = ROOT) -> Iterator[Run]:
    """The finished runs of the recipe of that name, newest first. One that cannot be read hides no other."""
    for folder in reversed(list_all(root)):
        with contextlib.suppress(EdgebigError):
            run = _read(folder)
            if run.finished and run.recipe.name == name:
                yield run


def by_recipe(name: str, root: Path, beside: Run) -> Run | None:
    """The finished run of that name or path, else the last one of the recipe of that name, which is not `beside`."""
    if _named(name, root) is not None:
        return finished(name, root)
    others = (run for run in of_recipe(name, root) if run.folder.resolve() != beside.folder.resolve())
    return next(others, None)


def overview(root: Path = ROOT) -> list[dict[str, object]]:
    """The `summary` of every run under `root`. One that cannot be read says why, and does not hide the others."""
    rows = []
    for folder in list_all(root):
        try:
            rows.append(summary(_read(folder)))
        except EdgebigError as error:
            rows.append(_row(folder, problem=error.problem))
    return rows


def summary(run: Run) -> dict[str, object]:
    """What `edgebig runs` shows of a run. Raises EdgebigError where a record in it is damaged."""
    cards = [artifact.read_card(path.with_suffix(".json")) for path in run.variants()]
    metrics = artifact.read_json(run.metrics_path, METRICS_SCHEMA, "metrics file") if run.finished else None
    variants = [
        {
            "variant": card.variant,
            "size_bytes": card.size_bytes,
            "accuracy": card.host_accuracy.value,
            "n": card.host_accuracy.n,
        }
        for card in cards
    ]
    return {**_row(run.folder), "recipe": run.recipe.name, "metrics": metrics, "variants": variants}


def _row(folder: Path, problem: str = "") -> dict[str, object]:
    return {
        "run": folder.name,
        "folder": str(folder),
        "recipe": None,
        "finished": (folder / "metrics.json").is_file(),
        "problem": problem,
        "metrics": None,
        "variants": [],
    }
