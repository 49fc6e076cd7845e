"""Requests inside results: a stateless server asks by its answer, the client retries with what was asked for (trap 5)."""

from __future__ import annotations

import json

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy

NO_ELICITATION = policy({"allow": ["*"]}, prompts={"allow": ["*"]}, server_requests={"allow": ["sampling"], "log": ["roots"]})
NO_ROOTS = policy({"allow": ["*"]}, server_requests={"allow": ["sampling", "elicitation"]})
NO_SAMPLING = policy(
    {"allow": ["*"]}, prompts={"allow": ["*"]}, resources={"allow": ["*"]}, server_requests={"allow": ["elicitation", "roots"]}
)

FORM = '"requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}'
ELICITATION = '{"method": "elicitation/create", "params": {"message": "name?", ' + FORM + "}}"
SAMPLING = '{"method": "sampling/createMessage", "params": {}}'
ROOTS = '{"method": "roots/list"}'


def asked(requests: str, state: str = '"requestState": "s", ', more: str = "") -> str:
    """A call that the server answers with questions."""
    return f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", {state}"inputRequests": {{{requests}}}{more}}}"""


def test_a_permitted_question_passes_and_so_does_its_answer() -> None:
    Playbook(OPEN).play(
        asked(f'"who": {ELICITATION}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"who": {ELICITATION}}}}}
        >> 2 tools/call {{"name": "a", "inputResponses": {{"who": {{"action": "accept"}}}}, "requestState": "s", @}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"who": {{"action": "accept"}}}}, "requestState": "s", @}}
        << 2 = {{"resultType": "complete", "content": []}}
        <- 2 = {{"resultType": "complete", "content": []}}
    """
    )


def test_a_question_is_found_whatever_the_result_type_says() -> None:
    Playbook(NO_SAMPLING).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "complete", "content": [], "inputRequests": {{"s": {SAMPLING}}}}}
        <- 1 ~m the server asks for sampling, which isn't permitted
        >> 2 tools/call {{"name": "a", @}}
        -> 2 tools/call {{"name": "a", @}}
        << 2 = {{"content": [], "inputRequests": {{"s": {SAMPLING}}}}}
        <- 2 ~m the server asks for sampling, which isn't permitted
    """)


def test_a_denied_elicitation_is_declined_in_the_clients_place_on_the_retry() -> None:
    """A bare strip makes the server ask again."""
    Playbook(NO_ELICITATION).play(
        asked(f'"who": {ELICITATION}, "think": {SAMPLING}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"think": {SAMPLING}}}}}
        !! call elicitation/create direction=server outcome=deny status=refused tool=a note=altered:declinedfortheclient
        !! call sampling/createMessage direction=server outcome=allow tool=a
        !! response tools/call status=ok ref=r1
        >> 2 tools/call {{"name": "a", "inputResponses": {{"think": {{"x": 1}}}}, "requestState": "s", @}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"think": {{"x": 1}}, "who": {{"action": "decline"}}}}, "requestState": "s", @}}
    """  # noqa: E501
    )


def test_what_comes_after_a_permitted_question_is_judged_as_well() -> None:
    Playbook(NO_ELICITATION).play(
        asked(f'"first": {ROOTS}, "second": {ELICITATION}, "third": {ROOTS}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"first": {ROOTS}, "third": {ROOTS}}}}}
        !! call roots/list direction=server outcome=log tool=a
        !! call elicitation/create direction=server outcome=deny status=refused tool=a note=altered:declinedfortheclient
        !! call roots/list direction=server outcome=log tool=a
        !! response
        """
    )


def test_one_long_key_among_short_ones_fails_the_call() -> None:
    Playbook(OPEN).play(
        asked(f'"a": {ROOTS}, "{"k" * 5000}": {ROOTS}')
        + """
        <- 1 ! -32603 a key longer than that
        """
    )


def test_where_all_was_declined_the_retry_that_has_only_the_state_carries_it() -> None:
    Playbook(NO_ELICITATION).play(
        asked(f'"who": {ELICITATION}')
        + """
        <- 1 = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
        >> 2 tools/call {"name": "a", "requestState": "s", @}
        -> 2 tools/call {"name": "a", "inputResponses": {"who": {"action": "decline"}}, "requestState": "s", @}
    """
    )


