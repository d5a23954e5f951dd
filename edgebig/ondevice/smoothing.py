"""Digits that hold still: what a frame shows is followed over frames, and shown when it has held for some.

A thing is known again by where its box lies. Each frame votes for the label that it read, and older votes fade. A label
is shown once it has led for `hold` frames together, and one that is shown goes only when another has led as long and
clearly, or when the thing was seen in none of as many frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .strokes import lines_of

FADE = 0.8  # of a vote, a frame
LEAD = 1.25  # by which a new label must lead over the one that is shown
FOLLOW = 0.5  # of the way from the box that is shown to the new one, a frame
SAME_PLACE = 0.25  # the least overlap, intersection over union
JUMP = 0.5  # of its longer side: a box that moves further is not led there slowly
THINGS = 300  # a frame has; the largest are followed
NONE = ""  # the label of what is no digit


@dataclass
class Track:
    """A thing that is followed. `box`: x, y, width, height as shown; `seen`: the box of the last frame that had it."""

    number: int
    box: tuple[float, ...]
    seen: tuple[float, ...]
    votes: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0
    leading: str = NONE
    led: int = 0
    shown: str = NONE
    missed: int = 0

    @property
    def confidence(self) -> float:
        """The share of all votes that is the shown label's, each as sure as it was."""
        return self.votes.get(self.shown, 0.0) / self.weight if self.weight else 0.0


class Smoother:
    """The things in sight. `hold`: over how many frames; of 1 every frame stands for itself."""

    def __init__(self, hold: int) -> None:
        self.hold = hold
        self.tracks: list[Track] = []
        self._next = 0

    def update(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """What `predict.answer` tells of a frame -> [{label, confidence, box, line, track}] to show, in reading order.

        `box` in whole pixels; `line` from 0; `track` stays the same while the thing is followed.
        """
        things = [(digit["label"], digit["confidence"], tuple(digit["box"])) for digit in answer["digits"]]
        things += [(NONE, thing["confidence"], tuple(thing["box"])) for thing in answer.get("rejected", ())]
        things = sorted(things, key=lambda thing: -thing[2][2] * thing[2][3])[:THINGS]
        if self.hold == 1:
            self.tracks = []
        pairs = matched([track.seen for track in self.tracks], [box for _, _, box in things])
        for place, track in enumerate(self.tracks):
            if place not in pairs:
                track.missed += 1
        for place, thing in pairs.items():
            self._see(self.tracks[place], *things[thing])
        for thing in set(range(len(things))) - set(pairs.values()):
            label, confidence, box = things[thing]
            track = Track(self._next, box, box)
            self._next += 1
            self.tracks.append(track)
            self._see(track, label, confidence, box)
        # One that was not shown yet has no time to lose; a speck that flickers never comes to be shown.
        self.tracks = [one for one in self.tracks if one.missed < (self.hold if one.shown else 2)]
        return in_reading_order([one for one in self.tracks if one.shown])

    def _see(self, track: Track, label: str, confidence: float, box: tuple[float, ...]) -> None:
        jump = max(abs(new - old) for new, old in zip(box, track.box)) > JUMP * max(box[2], box[3])
        follow = 1.0 if jump else FOLLOW
        track.box = tuple(old + follow * (new - old) for new, old in zip(box, track.box))
        track.seen, track.missed = box, 0
        track.votes = {name: vote * FADE for name, vote in track.votes.items()}
        track.votes[label] = track.votes.get(label, 0.0) + confidence
        track.weight = track.weight * FADE + 1
        leading = max(track.votes, key=lambda name: track.votes[name])
        track.led = track.led + 1 if leading == track.leading else 1
        track.leading = leading
        clearly = track.votes[leading] >= LEAD * track.votes.get(track.shown, 0.0)
        if track.led >= self.hold and (clearly or not track.shown):
            track.shown = leading


def matched(before: list[tuple[float, ...]], now: list[tuple[float, ...]]) -> dict[int, int]:
    """Boxes -> which of `now` each of `before` is, by their numbers: the pairs that overlap most come first."""
    if not before or not now:
        return {}
    overlap = _overlap(np.array(before, float), np.array(now, float))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    places, things = np.nonzero(overlap >= SAME_PLACE)
    for nth in np.argsort(-overlap[places, things], kind="stable"):
        place, thing = int(places[nth]), int(things[nth])
        if place not in pairs and thing not in taken:
            pairs[place] = thing
            taken.add(thing)
    return pairs


def _overlap(a: Any, b: Any) -> Any:
    """(N, 4) and (M, 4) -> (N, M), intersection over union; a thin box, a 1's, counts as half as wide as it is high."""
    (a0, a1), (b0, b1) = _corners(a), _corners(b)
    sides = np.minimum(a1[:, None], b1[None]) - np.maximum(a0[:, None], b0[None])
    common = np.prod(np.maximum(sides, 0), axis=2)
    areas = np.prod(a1 - a0, axis=1)[:, None] + np.prod(b1 - b0, axis=1)[None]
    return common / np.maximum(areas - common, 1e-9)


def _corners(boxes: Any) -> tuple[Any, Any]:
    size = np.maximum(boxes[:, 2:], boxes[:, 2:].max(axis=1, keepdims=True) / 2)
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    return middle - size / 2, middle + size / 2


def in_reading_order(tracks: list[Track]) -> list[dict[str, Any]]:
    """Line by line from the top, each from the left: the lines of the preprocessing, so that both say the same."""
    corners = [(x, y, x + width, y + height) for x, y, width, height in (track.box for track in tracks)]
    return [
        {
            "label": tracks[i].shown,
            "confidence": round(tracks[i].confidence, 4),
            "box": [round(value) for value in tracks[i].box],
            "line": number,
            "track": tracks[i].number,
        }
        for number, line in enumerate(lines_of(corners))
        for i in line
    ]
