"""Distillation: what a teacher says is read once, kept and learnt from; which teachers do, and which do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import runs
from edgebig.data import source
from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Compress, Data, Distil, Qat, Recipe

pytestmark = pytest.mark.tf

SPEC = Distil(teacher=("teacher",), epochs=3, views=2, batch_size=50, learning_rate=0.01)


def with_distil(spec: Recipe, **changes: Any) -> Recipe:
    return spec.model_copy(update={"compress": Compress(distil=SPEC.model_copy(update=changes))})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def teacher_model(trained: Any) -> Any:
    """The trained net, made surer or not: a Keras model that reads (B, 28, 28, 1) and knows the digits."""
    from edgebig import train

    return train.load_model(trained.run)


def test_the_loss_is_hintons_and_its_slope_too() -> None:
    from edgebig import objective
    from edgebig.data.taught import Taught
    from edgebig.keras import tf
    from edgebig.recipe import Train

    rng = np.random.default_rng(0)
    logits, said_logits = rng.normal(0, 3, (2, 6, 4)).astype(np.float32)
    temperature, hard = 3.0, 0.25

    def softmax(z: Any) -> Any:
        powers = np.exp(z - z.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    said = softmax(said_logits / temperature)
    label = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 0]]
    label[5] = 0  # not known
    soft = softmax(logits / temperature)
    wanted = hard * -(label * np.log(softmax(logits))).sum(-1) + (1 - hard) * temperature**2 * (
        said * (np.log(said) - np.log(soft))
    ).sum(-1)
    examples = Examples(np.zeros((6, 1, 1, 1), np.uint8), np.zeros(6, np.int64))
    teacher = Taught(examples, np.zeros((1, 1, 6, 4), np.float16), temperature, hard, "t", "0" * 64)
    function = objective.distillation(Train(), teacher)

    @tf.function
    def step(z: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = function(tf.concat([label, tf.cast(said, tf.float32)], axis=-1), tf.nn.softmax(z))
        return value, tape.gradient(value, z)

    value, slope = step(tf.constant(logits))
    np.testing.assert_allclose(value, wanted, rtol=1e-4)
    known = label.sum(-1, keepdims=True)
    by_hand = hard * known * (softmax(logits) - label) + (1 - hard) * temperature * (soft - said)
    np.testing.assert_allclose(slope, by_hand, atol=1e-5)
    # In eager steps and in a graph that does not end in a softmax the logarithm stands for the logits.
    np.testing.assert_allclose(
        function(tf.constant(np.concatenate([label, said], -1), tf.float32), tf.nn.softmax(logits)),
        wanted,
        rtol=1e-3,
    )


def test_in_qat_the_logits_are_found_behind_the_rounding(trained: Any, teacher_model: Any) -> None:
    from edgebig import objective
    from edgebig.compress.qat import apply_qat
    from edgebig.keras import keras, tf

    quantized = apply_qat(keras.models.clone_model(teacher_model))
    found: list[Any] = []

    @tf.function
    def step(images: Any) -> Any:
        outputs = quantized(images, training=True)
        found.append(objective._logits(outputs))
        return tf.nn.softmax(found[-1]), outputs

    softmax, outputs = step(tf.zeros((2, 28, 28, 1)))
    assert found[0].op.type != "Log"
    np.testing.assert_allclose(softmax, outputs, atol=1 / 256)


def test_a_view_is_the_same_for_every_seed_and_what_is_said_belongs_to_its_pictures(trained: Any) -> None:
    from edgebig.compress import distil
    from edgebig.compress.teacher import Teacher
    from edgebig.data import pipeline
    from edgebig.recipe import Augment

    spec = trained.spec.model_copy(
        update={"data": trained.spec.data.model_copy(update={"augment": Augment(shift_px=3, noise=0.1)})}
    )

    def read(images: Any) -> Any:
        """A row that tells the picture: the means of its ten strips of columns."""
        return np.stack(
            [part.mean(axis=(1, 2, 3)) + 0.01 for part in np.array_split(images, 10, axis=2)], axis=-1
        )

    examples = trained.splits.train[:130]
    settings = SPEC.model_copy(update={"temperature": 1.0})
    said = distil._read([Teacher("strips", "0" * 64, read)], examples, 10, settings, spec)
    assert said.shape == (2, 2, 50, 10)
    from edgebig.data.taught import Taught

    teacher = Taught(examples, said, 1.0, 0.1, "strips", "0" * 64)
    seen = []
    for seed in (0, 1):
        batches = pipeline.training_batches(
            examples,
            10,
            batch_size=7,
            seed=seed,
            first_epoch=0,
            epochs=4,
            augment=spec.data.augment,
            teacher=teacher,
        )
        for images, labels in batches.as_numpy_iterator():
            assert labels.shape == (50, 20)
            rows = read(images)
            np.testing.assert_allclose(labels[:, 10:], rows / rows.sum(-1, keepdims=True), atol=2e-3)
            seen.append((seed, images.tobytes()))
    # 4 epochs of 2 views are the same 4 batches twice, whatever the seed; their order is the seed's.
    assert len(seen) == 16
    assert len({pixels for _, pixels in seen}) == 4


def test_the_teacher_reads_once_and_the_passes_after_it_learn_from_it_too(
    a_copy: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import edgebig.compress as compression

    run, spec, splits = a_copy()
    spec = spec.model_copy(
        update={
            "compress": Compress(
                distil=SPEC.model_copy(update={"teacher": (str(run.folder),)}),
                qat=Qat(epochs=1, batch_size=50),
            )
        }
    )
    made = compression.compress(run, spec, splits).artifact
    assert made.name == "distil-int8"
    assert made.card is not None
    distilled, quantized, _ = (record.model_dump() for record in made.card.passes)
    assert distilled["teacher"] == run.name
    assert distilled["validation_accuracy"] > 0.6
    assert quantized["validation_accuracy"] > 0.6
    kept = list((tmp_path / "cache" / "edgebig" / "taught").iterdir())
    assert [path.stem for path in kept] == [distilled["taught_sha256"]]
    assert "reads 2 views" in capsys.readouterr().err
    again = compression.compress(run, spec, splits).artifact
    # The file's own name is in it, and that is another one.
    assert again.card is not None
    assert again.card.passes == made.card.passes
    assert "kept in" in capsys.readouterr().err
    kept[0].write_bytes(b"damaged")
    compression.compress(run, with_distil(spec, teacher=(str(run.folder),), epochs=1), splits)
    assert "reads 2 views" in capsys.readouterr().err


def test_what_is_kept_is_named_by_all_that_it_depends_on(tmp_path: Path) -> None:
    from edgebig.compress.distil import _identity
    from edgebig.recipe import Augment, DigitCnn, Paper

    code = tmp_path / "own.py"
    code.write_text("def change(pictures, seed): return pictures")
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    teachers = [a_teacher(lambda x: x)]

    def named(labels: list[int], augment: Augment, **changes: Any) -> str:
        spec = Recipe(
            name="r", model=DigitCnn(name="digit-cnn"), data=Data(source="digits-5k", augment=augment)
        )
        examples = Examples(images, np.array(labels))
        return _identity(teachers, examples, SPEC.model_copy(update=changes), spec)

    # Without paper nothing that a teacher says is held against the labels: one file does for any.
    assert named([0, 1, 2, 3], Augment()) == named([0, 1, 2, -1], Augment())
    names = [named([0, 1, 2, 3], Augment())]
    names += [named(labels, Augment(paper=Paper())) for labels in ([0, 1, 2, 3], [0, 1, 2, -2])]
    names += [named([0, 1, 2, 3], Augment(shift_px=1)), named([0, 1, 2, 3], Augment(), views=3)]
    own = Augment(function=f"python:{code}:change")
    names.append(named([0, 1, 2, 3], own))
    code.write_text("def change(pictures, seed): return 1 - pictures")
    names.append(named([0, 1, 2, 3], own))
    assert len(set(names)) == len(names)
    code.unlink()
    with pytest.raises(EdgebigError, match="no such file"):
        named([0, 1, 2, 3], own)


def test_a_student_learns_what_only_its_teacher_knows(trained: Any, teacher_model: Any) -> None:
    """Labels that are wrong everywhere do no harm where the teacher has all of the loss."""
    from edgebig import train
    from edgebig.compress.context import Context
    from edgebig.compress.distil import _read
    from edgebig.compress.teacher import Teacher, _keras_reader
    from edgebig.data.taught import Taught
    from edgebig.keras import keras

    splits = trained.splits
    wrong = Examples(splits.train.images, (splits.train.labels + 1) % 10)
    teacher = Teacher("net", "0" * 64, _keras_reader(teacher_model))
    settings = SPEC.model_copy(update={"hard": 0.0, "epochs": 40})
    said = _read([teacher], wrong, 10, settings, trained.spec)
    context = Context(
        Splits(splits.source, splits.classes, wrong, splits.validation, splits.test), trained.spec, ("distil",), 0,
        Taught(wrong, said, settings.temperature, 0.0, "net", "0" * 64),
    )  # fmt: skip
    student = keras.models.clone_model(train.load_model(trained.run))
    context.fit(student, settings, "distil")
    right = (
        student.predict(splits.validation.images / 255.0, verbose=0).argmax(-1) == splits.validation.labels
    )
    assert right.mean() > 0.6


@pytest.mark.parametrize("kind", ["run", "recipe", "keras", "saved_model", "tflite"])
def test_teachers_of_every_kind_say_the_same(
    a_copy: Callable[..., Any], teacher_model: Any, tmp_path: Path, kind: str
) -> None:
    from edgebig.compress import teacher
    from edgebig.keras import tf

    run, spec, splits = a_copy()
    student = runs.create(spec, run.folder.parent)
    name = {"run": run.name, "recipe": spec.name, "tflite": str(run.folder / "float32.tflite")}.get(kind, "")
    if kind == "keras":
        teacher_model.save(tmp_path / "net.keras")
        name = str(tmp_path / "net.keras")
    if kind == "saved_model":
        tf.saved_model.save(teacher_model, str(tmp_path / "net"))
        name = str(tmp_path / "net")
    found = teacher.load(name, student)
    images = splits.test.images[:20].astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(found.read(images), teacher_model.predict(images, verbose=0), atol=1e-5)
    assert teacher.check(found, splits) > 0.6
    assert found.classes == (None if kind in ("keras", "saved_model") else splits.classes)


def a_teacher(read: Callable[[Any], Any], classes: tuple[str, ...] | None = None) -> Any:
    from edgebig.compress.teacher import Teacher

    return Teacher("t", "0" * 64, read, classes)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (
            lambda: a_teacher(lambda x: np.full((len(x), 3), 1 / 3)),
            r"gives \(3,\) numbers, the data has 10 classes",
        ),
        (lambda: a_teacher(lambda x: np.full((len(x), 10), 0.1)), "which is chance"),
        (lambda: a_teacher(lambda x: np.full((len(x), 10), 3.0)), "no probabilities"),
        (lambda: a_teacher(lambda x: x, ("a", "b")), "knows the classes a, b, the data has 0, 1, 2"),
    ],
)
def test_a_teacher_that_does_not_do_is_refused(trained: Any, teacher: Callable[[], Any], said: str) -> None:
    from edgebig.compress import teacher as teachers

    with pytest.raises(EdgebigError, match=said):
        teachers.check(teacher(), trained.splits)


@pytest.mark.parametrize("name", ["nothing", "recipe.toml", "broken.tflite", "broken.keras", "folder"])
def test_no_teacher_there(trained: Any, tmp_path: Path, name: str) -> None:
    from edgebig.compress import teacher as teachers

    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    (tmp_path / "broken.keras").write_bytes(b"nothing")
    (tmp_path / "recipe.toml").write_bytes(b"nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EdgebigError) as caught:
        teachers.load(str(tmp_path / name), trained.run)
    assert name in caught.value.problem


def test_a_teacher_is_corrected_where_the_label_says_otherwise() -> None:
    from edgebig.compress.distil import corrected

    said = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
    third = np.full(3, np.float32(1) / 3)
    labels = np.array([[1, 0, 0], [0, 1, 0], third, [0, 0, 0]])
    # Right, wrong, of no class, and of a class that nobody knows.
    assert corrected(said, labels).tolist() == [
        said[0].tolist(),
        labels[1].tolist(),
        labels[2].tolist(),
        said[3].tolist(),
    ]


def test_pictures_without_labels_join_and_none_twice(trained: Any) -> None:
    from edgebig.compress.distil import _unlabelled
    from edgebig.data.taught import UNKNOWN

    whole = source.load(Data(source="digits-5k"))
    examples = _unlabelled(trained.splits, "digits-5k")
    here = sum(len(part) for part in trained.splits.parts().values())
    new = sum(len(part) for part in whole.parts().values()) - here
    assert (examples.labels == UNKNOWN).all()
    assert len(examples) == new
    assert not np.isin(examples.hashes, trained.splits.test.hashes).any()
    full = Splits("digits-5k", whole.classes, whole.train, whole.validation, whole.test)
    with pytest.raises(EdgebigError, match="no picture that is not in the data"):
        _unlabelled(full, "digits-5k")
