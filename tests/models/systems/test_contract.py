"""What every system has to show of its gradients: finite differences, planted errors, a second program's opinion."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from cases import Case, Problem, Sizes, cases, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.nn.gradcheck import EPS, TOLERANCE, Check, check_direction, check_elements

CASES = cases()
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
with_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch, the second opinion, is not installed")


def objective_of(case: Case) -> Any:
    return import_module(case.objective)


def loss_of(problem: Problem) -> float:
    return float(sum(problem.ours(problem.tables)[0]))


def disagreements(problem: Problem, seed: int, elements: bool) -> list[str]:
    """What finite differences say against the gradients: along two directions, and for every number if asked."""
    gradients = problem.ours(problem.tables)[1]
    variables = [problem.tables[name] for name in gradients]
    claimed = list(gradients.values())
    assert [x.shape for x in claimed] == [x.shape for x in variables]
    wrong: list[str] = []
    for eps in (EPS, EPS / 4, EPS / 16):  # a wrong gradient differs at all, curvature only at the large ones
        checks = [check_direction(lambda: loss_of(problem), variables, claimed, seed=seed + k, eps=eps) for k in (0, 1)]
        checks += check_elements(lambda: loss_of(problem), variables, claimed, eps=eps) if elements else []
        floor = 1e-2 * max(1.0, abs(loss_of(problem)))
        wrong = [str(check) for check in checks if not agrees(check, floor)]
        if not wrong:
            break
    return wrong


def agrees(check: Check, floor: float) -> bool:
    return abs(check.claimed - check.measured) < TOLERANCE * max(abs(check.claimed), abs(check.measured), floor)


# Gradients


@every
def test_every_number_of_every_gradient(case: Case) -> None:
    for problem in case.problems(objective_of(case), Sizes(seed=1)):
        assert disagreements(problem, 0, elements=True) == []


@every
@given(seed=st.integers(0, 10**6), B=st.integers(3, 9), n=st.integers(1, 6), M=st.integers(1, 4), K=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_gradients_on_any_shape(case: Case, seed: int, B: int, n: int, M: int, K: int) -> None:
    for problem in case.problems(objective_of(case), Sizes(seed, B, n, M, K)):
        assert disagreements(problem, seed, elements=False) == []


@pytest.mark.parametrize(
    ("case", "old", "new"),
    [(case, *error) for case in CASES for error in case.planted],
    ids=lambda value: value.name if isinstance(value, Case) else None,
)
def test_a_planted_error_is_found(case: Case, old: str, new: str) -> None:
    wrong = planted(case.objective, old, new)
    problems = (problem for seed in range(4) for problem in case.problems(wrong, Sizes(seed, B=8)))
    assert any(disagreements(problem, 0, elements=False) for problem in problems), "no check sees the error"


# A second program


def tensors(problem: Problem) -> dict[str, Any]:
    import torch

    return {
        name: torch.tensor(x, requires_grad=not name.endswith(("_mean", "_var"))) for name, x in problem.tables.items()
    }


@with_torch
@every
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_are_those_of_the_program_for_torch(case: Case, seed: int) -> None:
    import torch

    sizes = Sizes(seed, B=64, n=20, M=3, K=8, dtype=np.float32)
    for problem in case.problems(objective_of(case), sizes):
        theirs = tensors(problem)
        parts, gradients = problem.ours(problem.tables)
        loss = problem.theirs(theirs)
        assert float(sum(parts)) == pytest.approx(loss.item(), rel=1e-5)
        found = torch.autograd.grad(loss, [theirs[name] for name in gradients], allow_unused=True)
        largest = max(float(abs(x).max()) for x in gradients.values())
        for (name, ours), other in zip(gradients.items(), found, strict=True):
            assert ours.dtype == np.float32, name
            expected = np.zeros_like(ours) if other is None else other.numpy()
            share = 1.0 if name.endswith(case.cancelling) else 0.01
            scale = max(share * largest, float(abs(expected).max()))
            np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-5, err_msg=name)


@with_torch
@every
def test_ten_steps_are_those_of_torch(case: Case) -> None:
    module = objective_of(case)
    batches = [case.problems(module, Sizes(seed, B=32, n=12, M=2, K=6, dtype=np.float32)) for seed in range(10)]
    tables = {name: x for problem in batches[0] for name, x in problem.tables.items()}
    theirs = {name: x for problem in batches[0] for name, x in tensors(problem).items()}
    ours, others = case.optimisers(tables), case.their_optimisers(theirs)
    for problems in batches:
        for problem, optimiser, other in zip(problems, ours, others, strict=True):
            gradients = problem.ours(tables)[1]
            other.zero_grad()
            problem.theirs(theirs).backward()
            for name in [name for name in gradients if name.endswith(case.cancelling)]:
                gradients[name] = np.zeros_like(gradients[name])  # Adam would make steps of rounding
                theirs[name].grad.zero_()
            optimiser.step(gradients)
            other.step()
    for name, x in tables.items():
        scale = max(1.0, float(abs(x).max()))
        np.testing.assert_allclose(x / scale, theirs[name].detach().numpy() / scale, atol=1e-4, err_msg=name)
