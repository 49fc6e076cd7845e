"""`mcpwrap secret`: what servers get that nobody else may see (IDENTITY.md §2)."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import click

from mcpwrap.cli import completion, opened
from mcpwrap.cli.caller import DECLINED
from mcpwrap.cli.here import Found, Here, asked_for, look, need
from mcpwrap.cli.identity import Whoever
from mcpwrap.cli.screen import columns, error_text
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, StateError, UsageError
from mcpwrap.identity.secrets import NAME, Kept, Owner, SecretStore
from mcpwrap.identity.vault import Vault, read_header
from mcpwrap.policy.toml import nearest

_PROJECT = click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
_SERVER = click.argument("server", shell_complete=completion.servers)
_NAME = click.argument("name", shell_complete=completion.secrets)


@click.group()
def secret() -> None:
    """Secrets for servers: kept encrypted, each for one server of one project.

    A server gets one when its table in mcpwrap.toml asks for it under `credentials`.
    """


@secret.command(name="set", short_help="Keep a secret for a server; its value is typed.")
@_PROJECT
@_SERVER
@_NAME
def set_(project: str | None, server: str, name: str) -> int:
    """Keep the secret NAME for SERVER. Its value is asked for, and isn't shown; it is never an argument.

    Where your own file lets scripts in ([trust] scripted), the value is read from standard input.
    """
    here = Here.now()
    with opened.asking(here, f"mcpwrap secret set {server} {name}") as asker:
        found = _server(need(project, here), server)
        if not NAME.fullmatch(name):
            raise UsageError(
                f"`{spell_out(name)}` can't be a secret's name", hint="letters, digits, dots, hyphens and underscores: GITHUB_TOKEN"
            )
        store = SecretStore(opened.vault_for(here, asker, make=True))
        value = asker.hidden(f"{name} for {server} in {found.root}: ")
        if not value:
            raise UsageError("nothing was entered", hint="nothing was changed; run it again")
        # the record comes first: no audit, no change
        _announce(here, found.root, "mcpwrap/secret-set", f"the secret {name} of {server} was set")
        store.set(found.root, server, name, value)
        asker.show(f"{name} is kept for {spell_out(server)} in {spell_out(found.root)}; running sessions get it at once")
        if (note := _unasked(found, server, name)) is not None:
            asker.show(note)
    return 0


@secret.command(name="list", short_help="Names, whose they are, and to whom they are lent.")
@click.option("--project", metavar="DIR", help="Only what belongs to this project.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(project: str | None, as_json: bool) -> int:
    """List the secrets by name, whose they are, and to whom they are lent. Values are never shown."""
    here = Here.now()
    root = None if project is None else _root(here, project)
    # (without a vault nothing was ever kept; one that doesn't open is an error)
    kept = [] if read_header(opened.places(here)) is None else SecretStore(_vault(here)).list(root)
    if as_json:
        click.echo(json.dumps([_facts(each) for each in kept], indent=2, ensure_ascii=False))
        return 0
    if not kept:
        click.echo("no secret is kept; one is set with `mcpwrap secret set SERVER NAME`")
        return 0
    rows = [["PROJECT", "SERVER", "NAME", "LENT TO"]]
    rows += [[spell_out(k.owner.root), spell_out(k.owner.server), k.name, ", ".join(map(_named, k.lent))] for k in kept]
    click.echo("\n".join(columns(rows, indent=0)))
    return 0


@secret.command(short_help="Take a secret away.")
@_PROJECT
@_SERVER
@_NAME
def rm(project: str | None, server: str, name: str) -> int:
    """Take a secret away, and what was lent of it. A running server keeps what it has until it ends."""
    here = Here.now()
    root = _root(here, project)
    if not SecretStore(_vault(here)).remove(root, server, name):
        click.echo(f"there was no secret {spell_out(name)} of {spell_out(server)} in {spell_out(root)}; nothing changed")
        return 0
    click.echo(f"{spell_out(name)} of {spell_out(server)} in {spell_out(root)} is gone")
    _announce_taken(here, root, "mcpwrap/secret-rm", f"the secret {name} of {server} was taken away")
    return 0


@secret.command(short_help="Lend a secret to another server, or take that back.")
@_PROJECT
@click.option("--to-project", metavar="DIR", help="The project that borrows; the same one by default.")
@click.option("--to-server", metavar="NAME", help="The server that borrows; the one of the same name by default.")
@click.option("--revoke", is_flag=True, help="Take it back.")
@_SERVER
@_NAME
def grant(project: str | None, to_project: str | None, to_server: str | None, revoke: bool, server: str, name: str) -> int:
    """Lend the secret NAME of SERVER to another server, here or in another project; with --revoke take it back.

    The borrower gets it under the same name, for as long as it is lent and kept.
    """
    here = Here.now()
    if to_project is None and to_server is None:
        raise UsageError("lend it to whom?", hint=f"mcpwrap secret grant {server} {name} --to-server NAME, or --to-project DIR")
    borrower = to_server or server
    if revoke:
        return _take_back(here, Owner(_root(here, project), server), name, Owner(_root(here, to_project or project), borrower))
    with opened.asking(here, f"mcpwrap secret grant {server} {name}") as asker:
        lender = need(project, here)
        to = _server(_borrowing(to_project, here) if to_project is not None else lender, borrower)
        store = SecretStore(opened.vault_for(here, asker))
        store.check(lender.root, server, name)
        what = f"{name} of {server} in {lender.root} to {borrower} in {to.root}"
        if not asker.confirm(f"Lend {spell_out(what)}?"):
            asker.show("nothing was changed")
            return DECLINED
        _announce(here, lender.root, "mcpwrap/secret-grant", f"lent: {what}")
        store.grant(lender.root, server, name, to.root, borrower)
        asker.show(f"lent: {spell_out(what)}")
    return 0


def _take_back(here: Here, owner: Owner, name: str, to: Owner) -> int:
    what = f"{name} of {owner.server} in {owner.root} to {to.server} in {to.root}"
    if not SecretStore(_vault(here)).revoke(owner.root, owner.server, name, to.root, to.server):
        click.echo(f"this wasn't lent: {spell_out(what)}; nothing changed")
        return 0
    click.echo(f"taken back: {spell_out(what)}")
    _announce_taken(here, owner.root, "mcpwrap/secret-revoke", f"taken back: {what}")
    return 0


def _server(found: Found, server: str) -> Found:
    servers = found.lying().servers
    if server not in servers:
        meant = nearest(server, servers)
        raise UsageError(
            f"{found.file_name} has no server `{spell_out(server)}`",
            hint=f"did you mean `{spell_out(meant)}`?" if meant else f"add `[servers.{spell_out(server)}]` to it first",
        )
    return found


def _borrowing(option: str, here: Here) -> Found:
    try:
        return need(option, here)
    except ConfigError as error:
        # the same words as for --project, which wasn't typed
        if "--project names" in str(error) or "named by --project" in str(error):
            raise ConfigError(str(error).replace("--project", "--to-project"), hint=error.hint) from error
        raise


def _unasked(found: Found, server: str, name: str) -> str | None:
    """What is said where no credential of `server` asks for the secret `name`; None where one does."""
    asked = asked_for(found, server)
    if name in asked:
        return None
    if asked:
        return f"note: no credential of {spell_out(server)} asks for {name}; it asks for {' and '.join(asked)}"
    variable = re.sub(r"\W", "_", name, flags=re.ASCII)
    variable = f"_{variable}" if variable[0].isdigit() else variable
    return (
        f"note: no credential of {spell_out(server)} asks for it yet; below [servers.{spell_out(server)}] in "
        f'{spell_out(found.file_name)}:\n      credentials.{variable} = {{ secret = "{name}" }}'
    )


def _root(here: Here, option: str | None) -> str:
    """The project's root, where its file is broken or gone too: taking back must work then."""
    with suppress(McpwrapError):
        found = look(option, here)
        if found is not None:
            return found.root
    return str(Path(here.cwd, option or "").resolve())


def _vault(here: Here) -> Vault:
    """The vault for what changes nothing or only takes back, which needs nobody's leave."""
    return opened.vault_for(here, Whoever(here))


def _announce(here: Here, root: str, method: str, note: str) -> None:
    here.announce(root, "", method, note)


def _announce_taken(here: Here, root: str, method: str, note: str) -> None:
    try:
        here.announce(root, "", method, note)
    except StateError as error:
        # taking back always works: a full disk must not keep it alive
        sys.stderr.write(error_text(error, sys.stderr))


def _named(owner: Owner) -> str:
    return f"{spell_out(owner.server)} in {spell_out(owner.root)}"


def _facts(kept: Kept) -> dict[str, object]:
    lent = [{"project": to.root, "server": to.server} for to in kept.lent]
    return {"project": kept.owner.root, "server": kept.owner.server, "name": kept.name, "lent": lent}
