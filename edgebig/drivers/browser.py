"""Any phone by its browser: it asks the page's server for its job, and its events come from there."""

from __future__ import annotations

import base64
import contextlib
import queue
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files
from edgebig.device import BrowserDevice
from edgebig.drivers import pagejob
from edgebig.drivers.protocol import Capabilities, DeviceFacts, Event, Job, Provenance, raise_fault
from edgebig.drivers.reception import Reception
from edgebig.errors import DeviceError, EdgebigError, of_machine
from edgebig.ondevice import infer
from edgebig.phone import facts
from edgebig.phone.handset import Again, Handset
from edgebig.phone.serving import check_installed
from edgebig.progress import say

_LOOK_S = 0.25


class BrowserDriver:
    """A session for each phone as it comes, as many as the device says. Raises EdgebigError without the extra."""

    def __init__(self, device: BrowserDevice) -> None:
        check_installed()
        self.device = device

    def sessions(self) -> Iterator[AbstractContextManager[BrowserSession]]:
        """Ends early where the rest of the phones do not come in time.

        Raises DeviceError where none does, what Reception raises.
        """
        reception = Reception(self.device, "bench")
        try:
            yield from arriving(reception, self.device)
        finally:
            reception.release()


def arriving(
    reception: Reception, device: BrowserDevice
) -> Generator[AbstractContextManager[BrowserSession], None, None]:
    end_s, wanted = time.monotonic() + device.wait_s, device.phones
    say(f"waits for {wanted} phone{'s' * (wanted > 1)}, up to {device.wait_s:.0f} s")
    for number in range(wanted):
        phone = reception.arrival(end_s - time.monotonic())
        if phone is None:
            if number == 0:
                raise DeviceError(
                    f"{device.name}: no phone opened the page within {device.wait_s:.0f} s",
                    "is it in the same network as this machine? A Wi-Fi for guests keeps its phones apart; "
                    "with a cable: --device phone-usb",
                )
            say(f"{number} of {wanted} phones came in time")
            return
        say(f"{phone.name} is here: {facts.about(phone.facts)}")
        reception.hold()
        yield _session(reception, phone)
    reception.hub.close(
        "this bench has all the phones that it waits for; is this one of them, go back to the tab that it opened"
    )


def whoever(reception: Reception) -> Generator[AbstractContextManager[BrowserSession], None, None]:
    """Each phone whose owner asks for a bench, until the reception is stopped."""
    while not reception.stopping.is_set():
        phone = reception.arrival(1.0)
        if phone is not None:
            say(f"{phone.name} asks for a bench: {facts.about(phone.facts)}")
            reception.hold()
            yield _session(reception, phone)


@contextlib.contextmanager
def _session(reception: Reception, phone: Handset) -> Iterator[BrowserSession]:
    session = BrowserSession(reception, phone)
    try:
        yield session
    except BaseException as error:
        reception.hub.finish(session.phone, _why(error), failed=True)
        raise
    else:
        reception.hub.finish(session.phone, "measured", accuracy=session.accuracy)
    finally:
        reception.release()


def _why(error: BaseException) -> str:
    """What a phone and its row are told of it."""
    if isinstance(error, EdgebigError):
        return error.problem.splitlines()[0]
    if isinstance(error, OSError):
        return of_machine(error).problem
    return (
        "a bug of the host's; its terminal tells more"
        if isinstance(error, Exception)
        else "the host was stopped"
    )


