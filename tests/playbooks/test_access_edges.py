"""Resources, templates and tasks that are judged by more than their names."""

from __future__ import annotations

import pytest

from mcpwrap.core.access import task_key
from mcpwrap.core.world import World
from mcpwrap.runtime.facts import FileFacts
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy
from tests.playbooks.test_conditions import _complete, rules
from tests.playbooks.test_held import held
from tests.playbooks.test_inputs import ROOTS
from tests.playbooks.test_joining import DISCOVERING, REFUSING


def test_the_uri_of_a_resource_is_an_argument_too() -> None:
    handshaken(rules('[[servers.files.resources.rules]]\nallow = ["docs://*"]\nargs.uri = { one_of = ["docs://a"] }\n')).play("""
        >> 1 resources/read {"uri": "docs://a"}
        -> 1 resources/read {"uri": "docs://a"}
        >> 2 resources/read {"uri": "docs://b"}
        <- 2 ! -32002 Resource not found
    """)


def test_a_template_is_listed_unless_whatever_it_stands_for_climbs() -> None:
    handshaken(policy(resources={"allow": ["docs://**"]})).play("""
        >> 1 resources/templates/list
        -> 1 resources/templates/list
        << 1 = {"resourceTemplates": [{"uriTemplate": "docs://a/.{x}"}, {"uriTemplate": "docs://a/../{x}"}]}
        <- 1 = {"resourceTemplates": [{"uriTemplate": "docs://a/.{x}"}]}
    """)


def test_a_completion_that_could_go_on_outside_is_refused() -> None:
    book = handshaken(rules('[servers.files.resources]\nallow = [{ within = "/shop/docs" }]\n'))
    book.session._state.world = World(FileFacts(None))
    asked, fine = _complete(1, "file:///shop/docs{p}", ""), _complete(2, "file:///shop/docs/{p}", "")
    book.play(f"""
        >> {asked}
        <- 1 ! -32602 Unknown reference
        >> {fine}
        -> {fine}
    """)


def test_a_used_up_window_hides_no_template_from_a_list() -> None:
    made = rules('[[servers.files.resources.rules]]\nallow = ["docs://*"]\nlimit = "1/min"\nover = "deny"\n')
    handshaken(made).play("""
        >> 1 resources/read {"uri": "docs://a"}
        -> 1 resources/read {"uri": "docs://a"}
        >> 2 resources/templates/list
        -> 2 resources/templates/list
        << 2 = {"resourceTemplates": [{"uriTemplate": "docs://{x}"}]}
        <- 2 = {"resourceTemplates": [{"uriTemplate": "docs://{x}"}]}
    """)


@pytest.mark.parametrize("odd", ["5", "true", '"abc"', '{"a": 1}'])
def test_what_is_listened_to_and_no_list_is_nothing_even_where_all_is_allowed(odd: str) -> None:
    Playbook(OPEN).play(f"""
        >> 2 subscriptions/listen {{"notifications": {{"resourceSubscriptions": {odd}, "taskIds": {odd}}}, @}}
        -> 2 subscriptions/listen {{"notifications": {{"resourceSubscriptions": [], "taskIds": []}}, @}}
    """)


@pytest.mark.parametrize("condition", ["args.n = { max = 3 }", "when = 'tool == \"a\"'"])
def test_a_task_of_a_call_that_its_arguments_permitted_can_be_followed(condition: str) -> None:
    handshaken(rules(f'[[servers.files.rules]]\nallow = ["*"]\n{condition}\n')).play("""
        >> 1 tools/call {"name": "a", "arguments": {"n": 1}, "task": {}}
        -> 1 tools/call {"name": "a", "arguments": {"n": 1}, "task": {}}
        << 1 = {"task": {"taskId": "t"}}
        <- 1 = {"task": {"taskId": "t"}}
        >> 2 tasks/get {"taskId": "t"}
        -> 2 tasks/get {"taskId": "t"}
    """)


def test_an_answer_to_one_task_is_none_to_another() -> None:
    Playbook(OPEN).play(f"""
        << notifications/tasks {{"taskId": "a", "status": "input_required", "inputRequests": {{"q": {ROOTS}}}}}
        <- notifications/tasks {{"taskId": "a", "status": "input_required", "inputRequests": {{"q": {ROOTS}}}}}
        >> 1 tasks/update {{"taskId": "b", "inputResponses": {{"q": {{"roots": []}}}}, @}}
        <- 1 ! -32602 answers what wasn't asked
        >> 2 tasks/update {{"taskId": "a", "inputResponses": {{"q": {{"roots": []}}}}, @}}
        -> 2 tasks/update {{"taskId": "a", "inputResponses": {{"q": {{"roots": []}}}}, @}}
    """)


def test_a_task_may_have_any_text_for_an_id() -> None:
    assert len({task_key(task) for task in ("", "a", "\ud800", "é")}) == 4


def test_a_call_to_an_older_server_keeps_its_parameters_beside_what_is_its_own() -> None:
    book = held()
    book.play(DISCOVERING + REFUSING)
    envelope = '"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/logLevel": "info"'
    book.play(f"""
        << "mcpwrap-initialize" = {{"protocolVersion": "2025-11-25", "capabilities": {{}}}}
        -> notifications/initialized
        >> 2 tools/call {{"name": "a", "_meta": {{{envelope}, "progressToken": 5, "more": 1}}}}
        -> 2 tools/call {{"name": "a", "_meta": {{"progressToken": 5, "more": 1}}}}
        >> 3 tools/call {{"name": "a", "_meta": {{{envelope}}}}}
        -> 3 tools/call {{"name": "a"}}
    """)
