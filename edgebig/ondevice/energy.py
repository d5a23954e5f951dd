"""Power while the machine idles and while a model runs, by whatever meter it has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from typing import Any

from . import power


class Energy:
    """The idle power before each process, and the power of each run of inferences that its events mark."""

    def __init__(self, root: str = "/") -> None:
        self._meter, self._why = power.find(root)

    @property
    def phase_s(self) -> float:
        """How long a run of inferences must last; 0 where nothing can be measured."""
        return self._meter.phase_s if self._meter else 0.0

    def source(self) -> dict[str, Any]:
        return {"event": "energy_source", "source": self._meter and self._meter.source, "why": self._why}

    def around(self, child: Generator[dict[str, Any], None, None]) -> Iterator[dict[str, Any]]:
        """The events of a child that has not been started yet: idles first; `energy_begin` .. `energy` get watts.

        A meter that stops to answer ends all measuring of energy, with the reason in the event.
        """
        had_meter = self._meter is not None
        idle_watts = self._idle()
        if had_meter and self._meter is None:
            yield self.source()
        with contextlib.closing(child), self._recording() as recorder:
            for event in child:
                if event["event"] not in ("energy_begin", "energy"):
                    yield event
                elif recorder is not None and self._meter is not None:
                    try:
                        if event["event"] == "energy_begin":
                            recorder.start()
                        else:
                            yield {**event, "watts": recorder.stop(), "idle_watts": idle_watts}
                    except power.Unreadable as error:
                        self._meter, self._why = None, str(error)
                        yield self.source()

    def _idle(self) -> float | None:
        with self._recording() as recorder:
            if recorder is None:
                return None
            try:
                recorder.start()
                time.sleep(self.phase_s)
                return recorder.stop()
            except power.Unreadable as error:
                self._meter, self._why = None, str(error)
                return None

    @contextlib.contextmanager
    def _recording(self) -> Iterator[power.Recorder | None]:
        """A recorder that samples no longer when this ends, however it ends; None without a meter."""
        recorder = power.Recorder(self._meter) if self._meter else None
        try:
            yield recorder
        finally:
            if recorder is not None:
                recorder.close()
