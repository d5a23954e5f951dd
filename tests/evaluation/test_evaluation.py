"""Models on pictures, really run here: by the driver in processes of their own, and in this one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebig import artifact, device, evaluation, stats
from edgebig.artifact import Artifact
from edgebig.data.examples import Examples, Pictures, Splits, per_class
from edgebig.drivers.local import LocalSession
from edgebig.drivers.protocol import Event
from edgebig.errors import DeviceError, EdgebigError
from edgebig.evaluation import chosen, record
from edgebig.ondevice import infer

Model = Callable[..., Artifact]

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


def evaluate(artifacts: list[Artifact], splits: Splits, count: int, **options: Any) -> evaluation.Result:
    which = chosen.choose(artifacts, splits, "test", count, own=options.get("own", True))
    return evaluation.run(artifacts, which, device.load("local"), 100.0)


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, model_in: Model, digits: Splits
) -> Iterator[evaluation.Result]:
    """Three models on 200 test digits, really run: two of one net, and a worse one."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        names = ("digits-float32", "digits-int8", "digits-slow")
        yield evaluate([model_in(folder, name) for name in names], digits, 200)


@pytest.fixture(scope="module")
def few(digits: Splits) -> Examples:
    """Those 200."""
    return digits.test[per_class(digits.test.labels, 200, seed=0)]


def test_the_driver_and_this_process_say_the_same(ran: evaluation.Result, few: Examples) -> None:
    """Real outputs of a float and an int8 model, against the runtime itself."""
    for item, found in zip(ran.artifacts[:2], ran.evaluations[:2], strict=True):
        loaded = infer.Model(str(item.path), "ai-edge-litert", "xnnpack", 1)
        assert item.card is not None
        raw = infer.classify(loaded, np.asarray(few.images), item.card.preprocessing.model_dump())
        assert found.probabilities.dtype == np.float32
        np.testing.assert_array_equal(found.probabilities, loaded.scores(raw))
        np.testing.assert_array_equal(found.labels, few.labels)
        here = evaluation.of(item, few, "test")
        np.testing.assert_array_equal(here.probabilities, found.probabilities)
        assert (here.step, here.split, here.classes) == (found.step, "test", found.classes)
        assert found.accuracy.value > 0.8
    assert [found.step for found in ran.evaluations] == [0, 0.00390625, 0]
    assert len(np.unique(ran.evaluations[1].probabilities)) <= 256


