"""An evaluation as text for people, and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebig import files
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples
from edgebig.evaluation import Result
from edgebig.evaluation.record import Paired, Spread, comparisons, figures, recall_spreads, spreads
from edgebig.evaluation.scores import ClassScore, Evaluation, calibration, class_scores, confusions
from edgebig.report import words
from edgebig.report.columns import columns
from edgebig.report.confusion import confusion_png
from edgebig.report.misread import misread_png
from edgebig.report.words import summary_lines

__all__ = ["confusion_png", "lines", "misread_png", "save", "summary_lines", "write"]

_CLASSES_SHOWN = 30
_CONFUSIONS_SHOWN = 10
_FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "confidence": "mean confidence",
    "calibration_error": "calibration error",
    "brier": "Brier score",
}


def write(folder: Path, evaluation: Evaluation, examples: Examples) -> list[Path]:
    """Writes confusion.png and misread.png into `folder`. `examples` are those of the evaluation, in its order."""
    pictures = {
        folder / "confusion.png": confusion_png(evaluation),
        folder / "misread.png": misread_png(evaluation, examples),
    }
    for path, picture in pictures.items():
        with files.replacing(path) as temporary:
            picture.save(temporary)
    return list(pictures)


def save(folder: Path, result: Result, examples: Examples, record: dict[str, Any]) -> list[Path]:
    """Writes evaluation.json and the pictures; of several models each one's pictures into a folder of its own."""
    folders = _folders(folder, result)
    found = [
        path
        for where, evaluation in zip(folders, result.evaluations, strict=True)
        for path in write(where, evaluation, examples)
    ]
    path = folder / "evaluation.json"
    files.write_json(path, record)
    return [*found, path]


def _folders(folder: Path, result: Result) -> list[Path]:
    if len(result.artifacts) == 1:
        return [folder]
    letters = _letters(len(result.artifacts))
    return [
        folder / f"{letter}-{item.path.stem}" for letter, item in zip(letters, result.artifacts, strict=True)
    ]


def lines(result: Result) -> list[str]:
    """All that a terminal shows. Names in it come from files: escape what could steer a terminal."""
    body = _one(result) if len(result.evaluations) == 1 else _several(result)
    return [*body, *_notes(result)]


def _one(result: Result) -> list[str]:
    (evaluation,) = result.evaluations
    scores = sorted(class_scores(evaluation), key=_recall) if _many(evaluation) else class_scores(evaluation)
    rows = [_class_row(score) for score in scores[:_CLASSES_SHOWN]]
    found = confusions(evaluation)
    pairs = [
        [pair.true, pair.read, f"{pair.count:,}", f"{pair.share:.1%}"] for pair in found[:_CONFUSIONS_SHOWN]
    ]
    return [
        f"{result.artifacts[0].path} on {result.data['source']}",
        words.headline(evaluation),
        words.how_sure(calibration(evaluation)),
        "",
        *columns([["class", "n", "right", "recall", "95 %", "precision", "F1"], *rows], left=1),
        *_more(len(scores), _CLASSES_SHOWN, "classes, these are the weakest"),
        *(["", *columns([["true", "read as", "count", "of it"], *pairs], left=2)] if pairs else []),
        *_more(len(found), _CONFUSIONS_SHOWN, "confusions, these are the most frequent"),
    ]


def _many(evaluation: Evaluation) -> bool:
    return len(evaluation.classes) > _CLASSES_SHOWN


def _recall(score: ClassScore) -> float:
    return score.recall.value if score.recall else 2.0


def _class_row(score: ClassScore) -> list[str]:
    recall = score.recall
    return [
        score.name,
        f"{score.n:,}",
        f"{score.correct:,}",
        f"{recall.value:.1%}" if recall else "-",
        f"{100 * recall.low:.1f} .. {100 * recall.high:.1f}" if recall else "-",
        f"{score.precision:.1%}" if score.precision is not None else "-",
        f"{score.f1:.1%}" if score.f1 is not None else "-",
    ]


def _more(total: int, shown: int, what: str) -> list[str]:
    return [f"of {total:,} {what}; --json tells all"] if total > shown else []


