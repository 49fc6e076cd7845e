"""Calls of tools, prompts and resources: permitted, logged, refused."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy

RULES = policy(
    {"allow": ["read_*"], "log": ["make_*"], "ask": ["write_*"], "deny": ["read_secret"]},
    resources={"allow": ["file:///docs/**"], "ask": ["file:///docs/draft/**"], "log": ["file:///docs/log"]},
    prompts={"allow": ["greet"], "ask": ["sign"], "log": ["watch"]},
)


def test_a_permitted_call_has_a_record_before_it_is_forwarded_and_one_when_it_ends() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "read_file", "arguments": {"path": "a", "password": "x"}, "_meta": {"traceparent": "00-1"}}
        -> 1 tools/call {"name": "read_file", "arguments": {"path": "a", "password": "x"}, "_meta": {"traceparent": "00-1"}}
        !! call tools/call direction=client outcome=allow tool=read_file ref=r1 request_id=1 status= trace=00-1 why~allow = ["read_*"]
        << 1 = {"content": [], "vendor": {"kept": [1, null]}}
        !! response tools/call direction=server ref=r1 status=ok duration_ms=500.0 request_id=1
        <- 1 = {"content": [], "vendor": {"kept": [1, null]}}
    """)  # noqa: E501


def test_arguments_are_recorded_redacted() -> None:
    book = handshaken(RULES)
    book.play("""
        >> 1 tools/call {"name": "read_file", "arguments": {"path": "a", "password": "x"}}
        -> 1 tools/call {"name": "read_file", "arguments": {"path": "a", "password": "x"}}
    """)
    assert book.records[-1].arguments == {"path": "a", "password": "[redacted]"}


def test_the_record_says_how_a_call_ended() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "read_file"}
        -> 1 tools/call {"name": "read_file"}
        << 1 = {"content": [], "isError": true}
        !! response tools/call status=error
        <- 1 = {"content": [], "isError": true}
        >> 2 tools/call {"name": "read_file"}
        -> 2 tools/call {"name": "read_file"}
        << 2 ! -32602 no such path
        !! response tools/call status=error
        <- 2 ! -32602 no such path
    """)


def test_a_logged_call_runs_and_the_person_is_told() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "make_dir", "arguments": {}}
        -> 1 tools/call {"name": "make_dir", "arguments": {}}
        ** files › make_dir runs, logged (ref r1)
        !! call tools/call outcome=log tool=make_dir
    """)


@pytest.mark.parametrize("name", ["read_secret", "delete", "Read_file", "", "mcpwrap_status", "mcpwrap_x"])
def test_a_hidden_tool_is_refused_as_an_unknown_one(name: str) -> None:
    handshaken(RULES).play(f"""
        >> 1 tools/call {{"name": "{name}"}}
        <- 1 ! -32602 Unknown tool: {name} (ref r1)
        !! call tools/call outcome=deny status=refused ref=r1 tool={name}
    """)


