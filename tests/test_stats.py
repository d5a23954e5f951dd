"""Intervals cover what they say, verdicts follow the intervals, and figures agree with other programs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import stats
from edgebig.errors import DeviceError, EdgebigError

counts = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
latencies = st.lists(st.lists(st.integers(1, 10**10), min_size=1, max_size=20), min_size=1, max_size=6)


def flags(
    both: int, only_a: int, only_b: int, neither: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


# scipy 1.17.1: binomtest(correct, n).proportion_ci(0.95, "wilson")
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (9940, 10000, 0.9922851325032213, 0.9953354771065502),
        (995, 1000, 0.9883490446266248, 0.9978624644726755),
        (7, 10, 0.39677814746114526, 0.892208732593699),
        (0, 10, 0.0, 0.27753279986288926),
        (10, 10, 0.7224672001371109, 1.0),
    ],
)
def test_wilson_agrees_with_scipy(correct: int, n: int, low: float, high: float) -> None:
    accuracy = stats.accuracy_interval(correct, n)
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high), abs=1e-14)
    assert accuracy.value == correct / n


@given(counts, st.floats(0.5, 0.99))
def test_an_accuracy_lies_in_its_interval_and_mirrors(count: tuple[int, int], level: float) -> None:
    correct, n = count
    accuracy = stats.accuracy_interval(correct, n, level)
    assert 0 <= accuracy.low <= accuracy.value <= accuracy.high <= 1
    errors = stats.accuracy_interval(n - correct, n, level)
    assert (1 - errors.high, 1 - errors.low) == pytest.approx((accuracy.low, accuracy.high), abs=1e-12)


def test_wilson_covers_what_it_says_in_the_mean_over_accuracies() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.9, 0.999, 3000)
    found = [stats.accuracy_interval(int(c), 1000) for c in rng.binomial(1000, truth)]
    assert np.mean([a.low <= t <= a.high for a, t in zip(found, truth, strict=True)]) == pytest.approx(
        0.95, abs=0.012
    )


# scipy 1.17.1: t.ppf((1 + level) / 2, degrees)
@pytest.mark.parametrize(
    ("level", "degrees", "quantile"),
    [
        (0.95, 1, 12.706204736174694),
        (0.95, 2, 4.302652729749462),
        (0.95, 4, 2.7764451051977934),
        (0.95, 9, 2.262157162798205),
        (0.99, 5, 4.032142983555228),
        (0.9, 30, 1.697260886593957),
        (0.95, 999, 1.9623414611334493),
    ],
)
def test_student_agrees_with_scipy(level: float, degrees: int, quantile: float) -> None:
    assert stats.t_quantile(level, degrees) == pytest.approx(quantile, rel=1e-12)


def test_a_summary_by_hand() -> None:
    # Per-process p50s are 100, 200 and 400: geometric mean 200, deviation of the logs log(2), t(2) = 4.3027.
    summary = stats.latency_summary([[90, 100, 110], [200, 200], [100, 400, 500]])
    reach = 4.302652729749462 * math.log(2) / math.sqrt(3)
    assert (summary.n, summary.processes, summary.min_ns, summary.p99_ns) == (8, 3, 90, None)
    assert summary.p50_ns == pytest.approx(200)
    assert summary.p50_interval_ns == pytest.approx((200 * math.exp(-reach), 200 * math.exp(reach)))
    assert summary.p90_ns == pytest.approx((108 * 200 * 480) ** (1 / 3))


def test_p99_needs_a_thousand_samples_and_an_interval_two_processes() -> None:
    assert stats.latency_summary([range(1, 500), range(1, 501)]).p99_ns is None
    assert stats.latency_summary([range(1, 501), range(1, 501)]).p99_ns == pytest.approx(495.01)
    one = stats.latency_summary([range(1, 2001)])
    assert (one.p50_ns, one.p50_interval_ns, one.p90_interval_ns) == (1000.5, None, None)


def test_equal_samples_give_just_that_figure() -> None:
    summary = stats.latency_summary([[49_999] * 300] * 5)
    assert summary.min_ns == summary.p50_ns == summary.p90_ns == summary.p99_ns == 49_999
    assert summary.p50_interval_ns == (49_999, 49_999)


def test_a_stall_of_seconds_in_one_process_does_not_move_p50() -> None:
    calm = [[1000 + i for i in range(100)] for _ in range(5)]
    stalled = [*calm[:4], [*calm[4][:97], 3_000_000_000, 3_000_000_000, 3_000_000_000]]
    assert stats.latency_summary(stalled).p50_ns == stats.latency_summary(calm).p50_ns


@given(latencies)
def test_quantiles_are_in_order_and_in_their_intervals(processes: list[list[int]]) -> None:
    summary = stats.latency_summary(processes)
    slack = 1 + 1e-9
    assert summary.min_ns <= summary.p50_ns * slack
    assert summary.p50_ns <= summary.p90_ns * slack
    assert (summary.p50_interval_ns is None) == (len(processes) < 2)
    if summary.p50_interval_ns and summary.p90_interval_ns:
        for value, (low, high) in (
            (summary.p50_ns, summary.p50_interval_ns),
            (summary.p90_ns, summary.p90_interval_ns),
        ):
            assert low <= value * slack
            assert value <= high * slack


@given(latencies, st.integers(2, 1000))
def test_a_summary_scales_with_the_unit(processes: list[list[int]], factor: int) -> None:
    scaled = stats.latency_summary([[factor * sample for sample in process] for process in processes])
    assert scaled.p50_ns == pytest.approx(factor * stats.latency_summary(processes).p50_ns, rel=1e-9)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)), min_size=2, max_size=8))
def test_a_ratio_is_that_of_the_p50s_and_turns_over(pairs: list[tuple[int, int]]) -> None:
    a, b = [[x] for x, _ in pairs], [[y] for _, y in pairs]
    forth, back = stats.latency_ratio(a, b), stats.latency_ratio(b, a)
    p50s = stats.latency_summary(a).p50_ns / stats.latency_summary(b).p50_ns
    assert forth.value == pytest.approx(p50s, rel=1e-9)
    assert forth.value == pytest.approx(1 / back.value, rel=1e-9)
    assert forth.low is not None
    assert back.high is not None
    assert math.log(forth.low) == pytest.approx(-math.log(back.high), abs=1e-6)


def test_two_processes_far_apart_say_next_to_nothing_and_do_not_overflow() -> None:
    interval = stats.latency_summary([[1], [10**10]], level=0.9999).p50_interval_ns
    assert interval is not None
    assert interval[0] < 1
    assert 1e250 < interval[1] < math.inf


def test_what_slows_both_models_in_a_process_cancels() -> None:
    slowness = [1, 3, 9, 2, 5]
    ratio = stats.latency_ratio([[120 * s] for s in slowness], [[100 * s] for s in slowness])
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1.2, 1.2, 1.2))
    assert stats.speed_verdict(ratio) == "SLOWER"


Effects = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
EFFECTS: dict[str, Effects] = {
    "normal": lambda rng, k: rng.normal(0, 1, k),
    "t(3)": lambda rng, k: rng.standard_t(3, k) / math.sqrt(3),
    "two-moded": lambda rng, k: np.where(rng.random(k) < 0.2, 2.0, -0.5),
    "exponential": lambda rng, k: rng.exponential(1, k) - 1,
}


def simulated(
    rng: np.random.Generator, levels: npt.NDArray[np.float64], n: int
) -> list[npt.NDArray[np.float64]]:
    """Samples in ns: autocorrelated (0.7), 3 % wide, one in 20 held up by a Pareto(1.5) tail."""
    # What is left of each earlier sample: noise[i] = 0.7 * noise[i - 1] + sqrt(0.51) * drawn[i], without a loop.
    age = np.subtract.outer(np.arange(n), np.arange(n))
    left = np.where(age >= 0, 0.7 ** np.maximum(age, 0), 0.0)
    left[:, 1:] *= math.sqrt(0.51)
    noise = rng.normal(0, 0.03, (levels.size, n)) @ left.T
    held_up = np.where(rng.random((levels.size, n)) < 0.05, 0.2 * rng.pareto(1.5, (levels.size, n)), 0)
    return list(5e4 * np.exp(levels[:, None] + noise) * (1 + held_up))


def percentile_bootstrap_covers(rng: np.random.Generator, logs: npt.NDArray[np.float64]) -> bool:
    means = logs[rng.integers(0, logs.size, (400, logs.size))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return bool(low <= 0 <= high)


@pytest.mark.parametrize(
    ("kind", "processes"),
    [("normal", 5), ("t(3)", 5), ("two-moded", 5), ("exponential", 5), ("normal", 10), ("two-moded", 10)],
)
def test_the_interval_of_a_ratio_covers_the_truth(kind: str, processes: int) -> None:
    """300 simulations have a standard error of 1.3 points. The percentile bootstrap's shortfall is held as well."""
    rng = np.random.default_rng([processes, len(kind)])
    covered = bootstrap_covered = 0
    for _ in range(300):
        shared = 0.05 * EFFECTS[kind](rng, processes)
        a = simulated(rng, shared + 0.03 * EFFECTS[kind](rng, processes), 40)
        b = simulated(rng, shared + 0.03 * EFFECTS[kind](rng, processes), 40)
        ratio = stats.latency_ratio(a, b)
        assert ratio.low is not None
        assert ratio.high is not None
        covered += ratio.low <= 1 <= ratio.high
        logs = np.log([np.median(x) / np.median(y) for x, y in zip(a, b, strict=True)])
        bootstrap_covered += percentile_bootstrap_covers(rng, logs)
    assert 0.925 <= covered / 300 <= 0.995
    assert bootstrap_covered / 300 < 0.925
    assert covered > bootstrap_covered


