#!/usr/bin/env python3
"""Draws the frontier of the digits from the bench records: docs/frontier.svg, and the table in docs/frontier.md.

    .venv/bin/python tools/make_frontier.py

Accuracy on MNIST's 10,000 test digits (mean of three seeds) against the bytes of the .tflite and against the time of
one invoke, for every variant that the records mnist-*-seed*.json and article-mlp-seed*.json hold.
tests/test_claims.py fails where the table is not what this writes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from edgebig import measurement
from edgebig.measurement import ModelResult

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "measurements"
TABLE = ROOT / "docs" / "frontier.md"
PLOT = ROOT / "docs" / "frontier.svg"
OURS = ("digits", "digits-small", "digits-nano", "digits-teacher")
STEPS = {
    "float32": "trained",
    "distil-float32": "distilled",
    "distil-int8": "distilled, int8",
    "int8": "int8",
    "slim-float32": "half its multiplications",
    "slim-int8": "half its multiplications, int8",
}
OPENING = """\
# The frontier of the digits

Every variant and step of the shipped recipes on full MNIST, and the two yardsticks: accuracy on the 10,000 test
digits, the bytes of the .tflite, and the time of one invoke (p50, one thread of an AMD EPYC, ai-edge-litert, XNNPACK),
means over the seeds, all models of one type in turns in one session. A star marks the frontier of bytes, a circle
that of time: no other model here is as good or better in accuracy and better in that. Written by
`tools/make_frontier.py` from docs/measurements/mnist-*-seed*.json and article-mlp-seed*.json.

![accuracy against bytes and against time](frontier.svg)
"""


@dataclass(frozen=True)
class Point:
    """A variant: means over the seeds. accuracy in percent, size in bytes, time in microseconds."""

    recipe: str
    variant: str
    seeds: int
    accuracy: float
    size_bytes: float
    time_us: float

    @property
    def name(self) -> str:
        return f"{self.recipe}, {STEPS[self.variant]}"


def points() -> list[Point]:
    """Of all models in the records, the most accurate first."""
    found: dict[tuple[str, str], list[ModelResult]] = defaultdict(list)
    for path in sorted([*RECORDS.glob("mnist-*-seed*.json"), *RECORDS.glob("article-mlp-seed*.json")]):
        for model in measurement.load(path).models:
            run, file = Path(model.name).parts[-2:]
            # runs/digits-small-20261125-012345/int8.tflite
            found[run.rsplit("-", 2)[0], Path(file).stem].append(model)
    made = [_point(recipe, variant, models) for (recipe, variant), models in found.items()]
    return sorted(made, key=lambda point: (-point.accuracy, point.size_bytes))


def _point(recipe: str, variant: str, models: list[ModelResult]) -> Point:
    accuracies = [model.accuracy.value for model in models if model.accuracy is not None]
    times = [model.latency.summary["invoke"].p50_ns / 1e3 for model in models]
    return Point(
        recipe, variant, len(models), 100 * mean(accuracies), mean(m.size_bytes for m in models), mean(times)
    )


def frontier(all_points: list[Point], key: str) -> list[Point]:
    """Those that no other is at least as accurate as and better in `key`."""
    return [
        point
        for point in all_points
        if not any(
            other.accuracy >= point.accuracy and getattr(other, key) < getattr(point, key)
            for other in all_points
        )
    ]


def text(all_points: list[Point]) -> str:
    by_size, by_time = frontier(all_points, "size_bytes"), frontier(all_points, "time_us")
    lines = [OPENING, "| model | seeds | accuracy | size | one invoke | |", "|---|---|---|---|---|---|"]
    for point in all_points:
        marks = " ".join([*(["*"] if point in by_size else []), *(["o"] if point in by_time else [])])
        lines.append(
            f"| {point.name} | {point.seeds} | {point.accuracy:.2f} % | {point.size_bytes / 1e3:.1f} kB | "
            f"{point.time_us:.1f} us | {marks} |"
        )
    return "\n".join(lines) + "\n"


def draw(all_points: list[Point], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    # The same bytes from the same figures.
    mpl.rcParams["svg.hashsalt"] = "edgebig"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    for axis, key, label in (
        (axes[0], "size_bytes", "bytes of the .tflite"),
        (axes[1], "time_us", "one invoke, microseconds (p50)"),
    ):
        edge = sorted(frontier(all_points, key), key=lambda point: float(getattr(point, key)))
        axis.step(
            [getattr(point, key) for point in edge], [100 - point.accuracy for point in edge], where="post",
            color="0.6", linewidth=1, zorder=1,
        )  # fmt: skip
        for point in all_points:
            ours = point.recipe in OURS
            axis.scatter(
                getattr(point, key), 100 - point.accuracy, s=36, zorder=2,
                color="tab:blue" if ours else "tab:red", marker="o" if "int8" in point.variant else "s",
            )  # fmt: skip
            # int8 and float of one recipe lie beside each other: their names one below, one above the points.
            below = "int8" in point.variant
            axis.annotate(
                point.name, (getattr(point, key), 100 - point.accuracy), fontsize=7, textcoords="offset points",
                xytext=(-3, -11 if below else 6), ha="right" if point.recipe == "digits-teacher" else "left",
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(label)
        axis.grid(visible=True, which="both", color="0.92")
    axes[0].set_ylabel("errors, % of 10,000 test digits")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter("{x:g}")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    found = points()
    TABLE.write_text(text(found), encoding="utf-8")
    draw(found, PLOT)
    print(TABLE)
    print(PLOT)
