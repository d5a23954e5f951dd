"""The forms in what they are made for: MediaPipe, Vela, TFLite Micro, tflite-runtime 2.14, each in its environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, random_nets
from nets import Step, net

from edgebig import environment, targets
from edgebig.artifact import Artifact
from edgebig.data import source
from edgebig.data.examples import Examples
from edgebig.ondevice import infer
from edgebig.recipe import Data
from edgebig.targets import ethos_u, mcu
from edgebig.targets.operators import operators_of

pytestmark = [pytest.mark.network, pytest.mark.slow]
SCRIPTS = Path(__file__).parent / "scripts"
Environments = Callable[[str], Path]


@pytest.fixture(scope="module")
def digits() -> Examples:
    return source.load(Data(source="digits-5k")).test[::10]


def hosts_outputs(item: Artifact, images: np.ndarray, delegate: str = "reference") -> np.ndarray:
    """(N, classes), as the file's output has them."""
    assert item.card is not None
    model = infer.Model(str(item.path), "ai-edge-litert", delegate, threads=1)
    return np.asarray(infer.classify(model, images, item.card.preprocessing.model_dump()))


def saved(images: np.ndarray, folder: Path) -> str:
    path = folder / "images.npy"
    np.save(path, images)
    return str(path)


def files(models: dict[str, bytes], folder: Path) -> list[str]:
    paths = [folder / f"{number}.tflite" for number in range(len(models))]
    for path, model in zip(paths, models.values(), strict=True):
        path.write_bytes(model)
    return [str(path) for path in paths]


# ---- MediaPipe


@pytest.mark.parametrize("numbers", ["int8", "float32"])
def test_mediapipe_reads_the_digits_as_we_do(
    environments: Environments, digits: Examples, request: pytest.FixtureRequest, tmp_path: Path, numbers: str
) -> None:
    environments("mediapipe")
    original: Artifact = request.getfixturevalue(numbers)
    made = targets.fit(original, "mediapipe").artifact
    greys = np.asarray(digits.images)
    pictures = saved(np.repeat(greys, 3, axis=-1), tmp_path)
    best = environment.run(
        "mediapipe", SCRIPTS / "image_classifier.py", {"model": str(made.path), "images": pictures}
    )
    assert original.card is not None
    raw = hosts_outputs(original, greys, "xnnpack")
    output = original.card.output
    scale, zero_point = (output.scale, output.zero_point) if output.scale else (1.0, 0)
    scores = (raw.astype(np.float64) - (zero_point or 0)) * scale
    assert [label for label, _ in best] == [original.card.classes[place] for place in scores.argmax(axis=1)]
    assert np.allclose([score for _, score in best], scores.max(axis=1), atol=1e-5)


# ---- Vela


def test_vela_leaves_what_we_say(
    environments: Environments, int8: Artifact, float32: Artifact, tmp_path: Path
) -> None:
    environments("vela")
    models = {**CASES, **random_nets(80, seed=1)}
    models |= {"golden": targets.fit(int8, "ethos-u").artifact.path.read_bytes()}
    models |= {"golden float": float32.path.read_bytes()}
    theirs = environment.run(
        "vela", SCRIPTS / "vela_left.py", {"models": files(models, tmp_path)}, deadline_s=600.0
    )
    ours = [[one.tensor for one in ethos_u.left(operators_of(model, "m"))] for model in models.values()]
    wrong = {
        name: (mine, velas)
        for name, mine, velas in zip(models, ours, theirs, strict=True)
        if sorted(mine) != sorted(velas)
    }
    assert not wrong
    # The nets are such that the question is a real one.
    share = np.mean([bool(left) for left in theirs])
    assert 0.25 < share < 0.75


# ---- TFLite Micro


def test_tflite_micro_has_the_kernels_that_we_say(environments: Environments, tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    environments("tflite-micro")
    names = [
        name
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int) and name not in ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")
    ]
    models = files({name: net([Step(name, (1, 8, 8, 4))]) for name in names}, tmp_path)
    answers = environment.run("tflite-micro", SCRIPTS / "micro.py", {"models": models}, deadline_s=300.0)
    assert {name for name, there in zip(names, answers, strict=True) if there} == mcu.KERNELS


def test_the_mcu_form_runs_in_tflite_micro(
    environments: Environments, int8: Artifact, digits: Examples, tmp_path: Path
) -> None:
    environments("tflite-micro")
    made = targets.fit(int8, "mcu").artifact
    assert made.path.stat().st_size < int8.path.stat().st_size
    images = np.asarray(digits.images)
    inputs = (images.astype(np.int16) - 128).astype(np.int8)[:, None]
    answers = environment.run(
        "tflite-micro", SCRIPTS / "micro.py", {"model": str(made.path), "images": saved(inputs, tmp_path)}
    )
    reference = hosts_outputs(int8, images)
    assert np.abs(np.array(answers) - reference).max() <= 2
    assert np.array_equal(np.argmax(answers, axis=1), reference.argmax(axis=1))


# ---- tflite-runtime


@pytest.mark.parametrize("numbers", ["int8", "float32"])
def test_tflite_runtime_reads_the_cpu_form_as_we_do(
    environments: Environments, digits: Examples, request: pytest.FixtureRequest, tmp_path: Path, numbers: str
) -> None:
    environments("tflite-runtime")
    made = targets.fit(request.getfixturevalue(numbers), "cpu").artifact
    images = np.asarray(digits.images)
    inputs = (images / np.float32(255)).astype(np.float32)
    if numbers == "int8":
        inputs = (images.astype(np.int16) - 128).astype(np.int8)
    answers = environment.run(
        "tflite-runtime", SCRIPTS / "legacy.py", {"model": str(made.path), "images": saved(inputs, tmp_path)}
    )
    reference = hosts_outputs(made, images)
    assert np.array_equal(np.argmax(answers, axis=1), reference.argmax(axis=1))
    assert np.abs(np.array(answers) - reference).max() <= (17 if numbers == "int8" else 1e-4)
