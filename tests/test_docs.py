"""What is written from the code is what the code would write."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def reference() -> Any:
    path = ROOT / "tools" / "make_recipe_reference.py"
    spec = importlib.util.spec_from_file_location("make_recipe_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_recipes_is_current(reference: Any) -> None:
    assert (ROOT / "docs" / "recipe.md").read_text("utf-8") == reference.text(), (
        "run .venv/bin/python tools/make_recipe_reference.py"
    )


def test_every_key_says_what_it_means(reference: Any) -> None:
    rows = [line for line in reference.text().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert not [row for row in rows if row.endswith("|  |") or "| ?" in row]
