"""A recipe -> a run folder: gradient descent, and the best epoch on validation."""

from __future__ import annotations

import contextlib
import time
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgebig import convert, files, models, objective, recipe, runs, start, usercode
from edgebig.artifact import Artifact
from edgebig.checkpoint import Checkpoint, Progress, rank
from edgebig.data import paper, pipeline
from edgebig.data.examples import Splits
from edgebig.data.taught import Taught
from edgebig.errors import EdgebigError
from edgebig.keras import gpus, keras, tf
from edgebig.models import head
from edgebig.progress import Watch, say, watch
from edgebig.recipe import Augment, Fit, Recipe
from edgebig.tensorboard import EventFiles

# A loop of steps costs a second trace, about 1 s of CPU, and saves some 2 ms of Python a step.
_STEPS_WORTH_A_LOOP = 500
_STEPS_IN_A_LOOP = 16


def train(
    spec: Recipe, splits: Splits, run: runs.Run, *, resume: bool = False, tensorboard: bool = False
) -> Artifact:
    """Trains `spec` into `run`: model.keras, history.csv, float32.tflite with its card, metrics.json; then `latest`.

    `tensorboard`: writes logs for it into run/tensorboard. Raises EdgebigError where the loss is no number, or the
    checkpoint to resume from is of another recipe.
    """
    started_s = time.monotonic()
    with _precision(spec), _strategy().scope():
        model = build(spec, splits)
    begun = start.of(spec.train.start, splits, run) if spec.train.start else None
    if begun and not (resume and run.checkpoint_path.is_file()):
        _take_weights(model, begun)
    progress = fit(
        model,
        splits,
        spec.train,
        augment=spec.data.augment,
        seed=spec.train.seed,
        what="train",
        checkpoint=Checkpoint(run.checkpoint_path, _recipe_sha256(spec)),
        resume=resume,
        callbacks=[EventFiles(run.folder / "tensorboard")] if tensorboard else [],
    )
    if spec.train.precision == "mixed":
        trained, model = model, build(spec, splits)
        model.set_weights(trained.get_weights())
    model = head.two_outputs(model)
    with files.replacing(run.model_path) as temporary:
        model.save(temporary)
    made = convert.publish(
        run.folder, "float32", convert.to_tflite(model, int8=False), spec, splits,
        parameters=model.count_params(), passes=begun.records if begun else (), parent=None,
    )  # fmt: skip
    card = made.card
    assert card is not None
    runs.finish(
        run,
        {
            "schema": runs.METRICS_SCHEMA,
            **progress.facts(),
            "parameters": model.count_params(),
            "validation_n": len(splits.validation),
            "float32_test_accuracy": card.host_accuracy.value,
            "test_n": card.host_accuracy.n,
            "seconds": round(time.monotonic() - started_s, 1),
        },
    )
    run.checkpoint_path.unlink(missing_ok=True)
    for left_by_a_kill in run.folder.glob(".*-*"):
        left_by_a_kill.unlink(missing_ok=True)
    return made


def build(spec: Recipe, splits: Splits) -> Any:
    """The untrained model of a recipe, its weights drawn from the recipe's seed. Raises EdgebigError."""
    keras.utils.set_random_seed(spec.train.seed)
    # A layer without a name is named by a count, and the .tflite has that: one recipe and seed are to be one file.
    keras.backend.reset_uids()
    return models.build(spec.model, splits.train.shape, len(splits.classes))


def _take_weights(model: Any, begun: start.Start) -> None:
    """Gives `model` the weights of the run that it starts from. Raises EdgebigError where they do not fit."""
    weights = load_model(begun.run()).get_weights()
    if [part.shape for part in weights] != [part.shape for part in model.get_weights()]:
        raise EdgebigError(
            f"[train] start: {begun.name} is another model, its weights do not fit this one",
            "start from a run whose recipe has the same [model] and as many classes",
        )
    model.set_weights(weights)
    say(f"train: starts from the weights of {begun.name}")


@contextlib.contextmanager
def _precision(spec: Recipe) -> Iterator[None]:
    if spec.train.precision == "float32":
        yield
        return
    if not gpus():
        raise EdgebigError(
            '[train] precision = "mixed" is for GPUs, and there is none that TensorFlow sees',
            "leave it out; 'edgebig doctor' tells what is here",
        )
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