class BrowserSession:
    """A phone that has the page open. `accuracy`: told to the dashboard when it is over."""

    def __init__(self, reception: Reception, phone: Handset) -> None:
        self._reception = reception
        self._paths: dict[str, Path] = {}
        self._outputs: dict[str, infer.Tensor] = {}
        self.accuracy: float | None = None
        self._take(phone)

    def _take(self, phone: Handset) -> None:
        self.phone = phone
        self.name, self.about = phone.name, facts.about(phone.facts)
        provenance: Provenance = "stand-in" if facts.is_stand_in(phone.facts) else "real"
        self.facts = DeviceFacts(provenance, _machine(phone), Capabilities(True, True, True))

    def put(self, blob: Path) -> str:
        sha256 = files.sha256_file(blob)
        self._paths[sha256] = blob
        return sha256

    def clean(self) -> None:
        self._paths.clear()

    def run(self, job: Job, deadline_s: float) -> Iterator[Event]:
        """What was not whole when the page was loaded anew is asked for again, so that the events are as of one run."""
        pagejob.check_asked(
            job.cores, job.priority, job.cool_down_c, profile="profile" in job.want, probe="probe" in job.want
        )
        end_s, asked, begun = time.monotonic() + deadline_s, job, False
        while True:
            self._give(asked)
            whole = _Whole(asked)
            try:
                for event in self._answers(end_s, deadline_s):
                    if isinstance(event, Again):
                        asked = whole.rest()
                        break
                    if event["event"] == "error":
                        raise_fault(event)
                    if event["event"] == "ready":
                        if not begun:
                            begun = True
                            yield event | {"facts": self.facts.machine}
                        continue
                    if event["event"] == "result" and not event["complete"]:
                        raise DeviceError(
                            f"{self.name}: its page left out something of what was asked", "load it again"
                        )
                    yield from whole.add(self._labelled(event, asked))
                    if event["event"] == "result":
                        return
            except DeviceError:
                # Who keeps what there is of it sees by these that the process before them is whole.
                yield from whole.held()
                raise

    def _answers(self, end_s: float, deadline_s: float) -> Iterator[Event | Again]:
        was_away = False
        while True:
            if (other := self._reception.hub.in_place_of(self.phone)) is not None:
                say(f"{self.name} closed its page; {other.name} is in its place: {facts.about(other.facts)}")
                self._reception.hub.finish(self.phone, f"{other.name} is in its place", failed=True)
                self._take(other)
                yield Again()
            try:
                answer = self.phone.answers.get(timeout=_LOOK_S)
                was_away = False
                if isinstance(answer, Again):
                    say(f"{self.name}: its page was loaded anew; it goes on with what was not whole")
                yield answer
            except queue.Empty:
                pass
            if self._reception.stopping.is_set():
                raise DeviceError(f"{self.name}: stopped", "")
            is_away = self._reception.hub.is_away(self.phone)
            if is_away and not was_away:
                say(f"{self.name} is asleep or out of reach; it goes on when its page is in front again")
            was_away = is_away
            if time.monotonic() > end_s:
                raise DeviceError(
                    f"{self.name}: not done after {deadline_s:.0f} s"
                    + (", and out of reach" if is_away else ""),
                    "keep its page in front; fewer --examples or --processes, or a longer --deadline",
                )

    def _labelled(self, event: Event, job: Job) -> Event:
        """With the labels that its outputs have, whatever labels the page says.

        Raises DeviceError where outputs were asked for, and these are not the model's.
        """
        if event["event"] != "outputs" or "outputs" not in job.want:
            return event
        edge = self._outputs[event["model"]]
        raw, rows = base64.b64decode(event.get("raw", "")), len(event["labels"])
        size = rows * int(np.prod(edge.shape)) * np.dtype(edge.dtype).itemsize
        if event.get("dtype") != edge.dtype or len(raw) != size:
            raise DeviceError(
                f"{self.name}: its outputs are not the model's, {edge.dtype} {edge.shape}", "load it again"
            )
        values = np.frombuffer(raw, edge.dtype).reshape(rows, -1)
        return event | {"labels": [int(label) for label in np.argmax(values, axis=1)]}

    def _give(self, job: Job) -> None:
        asked = pagejob.of_job(job, self._paths)
        self._outputs = dict(asked.outputs)
        for sha256, blob in asked.blobs.items():
            self._reception.hub.put(sha256, blob)
        self._reception.hub.give(self.phone, asked.told, asked.tables, asked.steps)


class _Whole:
    """Lets through what stands whatever becomes of the page: all predictions together, processes one by one, a soak."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._held: list[Event] = []
        # The process that is at work; None before the first, and their number behind the last.
        self._at: int | None = None

    def add(self, event: Event) -> Iterator[Event]:
        at = event.get("process", None if self._at is None else self._job.processes)
        if at != self._at:
            yield from self.held()
            self._at = at
        self._held.append(event)
        if event["event"] == "result":
            yield from self.held()

    def held(self) -> Iterator[Event]:
        """What was held back until now."""
        yield from self._held
        self._held = []

    def rest(self) -> Job:
        """The job of what was not let through."""
        if self._at is None:
            return self._job
        return self._job.without_answers().model_copy(update={"resume_from": self._at})


def _machine(phone: Handset) -> dict[str, Any]:
    """What the phone says of itself, under the names of a board's facts where it has them."""
    told = phone.facts
    cores = told.get("cores")
    known = {
        "machine": facts.model(told) or facts.system(told),
        "system": facts.system(told),
        "cpu": None,
        "cores": cores if isinstance(cores, int) else None,
        "python": "",
        "runtimes": {"litert.js": facts.text_of(told, "runtime")},
        "browser": facts.browser(told),
    }
    return {**{key: value for key, value in told.items() if key not in known}, **known}
