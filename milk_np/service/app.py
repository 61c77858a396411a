"""The service as an ASGI application: routes, limits and errors around `Service`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from milk_np.errors import DataError, MilkError
from milk_np.service import requests as ask
from milk_np.service.core import RefusedError, Service
from milk_np.service.guard import OTHER, Guard, Limits, problem
from milk_np.service.insight import history_of, owned_by, place_without, reasons
from milk_np.service.metrics import Metrics
from milk_np.service.page import api_page, front_page
from milk_np.serving.recommend import Ranked
from milk_np.text import VERSION

ROUTES = (
    *("/", "/docs", "/openapi.json", "/health", "/metrics", "/recommend", "/users", "/similar", "/items"),
    *("/reload", "/look", "/without", OTHER),
)

THREADS = 8
"""Requests that a worker works on at the same time; others wait."""
POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What a page may load: nothing from elsewhere."""


def make_app(service: Service, limits: Limits | None = None, metrics: Metrics | None = None) -> FastAPI:
    """The application; `metrics` are shared where there are several workers."""
    limits, metrics = limits or Limits(), metrics or Metrics(ROUTES)
    app = FastAPI(title="milk_np", version=VERSION, docs_url=None, redoc_url=None, lifespan=_few_threads)
    _add_lists(app, service, limits)
    _add_changes(app, service, limits)
    _add_insight(app, service, limits)
    _add_pages(app, service, metrics)
    _add_errors(app)
    app.add_middleware(Guard, limits=limits, metrics=metrics)
    return app


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    """Requests run in few threads: a worker computes on one core, and every thread keeps memory of its own."""
    current_default_thread_limiter().total_tokens = THREADS
    yield


def _add_lists(app: FastAPI, service: Service, limits: Limits) -> None:
    @app.post("/recommend")
    def recommend(wanted: ask.Wanted) -> ask.Lists:
        """The best items for users of the training, or for the histories of others."""
        _check(limits, k=wanted.k, users=wanted.users, histories=wanted.histories)
        service.changes.catch_up()
        if wanted.users is not None:
            found = service.recommend(
                wanted.users, wanted.k, wanted.candidates, wanted.exclude, exclude_seen=wanted.exclude_seen
            )
        else:
            histories = wanted.histories or []
            found = service.recommend_for_histories(histories, wanted.k, wanted.candidates, wanted.exclude)
        return _lists(found, service)

    @app.post("/users")
    def users(wanted: ask.Items) -> ask.Lists:
        """The best users for items, without those who have chosen them."""
        _check(limits, k=wanted.k, items=wanted.items)
        service.changes.catch_up()
        return _lists(service.users_for(wanted.items, wanted.k), None)

    @app.post("/similar")
    def similar(wanted: ask.Items) -> ask.Lists:
        """The items most similar to each item."""
        _check(limits, k=wanted.k, items=wanted.items)
        service.changes.catch_up()
        return _lists(service.similar(wanted.items, wanted.k, wanted.candidates), service)


def _add_changes(app: FastAPI, service: Service, limits: Limits) -> None:
    @app.put("/items")
    def put(added: ask.Added) -> ask.Done:
        """Add items by their feature rows; those that are there are replaced."""
        _check(limits, items=added.items)
        names = [item.id for item in added.items]
        if len(set(names)) < len(names):
            twice = next(n for n, name in enumerate(names) if name in names[:n])
            raise RefusedError(f"items.{twice}.id", f"item {names[twice]!r} is given twice")
        return ask.Done(items=service.put({item.id: item.features for item in added.items}))

    @app.delete("/items")
    def remove(removed: ask.Removed) -> ask.Done:
        """Take items out of all lists."""
        _check(limits, items=removed.items)
        service.changes.catch_up()
        return ask.Done(items=service.remove(list(dict.fromkeys(removed.items))))

    @app.post("/reload")
    def reload() -> ask.Done:
        """Load the model again; added items that its features no longer fit are left out and named."""
        lost = service.reload()
        return ask.Done(items=len(service.all), lost=lost)


