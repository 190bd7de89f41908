"""What was worked out lately, so as not to do it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """
    Keeps the values of a function for the keys that were asked for last.

    It does what `functools.lru_cache` does for functions, and can be pickled with the object that has it.

    Args:
        size (`int`):
            How many values are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        """
        Look a value up, or make it.

        Args:
            key (`Hashable`):
                The key.
            make (`Callable`):
                Gives the value of a key.

        Returns:
            The value.
        """
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value
