"""An incomplete record, gone on with: of a device that went away, or of a sweep over its settings."""

from __future__ import annotations

from pathlib import Path

from edgebig import artifact, bench, campaign, drivers, measurement, partial, runs
from edgebig import device as devices
from edgebig.artifact import Artifact
from edgebig.bench import Settings
from edgebig.campaign import Found, Row
from edgebig.errors import EXIT_DEVICE, DeviceError, EdgebigError
from edgebig.group import Outcome
from edgebig.measurement import Incomplete, Measurement, Turned
from edgebig.partial import Unfinished


def resume(path: Path, data: Path | None) -> Found:
    """What the incomplete record at `path` lacks, measured, and the whole of it, written there; of one of a sweep all
    that the sweep lacks. `data`: where the data set's files are.

    Raises EdgebigError where it is none, or its models are other files now; where the device goes away again, after
    what it gave was written there.
    """
    record, part = partial.load(path)
    artifacts = _artifacts(part, path)
    if part.sweep:
        return _sweep(path, record, part.sweep, artifacts, data)
    target = devices.of_facts(record.device.model_dump(), str(path))
    folder, source = _source(artifacts, data)
    try:
        whole = bench.bench(artifacts, target, _settings(record), folder, source, record)
    except Unfinished as unfinished:
        raise unfinished.keep(path) from unfinished
    measurement.save(whole, path)
    return Found([Row(target.name, "", whole, path)])


def _artifacts(part: Incomplete, path: Path) -> list[Artifact]:
    """Of all models of its job: those that were never loaded are not among the record's."""
    found = []
    for model in part.job.model_dump()["models"]:
        item = artifact.load(Path(model["name"]))
        if item.sha256 != model["sha256"]:
            raise EdgebigError(
                f"{item.path}: is another file than the one that {path} measured",
                "measure anew, without --resume",
            )
        found.append(item)
    return found


def _source(artifacts: list[Artifact], data: Path | None) -> tuple[Path | None, str | None]:
    return runs.usual_data([item.path for item in artifacts], data)


def _settings(record: Measurement) -> Settings:
    return Settings(**record.settings.model_dump())


def _sweep(
    path: Path, record: Measurement, turned: tuple[Turned, ...], artifacts: list[Artifact], data: Path | None
) -> Found:
    wanted = [(one.label, devices.of_facts(one.device.model_dump(), str(path))) for one in turned]
    target = wanted[0][1]
    earlier = {one.label: found for one in turned if (found := _earlier(path, one, turned)) is not None}
    places = {one.label: path.parent / one.record for one in turned}
    drivers.connect(target)  # What it lacks is told before anything is computed.
    folder, source = _source(artifacts, data)
    settings = _settings(record)
    with bench.prepared(artifacts, settings, folder, source, bench.parity_examples(target)) as subject:
        swept = campaign.swept(subject, target, wanted, settings, places, earlier)
    rows = campaign.kept(Outcome(target.name, swept), places)
    return Found(rows, {target.name: swept.best})


def _earlier(path: Path, one: Turned, turned: tuple[Turned, ...]) -> Measurement | EdgebigError | None:
    """What there is of a setting: its record, why it was left out, or nothing yet."""
    if not one.record or Path(one.record).name != one.record:
        raise EdgebigError(f"{path}: 'record' of {one.label} is no file's name", "measure anew")
    if one.failure is not None:
        kind = DeviceError if one.failure.exit_code == EXIT_DEVICE else EdgebigError
        return kind(one.failure.problem, one.failure.hint)
    if not one.turns:
        return None
    beside = path.parent / one.record
    if not beside.is_file():
        raise EdgebigError(f"{path}: {one.record} is gone, which is of the same sweep", "measure anew")
    record = measurement.load(beside)
    if record.incomplete is None or record.incomplete.sweep != turned:
        raise EdgebigError(f"{path}: {one.record} is not of the same sweep", "measure anew")
    return record
