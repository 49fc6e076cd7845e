"""`mcpwrap token`: a credential for a server or a script that can ask (IDENTITY.md §4, `helper`).

Below a server it is the shim in front of it that answers, with what the server's table says is for the helper. Elsewhere there are
only tokens that are minted here: a person's shell is no place for a provider's token or a server's secret.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

import click

from mcpwrap.cli import completion
from mcpwrap.cli.here import Found, Here, look, need
from mcpwrap.cli.identity import card_for, of_issuer, profiles_of
from mcpwrap.core.credentials import Bearer, Failed, Minted, Network, Wanted
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, LoginError, McpwrapError, UntrustedError, UsageError
from mcpwrap.identity.broker import issue
from mcpwrap.identity.socket_protocol import VARIABLE, Given, ask
from mcpwrap.policy.load import ProjectPolicy


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The credentials of the server that was typed which are minted here."""
    try:
        found = look(context.params.get("project"))
        policy = found.lying() if found is not None else None
        wanted = minted_of(policy, str(context.params.get("server"))) if policy is not None else ()
    except (McpwrapError, OSError):
        return []  # a half-typed line is no place for an error
    return [each.name for each in wanted if each.name.startswith(incomplete)]


@click.command()
@click.option("--server", metavar="NAME", shell_complete=completion.servers, help="Not needed below a server: it gets its own.")
@click.option("--credential", metavar="NAME", shell_complete=_names, help="Which one, where the server has several.")
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
def token(server: str | None, credential: str | None, project: str | None) -> int:
    """Print a credential as JSON: token, expires_at (seconds since the epoch, or null) and name.

    Below a server that mcpwrap runs, that server's credentials are given (those with `via = "helper"`). Elsewhere only tokens that
    are minted here are.
    """
    socket = os.environ.get(VARIABLE, "")
    given = ask(socket, credential) if socket else _minted(Here.now(), server, credential, project)
    click.echo(json.dumps({"token": given.token, "expires_at": given.expires_at, "name": given.name}))
    return 0


def _minted(here: Here, server: str | None, credential: str | None, project: str | None) -> Given:
    if server is None:
        raise UsageError("which server is the token for?", hint="mcpwrap token --server NAME")
    found = need(project, here)
    policy = found.accepted()
    record = found.standing.record
    if policy is None or record is None:
        raise UntrustedError(f"{found.file_name} in {spell_out(found.root)} is not trusted yet", hint="mcpwrap trust")
    if server not in policy.servers and _defines(found, server):
        raise UntrustedError(f"the accepted {found.file_name} has no server `{spell_out(server)}`", hint="mcpwrap trust")
    named = [each.name for each in policy.servers[server].credentials] if server in policy.servers else []
    wanted = _chosen(minted_of(policy, server), server, credential, known=credential in named)
    vault = here.vault
    bearer = Bearer(found.root, policy.name, server, record.digest, _login(found, policy))
    result = issue(vault, bearer, [wanted], Network(), time.time, None)[0]
    if isinstance(result, Failed):
        raise LoginError(result.why, hint=result.hint)
    return Given(result.value.reveal(), None if result.expires_at is None else int(result.expires_at), result.name)


def _defines(found: Found, server: str) -> bool:
    """True where the file as it lies there has this server."""
    try:
        return server in found.lying().servers
    except ConfigError:
        return False


def minted_of(policy: ProjectPolicy, server: str) -> tuple[Wanted, ...]:
    """The credentials of `server` that are minted here.

    Raises:
        UsageError: there is no such server.
    """
    found = policy.servers.get(server)
    if found is None:
        raise UsageError(f"{policy.file} has no server `{spell_out(server)}`", hint="mcpwrap status")
    return tuple(each for each in found.credentials if isinstance(each.source, Minted))


def _chosen(minted: Sequence[Wanted], server: str, credential: str | None, *, known: bool) -> Wanted:
    named = [each for each in minted if credential in (None, each.name)]
    if len(named) == 1:
        return named[0]
    shown = spell_out(server)
    if credential is not None and minted and not known:
        names = ", ".join(each.name for each in minted)
        raise UsageError(
            f"`{shown}` has no `{spell_out(credential)}`; minted here: {names}",
            hint=f"mcpwrap token --server {shown} --credential {minted[0].name}",
        )
    if not named:
        what = "credential" if credential is None else f"`{spell_out(credential)}`"
        raise LoginError(
            f"`{shown}` has no {what} that is minted here; secrets and a provider's tokens go to the server alone",
            hint=f"add `minted` to a credential: [servers.{shown}.credentials.AGENT_TOKEN] in mcpwrap.toml",
        )
    names = ", ".join(each.name for each in named)
    raise UsageError(f"`{shown}` has several: {names}", hint=f"mcpwrap token --server {shown} --credential {named[0].name}")


def _login(found: Found, policy: ProjectPolicy) -> str:
    """The key of the login that `policy` names; "" for the local one.

    Raises:
        LoginError: nobody is signed in there.
    """
    if not policy.issuer:
        return ""
    card = card_for(found.here, policy.issuer)
    if card is not None:
        return card.key
    profile = of_issuer(profiles_of(found.here), policy.issuer).name
    hint = f"mcpwrap login {profile}" if profile else f"mcpwrap login --issuer {spell_out(policy.issuer)}"
    raise LoginError(f"nobody is signed in at `{spell_out(policy.issuer)}`", hint=hint)
