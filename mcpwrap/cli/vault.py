"""`mcpwrap vault`: where the installation's key lies (IDENTITY.md §2)."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from mcpwrap.cli import opened
from mcpwrap.cli.caller import DECLINED
from mcpwrap.cli.here import Here
from mcpwrap.cli.opened import Asker
from mcpwrap.cli.screen import columns, count, wrapped
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, StateError, UsageError, VaultError
from mcpwrap.identity.keys import Setting, make_vault, move_vault, open_vault, parse_setting, probe_keyring, setting_of
from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.vault import Header, Vault, described, read_header
from mcpwrap.secret import Secret

WIDTH = 80
"""Columns of the narrowest terminal that is thought of."""

INIT = "run `mcpwrap vault init`"

_HELD = (("logins", "login"), ("secrets", "secret"), ("grants", "grant"), ("signing", "signing key"))
"""What a vault holds: as JSON has it, and in words; the kinds of its items but for the logins."""


@click.group()
def vault() -> None:
    """Where the installation's key lies, and what it protects.

    The key is in the system's keyring; where there is none, in a file or behind a passphrase, if you say so. It seals what you
    trusted, and it encrypts logins and secrets.
    """


@vault.command(short_help="Make the installation's key, or move it.")
@click.option("--keyring", is_flag=True, help="Keep the key in the system's keyring (the default).")
@click.option("--key-file", metavar="PATH", help="Keep it in this file, made with mode 0600; it may lie on another medium.")
@click.option("--passphrase", is_flag=True, help="Keep it behind a passphrase, asked for here or taken from MCPWRAP_PASSPHRASE.")
@click.option("--reset", is_flag=True, help="Begin anew: what the old key protects is taken away.")
def init(keyring: bool, key_file: str | None, passphrase: bool, reset: bool) -> int:
    """Make the installation's key, or move it.

    Where there is a vault already, one of the options moves its key there, and nothing is lost; without one nothing changes.
    What was chosen is written into your own config.toml, as `key` below [vault].
    """
    here = Here.now()
    wanted = _wanted(here, keyring, key_file, passphrase)
    with opened.failure_told(here), opened.asking(here, "mcpwrap vault init") as asker:
        try:
            header = read_header(opened.places(here))
        except VaultError as error:
            if not reset:
                raise
            asker.show(spell_out(str(error)))
            header = None
        if header is None or reset:
            return _make(here, asker, wanted or parse_setting(opened.configured(here)), header, reset=reset)
        if wanted is None or wanted == setting_of(header):
            return _leave(here, asker, wanted, header)
        return _move(here, asker, wanted, header)


@vault.command(short_help="Say where the key lies, and whether it opens.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> int:
    """Say where the key lies, whether it can be had, and what lies in the vault, in numbers. Exit code 1 where it doesn't open."""
    here = Here.now()
    facts = _facts(here)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(_told(facts)))
    return 1 if facts["state"] == "closed" else 0


def _wanted(here: Here, keyring: bool, key_file: str | None, passphrase: bool) -> Setting | None:
    if keyring + passphrase + (key_file is not None) > 1:
        raise UsageError("the key lies in one place", hint="one of --keyring, --key-file PATH, --passphrase")
    if key_file is not None:
        return parse_setting(f"file:{Path(here.cwd, Path(key_file).expanduser())}")
    return Setting("keyring") if keyring else Setting("passphrase") if passphrase else None


def _make(here: Here, asker: Asker, wanted: Setting, old: Header | None, *, reset: bool) -> int:
    if reset:
        asker.show(_loss(here, old))
        if not asker.confirm("Begin anew?"):
            with suppress(StateError):
                here.announce("", "", opened.MADE, "not reset: the person said no")
            asker.show("nothing was changed")
            return DECLINED
    typed = opened.ask_new_passphrase(here, asker) if wanted.mode == "passphrase" else None
    opened.announce_made(here, wanted.mode, anew=reset)
    made = make_vault(opened.places(here), str(wanted), here.env, passphrase=typed, reset=reset)
    _configure(here, wanted)
    asker.show(f"the installation's key lies in {spell_out(described(made.header))}.{_advice(made.header)}")
    return 0


def _move(here: Here, asker: Asker, wanted: Setting, old: Header) -> int:
    typed = opened.ask_passphrase(here, asker) if old.mode == "passphrase" else None
    vault = open_vault(opened.places(here), str(setting_of(old)), here.env, passphrase=typed)
    new: Secret | None = opened.ask_new_passphrase(here, asker) if wanted.mode == "passphrase" else None
    here.announce("", "", opened.MADE, f"its key moves from {old.mode} to {wanted.mode}")
    moved = move_vault(vault, str(wanted), here.env, passphrase=new)
    _configure(here, wanted)
    asker.show(f"the installation's key was moved to {spell_out(described(moved.header))}; nothing is lost.{_advice(moved.header)}")
    if old.mode == "file":
        asker.show(f"The old file still holds the key; once you are sure: rm {spell_out(old.where)}")
    return 0


