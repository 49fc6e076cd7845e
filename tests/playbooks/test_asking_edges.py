"""What a server asks of the client: the shapes, the order and the records that only a hostile one would try."""

from __future__ import annotations

import pytest

from mcpwrap.core.commands import Record, ToClient
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.state import NOISE_LIMIT
from tests.playbooks.playbook import Playbook, handshaken, line_of
from tests.playbooks.policy import EVERYTHING, OPEN, policy
from tests.playbooks.test_conditions import rules
from tests.playbooks.test_held import held
from tests.playbooks.test_inputs import ELICITATION, NO_ELICITATION, ROOTS, SAMPLING, asked
from tests.playbooks.test_joining import DISCOVERING, REFUSING

DOCS = {"allow": ["docs://*"]}
LINK = '{"type": "resource_link", "uri": "secret://a", "name": "a"}'
THINK = f'{{"messages": [{{"role": "user", "content": {LINK}}}]}}'


def test_a_form_is_looked_at_where_it_is_logged_as_well() -> None:
    bad = '{"mode": "url", "url": "javascript:alert(1)", "elicitationId": "e", "message": "x"}'
    for lists in ({"allow": ["elicitation"]}, {"log": ["elicitation"]}):
        handshaken(policy(server_requests=lists)).play(f"""
            << 1 elicitation/create {bad}
            -> 1 = {{"action": "decline"}}
            !! call elicitation/create outcome=deny status=refused
        """)


def test_what_goes_to_the_model_is_looked_at_where_it_is_logged_as_well() -> None:
    for lists in ({"allow": ["sampling"]}, {"log": ["sampling"]}):
        handshaken(policy(resources=DOCS, server_requests=lists)).play(f"""
            << 1 sampling/createMessage {THINK}
            -> 1 ! -32601 sampling/createMessage is not permitted
            !! call sampling/createMessage outcome=deny why~resources in it aren't permitted
        """)


def test_what_is_refused_anyway_is_refused_by_its_rule() -> None:
    lists = {"allow": ["roots"], "ask": ["sampling", "elicitation"]}
    handshaken(policy(resources=DOCS, server_requests=lists)).play(f"""
        << 1 sampling/createMessage {THINK}
        -> 1 ! -32601 sampling/createMessage is not permitted
        !! call sampling/createMessage outcome=ask status=refused why~ask = ["sampling"]
        << 2 elicitation/create {{"mode": "url", "url": "javascript:alert(1)", "elicitationId": "e", "message": "x"}}
        -> 2 ! -32601 elicitation/create is not permitted
        !! call elicitation/create outcome=ask status=refused why~ask = ["elicitation"]
    """)


def test_only_what_goes_to_the_model_is_searched_for_resources() -> None:
    handshaken(policy(resources=DOCS, server_requests=EVERYTHING)).play(f"""
        << 1 roots/list {{"content": {LINK}}}
        <- 1 roots/list {{"content": {LINK}}}
    """)
    odd = '{"messages": [{"role": "user", "content": {"type": "text", "text": "x", "Uri": "x"}}]}'
    handshaken(OPEN).play(f"""
        << 1 sampling/createMessage {odd}
        <- 1 sampling/createMessage {odd}
    """)


