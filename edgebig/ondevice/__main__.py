"""The runner's command line: `python -m edgebig.ondevice`, a copied folder, or the one-file zipapp.

Tasks come as JSON on stdin, events go as JSON lines to stdout, and nothing else does.
"""

from __future__ import annotations

import argparse
import os
import sys

if not __package__:
    # Started as a folder: its parent makes it a package, under whatever name the folder has.
    _folder = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.dirname(_folder))
    __package__ = os.path.basename(_folder)
    __import__(__package__)

from . import conditions, runner
from .faults import Fault


def main() -> int:
    """Exit code 0 after a last `result` event, 1 after an `error` event."""
    parser = argparse.ArgumentParser(prog="edgebig-ondevice", description="edgebig's part on the device")
    parser.add_argument("action", choices=["facts", "run", "child", "predict"])
    parser.add_argument(
        "--store", default=".", help="the folder of the files that were sent, each named by its sha256"
    )
    arguments = parser.parse_args()
    events = runner.take_stdout()
    try:
        if arguments.action == "facts":
            runner.emit(events, {"event": "ready", "protocol": runner.PROTOCOL, "facts": conditions.facts()})
            return 0
        task = runner.read_job(sys.stdin.read())
        if arguments.action == "run":
            steps = runner.run(task, arguments.store, os.path.abspath(sys.argv[0]))
        elif arguments.action == "child":
            steps = runner.child(task, arguments.store)
        else:
            from . import predict

            steps = predict.predict(task)
        for event in steps:
            runner.emit(events, event)
    except Fault as fault:
        runner.emit(events, fault.event())
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody listens any more. The interpreter must not try to flush into the closed pipe.
        os._exit(130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
