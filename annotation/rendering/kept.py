"""What was made of texts lately, kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Made = TypeVar("Made", bound=str)


class KeptTexts(Generic[Made]):
    """A function of a text whose newest results are kept: up to `most` characters, those of the texts included.

    A number of results is no bound: each is as long as its text, and many times as long where that has formulas.
    """

    def __init__(self, make: Callable[[str], Made], most: int) -> None:
        self.make, self.most = make, most
        self.kept: OrderedDict[str, Made] = OrderedDict()
        self.characters = 0
        self._lock = Lock()

    def __call__(self, text: str) -> Made:
        with self._lock:
            if (found := self.kept.get(text)) is not None:
                self.kept.move_to_end(text)
                return found
        made = self.make(text)  # two threads at once make it twice: rather than one waiting for a long text
        with self._lock:
            size = len(text) + len(made)
            if text not in self.kept and size <= self.most // 4:  # a longer one would put too many others out
                self.kept[text] = made
                self.characters += size
            while self.characters > self.most:
                gone, of_it = self.kept.popitem(last=False)
                self.characters -= len(gone) + len(of_it)
        return made
