"""What a process remembers of work done: bounded in bytes, whatever is asked for.

The rule: keys count too, because whoever asks chooses them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")
Value = TypeVar("Value")

LONGEST = 200
"""Of a text that `short` remembers."""


class Sized(Generic[Value]):
    """Values by key, the oldest forgotten when all weigh more than `most` bytes.

    `items` may be read without a lock; only `put`, `find` and `drop` change it.
    """

    def __init__(self, most: int) -> None:
        self.items: dict[Hashable, Value] = {}
        self.weight = 0
        self._most = most
        self._weights: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def put(self, key: Hashable, value: Value, weight: int) -> None:
        """Remember a value of about `weight` bytes; one that is larger than all is not kept."""
        weight += sys.getsizeof(key)
        with self._lock:
            self._drop(key)
            if weight > self._most:
                return
            self.items[key], self._weights[key] = value, weight
            self.weight += weight
            # `_weights` has the same order as `items`, so its first is the oldest.
            while self.weight > self._most:
                self._drop(next(iter(self._weights)))

    def get(self, key: Hashable, make: Callable[[], Value], weigh: Callable[[Value], int]) -> Value:
        """The value, made at first; one that is larger than all displaces all others."""
        value = self.find(key)
        if value is None:
            # Not under the lock: two may make the same at once, and nobody waits for a slow one.
            value = make()
            room = self._most - sys.getsizeof(key)
            self.put(key, value, min(weigh(value), room))
        return value

    def find(self, key: Hashable) -> Value | None:
        """The value, which is then the newest."""
        with self._lock:
            if key not in self.items:
                return None
            # A dictionary keeps the order of insertion: put in again, it is the newest.
            value = self.items[key] = self.items.pop(key)
            self._weights[key] = self._weights.pop(key)
            return value

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self.items.clear()
            self._weights.clear()
            self.weight = 0

    def _drop(self, key: Hashable) -> None:
        self.items.pop(key, None)
        self.weight -= self._weights.pop(key, 0)


def short(maxsize: int) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """As `lru_cache`, but what is asked with a long text is worked out each time.

    Upstreams and users write versions, licenses and names of any length.
    """

    def decorate(function: Callable[P, Result]) -> Callable[P, Result]:
        cached: Callable[..., Result] = lru_cache(maxsize)(function)

        @wraps(function)
        def remembered(*args: P.args, **kwargs: P.kwargs) -> Result:
            # `lru_cache` counts entries: some thousand texts of a megabyte would fill the memory.
            for argument in args:
                if isinstance(argument, str | tuple | frozenset) and len(argument) > LONGEST:
                    return function(*args, **kwargs)
            return cached(*args, **kwargs)

        return remembered

    return decorate