def test_the_interval_of_p90_covers_the_typical_process() -> None:
    rng = np.random.default_rng(5)
    truth = np.exp(np.mean([np.log(np.quantile(x, 0.9)) for x in simulated(rng, np.zeros(3000), 40)]))
    covered = 0
    for _ in range(300):
        interval = stats.latency_summary(simulated(rng, rng.normal(0, 0.05, 5), 40)).p90_interval_ns
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered / 300 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "speed"),
    [
        (0.90, 0.95, "PASS", "FASTER"),
        (0.98, 1.04, "PASS", "INCONCLUSIVE"),
        (1.01, 1.05, "PASS", "SLOWER"),
        (1.01, 1.06, "INCONCLUSIVE", "SLOWER"),
        (1.06, 1.20, "FAIL", "SLOWER"),
        (None, None, "INCONCLUSIVE", "INCONCLUSIVE"),
    ],
)
def test_verdicts_of_a_ratio(low: float | None, high: float | None, verdict: str, speed: str) -> None:
    ratio = stats.Ratio(1.0, low, high, 5)
    assert stats.ratio_verdict(ratio, 1.05) == verdict
    assert stats.speed_verdict(ratio) == speed


# scipy 1.17.1: binomtest(only_a, only_a + only_b).pvalue
@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [
        (0, 0, 1.0),
        (1, 5, 0.21875),
        (12, 25, 0.04703102743951604),
        (59, 6, 4.964650327128616e-12),
        (500, 560, 0.06990955946026937),
        (0, 40, 1.8189894035458565e-12),
        (3000, 3000, 1.0),
        (100_000, 100_900, 0.044886148461475976),
    ],
)
def test_mcnemar_agrees_with_scipy(only_a: int, only_b: int, p_value: float) -> None:
    paired = stats.mcnemar(*flags(3, only_a, only_b, 2))
    assert (paired.only_a, paired.only_b, paired.n) == (only_a, only_b, only_a + only_b + 5)
    assert paired.p_value == pytest.approx(p_value, rel=1e-8)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_tail(only_a: int, only_b: int) -> None:
    few, total = min(only_a, only_b), only_a + only_b
    exact = min(1.0, 2 * sum(math.comb(total, k) for k in range(few + 1)) / 2**total)
    assert stats.mcnemar(*flags(1, only_a, only_b, 1)).p_value == pytest.approx(exact, rel=1e-9)


