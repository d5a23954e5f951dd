"""`edgebig doctor`: what works here, proven by child processes, and what to type where it does not.

A child that hangs is killed with all that it started, and one that dies takes only its own line along.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import edgebig
from edgebig.doctor import machine, phones, software
from edgebig.doctor.proof import Check, State, kill_children
from edgebig.errors import EXIT_OK, EXIT_USER

__all__ = ["Check", "State", "check_all", "exit_code", "to_json"]

SCHEMA = 1
_THREADS = "edgebig-doctor"

CHECKS: tuple[Callable[[], list[Check]], ...] = (
    software.python,
    software.base,
    software.litert,
    software.tflite_runtime,
    software.training,
    machine.nvidia,
    machine.vulkan,
    machine.adb,
    machine.ssh,
    machine.camera,
    machine.picamera2,
    machine.opencv,
    machine.chromium,
    phones.page,
    machine.qemu,
    software.cache,
)


CHECK_COUNT = 22  # a check of one thing may tell of several


def check_all(on_done: Callable[[Check], None] | None = None, runs: Path = Path("runs")) -> list[Check]:
    """Everything, in the order of CHECKS. `on_done` is called in this thread for each check when it ends.

    A fault in a check's own code is raised after the others have ended; Ctrl-C kills all children at once.
    """
    jobs: list[Callable[[], list[Check]]] = [*CHECKS, lambda: [software.folder_check("runs folder", runs)]]
    futures: list[Future[list[Check]]] = []
    pool = ThreadPoolExecutor(max_workers=len(jobs), thread_name_prefix=_THREADS)
    try:
        futures.extend(pool.submit(job) for job in jobs)
        _follow(futures, on_done)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # Again and again: a check may be about to start its next child. By the threads, not by `futures`: a Ctrl-C
        # within submit() leaves a job that runs and stands in no list.
        while any(thread.name.startswith(_THREADS) for thread in threading.enumerate()):
            kill_children()
            time.sleep(0.02)
        raise
    pool.shutdown()
    return [check for future in futures for check in future.result()]


def exit_code(checks: Sequence[Check]) -> int:
    """0 unless something is installed and does not work."""
    return EXIT_USER if any(check.state == "broken" for check in checks) else EXIT_OK


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """{schema, edgebig, python, platform, checks: [{name, state, detail, mend}]}; names and states are stable."""
    return {
        "schema": SCHEMA,
        "edgebig": edgebig.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "checks": [asdict(check) for check in checks],
    }


def _follow(futures: list[Future[list[Check]]], on_done: Callable[[Check], None] | None) -> None:
    for future in as_completed(futures):
        if on_done and future.exception() is None:
            for check in future.result():
                on_done(check)
