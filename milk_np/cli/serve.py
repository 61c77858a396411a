"""milk-serve: lists over HTTP, from a trained model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from milk_np.cli.common import run_command
from milk_np.cli.parser import Parser, add_settings
from milk_np.cli.settings import given_settings
from milk_np.cli.types import positive
from milk_np.errors import MissingExtraError
from milk_np.settings.shared import Settings

PROGRAM = "milk-serve"
DESCRIPTION = """Serve a trained model over HTTP: items for a user or a history, users for an item, similar items.

Items can be added by their features and removed while it runs, and the model be loaded again. GET / is a page to look
at lists, /docs describes the requests, /metrics is for Prometheus, /health for a load balancer. Only this machine
can reach it unless --host says otherwise, which needs an API key."""
EXAMPLES = (
    "milk-serve --model runs/shop                                # http://127.0.0.1:8000",
    "milk-serve --model runs/shop --data shop.npz --titles titles.csv",
    "milk-serve --model runs/shop --host 0.0.0.0 --api-key-file key.txt --workers 4",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `milk-serve`; returns the exit code."""
    line = list(sys.argv[1:] if argv is None else argv)
    if not any(part.partition("=")[0] == "--threads" for part in line):
        line += ["--threads", "1"]  # more cores are for more workers
    return run_command(PROGRAM, body, line)


def body(line: list[str]) -> int:
    """Parse the line and serve."""
    given = _parser().parse_args(line)
    for library in ("fastapi", "uvicorn"):
        if find_spec(library) is None:
            raise MissingExtraError(f'{PROGRAM} needs {library}, which is not installed; pip install "milk-np[serve]"')
    from milk_np.cli.model_file import load_model, model_path
    from milk_np.service.guard import Limits
    from milk_np.service.start import Plan, run

    device = str(given_settings(given).get("device", Settings().device))
    model_path(given.source)  # a mistake is told before anything is listened to
    return run(
        Plan(
            load=lambda: load_model(given.source, device),
            host=given.host,
            port=given.port,
            workers=given.workers,
            limits=Limits(body=given.max_body << 10, k=given.max_k, batch=given.max_batch),
            key_file=given.api_key_file,
            titles=given.titles,
            data=given.data,
            journal=given.journal,
            quiet=given.quiet,
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--model", dest="source", required=True, metavar="RUN|FILE", help="run folder, or model.npz file")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    add("--port", type=int, default=8000, metavar="N", help="0 for any that is free (default: 8000)")
    add("--workers", type=positive, default=1, metavar="N", help="processes that answer (default: 1)")
    add("--api-key-file", metavar="FILE", help="requests need the key in it (default: the variable MILK_API_KEY)")
    add("--data", metavar="FILE|DIR", help="data set with the items' features, for the page's switches (no default)")
    add("--titles", metavar="FILE.csv", help="titles to show: columns id and title (no default)")
    add("--journal", metavar="FILE.jsonl", help="keep added and removed items here (default: until the end)")
    add("--max-k", type=positive, default=1000, metavar="N", help="longest list (default: 1000)")
    add("--max-batch", type=positive, default=256, metavar="N", help="most users or items at a time (default: 256)")
    add("--max-body", type=positive, default=1024, metavar="KB", help="largest request (default: 1024)")
    add("--quiet", action="store_true", help="print errors only")
    add_settings(parser, ["device", "threads"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
