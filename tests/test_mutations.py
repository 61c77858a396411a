"""The planted errors still have a place in the code: one whose text is gone would stop the script half way."""

from __future__ import annotations

import pytest
from mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.file}: {m.name}")
def test_text_to_change_stands_once(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