def test_what_was_just_made_is_run_without_reading_a_mapped_file_at_once(
    model: Model, digits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        pytest.fail("the whole mapped file is read")

    mapped = Pictures(np.asarray(digits.test.images), digits.test.hashes)
    monkeypatch.setattr(Pictures, "__array__", refuse)
    monkeypatch.setattr("edgebig.data.examples._CHUNK_BYTES", 28 * 28 * 7)
    few = Examples(mapped, digits.test.labels)[:50]
    found = evaluation.of(model(), few)
    assert found.accuracy == evaluation.of(model(), digits.test[:50]).accuracy
    assert found.accuracy.n == 50


def test_classes_go_by_their_names(model: Model, digits: Splits) -> None:
    """Data that numbers the same classes otherwise gives the same answers."""
    reversed_ = tuple(reversed(digits.classes))
    test = Examples(digits.test.images, 9 - digits.test.labels)
    turned = Splits("turned", reversed_, digits.train, digits.validation, test)
    (found,) = evaluate([model()], turned, 50, own=False).evaluations
    assert found.accuracy.value > 0.8
    assert found.classes == digits.classes


def test_several_models_are_compared_on_the_same_examples(ran: evaluation.Result) -> None:
    first, _, second = ran.evaluations
    _, paired = record.comparisons(ran)
    assert (paired.b, paired.a) == (str(ran.artifacts[0].path), str(ran.artifacts[2].path))
    assert paired.only_a == int((second.right & ~first.right).sum())
    assert paired.only_b == int((first.right & ~second.right).sum())
    assert paired.mcnemar_p == stats.mcnemar(first.right, second.right).p_value < 1e-6
    assert paired.accuracy_points == pytest.approx(100 * (second.accuracy.value - first.accuracy.value))
    assert paired.accuracy_low < paired.accuracy_points < paired.accuracy_high < 0
    spread = record.spreads(ran)["accuracy"]
    assert spread is not None
    values = [found.accuracy.value for found in ran.evaluations]
    assert (spread.n, spread.low, spread.high) == (3, min(values), max(values))
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.sd == pytest.approx(np.std(values, ddof=1))


def test_the_record_is_json_and_tells_what_was_misread(
    ran: evaluation.Result, few: Examples, digits: Splits
) -> None:
    values = record.record(ran, few)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert list(values) == [
        "schema", "device", "data", "models", "spreads", "recall_spreads", "comparisons",
    ]  # fmt: skip
    told = values["models"][1]
    assert np.sum(told["confusion"]) == 200
    assert np.trace(told["confusion"]) == told["accuracy"]["correct"] == 200 - len(told["misread"])
    assert sum(row["count"] for row in told["confusions"]) == len(told["misread"]) > 0
    hashes = {
        f"{value:016x}": label for value, label in zip(digits.test.hashes, digits.test.labels, strict=True)
    }
    for row in told["misread"]:
        assert digits.classes[hashes[row["hash"]]] == row["true"] != row["read"]
        assert digits.classes[few.labels[row["index"]]] == row["true"]
        assert 0.1 <= row["confidence"] <= 1
    assert values["data"]["leak_check"] == "no test example was in a training set"
    assert (values["device"]["name"], values["device"]["provenance"]) == ("local", "real")


def test_outputs_that_are_no_numbers_make_no_record_that_is_no_json(model: Model, digits: Splits) -> None:
    rows = np.full((10, 10), np.nan, np.float32)
    broken = evaluation.Evaluation(digits.classes, np.arange(10), rows)
    result = evaluation.Result((model(),), (broken,), {}, {})
    values = record.record(result, digits.test[:10])
    json.dumps(values, allow_nan=False)
    assert values["models"][0]["calibration"] is None


# What is refused


def test_a_card_of_another_number_of_classes_is_refused(model: Model, digits: Splits) -> None:
    item = model(classes=list("0123456789a"))
    with pytest.raises(EdgebigError, match="10 outputs, and its card names 11 classes"):
        evaluate([item], digits, 20)
    with pytest.raises(EdgebigError, match="10 outputs, and its card names 11 classes"):
        evaluation.of(item, digits.test[:5])


def test_a_damaged_model_is_the_users_fault_and_not_this_process(model: Model, digits: Splits) -> None:
    item = model()
    data = bytearray(item.path.read_bytes())
    data[:4] = b"\xff" * 4
    item.path.write_bytes(data)
    item.path.with_suffix(".json").write_text(
        json.dumps({**artifact.dump_record(item.card), "sha256": artifact.files.sha256_bytes(bytes(data))})
    )
    damaged = artifact.load(item.path)
    with pytest.raises(EdgebigError, match=r"digits-int8\.tflite") as caught:
        evaluate([damaged], digits, 20)
    assert caught.value.exit_code == 1


def test_a_device_that_tells_classes_alone_is_refused(model: Model, digits: Splits) -> None:
    which = chosen.choose([model()], digits, "test", 20, own=True)
    with pytest.raises(DeviceError, match="fake: it tells the classes alone"):
        evaluation.run([model()], which, device.load("fake"), 10)


def test_a_device_that_stops_halfway_is_told(model: Model, digits: Splits, monkeypatch: Any) -> None:
    """Its events are a real device's, and end before the result, or before the last pictures."""
    item = model()
    which = chosen.choose([item], digits, "test", 20, own=True)
    target = device.load("local")
    whole, events = LocalSession.run, []

    def heard(*arguments: Any) -> Iterator[Event]:
        for event in whole(*arguments):
            events.append(event)
            yield event

    monkeypatch.setattr(LocalSession, "run", heard)
    evaluation.run([item], which, target, 60)
    for lost, told in (
        ("result", "ended before its result"),
        ("outputs", "0 answers came back for 20 pictures"),
    ):
        rest = [event for event in events if event["event"] != lost]
        monkeypatch.setattr(LocalSession, "run", lambda *_, rest=rest: iter(rest))
        with pytest.raises(DeviceError, match=told):
            evaluation.run([item], which, target, 60)


def test_a_model_that_changes_meanwhile_is_refused(model: Model, digits: Splits) -> None:
    item = model()
    which = chosen.choose([item], digits, "test", 20, own=True)
    shutil.copyfile(Path(__file__).parent.parent / "golden" / "digits-slow.tflite", item.path)
    with pytest.raises(EdgebigError, match="was changed while it was being evaluated"):
        evaluation.run([item], which, device.load("local"), 60)
