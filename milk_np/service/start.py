"""Begins a service: key, titles, model, workers."""

from __future__ import annotations

import csv
import ipaddress
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from milk_np.data import Dataset
from milk_np.errors import DataError, SettingsError
from milk_np.files import refuse_special
from milk_np.machine.memory import return_freed
from milk_np.models.stored import StoredModel
from milk_np.service.app import ROUTES, make_app
from milk_np.service.core import Service
from milk_np.service.guard import Limits
from milk_np.service.metrics import Metrics
from milk_np.service.workers import listen, serve, serve_by_workers

KEY_VARIABLE = "MILK_API_KEY"
_LEAST_KEY = 16


@dataclass(frozen=True)
class Plan:
    """Where and how to serve."""

    load: Callable[[], StoredModel]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    key_file: str | None = None
    titles: str | None = None
    data: str | None = None
    journal: str | None = None
    quiet: bool = False


def run(plan: Plan) -> int:
    """Load the model, listen and answer until SIGTERM or SIGINT; the exit code."""
    limits = replace(plan.limits, key=api_key(plan.key_file))
    if limits.key is None and not is_local(plan.host):
        raise SettingsError(
            f"--host {plan.host}: others can reach it, so a key is needed: --api-key-file FILE, or {KEY_VARIABLE}"
        )
    titles = read_titles(plan.titles) if plan.titles else {}
    sock = listen(plan.host, plan.port)
    with tempfile.TemporaryDirectory(prefix="milk-serve-") as folder:
        journal = plan.journal or str(Path(folder) / "journal.jsonl")
        metrics = Metrics(ROUTES, plan.workers)

        def work(number: int) -> None:
            metrics.worker = number
            return_freed()  # each change makes new arrays in another thread
            service = Service(plan.load, journal, titles, Dataset.load(plan.data) if plan.data else None)
            with suppress(KeyboardInterrupt):  # as a signal ends it; uvicorn raises it once more when all has ended
                service.warm_up()
                if number == 0 and not plan.quiet:
                    _tell(service, plan.host, sock.getsockname()[1])
                serve(make_app(service, limits, metrics), sock)

        if plan.workers > 1:
            return serve_by_workers(plan.workers, work)
        work(0)
    return 0


def _tell(service: Service, host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    print(f"{len(service.new):,} new items of {len(service.all):,}, {service.model.name}")
    print(f"http://{name}:{port}", flush=True)


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_key(file: str | None) -> str | None:
    """The key in `file`, or in the environment; None if there is none. SettingsError for one that is short."""
    key, where = os.environ.get(KEY_VARIABLE), KEY_VARIABLE
    if file is not None:
        key, where = Path(file).read_text(encoding="utf-8").strip(), file
    if key is not None and len(key) < _LEAST_KEY:
        raise SettingsError(f"{where}: expected a key of at least {_LEAST_KEY} characters, got {len(key)}")
    return key


def read_titles(path: str) -> dict[str, str]:
    """Titles by id, from a CSV file with the columns id and title."""
    refuse_special(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            if not {"id", "title"} <= set(names):
                raise DataError(f"{path}: expected columns id and title, got {', '.join(names) or 'none'}")
            return {row["id"]: row["title"] for row in rows if row["title"]}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV table in UTF-8, got {error}") from None
