"""Rules with conditions, budgets and tests, from their text to the decision (POLICY.md §2)."""

from pathlib import Path

import pytest

from mcpwrap.core.conditions import Context
from mcpwrap.core.rules import Budget, Outcome
from mcpwrap.policy.load import ProjectPolicy, load_project, load_user
from mcpwrap.policy.merge import rules_for
from mcpwrap.runtime.facts import FileFacts

# the contract's own example, but for logins, credentials and servers over HTTP
SAMPLE = """
version = 1
[servers.files]
command = ["npx"]
allow = ["read_*", "list_*", "write_*", "edit_*", "!read_media_file"]
log   = ["create_directory"]
deny  = ["move_file"]

[[servers.files.rules]]
ask = ["write_*", "edit_*"]
unless.path = { within = "${project}/docs" }

[[servers.files.rules]]
deny = ["*"]
args."*" = { glob = ["**/.env", "**/.git/**"] }
reason = "secrets stay out of the model"

[[servers.files.rules]]
allow = ["search_files"]
args.path = { within = "${project}" }
limit = "30/min"

[servers.files.resources]
allow = [{ within = "${project}" }, "docs://*"]
[servers.files.prompts]
allow = ["*"]
[servers.files.server_requests]
allow = ["roots", "elicitation"]
[servers.files.extra_methods]
allow = ["vendor/ping"]

[servers.issues]
command = ["npx"]
ask = ["create_*"]
allow = ["get_*", "list_*"]
limit = "500/session"
over = "deny"
max_result_bytes = 100000
[[servers.issues.rules]]
deny = ["*"]
when = '!("developers" in subject.groups) || (has(args.owner) && args.owner != "acme")'

[[servers.issues.tests]]
call = "create_issue"
args = { owner = "acme" }
subject = { groups = ["developers"] }
expect = "ask"
"""


def load(text: str, root: Path) -> ProjectPolicy:
    return load_project(text.encode(), file="mcpwrap.toml", root=str(root), home="/home/me")


def outcome(policy: ProjectPolicy, server: str, tool: str, arguments: object, **subject: object) -> str:
    assert isinstance(arguments, dict)
    context = Context(arguments=arguments, tool=tool, subject=subject, facts=FileFacts(None))
    return rules_for(policy, server, (), ()).tools.judge(tool, context).outcome.label


@pytest.mark.parametrize(
    ("tool", "path", "expected"),
    [
        ("read_file", "{}/a", "allow"),
        ("read_file", "{}/.env", "deny"),
        ("read_file", "{}/.env/", "deny"),
        ("read_file", "{}/.env/.", "deny"),
        ("read_file", ".env", "deny"),
        ("read_file", "{}/x/.git/config", "deny"),
        ("write_file", "{}/docs/x", "allow"),
        ("write_file", "{}/docs/../x", "ask"),
        ("write_file", "x", "ask"),
        ("search_files", "{}/x", "allow"),
        ("search_files", "{}2/x", "deny"),
        ("search_files", "file://{}/%2e%2e/x", "deny"),
        ("read_media_file", "{}/a", "deny"),
        ("create_directory", "{}/a", "log"),
    ],
)
def test_the_contracts_example_decides_as_it_says(tool: str, path: str, expected: str, tmp_path: Path) -> None:
    assert outcome(load(SAMPLE, tmp_path), "files", tool, {"path": path.format(tmp_path)}) == expected


def test_a_denial_of_paths_holds_for_a_list_of_them_under_another_name(tmp_path: Path) -> None:
    policy = load('[servers.f]\nallow = ["*"]\n[[servers.f.rules]]\ndeny = ["*"]\nargs.path = { glob = "**/.env" }\n', tmp_path)
    assert outcome(policy, "f", "read", {"paths": [".env"]}) == "deny"  # `path` is absent: it can't be told


def test_a_link_and_another_spelling_of_a_denied_name_are_denied(tmp_path: Path) -> None:
    policy = load('[servers.f]\nallow = ["*"]\n[[servers.f.rules]]\ndeny = ["*"]\nargs."*" = { glob = "**/é.env" }\n', tmp_path)
    (tmp_path / "é.env").write_text("")
    (tmp_path / "plain").symlink_to("é.env")
    assert outcome(policy, "f", "read", {"paths": [f"{tmp_path}/plain"]}) == "deny"
    assert outcome(policy, "f", "read", {"path": f"{tmp_path}/é.env"}) == "deny"
    assert outcome(policy, "f", "read", {"path": f"{tmp_path}/other"}) == "allow"


def test_an_expression_judges_who_asks_and_what_is_brought(tmp_path: Path) -> None:
    policy = load(SAMPLE, tmp_path)
    assert outcome(policy, "issues", "get_issue", {"owner": "acme"}, groups=["developers"]) == "allow"
    assert outcome(policy, "issues", "get_issue", {"owner": "other"}, groups=["developers"]) == "deny"
    assert outcome(policy, "issues", "get_issue", {}, groups=[]) == "deny"
    assert outcome(policy, "issues", "get_issue", {}) == "deny"  # no groups at all: an error, which never loosens


