"""Phones side by side: each measured as it comes, its record saved as soon as it is whole, its row shown meanwhile."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebig import bench, measurement
from edgebig.bench import Settings, Subject
from edgebig.device import BrowserDevice
from edgebig.drivers import browser, pagejob
from edgebig.drivers.browser import BrowserSession
from edgebig.drivers.reception import Reception
from edgebig.errors import EXIT_BUG, EdgebigError, of_machine
from edgebig.measurement import Measurement
from edgebig.partial import Unfinished
from edgebig.progress import live_rows, say

_END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Phone:
    """`name`: as its page shows it; `about`: what it is; its record and where that is, or why there is none."""

    name: str
    about: str
    measurement: Measurement | None = None
    path: Path | None = None
    failure: EdgebigError | None = None


class Bug(EdgebigError):
    """A bug met one phone; its traceback was shown."""

    exit_code = EXIT_BUG

    def __init__(self, error: Exception) -> None:
        what = traceback.format_exception_only(error)[-1].strip()
        super().__init__(f"a bug of edgebig's: {what}", "please report it with the lines above")


@dataclass(frozen=True)
class Phones:
    """All that came, in the order in which they did."""

    device: str
    phones: tuple[Phone, ...]


def measure(
    subject: Subject,
    target: BrowserDevice,
    settings: Settings,
    place: Callable[[str], Path],
    earlier: Measurement | None = None,
) -> Phones:
    """Waits for as many phones as `target` says. `place`: of a phone's name, where its record goes.

    Of a part that was measured the record is written too. Of several, those that fail are told, and the others go on,
    whatever it was. Raises EdgebigError of what no browser gives, DeviceError where no phone comes, and what the only
    one raises.
    """
    pagejob.check_asked(settings.cores, settings.priority, settings.cool_down_c, profile=settings.profile)
    reception = Reception(target, "bench")
    try:
        with live_rows(lambda: [_cells(row) for row in reception.hub.rows()]):
            visits = Visits(lambda: subject, target, settings, place, earlier)
            found = visits.of(reception, browser.arriving(reception, target))
    finally:
        reception.release()
    if len(found) == 1 and (only := found[0].failure) is not None:
        raise only
    return Phones(target.name, tuple(found))


@dataclass
class Visits:
    """The phones of one reception, a thread for each. `on_done`: told of each as it ends."""

    subject: Callable[[], Subject]
    target: BrowserDevice
    settings: Settings
    place: Callable[[str], Path]
    earlier: Measurement | None = None
    on_done: Callable[[Phone], None] = lambda phone: None
    _found: list[Phone] = field(default_factory=list)

    def of(
        self, reception: Reception, arriving: Iterable[AbstractContextManager[BrowserSession]]
    ) -> Sequence[Phone]:
        """Each that comes, by their numbers."""
        threads: list[threading.Thread] = []
        try:
            for opened in arriving:
                # A daemon: whoever ends this process does not wait for a phone.
                thread = threading.Thread(target=self._visit, args=(opened,), daemon=True)
                thread.start()
                threads = [*(one for one in threads if one.is_alive()), thread]
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # Ctrl-C is heard in between
        except BaseException:
            reception.stop()
            for thread in threads:
                thread.join(_END_LIMIT_S)
            raise
        return sorted(self._found, key=lambda phone: int(phone.name.rpartition("-")[2]))

    def _visit(self, opened: AbstractContextManager[BrowserSession]) -> None:
        session: BrowserSession | None = None
        try:
            with opened as session:
                # To go on with its record takes one phone.
                alone = self.target.model_copy(update={"phones": 1})
                record = bench.measure_in(
                    session, self.subject(), alone, self.settings, self.earlier, lambda steps=1, note="": None
                )
                session.accuracy = _accuracy(record)
            path = self.place(session.name)
            measurement.save(record, path)
            phone = Phone(session.name, session.about, record, path)
            say(f"{phone.name} ({phone.about}): {_in_short(record)}")
        except Exception as error:  # noqa: BLE001  # A bug is one phone's: the others have theirs to end.
            phone = self._failed(session, error)
        self._found.append(phone)
        self.on_done(phone)

    def _failed(self, session: BrowserSession | None, error: Exception) -> Phone:
        name, about = (session.name, session.about) if session else ("phone-0", "")
        failure = self._told(name, error)
        say(f"{name} ({about}): {failure.problem.splitlines()[0]}")
        return Phone(name, about, failure=failure)

    def _told(self, name: str, error: Exception) -> EdgebigError:
        try:
            if isinstance(error, Unfinished):
                return error.keep(self.place(name))
        except OSError as refused:
            error = refused
        if isinstance(error, OSError):
            return of_machine(error)
        if isinstance(error, EdgebigError):
            return error
        say("".join(traceback.format_exception(error)).rstrip())
        return Bug(error)


def _accuracy(record: Measurement) -> float | None:
    first = record.models[0].accuracy
    return first.value if first else None


def _in_short(record: Measurement) -> str:
    parts = []
    for model in record.models:
        summary = model.latency.summary.get("invoke")
        timed = f"p50 {summary.p50_ns / 1000:.1f} us" if summary and model.verdict != "WRONG" else "no time"
        read = f"{model.accuracy.value:.2%} of {model.accuracy.n:,}, " if model.accuracy else ""
        parts.append(f"{Path(model.name).stem} {read}{timed}, {model.verdict}")
    return "; ".join(parts)


def _cells(row: Mapping[str, Any]) -> Mapping[str, str]:
    """A phone's row for the terminal."""
    share = f"{row['done'] / row['of']:4.0%}" if row["of"] else ""
    p50 = f"{row['p50_ns'] / 1000:.1f} us" if row["p50_ns"] else ""
    accuracy = f"{row['accuracy']:.2%}" if row["accuracy"] is not None else ""
    return {
        "phone": row["name"], "what": row["about"], "state": row["state"], "done": share,
        "invoke": p50, "accuracy": accuracy, "": row["note"],
    }  # fmt: skip
