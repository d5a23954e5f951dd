"""The main job on real input, each step as the command that a user would type.

From 5,000 embedded MNIST digits to a pruned int8 model, its accuracy and latency on this machine, and a picture read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

EDGEBIG = Path(sys.executable).parent / "edgebig"


def edgebig(*arguments: str, what: str) -> None:
    """Runs one edgebig command as it would be typed; a failure ends the demo with the command's own exit code."""
    print(f"\n# {what}\n$ edgebig {' '.join(arguments)}", flush=True)
    started_s = time.monotonic()
    code = subprocess.run([EDGEBIG, *arguments], check=False).returncode
    if code:
        sys.exit(code)
    print(f"({time.monotonic() - started_s:.0f} s)", flush=True)


def last_run() -> Path:
    answer = subprocess.run([EDGEBIG, "runs", "show", "--json"], check=True, stdout=subprocess.PIPE)
    return Path(json.loads(answer.stdout)["folder"])


def main() -> None:
    argparse.ArgumentParser(prog="tools/demo", description=__doc__).parse_args()
    started_s = time.monotonic()
    edgebig("train", "digits-quick", what="train a small net on 3,500 digits")
    run = last_run()
    edgebig(
        "compress",
        "--int8",
        "--prune",
        "0.5",
        what="half of its weights to zero, then int8, training on both times",
    )
    models = [str(run / "float32.tflite"), str(run / "prune-int8.tflite")]
    picture = run / "picture.png"
    draw = [sys.executable, str(Path(__file__).parent / "sample_picture.py"), str(picture), "--index", "7"]
    drawn = subprocess.run(draw, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    edgebig(
        "predict", models[1], str(picture), what="read a picture of a digit that it never saw, pen on paper"
    )
    print(f"What is drawn there: {drawn}")
    edgebig("bench", *models, what="accuracy on 1,000 digits that it never saw, and latency, in turns")
    print(f"\nDone in {time.monotonic() - started_s:.0f} s. Everything is in {run}/.")


if __name__ == "__main__":
    main()