# The trinomial likelihood under each difference maximised by scipy 1.17.1's minimize_scalar instead of
# Tango's closed form, and the score equation solved by brentq.
@pytest.mark.parametrize(
    ("only_b", "only_a", "n", "low", "high"),
    [
        (40, 20, 160, 0.0308645332, 0.2180642435),
        (12, 9, 44, -0.1380341069, 0.2685625293),
        (1, 0, 44, -0.0593932311, 0.1180770970),
        (3, 8, 1000, -0.0130680219, 0.0017886003),
        (25, 12, 10000, 0.0001137289, 0.0026082870),
        (0, 7, 30, -0.4092832680, -0.0933334834),
        (0, 0, 1000, -0.0038267586, 0.0038267586),
    ],
)
def test_tango_agrees_with_brute_force(only_b: int, only_a: int, n: int, low: float, high: float) -> None:
    difference = stats.accuracy_difference(stats.McNemar(only_a, only_b, 1.0, n))
    assert (difference.low, difference.high) == pytest.approx((100 * low, 100 * high), abs=2e-5)
    assert difference.points == pytest.approx(100 * (only_b - only_a) / n)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 500), st.integers(0, 500))
def test_a_difference_lies_in_its_interval_and_turns_over(
    both: int, only_a: int, only_b: int, neither: int
) -> None:
    if both + only_a + only_b + neither == 0:
        return
    a, b = flags(both, only_a, only_b, neither)
    forth, back = (
        stats.accuracy_difference(stats.mcnemar(a, b)),
        stats.accuracy_difference(stats.mcnemar(b, a)),
    )
    assert -100 <= forth.low <= forth.points <= forth.high <= 100
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


