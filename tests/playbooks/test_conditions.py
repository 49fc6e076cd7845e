"""Conditions, budgets and pins at work in a session."""

import json

import msgspec
import pytest

from mcpwrap.core.commands import Learn, Record
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.pins import Learned, PinnedServer, digest
from mcpwrap.core.rules import Pattern, ServerRules
from mcpwrap.core.state import DECISIONS_KEPT, State
from mcpwrap.core.world import World
from mcpwrap.policy.load import load_project
from mcpwrap.policy.merge import rules_for
from mcpwrap.runtime.facts import FileFacts
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy


def rules(text: str) -> ServerRules:
    policy = load_project(f"[servers.files]\n{text}".encode(), file="mcpwrap.toml", root="/shop", home="/home/me")
    return rules_for(policy, "files", (), ())


OWNERS = rules('allow = ["*"]\n[[servers.files.rules]]\ndeny = ["*"]\nargs.owner = { one_of = ["evil"] }\nreason = "not theirs"\n')


def test_a_tool_that_is_there_and_refused_for_its_arguments_says_so_to_the_model() -> None:
    handshaken(OWNERS).play("""
        >> 1 tools/call {"name": "a", "arguments": {"owner": "good"}}
        -> 1 tools/call {"name": "a", "arguments": {"owner": "good"}}
        >> 2 tools/call {"name": "a", "arguments": {"owner": "evil"}}
        <- 2 ~ mcpwrap refused a: not theirs. This is policy
        !! call tools/call outcome=deny status=refused tool=a why~not theirs
        >> 3 tools/call {"name": "a", "arguments": {}}
        <- 3 ~ not theirs
    """)


def test_a_tool_that_some_arguments_may_use_is_listed() -> None:
    handshaken(rules('[[servers.files.rules]]\nallow = ["a"]\nargs.n = { max = 3 }\n')).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}, {"name": "b"}]}
        <- 1 = {"tools": [{"name": "a"}]}
        >> 2 tools/call {"name": "a", "arguments": {"n": 3}}
        -> 2 tools/call {"name": "a", "arguments": {"n": 3}}
        >> 3 tools/call {"name": "a", "arguments": {"n": 4}}
        <- 3 ~ mcpwrap refused a: `n` isn't at most 3
        >> 4 tools/call {"name": "b", "arguments": {"n": 3}}
        <- 4 ! -32602 Unknown tool: b
    """)


def test_a_call_past_the_limit_is_asked_for_or_denied() -> None:
    handshaken(rules('[[servers.files.rules]]\nallow = ["a"]\nlimit = "1/session"\nover = "deny"\n')).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> 2 tools/call {"name": "a"}
        <- 2 ~ limit = 1/session is used up
    """)
    handshaken(rules('allow = ["*"]\nlimit = "1/min"\n')).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> 2 tools/call {"name": "b"}
        <- 2 ~ the policy asks a person first
        !! call tools/call outcome=ask status=refused tool=b why~limit = 1/min of this server is used up
    """)


def test_an_answer_past_its_size_is_held_back() -> None:
    handshaken(rules('allow = ["*"]\nmax_result_bytes = 100\n')).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 1 = {"content": [{"type": "text", "text": "short"}]}
        <- 1 = {"content": [{"type": "text", "text": "short"}]}
        >> 2 tools/call {"name": "a"}
        -> 2 tools/call {"name": "a"}
        << 2 = {"content": [{"type": "text", "text": "long long long long long long long long long long"}]}
        <- 2 ~ the policy permits 100
    """)


def test_a_task_keeps_the_limit_of_the_call_that_made_it() -> None:
    handshaken(rules('allow = ["*"]\nmax_result_bytes = 90\n[servers.files.resources]\nallow = ["*"]\n')).play("""
        >> 1 tools/call {"name": "a", "task": {}}
        -> 1 tools/call {"name": "a", "task": {}}
        << 1 = {"task": {"taskId": "t"}}
        <- 1 = {"task": {"taskId": "t"}}
        >> 2 tasks/result {"taskId": "t"}
        -> 2 tasks/result {"taskId": "t"}
        << 2 = {"content": [{"type": "text", "text": "long long long long long long long long long long"}]}
        <- 2 ! -31403 the policy permits 90
    """)