def _strategy() -> Any:
    """All GPUs where there are several, else TensorFlow's own choice."""
    return tf.distribute.MirroredStrategy() if len(gpus()) > 1 else tf.distribute.get_strategy()


def load_model(run: runs.Run) -> Any:
    """The trained Keras model of a run. Raises EdgebigError where the file is damaged."""
    spec, mend = run.recipe.model, "train it again"
    if isinstance(spec, recipe.PythonModel):
        mend = (
            "a layer class of your own needs @keras.saving.register_keras_serializable(), and a Lambda does not "
            f"travel with a model; {mend}"
        )
        if usercode.split(spec.name)[0].is_file():
            usercode.load(spec.name)  # which registers the layer classes in it
    try:
        return keras.models.load_model(run.model_path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise EdgebigError(f"{run.model_path}: cannot be read ({said})", mend) from error


def _recipe_sha256(spec: Recipe) -> str:
    return files.sha256_bytes(recipe.to_toml(spec).encode())


def fit(
    model: Any,
    splits: Splits,
    spec: Fit,
    *,
    augment: Augment,
    seed: int,
    what: str,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    first_eligible_epoch: int = 0,
    teacher: Taught | None = None,
) -> Progress:
    """Gradient descent on `model`, in place; it ends with the weights of the epoch that `spec.keep` says.

    `first_eligible_epoch`: earlier epochs cannot be the best one (a pruning that is still ramping up). With a
    `teacher` the batches are those that it read, and the loss is taken from what it says of them.
    Raises EdgebigError where the loss is no number.
    """
    classes = len(splits.classes)
    examples = teacher.examples if teacher else paper.learnt(splits, augment)
    steps = teacher.steps if teacher else pipeline.steps_per_epoch(examples, spec.batch_size)
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=objective.optimizer(spec, steps),
            loss=objective.distillation(spec, teacher) if teacher else objective.loss(spec, classes),
            metrics=[objective.accuracy],
            steps_per_execution=_STEPS_IN_A_LOOP if spec.epochs * steps >= _STEPS_WORTH_A_LOOP else 1,
        )
        _make_variables(model, classes)
    progress = checkpoint.restore(model) if checkpoint and resume else Progress()
    if checkpoint and progress.epoch:
        say(f"{what}: goes on after epoch {progress.epoch} of {spec.epochs}")
        checkpoint.write_history(progress)  # A kill may have come between the two.
    if not progress.ended(spec, first_eligible_epoch):
        batches = pipeline.training_batches(
            examples, classes, batch_size=spec.batch_size, seed=seed, first_epoch=progress.epoch,
            epochs=spec.epochs, augment=augment, teacher=teacher,
        )  # fmt: skip
        earlier = [shown(row, spec.epochs) for row in progress.history]
        best = progress.best_epoch if spec.keep == "best" else -1
        with watch(what, (spec.epochs - progress.epoch) * steps, earlier, best) as watcher:
            model.fit(
                batches,
                steps_per_epoch=steps,
                initial_epoch=progress.epoch,
                epochs=spec.epochs,
                validation_data=pipeline.evaluation_batches(splits.validation, classes),
                verbose=0,
                callbacks=[
                    *callbacks,
                    _Epochs(progress, seed, what, spec, checkpoint, watcher, first_eligible_epoch, steps),
                ],
            )
    model.set_weights(progress.best_weights)
    return progress


