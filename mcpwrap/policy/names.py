"""What a tool's name says that it does.

A guess from words, and used as one: for a suggestion and for a warning, never for a decision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


READING: Final = _set(
    """
    read get list search find show view describe status diff count lookup stat info tree head tail preview inspect explain compare
    browse summarize summarise resolve validate help version exists
    """
)
"""Words that a name begins with where the tool only reads. `fetch`, `query`, `open`, `check` and `log` may do anything."""

CHANGING: Final = _set(
    """
    write create update delete remove drop destroy edit move rename copy set put post patch insert append replace add apply execute
    exec run eval call invoke shell bash command script spawn start stop restart kill terminate shutdown reboot push commit merge
    rebase reset revert checkout cherry stage unstage publish deploy release upload send email mail message reply forward invite
    approve assign close archive purge clear wipe truncate format overwrite erase flush install uninstall upgrade enable disable
    grant revoke pay purchase buy order transfer book cancel submit click type fill drag press navigate save store import migrate
    fork share lock unlock trash mark subscribe unsubscribe comment react schedule trigger
    """
)
"""Words anywhere in a name that say that the tool changes or does something."""

SENSITIVE: Final = _set(
    """
    write delete remove drop destroy exec execute run eval shell bash command script spawn kill terminate shutdown push publish
    deploy send email mail purge wipe truncate erase overwrite uninstall install grant revoke pay purchase buy transfer
    """
)
"""Those among them after which nothing is as before, or that do anything at all."""

_SECRETS: Final = _set("secret secrets password passwords credential credentials token tokens apikey keychain vault env dotenv")


def words_of(name: str, *, shared: str = "") -> tuple[str, ...]:
    """The words of `name` in lower case; a first word that is `shared` with all its neighbours, and no verb, is left out."""
    words = tuple(word.lower() for word in _WORD.findall(name))
    named = bool(shared) and shared not in READING | CHANGING and words[:1] == (shared,) and len(words) > 1
    return words[1:] if named else words


def reads(words: Sequence[str]) -> bool:
    """True where the name begins as those of reading tools do. Look at `changes` first."""
    return bool(words) and words[0] in READING


def changes(words: Sequence[str]) -> bool:
    """True where a word says that something is changed or done."""
    return any(word in CHANGING for word in words)


def sensitive(words: Sequence[str]) -> str:
    """The word that says that the tool destroys, runs, sends or publishes; "" where there is none."""
    return next((word for word in words if word in SENSITIVE), "")


def secretive(words: Sequence[str]) -> bool:
    """True where a word speaks of secrets."""
    return any(word in _SECRETS for word in words)
