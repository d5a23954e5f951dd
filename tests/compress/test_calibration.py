"""The calibration set: whom it is drawn from and what is refused; ranges: as their definitions say, by plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.data.examples import Examples, Splits
from edgebig.errors import EdgebigError
from edgebig.recipe import Ptq

pytestmark = pytest.mark.tf  # the package that they stand in loads it
PIXELS = {"low": 0.0, "high": 1.0, "ink_is_high": True, "colour": "grey"}


def splits_of(images: Any, labels: Any, classes: int = 3) -> Splits:
    train = Examples(np.asarray(images, np.uint8), np.asarray(labels, np.int64))
    names = tuple("abcdefghij"[:classes])
    return Splits("here", names, train, train[:0], train[:0])


def noise(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 1), np.uint8)


def test_the_set_is_drawn_per_class_out_of_train_in_random_order() -> None:
    from edgebig.compress import calibration

    labels = np.repeat([0, 1, 2], [100, 40, 5])  # sorted, as folders come
    whole = splits_of(noise(145), labels)
    chosen = calibration.draw(whole, 30, seed=3)
    assert sorted(chosen.per_class.values()) == [5, 12, 13]
    assert chosen.per_class["c"] == 5
    assert len(set(chosen.examples.hashes)) == 30
    assert set(chosen.examples.hashes) <= set(whole.train.hashes)
    assert not set(chosen.examples.hashes) & set(chosen.rest.hashes)
    assert len(chosen.rest) == 30
    # A moving average remembers the last ones: they must not be of one class.
    assert len(set(chosen.examples.labels[-8:].tolist())) > 1
    halves = [np.bincount(chosen.examples.labels[half]) for half in (chosen.first_half, ~chosen.first_half)]
    assert np.abs(halves[0] - halves[1]).max() <= 1
    assert abs(int(halves[0].sum() - halves[1].sum())) <= 1
    again = calibration.draw(whole, 30, seed=3)
    assert np.array_equal(again.examples.images, chosen.examples.images)
    other = calibration.draw(whole, 30, seed=4)
    assert not np.array_equal(np.sort(other.examples.hashes), np.sort(chosen.examples.hashes))


def test_what_no_range_can_be_taken_from_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from edgebig.compress import calibration

    def refusal(whole: Splits, count: int) -> EdgebigError:
        with pytest.raises(EdgebigError) as caught:
            calibration.draw(whole, count, seed=0)
        return caught.value

    error = refusal(splits_of(np.empty((0, 4, 4, 1)), []), 10)
    assert "no training pictures" in error.problem
    error = refusal(splits_of(noise(20), np.zeros(20)), 10)
    assert "(10) are of one class, 'a'" in error.problem
    assert "compress.ptq.calibration=30" in error.hint
    error = refusal(splits_of(noise(30), np.arange(30) % 3), 1)
    assert "are of one class" in error.problem
    flat = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None, None], (30, 4, 4, 1))
    error = refusal(splits_of(flat, np.arange(30) % 3), 9)
    assert "each of the 9 calibration pictures is of one level throughout" in error.problem
    # All pictures of train but three are bright, and by this seed all three are drawn.
    images = noise(300) // 8 + 200
    images[:3] //= 8
    error = refusal(splits_of(images, np.r_[0, 1, 2, np.full(297, 2)]), 3)
    assert (
        error.problem
        == (
            "here: the calibration pictures reach from 25 to 231, and 0.0% of train's pixels are outside of that"
        )
        or "of train's pixels are outside of that" in error.problem
    )
    assert "compress.ptq.calibration=30" in error.hint
    assert capsys.readouterr().err == ""


def test_what_is_odd_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from edgebig.compress import calibration

    images = np.full((202, 4, 4, 1), 100, np.uint8)
    images[::2] = noise(101) // 2 + 64
    images[201, 0, 0] = 255
    # One bright pixel that is not drawn; no picture of c; half of the pictures are flat.
    chosen = calibration.draw(splits_of(images, np.arange(202) % 2), 100, seed=1)
    told = capsys.readouterr().err
    assert "no picture of c; what only they show is cut off (--set compress.ptq.calibration=30)" in told
    assert f"{chosen.constant} of 100 pictures are of one level throughout" in told
    assert 30 < chosen.constant < 70
    if chosen.pixels[1] < 255:
        assert "train's from 64 to 255: 0.03% of them saturate" in told
        assert chosen.saturated == pytest.approx(1 / images.size)
    calibration.draw(splits_of(noise(30), np.arange(30) % 3), 99, seed=0)
    assert "30 pictures, all that train has, of 99 that were asked for" in capsys.readouterr().err
    calibration.draw(splits_of(noise(30), np.arange(30) % 3), 99, seed=0, tell=False)
    assert capsys.readouterr().err == ""


Values = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 60)), elements=st.floats(-1e4, 1e4, width=32)
)


@given(Values, st.sampled_from([90.0, 95.0, 99.0, 99.99, 100.0]), st.integers(0, 12))
def test_a_spread_has_numpys_percentiles_whole_and_merged(values: Any, percent: float, cut: int) -> None:
    from edgebig.compress.activations import Spread

    tail = int(np.ceil((100 - percent) / 100 * values.size)) + 2
    parts = []
    for part in (values[:cut], values[cut:]):
        spread = Spread(tail, quota=4, seed=0)
        for picture in part:
            spread.add(picture)
        parts.append(spread)
    if len(values[:cut]) == 0:
        whole = parts[1]
    elif len(values[cut:]) == 0:
        whole = parts[0]
    else:
        whole = parts[0].merged(parts[1])
    assert whole.count == values.size
    wanted = np.percentile(values.astype(np.float64), [100 - percent, percent])
    assert whole.percentile(percent) == pytest.approx(tuple(wanted), rel=1e-6, abs=1e-6)
    found, weights = whole.weighted()
    assert weights.sum() == pytest.approx(values.size)
    assert found.min() == values.min()
    assert found.max() == values.max()


def spread_of(values: Any, tail: int = 1024, quota: int = 33) -> Any:
    from edgebig.compress.activations import Spread

    spread = Spread(tail, quota, seed=0)
    for picture in values:
        spread.add(picture)
    return spread


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.normal(0, 1, shape),
        lambda rng, shape: np.maximum(rng.normal(0, 1, shape), 0),  # relu
        lambda rng, shape: rng.laplace(0.3, 1, shape),
        lambda rng, shape: np.where(rng.random(shape) < 1e-4, 300, rng.normal(0, 1, shape)),  # outliers
        lambda rng, shape: rng.uniform(-3, 1, shape),
    ],
    ids=["normal", "relu", "laplace", "outliers", "uniform"],
)
def test_mse_is_the_best_range_there_is(draw: Any) -> None:
    from edgebig.compress import ranges

    values = draw(np.random.default_rng(1), (200, 500)).astype(np.float32)
    (low, high), *_ = ranges.mse([spread_of(values)], 8)

    def error(low: float, high: float) -> float:
        """By the kernels' arithmetic, of all values."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255
        zero = np.round(-128 - low / scale)
        q = np.clip(np.round(values / scale) + zero, -128, 127)
        return float(np.mean(((q - zero) * scale - values) ** 2))

    shares = np.linspace(0.02, 1, 40)
    best = min(
        error(a * float(values.min()), b * float(values.max())) for a in shares for b in shares if a or b
    )
    assert error(low, high) <= 1.03 * best
    assert error(low, high) <= 1.005 * error(float(values.min()), float(values.max()))


