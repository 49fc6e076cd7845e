"""What a held session says (MESSAGES.md 1 and 10): the fact, then what the person can do, addressed to the model that reads it.

Names of files and the words of a server stand in it: on one line, in visible characters, so that they can't pass for ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from mcpwrap.core.credentials import Failed
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError

NAMED: Final = 12
"""Withheld variables named in a message at most; the rest is counted."""

TAIL_SHOWN: Final = 300
"""Characters of a server's last words that are shown."""

_CLOSING: Final = "Don't run it yourself and don't work around it."


def held(server: str, fact: str, remedy: str = "") -> str:
    """The text of a held session."""
    lines = [f'mcpwrap is holding "{spell_out(server)}" back: {spell_out(fact)}.']
    if remedy:
        lines += [f"Ask the user to {spell_out(remedy)}.", _CLOSING]
    else:
        lines.append("Tell the user; don't work around it.")
    return "\n".join(lines)


def held_by(server: str, error: McpwrapError) -> str:
    """The text of a session that `error` holds."""
    fact = str(error)
    if isinstance(error, ConfigError) and error.place:
        fact += f" ({error.place})"
    return held(server, fact, error.hint)


def exited(
    server: str,
    how: str,
    tail: str,
    *,
    early: bool,
    withheld: Collection[str],
    place: str,
) -> str:
    """The text of a session whose server is gone; where it missed a variable that the policy held back, exactly that."""
    last = last_line(tail)
    fact = f"the server {how}{' at start' if early else ''}" + (f' and said last: "{last}"' if last else "")
    if not early:
        return held(server, fact, "reconnect this server in the client")
    missed = sorted(name for name in withheld if mentions(tail, name))
    names = missed or sorted(withheld)
    if not names:
        return held(server, fact, "mend that and reconnect this server in the client")
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    inherit = ", ".join(f'"{name}"' for name in (missed or ["NAME"]))
    remedy = f"add inherit_env = [{inherit}] to [servers.{server}] ({place}) and run `mcpwrap trust`"
    if missed and _sounds_secret(missed[0]):
        key = missed[0]
        kept = f'credentials.{key} = {{ secret = "{key}" }} in [servers.{server}] ({place})'
        remedy = f"keep it with `mcpwrap secret set {server} {key}` and put {kept}, or else {remedy}"
    if not missed:
        remedy = f"look whether it needs one of them; then {remedy}"
    return held(server, f"{fact}. The client passed {listed}; the policy doesn't let it through", remedy)


def without_credential(server: str, failed: Failed) -> str:
    """The text of a session whose server can't have a credential."""
    fact = f"{failed.name} can't be had: {failed.why}"
    if failed.retry_s is not None and not failed.hint:
        return held(server, f"{fact}. mcpwrap tries again by itself")
    remedy = f"run `{failed.hint}` in a terminal of their own" if failed.hint.startswith("mcpwrap ") else failed.hint
    return held(server, fact, remedy)


def _sounds_secret(name: str) -> bool:
    from mcpwrap.core.redact import sounds_secret  # noqa: PLC0415 - only for a message

    return sounds_secret(name)


def mentions(text: str, name: str) -> bool:
    """True where the variable `name` stands in `text` as a word of its own."""
    start = text.find(name)
    while start >= 0:
        before = text[start - 1 : start]
        after = text[start + len(name) : start + len(name) + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            return True
        start = text.find(name, start + 1)
    return False


def last_line(tail: str) -> str:
    """The last line that says something, to stand between quotation marks; what looks like a token is taken out."""
    lines = [line.strip() for line in tail.split("\n") if line.strip()]
    if not lines:
        return ""
    line = _without_tokens(lines[-1]).replace('"', "'")
    return line if len(line) <= TAIL_SHOWN else line[: TAIL_SHOWN - 1] + "…"


def quoted(argv: Sequence[str]) -> str:
    """A command as it can be pasted, but for what looks like a token: a model reads it."""
    import shlex  # noqa: PLC0415 - only for a message

    return shlex.join(_without_tokens(element) for element in argv)


def _without_tokens(text: str) -> str:
    from mcpwrap.core.redact import redact  # noqa: PLC0415 - only for a message

    return str(redact(text, whole=True))
