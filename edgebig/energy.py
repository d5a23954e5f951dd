"""Joules for one inference, from the watts that a device told while it idled and while the model ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebig import stats

NOT_ASKED = "not measured"


@dataclass(frozen=True)
class Energy:
    """`joules` an inference with the idle power taken off, and its 95 % interval over the processes.

    `source` is None where nothing was measured, and `why` says so. `processes`: of each, [joules an inference, watts
    while the model ran, watts idle]. Below zero it is lost in the idle power's noise.
    """

    source: str | None = None
    why: str = NOT_ASKED
    joules: float | None = None
    low: float | None = None
    high: float | None = None
    processes: tuple[tuple[float, float, float], ...] = ()

    @property
    def shown(self) -> bool:
        """Whether it is told apart from idling."""
        return self.low is not None and self.low > 0


def of_text(value: Any) -> Any:
    """Records of before had a text in the place of an Energy."""
    return Energy(why=value) if isinstance(value, str) else value


def measured(source: dict[str, Any] | None, phases: Sequence[dict[str, Any]]) -> Energy:
    """From the event `energy_source`, None where nobody asked, and a model's `energy` events, one a process."""
    if source is None:
        return Energy()
    if source["source"] is None:
        return Energy(why=f"not measurable here: {source['why']}")
    processes = tuple((_joules(phase), float(phase["watts"]), float(phase["idle_watts"])) for phase in phases)
    if not processes:
        return Energy(source["source"], "no process came to it")
    mean, interval = stats.mean_interval([joules for joules, _, _ in processes])
    low, high = interval if interval else (None, None)
    return Energy(source["source"], "", mean, low, high, processes)


def _joules(phase: dict[str, Any]) -> float:
    """Clocks of two processes: the power is the one's, the time of the inferences the other's."""
    return float((phase["watts"] - phase["idle_watts"]) * phase["seconds"] / phase["invokes"])
