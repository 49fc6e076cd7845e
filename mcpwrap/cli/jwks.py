"""`mcpwrap jwks`: the public keys that tokens of this installation are checked with."""

from __future__ import annotations

import json
import time

import click

from mcpwrap.cli import caller
from mcpwrap.cli.here import Here
from mcpwrap.identity.signing import ALGORITHMS, PUBLISHED_S, Algorithm, jwks_path, rotate
from mcpwrap.identity.signing import jwks as public_keys


@click.command()
@click.option("--rotate", "rotating", is_flag=True, help="Let the next key sign, and make a new one after it.")
@click.option("--alg", type=click.Choice(ALGORITHMS), help="With --rotate: what the next key is to be.")
@click.option("--json", "as_json", is_flag=True, help="On one line.")
def jwks(rotating: bool, alg: Algorithm | None, as_json: bool) -> int:
    """Print the public keys of this installation (a JWK set).

    Servers find them in the file that MCPWRAP_JWKS_FILE names. Keys rotate by themselves; --rotate does it now.
    """
    here = Here.now()
    if alg is not None and not rotating:
        raise click.UsageError("--alg goes with --rotate")
    if not rotating:
        _print(public_keys(here.vault, time.time()), as_json=as_json)
        return 0
    user = here.user()
    if user is not None and user.scripted:
        click.echo(_rotate(here, alg), err=as_json)
    else:
        with caller.person_terminal(here.env, "mcpwrap jwks --rotate") as terminal:
            terminal.show(_rotate(here, alg) + "\n")
    if as_json:
        _print(public_keys(here.vault, time.time()), as_json=True)
    return 0


def _rotate(here: Here, alg: Algorithm | None) -> str:
    vault = here.vault
    rotated = rotate(vault, time.time(), alg)
    what = "the signing key was rotated" if rotated else f"the next signing key is one for {alg}"
    here.announce("", "", "mcpwrap/jwks", what)
    if not rotated:
        return f"The next key is one for {alg}. Servers know it in {PUBLISHED_S // 60} min; then again: mcpwrap jwks --rotate"
    return f"Rotated. Tokens of the key before are good until they expire; {jwks_path(vault.places)} has all of them."


def _print(document: object, *, as_json: bool) -> None:
    click.echo(json.dumps(document) if as_json else json.dumps(document, indent=2))
