"""The starting file suggested for a server: what each thing gets, and that a server can't write more than its names into it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.credentials import FromSecret, Wanted
from mcpwrap.core.rules import Outcome
from mcpwrap.core.visible import INVISIBLE
from mcpwrap.policy.load import load_project, rules_for
from mcpwrap.policy.names import sensitive, words_of
from mcpwrap.policy.suggest import (
    Offered,
    advise_prompts,
    advise_resources,
    advise_tools,
    definition,
    keys_for,
    name_for,
    portable,
    suggest,
)

EVIL = 'x"\n]\nallow = ["*"]\n\u202e\u2028#' + "\x00\x1b[2J\ud800"


@pytest.mark.parametrize(
    ("name", "annotations", "effect", "why"),
    [
        ("read_file", {}, "allow", ""),
        ("getUser", None, "allow", ""),
        ("API-search", "nonsense", "ask", ""),
        ("get_or_create_user", {}, "ask", ""),
        ("search_and_replace", {}, "ask", ""),
        ("delete_file", {"readOnlyHint": True}, "ask", "though the server says"),
        ("get_secret", {"readOnlyHint": True}, "ask", "speaks of secrets"),
        ("fetch", {}, "ask", ""),
        ("read_file", {"destructiveHint": True, "readOnlyHint": True}, "ask", "may destroy"),
        ("read_file", {"readOnlyHint": False}, "ask", "the server says that it changes something"),
        ("lookaround", {"readOnlyHint": "true"}, "ask", ""),
        ("", {}, None, "empty"),
        ("x" * 129, {}, None, "too long"),
        ("lire_\u2192", {}, None, "can't be told apart"),
        ("read_\u200bb", {}, None, "hidden"),
        ("read_*", {}, None, "mean something in a pattern"),
        ("mcpwrap_x", {}, None, "mcpwrap's own"),
        ("r\u0435ad_x", {}, "ask", "look like others"),
        ("frobnicate", {"readOnlyHint": True}, "allow", "by the server's own word"),
    ],
)
def test_each_tool_gets_the_advice_that_its_name_and_annotations_bear(
    name: str, annotations: object, effect: str | None, why: str
) -> None:
    [advice] = advise_tools([{"name": name, "annotations": annotations}])
    assert (advice.effect.label if advice.effect is not None else None) == effect
    assert why in advice.why


def test_a_word_that_all_tools_share_is_not_what_they_do() -> None:
    assert [a.effect for a in advise_tools([{"name": "git_show"}, {"name": "git_push"}])] == [Outcome.ALLOW, Outcome.ASK]
    assert advise_tools([{"name": "git_show"}])[0].effect is Outcome.ASK
    assert [a.effect for a in advise_tools([{"name": "read_x"}, {"name": "read_file"}])] == [Outcome.ALLOW, Outcome.ALLOW]


def test_many_resources_are_written_by_their_scheme() -> None:
    advice = advise_resources([{"uri": f"docs://{i}"} for i in range(51)], [])
    assert [(a.name, a.effect) for a in advice] == [("docs:**", Outcome.ALLOW)]


def test_files_are_asked_for_inside_the_project_only() -> None:
    advice = advise_resources([{"uri": "file:///etc/passwd"}, {"uri": "FILE:///x"}], [])
    assert [(a.name, a.effect) for a in advice] == [("file://${project}/**", Outcome.ASK)]


def test_prompts_of_odd_names_are_not_allowed() -> None:
    advice = advise_prompts([{"name": "plan"}, {"name": "pl\u0430n"}, {"name": "*"}])
    assert [a.effect for a in advice] == [Outcome.ALLOW, Outcome.ASK, None]


def test_a_suggestion_always_loads_and_decides_as_it_says() -> None:
    offered = Offered(
        "",
        tuple({"name": n} for n in ("read_a", "write_b", "a b", "x/y", "get.z")),
        ({"name": "p"},),
        ({"uri": "docs://a%20b?c=d&e=~f"},),
        ({"uriTemplate": "docs://{+path}"},),
    )
    found = suggest('odd "name"'.replace(" ", "-").replace('"', ""), ["/bin/x", 'a "b" \\ \x7f\u202e'], offered)
    data = f"version = 1\n{found.text}".encode()
    policy = load_project(data, file="f", root="/p", home="/h")
    rules = rules_for(policy, "odd-name", (), ())
    assert policy.servers["odd-name"].command == ("/bin/x", 'a "b" \\ \x7f\u202e')
    for advice in found.tools:
        assert rules.tools.decide(advice.name).outcome is advice.effect
    assert rules.resources.decide("docs://a%20b?c=d&e=~f").outcome is Outcome.ASK  # the template reaches it as well


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["npx", "-y", "@modelcontextprotocol/server-filesystem@2026.8.31", "/x"], "filesystem"),
        (["uvx", "mcp-server-git==1.2", "--repository", "/x"], "git"),
        (["python", "/x/notes_server.py"], "notes"),
        (["docker", "run", "-i", "ghcr.io/github/github-mcp-server@sha256:0"], "github"),
        (["/bin/echo", "///"], "server"),
        (["-x"], "server"),
    ],
)
def test_a_server_is_named_after_its_package(command: list[str], name: str) -> None:
    assert name_for(command) == name


def test_paths_are_put_in_for_whole_components_only() -> None:
    command = ("/p", "/p/a", "/pa", "--x=/p/b", "x=/p", "/h/c")
    assert portable(command, root="/p", home="/h") == ("${project}", "${project}/a", "/pa", "--x=${project}/b", "x=/p", "${home}/c")
    assert portable(("/a",), root="/", home="") == ("/a",)


def test_a_name_that_is_offered_twice_is_left_out() -> None:
    assert [a.effect for a in advise_tools([{"name": "read_a"}, {"name": "read_a"}])] == [None]


def test_a_server_cannot_write_more_than_its_names() -> None:
    evil: dict[str, Any] = {"name": EVIL, "uri": EVIL, "uriTemplate": EVIL, "description": EVIL}
    offered = Offered(EVIL, (evil, {"name": "read_a", "description": EVIL}), (evil,), (evil, {"uri": "docs://*"}), (evil,))
    found = suggest("s", ["/bin/x"], offered, inherit_env=["A"])
    assert not INVISIBLE.search(found.text.replace("\n", ""))
    policy = load_project(f"version = 1\n{found.text}".encode(), file="f", root="/p", home="/h")
    assert policy.servers["s"].inherit_env == ("A",)
    rules = rules_for(policy, "s", (), ())
    assert [p.text for rule in rules.tools.rules for p in rule.patterns] == ["read_a"]
    assert not rules.resources.rules
    assert not rules.prompts.rules
    assert len(found.left_out) == 4  # the URI and the template are one text
    assert "quoted" not in suggest("s", ["x"], Offered("", ({"name": "a", "description": "quoted"},)), quoting=False).text


def test_a_server_without_tools_gets_a_table_all_the_same() -> None:
    assert "# It has no tools.\n" in suggest("s", ["/bin/x"], Offered("t")).text
    assert definition("s", ["/bin/x"], []) == '[servers.s]\ncommand = ["/bin/x"]\n'
    assert definition("a.b", ["/bin/x"], []).startswith('[servers."a.b"]\n')


def test_a_sensitive_word_is_found_anywhere_in_a_name() -> None:
    assert sensitive(words_of("branchDelete")) == "delete"
    assert sensitive(words_of("runner_list")) == ""


def test_a_definition_that_hides_something_is_not_allowed() -> None:
    [advice] = advise_tools([{"name": "read_a", "description": "x\u202ey"}])
    assert advice.effect is Outcome.ASK
    assert "stays hidden until `mcpwrap pins accept`" in advice.why


@pytest.mark.parametrize(
    ("inherit_env", "variables", "keys"),
    [
        ((), ["GITHUB_TOKEN", "PATH"], ("GITHUB_TOKEN",)),
        ((), ["github_personal_access_token"], ("github_personal_access_token",)),
        ((), ["SLACK_TOKEN", "API_KEY", "MCP_SERVER_TOKEN", "GITHUB_WORKSPACE", "GIT_TOKEN"], ()),
        (("API_KEY", "TZ"), ["GITHUB_TOKEN"], ("API_KEY", "GITHUB_TOKEN")),
        ((), ["GITHUB_TOKEN()", "GITHUB TOKEN", "GITHUB_TOKEN\n", "1GITHUB_TOKEN", "GITHUB_TOKEN_" + "S" * 128], ()),
        ((), ["MCPWRAP_GITHUB_TOKEN", "LD_GITHUB_TOKEN"], ()),
        ((), [f"GITHUB_{i}_TOKEN" for i in range(9)], ("GITHUB_0_TOKEN", "GITHUB_1_TOKEN", "GITHUB_2_TOKEN")),
    ],
)
def test_keys_of_the_person_that_sound_like_the_servers_are_found(
    inherit_env: tuple[str, ...], variables: list[str], keys: tuple[str, ...]
) -> None:
    command = ["npx", "-y", "@modelcontextprotocol/server-github@2025.4.8"]
    assert keys_for("hub", command, inherit_env, variables) == keys


def test_a_key_is_suggested_in_a_comment_that_is_a_credential_once_it_is_none() -> None:
    text = suggest("hub", ["/bin/x"], Offered("t"), inherit_env=["B_TOKEN"], keys=["A_TOKEN", "B_TOKEN"]).text
    assert "# A_TOKEN from the vault, once `mcpwrap secret set hub A_TOKEN` keeps it:\n" in text
    assert "# B_TOKEN from the vault instead of `inherit_env`, once `mcpwrap secret set hub B_TOKEN` keeps it:\n" in text
    assert load_project(text.encode(), file="f", root="/p", home="/h").servers["hub"].credentials == ()
    used = text.replace("# credentials.", "credentials.").replace('inherit_env = ["B_TOKEN"]\n', "")
    found = load_project(used.encode(), file="f", root="/p", home="/h").servers["hub"].credentials
    assert found == (Wanted("A_TOKEN", FromSecret("A_TOKEN")), Wanted("B_TOKEN", FromSecret("B_TOKEN")))
