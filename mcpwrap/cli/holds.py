"""Why a server would be held, by the files and the vault as they are now (POLICY.md §5); nothing is started, and nobody asked."""

from __future__ import annotations

import msgspec

from mcpwrap.cli.here import Found
from mcpwrap.cli.identity import card_for, profiles_of
from mcpwrap.core.credentials import FromSecret
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, StateError
from mcpwrap.identity.logins import LoginStore, keys_for
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.policy.load import ProjectPolicy, ServerPolicy
from mcpwrap.policy.trust import verify_command

VAULT_REMEDY = "mcpwrap vault status"
"""Where an error of the vault has no remedy of its own."""


class Hold(msgspec.Struct, frozen=True):
    """One fact, and what to do about it: a command, or a few words."""

    why: str
    remedy: str


def option_of(found: Found) -> str:
    """What a command needs behind it to mean this project, where the person stands elsewhere."""
    return f" --project {spell_out(found.root)}" if found.project.chosen_by == "--project" else ""


def holds(found: Found, accepted: ProjectPolicy | None, lying: ProjectPolicy | None, login: Hold | None) -> dict[str, Hold]:
    """The servers that would be held; `login` is what `signed_out` said of `accepted`."""
    trust = f"mcpwrap trust{option_of(found)}"
    if found.closed is not None:
        closed = Hold(str(found.closed), found.closed.hint or VAULT_REMEDY)
        return dict.fromkeys(lying.servers if lying else (), closed)
    record = found.standing.record
    if accepted is None or record is None:
        untrusted = Hold(f"{found.file_name} in {found.root} is not trusted yet", trust)
        return dict.fromkeys(lying.servers if lying else (), untrusted)
    new = Hold("new, not accepted yet", trust)
    held = {name: new for name in (lying.servers if lying else ()) if name not in accepted.servers}
    for name, server in accepted.servers.items():
        argv = found.command(server)
        if not argv:
            paste = f"mcpwrap trust{option_of(found)} {name} -- COMMAND …"
            held[name] = Hold(f"its command isn't trusted yet: {paste}", paste)
        elif why := verify_command(record, name, argv, found.here.env, policy=server):
            held[name] = Hold(why, trust)
        elif hold := login or _unset(found, server):
            held[name] = hold
    return held


def signed_out(found: Found, accepted: ProjectPolicy | None) -> Hold | None:
    """Why nobody's login counts for the provider that the accepted file names; None where one does, or none is named."""
    if accepted is None or not accepted.issuer:
        return None
    issuer, remedy = accepted.issuer, f"mcpwrap login{option_of(found)}"
    try:
        card = card_for(found.here, issuer)
        if card is None:
            return Hold(f"nobody is signed in at {issuer}", remedy)
        if not card.ended:
            return None
        # (another profile of the same provider may do)
        store, profiles = LoginStore(found.here.vault), profiles_of(found.here).values()
        keys = keys_for(issuer, [profile.name for profile in profiles if profile.issuer == issuer])
        if any(other is not None and not other.ended for other in map(store.card, keys)):
            return None
    except StateError as error:
        return Hold(str(error), error.hint or remedy)
    except ConfigError as error:
        return Hold(str(error), f"mend {error.place or 'the file'}, then: mcpwrap check")
    return Hold(f"the login at {issuer} has ended: {card.ended}", remedy)


def _unset(found: Found, server: ServerPolicy) -> Hold | None:
    """The first secret that the server is to get and that nobody set."""
    for each in server.credentials:
        if isinstance(each.source, FromSecret):
            name = each.source.name
            try:
                if SecretStore(found.here.vault).get(found.root, server.name, name) is None:
                    paste = f"mcpwrap secret set{option_of(found)} {server.name} {name}"
                    return Hold(f"its secret {name} isn't set", paste)
            except StateError as error:
                return Hold(str(error), error.hint or VAULT_REMEDY)
    return None
