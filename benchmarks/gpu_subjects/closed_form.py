"""The fit of the kernel profile on the card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import Outcome
from options import Options

from gpu_subjects.common import device_name, peer

SIZES = ((100_000, 1_000_000, 10_000_000), (1_000_000, 10_000_000, 100_000_000))
TINY = ((300, 400, 3_000),)
"""Items, users and pairs."""


def measure(options: Options, timing: bool) -> Iterator[Outcome]:
    """Seconds of the phases of a fit at growing sizes."""
    rows: list[dict[str, Any]] = []
    for size in TINY if options.quick else SIZES:
        taken = peer("gpu_profile").fit_seconds(*size)
        names = "items", "users", "pairs"
        rows.append({**dict(zip(names, size, strict=True)), **taken})
    if timing:
        note = (
            "Seconds by phase, on data made on the device: image 512 + text 384 numbers, float16, a quarter of the "
            "items lack one; the kernel is given. The first size compiles."
        )
        yield Outcome("profile", "Fitting the kernel profile on a GPU", list(rows[0]), rows, [device_name(), note], {})
