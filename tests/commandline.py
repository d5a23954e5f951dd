"""`edgebig ARGUMENTS` as its entry point runs it, in this process; the fixture `edgebig` tells what it printed too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    """What a command in this process did."""

    code: int
    stdout: str
    stderr: str


Edgebig = Callable[..., Done]


def exit_code(*arguments: object) -> int:
    from edgebig import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["edgebig", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    return int(stopped.value.code or 0)
