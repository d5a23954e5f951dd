"""Which cores there are, which of them are big, and putting this process on some of them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from . import sysfs
from .faults import Fault

_CPU = "sys/devices/system/cpu"


class Cluster(NamedTuple):
    """Cores that are alike; `speed` tells clusters apart, and is 0 where there is one only."""

    cores: list[int]
    speed: int


def online(root: str = "/") -> list[int]:
    return _listed(root, f"{_CPU}/online") or list(range(os.cpu_count() or 1))


def _listed(root: str, path: str) -> list[int]:
    """The cores that the file lists; none where it cannot be read."""
    try:
        return sysfs.cores_of(sysfs.text(root, path) or "")
    except ValueError:
        return []


def clusters(root: str = "/") -> list[Cluster]:
    """The slowest first. One for all where the machine does not say that its cores differ.

    By the two kinds of an Intel hybrid, else by cpu_capacity (arm64), else by the highest clock of cores that share
    one: the favoured cores of a desktop have clocks of their own, and are no cluster.
    """
    cores = online(root)
    by_speed: dict[int, list[int]] = {}
    for core in cores:
        by_speed.setdefault(_speed(root, core), []).append(core)
    if len(by_speed) < 2 or 0 in by_speed:
        return [Cluster(cores, 0)]
    return [Cluster(by_speed[speed], speed) for speed in sorted(by_speed)]


def _speed(root: str, core: int) -> int:
    for speed, kind in ((2, "cpu_core"), (1, "cpu_atom")):
        if core in _listed(root, f"sys/devices/{kind}/cpus"):
            return speed
    capacity = sysfs.number(root, f"{_CPU}/cpu{core}/cpu_capacity")
    if capacity:
        return capacity
    policies = sysfs.paths(root, f"{_CPU}/cpufreq/policy*")
    if len(policies) == len(online(root)) > 1:
        return 0
    for policy in policies:
        if core in _listed(root, f"{policy}/related_cpus"):
            return sysfs.number(root, f"{policy}/cpuinfo_max_freq") or 0
    return 0


def chosen(asked: str, root: str = "/") -> list[int]:
    """The core numbers of "big" (the fastest cluster), "little" (the slowest) or a list as "0,2-3"; of "" [].

    Raises Fault where this machine has no such cores.
    """
    if not asked:
        return []
    there = online(root)
    if asked in ("big", "little"):
        found = clusters(root)
        if len(found) < 2:
            raise Fault(
                "cores",
                f"no {asked} cores: the {len(there)} of this machine ({sysfs.listed(there)}) are alike",
                "name cores by number, as in: 0,2-3",
            )
        return found[-1 if asked == "big" else 0].cores
    try:
        cores = sysfs.cores_of(asked)
    except ValueError as error:
        raise Fault("cores", f"cores '{asked}': {error}", "use: big, little, or as in 0,2-3") from error
    missing = [core for core in cores if core not in there]
    if missing:
        raise Fault(
            "cores",
            f"no core {sysfs.listed(missing)}: this machine has {sysfs.listed(there)}",
            "name cores that are there",
        )
    return cores


def place(cores: list[int], nice: int | None) -> dict[str, Any]:
    """Puts this process, and the threads that it will start, on `cores` ([]: where it is) and at a nice value.

    Returns what the kernel says of both afterwards. Raises Fault where it refuses.
    """
    if cores:
        _pin(cores)
    if nice is not None:
        _prioritise(nice)
    now = {"nice": os.getpriority(os.PRIO_PROCESS, 0)}
    if hasattr(os, "sched_getaffinity"):
        return {"cores": sysfs.listed(os.sched_getaffinity(0)), **now}
    return now


def _pin(cores: list[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise Fault("cores", "this system cannot pin a process to cores", "leave --cores out")
    try:
        os.sched_setaffinity(0, cores)
        allowed = os.sched_getaffinity(0)
    except OSError as error:
        raise _refused(cores, error.strerror or str(error)) from error
    if allowed != set(cores):
        raise _refused(cores, f"it may use {sysfs.listed(allowed)} of them only")


def _refused(cores: list[int], why: str) -> Fault:
    return Fault(
        "cores",
        f"this process may not run on cores {sysfs.listed(cores)}: {why}",
        "a container or cgroup keeps it from them: name others",
    )


def _prioritise(nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        raise Fault(
            "priority",
            f"the kernel refuses the nice value {nice}: {error.strerror}",
            "without root's rights use 0 to 19, or allow it in /etc/security/limits.conf ('nice -20')",
        ) from error