def test_a_tool_that_needs_a_persons_yes_is_refused_in_words_for_the_model() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "write_file", "arguments": {"path": "a"}}
        <- 1 ~ write_file was not run: the policy asks a person first
        !! call tools/call outcome=ask status=refused ref=r1 tool=write_file why~ask = ["write_*"]
    """)
    Playbook(RULES).play("""
        >> 1 tools/call {"name": "write_file", @}
        <- 1 ~m This is policy, not a fault; rephrasing won't help. Tell the user if it is needed. (ref r1)
    """)


@pytest.mark.parametrize("params", ['{"name": 7}', '{"name": ["read_file"]}', "{}", '{"name": "read_file", "arguments": []}'])
def test_a_call_of_a_shape_that_cannot_be_judged_is_refused(params: str) -> None:
    for method in ("tools/call", "prompts/get"):
        handshaken(OPEN).play(f"""
            >> 1 {method} {params}
            <- 1 ! -32602 Invalid params
            !! call {method} outcome=deny status=refused
        """)


def test_prompts_follow_their_own_rules() -> None:
    handshaken(RULES).play("""
        >> 1 prompts/get {"name": "greet", "arguments": {"who": "ann"}}
        -> 1 prompts/get {"name": "greet", "arguments": {"who": "ann"}}
        !! call prompts/get outcome=allow prompt=greet
        << 1 = {"messages": []}
        <- 1 = {"messages": []}
        >> 9 prompts/get {"name": "watch"}
        -> 9 prompts/get {"name": "watch"}
        ** files › watch runs, logged (ref r2)
        >> 2 prompts/get {"name": "hidden"}
        <- 2 ! -32602 Unknown prompt: hidden (ref r3)
        !! call prompts/get outcome=deny prompt=hidden
        >> 3 prompts/get {"name": "sign"}
        <- 3 ! -31403 the prompt sign was not run: the policy asks a person first
        !! call prompts/get outcome=ask prompt=sign status=refused
    """)


def test_resources_follow_their_own_rules_and_the_code_is_that_of_the_family() -> None:
    handshaken(RULES).play("""
        >> 1 resources/read {"uri": "file:///docs/a/b"}
        -> 1 resources/read {"uri": "file:///docs/a/b"}
        !! call resources/read outcome=allow uri=file:///docs/a/b
        >> 2 resources/read {"uri": "file:///etc/passwd"}
        <- {"id": 2, "error": {"code": -32002, "message": "Resource not found (ref r2)", "data": {"uri": "file:///etc/passwd"}}}
        !! call resources/read outcome=deny uri=file:///etc/passwd
        >> 3 resources/read {"uri": "file:///docs/draft/a"}
        <- 3 ! -31403 this resource was not run
        !! call resources/read outcome=ask
        >> 4 resources/read {"uri": 7}
        <- 4 ! -32602 `uri` must be a string
        >> 5 resources/subscribe {"uri": "file:///docs/a"}
        -> 5 resources/subscribe {"uri": "file:///docs/a"}
        >> 6 resources/unsubscribe {"uri": "file:///etc/passwd"}
        <- 6 ! -32002 Resource not found
        >> 7 resources/read {"uri": "file:///docs/log"}
        -> 7 resources/read {"uri": "file:///docs/log"}
        ** files › file:///docs/log runs, logged
    """)
    Playbook(RULES).play("""
        >> 1 resources/read {"uri": "file:///etc/passwd", @}
        <- 1 ! -32602 Resource not found
    """)


@pytest.mark.parametrize(
    "uri",
    ["file:///docs/%2e%2e/secret", "file:///docs/../secret", "file:///docs/.%2E/secret", "file:///docs/..%2fsecret",
     "file:///docs\\\\\\\\secret", "file:///docs/%252e%252e/x", "file:///docs/%", " file:///docs/a"],
)  # fmt: skip
def test_a_uri_that_two_readers_may_resolve_differently_is_refused_not_normalised(uri: str) -> None:
    """Trap 9."""
    uri = uri.replace("\\\\\\\\", "\\\\")
    handshaken(RULES).play(f"""
        >> 1 resources/read {{"uri": "{uri}"}}
        <- 1 ! -32002 Resource not found
        !! call resources/read outcome=deny why~in the URI
    """)


def test_where_every_resource_is_allowed_an_ambiguous_one_makes_no_difference() -> None:
    handshaken(OPEN).play("""
        >> 1 resources/read {"uri": "file:///docs/../secret"}
        -> 1 resources/read {"uri": "file:///docs/../secret"}
    """)


def test_an_over_long_name_is_refused_and_neither_recorded_nor_answered_in_full() -> None:
    book = handshaken(OPEN)
    name = "a" * 1_000_000
    book.play(f"""
        >> 1 tools/call {{"name": "{name}"}}
        <- 1 ! -32602 Unknown tool: {name[:200]} (ref
        >> 2 prompts/get {{"name": "{name}"}}
        <- 2 ! -32602 Unknown prompt: {name[:200]} (ref
        >> 3 resources/read {{"uri": "{name}"}}
        <- 3 ! -32002 Resource not found
        >> 4 completion/complete {{"ref": {{"type": "ref/prompt", "name": "{name}"}}}}
        <- 4 ! -32602 Unknown reference
    """)
    assert max(len(r.tool + r.prompt + r.uri) for r in book.records) == 4096


def test_with_nothing_allowed_everything_that_carries_authority_is_refused() -> None:
    handshaken(CLOSED).play("""
        >> 1 tools/call {"name": "read_file"}
        <- 1 ! -32602 Unknown tool
        >> 2 prompts/get {"name": "greet"}
        <- 2 ! -32602 Unknown prompt
        >> 3 resources/read {"uri": "file:///a"}
        <- 3 ! -32002 Resource not found
        >> 4 completion/complete {"ref": {"type": "ref/prompt", "name": "greet"}}
        <- 4 ! -32602 Unknown reference
        >> 5 logging/setLevel {"level": "info"}
        -> 5 logging/setLevel {"level": "info"}
    """)


def test_an_id_in_flight_cannot_be_used_again_and_its_reuse_is_not_answered() -> None:
    """An answer would resolve the first call. SDKs take 7 and "7" for the same."""
    handshaken(OPEN).play("""
        >> 7 tools/call {"name": "a"}
        -> 7 tools/call {"name": "a"}
        >> 7 tools/call {"name": "b"}
        !! call tools/call outcome=deny status=refused why~an id that is in flight
        >> "7" tools/call {"name": "c"}
        !! call tools/call outcome=deny why~an id that is in flight
        << 7 = {"content": []}
        <- 7 = {"content": []}
        >> "7" tools/call {"name": "c"}
        -> "7" tools/call {"name": "c"}
        << "7" = {"content": []}
        <- "7" = {"content": []}
    """)


@pytest.mark.parametrize("answer", ['"7"', '"07"', "8"])
def test_an_answer_to_nothing_that_was_asked_is_dropped(answer: str) -> None:
    book = handshaken(OPEN)
    book.play(f"""
        >> 7 tools/call {{"name": "a"}}
        -> 7 tools/call {{"name": "a"}}
        << {answer} = {{"content": []}}
        !! response direction=server outcome=deny status=refused why~nothing that was asked
        << {answer} ! -32000 no
        !! response direction=server outcome=deny why~nothing that was asked
        << 7 = {{"content": []}}
        <- 7 = {{"content": []}}
    """)
    book.play("""
        >> "7" tools/call {"name": "a"}
        -> "7" tools/call {"name": "a"}
        << "07" = {"content": []}
        !! response outcome=deny why~nothing that was asked
    """)


def test_an_answer_is_given_once() -> None:
    handshaken(OPEN).play("""
        >> 1 ping
        -> 1 ping
        << 1 = {}
        <- 1 = {}
        << 1 = {"again": true}
        !! response outcome=deny why~nothing that was asked
    """)


def test_a_persons_own_file_can_only_tighten() -> None:
    handshaken(policy({"allow": ["*"]}, user={"deny": ["delete_*"], "log": ["make_*"]})).play("""
        >> 1 tools/call {"name": "delete_all"}
        <- 1 ! -32602 Unknown tool
        >> 2 tools/call {"name": "make_x"}
        -> 2 tools/call {"name": "make_x"}
        ** make_x
    """)
    handshaken(policy(user={"log": ["*"]})).play("""
        >> 1 tools/call {"name": "make_x"}
        <- 1 ! -32602 Unknown tool
        !! call tools/call outcome=deny why~no rule admits this tool
    """)
