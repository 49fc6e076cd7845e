"""What the process apart is asked, and what it answers: one JSON document each way, through pipes and nowhere else.

Both hold secrets, so neither has a `repr` that shows anything, and neither is ever put into an argument, a variable or a file.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mcpwrap.core.credentials import Bearer, Failed, Issued, Network, Profile, Wanted
from mcpwrap.identity.vault import Header, Places
from mcpwrap.secret import Secret

JOB_LIMIT: Final = 60 * 1024
"""Longest job, in bytes: it fits into an empty pipe (64 KiB), so that who asks never waits for who reads. A bearer with fifty
credentials has some 10 KiB."""
ANSWER_LIMIT: Final = 4 << 20
"""Longest answer, in bytes: tokens have at most 64 KiB each (`mcpwrap.identity.grants.TOKEN_LIMIT`)."""


class Job(msgspec.Struct, frozen=True):
    """All that `mcpwrap.identity.broker.issue` wants. `key` is the installation's."""

    places: Places
    header: Header
    key: bytes
    bearer: Bearer
    wanted: tuple[Wanted, ...]
    network: Network
    lends: Profile | None = None

    def __repr__(self) -> str:
        return f"Job({self.bearer.server})"


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`Issued` or `Failed`: the first has a value."""

    name: str
    value: str | None = None
    expires_at: float | None = None
    renew_at: float | None = None
    why: str = ""
    hint: str = ""
    retry_s: float | None = None

    def __repr__(self) -> str:
        return f"_Answer({self.name})"


def encode_answer(results: list[Issued | Failed]) -> bytes:
    """One line with its end: a line without one was cut off."""
    return msgspec.json.encode([_answer(each) for each in results]) + b"\n"


def decode_answer(data: bytes, wanted: tuple[Wanted, ...]) -> list[Issued | Failed] | None:
    """The results for `wanted`; None where `data` isn't the whole answer to it."""
    if not data.endswith(b"\n") or len(data) > ANSWER_LIMIT:
        return None
    try:
        answers = msgspec.json.decode(data, type=list[_Answer])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if [each.name for each in answers] != [each.name for each in wanted]:
        return None
    return [_result(each) for each in answers]


def _answer(result: Issued | Failed) -> _Answer:
    if isinstance(result, Failed):
        return _Answer(result.name, why=result.why, hint=result.hint, retry_s=result.retry_s)
    return _Answer(result.name, result.value.reveal(), result.expires_at, result.renew_at)


def _result(answer: _Answer) -> Issued | Failed:
    if answer.value is None:
        return Failed(answer.name, answer.why, answer.hint, answer.retry_s)
    return Issued(answer.name, Secret(answer.value), answer.expires_at, answer.renew_at)