def test_where_the_server_gave_no_state_the_client_gets_one_of_ours_and_the_server_never_sees_it() -> None:
    """A client retries only with answers or a state."""
    Playbook(NO_ELICITATION).play(
        asked(f'"who": {ELICITATION}', state="")
        + """
        <- 1 = {"resultType": "input_required", "requestState": "mcpwrap", "inputRequests": {}}
        >> 2 tools/call {"name": "a", "requestState": "mcpwrap", @}
        -> 2 tools/call {"name": "a", "inputResponses": {"who": {"action": "decline"}}, @}
        >> 3 tools/call {"name": "b", "requestState": "mcpwrap", @}
        -> 3 tools/call {"name": "b", @}
    """
    )


def test_denied_roots_are_answered_with_none() -> None:
    Playbook(NO_ROOTS).play(
        asked(f'"r": {ROOTS}')
        + """
        <- 1 = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
        >> 2 tools/call {"name": "a", "requestState": "s", "inputResponses": {}, @}
        -> 2 tools/call {"name": "a", "requestState": "s", "inputResponses": {"r": {"roots": []}}, @}
    """
    )


@pytest.mark.parametrize(
    ("method", "params", "refusal"),
    [
        ("tools/call", '{"name": "a", @}', "<- 1 ~m the server asks for sampling"),
        ("prompts/get", '{"name": "a", @}', "<- 1 ! -31403 the server asks for sampling"),
        ("resources/read", '{"uri": "a:b", @}', "<- 1 ! -31403 the server asks for sampling"),
    ],
)
def test_denied_sampling_fails_the_call(method: str, params: str, refusal: str) -> None:
    """There is no way to decline it."""
    Playbook(NO_SAMPLING).play(f"""
        >> 1 {method} {params}
        -> 1 {method} {params}
        << 1 = {{"resultType": "input_required", "inputRequests": {{"s": {SAMPLING}}}}}
        {refusal}
        !! response {method} status=refused ref=r1
        !! response {method} outcome=deny ref=r2
    """)


@pytest.mark.parametrize(
    ("requests", "why"),
    [
        ('{"x": {"method": "tools/call"}}', "unknown kind"),
        ('{"x": {"method": ["roots/list"]}}', "unknown kind"),
        ('{"x": 5}', "unknown kind"),
        ('[{"method": "roots/list"}]', "must be an object"),
        (json.dumps({str(n): {"method": "roots/list"} for n in range(257)}), "more than 256"),
        (json.dumps({"k" * 257: {"method": "roots/list"}}), "more than 256"),
    ],
)
def test_questions_of_an_unknown_kind_fail_the_call(requests: str, why: str) -> None:
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "inputRequests": {requests}}}
        <- 1 ! -32603 {why}
    """)


def test_many_questions_at_once_are_well() -> None:
    requests = ", ".join(f'"{n}": {ROOTS}' for n in range(256))
    Playbook(OPEN).play(
        asked(requests)
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{{requests}}}}}
    """
    )


@pytest.mark.parametrize("method", ["tools/list", "server/discover", "completion/complete"])
@pytest.mark.parametrize("requests", ["{}", "null", f'{{"r": {ROOTS}}}'])
def test_questions_in_the_answer_to_another_method_fail_it(method: str, requests: str) -> None:
    params = '{"ref": {"type": "ref/prompt", "name": "a"}, @}' if method == "completion/complete" else "{@}"
    Playbook(OPEN).play(f"""
        >> 1 {method} {params}
        -> 1 {method} {params}
        << 1 = {{"resultType": "input_required", "inputRequests": {requests}}}
        <- 1 ! -32603 the server asked for input where it can't
    """)


