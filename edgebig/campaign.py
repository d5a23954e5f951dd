"""bench as it is asked for: models on one device or on several, with its own settings or with several in turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgebig import (
    adbserver,
    artifact,
    bench,
    drivers,
    group,
    inventory,
    measurement,
    probe,
    runs,
    sweep,
    targets,
)
from edgebig import device as devices
from edgebig.artifact import Artifact
from edgebig.bench import Settings, Subject
from edgebig.device import AdbDevice, BrowserDevice, Device
from edgebig.errors import EXIT_BUG, EXIT_DEVICE, EdgebigError, Failure
from edgebig.group import Outcome
from edgebig.measurement import Measurement
from edgebig.partial import Unfinished, UnfinishedSweep
from edgebig.progress import say
from edgebig.sweep import Best, Sweep
from edgebig.targets.table import TARGETS

if TYPE_CHECKING:
    from edgebig.phones import Phone


@dataclass(frozen=True)
class Asked:
    """`models`: as a user names them, none for the newest; `threads`, `delegates`: what is put in place of the
    devices' own, several to be tried in turns; `out`: the record's file, of several records their folder.
    """

    targets: Sequence[Device]
    models: Sequence[str]
    settings: Settings
    threads: Sequence[int] = ()
    delegates: Sequence[str] = ()
    data: Path | None = None
    out: Path | None = None

    @property
    def is_sweep(self) -> bool:
        return len(self.threads) > 1 or len(self.delegates) > 1

    def checked(self) -> Asked:
        """With what stands in place of the devices' own put into them. Raises EdgebigError where it cannot be."""
        if self.is_sweep and self.settings.soak_s:
            raise EdgebigError("--soak goes with one setting, not with a sweep", "soak the best one")
        several = [target.name for target in self.targets if _has_several(target)]
        if self.is_sweep and several:
            raise EdgebigError(f"{several[0]}: a sweep goes with one phone", "--phones 1, or one setting")
        is_file = self.out is not None and (self.out.is_file() or self.out.suffix == ".json")
        if is_file and (self.is_sweep or len(self.targets) > 1 or several):
            raise EdgebigError(f"--out {self.out}: one file for several records", "name a folder")
        if self.is_sweep:
            for target in self.targets:
                sweep.variants(target, self.threads, self.delegates)
            return self
        targets = [sweep.variants(target, self.threads, self.delegates)[0][1] for target in self.targets]
        return replace(self, targets=targets, threads=(), delegates=())


@dataclass(frozen=True)
class Row:
    """A device, or one setting of it: its record and where that is, or why there is none."""

    device: str
    setting: str
    measurement: Measurement | None = None
    path: Path | None = None
    failure: Failure | None = None

    @property
    def name(self) -> str:
        return f"{self.device}: {self.setting}" if self.setting else self.device