@pytest.mark.parametrize("params", ["[]", "5", '"x"', "null", '[{"mode": "url"}]'])
def test_parameters_that_are_no_object_are_none(params: str) -> None:
    made = policy(EVERYTHING, resources=DOCS, server_requests=EVERYTHING)
    Playbook(made).play(
        asked(f'"q": {{"method": "roots/list", "params": {params}}}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {{"method": "roots/list", "params": {params}}}}}}}
    """  # noqa: E501
    )
    Playbook(made).play(
        asked(f'"q": {{"method": "elicitation/create", "params": {params}}}')
        + """
        <- 1 = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
    """
    )
    conditional = rules('allow = ["*"]\n[[servers.files.server_requests.rules]]\nallow = ["roots"]\nwhen = \'size(args) == 0\'\n')
    Playbook(conditional).play(
        asked(f'"q": {{"method": "roots/list", "params": {params}}}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"q": {{"method": "roots/list", "params": {params}}}}}}}
    """  # noqa: E501
    )


def urls(*hosts: str) -> str:
    each = ", ".join(f'{{"mode": "url", "url": "https://{h}/", "elicitationId": "{h}", "message": "open it"}}' for h in hosts)
    return f'{{"id": 1, "error": {{"code": -32042, "message": "open it", "data": {{"elicitations": [{each}]}}}}}}'


@pytest.mark.parametrize("unrecorded", ["r2", "r3"])
def test_the_urls_of_an_error_are_passed_on_only_with_their_records(unrecorded: str) -> None:
    book = handshaken(OPEN)
    book.session.handle(ClientLine(line_of('1 tools/call {"name": "a"}'), 0.0))
    out = book.session.handle(ServerLine(line_of(urls("a.example", "b.example")), 0.0))
    records = [command.entry for command in out if isinstance(command, Record)]
    assert [(entry.ref, entry.method) for entry in records] == [
        ("r2", "elicitation/create"),
        ("r3", "elicitation/create"),
        ("r1", "tools/call"),
    ]
    assert [entry.arguments["mode"] for entry in records[:2]] == ["url", "url"]
    assert isinstance(out[-1], ToClient)
    assert out[-1].refs == ("r2", "r3")
    book.play(f"""
        == unrecorded {unrecorded}
        <- 1 ! -32603 nothing was asked
    """)


@pytest.mark.parametrize("unrecorded", ["r2", "r3"])
def test_the_questions_of_an_answer_are_passed_on_only_with_their_records(unrecorded: str) -> None:
    book = Playbook(OPEN)
    book.session.handle(ClientLine(line_of('1 tools/call {"name": "a", @}'), 0.0))
    answer = f'1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"a": {ROOTS}, "b": {SAMPLING}}}}}'
    out = book.session.handle(ServerLine(line_of(answer), 0.0))
    assert isinstance(out[-1], ToClient)
    assert out[-1].refs == ("r2", "r3")
    book.play(f"""
        == unrecorded {unrecorded}
        <- 1 ! -32603 nothing was asked
    """)


def test_a_question_that_has_no_record_waits_for_none() -> None:
    out = handshaken(OPEN).session.handle(ServerLine(line_of("1 ping"), 0.0))
    assert [command.refs for command in out if isinstance(command, ToClient)] == [()]


def test_what_was_asked_in_an_earlier_round_cant_be_answered_any_more() -> None:
    def question(id: int, key: str) -> str:
        asks = f'{{"resultType": "input_required", "requestState": "s", "inputRequests": {{"{key}": {ROOTS}}}}}'
        return f"""
            << {id} = {asks}
            <- {id} = {asks}"""

    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        {question(1, "first")}
        >> 2 tools/call {{"name": "a", "inputResponses": {{"first": {{"roots": []}}}}, "requestState": "s", @}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"first": {{"roots": []}}}}, "requestState": "s", @}}
        {question(2, "second")}
        >> 3 tools/call {{"name": "a", "inputResponses": {{"first": {{"roots": []}}}}, "requestState": "s", @}}
        <- 3 ! -32602 answers what wasn't asked
    """)


def test_what_is_declined_in_the_clients_place_is_recorded_in_a_flood_as_well() -> None:
    book = Playbook(NO_ELICITATION)
    for _ in range(NOISE_LIMIT + 1):
        book.play("<< 77 = {}")
    book.play(
        asked(f'"q": {ELICITATION}')
        + """
        <- 1 = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
        !! call elicitation/create direction=server outcome=deny status=refused tool=a
        !! response tools/call status=ok
    """
    )


def test_no_questions_at_all_are_passed_on_as_they_are() -> None:
    Playbook(NO_ELICITATION).play(
        asked("", state="")
        + """
        <- 1 = {"resultType": "input_required", "inputRequests": {}}
    """
    )


def test_what_a_task_that_no_call_made_asks_for_names_no_tool() -> None:
    handshaken(OPEN).play(f"""
        << notifications/tasks/status {{"taskId": "t", "inputRequests": {{"q": {ROOTS}}}}}
        <- notifications/tasks/status {{"taskId": "t", "inputRequests": {{"q": {ROOTS}}}}}
        !! call roots/list outcome=allow task=t tool=
    """)


def test_what_an_older_server_asks_of_a_stateless_client_is_answered_and_no_more() -> None:
    book = held()
    book.play(DISCOVERING + REFUSING)
    book.session.handle(ServerLine(line_of('"mcpwrap-initialize" = {"protocolVersion": "2025-11-25", "capabilities": {}}'), 0.0))
    out = book.session.handle(ServerLine(line_of("5 roots/list"), 0.0))
    assert len(out) == 1
    assert b"roots/list is not available" in out[0].line  # type: ignore[union-attr]
