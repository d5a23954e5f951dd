"""The server over real sockets: what it gives to whom, and what whoever means harm gets of it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from edgebig.errors import EdgebigError
from edgebig.phone import hub as hub_module
from edgebig.phone import server as server_module
from edgebig.phone import serving as serving_module
from edgebig.phone.assets import Asset, of_bytes
from edgebig.phone.hub import Hub, Refused
from edgebig.phone.server import MOST_BYTES, Site
from edgebig.phone.serving import Served, serving
from tests.phone.client import PIXEL, Client

pytest.importorskip("uvicorn", reason="needs uvicorn")

PAGE = of_bytes("index.html", b"<!doctype html><p>the page</p>" * 40)
WASM = Asset(
    "runtime/wasm/a.wasm", "application/wasm", "ab" * 32, None, of_bytes("a", b"\0asm" * 500).gzipped
)
SHA = "c0" * 32
SITE = Site({PAGE.path: PAGE, WASM.path: WASM}, [{"name": "digits", "sha256": SHA}], {SHA: b"TFL3"})
JOB: dict[str, Any] = {
    "schema": 1, "models": [{"sha256": SHA, "name": "m", "preprocessing": {}}], "inputs": None, "examples": 3,
    "processes": 2, "rounds": 2, "samples": 2, "resume_from": 0, "want": ["latency"],
}  # fmt: skip
READY = {"event": "ready", "protocol": 1}


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_LOOK_S", 0.01)


@dataclass
class Server:
    hub: Hub
    served: Served
    client: Client


@contextlib.contextmanager
def server(mode: Any = "bench", limit: int = 64) -> Iterator[Server]:
    hub = Hub(mode, limit)
    with serving(SITE, hub, "127.0.0.1", None) as served:
        yield Server(hub, served, Client(served))


@pytest.fixture(scope="module")
def kept() -> Iterator[Server]:
    """One server for the tests that leave it as it was."""
    with server(limit=10_000) as one:
        yield one


# ---------------------------------------------------------------- what it gives


def test_the_page_comes_gzipped_and_a_second_time_not_at_all(kept: Server) -> None:
    first = kept.client.request("GET", "/", headers={"Accept-Encoding": "gzip, br"}, token=False)
    assert (first.status, first.headers["content-encoding"]) == (200, "gzip")
    assert first.body == PAGE.gzipped
    again = kept.client.request("GET", "/index.html", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    plain = kept.client.request("GET", "/index.html", token=False)
    assert plain.body == PAGE.plain
    assert "content-encoding" not in plain.headers


def test_the_runtime_comes_as_webassembly_to_whoever_takes_no_gzip_too(kept: Server) -> None:
    answer = kept.client.request("GET", "/runtime/wasm/a.wasm", token=False)
    assert (answer.headers["content-type"], answer.body) == ("application/wasm", b"\0asm" * 500)


@pytest.mark.parametrize("path", ["/", "/api/rows", "/nope"])
def test_every_answer_keeps_the_browser_in_its_bounds(kept: Server, path: str) -> None:
    headers = kept.client.request("GET", path).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "server" not in headers


def test_models_go_to_who_has_the_token(kept: Server) -> None:
    assert kept.client.request("GET", "/models.json").json() == [{"name": "digits", "sha256": SHA}]
    model = kept.client.request("GET", f"/models/{SHA}.tflite")
    assert (model.body, model.headers["content-type"]) == (b"TFL3", "application/octet-stream")
    for path in ("/models.json", f"/models/{SHA}.tflite", "/api/rows", f"/api/blob/{SHA}"):
        assert kept.client.request("GET", path, token=False).status == 401
    assert kept.client.request("GET", "/models/" + "0" * 64 + ".tflite").status == 404


# ---------------------------------------------------------------- who is refused


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"X-Edgebig-Token": "wrong"}, "/api/rows", 401),
        ({"X-Edgebig-Token": ""}, "/api/rows", 401),
        ({"X-Edgebig-Token": "\xff\xfe"}, "/api/rows", 401),
        ({"Cookie": "t={token}"}, "/api/rows", 401),
        ({"Authorization": "Bearer {token}"}, "/api/rows", 401),
        ({}, "/api/rows?t={token}", 401),
        ({}, "/api/rows?x-edgebig-token={token}", 401),
        ({"Host": "evil.example"}, "/", 421),
        ({"Host": "evil.example:8765", "X-Edgebig-Token": "{token}"}, "/api/rows", 421),
        ({"Host": "127.0.0.1", "X-Edgebig-Token": "{token}"}, "/api/rows", 421),
        ({"Origin": "https://evil.example", "X-Edgebig-Token": "{token}"}, "/api/rows", 403),
        ({"Origin": "null", "X-Edgebig-Token": "{token}"}, "/api/rows", 403),
        ({"Origin": "http://127.0.0.1:1", "X-Edgebig-Token": "{token}"}, "/api/rows", 403),
        ({"Sec-Fetch-Site": "cross-site", "X-Edgebig-Token": "{token}"}, "/api/rows", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "/", 403),
    ],
)
def test_strangers(kept: Server, headers: dict[str, str], path: str, status: int) -> None:
    told = {name: value.replace("{token}", kept.served.token) for name, value in headers.items()}
    path = path.replace("{token}", kept.served.token)
    answer = kept.client.request("GET", path, headers=told, token=False)
    assert answer.status == status
    assert answer.json()["problem"]


def test_its_own_page_is_let_in(kept: Server) -> None:
    same = {"Origin": kept.served.origin, "Sec-Fetch-Site": "same-origin"}
    assert kept.client.request("GET", "/api/rows", headers=same).status == 200
    localhost = f"localhost:{kept.served.port}"
    assert kept.client.request("GET", "/api/rows", headers={"Host": localhost}).status == 200


def test_who_follows_a_link_to_the_page_is_let_in(kept: Server) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert kept.client.request("GET", "/", headers=link, token=False).status == 200
    assert kept.client.request("GET", "/api/rows", headers=link).status == 403
    assert kept.client.request("POST", "/", headers=link).status == 403
    assert (
        kept.client.request("GET", "/", headers={**link, "Sec-Fetch-Dest": "iframe"}, token=False).status
        == 403
    )


def test_it_answers_to_its_machines_names() -> None:
    with serving(SITE, Hub("bench", 1), "127.0.0.1", None, None, ["laptop", "laptop.local"]) as served:
        client = Client(served)
        for host, status in (("laptop", 200), ("LAPTOP.local", 200), ("laptop.evil", 421)):
            headers = {"Host": f"{host}:{served.port}", "Origin": f"http://{host.lower()}:{served.port}"}
            assert client.request("GET", "/api/rows", headers=headers).status == status


def raw(port: int, data: bytes, limit_s: float = 5.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_a_token_or_host_that_stands_there_twice_is_none(kept: Server) -> None:
    host = f"127.0.0.1:{kept.served.port}"
    twice = (
        f"GET /api/rows HTTP/1.1\r\nHost: {host}\r\nX-Edgebig-Token: x\r\n"
        f"X-Edgebig-Token: {kept.served.token}\r\nConnection: close\r\n\r\n"
    )
    assert raw(kept.served.port, twice.encode()).startswith(b"HTTP/1.1 401")
    hosts = f"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert raw(kept.served.port, hosts.encode()).startswith((b"HTTP/1.1 400", b"HTTP/1.1 421"))
    assert raw(kept.served.port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    "path",
    [
        "/../serving.py", "/app/../../serving.py", "/..%2fserving.py", "/%2e%2e/serving.py", "/..%5cserving.py",
        "//etc/passwd", "/%00", "/index.html%00.js", "/static/../index.html", "/runtime/../index.html",
        "/models/../index.html", "/models/..%2f..%2fetc%2fpasswd", "/api/blob/..%2f..%2fetc%2fpasswd", "/.git/config",
        "/INDEX.HTML", "/index.html/", "/" + "a" * 9000,
    ],
)  # fmt: skip
def test_only_exact_paths_are_files(kept: Server, path: str) -> None:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{kept.served.port}\r\n"
        f"X-Edgebig-Token: {kept.served.token}\r\nConnection: close\r\n\r\n"
    )
    status = raw(kept.served.port, request.encode()).split(b" ", 2)[1]
    assert status in (b"404", b"307", b"400"), status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods(kept: Server, method: str) -> None:
    assert kept.client.request(method, "/api/rows").status == 405


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"", 400), (b"[]", 400), (b"nul", 400), (b"\xff\xfe", 400), (b"[" * 15_000, 400),
        (b'{"phone": null, "facts": NaN}', 400), (b'{"facts": {"cores": Infinity}}', 400),
        (b'{"facts": {"cores": 1e999}}', 400), (b'{"phone": null}', 400), (b'{"facts": []}', 400),
        (b'{"facts": {"a": {"b": {"c": {"d": {"e": 1}}}}}}', 400),
        (json.dumps({"facts": {str(n): n for n in range(99)}}).encode(), 400),
        (b'{"facts": {"user_agent": "' + b"A" * 20_000 + b'"}}', 413),
        (b'{"phone": ["x"], "facts": {}}', 200), (b'{"phone": 7, "facts": {"model": "\\ud800"}}', 200),
    ],
)  # fmt: skip
def test_what_a_page_may_say_of_itself(kept: Server, body: bytes, status: int) -> None:
    answer = kept.client.request("POST", "/api/join", body, {"Content-Type": "application/json"})
    assert answer.status == status, answer


def test_a_form_of_another_page_is_no_json(kept: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = kept.client.request("POST", "/api/join", b'{"facts": {}}', {"Content-Type": kind})
        assert answer.status == 415


def test_a_body_that_is_too_large_is_not_read(kept: Server) -> None:
    head = (
        f"POST /api/events?phone=x HTTP/1.1\r\nHost: 127.0.0.1:{kept.served.port}\r\n"
        f"X-Edgebig-Token: {kept.served.token}\r\nContent-Type: application/json\r\n"
    )
    phone = kept.client.join()
    head = head.replace("phone=x", f"phone={phone}")
    declared = raw(kept.served.port, f"{head}Content-Length: 99999999999\r\n\r\n".encode())
    assert declared.startswith(b"HTTP/1.1 413")
    # Nothing is declared of a chunked one: it is cut where it has become too large.
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", kept.served.port), timeout=5) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(20 * MOST_BYTES // 65536):
                connection.sendall(chunk)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_is_cut_off_is_no_bug(kept: Server, capsys: pytest.CaptureFixture[str]) -> None:
    head = (
        f"POST /api/join HTTP/1.1\r\nHost: 127.0.0.1:{kept.served.port}\r\nContent-Type: application/json\r\n"
        f"X-Edgebig-Token: {kept.served.token}\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", kept.served.port), timeout=5) as connection:
        connection.sendall(head.encode() + b'{"facts"')
    assert kept.client.request("GET", "/api/rows").status == 200
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_bug_of_the_hosts_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server() as one:
        monkeypatch.setattr(one.hub, "rows", lambda: 1 / 0)
        answer = one.client.request("GET", "/api/rows")
        assert (answer.status, answer.json()["problem"]) == (500, "the host has a bug")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_who_sends_nothing_or_a_byte_at_a_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(serving_module, "_MOST_LOOKS", 4)
    with server() as one:
        address = ("127.0.0.1", one.served.port)
        with (
            socket.create_connection(address, timeout=5) as silent,
            socket.create_connection(address, timeout=5) as slow,
        ):
            begun_s = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - begun_s < 4:
                    slow.sendall(b"G" if time.monotonic() - begun_s < 0.02 else b"E")
                    time.sleep(0.05)
            assert time.monotonic() - begun_s < 3
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
        # A line that waits for its job is none of these.
        phone = one.client.join()
        line = one.client.line(phone)
        assert next(line)[0] == "wait"
        time.sleep(0.5)
        one.hub.give(one.hub.phone(phone), JOB, {}, 4)
        assert next(line)[0] == "job"
        line.close()


# ---------------------------------------------------------------- jobs


def test_a_job_is_done_in_numbered_events_over_drops() -> None:
    with server() as one:
        phone = one.client.join()
        line = one.client.line(phone)
        assert next(line) == ("wait", {"why": "the host prepares the job"})
        handset = one.hub.arrival(1.0)
        assert handset is not None
        one.hub.give(handset, JOB, {}, 4)
        event, task = next(line)
        assert (event, task["number"], task["next"], task["job"]) == ("job", 1, 0, JOB)
        condition = {"event": "condition", "when": "before"}
        assert one.client.send(phone, 1, 0, [READY, condition]).json() == {"next": 2}
        # The answer was lost, and it is sent again.
        assert one.client.send(phone, 1, 0, [READY, condition]).json() == {"next": 2}
        missing = one.client.send(phone, 1, 5, [condition])
        assert (missing.status, missing.json()["next"]) == (409, 2)
        other = one.client.send(phone, 7, 0, [READY])
        assert (other.status, other.json()["job"]) == (409, 1)
        line.close()
        # It comes back, at work on the job: it goes on where it was.
        event, task = next(again := one.client.line(phone, has=1))
        assert (event, task["number"], task["next"]) == ("job", 1, 2)
        assert [handset.answers.get_nowait()["event"] for _ in range(2)] == ["ready", "condition"]  # type: ignore[index]
        assert handset.answers.empty()
        one.hub.finish(handset, "measured", accuracy=0.5)
        assert next(again) == ("end", {"why": "measured", "accuracy": 0.5})


def test_a_page_that_was_loaded_anew_waits_for_what_is_left() -> None:
    with server() as one:
        phone = one.client.join()
        line = one.client.line(phone)
        next(line)
        handset = one.hub.arrival(1.0)
        assert handset is not None
        one.hub.give(handset, JOB, {}, 4)
        next(line)
        one.client.send(phone, 1, 0, [READY])
        line.close()
        assert one.client.join(phone=phone) == phone
        assert next(one.client.line(phone, has=0))[0] == "wait"
        assert [type(handset.answers.get_nowait()).__name__ for _ in range(2)] == ["dict", "Again"]
        assert one.hub.arrival(0.01) is None  # it is the same phone, not one more


def test_who_was_taken_waits_for_the_job_though_no_more_are_wanted() -> None:
    with server() as one:
        first, second = one.client.join(), one.client.join()
        line = one.client.line(first)
        next(line)
        handset = one.hub.arrival(1.0)
        assert handset is not None
        one.hub.close("enough")
        time.sleep(0.1)
        one.hub.give(handset, JOB, {}, 4)
        assert next(line)[0] == "job"
        assert next(one.client.line(second)) == ("end", {"why": "enough"})
        line.close()


def test_a_second_tab_of_the_same_phone_closes_the_first() -> None:
    with server() as one:
        phone = one.client.join()
        first = one.client.line(phone)
        next(first)
        second = one.client.line(phone)
        assert next(second)[0] == "wait"
        assert next(first) == ("end", {"why": "this page was opened again elsewhere"})
        second.close()


@pytest.mark.parametrize(
    "path",
    ["/api/job?phone=nobody", "/api/job", "/api/job?phone={phone}&has=x", "/api/job?phone={phone}&has=-1"],
)
def test_lines_of_nobody(kept: Server, path: str) -> None:
    answer = kept.client.request("GET", path.replace("{phone}", kept.client.join()))
    assert answer.status in (400, 404)


def test_events_of_nobody_and_of_no_job(kept: Server) -> None:
    assert kept.client.send("nobody", 1, 0, [READY]).status == 404
    phone = kept.client.join()
    assert kept.client.send(phone, 1, 0, [READY]).status == 409
    for body in (
        [],
        {},
        {"job": 1, "first": -1, "events": []},
        {"job": True, "first": 0, "events": []},
        {"job": 1},
    ):
        assert kept.client.request("POST", f"/api/events?phone={phone}", body).status == 400


def test_ten_thousand_joins_end_at_the_limit() -> None:
    hub = Hub("bench", 20)
    with serving(SITE, hub, "127.0.0.1", None) as served:
        client = Client(served)
        answers = [client.request("POST", "/api/join", {"facts": PIXEL}) for _ in range(40)]
        assert [answer.status for answer in answers] == [200] * 20 + [503] * 20
        assert "20 phones are here already" in answers[-1].json()["problem"]
        # Those that are known still come in.
        assert client.join(phone=answers[3].json()["phone"]) == answers[3].json()["phone"]
    refused = 0
    for _ in range(10_000):
        try:
            hub.join(None, PIXEL)
        except Refused:
            refused += 1
    assert (refused, len(hub.rows())) == (10_000, 20)


def test_places_of_visitors_who_have_gone_are_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FORGET_S", 0.0)
    hub = Hub("page", 3)
    asked = hub.join(None, PIXEL)
    hub.open_line(asked, 0)
    names = [hub.join(None, PIXEL).name for _ in range(10)]
    assert names == [f"phone-{number}" for number in range(2, 12)]
    assert [row["name"] for row in hub.rows()] == ["phone-1", "phone-10", "phone-11"]
    assert hub.phone(asked.id) is asked
    bench = Hub("bench", 1)
    bench.open_line(one := bench.join(None, PIXEL), 0)
    bench.close_line(one, 1)
    bench.finish(one, "measured")
    with pytest.raises(Refused):  # it has measured, and its row stays
        bench.join(None, PIXEL)


def test_rows_hold_what_a_page_says_as_text() -> None:
    with server() as one:
        one.client.join(
            facts={"user_agent": "<img src=x onerror=alert(1)> Chrome/143", "model": "\x1b[2J<b>"}
        )
        row = one.client.request("GET", "/api/rows")
        assert row.headers["content-type"] == "application/json"
        assert row.json()[0]["about"] == "\x1b[2J<b>, unknown, Chrome 143"


# ---------------------------------------------------------------- its life


def test_the_pages_are_told_that_it_ends_and_it_ends_at_once() -> None:
    told: list[Any] = []
    with server() as one:
        phone = one.client.join()
        line = one.client.line(phone)
        next(line)
        reader = threading.Thread(target=lambda: told.extend(line))
        reader.start()
        begun_s = time.monotonic()
    reader.join(5)
    assert told == [("end", {"why": "the host has ended"})]
    assert time.monotonic() - begun_s < 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.served.port), timeout=1)


def test_a_taken_port_is_left_to_who_has_it(kept: Server) -> None:
    with server() as other:
        assert other.served.port != kept.served.port
        assert other.served.token != kept.served.token
        with (
            pytest.raises(EdgebigError, match=f"port {kept.served.port}"),
            serving(SITE, Hub("bench", 1), "127.0.0.1", None, kept.served.port),
        ):
            pass


def test_in_a_page_that_is_open_to_all_a_phone_may_ask_again() -> None:
    with server("page") as one:
        phone = one.client.join()
        for _ in range(2):
            line = one.client.line(phone)
            assert next(line)[0] == "wait"
            handset = one.hub.arrival(1.0)
            assert handset is not None
            one.hub.finish(handset, "measured")
            assert next(line)[0] == "end"