def test_mse_of_16_bits_stays_symmetric_and_of_nothing_is_nothing() -> None:
    from edgebig.compress import ranges

    values = np.random.default_rng(0).normal(0, 1, (20, 100)).astype(np.float32)
    (low, high), *_ = ranges.mse([spread_of(values)], 16)
    assert (low, high) == pytest.approx((values.min(), values.max()), rel=0.02)
    assert ranges.mse([spread_of(np.zeros((3, 5), np.float32))], 8) == [(0.0, 0.0)]
    assert ranges.quantization_error(np.zeros(3), np.ones(3), 0.0, 0.0, 8) == 0.0


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-100, 100)))
def test_min_max_and_moving_average_lie_as_they_must(pairs: Any) -> None:
    from edgebig.compress import ranges
    from edgebig.compress.activations import Observed

    observed = Observed(("t",), pairs.min(axis=1, keepdims=True), pairs.max(axis=1, keepdims=True))
    assert ranges.min_max(observed) == [(pairs.min(), pairs.max())]
    ((low, high),) = ranges.moving_average(observed)
    n = len(pairs)
    weights = 0.05 * 0.95 ** np.arange(n)[::-1]
    weights[0] /= 0.05  # the first is where it starts
    assert low == pytest.approx(weights @ pairs.min(axis=1), abs=1e-9)
    assert high == pytest.approx(weights @ pairs.max(axis=1), abs=1e-9)


@pytest.fixture(scope="module")
def float_tflite(trained: Any) -> bytes:
    data: bytes = (trained.run.folder / "float32.tflite").read_bytes()
    return data


