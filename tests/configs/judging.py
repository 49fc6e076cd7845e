"""A project file's own expectations, judged by the decision itself: nothing is started, nothing need be installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcpwrap.cli.verdict import Question, Verdict, judge
from mcpwrap.policy.load import PolicyTest, ProjectPolicy, ServerPolicy, load_project, rules_for
from mcpwrap.runtime.facts import FileFacts

CONFIGS = Path(__file__).parents[2] / "configs"
FILE = "mcpwrap.toml"


def names() -> list[str]:
    """The servers that have a project file in `configs`."""
    return sorted(folder.name for folder in CONFIGS.iterdir() if folder.is_dir() and folder.name != "examples")


def text_of(name: str) -> str:
    """One of them."""
    return (CONFIGS / name / FILE).read_text(encoding="utf-8")


def load(text: str, root: Path, home: Path) -> ProjectPolicy:
    """`text` as the file of the project in `root`."""
    return load_project(text.encode(), file=FILE, root=str(root), home=str(home))


def judged(policy: ProjectPolicy, home: str = "/home/ann") -> Iterator[tuple[ServerPolicy, PolicyTest, Verdict]]:
    """Each test of `policy` with what comes of it."""
    for server in policy.servers.values():
        rules = rules_for(policy, server.name, (), server.command or ())
        for test in server.tests:
            args = _put_in(dict(test.args), {"${project}": policy.root, "${home}": home})
            question = Question(test.method, test.call, args, test.subject, test.client, policy.name, FileFacts(server.cwd))
            yield server, test, judge(rules, question)


def _put_in(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with the substitutions in every string, as `mcpwrap test` makes them."""
    match value:
        case str():
            for name, text in variables.items():
                value = value.replace(name, text)
            return value
        case list():
            return [_put_in(each, variables) for each in value]
        case dict():
            return {key: _put_in(each, variables) for key, each in value.items()}
        case _:
            return value


def unmet(policy: ProjectPolicy) -> list[str]:
    """The tests of `policy` whose expectation isn't met, in words."""
    return [
        f"line {test.line}: {test.call} {dict(test.args)}: expected {test.expect.label}, it is {verdict.outcome.label}"
        f" ({', '.join(f'{r.file}:{r.line} {r.text}' for r in verdict.decision.reasons)})"
        for _, test, verdict in judged(policy)
        if verdict.outcome is not test.expect
    ]
