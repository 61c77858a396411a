"""Load test of milk-serve on loopback: requests a second and their times, at 1, 2 and 8 clients, each answer checked.

    python benchmarks/serving.py                                  # 10,000 and 100,000 candidates, 10 s for each row
    python benchmarks/serving.py --items 100000 --seconds 0 --minutes 10

`--minutes` goes on with mixed traffic: four clients ask for lists of users, similar items and users for items, while an
item is added, found, removed, and the model loaded again. Wrong answers and errors are counted, and the memory of the
service is looked at twenty times. Prints JSON and writes results/serving.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milk_np.data import Dataset

RESULTS = Path(__file__).parent / "results" / "serving.json"
CLIENTS, MIXED_CLIENTS, LOOKS = (1, 2, 8), 4, 20
USERS, K, DIM, ASKED = 1000, 20, 64, 200
FRESH = "fresh"
"""The item that comes and goes; answers are compared without it."""

# Every client is a process that imports this file: what is heavy is imported where it is used.

Expected = dict[str, list[list[str]]]
"""By kind of request, the right list for each of the first users or items."""


def make_model(folder: Path, n_items: int) -> tuple[Path, Dataset]:
    """A model of one epoch with `n_items` new items, and its data."""
    from milk_np.data import make_synthetic
    from milk_np.models.milk.model import Milk

    ds = make_synthetic(USERS, n_items * 10 // 9, 20_000, {"image": 8, "text": 6}, new_items=0.9, seed=1)
    path = folder / f"{n_items}.npz"
    Milk(dim=DIM, max_epochs=1, eval_every=1, topk=(20,), valid_metric="ndcg@20").fit(ds).save(path)
    return path, ds


def expected_of(path: Path) -> Expected:
    """What the service has to answer, from the model's own file."""
    from milk_np.models.milk.model import Milk

    model, asked = Milk.load(path), range(ASKED)
    found = {
        "recommend": model.recommend(asked, K),
        "similar": model.similar_items(asked, K),
        "users": model.recommend_users(asked, K),
    }
    return {kind: [[str(name) for name in row] for row in lists.found.tolist()] for kind, lists in found.items()}


@dataclass
class Connection:
    """A connection that is kept, and made anew after an error; it sends at once: head and body are two packets, and the
    second would wait for the first."""

    port: int
    errors: list[str] = field(default_factory=list)
    _open: http.client.HTTPConnection | None = None

    def ask(self, path: str, body: Any, method: str = "POST") -> Any:
        """The answer, or None after an error, which is noted."""
        try:
            self._open = self._open or connected(self.port)
            self._open.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self._open.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._open = None
            self.errors.append(f"{path}: {type(error).__name__}: {error}")
            return None
        if answer.status != 200:
            self.errors.append(f"{path}: {answer.status} {text[:200]!r}")
            return None
        return json.loads(text)

    def names(self, path: str, body: Any) -> list[str] | None:
        """Ids of the first list of an answer."""
        answer = self.ask(path, body)
        return None if answer is None else [entry["id"] for entry in answer["lists"][0]["items"]]


