"""What is recorded when a person trusts something (POLICY.md §5)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class CommandRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted command.

    `argv` has the substitutions put in. `executable` is the absolute path that its first element resolved to, "" where it was not
    found. `digests` has the SHA-256 (hex) of every element, the executable included, that names a file inside the project.
    """

    server: str
    argv: tuple[str, ...]
    executable: str
    cwd: str | None
    inherit_env: tuple[str, ...]
    digests: Mapping[str, str]


class TrustRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trusted project.

    `project` is its canonical root; `content` and `lock` are the accepted texts, `digest` theirs (`mcpwrap.policy.trust.digest`).
    `callers` are the roots of other projects from whose folders this one may be named. `accepted_at` is RFC 3339, UTC.
    `generation` counts up each time the record is stored, so that an old one put back can be told.
    """

    project: str
    digest: str
    content: str
    lock: str | None
    commands: tuple[CommandRecord, ...]
    callers: tuple[str, ...]
    accepted_at: str
    generation: int
