"""Every figure in the README's table of recipes and in the recipes' headers is that of the records beside them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import mean

import pytest

from edgebig import artifact, measurement, recipe, runs
from edgebig.measurement import Measurement, ModelResult

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "docs" / "measurements"
SEEDS = (0, 1, 2)
# Of each recipe: the records that its int8 and its float32 model are in, and what the two are called.
MEASURED = {
    "digits": ("mnist-int8", "mnist-float32", "distil-int8", "distil-float32"),
    "digits-small": ("mnist-int8", "mnist-float32", "distil-int8", "distil-float32"),
    "digits-nano": ("mnist-int8", "mnist-float32", "distil-int8", "distil-float32"),
    "keras-convnet": ("mnist-int8", "mnist-float32", "int8", "float32"),
    "digits-quick": ("digits-quick", "digits-quick", "prune-int8", "float32"),
    "fashion": ("fashion", "fashion", "int8", "float32"),
    "article-mlp": ("article-mlp", "article-mlp", "int8", "float32"),
    "article-logistic": ("article-logistic", "article-logistic", "int8", "float32"),
}
TEACHER = "digits-teacher"  # of one seed, and float32 alone
# Judged by tools/judge_camera.py: of so many seeds, of which the first ships.
CAMERA = {"digits-camera": SEEDS, "digits-camera-small": SEEDS}
TEST_EXAMPLES = {"digits-quick": 1_000, "article-logistic": 2_115}
YARDSTICK = "keras-convnet"


@cache
def record(stem: str, seed: int) -> Measurement:
    return measurement.load(RECORDS / f"{stem}-seed{seed}.json")


def results(name: str, dtype: str) -> Iterator[ModelResult]:
    """Of each seed, from its record."""
    int8, float32, int8_file, float32_file = MEASURED[name]
    stem, file = (int8, int8_file) if dtype == "int8" else (float32, float32_file)
    for seed in SEEDS:
        (found,) = [
            model
            for model in record(stem, seed).models
            if Path(model.name).parts[-2].startswith(f"{name}-2") and Path(model.name).stem == file
        ]
        yield found


def percent(name: str, dtype: str) -> list[float]:
    accuracies = [model.accuracy for model in results(name, dtype)]
    return [round(100 * accuracy.value, 2) for accuracy in accuracies if accuracy is not None]


def share_of_the_yardstick(name: str, dtype: str) -> list[float]:
    """Of each seed: the time of one invoke as a share of keras-convnet's, from one session with both in turns."""
    stem = MEASURED[name][0 if dtype == "int8" else 1]
    return [
        comparison.ratio
        for seed in SEEDS
        for comparison in record(stem, seed).comparisons
        if Path(comparison.a).parts[-2].startswith(f"{name}-2")
        and Path(comparison.b).parts[-2].startswith(f"{YARDSTICK}-2")
    ]


@pytest.mark.parametrize("name", MEASURED)
def test_the_readme_says_what_the_records_say(name: str) -> None:
    (row,) = [
        line
        for line in (ROOT / "README.md").read_text("utf-8").splitlines()
        if line.startswith(f"| `{name}`")
    ]
    int8, float32 = percent(name, "int8"), percent(name, "float32")
    assert f"| {mean(int8):.2f} % ({', '.join(f'{value:.2f}' for value in int8)}) |" in row
    assert f"| {mean(float32):.2f} % |" in row
    times = [
        mean(model.latency.summary["invoke"].p50_ns for model in results(name, dtype)) / 1e3
        for dtype in ("int8", "float32")
    ]
    assert f"| {times[0]:.1f} / {times[1]:.1f} us |" in row
    sizes = {f"{model.size_bytes / 1e3:.1f} kB" for model in results(name, "int8")}
    assert any(size in row for size in sizes)
    assert len(sizes) == 1


@pytest.mark.parametrize("name", MEASURED)
def test_the_recipes_header_says_what_the_records_say(name: str) -> None:
    header = " ".join(recipe.header(ROOT / "recipes" / f"{name}.toml"))
    for dtype in ("int8", "float32"):
        values = percent(name, dtype)
        assert f"{mean(values):.2f} %" in header
        assert ", ".join(f"{value:.2f}" for value in values) in header


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_is_sound(name: str) -> None:
    for model in (*results(name, "int8"), *results(name, "float32")):
        assert model.verdict in ("OK", "PARTIAL")
        assert model.accuracy is not None
        assert model.accuracy.n == TEST_EXAMPLES.get(name, 10_000)
    others = [path.stem for path in (ROOT / "recipes").glob("*.toml") if path.stem not in MEASURED]
    assert sorted(others) == sorted([TEACHER, *CAMERA])


def test_the_teacher_is_what_its_header_says() -> None:
    (found,) = [
        model for model in record("mnist-float32", 0).models if Path(model.name).parts[-2].startswith(TEACHER)
    ]
    assert found.accuracy is not None
    assert f"{found.accuracy.value:.2%}".replace("%", " %") in " ".join(
        recipe.header(ROOT / "recipes" / f"{TEACHER}.toml")
    )


