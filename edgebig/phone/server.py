"""The routes: the page and its files for everybody who is here, models and the job for who has the token."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebig.phone import assets
from edgebig.phone.assets import Asset, Assets
from edgebig.phone.guard import Guard
from edgebig.phone.handset import Handset
from edgebig.phone.hub import Hub, Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

MOST_BYTES = 1_000_000
_JOIN_BYTES = 16_000
# So long may a body take: a megabyte over a bad Wi-Fi.
_BODY_LIMIT_S = 30.0
_LOOK_S = 0.1
# Without a word for a minute, what is in between closes a line.
_KEEP_ALIVE_S = 10.0


@dataclass(frozen=True)
class Site:
    """What is served besides the job: `models`: rows of models.json; `contents`: each one's bytes, by its sha256."""

    assets: Assets
    models: list[dict[str, Any]] = field(default_factory=list)
    contents: Mapping[str, bytes] = field(default_factory=dict)


def app(site: Site, hub: Hub, token: str, origins: frozenset[str]) -> ASGIApp:
    """The whole of it. `origins`: as in https://192.168.1.7:8765, of which it answers to no other."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    routes = _Routes(site, hub)
    inner = Starlette(
        routes=[
            Route("/models.json", routes.models),
            Route("/models/{name}", routes.model),
            Route("/api/join", routes.join, methods=["POST"]),
            Route("/api/job", routes.job),
            Route("/api/blob/{sha256}", routes.blob),
            Route("/api/events", routes.events, methods=["POST"]),
            Route("/api/rows", routes.rows),
            Route("/{path:path}", routes.asset),
        ],
        exception_handlers={Refused: _refused, Exception: _bug},
    )
    hosts = frozenset(origin.partition("://")[2] for origin in origins)
    open_paths = frozenset({"/", *(f"/{path}" for path in site.assets)})
    return Guard(inner, token, hosts, origins, open_paths, assets.policy_of(site.assets))


async def _refused(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    assert isinstance(error, Refused)
    return JSONResponse(error.body, error.status, {"cache-control": "no-store"})


async def _bug(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    # uvicorn's log is off, which would tell of every client that hangs up.
    traceback.print_exception(error)
    return JSONResponse({"problem": "the host has a bug", "hint": "its terminal tells more"}, 500)


class _Routes:
    def __init__(self, site: Site, hub: Hub) -> None:
        self._site, self._hub = site, hub

    async def asset(self, request: Request) -> Response:
        asset = self._site.assets.get(request.path_params["path"] or "index.html")
        if asset is None:
            raise Refused(404, "no such file")
        return _sent(asset, request)

    async def models(self, request: Request) -> Response:
        return _json(self._site.models)

    async def model(self, request: Request) -> Response:
        from starlette.responses import Response

        sha256 = request.path_params["name"].removesuffix(".tflite")
        content = self._site.contents.get(sha256)
        if content is None:
            raise Refused(404, "no such model")
        # Its name is its hash.
        headers = {"etag": _etag(sha256), "cache-control": "private, max-age=604800, immutable"}
        if _is_there(request, sha256):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def join(self, request: Request) -> Response:
        body = await _body(request, _JOIN_BYTES)
        if not isinstance(body, dict):
            raise Refused(400, "not an object")
        phone = self._hub.join(body.get("phone"), body.get("facts"))
        return _json({"phone": phone.id, "name": phone.name, "mode": self._hub.mode})

    async def job(self, request: Request) -> Response:
        from starlette.responses import StreamingResponse

        phone = self._hub.phone(request.query_params.get("phone"))
        has = request.query_params.get("has", "0")
        if not (has.isascii() and has.isdigit() and len(has) < 10):
            raise Refused(400, "'has' is no number")
        return StreamingResponse(
            self._line(request, phone, int(has)),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    async def _line(self, request: Request, phone: Handset, has: int) -> AsyncIterator[str]:
        line, said, quiet_s = self._hub.open_line(phone, has), None, 0.0
        try:
            while True:
                event, number, data = self._hub.line_says(phone, line)
                if said != (event, number):
                    said, quiet_s = (event, number), 0.0
                    yield f"event: {event}\ndata: {json.dumps(data)}\n\n"
                if event == "end":
                    return
                if quiet_s >= _KEEP_ALIVE_S:
                    quiet_s = 0.0
                    yield ": still here\n\n"
                if await request.is_disconnected():
                    return
                await asyncio.sleep(_LOOK_S)
                quiet_s += _LOOK_S
        finally:
            self._hub.close_line(phone, line)

    async def blob(self, request: Request) -> Response:
        from starlette.responses import Response

        content = self._hub.blob(request.path_params["sha256"])
        return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    async def events(self, request: Request) -> Response:
        phone = self._hub.phone(request.query_params.get("phone"))
        return _json({"next": self._hub.take(phone, await _body(request, MOST_BYTES))})

    async def rows(self, request: Request) -> Response:
        return _json(self._hub.rows())


def _json(value: Any) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, headers={"cache-control": "no-store"})


def _sent(asset: Asset, request: Request) -> Response:
    """Asked for again, it is told apart by its hash: what a browser has of it is not sent a second time."""
    from starlette.responses import Response

    headers = {"etag": _etag(asset.sha256), "cache-control": "no-cache", "vary": "accept-encoding"}
    if _is_there(request, asset.sha256):
        return Response(status_code=304, headers=headers)
    accepted = [
        one.partition(";")[0].strip() for one in request.headers.get("accept-encoding", "").split(",")
    ]
    if asset.gzipped is not None and "gzip" in accepted:
        return Response(
            asset.gzipped, media_type=asset.content_type, headers={**headers, "content-encoding": "gzip"}
        )
    return Response(asset.content(), media_type=asset.content_type, headers=headers)


def _etag(sha256: str) -> str:
    return f'"{sha256[:32]}"'


def _is_there(request: Request, sha256: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return _etag(sha256) in known


async def _body(request: Request, most: int) -> Any:
    """The JSON of a body, which is read no further than `most` bytes. Raises Refused."""
    if "application/json" not in request.headers.get("content-type", ""):
        raise Refused(415, "wants application/json")
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > most:
        raise Refused(413, f"more than {most} bytes", "send less at once")
    try:
        read = await asyncio.wait_for(_read(request, most), _BODY_LIMIT_S)
    except asyncio.TimeoutError:
        raise Refused(408, "it came too slowly") from None
    try:
        return json.loads(read, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "not JSON") from error


async def _read(request: Request, most: int) -> bytes:
    from starlette.requests import ClientDisconnect

    read = bytearray()
    try:
        async for part in request.stream():
            read += part
            if len(read) > most:
                raise Refused(413, f"more than {most} bytes", "send less at once")
    except ClientDisconnect:
        raise Refused(400, "it was cut off") from None
    return bytes(read)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