def _make_variables(model: Any, classes: int) -> None:
    """Makes the optimizer's and the metrics' variables. Keras traces a step anew when its first trace made some."""
    model.optimizer.build(model.trainable_variables)
    if tf.distribute.has_strategy():
        return  # Several devices: a loss can be taken only inside a step.
    labels = tf.one_hot([0], classes)
    probabilities = tf.fill([1, model.output_shape[-1]], 0.5)
    model.compute_loss(y=labels, y_pred=probabilities)
    model.compute_metrics(None, labels, probabilities, None)
    model.reset_metrics()


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
    """Seeds each epoch, watches the loss, keeps the best weights, writes the checkpoint, and stops in time."""

    def __init__(
        self,
        progress: Progress,
        seed: int,
        what: str,
        spec: Fit,
        checkpoint: Checkpoint | None,
        watcher: Watch,
        first_eligible_epoch: int,
        steps: int,
    ) -> None:
        super().__init__()
        self.progress = progress
        self.seed = seed
        self.what = what
        self.spec = spec
        self.checkpoint = checkpoint
        self.watcher = watcher
        self.first_eligible_epoch = first_eligible_epoch
        self.last_batch = -1
        self.started_s = 0.0
        self.schedule = objective.LearningRate(spec, steps)
        self.raw_weights: list[Any] = []
        self.evaluated: list[Any] = []

    def on_test_begin(self, logs: Any = None) -> None:
        """Validation is of the weights that would be kept: their moving average, where there is one."""
        if self.spec.ema:
            optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
            self.raw_weights = self.model.get_weights()
            for variable, average in zip(
                self.model.trainable_variables, optimizer._model_variables_moving_average, strict=True
            ):
                # The average was taken before the step's constraint, which it must fulfil as well.
                variable.assign(variable.constraint(average) if variable.constraint else average)

    def on_test_end(self, logs: Any = None) -> None:
        self.evaluated = self.model.get_weights()
        if self.spec.ema:
            self.model.set_weights(self.raw_weights)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.last_batch = -1
        self.started_s = time.monotonic()
        for index, layer in enumerate(self.model._flatten_layers()):
            generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
            if generator is not None:
                generator.reset_from_seed(hash((self.seed, epoch, index)) % 2**31)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]):
            raise self.diverged(
                f"the loss is {logs['loss']} in epoch {self.progress.epoch + 1}, by step {batch + 1}"
            )
        history = self.progress.history
        validated = f" validation {history[-1]['val_accuracy']:.2%}" if history else ""
        note = f"epoch {self.progress.epoch + 1}/{self.spec.epochs} loss {logs['loss']:.4f}{validated}"
        self.watcher.advance(batch - self.last_batch, note)
        self.last_batch = batch

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        progress = self.progress
        # A step's loss is taken before the step, and ReLU makes 0 of a NaN: neither loss shows what the last step did.
        sums = (np.sum(value, dtype=np.float64) for value in (*self.evaluated, *self.model.get_weights()))
        if not np.isfinite([logs["val_loss"], *sums]).all():
            raise self.diverged(f"a weight is no number after epoch {epoch + 1}")
        row = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in logs.items()},
            # That of the epoch's last step.
            "learning_rate": float(self.schedule(self.model.optimizer.iterations - 1)),
            "seconds": round(time.monotonic() - self.started_s, 2),
        }
        progress.history.append(row)
        progress.epoch = epoch + 1
        if self.spec.keep == "last" or (
            epoch >= self.first_eligible_epoch
            and (progress.best_epoch < 0 or rank(row) > rank(progress.history[progress.best_epoch]))
        ):
            progress.best_epoch = epoch
            progress.best_weights = self.evaluated
        if self.checkpoint:
            self.checkpoint.save(self.model, progress)
            self.checkpoint.write_history(progress)
        self.watcher.row(
            shown(row, self.spec.epochs), best=progress.best_epoch == epoch and self.spec.keep == "best"
        )
        self.model.stop_training = progress.ended(self.spec, self.first_eligible_epoch)

    def diverged(self, problem: str) -> EdgebigError:
        phase = self.what.split(":", maxsplit=1)[0]  # as in "slim: sparsify"
        table = "train" if phase == "train" else f"compress.{phase}"
        hint = f"lower it: --set {table}.learning_rate={self.spec.learning_rate / 10:g}"
        if self.checkpoint and self.progress.epoch:
            hint += f"; {self.checkpoint.path} holds epoch {self.progress.epoch}, the last good one"
        return EdgebigError(f"{self.what}: {problem}; the learning rate is {self.spec.learning_rate:g}", hint)


def shown(row: dict[str, float], epochs: int) -> dict[str, str]:
    """A row of the history, for the person who waits."""
    return {
        "epoch": f"{row['epoch']}/{epochs}",
        "loss": f"{row['loss']:.4f}",
        "accuracy": f"{row['accuracy']:.2%}",
        "validation loss": f"{row['val_loss']:.4f}",
        "validation": f"{row['val_accuracy']:.2%}",
        "rate": f"{row['learning_rate']:.2g}",
        "seconds": f"{row['seconds']:.1f}",
    }
