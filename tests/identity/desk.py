"""A person at a desk for `mcpwrap.identity.flow`: what was shown, and a browser that does what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.identity.providers.browser import Browser

DEADLINE_S = 30.0


class Desk:
    """`does` is what the browser does at the provider (`tests.identity.providers.browser`), or a function that gets the address."""

    def __init__(self, does: str | Callable[[str], object] = "approves", *, who: str = "ann", says: bool = True) -> None:
        self.shown: list[str] = []
        self.asked: list[str] = []
        self.urls: list[str] = []
        self.page = ""
        self._does = does
        self._who = who
        self._says = says
        self._threads: list[threading.Thread] = []

    @property
    def text(self) -> str:
        """All that was shown."""
        return "\n".join(self.shown)

    def show(self, text: str) -> None:
        self.shown.append(text)

    def browse(self, url: str) -> None:
        self.urls.append(url)
        thread = threading.Thread(target=self._visit, args=(url,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def waiting(self, left_s: float) -> None:
        pass

    def accepts(self, question: str) -> bool:
        self.asked.append(question)
        return self._says

    def leaves(self) -> None:
        """Wait until the browser has come to its last page."""
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _visit(self, url: str) -> None:
        if callable(self._does):
            self._does(url)
        else:
            self.page = Browser(self._who, self._does).visits(url)
