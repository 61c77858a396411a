"""What stands before every request: the key, the host's name, limits, and the clock."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from milk_np.service.metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN = ("/", "/health", "/docs", "/openapi.json")
"""Paths that need no key: they hold nothing of the data."""
LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")
OTHER = "other"
"""The route of a request for a path that there isn't."""


@dataclass(frozen=True)
class Limits:
    """What a request may ask for: bytes of its body, length of a list, users or items at a time."""

    body: int = 1 << 20
    k: int = 1000
    batch: int = 256
    key: str | None = field(default=None, repr=False)


class Guard:
    """ASGI middleware: refuses what isn't allowed, and counts what passes."""

    def __init__(self, app: Any, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), [500]

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._guarded(scope, receive, counted)
        finally:
            route = scope["path"] if scope["path"] in self.metrics.routes else OTHER
            self.metrics.add(route, status[0], time.perf_counter() - begun)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        over: list[bool] = []

        async def sending(message: MutableMapping[str, Any]) -> None:
            if not over:  # else whatever the application says of the body that was cut is not the reason
                await send(message)

        await self.app(scope, self._limited(receive, over), sending)
        if over:
            await _refuse(send, *self._too_large())

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Status, title and detail of why the request is refused; None if it isn't."""
        if self.limits.key is None:
            host = headers.get("host", "")
            name = host if host in LOCAL else host.rpartition(":")[0] or host
            if name not in LOCAL:  # a page elsewhere may have its name point here
                return (
                    421,
                    "Misdirected Request",
                    f"expected a local host's name, got {host!r}; --api-key-file opens others",
                )
        elif scope["path"] not in OPEN and not self._has_key(headers):
            return 401, "Unauthorized", "expected the API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.body:
            return self._too_large()
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] not in ("GET", "HEAD") and length != "0" and kind != "application/json":
            return 415, "Unsupported Media Type", f"expected a body of application/json, got {kind or 'none'}"
        return None

    def _has_key(self, headers: dict[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), (self.limits.key or "").encode())

    def _too_large(self) -> tuple[int, str, str]:
        return 413, "Content Too Large", f"expected a body of at most {self.limits.body} bytes"

    def _limited(self, receive: Receive, over: list[bool]) -> Receive:
        """Receives at most `limits.body` bytes, whatever the headers say; `over` gets an entry where there are more."""
        read = [0]

        async def limited() -> MutableMapping[str, Any]:
            message = await receive()
            read[0] += len(message.get("body", b""))
            if read[0] > self.limits.body:
                over.append(True)
                return {"type": "http.disconnect"}
            return message

        return limited


def problem(status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """What went wrong as RFC 9457 has it; `errors` name the fields."""
    more = {"errors": errors} if errors else {}
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}


async def _refuse(send: Send, status: int, title: str, detail: str) -> None:
    body = json.dumps(problem(status, title, detail)).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
