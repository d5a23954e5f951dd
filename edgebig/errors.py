"""The errors that a user sees, and the exit codes of every command.

A user's fault is an `EdgebigError`: what was wrong and where, then what to type next. It is caught once, in the CLI.
Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass

EXIT_OK = 0
EXIT_USER = 1
EXIT_USAGE = 2
EXIT_SHORTFALL = 3
EXIT_DEVICE = 4
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class EdgebigError(Exception):
    """What was wrong and where (`problem`), and what to do about it (`hint`, may be empty)."""

    exit_code = EXIT_USER

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def of_machine(error: OSError) -> EdgebigError:
    """What the machine refuses, as a user's fault."""
    return EdgebigError(f"{error.filename or 'the machine says'}: {error.strerror}")


class Shortfall(EdgebigError):
    """It was measured, and it fell short of a bound (exit 3)."""

    exit_code = EXIT_SHORTFALL


class Interrupted(EdgebigError):
    """Its user ended it by Ctrl-C, and something is to be told of what is kept (exit 130)."""

    exit_code = EXIT_INTERRUPTED


class DeviceError(EdgebigError):
    """The device or its runner failed (exit 4)."""

    exit_code = EXIT_DEVICE


@dataclass(frozen=True)
class Failure:
    """What an EdgebigError said, for another process or for a record."""

    problem: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: EdgebigError | OSError) -> Failure:
        if isinstance(error, OSError):
            error = of_machine(error)
        return cls(error.problem, error.hint, error.exit_code)

    @property
    def told(self) -> str:
        return f"{self.problem} ({self.hint})" if self.hint else self.problem


def of_interrupt(cause: EdgebigError | KeyboardInterrupt) -> EdgebigError:
    """Ctrl-C as an error of its user's; any other is what it is."""
    return cause if isinstance(cause, EdgebigError) else Interrupted("stopped")
