"""One environment of equal weights."""

from __future__ import annotations

import numpy as np

from milk_np.models.extractors.mixing import EqualMixing, Mixing


def test_equal_weights_at_every_step() -> None:
    mixing: Mixing = EqualMixing(4)
    assert mixing.count == 1
    np.testing.assert_array_equal(mixing.draw(epoch=3, steps=5), np.full((5, 1, 4), 0.25))