def _several(result: Result) -> list[str]:
    """Models as columns: A, B, C, since their names are long."""
    letters = _letters(len(result.evaluations))
    named = [_named(letter, item) for letter, item in zip(letters, result.artifacts, strict=True)]
    first = result.evaluations[0]
    examples = f"{len(first):,} {words.examples_of(first)} of {result.data['source']}"
    rows = _figure_rows(result) + _recall_rows(result)
    head = ["", *letters, "mean ± sd", "least .. most"]
    return [
        *named,
        examples,
        "",
        *columns([head, *rows], left=1),
        *_more(len(first.classes), _CLASSES_SHOWN, "classes, these are the weakest"),
        "",
        *(_paired(letter, paired) for letter, paired in zip(letters[1:], comparisons(result), strict=True)),
        *(
            f"{letter}: {words.most_confused(evaluation) or words.misread_headline(evaluation)}"
            for letter, evaluation in zip(letters, result.evaluations, strict=True)
        ),
    ]


def _named(letter: str, item: Artifact) -> str:
    return f"{letter}  {item.path}" + (f" ({item.card.recipe}, seed {item.card.seed})" if item.card else "")


def _letters(count: int) -> list[str]:
    """A, B, ... and after Z numbers."""
    return [chr(ord("A") + index) if index < 26 else str(index + 1) for index in range(count)]


def _figure_rows(result: Result) -> list[list[str]]:
    together = spreads(result)
    values = [figures(evaluation) for evaluation in result.evaluations]
    rows = [
        [_FIGURES[name], *(_figure(name, row[name]) for row in values), *_spread_cells(name, spread)]
        for name, spread in together.items()
    ]
    ends = [(evaluation.accuracy.low, evaluation.accuracy.high) for evaluation in result.evaluations]
    interval = [
        ["  95 % from", *(f"{low:.2%}" for low, _ in ends), "", ""],
        ["  to", *(f"{high:.2%}" for _, high in ends), "", ""],
    ]
    return [rows[0], *interval, *rows[1:]]


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name == "brier" else f"{value:.2%}"


def _spread_cells(name: str, spread: Spread | None) -> list[str]:
    if spread is None:
        return ["-", "-"]
    if name == "brier":
        return [f"{spread.mean:.4f} ± {spread.sd:.4f}", f"{spread.low:.4f} .. {spread.high:.4f}"]
    mean, sd, low, high = (100 * value for value in (spread.mean, spread.sd, spread.low, spread.high))
    return [f"{mean:.2f} ± {sd:.2f}", f"{low:.2f} .. {high:.2f}"]


def _recall_rows(result: Result) -> list[list[str]]:
    by_name = [{score.name: score for score in class_scores(evaluation)} for evaluation in result.evaluations]
    together = recall_spreads(result)
    names = [name for name, score in by_name[0].items() if score.n]
    if _many(result.evaluations[0]):
        names.sort(key=lambda name: _mean_or_most(together[name]))
    return [
        [
            f"recall of {name}",
            *(_recall_cell(scores.get(name)) for scores in by_name),
            *_spread_cells("recall", together[name]),
        ]
        for name in names[:_CLASSES_SHOWN]
    ]


def _mean_or_most(spread: Spread | None) -> float:
    return spread.mean if spread else 2.0


def _recall_cell(score: ClassScore | None) -> str:
    return f"{score.recall.value:.2%}" if score and score.recall else "-"


def _paired(letter: str, paired: Paired) -> str:
    return (
        f"{letter} against A: {paired.accuracy_points:+.2f} points of accuracy "
        f"({paired.accuracy_low:+.2f} .. {paired.accuracy_high:+.2f}), {paired.only_a:,} right alone against "
        f"{paired.only_b:,}, McNemar p = {paired.mcnemar_p:.2g}"
    )


def _notes(result: Result) -> list[str]:
    """What a reader must know besides the figures."""
    data = result.data
    notes = []
    if data["n"] < data["of"]:
        notes.append(f"{data['n']:,} of the {data['of']:,} were looked at, every class alike")
    if data["absent_classes"]:
        notes.append(f"no example is of {', '.join(data['absent_classes'])}")
    notes += [
        f"{model}: its card names another test split: the data was changed since it was trained, or is other data"
        for model in data["changed_since_training"]
    ]
    if "not possible" in data["leak_check"]:
        notes += [
            f"leak check {found}" for found in data["leak_check"].split("; ") if "not possible" in found
        ]
    if data["leak_check"].startswith("none"):
        notes.append("these are the examples that it was trained on: on others it does worse")
    return ["", *notes] if notes else []
