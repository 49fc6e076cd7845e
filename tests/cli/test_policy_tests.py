"""`mcpwrap test`: expectations of a policy, and what comes of them."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import plain
from tests.project import Project

POLICY = """\
version = 1

[servers.files]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["read_*", "write_*"]

[[servers.files.rules]]
ask = ["write_*"]
unless.path = { within = "${project}/docs" }

[[servers.files.rules]]
deny = ["*"]
when = '!("developers" in subject.groups) && client.name == "other"'

[servers.files.resources]
allow = ["docs://*"]

[servers.more]
command = ["/bin/sh"]
"""

PASSING = """
[[servers.files.tests]]
call = "write_file"
args = { path = "${project}/docs/x", lines = ["${home}", 1] }
expect = "allow"
client = { name = "this" }
subject = { groups = [] }

[[servers.files.tests]]
call = "write_file"
args = { path = "${project}/src/x" }
client = { name = "this" }
subject = { groups = [] }
expect = "ask"

[[servers.files.tests]]
call = "read_file"
client = { name = "other" }
subject = { groups = ["developers"] }
expect = "allow"

[[servers.files.tests]]
method = "resources/read"
call = "docs://x"
expect = "allow"
"""

FAILING = """
[[servers.files.tests]]
name = "outside is never written"
call = "write_file"
args = { path = "${project}/src/x" }
client = { name = "this" }
subject = { groups = [] }
expect = "deny"

[[servers.more.tests]]
call = "any"
expect = "allow"
"""


def run(project: Project, *args: str) -> tuple[int, str]:
    ended = project.mcpwrap("test", *args, check=False)
    return ended.returncode, plain(ended.stdout + ended.stderr, project)


def test_expectations_that_are_met_are_counted(project: Project) -> None:
    project.write(POLICY + PASSING)
    assert run(project) == (0, "mcpwrap.toml: 4 tests, all passed\n")


def test_an_expectation_that_is_not_met_is_a_diff_with_the_rule(project: Project) -> None:
    project.write(POLICY + PASSING + FAILING)
    assert run(project) == (
        4,
        """\
outside is never written: files › write_file {"path": "${project}/src/x"}   mcpwrap.toml:46
  - expected  deny
  + it is     ask
    mcpwrap.toml:8  ask  ask = ["write_*"] with unless.path { within = "${project}/docs" }
more › any   mcpwrap.toml:54
  - expected  allow
  + it is     deny
    mcpwrap.toml:18  deny  no rule admits this tool
mcpwrap.toml: 6 tests, 2 failed
""",
    )


def test_one_server_can_be_tested_by_itself(project: Project) -> None:
    project.write(POLICY + PASSING + FAILING)
    code, text = run(project, "more")
    assert code == 4
    assert text.endswith("mcpwrap.toml: 1 test, 1 failed\n")


def test_only_the_projects_own_file_counts(project: Project) -> None:
    project.write(POLICY + PASSING)
    user = project.home / ".config/mcpwrap/config.toml"
    user.write_text(user.read_text() + '[servers."*"]\ndeny = ["*"]\n')
    assert run(project)[0] == 0


def test_programs_get_all_of_it(project: Project) -> None:
    project.write(POLICY + PASSING + FAILING)
    ended = project.mcpwrap("test", "--json", check=False)
    facts = json.loads(ended.stdout)
    assert ended.returncode == 4
    assert (facts["passed"], facts["failed"]) == (4, 2)
    assert facts["tests"][-1]["reasons"] == [
        {"file": "mcpwrap.toml", "line": 18, "effect": "deny", "text": "no rule admits this tool"}
    ]
    assert facts["tests"][0] == {
        "server": "files",
        "line": 21,
        "method": "tools/call",
        "call": "write_file",
        "name": "",
        "expect": "allow",
        "outcome": "allow",
        "reasons": [{"file": "mcpwrap.toml", "line": 5, "effect": "allow", "text": 'allow = ["write_*"]'}],
    }


def test_without_tests_it_is_said_how_one_is_written_and_that_one_works(project: Project) -> None:
    project.write(POLICY)
    code, text = run(project)
    assert code == 0
    head, _, example = text.partition("\n\n")
    assert head == "mcpwrap.toml has no tests; write some, such as"
    project.write(POLICY + "\n".join(line[2:] for line in example.splitlines()))
    assert run(project) == (0, "mcpwrap.toml: 1 test, all passed\n")
    assert run(project, "more")[1].startswith("[servers.more] has no tests")


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ('[servers.s]\nallow = ["read"]\nask = ["write", "wr*"]', '[[servers.s.tests]]\ncall = "write"\nexpect = "ask"'),
        ('[servers.s]\nallow = ["read"]', '[[servers.s.tests]]\ncall = "read"\nexpect = "allow"'),
        ('[servers."a.b"]\nallow = ["*"]', '[[servers."a.b".tests]]\ncall = "write_file"\nexpect = "allow"'),
        ("version = 1", '[[servers.NAME.tests]]\ncall = "write_file"\nexpect = "deny"'),
    ],
)
def test_the_example_is_of_a_tool_that_the_file_names_and_is_true_of_it(project: Project, text: str, example: str) -> None:
    project.write(text)
    said = run(project)[1].partition("\n\n")[2]
    assert "\n".join(line[2:] for line in said.splitlines()) == example
    project.write(f"{text}\n{example}".replace("[[servers.NAME.tests]]", "[[servers.x.tests]]"))
    assert run(project) == (0, "mcpwrap.toml: 1 test, all passed\n")


def test_a_fault_in_the_file_is_a_fault(project: Project) -> None:
    project.write(POLICY.replace("allow", "alow", 1))
    code, text = run(project)
    assert (code, text.splitlines()[0]) == (2, "error: unknown key `alow` in [servers.files]")


@pytest.mark.parametrize(("name", "hint"), [("file", "did you mean `files`?"), ("zzz", "its servers: `files`, `more`")])
def test_an_unknown_server_is_an_error(project: Project, name: str, hint: str) -> None:
    project.write(POLICY)
    code, text = run(project, name)
    assert code == 2
    assert hint in text
