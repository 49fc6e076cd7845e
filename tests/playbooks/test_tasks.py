"""Tasks are judged by the tool whose call made them: the side door of trap 7."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy

RULES = policy({"allow": ["slow"], "log": ["logged"], "deny": ["evil"]})
ASKING = policy({"allow": ["slow"]}, server_requests={"allow": ["roots"]})

MADE = """
    >> 1 tools/call {"name": "slow", "task": {"ttl": 5}}
    -> 1 tools/call {"name": "slow", "task": {"ttl": 5}}
    << 1 = {"task": {"taskId": "k", "status": "working"}}
    <- 1 = {"task": {"taskId": "k", "status": "working"}}
"""

MADE_MODERN = """
    >> 1 tools/call {"name": "slow", @}
    -> 1 tools/call {"name": "slow", @}
    << 1 = {"resultType": "task", "taskId": "k", "status": "working"}
    <- 1 = {"resultType": "task", "taskId": "k", "status": "working"}
"""


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
def test_a_task_of_a_permitted_call_can_be_followed(method: str) -> None:
    book = handshaken(RULES)
    book.play(MADE)
    book.play(f"""
        >> 2 {method} {{"taskId": "k"}}
        -> 2 {method} {{"taskId": "k"}}
        !! call {method} outcome=allow task=k tool=slow
        << 2 = {{"taskId": "k", "status": "completed"}}
        <- 2 = {{"taskId": "k", "status": "completed"}}
    """)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_a_stateless_sessions_task_can_be_followed(method: str) -> None:
    book = Playbook(RULES)
    book.play(MADE_MODERN)
    book.play(f"""
        >> 2 {method} {{"taskId": "k", @}}
        -> 2 {method} {{"taskId": "k", @}}
        !! call {method} outcome=allow task=k tool=slow
        << 2 = {{"resultType": "complete", "taskId": "k", "status": "working"}}
        <- 2 = {{"resultType": "complete", "taskId": "k", "status": "working"}}
    """)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
def test_a_task_that_no_permitted_call_made_is_unknown(method: str) -> None:
    book = handshaken(RULES)
    book.play(MADE)
    book.play(f"""
        >> 2 {method} {{"taskId": "other"}}
        <- 2 ! -32602 Unknown task (ref r2)
        !! call {method} outcome=deny status=refused task=other ref=r2 why~no permitted call
        >> 3 {method} {{"taskId": ["k"]}}
        <- 3 ! -32602 `taskId` must be a string
    """)


def test_a_task_whose_tool_is_denied_meanwhile_is_unknown() -> None:
    book = handshaken(RULES, policies={"none": policy()})
    book.play(MADE)
    book.play("""
        == policy none
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
        >> 2 tasks/result {"taskId": "k"}
        <- 2 ! -32602 Unknown task
        << notifications/tasks/status {"taskId": "k", "status": "completed"}
        !! notification outcome=deny
    """)


def test_a_list_of_tasks_shows_those_of_permitted_calls() -> None:
    book = handshaken(RULES)
    book.play(MADE)
    book.play("""
        >> 2 tasks/list
        -> 2 tasks/list
        << 2 = {"tasks": [{"taskId": "k"}, {"taskId": "other"}], "nextCursor": "c"}
        !! list tasks/list counts={'total':2,'shown':1}
        <- 2 = {"tasks": [{"taskId": "k"}], "nextCursor": "c"}
    """)


def test_a_tasks_status_passes_for_permitted_calls_only() -> None:
    book = handshaken(RULES)
    book.play(MADE)
    book.play(f"""
        << notifications/tasks/status {{"taskId": "k", "status": "working"}}
        <- notifications/tasks/status {{"taskId": "k", "status": "working"}}
        << notifications/tasks/status {{"taskId": "other", "status": "working"}}
        !! notification notifications/tasks/status outcome=deny why~no permitted call
        << notifications/tasks/status {{"taskId": ["k"]}}
        << notifications/tasks/status {{"taskId": "k", "statusMessage": "{"x" * 70_000}"}}
        !! notification outcome=deny why~longer than 65536 bytes
    """)
    modern = Playbook(RULES)
    modern.play(MADE_MODERN)
    modern.play("""
        << notifications/tasks {"taskId": "k", "status": "completed", "result": {"content": []}}
        <- notifications/tasks {"taskId": "k", "status": "completed", "result": {"content": []}}
        << notifications/tasks {"taskId": "other", "status": "completed", "result": {"content": []}}
        !! notification notifications/tasks outcome=deny
    """)


def test_where_every_tool_is_allowed_a_task_of_an_earlier_session_is_too() -> None:
    handshaken(OPEN).play("""
        >> 1 tasks/get {"taskId": "of_yesterday"}
        -> 1 tasks/get {"taskId": "of_yesterday"}
        !! call tasks/get outcome=allow task=of_yesterday tool=
    """)


def test_an_answer_that_names_no_task_makes_none() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "slow"}
        -> 1 tools/call {"name": "slow"}
        << 1 = {"task": {"taskId": 7}}
        <- 1 = {"task": {"taskId": 7}}
        >> 2 prompts/get {"name": "slow"}
        <- 2 ! -32602 Unknown prompt
        >> 3 tools/call {"name": "slow"}
        -> 3 tools/call {"name": "slow"}
        << 3 = {"task": "k"}
        <- 3 = {"task": "k"}
        >> 4 tasks/get {"taskId": "k"}
        <- 4 ! -32602 Unknown task
    """)