def connected(port: int) -> http.client.HTTPConnection:
    """A new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(kind: str, number: int) -> dict[str, Any]:
    """The body that asks for the list of a user, or for one of an item: longer by one, for the item that comes and
    goes."""
    if kind == "recommend":
        return {"users": [number], "k": K, "exclude": [FRESH]}
    return {"items": [number], "k": K + 1 if kind == "similar" else K}


@dataclass
class Report:
    """What a client saw: times in s, wrong answers, errors, turns of the writer."""

    times: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    turns: int = 0


def client(port: int, seconds: float, seed: int, expected: Expected, found: Any) -> None:
    """Ask for lists of the kinds that are `expected` for so many seconds."""
    connection, rng, report = Connection(port), random.Random(seed), Report()
    kinds, end = list(expected), time.perf_counter() + seconds
    while time.perf_counter() < end:
        kind, number = rng.choice(kinds), rng.randrange(ASKED)
        begun = time.perf_counter()
        names = connection.names(f"/{kind}", request(kind, number))
        report.times.append(time.perf_counter() - begun)
        if names is not None:
            report.wrong += [name for name in names if name != FRESH][:K] != expected[kind][number]
    report.errors = connection.errors
    found.put(report)


def writer(port: int, seconds: float, row: list[float], found: Any) -> None:
    """Add, look for, remove an item, and load the model again, for so many seconds."""
    connection, report, end = Connection(port), Report(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        connection.ask("/items", {"items": [{"id": FRESH, "features": {"image": row}}]}, "PUT")
        report.wrong += len(connection.names("/similar", {"items": [FRESH], "k": 1}) or []) != 1
        connection.ask("/items", {"items": [FRESH]}, "DELETE")
        if report.turns % 5 == 0:
            connection.ask("/reload", {})
        report.turns += 1
        time.sleep(0.1)
    report.errors = connection.errors
    found.put(report)


def reports_of(work: list[tuple[Callable[..., None], tuple[Any, ...]]], seconds: float) -> list[Report]:
    """Run each function in a process of its own."""
    found: Any = multiprocessing.Queue()
    running = [multiprocessing.Process(target=call, args=(*arguments, found)) for call, arguments in work]
    for each in running:
        each.start()
    reports = [found.get(timeout=seconds + 120) for _ in running]
    for each in running:
        each.join()
    return reports


def measure(
    port: int, clients: int, seconds: float, expected: Expected, row: list[float] | None = None
) -> dict[str, Any]:
    """Requests a second, times in ms, wrong and errors of so many clients, and a writer if there is a `row`."""
    work: list[Any] = [(client, (port, seconds, n, expected)) for n in range(clients)]
    if row is not None:
        work.append((writer, (port, seconds, row)))
    reports = reports_of(work, seconds)
    times = [1000 * seconds for report in reports for seconds in report.times]
    p99 = quantiles(times, n=100)[-1] if len(times) > 1 else max(times)
    errors = [error for report in reports for error in report.errors]
    out = {
        "clients": clients,
        "requests": len(times),
        "per_s": len(times) / seconds,
        "p50_ms": median(times),
        "p99_ms": p99,
    }
    turns = {} if row is None else {"turns of the writer": sum(report.turns for report in reports)}
    return {**out, **turns, "wrong": sum(report.wrong for report in reports), "errors": len(errors), "said": errors[:3]}


def resident(pid: int) -> float:
    """Resident memory in MB of a process and its children, shared pages counted for each."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (pid, *children))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def mixed(port: int, pid: int, minutes: float, expected: Expected, row: list[float]) -> dict[str, Any]:
    """Mixed traffic for so many minutes, and the memory in MB: before, after a warm-up, then after each of equal parts.

    The growth is that of the median of the later looks over that of the earlier ones.
    """
    memory, part = [resident(pid)], minutes * 60 / LOOKS
    measure(port, MIXED_CLIENTS, 2 * part, expected, row)
    memory.append(resident(pid))
    parts = []
    for _ in range(LOOKS):
        parts.append(measure(port, MIXED_CLIENTS, part, expected, row))
        memory.append(resident(pid))
    sums = {name: sum(each[name] for each in parts) for name in ("requests", "turns of the writer", "wrong", "errors")}
    later = memory[2 + LOOKS // 2 :]
    return {
        "minutes": minutes,
        **sums,
        "p50_ms": median(each["p50_ms"] for each in parts),
        "p99_ms": median(each["p99_ms"] for each in parts),
        "memory_mb": [round(each) for each in memory],
        "growth_mb": round(median(later) - median(memory[1 : 2 + LOOKS // 2]), 1),
        "said": [error for each in parts for error in each["said"]][:3],
    }


def serving(path: Path, workers: int) -> tuple[subprocess.Popen[str], int]:
    """The service and its port."""
    line = [sys.executable, "-m", "milk_np.cli.serve", "--model", str(path), "--port", "0", "--workers", str(workers)]
    # From the model's folder: in a checkout, Python would find its sources before the installed package.
    service = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=path.parent)
    if service.stdout is None:
        raise RuntimeError("the service has no output")
    return service, int([service.stdout.readline() for _ in range(2)][1].strip().rpartition(":")[2])


def run(folder: Path, n_items: int, given: argparse.Namespace) -> dict[str, Any]:
    """All measurements at `n_items` candidates."""
    path, ds = make_model(folder, n_items)
    expected = expected_of(path)
    users = {"recommend": expected["recommend"]}
    service, port = serving(path, given.workers)
    try:
        out: dict[str, Any] = {"candidates": n_items, "workers": given.workers}
        if given.seconds:
            measure(port, 2, min(3, given.seconds), users)
            out["lists"] = [measure(port, clients, given.seconds, users) for clients in CLIENTS]
        if given.minutes and n_items == max(given.items):
            out["mixed"] = mixed(port, service.pid, given.minutes, expected, ds.features["image"][0].tolist())
        return out
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate()


def main() -> None:
    """Measure, print JSON and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000], help="numbers of candidates")
    parser.add_argument("--seconds", type=float, default=10, help="for each number of clients; 0: none of these")
    parser.add_argument(
        "--minutes", type=float, default=0, help="of mixed traffic after that, at the largest number (default: none)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of the service (default: 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write (default: results/serving.json)")
    given = parser.parse_args()
    import harness

    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(Path(folder), n_items, given) for n_items in given.items]
    text = json.dumps({"machine": harness.machine(), "runs": runs}, indent=1)
    print(text)
    given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
