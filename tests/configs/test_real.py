"""The project files in `configs` in front of the real servers: what they show, let through and refuse, through the real command.

The command of a file fetches its server from a registry; here the same server stands in for it as it was installed before. What it
receives from the vault comes from the client's environment here: nobody is there who could have set it.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.configs.judging import names, text_of
from tests.e2e import parts
from tests.e2e.lines import Lines, Message
from tests.e2e.sessions import Talk, initialize
from tests.project import Project, Server, toml

pytestmark = pytest.mark.real

DUCKDB_OPTIONS = ("--read-write", "--init-sql", "SET enable_external_access = false; SET lock_configuration = true")
"""As in its file; the test opens the database for writing, since nothing else here makes one."""

DATABASE = "postgresql://mcp_reader@localhost:1/shop"
"""Nothing listens there: this server connects with the first query, and none of those here gets to it."""


class Call(NamedTuple):
    """A tool and its arguments; ``${project}`` in strings is put in."""

    tool: str
    arguments: Message


class Case(NamedTuple):
    """What the file of a server does in front of it.

    `hidden` are the tools that the server offers and the file doesn't show, `allowed` is a call and a part of its answer (None
    where it would need more than this machine), `denied` one that is refused, `asked` one that a person would be asked about.
    """

    installed: Callable[[], tuple[str, ...]]
    hidden: frozenset[str]
    allowed: tuple[Call, str] | None
    denied: Call
    asked: Call | None = None
    env: Mapping[str, str] = {}
    prepare: Callable[[Project], None] = lambda _: None


def _files(project: Project) -> None:
    (project.root / "plan.txt").write_text("buy tea\n", encoding="utf-8")
    (project.root / ".env").write_text("TOKEN=no\n", encoding="utf-8")


def _repository(project: Project) -> None:
    for command in (["init", "--quiet", "--initial-branch", "main"], ["commit", "--quiet", "--allow-empty", "--message", "First"]):
        subprocess.run(["git", *command], cwd=project.root, env={**project.env, **parts.GIT_ENV}, check=True, timeout=60)


def _databases(project: Project) -> None:
    folder = project.home / "databases"
    folder.mkdir()
    with sqlite3.connect(folder / "shop.db") as database:
        database.execute("CREATE TABLE products (name TEXT, price INTEGER)")
        database.execute("INSERT INTO products VALUES ('green tea', 7)")
    database.close()


CASES = {
    "filesystem": Case(
        lambda: parts.filesystem().argv,
        frozenset({"move_file", "read_media_file"}),
        (Call("read_text_file", {"path": "${project}/plan.txt"}), "buy tea"),
        Call("read_text_file", {"path": "${project}/src/../.env"}),
        Call("write_file", {"path": "${project}/plan.txt", "content": "buy coffee"}),
        prepare=_files,
    ),
    "git": Case(
        lambda: (*parts.git().argv[:2], "${project}"),
        frozenset(),
        (Call("git_log", {"repo_path": "${project}"}), "First"),
        Call("git_diff", {"repo_path": "${project}", "target": "--output=${project}/pwned"}),
        Call("git_commit", {"repo_path": "${project}", "message": "m"}),
        prepare=_repository,
    ),
    "memory": Case(
        lambda: parts.memory().argv,
        frozenset(),
        (Call("create_entities", {"entities": [{"name": "tea", "entityType": "drink", "observations": ["green"]}]}), "tea"),
        Call("create_entities", {"entities": [{"name": "x", "entityType": "instruction", "observations": []}]}),
        Call("delete_entities", {"entityNames": ["tea"]}),
    ),
    "everything": Case(
        lambda: parts.everything().argv,
        frozenset({"get-env"}),
        (Call("get-sum", {"a": 2, "b": 40}), "42"),
        Call("gzip-file-as-resource", {"name": "x", "data": "http://127.0.0.1:9/"}),
        Call("simulate-research-query", {"topic": "tea"}),
    ),
    "time": Case(
        lambda: parts.clock().argv,
        frozenset(),
        (Call("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}), "Asia/Tokyo"),
        Call("get_current_time", {"timezone": "../../etc/passwd"}),
    ),
    "fetch": Case(
        lambda: (parts.python_part("mcp-server-fetch"),),
        frozenset(),
        None,
        Call("fetch", {"url": "https://2130706433/"}),
        Call("fetch", {"url": "https://example.com/"}),
    ),
    "sqlite": Case(
        lambda: (parts.apart("sqlite", "mcp-server-sqlite"), "--db-path", "${home}/databases/shop.db"),
        frozenset(),
        (Call("read_query", {"query": "SELECT name FROM products WHERE price < 10"}), "green tea"),
        Call("write_query", {"query": "DROP TABLE products"}),
        Call("write_query", {"query": "UPDATE products SET price = 1 WHERE name = 'green tea'"}),
        prepare=_databases,
    ),
    "duckdb": Case(
        lambda: (parts.apart("duckdb", "mcp-server-motherduck"), "--db-path", "${home}/databases/shop.duckdb", *DUCKDB_OPTIONS),
        frozenset(),
        (Call("execute_query", {"sql": "SELECT 40 + 2"}), "42"),
        Call("execute_query", {"sql": "SELECT * FROM read_text('/etc/hostname')"}),
        Call("execute_query", {"sql": "SELECT email FROM customers"}),
        prepare=_databases,
    ),
    "playwright": Case(
        lambda: parts.npm_server("@playwright/mcp", "cli.js", "--headless", "--isolated"),
        frozenset({"browser_evaluate", "browser_run_code_unsafe", "browser_drag", "browser_drop", "browser_emulate_media"})
        | {"browser_handle_dialog"},
        None,
        Call("browser_navigate", {"url": "file:///etc/passwd"}),
        Call("browser_navigate", {"url": "https://example.com/"}),
    ),
    "github": Case(
        lambda: parts.npm_server("@modelcontextprotocol/server-github", "dist/index.js"),
        frozenset({"create_repository", "fork_repository", "merge_pull_request", "push_files", "search_repositories"})
        | {"search_users", "update_pull_request_branch"},
        None,
        Call("get_file_contents", {"owner": "acme", "repo": "payroll", "path": "salaries.csv"}),
        Call("create_issue", {"owner": "acme", "repo": "shop", "title": "t"}),
    ),
    "slack": Case(
        lambda: parts.npm_server("@modelcontextprotocol/server-slack", "dist/index.js"),
        frozenset({"slack_get_users", "slack_get_user_profile"}),
        None,
        Call("slack_post_message", {"channel_id": "U1", "text": "t"}),
        Call("slack_post_message", {"channel_id": "C0123456789", "text": "t"}),
        env={"SLACK_BOT_TOKEN": f"xoxb-{secrets.token_hex(8)}", "SLACK_TEAM_ID": "T0123456789"},
    ),
    "postgres": Case(
        lambda: parts.npm_server("@modelcontextprotocol/server-postgres", "dist/index.js", DATABASE),
        frozenset(),
        None,
        Call("query", {"sql": "COMMIT; DROP SCHEMA public"}),
        Call("query", {"sql": "SELECT email FROM customers"}),
    ),
}


def put_in_place(project: Project, name: str, argv: tuple[str, ...]) -> str:
    """The file of `name` with the installed server for its command, which only replaces what fetches it, and no need of a vault."""
    text, count = re.subn(r"(?ms)^command = \[.*?\]$", lambda _: f"command = {toml(argv)}", text_of(name))
    assert count == 1
    text = re.sub(r"(?m)^credentials\.(\w+) = \{ secret = .*$", r'inherit_env = ["\1"]', text)
    project.write(text)
    return text


def filled(value: object, project: Project) -> Message:
    """`value` with the project's folder put in."""
    whole: Message = json.loads(json.dumps(value).replace("${project}", str(project.root)))
    return whole


