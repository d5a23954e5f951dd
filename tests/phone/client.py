"""A phone for tests that is no browser: it speaks the page's HTTP interface, and really runs the model."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebig import files
from edgebig.ondevice import infer
from edgebig.phone.runtime import Packed, Runtime
from edgebig.phone.serving import Served

PIXEL = {
    "user_agent": "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/143.0.0.0 Mobile Safari/537.36",
    "model": "Pixel 8", "platform": "Android 15.0.0", "mobile": True, "cores": 9, "isolated": True,
    "timer_ns": 5000, "automated": False, "runtime": "2.5.3",
}  # fmt: skip
LIMIT_S = 20.0


def no_runtime(folder: Path, *more: str) -> Runtime:
    """In place of LiteRT.js, which these phones do not need: its modules without anything in them, and `more` files."""
    contents = {"index.js": b'import {} from "./wasm-utils.js";\n', "wasm-utils.js": b"export {};\n"}
    packed = {}
    for name, content in {**contents, **{name: name.encode() for name in more}}.items():
        place = folder / f"{name.replace('/', '-')}.gz"
        place.write_bytes(gzip.compress(content))
        packed[name] = Packed(place, files.sha256_bytes(content), len(content))
    return packed


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to a server on this machine; `host`: the Host header, where it is another than the address."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=LIMIT_S)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        token: bool = True,
    ) -> Answer:
        told = {"X-Edgebig-Token": self.served.token} if token else {}
        if body is not None and not isinstance(body, bytes):
            body, told = json.dumps(body).encode(), {**told, "Content-Type": "application/json"}
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body, {**told, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def join(self, phone: str | None = None, facts: dict[str, Any] | None = None) -> str:
        answer = self.request(
            "POST", "/api/join", {"phone": phone, "facts": PIXEL if facts is None else facts}
        )
        assert answer.status == 200, answer
        return str(answer.json()["phone"])

    def line(self, phone: str, has: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
        """The server-sent events, until the server or whoever reads them ends."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(
                "GET", f"/api/job?phone={phone}&has={has}", headers={"X-Edgebig-Token": self.served.token}
            )
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            event = ""
            with contextlib.closing(answer):
                for line in answer:
                    text = line.decode().rstrip("\n")
                    if text.startswith("event: "):
                        event = text.removeprefix("event: ")
                    elif text.startswith("data: "):
                        yield event, json.loads(text.removeprefix("data: "))

    def send(self, phone: str, job: int, first: int, events: list[Any]) -> Answer:
        return self.request(
            "POST", f"/api/events?phone={phone}", {"job": job, "first": first, "events": events}
        )


class Phone(Client):
    """`drops`: after so many events of its first job the line is lost; `anew`: and the page loaded anew then."""

    def __init__(
        self, served: Served, facts: dict[str, Any] | None = None, *, drops: int = 0, anew: bool = False
    ):
        super().__init__(served)
        self.facts, self.drops, self.anew = facts, drops, anew
        self.jobs: list[dict[str, Any]] = []

    def job(self, phone: str) -> dict[str, Any]:
        """What it is given, which takes the host a moment."""
        return next(data for event, data in self.line(phone) if event == "job")

    def live(self) -> str:
        """Joins and does every job that it is given; gives why it ended."""
        phone, has = self.join(facts=self.facts), 0
        while True:
            for event, data in self.line(phone, has):
                if event == "end":
                    return str(data["why"])
                if event == "job":
                    has = 0 if self._work(phone, data) else data["number"]
                    if not has or self.drops:
                        self.drops = 0
                        break

    def _work(self, phone: str, task: dict[str, Any]) -> bool:
        """Whether the page was loaded anew on the way."""
        self.jobs.append(task["job"])
        events = list(events_of(task["job"], task["tables"], self))
        first = task["next"]
        while first < len(events):
            part = events[first : first + 3]
            if self.drops and first >= self.drops:
                return self.anew
            answer = self.send(phone, task["number"], first, part)
            if answer.status == 409:  # the host wants no more of it
                return False
            assert answer.status == 200, answer
            first = answer.json()["next"]
        return False