def _leave(here: Here, asker: Asker, wanted: Setting | None, header: Header) -> int:
    if wanted is not None and opened.configured(here) != str(wanted):
        # the setting was lost or changed by hand; the person says again what counts
        here.announce("", "", opened.MADE, f"the setting is put right: {wanted.mode}")
        _configure(here, wanted)
        asker.show(f"config.toml says again that the key lies in {spell_out(described(header))}")
        _try(here, asker, header)
        return 0
    _try(here, asker, header)
    asker.show(f"there is a vault already, its key in {spell_out(described(header))}; nothing changed")
    return 0


def _try(here: Here, asker: Asker, header: Header) -> None:
    """Open the vault that is there.

    Raises:
        VaultError: it doesn't open; why, and the remedy.
    """
    typed = opened.ask_passphrase(here, asker) if header.mode == "passphrase" else None
    try:
        open_vault(opened.places(here), opened.configured(here), here.env, passphrase=typed).check()
    except VaultError as error:
        raise VaultError(f"there is a vault already, and it doesn't open: {error}", hint=error.hint) from error


def _configure(here: Here, wanted: Setting) -> None:
    if opened.configured(here) == str(wanted):
        return
    try:
        opened.configure(here, str(wanted))
    except (ConfigError, StateError) as error:
        # the vault is there: say what is left to be done by hand
        error.hint = f'put `key = "{wanted}"` below [vault] in {here.user_file}'
        raise


def _loss(here: Here, old: Header | None) -> str:
    held = ""
    if old is not None:
        facts = _facts(here)
        if facts["state"] == "open":
            held = f" ({_holds(facts['holds'])})"
    lost = f"Everything that the old key protects is taken away: what you trusted and pinned, logins, secrets{held}."
    return "\n".join(wrapped(f"{lost} Nothing else is touched: the audit and your files stay.", width=WIDTH, indent=0))


def _advice(header: Header) -> str:
    match header.mode:
        case "keyring":
            return ""
        case "file":
            return "\nKeep a copy of the file elsewhere: without it logins and secrets are lost."
        case "passphrase":
            return "\nAI clients start mcpwrap where nobody can be asked: they need MCPWRAP_PASSPHRASE in their environment."


def _facts(here: Here) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "state": "none",
        "mode": "",
        "where": "",
        "setting": "",
        "folder": opened.places(here).vault,
        "holds": {},
    }
    try:
        facts["setting"] = opened.configured(here)
        header = read_header(opened.places(here))
        if header is None:
            return facts | _possible(here, facts["setting"])
        facts |= {"state": "closed", "mode": header.mode, "where": header.where}
        vault = open_vault(opened.places(here), facts["setting"], here.env)
        vault.check()
        return facts | {"state": "open", "holds": _held(vault)}
    except McpwrapError as error:
        place = f" ({error.place})" if isinstance(error, ConfigError) and error.place else ""
        return facts | {"state": "closed", "why": f"{error}{place}", "hint": error.hint}


def _possible(here: Here, setting: str) -> dict[str, str]:
    if setting != "keyring":
        return {"why": "it is made on command", "hint": INIT}
    found = probe_keyring(here.env)
    if found.backend:
        return {
            "where": found.backend,
            "why": "the first trust, login or secret makes it",
            "hint": INIT,
        }
    return {"why": found.why, "hint": found.hint}


def _held(vault: Vault) -> dict[str, int]:
    kinds = {"secrets": "secret", "grants": "grant", "signing": "signing"}
    return {"logins": len(LoginStore(vault).cards()), **{name: len(vault.items(kind)) for name, kind in kinds.items()}}


def _holds(held: dict[str, int]) -> str:
    return ", ".join(count(held[name], word) for name, word in _HELD if held[name]) or "no login, no secret"


def _told(facts: dict[str, Any]) -> list[str]:
    where = {
        "": facts["where"],
        "keyring": f"in the system's keyring ({facts['where']})",
        "file": f"in {facts['where']}",
        "passphrase": "behind a passphrase",
    }[facts["mode"]]
    opens = {"none": "there is none yet", "open": "opens", "closed": "doesn't open"}[facts["state"]]
    rows = [
        ["vault", opens],
        *([["key", spell_out(where)]] if where else []),
        *([["holds", _holds(facts["holds"])]] if facts["state"] == "open" else []),
        *([["why", spell_out(facts["why"])]] if facts.get("why") else []),
        *([["hint", spell_out(facts["hint"])]] if facts.get("hint") else []),
        ["folder", spell_out(facts["folder"])],
    ]
    indent = max(len(name) for name, _ in rows) + 2
    # a terminal breaks a longer line in the middle of a word
    return [line for row in columns(rows, indent=0) for line in wrapped(row, width=WIDTH, indent=indent)]