def _add_insight(app: FastAPI, service: Service, limits: Limits) -> None:
    @app.post("/look")
    def look(wanted: ask.Look) -> ask.Looked:
        """One list, with the items of the history that speak for each of its items."""
        _check(limits, k=wanted.k, history=wanted.history)
        service.changes.catch_up()
        found, history = _one_list(service, wanted)
        (entries,) = _lists(found, service).lists
        how, why = reasons(service, history, [entry.id for entry in entries.items])
        rows = [
            ask.Explained(
                **entry.model_dump(),
                reasons=[
                    ask.Spoken(id=each.item, weight=each.weight, title=service.titles.get(each.item)) for each in spoken
                ],
                modalities=owned_by(service, entry.id),
            )
            for entry, spoken in zip(entries.items, why, strict=True)
        ]
        return ask.Looked(how=how, history=len(history), modalities=list(service.modalities), items=rows)

    @app.post("/without")
    def without(wanted: ask.Without) -> ask.Moved:
        """Where an item would stand if it lacked some of its modalities."""
        _check(limits, history=wanted.history)
        service.changes.catch_up()
        state = service.all.state
        if wanted.user is not None:
            seen = history_of(service, wanted.user)
            vector = state.users([wanted.user])[0]
        else:
            seen = wanted.history or []
            vector = state.histories([seen])[0]
        moved = place_without(service, vector, wanted.item, wanted.without, seen, wanted.candidates)
        return ask.Moved(**vars(moved))


def _one_list(service: Service, wanted: ask.Look) -> tuple[Ranked, list[str]]:
    if wanted.user is not None:
        history = history_of(service, wanted.user)
        return service.recommend([wanted.user], wanted.k, wanted.candidates), history
    history = wanted.history or []
    return service.recommend_for_histories([history], wanted.k, wanted.candidates), history


def _add_pages(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/health")
    def health() -> ask.Health:
        """Whether the service answers, and with what."""
        service.changes.catch_up()
        known = service.model.catalogue
        sizes = {"users": known.n_users, "items": len(service.all), "new_items": len(service.new)}
        return ask.Health(status="ok", model=service.model.name, version=VERSION, **sizes)

    @app.get("/metrics", response_class=PlainTextResponse)
    def prometheus() -> str:
        """Counts of requests and of their time, in Prometheus's text format."""
        return metrics.text({"milk_items": len(service.all), "milk_new_items": len(service.new)})

    @app.get("/", include_in_schema=False)
    def front() -> HTMLResponse:
        return HTMLResponse(front_page(), headers=POLICY)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()), headers=POLICY)


def _lists(found: Ranked, service: Service | None) -> ask.Lists:
    titles = {} if service is None else service.titles
    rows = zip(found.query.tolist(), found.found.tolist(), found.score.tolist(), strict=True)
    return ask.Lists(
        lists=[
            ask.Found(
                query=str(query),
                items=[
                    ask.Entry(id=str(name), score=score, title=titles.get(str(name)))
                    for name, score in zip(names, scores, strict=True)
                    if score > float("-inf")
                ],
            )
            for query, names, scores in rows
        ]
    )


def _check(limits: Limits, k: int = 1, **parts: Sequence[Any] | None) -> None:
    """Refuse a list that is too long, or too many queries at a time."""
    if k > limits.k:
        raise RefusedError("k", f"expected at most {limits.k}, got {k}")
    for name, values in parts.items():
        if values is not None and len(values) > limits.batch:
            raise RefusedError(name, f"expected at most {limits.batch} at a time, got {len(values)}")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [{"field": _field(each["loc"]), "message": str(each["msg"])} for each in error.errors()]
        return _problem(422, f"{fields[0]['field']}: {fields[0]['message']}", fields)

    @app.exception_handler(MilkError)
    async def refused(_request: Request, error: MilkError) -> JSONResponse:
        if isinstance(error, RefusedError):
            return _problem(422, f"{error.field}: {error}", [{"field": error.field, "message": str(error)}])
        return _problem(422 if isinstance(error, (DataError, ValueError)) else 500, str(error))

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return _problem(500, "unexpected error; the service's log has it")


def _field(place: Sequence[Any]) -> str:
    """Name of a field in the request, such as users.3; body where it is the whole."""
    return ".".join(str(part) for part in place[1:]) or "body"


def _problem(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    body = problem(status, HTTPStatus(status).phrase, detail, errors)
    return JSONResponse(body, status, media_type="application/problem+json")