def events_of(
    job: dict[str, Any], tables: dict[str, list[float]], client: Client
) -> Iterator[dict[str, Any]]:
    """What the page sends of a job."""
    yield {"event": "ready", "protocol": 1, "facts": {}}
    yield {
        "event": "condition",
        "when": "before",
        "unix_s": 1.8e9,
        "battery": {"level": 0.8, "charging": True},
    }
    blobs = {sha: client.request("GET", f"/api/blob/{sha}").body for sha in _wanted(job)}
    for model in job["models"] if "predictions" in job["want"] else ():
        yield _loaded(model["sha256"])
        yield {"event": "memory", "model": model["sha256"], "baseline_kb": 16000, "peak_kb": 17000}
        images = np.frombuffer(blobs[job["inputs"]], np.uint8).reshape(job["inputs_shape"])
        yield from _outputs(model["sha256"], blobs[model["sha256"]], tables[model["sha256"]], images)
    for process in range(job["resume_from"], job["processes"] if "latency" in job["want"] else 0):
        yield {"event": "condition", "when": "process", "process": process}
        for model in job["models"]:
            yield {**_loaded(model["sha256"]), "process": process}
        for model in job["models"]:
            stamp = {"model": model["sha256"], "process": process}
            yield {"event": "warmup", **stamp, "invokes": 32, "settled": True, "batch": 20,
                   "init_ns": 5_000_000, "first_ns": 300_000}  # fmt: skip
        for turn in range(job["rounds"]):
            for model in job["models"]:
                times_ns = [50_000 + 10 * process + index for index in range(job["samples"])]
                frames_ns = [[1_000, time_ns, 500] for time_ns in times_ns]
                yield {"event": "sample", "model": model["sha256"], "process": process, "round": turn, "batch": 20,
                       "ns": times_ns, "frame_ns": frames_ns}  # fmt: skip
    for second in range(1, int(job["soak_s"]) + 1 if "latency" in job["want"] else 1):
        for model in job["models"]:
            yield {"event": "soak", "model": model["sha256"], "at_s": float(second), "invokes": 20_000,
                   "p50_ns": 50_000 + 1_000 * second, "p90_ns": 60_000 + 1_000 * second}  # fmt: skip
        if second == 1:
            yield {
                "event": "condition",
                "when": "soak",
                "at_s": 1.0,
                "battery": {"level": 0.8, "charging": False},
            }
    yield {"event": "condition", "when": "after"}
    yield {"event": "result", "complete": True}


def _wanted(job: dict[str, Any]) -> list[str]:
    return [model["sha256"] for model in job["models"]] + ([job["inputs"]] if job["inputs"] else [])


def _loaded(sha256: str) -> dict[str, Any]:
    delegated = {"delegate": "wasm", "nodes": 1, "of": 1, "partitions": 1, "left": []}
    return {"event": "loaded", "model": sha256, "delegated": delegated, "adapter": None}


def _outputs(sha256: str, data: bytes, table: list[float], images: Any) -> Iterator[dict[str, Any]]:
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        Path(file.name).write_bytes(data)
        model = infer.Model(file.name, "ai-edge-litert", "xnnpack", 1)
    levels = np.array(table, model.input.dtype)
    for start in range(0, len(images), 40):
        rows = []
        for image in images[start : start + 40]:
            model.set_input(levels[image])
            model.invoke()
            rows.append(model.get_output())
        raw = np.stack(rows)
        # Labels of the page's own are believed by nobody.
        yield {"event": "outputs", "model": sha256, "start": start, "of": len(images), "labels": [9] * len(rows),
               "raw": base64.b64encode(raw.tobytes()).decode(), "dtype": str(raw.dtype)}  # fmt: skip
