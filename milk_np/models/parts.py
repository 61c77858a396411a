"""Models in shards: each part is a whole model for the users of one shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from milk_np.models.stored import KIND, StoredModel, stored_class
from milk_np.training.keeping import PARTS, folder_of, parts_of, read_items, read_users
from milk_np.training.run_folder import RunFolder


@dataclass(frozen=True)
class Parts:
    """A folder of parts: `sizes` has the number of users of each."""

    folder: Path
    sizes: tuple[int, ...]

    @classmethod
    def found(cls, path: str | Path) -> Self | None:
        """The parts in a run's folder, or in their own; None if there are none. DataError if they are damaged."""
        for folder in (folder_of(RunFolder(path).model), Path(path)):
            if (folder / PARTS).is_file():
                return cls(folder, tuple(parts_of(folder)[1]))
        return None

    def models(self, numbers: range | None = None, *, device: str = "cpu") -> Iterator[StoredModel]:
        """The models of the parts `numbers`, all by default, one at a time. Raises the errors of `load`."""
        items, meta = read_items(self.folder, KIND)
        for users in read_users(self.folder, KIND, range(len(self.sizes)) if numbers is None else numbers):
            yield stored_class(self.folder, meta).of_file(self.folder, items | users, meta, device)