@dataclass
class Found:
    """Rows in the order of devices and settings; `best`: by the device's name, for each model."""

    rows: list[Row] = field(default_factory=list)
    best: dict[str, tuple[Best, ...]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Of what failed: 70 of a bug, else 4 where a device did, else that of the first; 0 where none did, or a sweep
        found others.
        """
        codes = [row.failure.exit_code for row in self.rows if row.failure and row.device not in self.best]
        return next((code for code in (EXIT_BUG, EXIT_DEVICE) if code in codes), codes[0] if codes else 0)


def everywhere() -> list[Device]:
    """Every device that can be named and answers, but fake ones and the reference kernels, which measure nothing.

    Raises EdgebigError where none does.
    """
    known = [devices.load(row["file"]) for row in inventory.overview() if not row["problem"]]
    wanted: dict[str, Device] = {}
    for target in known:
        # A phone's browser answers to nobody: its owner comes.
        if target.kind in ("fake", "browser") or target.delegate == "reference":
            continue
        if isinstance(target, AdbDevice) and not adbserver.is_up():
            say(f"left out: {target.name}: adb's server is not running; to look for phones: adb start-server")
            continue
        # Those of edgebig's own for Raspberry Pis have one address until they are changed.
        same = wanted.setdefault(repr(target.model_dump(exclude={"about"})), target)
        if same is not target:
            say(f"left out: {target.name}: is {same.name} by another name")
    answering, silent = probe.answering(list(wanted.values()))
    for name, why in silent.items():
        say(f"left out: {name}: {why.splitlines()[0].removeprefix(f'{name}: ')}")
    if not answering:
        raise EdgebigError("no device answers", "'edgebig devices probe NAME' tells what is wrong with one")
    return answering


def run(asked: Asked) -> Found:
    """Measures, and saves each record as soon as it is there.

    Raises EdgebigError where the models do not go together, and what the one device raises; of several devices, those
    that fail are rows.
    """
    asked = asked.checked()
    if len(asked.targets) == 1:
        drivers.connect(asked.targets[0])  # What it lacks is told before anything is computed.
    found = Found()
    with _prepared(asked) as subjects:
        places, tasks = {}, []
        for target in asked.targets:
            subject = subjects[_form(target)]
            places[target.name] = _places(asked, target, subject)
            tasks.append(group.Task(target, _call(asked, target, subject, places[target.name])))

        def keep(outcome: Outcome) -> None:
            found.rows += kept(outcome, places[outcome.device])
            if isinstance(outcome.result, Sweep):
                found.best[outcome.device] = outcome.result.best

        if len(tasks) == 1:
            keep(Outcome(tasks[0].target.name, tasks[0].call()))
        else:
            _side_by_side(tasks, keep, found)
    order = {target.name: number for number, target in enumerate(asked.targets)}
    found.rows.sort(key=lambda row: order[row.device])
    found.best = {name: found.best[name] for name in order if name in found.best}
    return found


def _side_by_side(tasks: Sequence[group.Task], keep: Callable[[Outcome], None], found: Found) -> None:
    try:
        group.run(tasks, keep)
    except KeyboardInterrupt:
        for row in found.rows:
            say(f"record: {row.path}" if row.failure is None else f"{row.name}: {row.failure.told}")
        raise


def _call(asked: Asked, target: Device, subject: Subject, places: Mapping[str, Path]) -> Callable[[], Any]:
    if asked.is_sweep:
        wanted = sweep.variants(target, asked.threads, asked.delegates)
        return partial(swept, subject, target, wanted, asked.settings, places)
    if isinstance(target, BrowserDevice):
        from edgebig import phones  # It brings a server along, which no other device needs.

        return partial(phones.measure, subject, target, asked.settings, _Places(target, places))
    return partial(_measured, subject, target, asked.settings, places[""])


def _has_several(target: Device) -> bool:
    return isinstance(target, BrowserDevice) and target.phones > 1


@dataclass(frozen=True)
class _Places:
    """Where the record of each phone goes, by its name, which it has when it comes."""

    target: BrowserDevice
    places: Mapping[str, Path]

    def __call__(self, name: str) -> Path:
        path = self.places[""]
        return path.with_name(f"{path.stem}-{name}.json") if _has_several(self.target) else path


def _measured(subject: Subject, target: Device, settings: Settings, path: Path) -> Measurement:
    """Where the device goes away, the part that was measured is written to `path`."""
    try:
        return bench.measure(subject, target, settings)
    except Unfinished as unfinished:
        raise unfinished.keep(path) from unfinished


def swept(
    subject: Subject,
    target: Device,
    wanted: Sequence[tuple[str, Device]],
    settings: Settings,
    places: Mapping[str, Path],
    earlier: Mapping[str, Measurement | EdgebigError] = MappingProxyType({}),
) -> Sweep:
    """As `sweep.sweep`; where the device goes away, what was measured of each setting is written to its place."""
    try:
        return sweep.sweep(subject, target, wanted, settings, earlier)
    except UnfinishedSweep as unfinished:
        raise unfinished.keep(places) from unfinished


# ---------------------------------------------------------------- what is measured


def _form(target: Device) -> tuple[str, int | None]:
    """Devices of which it is the same are given the same files, held against the same reference outputs."""
    name = (
        "tensorflow" if target.runtime == "tensorflow" else targets.implied_by(target.kind, target.delegate)
    )
    return name, bench.parity_examples(target)


@contextmanager
def _prepared(asked: Asked) -> Iterator[Mapping[tuple[str, int | None], Subject]]:
    with ExitStack() as stack:
        subjects: dict[tuple[str, int | None], Subject] = {}
        for target in asked.targets:
            form = _form(target)
            if form not in subjects:
                artifacts = _artifacts(asked, target, form[0])
                subjects[form] = stack.enter_context(
                    bench.prepared(
                        artifacts,
                        asked.settings,
                        *runs.usual_data([item.path for item in artifacts], asked.data),
                        form[1],
                    )
                )
        yield subjects


def _artifacts(asked: Asked, target: Device, target_name: str) -> list[Artifact]:
    def choose(run: runs.Run) -> Path:
        if target_name == "tensorflow":
            return run.folder / "float32.tflite"
        say(f"{target.name}: for {TARGETS[target_name].about}")
        return targets.ready(run.variants(), target_name, str(run.folder))

    chosen = [artifact.load(runs.resolve_model(model, choose)) for model in asked.models or (None,)]
    if target.kind == "browser":
        return [targets.for_browser(item, runs.beside(item.path)) for item in chosen]
    return chosen


# ---------------------------------------------------------------- where the records go


def _places(asked: Asked, target: Device, subject: Subject) -> dict[str, Path]:
    """Each setting's label ("" without a sweep) -> its record's file. Raises where that cannot be written."""
    beside = runs.beside(subject.artifacts[0].path)
    if not asked.is_sweep and len(asked.targets) == 1 and not _has_several(target):
        return {"": measurement.reserve(target.name, beside, asked.out)}
    wanted = sweep.variants(target, asked.threads, asked.delegates) if asked.is_sweep else [("", target)]
    places = {}
    for label, _ in wanted:
        stem = "-".join(part for part in (target.name, re.sub(r"[^\w.]+", "-", label).strip("-")) if part)
        path = asked.out / f"{stem}.json" if asked.out is not None else None
        places[label] = measurement.reserve(stem, beside, path)
    return places


def kept(outcome: Outcome, places: Mapping[str, Path]) -> list[Row]:
    """The outcome's rows, after their records were saved."""
    if outcome.failure is not None:
        return [Row(outcome.device, "", failure=outcome.failure)]
    if isinstance(outcome.result, Measurement):
        measurement.save(outcome.result, places[""])
        return [Row(outcome.device, "", outcome.result, places[""])]
    if not isinstance(outcome.result, Sweep):  # Phones, each of which saved its own as it came.
        return [_row_of(outcome, phone) for phone in outcome.result.phones]
    rows = []
    for one in outcome.result.settings:
        if one.failure is not None:
            rows.append(Row(outcome.device, one.label, failure=Failure.of(one.failure)))
        elif one.measurement is not None:
            measurement.save(one.measurement, places[one.label])
            rows.append(Row(outcome.device, one.label, one.measurement, places[one.label]))
    return rows


def _row_of(outcome: Outcome, phone: Phone) -> Row:
    failure = Failure.of(phone.failure) if phone.failure is not None else None
    alone = len(outcome.result.phones) == 1
    name = "" if alone else f"{phone.name} ({phone.about})"
    return Row(outcome.device, name, phone.measurement, phone.path, failure)


def record(found: Found) -> dict[str, Any]:
    """All of it as JSON values."""
    rows = []
    for row in found.rows:
        values: dict[str, Any] = {"device": row.device, "setting": row.setting or None}
        if row.failure is not None:
            values["failure"] = vars(row.failure)
        if row.measurement is not None:
            values["record"] = str(row.path)
            values["measurement"] = artifact.dump_record(row.measurement)
        rows.append(values)
    best = [
        {
            "device": device,
            "model": one.model,
            "setting": one.label,
            "verdict": one.verdict,
            "others": [vars(rival) for rival in one.rivals],
        }
        for device, chosen in found.best.items()
        for one in chosen
    ]
    return {"schema": 1, "rows": rows, "best": best}
