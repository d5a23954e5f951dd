"""When a device was slowed down, from what it told before, meanwhile and after."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig import results, throttling

CALM = {"throttled": {"now": [], "since_boot": []}}


def pi(now: str = "", since_boot: str = "", **more: Any) -> dict[str, Any]:
    return {"throttled": {"now": now.split(), "since_boot": since_boot.split()}, **more}


def clock(limit_khz: int, cores: str = "0-3", max_khz: int = 1_800_000) -> dict[str, Any]:
    return {"clusters": [{"cores": cores, "limit_khz": limit_khz, "max_khz": max_khz}]}


def counted(core: int, package: int) -> dict[str, Any]:
    return {"throttle_counts": {"core": core, "package": package}}


COURSES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nothing told": ([{}, {}, {}], ""),
    "calm": ([CALM, CALM, CALM], ""),
    "once, long ago": ([pi(since_boot="throttled"), pi(since_boot="throttled")], ""),
    "now": ([CALM, pi("throttled", "throttled"), pi("", "throttled")], "throttled"),
    "already as it began": ([pi("under-voltage", "under-voltage")], "under-voltage"),
    "between two readings": ([CALM, pi("", "capped"), pi("", "capped")], "capped"),
    "two causes": (
        [CALM, pi("under-voltage throttled", "under-voltage throttled")],
        "under-voltage; throttled",
    ),
    "counter stands": ([counted(3, 11), counted(3, 11)], ""),
    "core's counter": ([counted(3, 11), counted(4, 11)], "a core throttled"),
    "package's counter": ([counted(3, 11), {}, counted(3, 12)], "the processor throttled"),
    "the owner's limit": ([clock(1_200_000), clock(1_200_000)], ""),
    "limit falls": (
        [clock(1_800_000), clock(1_500_000), clock(1_800_000)],
        "the clock of cores 0-3 was limited to below what it began with",
    ),
    "limit rises": ([clock(1_200_000), clock(1_800_000)], ""),
}


@pytest.mark.parametrize(("conditions", "cause"), COURSES.values(), ids=COURSES)
def test_what_slowed_it_down(conditions: list[dict[str, Any]], cause: str) -> None:
    assert throttling.cause(conditions) == cause
    wanted = ("THROTTLED", cause) if cause else ("OK", "")
    assert results.slowed("OK", "", conditions) == wanted


def test_other_causes_stay_beside_it_and_wrong_stays_wrong() -> None:
    conditions = [CALM, pi("throttled", "throttled")]
    assert results.slowed("PARTIAL", "3 of 4", conditions) == ("THROTTLED", "throttled; 3 of 4")
    assert results.slowed("WRONG", "outputs differ", conditions) == ("WRONG", "outputs differ")


def test_the_moments_of_a_soak() -> None:
    soak = [
        pi(when="soak", at_s=1.0),
        pi("throttled", "throttled", when="soak", at_s=2.0),
        pi("throttled", "throttled", when="soak", at_s=3.0),
        pi("", "throttled", when="soak", at_s=4.0),
    ]
    assert throttling.moments([{**CALM, "when": "before"}, *soak, pi("", "throttled", when="after")]) == [
        (2.0, "throttled"), (3.0, "throttled"),
    ]  # fmt: skip


def test_what_happens_between_two_sessions_is_in_neither() -> None:
    first = {**pi(), **counted(0, 0), **clock(1_800_000), "when": "before"}
    second = {**pi("", "throttled"), **counted(5, 5), **clock(1_500_000), "when": "before"}
    assert throttling.cause([first, {**first, "when": "after"}, second, {**second, "when": "after"}]) == ""


def test_what_held_it_back_before() -> None:
    first = {**pi("", "under-voltage"), **clock(600_000)}
    assert throttling.before([first, CALM]) == (
        "since it booted: under-voltage; cores 0-3 held to 0.60 of 1.80 GHz"
    )
    assert throttling.before([]) == throttling.before([{}]) == ""


readings = st.fixed_dictionaries(
    {},
    optional={
        "throttled": st.none() | st.fixed_dictionaries({"now": st.lists(st.text())}),
        "throttle_counts": st.dictionaries(st.sampled_from(["core", "package"]), st.integers()),
        "clusters": st.lists(
            st.fixed_dictionaries({"cores": st.text()}, optional={"limit_khz": st.integers(1)})
        ),
        "when": st.sampled_from(["before", "soak", "after"]),
    },
)


@given(st.lists(readings))
def test_whatever_a_device_tells_is_read(conditions: list[dict[str, Any]]) -> None:
    throttling.cause(conditions)
    throttling.moments(conditions)
    throttling.before(conditions)
