"""How much processor time `edgebig --help` takes against `litert --help` (PyPI: litert-cli), in turns.

    python tools/bench_help.py LITERT [--edgebig EDGEBIG] [-n 10]

User and system time of the children, since wall time is the machine's mood. Prints a line for people on stderr and JSON
on stdout; exit 3 where the ratio of the medians is over 0.9.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

AT_MOST = 0.9


def cpu_s(command: list[str]) -> float:
    """User + system seconds of one run of `command`. Raises CalledProcessError where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("litert", help="the litert command of litert-cli")
    parser.add_argument("--edgebig", default=str(Path(sys.executable).with_name("edgebig")))
    parser.add_argument("-n", type=int, default=10)
    chosen = parser.parse_args()
    commands = {"edgebig": [chosen.edgebig, "--help"], "litert": [chosen.litert, "--help"]}
    for command in commands.values():  # files into the cache, bytecode written
        cpu_s(command)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(chosen.n):
        for name, command in commands.items():
            times[name].append(cpu_s(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["edgebig"] / medians["litert"]
    print(
        f"edgebig --help {medians['edgebig']:.3f} s, litert --help {medians['litert']:.3f} s of CPU "
        f"(medians of {chosen.n}, in turns): {ratio:.2f} of it, at most {AT_MOST}",
        file=sys.stderr,
    )
    print(
        json.dumps(
            {
                "ratio": round(ratio, 3),
                "at_most": AT_MOST,
                "n": chosen.n,
                "cpu_s": {name: [round(one, 4) for one in values] for name, values in times.items()},
            }
        )
    )
    sys.exit(0 if ratio <= AT_MOST else 3)


if __name__ == "__main__":
    main()