def test_the_interval_of_a_difference_covers_the_truth_exactly_summed() -> None:
    n, share_a, share_b = 500, 0.006, 0.010
    covered = 0.0
    for only_a in range(15):
        for only_b in range(20):
            rest = n - only_a - only_b
            log_p = math.lgamma(n + 1) - sum(math.lgamma(x + 1) for x in (only_a, only_b, rest))
            log_p += only_a * math.log(share_a) + only_b * math.log(share_b)
            log_p += rest * math.log(1 - share_a - share_b)
            found = stats.accuracy_difference(stats.McNemar(only_a, only_b, 1.0, n))
            covered += math.exp(log_p) * (found.low <= 100 * (share_b - share_a) <= found.high)
    assert covered == pytest.approx(0.95, abs=0.01)


def test_verdicts_of_accuracy() -> None:
    same = stats.mcnemar(*flags(9900, 10, 10, 80))
    assert stats.accuracy_verdict(same, 0.1) == "PASS"
    assert stats.accuracy_verdict(same, 0.05) == "INCONCLUSIVE"
    worse = stats.mcnemar(*flags(9800, 150, 10, 40))
    assert stats.accuracy_verdict(worse, 0.5) == "FAIL"
    assert stats.accuracy_verdict(worse, 1.4) == "INCONCLUSIVE"
    assert stats.accuracy_verdict(worse, 2) == "PASS"


def test_few_equal_answers_are_no_proof_of_equality() -> None:
    paired = stats.mcnemar(*flags(20, 0, 0, 0))
    assert paired.p_value == 1
    assert stats.accuracy_verdict(paired, 1) == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.accuracy_interval(3, 2),
        lambda: stats.accuracy_interval(0, 0),
        lambda: stats.accuracy_interval(1, 2, level=1.0),
        lambda: stats.latency_summary([]),
        lambda: stats.latency_summary([[1.0], []]),
        lambda: stats.latency_summary([[1.0, -1.0]]),
        lambda: stats.latency_summary([[1.0, math.nan]]),
        lambda: stats.latency_summary([[1.0], [2.0]], level=95),
        lambda: stats.latency_ratio([[1.0]], [[1.0], [2.0]]),
        lambda: stats.mcnemar(np.zeros(0, bool), np.zeros(0, bool)),
        lambda: stats.mcnemar(np.zeros(2, bool), np.zeros(3, bool)),
        lambda: stats.mcnemar(np.zeros((2, 1), bool), np.zeros((2, 1), bool)),
    ],
)
def test_nonsense_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        call()


