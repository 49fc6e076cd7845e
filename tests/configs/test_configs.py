"""The project files in `configs`: each can be used as it lies there, and holds what it says about itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mcpwrap.core.credentials import FromSecret
from mcpwrap.core.redact import sounds_secret
from mcpwrap.core.rules import Outcome
from mcpwrap.policy.runners import warnings_for
from tests.configs.judging import FILE, judged, load, names, text_of, unmet
from tests.project import Project

LEAST_SERVERS = 12
LEAST_TESTS = 5
RUNNERS = ("npx", "uvx")

each = pytest.mark.parametrize("name", names())


def test_there_is_a_file_for_a_dozen_servers() -> None:
    assert len(names()) >= LEAST_SERVERS


@each
def test_it_defines_the_server_that_its_folder_is_named_after_and_its_tests_hold(name: str, tmp_path: Path, home: Path) -> None:
    policy = load(text_of(name), tmp_path, home)
    assert list(policy.servers) == [name]
    assert unmet(policy) == []


@each
def test_it_has_enough_tests_with_every_outcome_that_its_rules_have_and_attacks_among_them(
    name: str, tmp_path: Path, home: Path
) -> None:
    server = load(text_of(name), tmp_path, home).servers[name]
    assert len(server.tests) >= LEAST_TESTS
    effects = {rule.effect for table in server.tables.values() for rule in table.rules}
    assert {test.expect for test in server.tests} == effects | {Outcome.DENY}
    attacks = text_of(name).partition("# attacks\n")[2]
    assert attacks.count("expect = ") >= 1
    assert set(re.findall(r'expect = "(\w+)"', attacks)) <= {"deny", "ask"}, "an attack that is let through"


@each
def test_every_outcome_is_explained_by_a_line_of_the_file(name: str, tmp_path: Path, home: Path) -> None:
    text = text_of(name)
    lines = text.splitlines()
    for _, test, verdict in judged(load(text, tmp_path, home)):
        assert verdict.decision.reasons, test.call
        for reason in verdict.decision.reasons:
            assert reason.file == FILE
            assert 1 <= reason.line <= len(lines)
            if "no rule" not in reason.text and reason.effect != Outcome.DENY.label:
                assert lines[reason.line - 1].strip(), f"line {reason.line} explains {test.call}, and is empty"


@each
def test_it_runs_an_exact_version_from_a_registry_that_everybody_has(name: str, tmp_path: Path, home: Path) -> None:
    policy = load(text_of(name), tmp_path, home)
    command = policy.servers[name].command
    assert command is not None
    assert command[0] in RUNNERS
    assert warnings_for(policy) == []


@each
def test_no_key_comes_from_the_clients_environment_and_each_says_how_it_is_set(name: str, tmp_path: Path, home: Path) -> None:
    server = load(text_of(name), tmp_path, home).servers[name]
    assert [variable for variable in server.inherit_env if sounds_secret(variable)] == []
    for wanted in server.credentials:
        assert isinstance(wanted.source, FromSecret)
        assert f"`mcpwrap secret set {name} {wanted.source.name}` keeps it" in text_of(name)


def test_the_servers_with_an_account_have_a_credential(tmp_path: Path, home: Path) -> None:
    with_one = {name for name in names() if load(text_of(name), tmp_path, home).servers[name].credentials}
    assert with_one == {"github", "postgres", "slack"}


@each
def test_it_says_why_before_it_says_what(name: str) -> None:
    text = text_of(name)
    assert text.startswith("# ")
    assert text.isascii() or "…" in text
    assert max(map(len, text.splitlines())) <= 250


@each
def test_the_commands_check_and_test_find_no_fault(name: str, project: Project) -> None:
    project.write(text_of(name))
    checked = json.loads(project.mcpwrap("check", "--json").stdout)
    assert checked["errors"] == []
    # whether npx and uvx are there is a matter of the machine
    assert [warning for warning in checked["warnings"] if "was not found" not in warning] == []
    tested = json.loads(project.mcpwrap("test", "--json").stdout)
    assert (tested["failed"], tested["passed"]) == (0, text_of(name).count(".tests]]"))


@each
def test_a_rule_that_is_taken_out_is_missed_by_a_test(name: str, tmp_path: Path, home: Path) -> None:
    """Each `[[….rules]]` of a file is there for one of its tests: a rule that none would miss isn't worth its lines."""
    blocks = re.split(r"(?m)^(?=\[)", text_of(name))
    idle = [
        block
        for at, block in enumerate(blocks)
        if block.startswith(f"[[servers.{name}.rules]]")
        and "limit = " not in block  # tests have no history of calls
        and not unmet(load("".join(blocks[:at] + blocks[at + 1 :]), tmp_path, home))
    ]
    assert idle == [], "no test needs this"