@pytest.mark.parametrize(
    "result", [f'{{"inputRequests": {{"r": {ROOTS}}}}}', '{"inputRequests": {}}', '{"resultType": "input_required"}']
)
def test_legacy_revisions_have_no_questions_in_results(result: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << 1 = {result}
        <- 1 ! -32603 in a way that this protocol revision doesn't have
    """)


@pytest.mark.parametrize("kind", ['"done"', '["complete"]', "{}", "null", "1"])
def test_an_unknown_result_type_is_invalid(kind: str) -> None:
    Playbook(OPEN).play(f"""
        >> 1 tools/list {{@}}
        -> 1 tools/list {{@}}
        << 1 = {{"resultType": {kind}}}
        <- 1 ! -32603 unknown `resultType`
    """)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ('{"other": {}}', "answers what wasn't asked"),
        ('{"who": {}, "other": {}}', "answers what wasn't asked"),
        ("[]", "must be an object"),
    ],
)
def test_only_what_was_asked_may_be_answered(given: str, why: str) -> None:
    Playbook(OPEN).play(
        asked(f'"who": {ELICITATION}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"who": {ELICITATION}}}}}
        >> 2 tools/call {{"name": "a", "inputResponses": {given}, @}}
        <- 2 ! -32602 {why}
        !! call tools/call outcome=deny status=refused
    """
    )


@pytest.mark.parametrize("change", ['"name": "b"', '"name": "a", "arguments": {"x": 1}'])
def test_an_answer_belongs_to_the_very_call_that_was_asked(change: str) -> None:
    Playbook(OPEN).play(
        asked(f'"who": {ELICITATION}')
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"who": {ELICITATION}}}}}
        >> 2 tools/call {{{change}, "inputResponses": {{"who": {{}}}}, @}}
        <- 2 ! -32602 answers what wasn't asked
    """
    )


def test_a_client_cannot_answer_for_what_was_declined() -> None:
    Playbook(NO_ELICITATION).play(
        asked(f'"who": {ELICITATION}')
        + """
        <- 1 = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
        >> 2 tools/call {"name": "a", "inputResponses": {"who": {"action": "accept"}}, "requestState": "s", @}
        <- 2 ! -32602 answers what wasn't asked
    """
    )


def test_in_a_legacy_session_there_is_nothing_to_answer() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a", "inputResponses": {"x": {}}}
        <- 1 ! -32602 answers what wasn't asked
    """)


def test_a_server_that_asks_only_for_patience_is_passed_on() -> None:
    Playbook(OPEN).play("""
        >> 1 tools/call {"name": "a", @}
        -> 1 tools/call {"name": "a", @}
        << 1 = {"resultType": "input_required", "requestState": "s"}
        <- 1 = {"resultType": "input_required", "requestState": "s"}
        >> 2 tools/call {"name": "a", "requestState": "s", @}
        -> 2 tools/call {"name": "a", "requestState": "s", @}
    """)


def test_where_only_some_was_declined_no_state_is_put_in() -> None:
    Playbook(NO_ELICITATION).play(
        asked(f'"who": {ELICITATION}, "r": {ROOTS}', state="")
        + f"""
        <- 1 = {{"resultType": "input_required", "inputRequests": {{"r": {ROOTS}}}}}
        >> 2 tools/call {{"name": "a", "inputResponses": {{"r": {{"roots": []}}}}, @}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"r": {{"roots": []}}, "who": {{"action": "decline"}}}}, @}}
    """
    )


def test_a_declined_question_of_a_prompt_names_no_tool() -> None:
    Playbook(NO_ELICITATION).play(f"""
        >> 1 prompts/get {{"name": "a", @}}
        -> 1 prompts/get {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"who": {ELICITATION}}}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{}}}}
        !! call elicitation/create outcome=deny tool=
        !! response prompts/get status=ok
    """)


def test_a_key_of_the_limit_itself_is_well() -> None:
    requests = json.dumps({"k" * 256: {"method": "roots/list"}})[1:-1]
    Playbook(OPEN).play(
        asked(requests)
        + f"""
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{{requests}}}}}
    """
    )


def test_legacy_results_have_no_type() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 1 = {"resultType": "vendor's"}
        <- 1 = {"resultType": "vendor's"}
    """)
