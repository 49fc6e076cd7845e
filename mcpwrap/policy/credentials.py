"""Logins, credentials, the vault and the network, as a file has them → the values that others work with (IDENTITY.md §1 and §4)."""
# only texts of paths are looked at

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mcpwrap.core.credentials import FromLogin, FromSecret, Minted, Network, Profile, Source, Wanted
from mcpwrap.policy.check import header, shown
from mcpwrap.policy.places import Path
from mcpwrap.policy.shape_identity import SOURCES
from mcpwrap.policy.substitution import expand
from mcpwrap.policy.toml import Document


def read_credentials(document: Document, path: Path, table: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """The credentials of the server whose `table` stands at `path`, in the file's order.

    Raises:
        ConfigError: one hasn't exactly one source, or would be delivered as a variable that something else in the table sets.
    """
    path = (*path, "credentials")
    found = tuple(_wanted(document, (*path, name), name, each) for name, each in table.get("credentials", {}).items())
    taken = {name.upper(): "`env`" for name in table.get("env", {})}
    taken |= {name.upper(): "`inherit_env`" for name in table.get("inherit_env", ())}
    for each in found:
        for variable in dict.fromkeys((each.name, variable_of(each))):
            # Windows has one variable for all spellings of its name
            if by := taken.get(variable.upper()):
                raise document.error(
                    (*path, each.name),
                    f"{shown(variable)} would come from two places: {by} and the credential {shown(each.name)}",
                    f"take one of the two out of {header(path[:-1])}",
                )
        taken[variable_of(each).upper()] = f"the credential {shown(each.name)}"
    return found


def variable_of(wanted: Wanted) -> str:
    """The variable that the server finds the credential by: its own, or for a file the one that names the file."""
    return f"{wanted.name}_FILE" if wanted.via == "file" else wanted.name


def _wanted(document: Document, path: Path, name: str, table: Mapping[str, Any]) -> Wanted:
    sources = [key for key in SOURCES if key in table]
    if len(sources) != 1:
        what = "no source" if not sources else f"{len(sources)} sources"
        raise document.error(
            (*path, sources[1]) if sources else path,
            f"a credential has exactly one of `login`, `secret`, `minted`, and {shown(name)} has {what}",
            'write `secret = "NAME"`, and set it with `mcpwrap secret set`' if not sources else "take the others out",
        )
    source: Source
    match sources[0]:
        case "login":
            login = table["login"]
            source = FromLogin(login.get("resource", ""), _several(login.get("scope")))
        case "secret":
            source = FromSecret(table["secret"])
        case _:
            minted = table["minted"]
            source = Minted(_several(minted.get("scope")), minted.get("ttl_s", 120))
    return Wanted(name, source, table.get("via", "env"))


def read_login(document: Document) -> tuple[str, int]:
    """The issuer that a file names and the line where it does; "" and 0 where it names none.

    Raises:
        ConfigError: there is a table for it, and it names none.
    """
    if "login" not in document.tree:
        return "", 0
    path: Path = ("login", "issuer")
    if "issuer" not in document.tree["login"]:
        raise document.error(
            path[:1],
            "`login` names no `issuer`",
            'write `issuer = "https://login.example.com"`, or take [login] out',
        )
    return document.tree["login"]["issuer"], document.places.line(path)


def read_profiles(document: Document, variables: Mapping[str, str]) -> dict[str, Profile]:
    """The profiles of the user's file, in its order.

    Raises:
        ConfigError: one names no issuer, or has a key that it can't have.
    """
    return {
        name: _profile(document, ("profiles", name), table, variables) for name, table in document.tree.get("profiles", {}).items()
    }


def _profile(document: Document, path: Path, table: Mapping[str, Any], variables: Mapping[str, str]) -> Profile:
    name = str(path[-1])
    if "issuer" not in table:
        raise document.error(path, f"the profile {shown(name)} names no `issuer`", 'write `issuer = "https://login.example.com"`')
    flow = table.get("flow", "browser")
    if "key" in table and flow != "client-credentials":
        raise document.error(
            (*path, "key"),
            f'`key` is for a machine that signs in by itself, and the profile {shown(name)} has `flow = "{flow}"`',
            'write `flow = "client-credentials"`, or take `key` out',
        )
    return Profile(
        name,
        table["issuer"],
        table.get("client_id", ""),
        flow,
        _limited(table.get("resources")),
        _limited(table.get("scopes")),
        _file(document, (*path, "key"), table["key"], variables) if "key" in table else "",
    )


def read_vault(document: Document) -> str:
    """Where the user's file says that the key of the vault lies.

    Raises:
        ConfigError: it is a file whose path isn't absolute.
    """
    key: str = document.tree.get("vault", {}).get("key", "keyring")
    kind, _, file = key.partition(":")
    if kind == "file" and not os.path.isabs(file):
        raise document.error(
            ("vault", "key"), f"the path of the vault's key must be absolute, and {shown(file)} isn't", "write `file:/…`"
        )
    return key


def read_network(document: Document, variables: Mapping[str, str]) -> Network:
    """How the user's file says that providers are reached.

    Raises:
        ConfigError: the path of the authorities isn't absolute.
    """
    table = document.tree.get("network", {})
    ca = _file(document, ("network", "ca"), table["ca"], variables) if "ca" in table else ""
    return Network(table.get("proxy", ""), ca)


def _file(document: Document, path: Path, text: str, variables: Mapping[str, str]) -> str:
    file = expand(document, path, text, variables)
    if not os.path.isabs(file):
        raise document.error(
            path, f"`{path[-1]}` must be an absolute path, and {shown(file)} isn't", "begin with `/` or `${home}/`"
        )
    return os.path.normpath(file)


def _several(items: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items or ()))


def _limited(items: list[str] | None) -> tuple[str, ...] | None:
    return None if items is None else _several(items)
