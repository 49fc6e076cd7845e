"""What a condition must know of the file system, as a port: the core calls it and imports nothing (NIST SP 800-162: PIP)."""

from __future__ import annotations

from typing import Protocol


class Facts(Protocol):
    """Facts about paths, as they are at the moment of the question."""

    def paths(self, text: str) -> tuple[str, ...] | None:
        """Every canonical absolute path that some reader may take `text` for; None where it can't be resolved."""
        ...

    def ends(self, path: str) -> tuple[str, ...] | None:
        """The canonical paths of one spelling, `..` taken after symbolic links and before them; () where no system opens such a
        name, None where it can't be resolved."""
        ...

    @property
    def rooted(self) -> bool:
        """True where relative paths can be resolved: the server's working folder is declared."""
        ...

    def canonical(self, path: str) -> str:
        """An absolute path as the file system knows it: symbolic links resolved."""
        ...

    def is_path(self, text: str) -> bool:
        """True where `text` can be a path: by its look, or since its first name is there in the server's working folder."""
        ...

    def relative(self, path: str) -> str | None:
        """A canonical path relative to the server's declared working folder, where it lies inside; else None."""
        ...


class NoFacts:
    """Knows no file system: nothing can be resolved."""

    def paths(self, text: str) -> tuple[str, ...] | None:
        """None: nothing can be resolved."""
        return None

    def ends(self, path: str) -> tuple[str, ...] | None:
        """None: nothing can be resolved."""
        return None

    @property
    def rooted(self) -> bool:
        """False: there is no working folder."""
        return False

    def canonical(self, path: str) -> str:
        """`path` as it is."""
        return path

    def is_path(self, text: str) -> bool:
        """By its look alone."""
        from mcpwrap.core.paths import looks_like_path  # noqa: PLC0415 - 2 ms of a start, which most policies don't need

        return looks_like_path(text)

    def relative(self, path: str) -> str | None:
        """None: there is no working folder."""
        return None


class Once:
    """`facts` for one decision: each is asked for once, so that all rules of a decision judge the same."""

    __slots__ = ("_canonical", "_ends", "_facts", "_looks", "_paths", "_relative")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._paths: dict[str, tuple[str, ...] | None] = {}
        self._ends: dict[str, tuple[str, ...] | None] = {}
        self._canonical: dict[str, str] = {}
        self._relative: dict[str, str | None] = {}
        self._looks: dict[str, bool] = {}

    def paths(self, text: str) -> tuple[str, ...] | None:
        """As `Facts.paths`."""
        if text not in self._paths:
            from mcpwrap.core.paths import readings  # noqa: PLC0415 - as above

            plain = readings(text) == (text,)
            self._paths[text] = self.ends(text) or None if plain else self._facts.paths(text)
        return self._paths[text]

    def ends(self, path: str) -> tuple[str, ...] | None:
        """As `Facts.ends`."""
        if path not in self._ends:
            self._ends[path] = self._facts.ends(path)
        return self._ends[path]

    @property
    def rooted(self) -> bool:
        """As `Facts.rooted`."""
        return self._facts.rooted

    def canonical(self, path: str) -> str:
        """As `Facts.canonical`."""
        if path not in self._canonical:
            self._canonical[path] = self._facts.canonical(path)
        return self._canonical[path]

    def is_path(self, text: str) -> bool:
        """As `Facts.is_path`."""
        if text not in self._looks:
            self._looks[text] = self._facts.is_path(text)
        return self._looks[text]

    def relative(self, path: str) -> str | None:
        """As `Facts.relative`."""
        if path not in self._relative:
            self._relative[path] = self._facts.relative(path)
        return self._relative[path]
