"""What comes from the server under conditions and budgets: answers, and what they ask."""

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN
from tests.playbooks.test_conditions import rules


def test_what_a_server_asks_is_judged_with_what_it_asks() -> None:
    text = (
        '[[servers.files.server_requests.rules]]\nallow = ["sampling"]\nargs.maxTokens = { max = 100 }\n'
        '[[servers.files.server_requests.rules]]\nask = ["roots"]\n'
    )
    handshaken(rules(text)).play("""
        << 1 sampling/createMessage {"maxTokens": 100}
        <- 1 sampling/createMessage {"maxTokens": 100}
        << 2 sampling/createMessage {"maxTokens": 101}
        -> 2 ! -32601 sampling/createMessage is not permitted
        << 3 roots/list
        -> 3 ! -32601 roots/list is not permitted
    """)


def test_resources_in_an_answer_follow_the_rules_for_resources() -> None:
    link = '{"type": "resource_link", "uri": "secret://a", "name": "a"}'
    handshaken(rules('allow = ["*"]\n[servers.files.resources]\nallow = ["docs://*"]\n')).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << 1 = {{"content": [{link}, {{"type": "resource_link", "uri": "docs://a", "name": "a"}}]}}
        <- 1 = {{"content": [{{"type": "text", "text": "[mcpwrap: a resource that isn't permitted was taken out]"}}, {{"type": "resource_link", "uri": "docs://a", "name": "a"}}]}}
    """)  # noqa: E501


PHISHING = (
    '{"message": "Your password, please", "requestedSchema": {"type": "object", "properties": {"password": {"type": "string"}}}}'
)


def test_a_question_for_a_secret_is_declined_whatever_the_policy_says() -> None:
    handshaken(OPEN).play(f"""
        << 1 elicitation/create {PHISHING}
        -> 1 = {{"action": "decline"}}
        !! call elicitation/create direction=server outcome=deny status=refused
    """)


def test_urls_in_an_error_are_judged_one_by_one() -> None:
    bad = '{"mode": "url", "url": "http://evil.example/", "elicitationId": "e", "message": "open it"}'
    for data in (f'{{"elicitations": [{bad}]}}', '{"elicitations": 5}', f'{{"Elicitations": [{bad}]}}', "7"):
        handshaken(OPEN).play(f"""
            >> 1 tools/call {{"name": "a"}}
            -> 1 tools/call {{"name": "a"}}
            << {{"id": 1, "error": {{"code": -32042, "message": "open it", "data": {data}}}}}
            <- 1 ~ the server wants to open
        """)


def test_urls_beside_other_data_are_judged_whatever_the_code_is() -> None:
    bad = '{"mode": "url", "url": "http://evil.example/", "elicitationId": "e", "message": "open it"}'
    for data in (f'{{"elicitations": [{bad}], "more": 1}}', f'{{"more": 1, "Elicitations": [{bad}]}}'):
        handshaken(OPEN).play(f"""
            >> 1 tools/call {{"name": "a"}}
            -> 1 tools/call {{"name": "a"}}
            << {{"id": 1, "error": {{"code": -32000, "message": "open it", "data": {data}}}}}
            <- 1 ~ the server wants to open
        """)


RESULT_NAMES = [
    *("resultType", "inputRequests", "requestState", "content", "structuredContent", "isError", "contents", "messages", "_meta"),
    *("tools", "prompts", "resources", "resourceTemplates", "tasks", "nextCursor", "task", "taskId", "ttlMs", "cacheScope"),
]


@pytest.mark.parametrize("name", RESULT_NAMES)
def test_every_name_of_a_result_that_some_reader_acts_on_has_one_spelling(name: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << 1 = {{"content": [], "{name.upper()}": 1}}
        <- 1 ! -32603 spelled in another case
    """)


