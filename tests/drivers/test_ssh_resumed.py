"""What a board gave before it went away, and the rest from a later session: the real sshd is killed in the middle."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgebig import artifact, bench, measurement, partial
from edgebig.drivers.board import BoardSession
from edgebig.drivers.protocol import Event, Job
from edgebig.errors import EXIT_DEVICE
from tests.commandline import exit_code
from tests.drivers.sshd import Board, gone, on_board

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = [ROOT / "tests" / "golden" / f"digits-{name}.tflite" for name in ("int8", "float32")]

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytestmark = pytest.mark.slow


@contextlib.contextmanager
def killed(pi: Board, when: Callable[[Job, Event], bool]) -> Iterator[list[Job]]:
    """sshd is killed by the first event that is one of those; gives the jobs that were run there by then."""
    run, jobs = BoardSession.run, list[Job]()

    def watched(self: BoardSession, job: Job, deadline_s: float) -> Iterator[Event]:
        jobs.append(job)
        for event in run(self, job, deadline_s):
            yield event
            if when(job, event):
                pi.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoardSession, "run", watched)
        yield jobs


def test_a_sweep_goes_on_where_the_board_went_away(
    pi: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pi.toml").write_text(f'kind = "ssh"\naddress = "board"\npython = "{sys.executable}"\n')
    asked = [
        "--delegate",
        "xnnpack,none",
        "--processes",
        "3",
        "--examples",
        "20",
        "--rounds",
        "2",
        "--no-energy",
    ]
    place = ["--device", str(tmp_path / "pi.toml"), "--out", str(tmp_path / "records")]
    with killed(pi, lambda job, event: len(jobs) == 4 and event["event"] == "ready") as jobs:
        assert exit_code("bench", str(MODELS[0]), *place, *asked) == EXIT_DEVICE
    told = capsys.readouterr().err
    assert f"3 of 6 turns are kept, in a record for each setting in {tmp_path}/records" in told
    assert [job.delegate for job in jobs] == ["xnnpack", "none", "none", "xnnpack"]
    gone(lambda: not on_board(pi), "what ran there")
    parts = {name: tmp_path / "records" / f"pi-{name}.json" for name in ("xnnpack", "none")}
    assert {name: partial.load(path)[1].processes for name, path in parts.items()} == {
        "xnnpack": 1,
        "none": 2,
    }
    before = {name: measurement.load(path).models[0].latency.processes for name, path in parts.items()}
    pi.start()
    with killed(pi, lambda job, event: False) as jobs:
        assert exit_code("bench", "--resume", str(parts["none"])) == 0
    shown = capsys.readouterr().out
    assert "best: " in shown or "INCONCLUSIVE: " in shown
    assert [job.delegate for job in jobs] == ["xnnpack", "xnnpack", "none"]
    for name, path in parts.items():
        whole = measurement.load(path)
        (model,) = whole.models
        assert whole.incomplete is None
        assert model.latency.processes[: len(before[name])] == before[name]
        assert len(model.latency.processes) == 3
        assert model.accuracy is not None
        assert model.accuracy.n == 20
    gone(lambda: not on_board(pi), "what ran there")


def test_answers_go_on_where_the_board_went_away(
    pi: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = bench.Settings(processes=2, rounds=1, samples=2, warmup_s=0.05, energy=False)
    items = [artifact.load(path) for path in MODELS]

    def benched(earlier: measurement.Measurement | None = None) -> measurement.Measurement:
        return bench.bench(items, pi.device(), settings, None, earlier=earlier)

    second = items[1].sha256
    with (
        killed(pi, lambda job, event: event["event"] == "outputs" and event["model"] == second),
        pytest.raises(partial.Unfinished) as caught,
    ):
        benched()
    told = caught.value.keep(tmp_path / "part.json")
    record, part = partial.load(tmp_path / "part.json")
    assert part.processes == 0
    assert 1500 <= part.answers <= part.answers_of == 2000
    # What is not whole is shown of no model, and kept for the next time.
    assert record.models[0].accuracy is not None
    assert "answers and no process are kept in" in told.problem
    gone(lambda: not on_board(pi), "what ran there")
    pi.start()
    with killed(pi, lambda job, event: False) as jobs:
        whole = benched(record)
    assert [model.answered for model in jobs[0].models] == [1000, part.answers - 1000]
    assert whole.incomplete is None
    assert whole.models[0].predictions == record.models[0].predictions
    assert [model.accuracy and model.accuracy.n for model in whole.models] == [1000, 1000]
    assert [model.parity is not None and model.parity.n for model in whole.models] == [500, 500]