def test_prompts_and_resources_have_conditions_and_completion_follows_them() -> None:
    text = (
        '[[servers.files.prompts.rules]]\nallow = ["p"]\nargs.who = { one_of = ["me"] }\n'
        '[[servers.files.resources.rules]]\nallow = ["docs://*"]\nlimit = "1/session"\nover = "deny"\n'
    )
    handshaken(rules(text)).play("""
        >> 1 prompts/get {"name": "p", "arguments": {"who": "me"}}
        -> 1 prompts/get {"name": "p", "arguments": {"who": "me"}}
        >> 2 prompts/get {"name": "p", "arguments": {"who": "you"}}
        <- 2 ! -32602 Unknown prompt: p
        >> 3 completion/complete {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "who", "value": "me"}}
        -> 3 completion/complete {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "who", "value": "me"}}
        >> 4 completion/complete {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "who", "value": "y"}}
        <- 4 ! -32602 Unknown reference
        >> 5 resources/read {"uri": "docs://a"}
        -> 5 resources/read {"uri": "docs://a"}
        >> 6 resources/read {"uri": "docs://a"}
        <- 6 ! -32002 Resource not found
    """)


def test_a_definition_that_changes_is_hidden_and_denied_and_said_once() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a", "description": "reads"}]}
        <- 1 = {"tools": [{"name": "a", "description": "reads"}]}
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {"tools": [{"name": "a", "description": "reads, and sends"}, {"name": "b"}]}
        ** files: 2 tools are hidden until accepted: a, b. `mcpwrap pins` shows why
        <- 2 = {"tools": []}
        >> 3 tools/call {"name": "a"}
        <- 3 ! -32602 Unknown tool: a
        >> 4 tools/list
        -> 4 tools/list
        << 4 = {"tools": [{"name": "a", "description": "reads, and sends"}, {"name": "b"}]}
        <- 4 = {"tools": []}
        >> 5 tools/list
        -> 5 tools/list
        << 5 = {"tools": [{"name": "a", "description": "reads"}]}
        <- 5 = {"tools": [{"name": "a", "description": "reads"}]}
        >> 6 tools/call {"name": "a"}
        -> 6 tools/call {"name": "a"}
    """)


def test_the_pages_of_a_list_are_one_list() -> None:
    book = handshaken(OPEN)
    learned: list[Learned] = []
    for text in (
        '>{"id":1,"method":"tools/list"}',
        '<{"id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"x"}}',
        '>{"id":2,"method":"tools/list","params":{"cursor":"x"}}',
        '<{"id":2,"result":{"tools":[{"name":"b"}]}}',
    ):
        line = text[1:].replace("{", '{"jsonrpc":"2.0",', 1).encode()
        found = book.session.handle(ClientLine(line, 0.0) if text[0] == ">" else ServerLine(line, 0.0))
        learned += [command.learned for command in found if isinstance(command, Learn)]
    assert learned[-1].items["tool"].keys() == {"a", "b"}
    assert learned[-1].complete == frozenset({"tool"})


def test_arguments_are_recorded_in_full_unless_the_call_was_simply_allowed_or_hidden() -> None:
    long = "w" * 300
    book = handshaken(policy({"allow": ["allowed"], "log": ["logged"], "ask": ["asked"], "deny": ["denied"]}))
    for name in ("allowed", "logged", "asked", "denied"):
        body = {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": name, "arguments": {"a": long}}}
        (entry,) = [c.entry for c in book.session.handle(ClientLine(json.dumps(body).encode(), 0.0)) if isinstance(c, Record)]
        assert entry.direction == "client"
        assert entry.request_id == name
        assert entry.arguments == {"a": long if name in ("logged", "asked") else long[:256] + "… (300 characters)"}
        assert entry.client == msgspec.Raw(b'{"name":"tester","version":"1"}')


def test_listening_is_altered_and_narrowed_at_once() -> None:
    meta = '"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": %s}'
    before, after = meta % '{"sampling": {}}', meta % "{}"
    Playbook(policy(resources={"allow": ["docs://*"]})).play(f"""
        >> 1 subscriptions/listen {{"notifications": {{"resourceSubscriptions": ["docs://a", "secret://a"]}}, {before}}}
        -> 1 subscriptions/listen {{"notifications": {{"resourceSubscriptions": ["docs://a"]}}, {after}}}
        !! call subscriptions/listen direction=client request_id=1 status=refused note=altered:hiddenresourcesandtasksweretakenout
    """)


@pytest.mark.parametrize(
    "name", ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"]
)
def test_what_is_listened_to_has_one_spelling(name: str) -> None:
    Playbook(OPEN).play(f"""
        >> 1 subscriptions/listen {{"notifications": {{"{name.upper()}": true}}, @}}
        <- 1 ! -32602 as the specification spells them
    """)


@pytest.mark.parametrize("name", ["type", "name", "uri"])
def test_what_a_completion_refers_to_has_one_spelling(name: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 completion/complete {{"ref": {{"type": "ref/prompt", "name": "p", "{name.upper()}": "x"}}, "argument": {{}}}}
        <- 1 ! -32602 spelled in another case
    """)


