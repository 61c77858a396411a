"""Rows of a feature table into a buffer by numpy.take."""

from __future__ import annotations

import numpy as np

from peers.gathering import Gather


class Program(Gather):
    """`take` into the buffer; float16 rows are taken first and widened after."""

    def gather(self) -> None:
        for x, out in zip(self.x, self.out, strict=True):
            if x.dtype == out.dtype:
                np.take(x, self.rows, axis=0, out=out, mode="clip")
            else:
                out[...] = x[self.rows]
