"""What a subject is told: sizes, rounds and where the problems lie."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import shapes


@dataclass
class Options:
    """quick: a smoke run on the tiny shape; rounds: measured turns of every program (None: the subject's
    own).
    """

    quick: bool = False
    rounds: int | None = None
    scratch: tempfile.TemporaryDirectory = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="milk-bench-")
    )

    @property
    def shape(self) -> shapes.Shape:
        return shapes.TINY if self.quick else shapes.BABY

    def turns(self, usual: int) -> int:
        """Rounds to measure."""
        return self.rounds or (2 if self.quick else usual)

    def problem(self) -> Path:
        """Folder of the problem, written once."""
        folder = Path(self.scratch.name) / self.shape.name
        if not folder.is_dir():
            folder.mkdir()
            shapes.write(self.shape, folder)
        return folder