def test_predictions_in_place_of_flags_are_refused() -> None:
    with pytest.raises(TypeError, match="int64 and bool"):
        stats.mcnemar(np.zeros(2, np.int64), np.zeros(2, bool))


def test_a_clock_too_coarse_is_the_devices_fault() -> None:
    with pytest.raises(DeviceError, match="0 ns"):
        stats.latency_ratio([[0, 0, 0], [5, 5, 5]], [[1], [2]])


@pytest.mark.parametrize("bound", [0, -1, math.nan, math.inf])
def test_a_bound_that_is_none(bound: float) -> None:
    with pytest.raises(EdgebigError, match="no bound"):
        stats.ratio_verdict(stats.Ratio(1.0, 0.9, 1.1, 5), bound)
    if bound:
        with pytest.raises(EdgebigError, match="no bound"):
            stats.accuracy_verdict(stats.McNemar(0, 0, 1.0, 10), bound)


def test_a_coarse_clock_widens_what_it_hides() -> None:
    """Seven microseconds in every process are no certainty where the clock counts whole ones."""
    summary = stats.told_summary([7000.0] * 3, 300, 6000.0, step_ns=1000.0)
    assert summary.p50_ns == pytest.approx(7000)
    assert summary.p50_interval_ns == pytest.approx((6000, 8000))
    assert (summary.n, summary.processes, summary.min_ns, summary.p90_ns) == (300, 3, 6000, None)
    figures_a, figures_b = [[7000.0]] * 3, [[9000.0]] * 3
    assert stats.speed_verdict(stats.latency_ratio(figures_a, figures_b)) == "FASTER"
    coarse = stats.latency_ratio(figures_a, figures_b, step_ns=1000.0)
    assert stats.speed_verdict(coarse) == "INCONCLUSIVE"
    assert (coarse.low, coarse.high) == pytest.approx((6 / 10, 8 / 8))
    hidden = stats.latency_ratio([[500.0]] * 2, [[500.0]] * 2, step_ns=1000.0)
    assert hidden.high is not None
    assert hidden.high < float("inf")


# ---------------------------------------------------------------- two sessions, and whether one has regressed


def test_two_sessions_are_not_paired() -> None:
    a, b = [[100.0], [110.0], [120.0]], [[100.0], [102.0]]
    ratio = stats.latency_ratio(a, b, paired=False)
    assert ratio.value == pytest.approx(
        np.exp(np.mean(np.log([100, 110, 120])) - np.mean(np.log([100, 102])))
    )
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < ratio.value < ratio.high
    difference = stats.latency_difference(a, b, paired=False)
    # scipy 1.17: ttest_ind([100, 110, 120], [100, 102], equal_var=False).confidence_interval(), with 2.12 degrees
    # of freedom: -14.9 .. 32.9; with 2, as here, a little wider.
    assert difference.value_ns == pytest.approx(9)
    assert difference.low_ns == pytest.approx(9 - 4.302653 * np.sqrt(100 / 3 + 1), rel=1e-6)
    assert difference.high_ns == pytest.approx(9 + 4.302653 * np.sqrt(100 / 3 + 1), rel=1e-6)
    with pytest.raises(ValueError, match="3 processes of a cannot be paired with 2 of b"):
        stats.latency_difference(a, b)


@given(
    st.lists(st.floats(1e2, 1e9), min_size=1, max_size=8),
    st.lists(st.floats(1e2, 1e9), min_size=1, max_size=8),
)
def test_a_comparison_of_sessions_turns_over(a: list[float], b: list[float]) -> None:
    one, other = (
        stats.latency_ratio([[x] for x in first], [[x] for x in second], paired=False)
        for first, second in ((a, b), (b, a))
    )
    assert one.value * other.value == pytest.approx(1)
    there, back = (
        stats.latency_difference([[x] for x in first], [[x] for x in second], paired=False)
        for first, second in ((a, b), (b, a))
    )
    assert there.value_ns == pytest.approx(-back.value_ns)
    if min(len(a), len(b)) < 2:
        assert (one.low, there.high_ns) == (None, None)
        return
    assert one.low is not None
    assert other.high is not None
    assert one.low * other.high == pytest.approx(1)
    assert there.low_ns is not None
    assert back.high_ns is not None
    assert there.low_ns == pytest.approx(-back.high_ns)
    assert there.low_ns <= there.value_ns