@pytest.mark.parametrize("name", CAMERA)
def test_the_camera_s_models_are_what_their_headers_say(name: str) -> None:
    of_seeds = [json.loads((RECORDS / f"{name}-seed{seed}.json").read_text("utf-8")) for seed in CAMERA[name]]
    assert [(found["model"], found["seed"]) for found in of_seeds] == [(name, seed) for seed in CAMERA[name]]
    accuracies = [round(100 * found["mnist_test"]["value"], 2) for found in of_seeds]
    judged = of_seeds[0]
    shipped = artifact.load(runs.zoo()[name])
    assert judged["sha256"] == shipped.sha256
    header = " ".join(recipe.header(ROOT / "recipes" / f"{name}.toml"))
    paper, photographs = judged["paper"], judged["photographs"].values()
    right, digits = (sum(photo[key] for photo in photographs) for key in ("right", "digits"))
    none, typeface = paper["others_taken_for_digits"], judged["typeface"]
    letters, glyphs = typeface["letters_alone"], typeface["taken_for_digits"]
    hands = judged["hands"]["taken_for_digits"]
    for claim in (
        f"int8 {shipped.path.stat().st_size / 1e3:.1f} kB: {mean(accuracies):.2f}%",
        ", ".join(f"{value:.2f}" for value in accuracies) if len(accuracies) > 1 else "one seed, 0",
        f"{paper['digits_kept_and_right']['share']:.2%} of {paper['digits_kept_and_right']['n']:,} digits on paper",
        f"{none['share']:.1%} of {none['n']:,} other things",
        f"{letters['share']:.1%} of {letters['n']:,} letters of a typeface",
        f"({glyphs['share']:.1%} of {glyphs['n']:,} with its signs",
        f"{hands['share']:.1%} of {hands['n']:,} letters of two hands",
        f"{right} of {digits} digits of three photographs, {sum(photo['false'] for photo in photographs)} false",
        f"{paper['calibration_on_paper']['error']:.4f} on paper",
        f"{paper['calibration_on_mnist_test']['error']:.4f} on MNIST",
    ):
        assert claim.replace("%", " %") in header, claim


def test_the_readme_says_what_the_camera_s_models_read_of_changed_photographs() -> None:
    told = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for name in CAMERA:
        judged = json.loads((RECORDS / f"{name}-photographs.json").read_text("utf-8"))
        assert judged["sha256"] == artifact.load(runs.zoo()[name]).sha256
        changes = judged["pages"].values()
        right, digits, false = (sum(change[key] for change in changes) for key in ("count", "n", "false"))
        assert f"{right:,} of {digits:,} digits, {false} false" in told


def test_the_camera_s_model_reads_mnist_as_well_as_digits_does() -> None:
    camera, plain = (
        artifact.require_card(artifact.load(runs.zoo()[name]), "") for name in ("digits-camera", "digits")
    )
    assert camera.host_accuracy.value >= plain.host_accuracy.value - 0.002


@pytest.mark.parametrize("seed", SEEDS)
def test_slim_makes_the_yardstick_faster_at_no_loss(seed: int) -> None:
    (comparison,) = record("keras-convnet-slim", seed).comparisons
    assert comparison.high is not None
    assert comparison.high <= 1 / 1.6
    assert comparison.accuracy_points is not None
    assert comparison.accuracy_points >= -0.1


def test_the_frontier_is_that_of_the_records_and_ours() -> None:
    spec = importlib.util.spec_from_file_location("make_frontier", ROOT / "tools" / "make_frontier.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tool  # dataclasses look their module up
    spec.loader.exec_module(tool)
    points = tool.points()
    assert (ROOT / "docs" / "frontier.md").read_text("utf-8") == tool.text(points)
    ours = [point for point in points if point.recipe in tool.OURS]
    for key in ("size_bytes", "time_us"):
        for theirs in (point for point in tool.frontier(points, key) if point not in ours):
            # Nothing of theirs is better at equal or better accuracy.
            assert all(theirs.accuracy < point.accuracy for point in ours), theirs


@pytest.mark.parametrize(
    ("name", "accuracy_percent", "size_kib", "share"),
    [
        ("digits", 99.62, 64, 0.75),
        ("digits-small", 99.58, 24, 0.5),
        ("digits-nano", 99.2, 8, 0.5),
        ("fashion", 92.0, 128, None),
    ],
)
def test_what_was_reached_holds(
    name: str, accuracy_percent: float, size_kib: int, share: float | None
) -> None:
    int8, float32 = percent(name, "int8"), percent(name, "float32")
    assert round(mean(int8), 2) >= accuracy_percent
    assert mean(float32) - mean(int8) <= 0.05
    assert all(model.size_bytes <= size_kib * 1024 for model in results(name, "int8"))
    for dtype in ("int8", "float32"):
        shares = share_of_the_yardstick(name, dtype) if share else []
        assert len(shares) == (len(SEEDS) if share else 0)
        assert all(found <= (share or 0) for found in shares)