def test_the_budget_of_a_server_and_the_tests_of_a_file_are_read(tmp_path: Path) -> None:
    issues = load(SAMPLE, tmp_path).servers["issues"]
    assert issues.budget == Budget(500, None, 100000, Outcome.DENY, "limit = 500/session and max_result_bytes = 100000")
    (test,) = issues.tests
    assert (test.call, test.method, test.args, test.expect) == ("create_issue", "tools/call", {"owner": "acme"}, Outcome.ASK)
    assert SAMPLE.splitlines()[test.line - 1] == "[[servers.issues.tests]]"


def test_a_file_that_tightens_has_conditions_too(tmp_path: Path) -> None:
    text = '[[servers."*".rules]]\ndeny = ["*"]\nargs.path = { within = "${project}/private" }\nreason = "private"\n'
    tightening = load_user(text.encode(), file="config.toml", home="/home/me")
    policy = load('[servers.f]\nallow = ["*"]\n', tmp_path)
    tools = rules_for(policy, "f", (tightening,), ()).tools
    facts = FileFacts(None)
    decision = tools.judge("read", Context(arguments={"path": f"{tmp_path}/private/x"}, facts=facts))
    assert (decision.outcome, decision.reasons[0].text, decision.reasons[0].line) == (Outcome.DENY, "private", 2)
    assert tools.judge("read", Context(arguments={"path": f"{tmp_path}/x"}, facts=facts)).outcome is Outcome.ALLOW


def test_what_a_rule_says_is_shown_with_its_conditions(tmp_path: Path) -> None:
    text = (
        '[servers.f]\n[[servers.f.rules]]\nallow = ["a"]\nargs."x y" = { one_of = ["b", true, 1], max = 2.5 }\n'
        'unless.z = { host = ["*.example.com"] }\nwhen = "tool == \'a\'"\n'
    )
    tools = rules_for(load(text, tmp_path), "f", (), ()).tools
    (miss,) = tools.judge("a", Context(arguments={})).misses
    assert miss.line == 3
    assert miss.text.startswith(
        'allow = ["a"] with args."x y" { one_of = ["b", true, 1], max = 2.5 }, unless.z { host = ["*.example.com"] }, when tool =='
    )


def test_no_value_can_pass_for_another_condition_where_rules_are_shown(tmp_path: Path) -> None:
    text = (
        '[servers.f]\n[[servers.f.rules]]\nallow = ["a"]\nargs."a.b" = { one_of = [\'x" }, args.y { one_of = "z\', "\\u001b"] }\n'
        '[servers.f.resources]\nallow = [{ within = "${project}" }]\n'
    )
    rules = rules_for(load(text, tmp_path), "f", (), ())
    texts = [rule.conditions.text for rule in (*rules.tools.rules, *rules.resources.rules) if rule.conditions]
    assert texts == [r'args."a.b" { one_of = ["x\" }, args.y { one_of = \"z", "\u001b"] }', '{ within = "${project}" }']


def test_limits_of_tools_and_of_prompts_are_counted_apart_and_an_edit_elsewhere_changes_nothing() -> None:
    limit = 'allow = ["a"]\nlimit = "1/session"\n'
    text = f"[[servers.f.rules]]\n{limit}[[servers.f.prompts.rules]]\n{limit}"
    before, after = (load_project(t.encode(), file="f", root="/s", home="/h").servers["f"].tables for t in (text, "\n\n" + text))
    assert before["tools"].rules[0].identity != before["prompts"].rules[0].identity
    assert before["tools"].rules[0].identity == after["tools"].rules[0].identity


def test_a_condition_is_told_in_the_files_own_words() -> None:
    text = '[servers.f]\n[[servers.f.rules]]\nallow = ["a"]\nargs.x = { one_of = ["é", true, false, 1, 1.5] }\n'
    (rule,) = load_project(text.encode(), file="mcpwrap.toml", root="/s", home="/h").servers["f"].tables["tools"].rules
    assert rule.conditions is not None
    assert rule.conditions.text == 'args.x { one_of = ["é", true, false, 1, 1.5] }'


@pytest.mark.parametrize(("unit", "window_s"), [("s", 1.0), ("min", 60.0), ("h", 3600.0), ("session", None)])
def test_a_limit_counts_in_the_window_that_it_says(unit: str, window_s: float | None) -> None:
    policy = load_project(f'[servers.f]\nlimit = "3/{unit}"\n'.encode(), file="mcpwrap.toml", root="/s", home="/h")
    budget = policy.servers["f"].budget
    assert budget is not None
    assert (budget.count, budget.window_s) == (3, window_s)


def test_a_glob_on_an_argument_may_name_the_project() -> None:
    text = '[servers.f]\n[[servers.f.rules]]\nallow = ["a"]\nargs.x = { glob = "${project}/**" }\n'
    policy = load_project(text.encode(), file="mcpwrap.toml", root="/shop", home="/h")
    table = policy.servers["f"].tables["tools"]
    facts = FileFacts(None)
    assert table.judge("a", Context(arguments={"x": "/shop/a"}, facts=facts)).outcome is Outcome.ALLOW
    assert table.judge("a", Context(arguments={"x": "/other/a"}, facts=facts)).outcome is Outcome.DENY
