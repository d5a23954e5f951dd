"""The one error of the device side. The host turns it into what the user reads; its code is for programs."""

from __future__ import annotations


class Fault(Exception):
    """`code` is a stable word for programs, `problem` what was wrong and where, `hint` what to do about it."""

    def __init__(self, code: str, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.hint = hint

    def event(self) -> dict[str, object]:
        return {"event": "error", "code": self.code, "problem": self.problem, "hint": self.hint}


def first_line(error: Exception) -> str:
    """What it says, of a page (numpy's, where it does not load) the first line; of one that says nothing its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]