def test_an_over_long_task_id_is_not_kept() -> None:
    name = "k" * 5000
    handshaken(RULES).play(f"""
        >> 1 tools/call {{"name": "slow"}}
        -> 1 tools/call {{"name": "slow"}}
        << 1 = {{"task": {{"taskId": "{name}"}}}}
        <- 1 = {{"task": {{"taskId": "{name}"}}}}
        >> 4 tasks/get {{"taskId": "{name}"}}
        <- 4 ! -32602 Unknown task
    """)


def test_a_tasks_questions_pass_where_permitted_and_are_answered_by_an_update() -> None:
    book = Playbook(ASKING)
    book.play(MADE_MODERN)
    book.play("""
        >> 2 tasks/get {"taskId": "k", @}
        -> 2 tasks/get {"taskId": "k", @}
        << 2 = {"resultType": "complete", "status": "input_required", "inputRequests": {"r": {"method": "roots/list"}}}
        <- 2 = {"resultType": "complete", "status": "input_required", "inputRequests": {"r": {"method": "roots/list"}}}
        >> 3 tasks/update {"taskId": "k", "inputResponses": {"r": {"roots": []}}, @}
        -> 3 tasks/update {"taskId": "k", "inputResponses": {"r": {"roots": []}}, @}
        >> 4 tasks/update {"taskId": "k", "inputResponses": {"x": {}}, @}
        <- 4 ! -32602 answers what wasn't asked
        << notifications/tasks {"taskId": "k", "inputRequests": {"x": {"method": "roots/list"}}}
        <- notifications/tasks {"taskId": "k", "inputRequests": {"x": {"method": "roots/list"}}}
        >> 5 tasks/update {"taskId": "k", "inputResponses": {"x": {}}, @}
        -> 5 tasks/update {"taskId": "k", "inputResponses": {"x": {}}, @}
    """)


def test_a_tasks_questions_fail_where_they_are_not_permitted() -> None:
    book = Playbook(ASKING)
    book.play(MADE_MODERN)
    book.play("""
        >> 2 tasks/get {"taskId": "k", @}
        -> 2 tasks/get {"taskId": "k", @}
        << 2 = {"inputRequests": {"r": {"method": "sampling/createMessage"}}}
        <- 2 ! -31403 the task asks for sampling, which isn't permitted
        >> 3 tasks/get {"taskId": "k", @}
        -> 3 tasks/get {"taskId": "k", @}
        << 3 = {"status": "completed", "result": {"inputRequests": {}}}
        <- 3 ! -32603 a finished task asked for input
        << notifications/tasks {"taskId": "k", "inputRequests": {"r": {"method": "elicitation/create"}}}
        !! notification outcome=deny why~the task asks for elicitation
        << notifications/tasks {"taskId": "k", "inputRequests": [1]}
        !! notification outcome=deny why~must be an object
        << notifications/tasks {"taskId": "k", "result": {"inputRequests": {}}}
        !! notification outcome=deny why~a finished task
    """)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result"])
