"""What the file of every fitted model has; a model's own arrays come on top."""

from __future__ import annotations

from milk_np.files.schema import FLOATS, WHOLE, Field, Schema
from milk_np.serving.catalogue import SCHEMA as OF_CATALOGUE

IMPUTER = "imputer_"
SCHEMA: Schema = {
    **OF_CATALOGUE,
    "items": Field(FLOATS, ("I", "K")),
    f"{IMPUTER}modalities": Field("U", ("M",), optional=True),
    f"{IMPUTER}widths": Field(WHOLE, ("M",), low=1, below=1 << 24, optional=True),
}