@pytest.mark.parametrize("kind", ["normal", "t(3)", "exponential"])
def test_the_interval_over_two_sessions_covers_the_truth_within_them(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    covered = covered_ns = 0
    for _ in range(300):
        a, b = (simulated(rng, 0.05 * EFFECTS[kind](rng, 5), 40) for _ in "ab")
        ratio = stats.latency_ratio(a, b, paired=False)
        difference = stats.latency_difference(a, b, paired=False)
        assert ratio.low is not None
        assert ratio.high is not None
        assert difference.low_ns is not None
        assert difference.high_ns is not None
        covered += ratio.low <= 1 <= ratio.high
        covered_ns += difference.low_ns <= 0 <= difference.high_ns
    assert 0.925 <= covered / 300 <= 0.995
    assert 0.925 <= covered_ns / 300 <= 0.995


def test_the_step_of_a_clock_widens_a_difference() -> None:
    fine = stats.latency_difference([[50.0]] * 3, [[40.0]] * 3)
    coarse = stats.latency_difference([[50.0]] * 3, [[40.0]] * 3, step_ns=10)
    assert (fine.low_ns, fine.high_ns) == (10, 10)
    assert (coarse.low_ns, coarse.high_ns) == (-10, 30)


ENDS = st.floats(-100, 100)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[float, float, float]:
    low, value, high = sorted(draw(st.tuples(ENDS, ENDS, ENDS)))
    return low, value, high


@given(intervals(), intervals(), st.floats(0.5, 100), st.floats(0, 50), st.data())
def test_a_regression_must_exceed_both_bounds(
    share: tuple[float, float, float],
    time_ns: tuple[float, float, float],
    max_ratio: float,
    at_least_ns: float,
    data: st.DataObject,
) -> None:
    ratio = stats.Ratio(share[1], share[0], share[2], 5)
    difference = stats.TimeDifference(time_ns[1], time_ns[0], time_ns[2])
    verdict = stats.regression_verdict(ratio, difference, max_ratio, at_least_ns)
    # What the truth may be, wherever it lies in both intervals.
    true_ratio, true_ns = (
        data.draw(st.floats(share[0], share[2])),
        data.draw(st.floats(time_ns[0], time_ns[2])),
    )
    regressed = true_ratio > max_ratio and true_ns > at_least_ns
    assert verdict in (("FAIL", "INCONCLUSIVE") if regressed else ("PASS", "INCONCLUSIVE"))
    # It is INCONCLUSIVE only where both answers are possible.
    at_worst = share[2] > max_ratio and time_ns[2] > at_least_ns
    at_best = share[0] > max_ratio and time_ns[0] > at_least_ns
    assert verdict == ("FAIL" if at_best else "INCONCLUSIVE" if at_worst else "PASS")
    # A looser bound is never failed where a tighter one is not.
    order = ["PASS", "INCONCLUSIVE", "FAIL"]
    looser = stats.regression_verdict(ratio, difference, max_ratio * 2, at_least_ns + 1)
    assert order.index(looser) <= order.index(verdict)
    assert stats.regression_verdict(ratio, difference, max_ratio) == stats.ratio_verdict(ratio, max_ratio)


def test_one_process_tells_of_no_regression() -> None:
    ratio, difference = stats.Ratio(3.0, None, None, 1), stats.TimeDifference(9.0, None, None)
    assert stats.regression_verdict(ratio, difference, 1.05, 1.0) == "INCONCLUSIVE"


@given(st.lists(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"])))
def test_the_worst_verdict_is_that_of_all(verdicts: list[stats.Verdict]) -> None:
    assert stats.overall(verdicts) == (
        "FAIL" if "FAIL" in verdicts else "PASS" if verdicts and set(verdicts) == {"PASS"} else "INCONCLUSIVE"
    )
