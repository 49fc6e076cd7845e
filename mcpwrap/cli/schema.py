"""`mcpwrap schema`: the JSON Schema of a configuration file, for editors and checkers."""

from __future__ import annotations

import json
from typing import Literal

import click

from mcpwrap.policy.load import json_schema


@click.command()
@click.argument("which", type=click.Choice(["project", "user", "site"]), default="project")
def schema(which: Literal["project", "user", "site"]) -> int:
    """Print the JSON Schema of mcpwrap.toml, of your own config.toml (user) or of the administrator's (site)."""
    click.echo(json.dumps(json_schema(which), indent=2, ensure_ascii=False))
    return 0
