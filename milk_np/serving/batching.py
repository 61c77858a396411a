"""Requests that wait at the same time are answered together, by the first of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Waiting(Generic[Asked, Answer]):
    asked: Asked
    answer: Answer | None = None
    error: BaseException | None = None
    done: bool = False


class Batcher(Generic[Asked, Answer]):
    """Calls `answer_all` with what several threads ask for at once, one call at a time.

    There is no thread of its own and no waiting for company: whoever finds it free takes all that wait.
    """

    def __init__(self, answer_all: Callable[[Sequence[Asked]], Sequence[Answer]], most: int = 128) -> None:
        self._answer_all, self._most = answer_all, most
        self._queue: list[_Waiting[Asked, Answer]] = []
        self._lock, self._turn = Lock(), Lock()

    def __call__(self, asked: Asked) -> Answer:
        """The answer; raises what `answer_all` raised."""
        mine: _Waiting[Asked, Answer] = _Waiting(asked)
        with self._lock:
            self._queue.append(mine)
        while not mine.done:
            with self._turn:
                if not mine.done:
                    self._answer_those_that_wait()
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def _answer_those_that_wait(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[: self._most], self._queue[self._most :]
        try:
            for waiting, answer in zip(batch, self._answer_all([each.asked for each in batch]), strict=True):
                waiting.answer = answer
        except BaseException as error:
            for waiting in batch:
                waiting.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for waiting in batch:
                waiting.done = True
