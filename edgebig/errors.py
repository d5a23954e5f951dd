"""The errors that a user sees, and the exit codes of every command.

A user's fault is an `EdgebigError`: what was wrong and where, then what to type next. It is caught once, in the CLI.
Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

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


class DeviceError(EdgebigError):
    """The device or its runner failed (exit 4)."""

    exit_code = EXIT_DEVICE
