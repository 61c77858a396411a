"""Errors in the objectives of the paper's systems, which `mutations.py` plants with the others.

Their list is each system's `planted`, which stands with its other cases in `models/systems/NAME_cases.py`: a test
plants the same errors in its own process at every run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from planting import Mutation, Proof

SYSTEMS = "tests/models/systems"
sys.path.append(str(Path(__file__).resolve().parent.parent / SYSTEMS))
from cases import Case, cases  # noqa: E402

CHECKS = ("test_every_number_of_every_gradient", "test_gradients_on_any_shape")


def shown(text: str) -> str:
    """Code on one line of a table."""
    return f"`{' '.join(text.split())}`" if text.strip() else "nothing"


def mutations(case: Case) -> list[Mutation]:
    """The errors of a system."""
    file = f"{case.objective.replace('.', '/')}.py"
    return [Mutation(f"{shown(old)} becomes {shown(new)}", file, old, new) for old, new in case.planted]


def proof(name: str) -> Proof:
    """The tests that compare a system's gradients with finite differences."""
    return Proof(tuple(f"{SYSTEMS}/test_contract.py::{check}[{name}]" for check in CHECKS))


MUTATIONS = [mutation for case in cases() for mutation in mutations(case)]
PROOFS = {f"{case.objective.replace('.', '/')}.py": proof(case.name) for case in cases()}
"""By file."""
