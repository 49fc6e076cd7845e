"""What a call could still slip past: pins beside conditions, retries, lists in pages, records."""

from __future__ import annotations

import msgspec
import pytest

from mcpwrap.core.commands import Learn
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.pins import Kind, Learned
from mcpwrap.core.rules import NAME_LIMIT
from mcpwrap.core.state import IN_FLIGHT_LIMIT
from tests.playbooks.playbook import MODERN_META, Playbook, handshaken, line_of
from tests.playbooks.policy import OPEN, policy
from tests.playbooks.test_conditions import rules

LONG = "w" * 300
ELICITATION = (
    '{"method": "elicitation/create", "params": {"message": "name?", "requestedSchema": {"type": "object", "properties": {}}}}'
)
NO_ELICITATION = policy({"allow": ["*"]}, prompts={"allow": ["*"]}, server_requests={"allow": ["sampling"]})


def test_a_tool_that_changed_is_unknown_even_where_its_arguments_are_refused() -> None:
    """The words for the model would say that it is there."""
    made = rules('allow = ["*"]\n[[servers.files.rules]]\ndeny = ["*"]\nargs.owner = { one_of = ["evil"] }\nreason = "no"\n')
    book = handshaken(made)
    book.play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a", "description": "reads"}]}
        <- 1 = {"tools": [{"name": "a", "description": "reads"}]}
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {"tools": [{"name": "a", "description": "sends"}]}
        ** files: 1 tool is hidden until accepted: a
        <- 2 = {"tools": []}
        >> 3 tools/call {"name": "a", "arguments": {"owner": "evil"}}
        <- 3 ! -32602 Unknown tool: a
        !! call tools/call outcome=deny why~its definition is not the one that was accepted
    """)


@pytest.mark.parametrize(
    ("kind", "method", "what"),
    [("tool", "tools/call", "tool"), ("prompt", "prompts/get", "prompt"), ("prompt", "completion/complete", "prompt")],
)
def test_the_record_of_a_refusal_names_the_rule_before_the_pin(kind: str, method: str, what: str) -> None:
    made = policy({"deny": ["a"]}, prompts={"deny": ["a"]})
    asked = '{"name": "a"}' if method != "completion/complete" else '{"ref": {"type": "ref/prompt", "name": "a"}}'
    handshaken(made).play(f"""
        >> 1 {kind}s/list
        -> 1 {kind}s/list
        << 1 = {{"{kind}s": [{{"name": "a"}}, {{"name": "a"}}]}}
        ** hidden until accepted
        <- 1 = {{"{kind}s": []}}
        >> 2 {method} {asked}
        <- 2 ! -32602 Unknown {"reference" if method == "completion/complete" else kind}
        !! call {method} outcome=deny {what}=a why~deny = ["a"]
    """)


def test_the_record_of_a_refused_template_names_the_rule_before_the_pin() -> None:
    handshaken(policy(resources={"deny": ["docs://*"]})).play("""
        >> 1 resources/templates/list
        -> 1 resources/templates/list
        << 1 = {"resourceTemplates": [{"uriTemplate": "docs://{x}"}, {"uriTemplate": "docs://{x}"}]}
        ** hidden until accepted
        <- 1 = {"resourceTemplates": []}
        >> 2 completion/complete {"ref": {"type": "ref/resource", "uri": "docs://{x}"}, "argument": {"name": "x", "value": "a"}}
        <- 2 ! -32602 Unknown reference
        !! call completion/complete outcome=deny prompt= uri=docs://{x} why~no rule admits
    """)


def test_a_uri_that_is_no_template_is_completed_whatever_the_templates_are() -> None:
    handshaken(OPEN).play("""
        >> 1 resources/templates/list
        -> 1 resources/templates/list
        << 1 = {"resourceTemplates": []}
        <- 1 = {"resourceTemplates": []}
        << notifications/resources/list_changed
        <- notifications/resources/list_changed
        >> 2 completion/complete {"ref": {"type": "ref/resource", "uri": "docs://a"}, "argument": {"name": "x", "value": "a"}}
        -> 2 completion/complete {"ref": {"type": "ref/resource", "uri": "docs://a"}, "argument": {"name": "x", "value": "a"}}
        !! call completion/complete outcome=allow prompt= uri=docs://a
        >> 3 completion/complete {"ref": {"type": "ref/resource", "uri": "docs://{a}"}, "argument": {"name": "x", "value": "a"}}
        <- 3 ! -32602 Unknown reference
    """)


@pytest.mark.parametrize(
    ("method", "kind", "key", "field"),
    [
        ("tools/list", "tool", "tools", "name"),
        ("prompts/list", "prompt", "prompts", "name"),
        ("resources/templates/list", "template", "resourceTemplates", "uriTemplate"),
    ],
)
def test_the_pages_of_every_list_are_one_list(method: str, kind: Kind, key: str, field: str) -> None:
    book = handshaken(OPEN)
    learned: list[Learned] = []
    for text in (
        f">> 1 {method}",
        f'<< 1 = {{"{key}": [{{"{field}": "a"}}], "nextCursor": "x"}}',
        f'>> 2 {method} {{"cursor": "x"}}',
        f'<< 2 = {{"{key}": [{{"{field}": "b"}}]}}',
        f">> 3 {method}",
        f'<< 3 = {{"{key}": [{{"{field}": "a"}}], "nextCursor": "x"}}',
        f'>> 4 {method} {{"cursor": "x"}}',
        f'<< 4 = {{"{key}": [{{"{field}": "b"}}]}}',
    ):
        line = line_of(text[2:].strip())
        found = book.session.handle(ClientLine(line, 0.0) if text.startswith(">>") else ServerLine(line, 0.0))
        learned += [command.learned for command in found if isinstance(command, Learn)]
    assert learned[-1].items[kind].keys() == {"a", "b"}
    assert learned[-1].complete == frozenset({kind})
    assert len(learned) <= 2, "what was told already is told again"


def test_a_retry_may_have_another_envelope() -> None:
    other = MODERN_META | {"progressToken": 5}
    meta = f'"_meta": {msgspec.json.encode(other).decode()}'
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {ELICITATION}}}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {ELICITATION}}}}}
        >> 2 tools/call {{"name": "a", "inputResponses": {{"q": {{"action": "accept"}}}}, "requestState": "s", {meta}}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"q": {{"action": "accept"}}}}, "requestState": "s", {meta}}}
    """)


