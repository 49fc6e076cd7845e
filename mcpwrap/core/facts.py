"""What a condition must know of the file system, as a port: the core calls it and imports nothing (NIST SP 800-162: PIP)."""

from __future__ import annotations

from typing import Protocol

from mcpwrap.core.paths import looks_like_path


class Facts(Protocol):
    """Facts about paths, as they are at the moment of the question."""

    def paths(self, text: str) -> tuple[str, ...] | None:
        """Every canonical absolute path that some reader may take `text` for; None where it can't be resolved."""
        ...

    def canonical(self, path: str) -> str:
        """An absolute path as the file system knows it: symbolic links resolved."""
        ...

    def is_path(self, text: str) -> bool:
        """True where `text` can be a path: by its look, or since it names something in the server's working folder."""
        ...

    def relative(self, path: str) -> str | None:
        """A canonical path relative to the server's declared working folder, where it lies inside; else None."""
        ...


class NoFacts:
    """Knows no file system: nothing can be resolved."""

    def paths(self, text: str) -> tuple[str, ...] | None:
        """None: nothing can be resolved."""
        return None

    def canonical(self, path: str) -> str:
        """`path` as it is."""
        return path

    def is_path(self, text: str) -> bool:
        """By its look alone."""
        return looks_like_path(text)

    def relative(self, path: str) -> str | None:
        """None: there is no working folder."""
        return None
