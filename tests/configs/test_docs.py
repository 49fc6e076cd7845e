"""The examples of docs/policy.md, and of README and docs/vault.md about credentials, load; what they expect of themselves holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcpwrap.core.credentials import FromSecret
from mcpwrap.policy.load import load_user
from mcpwrap.policy.review_credentials import review_credentials
from tests.configs.judging import load, unmet

DOC = Path(__file__).parents[2] / "docs" / "policy.md"
ABOVE = 'version = 1\n[servers.files]\ncommand = ["server"]\n'
"""What an example that begins below it is put under."""

EXAMPLES = re.findall(r"(?ms)^```toml([^\n]*)\n(.*?)^```$", DOC.read_text(encoding="utf-8"))
PROJECTS = [text for info, text in EXAMPLES if not info.strip()]
USER = [text for info, text in EXAMPLES if info.strip() == "user"]


def test_every_block_is_a_projects_or_the_persons_own_file() -> None:
    assert len(PROJECTS) + len(USER) == len(EXAMPLES) == DOC.read_text(encoding="utf-8").count("```toml")
    assert PROJECTS
    assert USER


@pytest.mark.parametrize("text", PROJECTS, ids=range(len(PROJECTS)))
def test_an_example_loads_and_its_tests_hold(text: str, tmp_path: Path, home: Path) -> None:
    whole = text if text.startswith("version = 1") else ABOVE + text
    assert unmet(load(whole, tmp_path, home)) == []


@pytest.mark.parametrize("page", ["README.md", "docs/vault.md"])
def test_credentials_of_an_example_leave_nothing_to_warn_of_and_the_commands_name_their_secret(
    page: str, tmp_path: Path, home: Path
) -> None:
    whole = (DOC.parents[1] / page).read_text(encoding="utf-8")
    [text] = re.findall(r"(?ms)^```toml\n((?:(?!```).)*^\[servers\.github\.credentials.*?)^```$", whole)
    servers = dict.fromkeys(re.findall(r"(?m)^\[servers\.(\w+)\.", text))
    policy = load("version = 1\n" + text + "".join(f'[servers.{name}]\nallow = ["*"]\n' for name in servers), tmp_path, home)
    assert [found for server in policy.servers.values() for found in review_credentials(policy, server, {})] == []
    kept = {(server.name, each.source) for server in policy.servers.values() for each in server.credentials}
    typed = re.findall(r"(?m)^mcpwrap secret (?:set|grant|rm) (\S+) (\S+)", whole)
    assert typed
    assert {(server, FromSecret(name)) for server, name in typed} <= kept


@pytest.mark.parametrize("text", USER, ids=range(len(USER)))
def test_an_example_of_the_persons_own_file_loads(text: str, home: Path) -> None:
    mine = load_user(text.encode(), file="config.toml", home=str(home))
    assert mine.servers or mine.profiles


def test_a_conditioned_log_lets_nothing_through_that_it_cannot_judge(tmp_path: Path, home: Path) -> None:
    rule = '[[servers.files.rules]]\nlog = ["write_file"]\nargs.path = { within = "${project}" }\n'
    test = '[[servers.files.tests]]\ncall = "write_file"\nargs = { path = "~/x" }\nexpect = "deny"\n'
    policy = load(ABOVE + rule + test, tmp_path, home)
    assert unmet(policy) == []