def test_a_hidden_prompt_can_neither_be_got_nor_completed() -> None:
    handshaken(OPEN).play("""
        >> 1 prompts/list
        -> 1 prompts/list
        << 1 = {"prompts": [{"name": "p"}, {"name": "p"}]}
        ** files: 1 prompt is hidden until accepted: p
        <- 1 = {"prompts": []}
        >> 2 prompts/get {"name": "p"}
        <- 2 ! -32602 Unknown prompt: p
        >> 3 completion/complete {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "x", "value": ""}}
        <- 3 ! -32602 Unknown reference
    """)


def test_a_list_that_is_said_to_have_changed_admits_no_name_that_wasnt_in_it() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}]}
        <- 1 = {"tools": [{"name": "a"}]}
        >> 2 tools/call {"name": "b"}
        -> 2 tools/call {"name": "b"}
        << notifications/tools/list_changed
        <- notifications/tools/list_changed
        >> 3 tools/call {"name": "b"}
        <- 3 ! -32602 Unknown tool: b
    """)


def test_many_names_are_judged_without_being_kept() -> None:
    book = handshaken(OWNERS)
    name = "x" * 5000
    book.play(f"""
        >> 1 tools/call {{"name": "{name}"}}
        <- 1 ! -32602 Unknown tool
    """)
    for n in range(DECISIONS_KEPT + 2):
        line = f'{{"jsonrpc":"2.0","id":"{n}","method":"tools/call","params":{{"name":"t{n}","arguments":{{"owner":"evil"}}}}}}'
        assert b"not theirs" in book.session.handle(ClientLine(line.encode(), 0.0))[-1].line  # type: ignore[union-attr]


def test_pins_that_are_accepted_count_in_the_running_session() -> None:
    state = State("files", "r", OPEN)
    assert state.guard.page("tool", [{"name": "a"}], first=True, last=True) == set()
    assert state.guard.page("tool", [{"name": "a"}, {"name": "b"}], first=True, last=True) == {1}
    accepted = PinnedServer(items={"tool": {n: digest({"name": n}) for n in "ab"}}, complete=frozenset({"tool"}), locked=True)
    state.use(OPEN, World(pinned=accepted))
    assert state.guard.held("tool", "b") == ""


def test_a_rule_of_any_table_makes_a_policy_conditional() -> None:
    assert not OPEN.conditional
    assert rules('[[servers.files.prompts.rules]]\nallow = ["*"]\nlimit = "1/s"\n').conditional


def test_a_regular_expression_is_for_either_case_where_case_is_folded() -> None:
    pattern = Pattern.parse("^A.b$", line=1)
    assert pattern.folded(str.lower).matches("a\nb")
    assert not pattern.matches("a.b")


def test_the_uri_of_a_resource_is_judged_by_the_constraints_of_its_list() -> None:
    made = rules('[servers.files.resources]\nallow = [{ glob = "file:///docs/**" }, "docs://*"]\ndeny = [{ glob = "**/secret" }]\n')
    handshaken(made).play("""
        >> 1 resources/read {"uri": "docs://a"}
        -> 1 resources/read {"uri": "docs://a"}
        >> 2 resources/read {"uri": "file:///docs/secret"}
        <- 2 ! -32002 Resource not found
        >> 3 resources/read {"uri": "file:///other"}
        <- 3 ! -32002 Resource not found
    """)


def _complete(id: int, uri: str, value: str) -> str:
    ref, argument = f'{{"type": "ref/resource", "uri": "{uri}"}}', f'{{"name": "p", "value": "{value}"}}'
    return f'{id} completion/complete {{"ref": {ref}, "argument": {argument}}}'


@pytest.mark.parametrize(
    "lists",
    [
        'allow = ["file:///**"]\ndeny = [{ within = "/shop/secrets" }]',
        'allow = ["file:///**"]\nask = [{ within = "/shop/secrets" }]',
        'allow = ["file:///**"]\n[[servers.files.resources.rules]]\ndeny = ["file:///*/*/*"]\nargs.uri = { glob = "**/secrets/*" }',
        'allow = [{ within = "/shop/docs" }]',
    ],
)
@pytest.mark.parametrize(
    ("uri", "value"),
    [
        ("file:///shop/secrets/{p}", "a"),
        ("file:///shop/secrets/{p}", ""),
        ("file:///shop/{p}", "secrets/"),
        ("file:///shop{/p*}", "secrets/a"),
        ("file:///{+p}", "shop/secrets/a"),
    ],
)
def test_a_completion_lists_no_files_that_conditions_hide(lists: str, uri: str, value: str) -> None:
    book = handshaken(rules(f"[servers.files.resources]\n{lists}\n"))
    book.session._state.world = World(FileFacts(None))
    asked, fine = _complete(1, uri, value), _complete(2, "file:///shop/docs/{p}", "a")
    book.play(f"""
        >> {asked}
        <- 1 ! -32602 Unknown reference
        >> {fine}
        -> {fine}
    """)


def test_a_completion_that_a_log_may_not_mean_is_refused() -> None:
    book = handshaken(rules('[servers.files.resources]\nlog = [{ within = "/shop/docs" }]\n'))
    asked = _complete(1, "file:///shop/docs/{p}", "a")
    book.play(f"""
        >> {asked}
        <- 1 ! -32602 Unknown reference
    """)
    book.session._state.world = World(FileFacts(None))
    book.play(f"""
        >> {asked}
        -> {asked}
        ** runs, logged
    """)


@pytest.mark.parametrize("cursor", ['""', "0", "false", "null"])
def test_a_cursor_that_readers_take_for_none_ends_a_list(cursor: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {{"tools": [{{"name": "a"}}], "nextCursor": {cursor}}}
        <- 1 = {{"tools": [{{"name": "a"}}], "nextCursor": {cursor}}}
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {{"tools": [{{"name": "a"}}, {{"name": "b"}}], "nextCursor": {cursor}}}
        ** 1 tool is hidden until accepted: b
        <- 2 = {{"tools": [{{"name": "a"}}], "nextCursor": {cursor}}}
    """)


