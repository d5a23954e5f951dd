"""tools/demo.py: the whole line, by the commands that a user would type."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgebig import measurement

DEMO = Path(__file__).parent.parent / "tools" / "demo.py"


@pytest.mark.tf
@pytest.mark.slow
def test_from_digits_to_a_benchmarked_int8_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    run = (tmp_path / "runs" / "latest").resolve()
    assert {path.name for path in run.glob("*.tflite")} == {"float32.tflite", "prune-int8.tflite"}
    assert not (run / "checkpoint.npz").exists()

    card = json.loads((run / "prune-int8.json").read_text())
    prune = next(made for made in card["passes"] if made["name"] == "prune")
    assert all(share >= 0.499 for share in prune["sparsity_by_layer"].values())
    assert card["deflated_bytes"] < 0.7 * card["size_bytes"]

    (record,) = (run / "bench").glob("local-*.json")
    measured = measurement.load(record)
    assert measured.provenance == "real"
    for model in measured.models:
        assert model.accuracy is not None
        assert model.accuracy.n == 1000
        assert model.accuracy.value >= 0.97
        assert model.parity is not None
        assert model.parity.holds
        assert len(model.latency.processes) == 5
    (comparison,) = measured.comparisons
    assert comparison.accuracy_points is not None
    assert abs(comparison.accuracy_points) <= 1.0

    read = re.search(r"picture\.png: (\d) \(", done.stdout)
    drawn = re.search(r"What is drawn there: (\d)", done.stdout)
    assert read is not None
    assert drawn is not None
    assert read.group(1) == drawn.group(1)
    assert "leak check not possible" not in done.stdout