def by_the_reference(model: bytes, images: Any) -> list[dict[str, Any]]:
    """Every tensor of every picture, by the reference kernels and nothing of the package."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )  # fmt: skip
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    seen = []
    for image in images:
        interpreter.set_tensor(entry, (image[None] / 255).astype(np.float32))
        interpreter.invoke()
        seen.append(
            {
                d["name"]: interpreter.get_tensor(d["index"])
                for d in interpreter.get_tensor_details()
                if d["name"]
            }
        )
    return seen


def test_activations_are_those_of_the_reference_kernels(trained: Any, float_tflite: bytes) -> None:
    from edgebig.compress.activations import Reader

    few = trained.splits.train[:20]
    reader = Reader(float_tflite, PIXELS)
    observed = reader.observe(few)
    seen = by_the_reference(float_tflite, few.images)
    assert observed.names[0] == "image"
    assert observed.names[-1] == "probabilities"
    assert reader.fixed() == ["probabilities"]
    assert len(observed.names) >= 7
    for place, name in enumerate(observed.names):
        assert observed.low[:, place] == pytest.approx([float(t[name].min()) for t in seen], abs=1e-5)
        assert observed.high[:, place] == pytest.approx([float(t[name].max()) for t in seen], abs=1e-5)
    limits = [(0.1, 0.5)] * len(observed.names)
    shares = reader.outside(few, limits)
    for name, share in zip(observed.names, shares, strict=True):
        values = np.concatenate([t[name].reshape(-1) for t in seen])
        assert share == pytest.approx(np.mean((values < 0.1) | (values > 0.5)), abs=1e-3)


def test_moving_average_is_the_librarys_own(trained: Any, float_tflite: bytes) -> None:
    from litert_quantizer import quantizer, recipe

    from edgebig.compress import ranges
    from edgebig.compress.activations import Reader

    few = trained.splits.train[:12]
    worker = quantizer.Quantizer(bytearray(float_tflite), recipe.static_wi8_ai8())
    pictures = [{"image": (image[None] / 255).astype(np.float32)} for image in few.images]
    wanted = worker.calibrate({"serving_default": pictures}, num_threads=1)
    reader = Reader(float_tflite, PIXELS)
    for name, (low, high) in zip(reader.names(), ranges.moving_average(reader.observe(few)), strict=True):
        assert low == pytest.approx(wanted[name]["min"].item(), rel=1e-4, abs=1e-5)
        assert high == pytest.approx(wanted[name]["max"].item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("method", ["min-max", "moving-average", "percentile", "mse"])
def test_stability_and_saturation_are_what_they_say(
    trained: Any, float_tflite: bytes, method: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgebig.compress import calibration

    spec = Ptq(ranges=method, percentile=99.0)
    chosen = calibration.draw(trained.splits, 60, seed=0)
    found = calibration.calibrate(float_tflite, chosen, spec, PIXELS)
    facts = found.facts
    assert (facts["n"], sum(facts["per_class"].values()), facts["saturation"]["n"]) == (60, 60, 60)
    assert set(facts["per_class"].values()) == {6}
    assert facts["stability"]["worst"] in found.ranges
    assert facts["stability"]["worst"] != "probabilities"
    told = capsys.readouterr().err
    assert ("between two halves" in told) == (facts["stability"]["change"] > calibration.STABLE)
    if method != "min-max":
        return
    # Plain numpy, of the worst layer: halves, and other pictures.
    name = facts["stability"]["worst"]

    def extremes(examples: Examples) -> tuple[float, float]:
        values = np.concatenate(
            [t[name].reshape(-1) for t in by_the_reference(float_tflite, examples.images)]
        )
        return float(values.min()), float(values.max())

    halves = [extremes(chosen.examples[half]) for half in (chosen.first_half, ~chosen.first_half)]
    whole = extremes(chosen.examples)
    change = abs((halves[0][1] - halves[0][0]) - (halves[1][1] - halves[1][0])) / (whole[1] - whole[0])
    assert facts["stability"]["change"] == pytest.approx(change, abs=1e-3)
    worst = facts["saturation"]["worst"]
    low, high = found.ranges[worst]
    half_step = (high - low) / 510
    others = by_the_reference(float_tflite, chosen.rest.images)
    values = np.concatenate([t[worst].reshape(-1) for t in others])
    share = np.mean((values < low - half_step) | (values > high + half_step))
    assert facts["saturation"]["share"] == pytest.approx(share, abs=1e-4)


def test_the_size_that_would_do_is_drawn_from_how_the_change_falls() -> None:
    from edgebig.compress import calibration, ranges
    from edgebig.compress.activations import Observed

    random = np.random.default_rng(0)

    def size(high: Any) -> int | None:
        return calibration._stable_size(Observed(("t",), np.zeros_like(high), high), ranges.min_max)

    # Evenly spread maxima: the largest of n is 1 / n from the end, so that the change falls as 1 / n.
    few = random.uniform(0, 1, (40, 1)) ** 4
    assert (size(few) or 0) < 400
    # Of a heavy tail the largest is never stable.
    assert size(random.pareto(0.8, (400, 1))) is None
    assert size(random.uniform(0, 1, (10, 1))) == 100


def test_activations_without_a_number_are_refused() -> None:
    from edgebig import convert
    from edgebig.compress.activations import Reader
    from edgebig.keras import keras

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "exponential")]
    )
    net.layers[-1].set_weights([np.full((16, 3), 100, np.float32), np.zeros(3, np.float32)])
    reader = Reader(convert.to_tflite(net, int8=False), PIXELS, "net")
    with pytest.raises(EdgebigError, match=r"net: '.*' is infinite or no number"):
        reader.observe(splits_of(noise(3), [0, 1, 2]).train)
