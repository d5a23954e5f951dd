"""Where the time of an inference went, operator by operator, as the runtime's own profiler has it."""

from __future__ import annotations

from edgebig.drivers.protocol import Event
from edgebig.recipe import Spec


class Operator(Spec):
    """Its mean over the inferences, in us. `inside`: a delegate's own operator, which `node` counts in the delegate."""

    operator: str
    node: int
    inside: bool
    us: float


class Profile(Spec):
    """Of `invokes` inferences of one process, with the profiler's own cost in them."""

    invokes: int
    operators: tuple[Operator, ...]

    @property
    def total_us(self) -> float:
        return sum(operator.us for operator in self.operators)


def measured(event: Event | None) -> Profile | None:
    """What a `profile` event says."""
    if event is None:
        return None
    return Profile.model_validate({"invokes": event["invokes"], "operators": event["operators"]})