def test_a_retry_of_another_method_answers_nothing_that_was_asked() -> None:
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "inputRequests": {{"q": {ELICITATION}}}}}
        <- 1 = {{"resultType": "input_required", "inputRequests": {{"q": {ELICITATION}}}}}
        >> 2 prompts/get {{"name": "a", "inputResponses": {{"q": {{"action": "accept"}}}}, @}}
        <- 2 ! -32602 answers what wasn't asked
    """)


def test_a_retry_with_a_state_only_is_passed_on_as_it_is() -> None:
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {ELICITATION}}}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {ELICITATION}}}}}
        >> 2 tools/call {{"name": "a", "requestState": "s", @}}
        -> 2 tools/call {{"name": "a", "requestState": "s", @}}
    """)


def test_the_same_call_made_anew_answers_nothing() -> None:
    Playbook(NO_ELICITATION).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {ELICITATION}}}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{}}}}
        >> 2 tools/call {{"name": "a", @}}
        -> 2 tools/call {{"name": "a", @}}
        >> 3 tools/call {{"name": "a", "requestState": "s", @}}
        -> 3 tools/call {{"name": "a", "inputResponses": {{"q": {{"action": "decline"}}}}, "requestState": "s", @}}
    """)


def test_what_a_stateless_client_calls_itself_is_judged_and_recorded() -> None:
    made = rules('allow = ["*"]\n[[servers.files.rules]]\ndeny = ["*"]\nwhen = \'client.name == "tester"\'\nreason = "not you"\n')
    book = Playbook(made)
    book.play("""
        >> 1 tools/call {"name": "a", @}
        <- 1 ! -32602 Unknown tool
        !! call tools/call outcome=deny why~not you
    """)
    assert book.records[-1].client == msgspec.Raw(b'{"name":"tester","version":"1"}')


def test_listening_to_what_is_permitted_is_no_matter_for_the_records() -> None:
    book = Playbook(OPEN)
    book.play("""
        >> 1 subscriptions/listen {"notifications": {"resourceSubscriptions": ["docs://a"]}, @}
        -> 1 subscriptions/listen {"notifications": {"resourceSubscriptions": ["docs://a"]}, @}
    """)
    assert book.records == []


def test_the_record_of_a_prompt_has_its_arguments_and_that_of_a_resource_none() -> None:
    book = handshaken(OPEN)
    book.play("""
        >> 1 prompts/get {"name": "p", "arguments": {"who": "me"}}
        -> 1 prompts/get {"name": "p", "arguments": {"who": "me"}}
        !! call prompts/get prompt=p arguments={'who':'me'} trace=
    """)
    long = f"docs://{LONG}"
    book.play(f"""
        >> 2 resources/read {{"uri": "{long}"}}
        -> 2 resources/read {{"uri": "{long}"}}
        !! call resources/read uri={long} outcome=allow
    """)
    assert book.records[-1].arguments is msgspec.UNSET


@pytest.mark.parametrize(
    ("lists", "code", "outcome"), [({"deny": ["docs://*"]}, -32002, "deny"), ({"ask": ["docs://*"]}, -31403, "ask")]
)
def test_the_record_of_a_refused_resource_has_its_whole_uri(lists: dict[str, list[str]], code: int, outcome: str) -> None:
    long = f"docs://{LONG}"
    handshaken(policy(resources=lists)).play(f"""
        >> 1 resources/read {{"uri": "{long}"}}
        <- 1 ! {code}
        !! call resources/read uri={long} outcome={outcome} status=refused
    """)
    assert len(long) < NAME_LIMIT


@pytest.mark.parametrize("token", ["[1]", "1.5", "null", "{}", "true"])
def test_a_progress_token_that_is_none_is_no_matter(token: str) -> None:
    asked = f'tools/call {{"name": "a", "_meta": {{"progressToken": {token}}}}}'
    handshaken(OPEN).play(f"""
        >> 0 ping {{"_meta": {{"progressToken": "x"}}}}
        -> 0 ping {{"_meta": {{"progressToken": "x"}}}}
        >> 1 {asked}
        -> 1 {asked}
        >> 2 {asked}
        -> 2 {asked}
        << notifications/progress {{"progressToken": {token}}}
        !! notification notifications/progress outcome=deny why~progress of nothing
        << 1 = {{}}
        <- 1 = {{}}
        << 2 = {{}}
        <- 2 = {{}}
    """)


def test_the_refusal_of_one_call_too_many_is_recorded_as_that_of_a_call() -> None:
    book = handshaken(OPEN)
    for number in range(IN_FLIGHT_LIMIT):
        book.session.handle(ClientLine(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number, 1.0))
    book.play(f"""
        >> {IN_FLIGHT_LIMIT} ping
        <- {IN_FLIGHT_LIMIT} ! -32603 too many calls in flight
        !! call ping outcome=deny status=refused direction=client request_id={IN_FLIGHT_LIMIT}
    """)
