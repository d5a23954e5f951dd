"""What stands before every request: whose it is, how large it may be, and what every answer says to the browser."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-edgebig-token"
_HEADERS: Mapping[str, str] = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
# Which a page cannot say of itself.
_NOT_FRAMED = "frame-ancestors 'none'"
_METHODS = {"GET", "HEAD", "POST"}


def policy(scripts: Sequence[str] = (), styles: Sequence[str] = ()) -> str:
    """What a page may do, as a Content-Security-Policy; `scripts`, `styles`: what that calls those by that stand in it.

    Scripts of the page alone, of those within it only these; WebAssembly may be compiled; nothing goes anywhere else. A
    Worker's script is put together by the page.
    """
    within = {"script-src": scripts, "style-src": styles}
    rules = {
        "default-src": "'none'", "script-src": "'self' 'wasm-unsafe-eval'", "style-src": "'self'",
        "img-src": "'self' blob: data:", "media-src": "'self' blob:", "connect-src": "'self'",
        "worker-src": "'self' blob:", "manifest-src": "'self'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    return "; ".join(
        " ".join([name, rule, *(f"'{one}'" for one in within.get(name, ()))]) for name, rule in rules.items()
    )


class Guard:
    """Refuses what is not of the page: another Host (a name that was bound to our address), another Origin, no token.

    `hosts`: what a Host header may be; `origins`: what an Origin may be; `open_paths`: those that need no token;
    `allowed`: the pages' Content-Security-Policy.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        hosts: frozenset[str],
        origins: frozenset[str],
        open_paths: frozenset[str],
        allowed: str,
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts, self._origins, self._open_paths = hosts, origins, open_paths
        headers = {"content-security-policy": f"{allowed}; {_NOT_FRAMED}", **_HEADERS}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        from starlette.responses import JSONResponse

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] != 304:
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, headed)
            return
        status, problem = refusal
        # What was not read of the body would be taken for the next request.
        answer = JSONResponse(
            {"problem": problem, "hint": ""}, status, {"connection": "close", "cache-control": "no-store"}
        )
        await answer(scope, receive, headed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        told = _Headers(scope)
        if told.one("host").lower() not in self._hosts:
            return 421, "this server goes by another name"
        if told.has("origin") and told.one("origin").lower() not in self._origins:
            return 403, "a page of elsewhere"
        if told.one("sec-fetch-site", "none") not in ("same-origin", "none") and not self._is_opened(
            scope, told
        ):
            return 403, "a page of elsewhere"
        if scope["method"] not in _METHODS:
            return 405, "GET or POST"
        if scope["path"] in self._open_paths:
            return None
        if not hmac.compare_digest(told.one(TOKEN_HEADER).encode("latin-1"), self._token):
            return 401, "wants the token of the address that was shown"
        return None

    def _is_opened(self, scope: Scope, told: _Headers) -> bool:
        """Whether a person follows a link to the page, as in a mail, and no other page fetches or frames it."""
        seen = told.one("sec-fetch-mode"), told.one("sec-fetch-dest")
        return (
            scope["method"] == "GET"
            and scope["path"] in self._open_paths
            and seen == ("navigate", "document")
        )


class _Headers:
    """The headers of a request; one that stands there twice is none."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._all.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def has(self, name: str) -> bool:
        return name in self._all

    def one(self, name: str, missing: str = "") -> str:
        values = self._all.get(name, [missing])
        return values[0] if len(values) == 1 else ""
