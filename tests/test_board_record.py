"""docs/measurements/emulated-pi4-parity.json: what it shows, and that docs/devices.md says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.boards import ROOT

RECORD = json.loads((ROOT / "docs" / "measurements" / "emulated-pi4-parity.json").read_text("utf-8"))
MODELS = [pytest.param(model, id=model["model"]) for model in RECORD["models"]]
CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}


def test_it_is_of_an_emulator_and_holds_no_time() -> None:
    assert RECORD["provenance"] == "emulated"
    assert RECORD["data"] == {"source": "mnist", "split": "test", "n": 10_000}
    assert not [word for word in ("_ns", "latency", "_us") if word in json.dumps(RECORD)]


@pytest.mark.parametrize("model", MODELS)
def test_the_reference_kernels_gave_the_same_numbers(model: dict[str, Any]) -> None:
    outputs = model["outputs"]["board reference / host reference"]
    assert (outputs["examples"], outputs["numbers_that_differ"]) == (10_000, 0)
    assert not any(kernel["board reference / host reference"]["by_steps"] for kernel in model["kernels"])


@pytest.mark.parametrize("model", MODELS)
def test_each_difference_has_a_kernel(model: dict[str, Any]) -> None:
    for kernel in model["kernels"]:
        against_reference = kernel["board xnnpack / board reference"]["by_steps"]
        between_machines = kernel["board xnnpack / host xnnpack"]["by_steps"]
        if kernel["operator"] in CONVOLUTIONS:
            assert set(against_reference) == {"1"}
            assert not between_machines
        elif kernel["operator"] == "SOFTMAX":
            assert set(against_reference) | set(between_machines) <= {"1"}
        else:
            assert not against_reference
            assert not between_machines


def test_the_docs_say_what_it_says() -> None:
    text = (ROOT / "docs" / "devices.md").read_text("utf-8")
    for pair, key in (
        ("board reference / host reference", "examples_that_differ"),
        ("board xnnpack / board reference", "examples_that_differ"),
        ("board xnnpack / board reference", "labels_that_differ"),
        ("board xnnpack / host xnnpack", "examples_that_differ"),
        ("board xnnpack / host xnnpack", "labels_that_differ"),
    ):
        row = " | ".join(str(model["outputs"][pair][key]) for model in RECORD["models"])
        assert f"| {row} |" in text, (pair, key)
