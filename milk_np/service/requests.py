"""What can be asked, and what is answered: types that are checked, and described in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=1000)]
"""17 and "17" are the same id."""
Length = Annotated[int, Field(ge=1, strict=True)]
Candidates = Literal["new", "all"] | list[Id]


class Request(BaseModel):
    """A request without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid")


class Wanted(Request):
    """Items for users, or for histories: exactly one of the two."""

    users: list[Id] | None = Field(None, min_length=1, description="ids of users of the training")
    histories: list[list[Id]] | None = Field(None, min_length=1, description="for each user, the items they chose")
    k: Length = Field(20, description="length of a list")
    candidates: Candidates = Field("new", description="new items, all, or ids to choose from")
    exclude: list[Id] = Field([], description="items that nobody gets")
    exclude_seen: bool = Field(True, description="leave out items with which the user has a training pair")

    @model_validator(mode="after")
    def _one(self) -> Wanted:
        if (self.users is None) == (self.histories is None):
            raise ValueError("expected one of users and histories")
        return self


class Items(Request):
    """Items to find users for, or similar items."""

    items: list[Id] = Field(min_length=1)
    k: Length = 20
    candidates: Candidates = "all"


class Item(Request):
    """An item with its feature rows; a modality that is left out or null is missing."""

    id: Id
    features: dict[str, list[FiniteFloat] | None] = Field(description="raw rows by modality")


class Added(Request):
    """Items to add or to replace."""

    items: list[Item] = Field(min_length=1)


class Removed(Request):
    """Items to take out of all lists."""

    items: list[Id] = Field(min_length=1)


class Someone(Request):
    """A user of the training, or the items that somebody chose."""

    user: Id | None = None
    history: list[Id] | None = None

    @model_validator(mode="after")
    def _one(self) -> Someone:
        if (self.user is None) == (self.history is None):
            raise ValueError("expected one of user and history")
        return self


class Look(Someone):
    """One list, with what speaks for each item."""

    k: Length = 20
    candidates: Literal["new", "all"] = "new"


class Without(Someone):
    """Where an item would stand without some of its modalities."""

    item: Id
    without: list[str]
    candidates: Literal["new", "all"] = "new"


class Entry(BaseModel):
    """A place of a list."""

    id: str
    score: float
    title: str | None = None


class Found(BaseModel):
    """One list, best first."""

    query: str
    items: list[Entry]


class Lists(BaseModel):
    """Lists in the order of what was asked."""

    lists: list[Found]


class Spoken(BaseModel):
    """An item of the history that speaks for an item of the list."""

    id: str
    weight: float
    title: str | None = None


class Explained(Entry):
    """A place of a list with its reasons and the modalities that the item has."""

    reasons: list[Spoken]
    modalities: list[str]


class Looked(BaseModel):
    """A list with its reasons; `how` says what the weights are."""

    how: str
    history: int
    modalities: list[str]
    items: list[Explained]


class Moved(BaseModel):
    """Places from 1 among so many candidates, and scores."""

    place: int
    score: float
    place_without: int
    score_without: float
    candidates: int


class Done(BaseModel):
    """How many items were changed, and which were lost in a reload."""

    items: int
    lost: list[str] = []


class Health(BaseModel):
    """Whether the service answers, and with what."""

    status: str
    model: str
    version: str
    users: int
    items: int
    new_items: int
