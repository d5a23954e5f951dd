"""Runs in the environment `vela`: {"models": [files]} -> for each the tensors that Vela has made on the CPU."""

import contextlib
import io
import json
import sys
import tempfile

from ethosu.vela import vela

ARGUMENTS = ["--accelerator-config", "ethos-u55-128", "--show-cpu-operations", "--output-dir"]


def left(model, folder):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        code = vela.main([model, *ARGUMENTS, folder])
    assert not code, code
    lines = [line.strip() for line in printed.getvalue().splitlines()]
    return [line.split(" = ", 1)[1].rsplit(" (outputs", 1)[0] for line in lines if line.startswith("CPU: ")]


request = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as scratch:
    answers = [left(model, scratch) for model in request["models"]]
print(json.dumps(answers))
