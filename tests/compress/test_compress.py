"""A run in, a smaller model beside it: what its card says is true of the file, and a failure leaves the run alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, recipe
from edgebig.artifact import Artifact, PassRecord
from edgebig.errors import EdgebigError

pytestmark = pytest.mark.tf
ROOT = Path(__file__).resolve().parent.parent.parent


def compressed(
    trained: Any, *, int8: bool, prune: float | None, settings: list[str] | None = None
) -> Artifact:
    from edgebig import compress

    passes = {**({"qat": {}} if int8 else {}), **({} if prune is None else {"prune": {"sparsity": prune}})}
    spec = recipe.with_settings(recipe.with_passes(trained.spec, passes), settings or [])
    return compress.compress(trained.run, spec, trained.splits).artifact


@pytest.fixture(scope="module")
def pruned_int8(trained: Any) -> Artifact:
    return compressed(trained, int8=True, prune=0.5)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_shipped_weights_still_have_the_zeros(pruned_int8: Artifact) -> None:
    # Not by the package's own reader: the runtime's tensors, found by shape.
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    reference = OpResolverType.BUILTIN_REF  # XNNPACK puts weights where they cannot be read
    interpreter = Interpreter(model_path=str(pruned_int8.path), experimental_op_resolver_type=reference)
    interpreter.allocate_tensors()
    shares = {}
    for tensor in interpreter.get_tensor_details():
        if tensor["dtype"] == np.int8 and (shape := tuple(tensor["shape"])) in SHAPES:
            shares[SHAPES[shape]] = float(np.mean(interpreter.get_tensor(tensor["index"]) == 0))
    assert set(shares) == set(SHAPES.values())
    card = artifact.require_card(pruned_int8, "")
    passes = {record.name: record.model_dump() for record in card.passes}
    assert passes["qat"]["shipped_sparsity"] == {name: round(share, 4) for name, share in shares.items()}
    for name, share in passes["prune"]["sparsity_by_layer"].items():
        assert shares[name] >= share >= 0.48
    assert shares["head"] < 0.2


SHAPES = {
    (2, 5, 5, 1): "down1", (2, 3, 3, 2): "stage1_1", (4, 3, 3, 2): "down2", (4, 3, 3, 4): "stage2_1",
    (1, 7, 7, 4): "head", (10, 4): "probabilities",
}  # fmt: skip


def test_lost_zeros_are_an_error_and_nothing_is_written(
    a_copy: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.compress import qat

    copied = a_copy()
    before = everything_in(copied.run.folder)
    # QAT that does not keep zeros.
    monkeypatch.setattr(qat, "_keep", lambda *_, **__: [])
    with pytest.raises(EdgebigError, match=r"lost zeros that pruning made: .*stage2_1 50.0% became \d"):
        compressed(copied, int8=True, prune=0.5, settings=["compress.qat.learning_rate=0.01"])
    assert everything_in(copied.run.folder) == before


def test_the_card_is_true(pruned_int8: Artifact, trained: Any) -> None:
    from edgebig import convert, files, flatbuffer, metadata
    from edgebig.check import tflite

    data = pruned_int8.path.read_bytes()
    card = artifact.require_card(pruned_int8, "")
    assert (card.variant, pruned_int8.path.name) == ("prune-int8", "prune-int8.tflite")
    assert card.sha256 == files.sha256_bytes(data)
    assert card.parent_sha256 == files.sha256_file(trained.run.folder / "float32.tflite")
    assert flatbuffer.float_operators(data) == []
    assert (card.input.name, card.input.dtype, card.input.shape) == ("image", "int8", (1, 28, 28, 1))
    assert (card.output.name, card.output.dtype, card.output.shape) == ("probabilities", "int8", (1, 10))
    prepared = convert.preprocessing(trained.spec, trained.splits)
    assert card.preprocessing == prepared
    assert card.host_accuracy == convert.host_accuracy(data, trained.splits.test, "test", prepared)
    assert [record.name for record in card.passes] == ["prune", "qat", "check"]
    check = card.passes[-1].model_dump()
    parent = trained.run.folder / "float32.tflite"
    validation = trained.splits.validation
    of_both = (tflite.labels(m, validation, prepared.model_dump()) for m in (parent.read_bytes(), data))
    agreement = tflite.agreement(*of_both, validation.labels)
    assert check["against"] == card.parent_sha256
    assert (check["n"], check["same_label"]) == (100, agreement.same_label)
    assert check["same_label"] >= 70  # a net of 400 weights, and half of them zero
    assert metadata.read_labels(data) == tuple("0123456789")


def test_int8_alone_and_prune_alone(trained: Any) -> None:
    from edgebig import flatbuffer

    int8 = compressed(trained, int8=True, prune=None)
    card = artifact.require_card(int8, "")
    assert (card.variant, [record.name for record in card.passes]) == ("int8", ["qat", "check"])
    assert card.passes[-1].model_dump()["same_label"] >= 85  # int8 and float agree
    pruned = compressed(trained, int8=False, prune=0.6)
    card = artifact.require_card(pruned, "")
    assert (card.variant, [record.name for record in card.passes]) == ("prune-float32", ["prune", "check"])
    assert card.input.dtype == "float32"
    assert flatbuffer.float_operators(pruned.path.read_bytes())
    record = card.passes[0].model_dump()
    for name, share in record["sparsity_by_layer"].items():
        assert record["shipped_sparsity"][name] >= share >= 0.58
    # Zeros are what a zip makes small.
    whole = artifact.require_card(artifact.load(trained.run.folder / "float32.tflite"), "")
    assert card.deflated_bytes < whole.deflated_bytes


def test_nearly_all_weights_zero_still_makes_a_whole_int8_model(
    trained: Any, a_copy: Callable[[], Any]
) -> None:
    made = compressed(a_copy(), int8=True, prune=0.9999)
    shares = artifact.require_card(made, "").passes[1].model_dump()["shipped_sparsity"]
    assert all(share > 0.97 for name, share in shares.items() if name != "head")


def test_no_pass_is_nothing_to_do(trained: Any) -> None:
    with pytest.raises(EdgebigError, match="no pass is asked for"):
        compressed(trained, int8=False, prune=None)


def test_the_preflight_comes_before_any_training(
    a_copy: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebig.keras import keras

    copied = a_copy()
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.LayerNormalization(),
            keras.layers.Conv2D(2, 3, activation="selu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    net.save(copied.run.model_path)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it trains"))
    for prune in (None, 0.5):
        with pytest.raises(EdgebigError, match="refuses 2 of its layers"):
            compressed(copied, int8=True, prune=prune)


def test_a_damaged_model_is_one_message(a_copy: Callable[[], Any]) -> None:
    copied = a_copy()
    whole = copied.run.model_path.read_bytes()
    for data in (b"", b"no model", whole[: len(whole) // 2]):
        copied.run.model_path.write_bytes(data)
        with pytest.raises(EdgebigError, match=r"model\.keras: cannot be read"):
            compressed(copied, int8=True, prune=None)


def test_the_record_of_a_pass_is_closed_to_surprises_by_name_alone() -> None:
    assert PassRecord.model_validate({"name": "qat", "new": 1}).model_dump() == {"name": "qat", "new": 1}


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_as_it_was(a_copy: Callable[[], Any], tmp_path: Path) -> None:
    copied = a_copy()
    before = everything_in(copied.run.folder)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    arguments = [
        "compress",
        copied.run.name,
        "--int8",
        "--prune",
        "0.5",
        "--set",
        "compress.prune.epochs=500",
    ]
    child = subprocess.Popen(
        [sys.executable, "-m", "edgebig", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env,
    )  # fmt: skip
    assert child.stderr is not None
    assert child.stderr.readline() == f"run: runs/{copied.run.name}\n"
    child.stderr.readline()
    time.sleep(random.uniform(3, 9))  # it trains, or is about to
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    # Epochs may have ended by then; beside their lines there is one message.
    assert len([line for line in err.splitlines() if not line.startswith("prune: epoch ")]) <= 1
    assert everything_in(copied.run.folder) == before
    assert json.loads(before["metrics.json"])["epochs"] == 12
