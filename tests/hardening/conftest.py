"""Harnesses remember some things for the processes they fork; the tests after them don't."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import warm


@pytest.fixture(autouse=True, scope="module")
def _nothing_remembered() -> Iterator[None]:
    yield
    warm.forget()