def offered(project: Project, server: Server) -> set[str]:
    """The tools that the server itself offers."""
    with Lines(project.direct(server)) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        return {tool["name"] for tool in talk.ask("tools/list")["result"]["tools"]}


@pytest.mark.parametrize("name", CASES)
def test_the_file_shows_lets_through_and_refuses_what_it_says_in_front_of_the_real_server(name: str, project: Project) -> None:
    case = CASES[name]
    argv = tuple(part.replace("${home}", str(project.home)) for part in case.installed())
    case.prepare(project)
    put_in_place(project, name, argv)
    project.trust()
    tools = offered(project, Server(name, argv, case.env))
    launch = project.behind(Server(name, argv))
    with Lines(replace(launch, env={**launch.env, **case.env})) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        shown = {tool["name"] for tool in talk.ask("tools/list")["result"]["tools"]}
        assert case.hidden <= tools, "the server has other tools than its file was written for"
        assert shown == tools - case.hidden
        if case.allowed is not None:
            call, part = case.allowed
            result = talk.call(call.tool, filled(call.arguments, project))["result"]
            assert not result.get("isError"), result
            assert part in json.dumps(result)
        for refused in filter(None, (case.denied, case.asked)):
            answer = json.dumps(talk.call(refused.tool, filled(refused.arguments, project)))
            assert "(ref " in answer, f"this answer is the server's, not a refusal of ours: {answer}"
    assert not (project.root / "pwned").exists()


def test_every_file_has_its_case() -> None:
    assert set(CASES) == set(names())
