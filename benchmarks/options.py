"""What a subject is told: sizes, rounds and where the problems lie."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import shapes
from harness import Seconds, interleave


@dataclass
class Options:
    """quick: a smoke run on the tiny shape; rounds: measured turns of every program (None: the subject's
    own); isa: the instruction set that all programs are held to.
    """

    quick: bool = False
    rounds: int | None = None
    isa: str = "native"
    scratch: tempfile.TemporaryDirectory = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="milk-bench-")
    )

    @property
    def shape(self) -> shapes.Shape:
        return shapes.TINY if self.quick else shapes.BABY

    def interleave(self, calls: Mapping[str, Callable[[], float]], usual: int, warmup: int = 1) -> Seconds:
        """`harness.interleave` for `usual` rounds, or what the command line says."""
        if self.quick:
            return interleave(calls, 2, warmup, attempts=1)
        return interleave(calls, self.rounds or usual, warmup)

    def problem(self) -> Path:
        """Folder of the problem, written once."""
        folder = Path(self.scratch.name) / self.shape.name
        if not folder.is_dir():
            folder.mkdir()
            shapes.write(self.shape, folder)
        return folder
