"""The page, open to whoever comes: models to choose from, and a bench for each phone whose owner asks for one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebig import artifact, bench, measurement, runs, targets
from edgebig.artifact import Artifact
from edgebig.bench import Settings, Subject
from edgebig.device import BrowserDevice
from edgebig.drivers import browser
from edgebig.drivers.reception import Models, Reception
from edgebig.export import webmodel
from edgebig.export.webmodel import WebModel
from edgebig.phones import Phone, Visits
from edgebig.progress import say


@dataclass(frozen=True)
class Offered:
    """The models of the page, in the form that a browser takes, and the same as what a bench measures."""

    models: tuple[WebModel, ...]
    forms: tuple[Artifact, ...]


def offered(names: Sequence[str]) -> Offered:
    """Those of these runs and files; without a name that of the zoo. Raises EdgebigError where one cannot be one."""
    items = [artifact.load(runs.resolve_model(name)) for name in names or [runs.camera_model()]]
    models = tuple(webmodel.prepare(item, runs.beside(item.path)) for item in items)
    forms = tuple(targets.for_browser(item, runs.beside(item.path)) for item in items)
    return Offered(models, forms)


def serve(
    device: BrowserDevice,
    found: Offered,
    settings: Settings,
    data: Path | None,
    opened: Callable[[Reception], None],
    measured: Callable[[Phone], None],
) -> None:
    """Until Ctrl-C. `opened`: called once the page is there; `measured`: as each bench of a phone ends.

    `data`: where the files of the test split are. Raises what Reception raises.
    """
    rows = [webmodel.row(model) for model in found.models]
    contents = {model.card.sha256: model.data for model in found.models}
    with contextlib.ExitStack() as stack:
        reception = Reception(device, "page", Models(rows, contents))
        stack.callback(reception.release)
        opened(reception)
        subject = stack.enter_context(_when_asked(found, settings, data))
        visits = Visits(subject, device, settings, _place(found), on_done=measured)
        visits.of(reception, browser.whoever(reception))


@contextlib.contextmanager
def _when_asked(found: Offered, settings: Settings, data: Path | None) -> Iterator[Callable[[], Subject]]:
    """What is measured, made when the first phone asks: most people came for the camera."""
    lock = threading.Lock()
    made: list[Subject] = []
    with contextlib.ExitStack() as stack:

        def subject() -> Subject:
            with lock:
                if not made:
                    say("preparing the bench: the reference outputs")
                    paths = [item.path for item in found.forms]
                    folder, source = runs.usual_data(paths, data)
                    made.append(stack.enter_context(bench.prepared(found.forms, settings, folder, source)))
                return made[0]

        yield subject


def _place(found: Offered) -> Callable[[str], Path]:
    beside = runs.beside(found.forms[0].path)
    return lambda name: measurement.reserve(name, beside, None)
