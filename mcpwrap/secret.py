"""Secrets as a type: what holds one shows nothing of it, whatever is printed, formatted, logged or raised."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

_SHOWN: Final = "Secret(…)"


class Secret:
    """A text that only `reveal` gives away. It can't be pickled or copied into JSON, and compares in constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return _SHOWN

    def __format__(self, spec: str) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret isn't stored but in the vault")
