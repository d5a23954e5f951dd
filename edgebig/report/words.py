"""What an evaluation says in a line, in text and in pictures alike."""

from __future__ import annotations

from edgebig.evaluation.scores import Calibration, Evaluation, calibration, class_scores, confusions

NO_CALIBRATION = "its outputs are no probabilities (from 0 to 1, of sum 1): its confidence says nothing"
_NAMED = 3


def headline(evaluation: Evaluation) -> str:
    """As in: 976 of 1,000 test examples right: 97.60% (95 %: 96.46 .. 98.38)."""
    found = evaluation.accuracy
    return (
        f"{found.correct:,} of {found.n:,} {examples_of(evaluation)} right: {found.value:.2%} "
        f"(95 %: {100 * found.low:.2f} .. {100 * found.high:.2f})"
    )


def misread_headline(evaluation: Evaluation) -> str:
    wrong = len(evaluation.misread)
    of = f"of {len(evaluation):,} {examples_of(evaluation)}"
    return f"{wrong:,} {of} misread" if wrong else f"none {of} misread"


def examples_of(evaluation: Evaluation) -> str:
    return f"{evaluation.split} examples".strip()


def weakest(evaluation: Evaluation) -> str:
    """As in: weakest: 8 (92.0% of 100 right), 5 (93.1% of 87 right). Empty where all are right."""
    scores = [score for score in class_scores(evaluation) if score.n and score.correct < score.n]
    worst = sorted(scores, key=lambda score: score.correct / score.n)[:_NAMED]
    named = [f"{score.name} ({score.correct / score.n:.1%} of {score.n:,} right)" for score in worst]
    return f"weakest: {', '.join(named)}" if named else ""


def most_confused(evaluation: Evaluation) -> str:
    """As in: most often misread: 4 as 9 (5), 7 as 2 (3). Empty where all are right."""
    named = [f"{pair.true} as {pair.read} ({pair.count:,})" for pair in confusions(evaluation)[:_NAMED]]
    return f"most often misread: {', '.join(named)}" if named else ""


def how_sure(calibrated: Calibration | None) -> str:
    """As in: mean confidence 96.90%, expected calibration error 0.81 points (15 bins), Brier score 0.0361."""
    if calibrated is None:
        return NO_CALIBRATION
    bins = f"{len(calibrated.bins)} bin" + ("s of like numbers" if len(calibrated.bins) > 1 else "")
    return (
        f"mean confidence {calibrated.confidence:.2%}, expected calibration error "
        f"{100 * calibrated.error:.2f} points ({bins}), Brier score {calibrated.brier:.4f}"
    )


def summary_lines(evaluation: Evaluation) -> list[str]:
    """A few lines on one model, for the end of a training."""
    lines = (
        headline(evaluation),
        weakest(evaluation),
        most_confused(evaluation),
        how_sure(calibration(evaluation)),
    )
    return [line for line in lines if line]