def test_a_notification_of_an_extra_method_counts_and_is_logged_like_a_call() -> None:
    made = rules('limit = "2/session"\nover = "deny"\n[servers.files.extra_methods]\nallow = ["vendor/a"]\nlog = ["vendor/b"]\n')
    handshaken(made).play("""
        >> vendor/b {"note": "x"}
        ** files › vendor/b is sent on, logged (ref r1)
        -> vendor/b {"note": "x"}
        !! notification vendor/b outcome=log status=ok direction=client arguments={'note':'x'}
        << vendor/a
        <- vendor/a
        >> vendor/a
        !! notification vendor/a outcome=deny status=refused direction=client why~is used up
        << vendor/b
        !! notification vendor/b outcome=deny status=refused direction=server why~is used up
        << notifications/initialized
        !! notification notifications/initialized outcome=deny status=refused
    """)


@pytest.mark.parametrize("uri", ["/shop/secrets/a", "c:/shop/secrets/a", "secrets/a"])
def test_what_has_no_scheme_may_be_a_path(uri: str) -> None:
    made = rules('[servers.files.resources]\nallow = ["**"]\ndeny = [{ within = "/shop/secrets" }]\n')
    book = handshaken(made)
    book.session._state.world = World(FileFacts(None))
    book.play(f"""
        >> 1 resources/read {{"uri": "{uri}"}}
        <- 1 ! -32002 Resource not found
        >> 2 resources/read {{"uri": "docs://shop/secrets/a"}}
        -> 2 resources/read {{"uri": "docs://shop/secrets/a"}}
        >> 3 resources/read {{"uri": "/shop/docs/a"}}
        -> 3 resources/read {{"uri": "/shop/docs/a"}}
    """)
