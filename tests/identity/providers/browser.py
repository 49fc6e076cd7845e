"""A person with a browser that has no scripts: signs in at the provider by its forms, and lets itself be led back.

As a program it is what `$BROWSER` names: ``browser.py URL``. What it does at the provider stands in `BROWSER_DOES`: ``approves``
(default), ``cancels``, ``leaves`` (closes the window before signing in), ``mangles:NAME=VALUE`` (changes a parameter of the way
back; without a value it is taken away), ``stops`` (signs in, and writes the way back into the file `BROWSER_SEES` instead of
going it). Who signs in stands in `BROWSER_WHO`. What the last page says is written into the file `BROWSER_SEES`.
"""

from __future__ import annotations

import http.cookiejar
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from html import unescape
from pathlib import Path
from typing import Any

DEADLINE_S = 30.0
_STEPS = 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Browser:
    """One window, with its cookies."""

    def __init__(self, who: str = "ann", does: str = "approves") -> None:
        self._who = who
        self._does = does
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            _NoRedirect(),
        ).open
        self.url = ""
        self.status = 0
        self.headers: dict[str, str] = {}

    def visits(self, url: str) -> str:
        """Go to `url` and do what is to be done there until nothing is asked any more; the text of the last page."""
        start = urllib.parse.urlsplit(url)
        page = self._get(url)
        for _ in range(_STEPS):
            if 300 <= self.status < 400:
                there = urllib.parse.urljoin(self.url, self.headers["location"])
                if urllib.parse.urlsplit(there).netloc != start.netloc:
                    if self._does == "stops":
                        return there
                    there = self._mangled(there)
                page = self._get(there)
            elif urllib.parse.urlsplit(self.url).netloc == start.netloc and (form := self._form(page)) is not None:
                page = form
            else:
                return page
        raise AssertionError("it goes round in circles")

    def _form(self, page: str) -> str | None:
        if self._does == "cancels" and (abort := re.search(r'href="([^"]*/abort)"', page)):
            return self._get(urllib.parse.urljoin(self.url, unescape(abort[1])))
        form = re.search(r"<form(?P<tag>[^>]*)>(?P<inside>.*?)</form>", page, re.DOTALL)
        if form is None or self._does == "leaves":
            return None
        fields = {}
        for tag in re.findall(r"<input([^>]*)>", form["inside"]):
            name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
            if name is not None:
                fields[name[1]] = unescape(value[1]) if value is not None else ""
        typed = {"login": self._who, "username": self._who, "password": "any"}
        fields |= {name: text for name, text in typed.items() if name in fields}
        # the button that is pressed is a field too
        if button := re.search(r'<button[^>]*name="(\w+)"[^>]*value="(accept)"', form["inside"]):
            fields[button[1]] = button[2]
        action = re.search(r'action="([^"]*)"', form["tag"])
        target = urllib.parse.urljoin(self.url, unescape(action[1]) if action else "")
        return self._get(target, urllib.parse.urlencode(fields).encode())

    def _mangled(self, url: str) -> str:
        kind, _, change = self._does.partition(":")
        if kind != "mangles":
            return url
        name, _, value = change.partition("=")
        parts = urllib.parse.urlsplit(url)
        query = [(key, text) for key, text in urllib.parse.parse_qsl(parts.query) if key != name]
        query += [(name, value)] if value else []
        return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))

    def _get(self, url: str, data: bytes | None = None) -> str:
        try:
            answer = self._open(url, data, timeout=DEADLINE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.url = url
            self.status = answer.status
            self.headers = {name.lower(): value for name, value in answer.headers.items()}
            return str(answer.read().decode("utf-8", "replace"))


def main() -> None:
    browser = Browser(os.environ.get("BROWSER_WHO", "ann"), os.environ.get("BROWSER_DOES", "approves"))
    page = browser.visits(sys.argv[1])
    if os.environ.get("BROWSER_SEES"):
        Path(os.environ["BROWSER_SEES"]).write_text(page, "utf-8")


if __name__ == "__main__":
    main()
