"""A job as runs of benchmark_model on a phone: what its delegate takes, answers, and latency by fresh processes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from edgebig.drivers import android, benchmark_model, benchmark_profile, benchmark_report
from edgebig.drivers.adbclient import Deadline
from edgebig.drivers.benchmark_answers import Answers
from edgebig.drivers.benchmark_model import Tool
from edgebig.drivers.benchmark_report import Report, Statistics
from edgebig.drivers.phonestore import PhoneStore
from edgebig.drivers.protocol import Event, Job, JobModel, raise_fault
from edgebig.errors import EdgebigError
from edgebig.ondevice.cooling import Cooling
from edgebig.ondevice.faults import Fault

# The tool's own defaults; a job with a shorter warm-up is one that need not settle.
_LEAST_S, _WARMUP_S = 1.0, 0.5
_ONCE = benchmark_model.Runs(1, 0.0, 0, 0.0, 3600.0)
_PROFILED = benchmark_model.Runs(20, _LEAST_S, 1, _WARMUP_S, 3600.0)
_NO_ENERGY = "a phone's battery tells its current, which is the charger's where adb runs over USB"


class ToolRuns:
    """A job on a phone whose lock is held. `tool_path`: where the tool is there; `here`: this host's files by hash."""

    def __init__(
        self,
        store: PhoneStore,
        tool: Tool,
        tool_path: str,
        job: Job,
        here: Mapping[str, Path],
        deadline: Deadline,
    ) -> None:
        """Raises EdgebigError where the tool cannot do what the job asks for."""
        self._store, self._phone, self._tool, self._tool_path = store, store.phone, tool, tool_path
        self._job, self._here, self._deadline = job, here, deadline
        self._arguments("", _ONCE, profile="profile" in job.want)
        self._in_front = self._pinned()
        try:
            self._cooling = Cooling(job.cool_down_c, self._hottest)
        except Fault as fault:
            raise_fault(fault.event())

    def events(self) -> Iterator[Event]:
        job = self._job
        for model in job.models if "profile" in job.want else ():
            text = self._said(model, _PROFILED, profile=True)
            yield {"event": "profile", "model": model.sha256, **benchmark_profile.profile(text)}
        for model in job.models:
            yield from self._load(model)
        if job.wants_answers and self._tool.takes_inputs:
            for model in job.models:
                if model.preprocessing is not None and model.answered < job.examples:
                    yield from self._answers(model)
        if "latency" in job.want:
            if "energy" in job.want:
                yield {"event": "energy_source", "source": None, "why": _NO_ENERGY}
            for process in range(job.resume_from, job.processes):
                yield from self._cool_down()
                yield self.reading("process", process=process)
                for model in job.models:
                    yield self._summary(model, process)
            if job.soak_s:
                yield from self._cool_down()
                yield from self._soak()

    def _arguments(self, graph: str, runs: benchmark_model.Runs, **wanted: bool) -> list[str]:
        job = self._job
        return benchmark_model.arguments(self._tool, graph, job.delegate, job.threads, runs, **wanted)

    def _pinned(self) -> str:
        """What stands in front of the tool's command, for its priority and its cores."""
        job, words = self._job, ""
        if job.priority is not None:
            words += f"nice -n {job.priority} "
        if job.cores:
            try:
                cores = android.chosen_cores(self._phone.ask(f"{android.READ_SYSTEM}; true"), job.cores)
            except Fault as fault:
                raise EdgebigError(fault.problem, fault.hint) from fault
            words += f"taskset {sum(1 << core for core in cores):x} "
        return words

    def _command(self, model: JobModel, runs: benchmark_model.Runs, **wanted: bool) -> str:
        words = self._arguments(self._store.path(model.sha256), runs, **wanted)
        return self._in_front + " ".join(quote(word) for word in [self._tool_path, *words])

    def _said(self, model: JobModel, runs: benchmark_model.Runs, **wanted: bool) -> str:
        code, text = self._phone.shell(self._command(model, runs, **wanted), self._deadline)
        if code != 0:
            benchmark_model.raise_failure(code, text, model.name)
        return text

    def _run(self, model: JobModel, runs: benchmark_model.Runs, **wanted: bool) -> Report:
        return benchmark_report.report(self._said(model, runs, **wanted), self._job.delegate)

    def _load(self, model: JobModel) -> Iterator[Event]:
        """A run apart, for what the delegate takes and for memory: what watches memory disturbs what is timed."""
        report = self._run(model, _ONCE, memory=True)
        yield {"event": "loaded", "model": model.sha256, "delegated": report.delegated}
        yield {"event": "memory", "model": model.sha256, "peak_kb": report.peak_memory_kb}

    def _answers(self, model: JobModel) -> Iterator[Event]:
        assert self._job.inputs is not None
        try:
            content = self._here[model.sha256].read_bytes()
            images_u8 = np.load(self._here[self._job.inputs], mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise EdgebigError(f"{error.filename}: {error.strerror}", "run it again") from error
        answers = Answers(
            self._store,
            # Not quoted: the batch in the shape is the loop's.
            lambda words: " ".join([self._command(model, _ONCE), *words]),
            model,
            content,
            images_u8[: self._job.examples],
            self._deadline,
        )
        yield from answers.events(raw="outputs" in self._job.want, first=model.answered)

    def _summary(self, model: JobModel, process: int) -> Event:
        job = self._job
        runs = benchmark_model.Runs(
            runs=job.rounds * job.samples,
            seconds=min(_LEAST_S, job.warmup_s),
            warmup_runs=1,
            warmup_seconds=min(_WARMUP_S, job.warmup_s),
            most_seconds=self._deadline.left_s(),
        )
        report = self._run(model, runs)
        return {
            "event": "summary",
            "model": model.sha256,
            "process": process,
            "init_ns": round(report.init_us * 1e3),
            "first_ns": round(report.first_us * 1e3),
            "told": _told(report.inference),
        }

    def _soak(self) -> Iterator[Event]:
        """Runs of a second, one after another, the models in turns: the tool keeps to itself how a longer one went."""
        job, began_s = self._job, time.monotonic()
        while time.monotonic() - began_s < job.soak_s:
            for place, model in enumerate(job.models):
                runs = benchmark_model.Runs(1, _LEAST_S, 1, 0.0, self._deadline.left_s())
                told = self._run(model, runs).inference
                p50_us = told.mean_us if told.p50_us is None else told.p50_us
                at_s = round(time.monotonic() - began_s, 3)
                yield {
                    "event": "soak",
                    "model": model.sha256,
                    "at_s": at_s,
                    "invokes": told.n,
                    "p50_ns": round(p50_us * 1e3),
                    "p90_ns": None,
                }
                if place == 0:
                    yield self.reading("soak", at_s=at_s)

    def reading(self, when: str, **stamp: Any) -> Event:
        """The phone's conditions as an event."""
        told = android.reading(self._phone.ask(android.READ_CONDITIONS))
        return {"event": "condition", "when": when, **stamp, **told}

    def _hottest(self) -> tuple[str, float] | None:
        zones: dict[str, float] = self.reading("").get("temperatures_c", {})
        return max(zones.items(), key=lambda zone: zone[1], default=None)

    def _cool_down(self) -> Iterator[Event]:
        for event in self._cooling.wait():
            self._deadline.left_s()
            yield event


def _told(statistics: Statistics) -> dict[str, Any]:
    """As measurement.Told has it."""
    told = {
        "min": statistics.min_us,
        "max": statistics.max_us,
        "mean": statistics.mean_us,
        "std": statistics.std_us,
        "p5": statistics.p5_us,
        "p50": statistics.p50_us,
        "p95": statistics.p95_us,
    }
    return {"n": statistics.n, **{f"{name}_ns": us and round(us * 1e3, 1) for name, us in told.items()}}
