"""The modules of edgebig.compress that are functions of numbers alone, without the package, which brings TensorFlow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[2] / "edgebig" / "compress"


def load(name: str) -> ModuleType:
    """edgebig/compress/<name>.py by its path: `import edgebig.compress.<name>` would run the package's __init__."""
    spec = importlib.util.spec_from_file_location(f"compress_{name}_alone", PACKAGE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