def test_a_legacy_task_cannot_ask_in_its_state(method: str) -> None:
    book = handshaken(ASKING)
    book.play(MADE)
    book.play(f"""
        >> 2 {method} {{"taskId": "k"}}
        -> 2 {method} {{"taskId": "k"}}
        << 2 = {{"inputRequests": {{"r": {{"method": "roots/list"}}}}}}
        <- 2 ! -32603 in a way that this protocol revision doesn't have
    """)


def test_a_logged_tools_task_is_logged_too() -> None:
    handshaken(RULES).play("""
        >> 1 tools/call {"name": "logged"}
        -> 1 tools/call {"name": "logged"}
        ** files › logged runs
        << 1 = {"task": {"taskId": "k"}}
        <- 1 = {"task": {"taskId": "k"}}
        >> 2 tasks/get {"taskId": "k"}
        -> 2 tasks/get {"taskId": "k"}
        ** files › logged runs
        !! call tasks/get outcome=log task=k
    """)


def test_tasks_that_the_client_made_can_be_followed_by_the_server_and_no_others() -> None:
    handshaken(OPEN).play("""
        << 5 sampling/createMessage {"task": {}}
        <- 5 sampling/createMessage {"task": {}}
        >> 5 = {"task": {"taskId": "c", "status": "working"}}
        -> 5 = {"task": {"taskId": "c", "status": "working"}}
        << 6 tasks/get {"taskId": "c"}
        <- 6 tasks/get {"taskId": "c"}
        << 7 tasks/result {"taskId": "other"}
        -> 7 ! -32601 tasks/result is not permitted
        !! call tasks/result direction=server outcome=deny why~made for nothing
        << 8 tasks/get {"taskId": {"c": 1}}
        -> 8 ! -32601 tasks/get is not permitted
        << 9 tasks/list
        -> 9 ! -32601 tasks/list is not permitted
        >> notifications/tasks/status {"taskId": "c", "status": "completed"}
        -> notifications/tasks/status {"taskId": "c", "status": "completed"}
        >> notifications/tasks/status {"taskId": "other"}
        !! notification direction=client outcome=deny why~made for nothing
        >> notifications/tasks/status {"taskId": ["c"]}
        !! notification direction=client outcome=deny why~made for nothing
    """)


def test_a_task_goes_on_where_its_tool_is_asked_about_meanwhile() -> None:
    """Its call ran with a person's yes, or before one was needed."""
    book = Playbook(RULES, policies={"asking": policy({"ask": ["slow"]})})
    book.play(MADE_MODERN)
    book.play("""
        == policy asking
        >> 2 tasks/get {"taskId": "k", @}
        -> 2 tasks/get {"taskId": "k", @}
        !! call tasks/get outcome=ask task=k
        >> 3 subscriptions/listen {"notifications": {"taskIds": ["k"]}, @}
        -> 3 subscriptions/listen {"notifications": {"taskIds": ["k"]}, @}
    """)


@pytest.mark.parametrize("task", ["[]", "{}", "null", "true"])
def test_a_task_without_a_readable_name_is_none(task: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "slow", "_meta": {{"progressToken": 1}}}}
        -> 1 tools/call {{"name": "slow", "_meta": {{"progressToken": 1}}}}
        << 1 = {{"task": {{"taskId": {task}}}}}
        <- 1 = {{"task": {{"taskId": {task}}}}}
        << notifications/progress {{"progressToken": 1}}
        !! notification outcome=deny
        << 5 roots/list
        <- 5 roots/list
        >> 5 = {{"task": {{"taskId": {task}}}}}
        -> 5 = {{"task": {{"taskId": {task}}}}}
        << notifications/tasks/status {{"taskId": {task}}}
        !! notification outcome=deny
    """)


def test_a_task_may_not_ask_for_what_a_person_is_asked_about_first() -> None:
    book = Playbook(policy({"allow": ["slow"]}, server_requests={"ask": ["roots"]}))
    book.play(MADE_MODERN)
    book.play("""
        >> 2 tasks/get {"taskId": "k", @}
        -> 2 tasks/get {"taskId": "k", @}
        << 2 = {"inputRequests": {"r": {"method": "roots/list"}}}
        <- 2 ! -31403 the task asks for roots
    """)
