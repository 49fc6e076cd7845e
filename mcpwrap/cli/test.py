"""`mcpwrap test`: the ``tests`` tables of a project's file against its rules: what was expected, what came (POLICY.md §2)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from mcpwrap.cli import completion
from mcpwrap.cli.here import Found, Here, need
from mcpwrap.cli.screen import Ink, columns, count
from mcpwrap.cli.verdict import Question, Verdict, judge, reason_rows
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import UsageError
from mcpwrap.policy.load import PolicyTest, ProjectPolicy, ServerPolicy, rules_for
from mcpwrap.policy.toml import nearest
from mcpwrap.runtime.facts import FileFacts

FAILED: Final = 4
"""Exit code where an expectation isn't met (POLICY.md §7)."""

_ARGUMENTS_SHOWN: Final = 200
"""Characters of a test's arguments that stand in its heading."""

_VARIABLE: Final = re.compile(r"\$\{(?:project|home)\}")


@dataclass(frozen=True, slots=True)
class Tried:
    """One test with what came of it."""

    server: str
    test: PolicyTest
    verdict: Verdict

    @property
    def met(self) -> bool:
        """True where what was expected came."""
        return self.verdict.outcome is self.test.expect


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("server", required=False, shell_complete=completion.servers)
def test(project: str | None, as_json: bool, server: str | None) -> int:
    """Run the tests of a policy: the `tests` tables of the project's file, as it lies there.

    Only that file's rules count here, not your own or the administrator's, and nothing is called. Exit code 4 where an expectation
    isn't met.
    """
    found = need(project, Here.now())
    policy = found.lying()
    if server is not None and server not in policy.servers:
        near = nearest(server, policy.servers)
        raise UsageError(
            f"{spell_out(found.file_name)} has no server `{spell_out(server)}`",
            hint=f"did you mean `{near}`?"
            if near
            else f"its servers: {', '.join(f'`{name}`' for name in policy.servers) or 'none'}",
        )
    tried = [each for name in policy.servers if server in (None, name) for each in _try(found, policy, policy.servers[name])]
    failed = [each for each in tried if not each.met]
    if as_json:
        click.echo(json.dumps(_facts(found, policy, tried), indent=2))
    else:
        click.echo("\n".join(_lines(found, policy, tried, failed, server, Ink.of(sys.stdout))))
    return FAILED if failed else 0


def _try(found: Found, policy: ProjectPolicy, server: ServerPolicy) -> Iterator[Tried]:
    rules = rules_for(policy, server.name, (), found.command(server))
    facts = FileFacts(server.cwd)
    variables = {"${project}": found.root, "${home}": found.here.home}
    for each in server.tests:
        call, args = _put_in(each.call, variables), _put_in(dict(each.args), variables)
        question = Question(each.method, call, args, each.subject, each.client, policy.name, facts)
        yield Tried(server.name, each, judge(rules, question))


def _put_in(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with the two substitutions of a project's file in every string: what a client sends has paths of this machine."""
    match value:
        case str():
            return _VARIABLE.sub(lambda found: variables[found[0]], value)
        case dict():
            return {key: _put_in(inner, variables) for key, inner in value.items()}
        case list():
            return [_put_in(inner, variables) for inner in value]
        case _:
            return value


def _facts(found: Found, policy: ProjectPolicy, tried: list[Tried]) -> dict[str, Any]:
    return {
        "file": found.project.file,
        "passed": sum(each.met for each in tried),
        "failed": sum(not each.met for each in tried),
        "tests": [
            {
                "server": each.server,
                "line": each.test.line,
                "method": each.test.method,
                "call": each.test.call,
                "name": each.test.name,
                "expect": each.test.expect.label,
                "outcome": each.verdict.outcome.label,
                "reasons": [
                    {"file": r.file, "line": r.line, "effect": r.effect, "text": r.text} for r in each.verdict.decision.reasons
                ],
            }
            for each in tried
        ],
    }


def _lines(found: Found, policy: ProjectPolicy, tried: list[Tried], failed: list[Tried], server: str | None, ink: Ink) -> list[str]:
    if not tried:
        where = f"[servers.{spell_out(server)}]" if server else spell_out(found.file_name)
        example = _example(found, policy, server or next(iter(policy.servers), ""))
        return [f"{where} has no tests; write some, such as", "", *(f"  {spell_out(line)}" for line in example)]
    lines: list[str] = []
    for each in failed:
        lines += _failure(found, each, ink)
    done = f"{count(len(tried), 'test')}, " + (ink("red", f"{len(failed)} failed") if failed else ink("green", "all passed"))
    return [*lines, f"{spell_out(found.file_name)}: {done}"]


def _example(found: Found, policy: ProjectPolicy, name: str) -> list[str]:
    """A test that the file passes as it lies there, of a tool that it names where it names one."""
    server = policy.servers.get(name)
    rules = server.tables["tools"].rules if server is not None else ()
    named = [(rule.effect, pattern.literal) for rule in rules for pattern in rule.patterns if pattern.literal is not None]
    call = max(named, key=lambda each: each[0])[1] if named else "write_file"
    expect = "deny"
    if server is not None:
        question = Question("tools/call", call, {}, project=policy.name, facts=FileFacts(server.cwd))
        expect = judge(rules_for(policy, name, (), found.command(server)), question).outcome.label
    header = f'"{name}"' if "." in name else name or "NAME"
    return [f"[[servers.{header}.tests]]", f"call = {json.dumps(call, ensure_ascii=False)}", f'expect = "{expect}"']


def _failure(found: Found, each: Tried, ink: Ink) -> list[str]:
    what = f"{spell_out(each.server)} › {spell_out(each.test.call or each.test.method)}"
    if each.test.args:
        what += f" {spell_out(json.dumps(each.test.args, ensure_ascii=False, default=str), limit=_ARGUMENTS_SHOWN)}"
    verdict = each.verdict
    if each.test.name:
        what = f"{spell_out(each.test.name)}: {what}"
    return [
        f"{ink('bold', what)}   {spell_out(found.file_name)}:{each.test.line}",
        f"  {ink('red', '- expected  ' + each.test.expect.label)}",
        f"  {ink('green', '+ it is     ' + verdict.outcome.label)}",
        *columns([*reason_rows(verdict.decision.reasons), *reason_rows(verdict.decision.misses)], indent=4),
    ]
