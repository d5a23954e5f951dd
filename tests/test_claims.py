"""Every figure in the README's table of recipes and in the recipes' headers is that of the records beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

from edgebig import measurement, recipe
from edgebig.measurement import ModelResult

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "docs" / "measurements"
SEEDS = (0, 1, 2)
INT8 = {"digits": "int8", "keras-convnet": "int8", "digits-quick": "prune-int8"}


def results(name: str, variant: str) -> Iterator[ModelResult]:
    """Of each seed, from its record."""
    record = "digits-quick" if name == "digits-quick" else "digits-and-keras-convnet"
    for seed in SEEDS:
        measured = measurement.load(RECORDS / f"{record}-seed{seed}.json")
        yield next(
            model
            for model in measured.models
            if Path(model.name).parts[-2].startswith(f"{name}-2") and Path(model.name).stem == variant
        )


def percent(name: str, variant: str) -> list[float]:
    accuracies = [model.accuracy for model in results(name, variant)]
    return [round(100 * accuracy.value, 2) for accuracy in accuracies if accuracy is not None]


@pytest.mark.parametrize("name", INT8)
def test_the_readme_says_what_the_records_say(name: str) -> None:
    (row,) = [
        line
        for line in (ROOT / "README.md").read_text("utf-8").splitlines()
        if line.startswith(f"| `{name}`")
    ]
    int8, float32 = percent(name, INT8[name]), percent(name, "float32")
    assert f"| {mean(int8):.2f} % ({', '.join(f'{value:.2f}' for value in int8)}) |" in row
    assert f"| {mean(float32):.2f} % |" in row
    times = [
        mean(model.latency.summary["invoke"].p50_ns for model in results(name, variant)) / 1e3
        for variant in (INT8[name], "float32")
    ]
    assert f"| {times[0]:.1f} / {times[1]:.1f} us |" in row
    sizes = {f"{model.size_bytes / 1e3:.1f} kB" for model in results(name, INT8[name])}
    assert any(size in row for size in sizes)
    assert len(sizes) == 1


@pytest.mark.parametrize("name", INT8)
def test_the_recipes_header_says_what_the_records_say(name: str) -> None:
    header = " ".join(recipe.header(ROOT / "recipes" / f"{name}.toml"))
    for variant in (INT8[name], "float32"):
        values = percent(name, variant)
        assert f"{mean(values):.2f} %" in header
        assert ", ".join(f"{value:.2f}" for value in values) in header


def test_what_was_promised_of_digits_holds() -> None:
    int8, float32 = percent("digits", "int8"), percent("digits", "float32")
    assert mean(int8) >= 99.4
    assert mean(float32) - mean(int8) <= 0.05
    for name, variant in INT8.items():
        for model in (*results(name, variant), *results(name, "float32")):
            assert model.verdict in ("OK", "PARTIAL")
            assert model.accuracy is not None
            assert model.accuracy.n == (1000 if name == "digits-quick" else 10_000)
