"""The import rules of the house, held by reading the source: arrows run one way, and TensorFlow has one door.

ROOMS is the table of docs/decisions.md. A new room is written down there first, then here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "edgebig"

# Every host room may import these, besides what ROOMS gives it.
COMMON = {"errors", "files", "recipe", "progress", "ondevice"}
WITHOUT_COMMON = {"", "errors", "files", "lookup", "recipe", "progress", "ondevice", "zoo", "data", "check"}
ANYTHING = {"*"}

ROOMS: dict[str, set[str]] = {
    "": set(),  # edgebig/__init__.py
    "errors": set(),
    "files": {"errors"},
    "lookup": {"errors"},
    "recipe": {"errors", "lookup"},
    "device": {"lookup"},
    "inventory": {"device", "lookup"},
    "progress": set(),
    "keras": set(),
    "stats": set(),
    "energy": {"stats"},
    "soak": {"stats"},
    "throttling": set(),
    "data": set(),  # the empty __init__: data.source must stay free of what data.pipeline needs
    "usercode": set(),
    "data.examples": set(),
    "data.idx": set(),
    "data.mnist": {"lookup", "data.examples", "data.idx"},
    "data.labelled": {"data.examples"},
    "data.arrays": {"data.examples", "data.idx", "data.labelled"},
    "data.listing": set(),
    "data.folder": {"data.listing"},
    "data.table": {"data.listing"},
    "data.mapped": {"lookup", "data.examples"},
    "data.decode": {"data.listing", "data.mapped"},
    "data.pictures": {
        "data.examples", "data.listing", "data.folder", "data.table", "data.mapped", "data.decode",
    },
    "data.own": {"usercode", "data.examples", "data.labelled"},
    "data.source": {
        "lookup", "data.examples", "data.idx", "data.mnist", "data.arrays", "data.pictures", "data.own",
    },
    "data.drift": {"data.examples"},
    "data.survey": {"data.examples", "data.drift"},
    "data.pen": {"data.examples"},
    "data.hershey": set(),
    "data.signs": {"data.hershey"},
    "data.photograph": {"data.pen"},
    "data.matching": {"data.photograph", "data.taught"},
    "data.paper": {
        "lookup", "data.examples", "data.taught", "data.pen", "data.hershey", "data.signs", "data.photograph",
        "data.matching",
    },
    "data.sample": {"data.examples", "data.paper", "data.pipeline"},
    "data.augment": {"keras", "usercode"},
    "data.taught": {"data.examples"},
    "data.pipeline": {"keras", "data.examples", "data.augment", "data.taught"},
    "models": {"keras", "usercode"},
    "artifact": {"flatbuffer"},
    "runs": {"artifact"},
    "start": {"artifact", "runs", "data.examples"},
    "fbreader": set(),
    "fbwriter": set(),
    "tflitefile": {"fbreader", "fbwriter"},
    "tflitegraph": {"tflitefile"},
    "flatbuffer": {"fbreader", "tflitefile"},
    "islands": {"flatbuffer", "tflitefile", "tflitegraph"},
    "metadata": {"fbreader", "tflitefile", "flatbuffer"},
    "check": set(),
    "check.tflite": {"data.examples", "stats"},
    "strip": {"tflitefile"},
    "rejection": {"artifact", "check.tflite", "data.examples", "data.paper"},
    "convert": {
        "keras", "strip", "flatbuffer", "islands", "metadata", "artifact", "rejection", "data.examples", "stats",
        "check.tflite",
    },
    "check.activations": set(),
    "check.matching": {"tflitegraph"},
    "check.cut": {"tflitefile", "tflitegraph"},
    "check.signal": {"tflitegraph"},
    "check.keras": {"keras", "check.matching"},
    "check.running": {
        "tflitefile", "tflitegraph", "data.examples", "environment", "check.activations", "check.matching", "check.cut",
        "check.signal",
    },
    "check.layers": {
        "tflitefile", "tflitegraph", "check.running", "check.matching", "check.cut", "check.signal",
    },
    "comparison": {
        "artifact", "evaluation", "lookup", "runs", "stats", "data.examples", "check.layers", "check.running",
    },
    "checkpoint": set(),
    "tensorboard": {"keras"},
    "objective": {"keras", "usercode", "data.taught"},
    "train": {
        "keras", "objective", "checkpoint", "tensorboard", "data.examples", "data.paper", "data.pipeline",
        "data.taught", "models", "usercode", "artifact", "runs", "convert", "start",
    },
    "keras3": {"keras"},
    "cost": {"keras"},
    "adopt": {
        "keras", "keras3", "models", "data.examples", "artifact", "runs", "convert", "flatbuffer", "metadata",
        "check.tflite", "tflitefile", "stats",
    },
    "compress": {
        "train", "models", "keras", "keras3", "cost", "objective", "data.examples", "data.paper", "data.pipeline",
        "data.taught",
        "data.source", "convert", "check.tflite", "check.keras", "artifact", "runs", "stats", "lookup", "checkpoint",
        "flatbuffer", "tflitefile", "tflitegraph", "usercode",
    },
    "environment": {"lookup"},
    "micro": {"tflitefile", "environment", "lookup"},
    "targets": {"flatbuffer", "tflitefile", "strip", "artifact", "metadata", "check.tflite"},
    "inspection": {"tflitefile", "tflitegraph", "flatbuffer", "metadata"},
    "export": {
        "tflitefile", "flatbuffer", "strip", "metadata", "artifact", "targets", "environment", "micro", "data.examples",
        "check.tflite", "phone",
    },
    "ondevice": set(),
    "phone": set(),
    "adbserver": set(),
    "drivers": {"adbserver", "device", "lookup", "environment", "flatbuffer", "micro", "phone"},
    "setup": {"device", "drivers", "environment", "lookup"},
    "project": set(),
    "predict": {"artifact", "device", "drivers", "lookup"},
    "camera": {"artifact", "device", "drivers", "lookup", "predict"},
    "measurement": {"artifact", "stats", "energy", "soak", "check.tflite", "drivers", "micro", "profile"},
    "profile": {"drivers"},
    "delegation": {"device", "drivers", "measurement", "check.tflite"},
    "partial": {"drivers", "measurement"},
    "collecting": {"drivers", "micro"},
    "results": {
        "artifact", "check.tflite", "collecting", "delegation", "device", "drivers", "energy", "measurement", "micro",
        "profile", "soak", "stats", "throttling",
    },
    "bench": {
        "artifact", "collecting", "data.examples", "data.source", "delegation", "device", "drivers",
        "lookup", "measurement", "partial", "results",
    },
    "group": {"device"},
    "phones": {"device", "drivers", "bench", "measurement", "partial"},
    "phonepage": {"artifact", "bench", "device", "drivers", "export", "measurement", "phones", "runs", "targets"},
    "sweep": {"device", "drivers", "bench", "collecting", "measurement", "partial", "stats"},
    "probe": {"device", "drivers", "artifact", "bench", "collecting", "group", "runs"},
    "enrol": {"device", "drivers", "inventory", "probe", "setup"},
    "campaign": {
        "adbserver", "device", "drivers", "artifact", "bench", "group", "inventory", "measurement", "partial", "phones",
        "probe", "runs", "sweep", "targets",
    },
    "resuming": {
        "device", "drivers", "artifact", "bench", "campaign", "group", "measurement", "partial", "runs", "sweep",
    },
    "comparing": {"measurement", "stats"},
    "bounds": {"measurement", "stats"},
    "blame": {
        "device", "drivers", "lookup", "artifact", "metadata", "bench", "collecting", "stats", "data.examples",
        "check.tflite",
    },
    "evaluation": {"artifact", "device", "drivers", "lookup", "stats", "data.examples"},
    "report": {
        "energy", "soak", "throttling",
        "flatbuffer",
        "measurement", "profile", "stats", "evaluation", "artifact", "data.examples", "data.survey", "inspection",
        "comparison", "comparing", "bounds", "blame",
        "check.layers", "check.matching", "check.signal", "check.tflite", "campaign", "sweep", "probe",
    },
    "search": {"train", "compress", "bench", "report"},
    "doctor": {"adbserver", "lookup", "device", "phone"},
    "zoo": set(),
    "cli": ANYTHING,
    "__main__": {"cli"},
}  # fmt: skip

# Where a module of a package is a room of its own.
OWN_ROOMS = {"data", "check"}

# By name, since ondevice runs where there is no edgebig: ondevice/keras_model.py imports TensorFlow as a runtime.
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"}
MAY_IMPORT_KERAS_ROOM = {
    "data.augment",
    "data.pipeline",
    "models",
    "objective",
    "tensorboard",
    "train",
    "compress",
    "convert",
    "check.keras",
    "keras3",
    "cost",
    "adopt",
}
RUNTIMES = {"ai_edge_litert", "tflite_runtime"}
THIRD_PARTY = {"numpy", "PIL", "typer", "click", "pydantic", "rich", "tomli", "flatbuffers"} | RUNTIMES
THIRD_PARTY_OF = {
    "": set(),
    "errors": set(),
    "files": set(),
    "lookup": set(),
    "progress": {"rich"},
    "keras": TENSORFLOW,
    "data.examples": {"numpy"},
    "data.idx": {"numpy"},
    "data.mnist": {"numpy"},
    "data.labelled": {"numpy"},
    "data.arrays": {"numpy"},
    "data.listing": {"numpy"},
    "data.folder": {"numpy"},
    "data.table": {"numpy"},
    "data.mapped": {"numpy"},
    "data.decode": {"PIL"},
    "data.pictures": {"numpy"},
    "data.own": {"numpy"},
    "data.source": {"numpy"},
    "data.drift": {"numpy"},
    "data.survey": {"numpy"},
    "data.sample": {"numpy"},
    "data.pen": {"numpy", "PIL"},
    "data.hershey": {"numpy"},
    "data.signs": {"numpy"},
    "data.photograph": {"numpy", "PIL"},
    "data.matching": {"numpy", "PIL"},
    "data.paper": {"numpy", "PIL"},
    "compress": THIRD_PARTY | {"litert_quantizer"},
    "setup": set(),
    "ondevice": {"numpy", "PIL", "cv2", "picamera2"} | RUNTIMES,
    "phone": {"starlette", "uvicorn", "h11", "segno", "cryptography"},
    "camera": {"PIL"},
    "check.activations": {"numpy", "tflite_micro"} | RUNTIMES,
    "export": {"numpy"},
    "micro": {"numpy", "tflite_micro"},  # the second in the child alone, which an environment of its own runs
}
NEWER_THAN_PYTHON_3_9 = {"tomllib"}


class Import(NamedTuple):
    """`module` at `where` imports `target`, a dotted name that is absolute."""

    module: str
    target: str
    relative: bool
    where: str


def all_modules() -> list[tuple[str, Path]]:
    """-> ("data.source", its path) of every module; a package's __init__ has the package's name."""
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        modules.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return modules


MODULES = all_modules()
NAMES = {name for name, _ in MODULES}


def room_of(module: str) -> str:
    """data.source -> data.source, models.digit_cnn -> models, drivers.browser -> drivers.browser."""
    first = module.partition(".")[0]
    return module if module in ROOMS or first in OWN_ROOMS else first


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """All imports, those inside functions and under TYPE_CHECKING too."""
    package = ["edgebig", *(module.split(".") if module else [])]
    if path.name != "__init__.py":
        package = package[:-1]
    file = path.relative_to(ROOT)
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, False, f"{file}:{node.lineno}")
        elif isinstance(node, ast.ImportFrom):
            where = f"{file}:{node.lineno}"
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{origin}.{alias.name}"
                is_module = deeper.removeprefix("edgebig.") in NAMES and deeper.startswith("edgebig.")
                yield Import(module, deeper if is_module else origin, node.level > 0, where)


@cache
def all_imports() -> tuple[Import, ...]:
    """Of all modules; a second of work, so not when the tests are collected."""
    return tuple(found for name, path in MODULES for found in imports_of(name, path))


def is_edgebig(target: str) -> bool:
    return target == "edgebig" or target.startswith("edgebig.")


def test_every_module_has_a_room() -> None:
    homeless = [str(path.relative_to(ROOT)) for name, path in MODULES if room_of(name) not in ROOMS]
    assert not homeless, (
        f"in no room: {', '.join(homeless)}. Write down in docs/decisions.md what flows in, what flows out and "
        "what it may import, then add it to ROOMS in tests/test_architecture.py."
    )


def test_every_room_is_written_down() -> None:
    written = set((ROOT / "docs" / "decisions.md").read_text("utf-8").split("`")[1::2])
    rooms = {room_of(name) for name, _ in MODULES} - {"", "__main__", "data", "check"}
    missing = sorted(
        room for room in rooms if not {f"{room.replace('.', '/')}.py", f"{room.replace('.', '/')}/"} & written
    )
    assert not missing, f"docs/decisions.md says nothing of {', '.join(missing)}"


def test_the_table_of_rooms_runs_one_way() -> None:
    arrows = {
        room: (allowed - ANYTHING) | (set() if room in WITHOUT_COMMON else COMMON)
        for room, allowed in ROOMS.items()
    }
    assert set().union(*arrows.values()) <= set(ROOMS)
    list(TopologicalSorter(arrows).static_order())  # raises CycleError with the circle


def test_imports_follow_the_arrows() -> None:
    faults = []
    for found in all_imports():
        free = (
            found.target == "edgebig" and room_of(found.module) != "ondevice"
        )  # `from edgebig import __version__`
        if free or not is_edgebig(found.target):
            continue
        here, there = room_of(found.module), room_of(found.target.removeprefix("edgebig").removeprefix("."))
        allowed = ROOMS.get(here, ANYTHING) | (set() if here in WITHOUT_COMMON else COMMON)
        if here != there and not allowed & ({there} | ANYTHING):
            faults.append(f"{found.where}: {here} may not import {there}")
    assert not faults, "\n".join(["against the arrows of docs/decisions.md:", *faults])


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        if is_edgebig(found.target):
            target = found.target.removeprefix("edgebig").removeprefix(".")
            # `models/__init__` may hand out its own files, which need its name only to be found.
            if target != found.module and not found.module.startswith(f"{target}.") and target in NAMES:
                graph.setdefault(found.module, set()).add(target)
    list(TopologicalSorter(graph).static_order())


def test_tensorflow_has_one_door() -> None:
    faults = [
        f"{found.where}: imports {found.target}; only edgebig/keras.py may"
        for found in all_imports()
        if found.target.split(".")[0] in TENSORFLOW and room_of(found.module) != "keras"
    ]
    faults += [
        f"{found.where}: {room_of(found.module)} may not use TensorFlow"
        for found in all_imports()
        if found.target == "edgebig.keras" and room_of(found.module) not in MAY_IMPORT_KERAS_ROOM
    ]
    assert not faults, "\n".join(faults)


def test_third_party_imports_are_dependencies() -> None:
    faults = []
    for found in all_imports():
        top = found.target.split(".")[0]
        if top in sys.stdlib_module_names or top in ("edgebig", "tomllib") or found.relative:
            continue
        if top not in THIRD_PARTY_OF.get(room_of(found.module), THIRD_PARTY) and top not in TENSORFLOW:
            faults.append(f"{found.where}: {room_of(found.module)} may not import {top}")
    assert not faults, "\n".join(faults)


def test_the_package_itself_imports_nothing() -> None:
    assert [found for found in all_imports() if found.module == "" and found.target != "__future__"] == []


def test_ondevice_is_a_folder_that_can_be_copied() -> None:
    faults = []
    for found in all_imports():
        if room_of(found.module) == "ondevice" and is_edgebig(found.target):
            if not found.relative:
                faults.append(
                    f"{found.where}: write it as a relative import: the folder runs under other names too"
                )
            elif not found.target.startswith("edgebig.ondevice"):
                faults.append(f"{found.where}: ondevice may import nothing of edgebig")
        if room_of(found.module) == "ondevice" and found.target.split(".")[0] in NEWER_THAN_PYTHON_3_9:
            faults.append(f"{found.where}: {found.target} is not in Python 3.9")
    assert not faults, "\n".join(faults)


ONDEVICE = [pytest.param(path, id=path.name) for name, path in MODULES if room_of(name) == "ondevice"]


@pytest.mark.parametrize("path", ONDEVICE)
def test_ondevice_is_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 9))
    postponed = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    assert postponed or not tree.body or not any(isinstance(node, ast.FunctionDef) for node in tree.body), (
        f"{path.name} needs `from __future__ import annotations`: Python 3.9 cannot evaluate `int | None`"
    )
    newer = {"zip": {"strict"}, "dataclass": {"slots", "kw_only", "match_args"}}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            used = {keyword.arg for keyword in node.keywords} & newer.get(name, set())
            assert not used, f"{path.name}:{node.lineno}: {name}({used.pop()}=) is not in Python 3.9"


def test_the_cli_loads_nothing_heavy() -> None:
    modules = sorted(f"edgebig.{name}" for name in NAMES if room_of(name) == "cli")
    code = f"""if True:
        import importlib, sys
        for name in {modules!r}:
            importlib.import_module(name)
        print(*sorted({{"numpy", "tensorflow", "keras", "tf_keras", "pydantic", "PIL"}} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"`edgebig --help` would load {done.stdout.strip()}"