def test_links_to_logged_resources_stay_and_what_is_taken_out_is_recorded() -> None:
    made = rules('allow = ["*"]\n[servers.files.resources]\nlog = ["docs://*"]\nask = ["ask://*"]\n')
    link = '{"type": "resource_link", "name": "a", "uri": "%s://a"}'
    gone = '{"type": "text", "text": "[mcpwrap: a resource that isn\'t permitted was taken out]"}'
    handshaken(made).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << 1 = {{"content": [{link % "docs"}, {link % "ask"}]}}
        <- 1 = {{"content": [{link % "docs"}, {gone}]}}
        !! response tools/call direction=server request_id=1 tool=a outcome=deny status=refused note=altered:1takenout
        !! response tools/call direction=server request_id=1 status=ok
    """)


def test_an_answer_that_cant_be_read_leaves_its_id_free() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << |{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":1}}
        <- 1 ! -32603 can't be read
        << 1 = {"content": []}
        !! response direction=server request_id=1 why~nothing that was asked
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
    """)


def test_urls_past_the_limit_arent_opened() -> None:
    once = rules('allow = ["*"]\n[[servers.files.server_requests.rules]]\nallow = ["elicitation"]\nlimit = "1/session"\n')
    url = '{"mode": "url", "url": "https://a.example/", "elicitationId": "e", "message": "open it"}'
    for data, answer in ((f"[{url}]", "! -32042 open it"), (f"[{url}, {url}]", "~ open a URL: limit = 1/session is used up")):
        handshaken(once).play(f"""
            >> 1 tools/call {{"name": "a"}}
            -> 1 tools/call {{"name": "a"}}
            << {{"id": 1, "error": {{"code": -32042, "message": "open it", "data": {{"elicitations": {data}}}}}}}
            <- 1 {answer}
        """)


def test_what_a_server_asks_counts() -> None:
    once = rules(
        'allow = ["*"]\n[[servers.files.server_requests.rules]]\n'
        'allow = ["roots", "elicitation"]\nlimit = "1/session"\nover = "deny"\n'
    )
    handshaken(once).play("""
        << 1 roots/list
        <- 1 roots/list
        >> 1 = {"roots": []}
        -> 1 = {"roots": []}
        << 2 roots/list
        -> 2 ! -32601 roots/list is not permitted
        !! call roots/list direction=server outcome=deny request_id=2 arguments={} why~limit = 1/session is used up
    """)
    wish = '{"method": "roots/list"}'
    Playbook(once).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"a": {wish}, "b": {wish}}}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {{"a": {wish}}}}}
    """)


def test_what_a_task_tells_of_its_result_follows_the_rules_for_resources() -> None:
    made = rules('allow = ["*"]\n[servers.files.resources]\nallow = ["docs://*"]\n')
    Playbook(made).play("""
        >> 1 tools/call {"name": "a", @}
        -> 1 tools/call {"name": "a", @}
        << 1 = {"resultType": "task", "taskId": "t"}
        <- 1 = {"resultType": "task", "taskId": "t"}
        << notifications/tasks {"taskId": "t", "result": {"content": [{"type": "text", "text": "x"}]}}
        <- notifications/tasks {"taskId": "t", "result": {"content": [{"type": "text", "text": "x"}]}}
        << notifications/tasks {"taskId": "t", "result": {"content": [{"type": "resource_link", "uri": "secret://a", "name": "a"}]}}
        <- notifications/tasks {"taskId": "t", "result": {"content": [{"type": "text", "text": "[mcpwrap: a resource that isn't permitted was taken out]"}]}}
        !! notification notifications/tasks direction=server outcome=deny note=altered:1takenout
    """)  # noqa: E501


def test_what_is_asked_inside_an_answer_isnt_passed_on_unless_it_was_recorded() -> None:
    wish = '{"a": {"method": "sampling/createMessage", "params": {}}, "b": {"method": "roots/list"}}'
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {wish}}}
        <- 1 = {{"resultType": "input_required", "requestState": "s", "inputRequests": {wish}}}
        == unrecorded r2 r3
        <- 1 ! -32603 nothing was asked
    """)


def test_a_server_s_own_notification_is_logged_before_it_is_passed_on() -> None:
    handshaken(rules('[servers.files.extra_methods]\nlog = ["vendor/b"]\n')).play("""
        << vendor/b {"note": "x"}
        ** files › vendor/b is sent on, logged (ref r1)
        <- vendor/b {"note": "x"}
        !! notification vendor/b outcome=log status=ok direction=server
        >> roots/list
        !! notification roots/list outcome=deny status=refused
    """)
