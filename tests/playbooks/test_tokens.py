"""A credential that can't be had, one that goes with each request, and secrets that no record shows (IDENTITY.md §4)."""

from __future__ import annotations

import json

import msgspec
import pytest

from mcpwrap.core.commands import Announce, Command, Record, ToClient, ToServer
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import ClientLine, TokensChanged
from mcpwrap.core.session import Session
from mcpwrap.secret import Secret
from tests.playbooks.playbook import MODERN_META, Playbook, handshaken, line_of
from tests.playbooks.policy import OPEN, policy
from tests.playbooks.test_held import OWN

WHY = "there is no login for https://api.example.com. Ask the user to run `mcpwrap login work` in a terminal of their own."

# refused while a token is missing


def test_calls_are_refused_while_a_token_is_missing_and_lists_are_not() -> None:
    book = handshaken(OPEN)
    book.play(f"""
        >> 1 tools/call {{"name": "a", "arguments": {{"password": "x"}}}}
        -> 1 tools/call {{"name": "a", "arguments": {{"password": "x"}}}}
        == tokenless {WHY}
        << 1 = {{"content": []}}
        <- 1 = {{"content": []}}
        >> 2 tools/call {{"name": "a", "arguments": {{"password": "x"}}}}
        <- 2 ~ a was not run: {WHY}
        !! call tools/call outcome=deny status=refused tool=a arguments={{'password':'[redacted]'}} why~{WHY}
        >> 3 tools/list
        -> 3 tools/list
        << 3 = {{"tools": [{{"name": "a"}}]}}
        <- 3 = {{"tools": [{{"name": "a"}}]}}
        >> 4 prompts/get {{"name": "p"}}
        <- 4 ! -31403 p was not run: {WHY}
        !! call prompts/get outcome=deny status=refused prompt=p why~{WHY}
        >> 5 resources/read {{"uri": "f:/a"}}
        <- 5 ! -31403 {WHY}
        !! call resources/read outcome=deny status=refused uri=f:/a why~{WHY}
        >> 6 resources/subscribe {{"uri": "f:/a"}}
        <- 6 ! -31403 {WHY}
        >> 7 completion/complete {{"ref": {{"type": "ref/prompt", "name": "p"}}}}
        <- 7 ! -31403 {WHY}
        >> 8 tasks/get {{"taskId": "t"}}
        <- 8 ! -31403 {WHY}
        >> 9 vendor/a {{"x": 1}}
        <- 9 ! -31403 {WHY}
        !! call vendor/a outcome=deny status=refused arguments={{'x':1}} why~{WHY}
        >> notifications/vendor/a
        !! notification notifications/vendor/a outcome=deny why~{WHY}
        >> 10 ping
        -> 10 ping
        >> 11 logging/setLevel {{"level": "info"}}
        -> 11 logging/setLevel {{"level": "info"}}
        >> notifications/roots/list_changed
        -> notifications/roots/list_changed
        << 12 roots/list
        <- 12 roots/list
        >> 12 = {{"roots": []}}
        -> 12 = {{"roots": []}}
        >> 13 tools/call {{"name": "mcpwrap_status"}}
        <- 13 = {{"content": [{{"type": "text", "text": "{WHY}"}}], "isError": false}}
        == tokens_ready
        >> 14 tools/call {{"name": "a"}}
        -> 14 tools/call {{"name": "a"}}
        >> 15 tools/call {{"name": "mcpwrap_status"}}
        <- 15 ! -32602 Unknown tool
    """)


def test_what_is_denied_anyway_is_denied_as_ever() -> None:
    handshaken(policy({"allow": ["a"]})).play(f"""
        == tokenless {WHY}
        >> 1 tools/call {{"name": "b"}}
        <- 1 ! -32602 Unknown tool: b
    """)


def test_a_stateless_client_may_listen_to_lists_but_to_nothing_that_needs_a_token() -> None:
    Playbook(OPEN).play(f"""
        == tokenless {WHY}
        >> 1 subscriptions/listen {{"notifications": {{"toolsListChanged": true}}, @}}
        -> 1 subscriptions/listen {{"notifications": {{"toolsListChanged": true}}, @}}
        >> 2 subscriptions/listen {{"notifications": {{"resourceSubscriptions": ["f:/a"]}}, @}}
        <- 2 ! -31403 subscriptions/listen was not run: {WHY}
        >> 3 subscriptions/listen {{"notifications": {{"taskIds": ["t"]}}, @}}
        <- 3 ! -31403 subscriptions/listen was not run: {WHY}
        >> 4 tools/call {{"name": "a", @}}
        <- 4 ~m a was not run: {WHY}
    """)


def test_the_status_tells_of_the_token_beside_what_waits() -> None:
    book = Playbook(OPEN, notice="a change waits")
    book.play(f"""
        == tokenless no login
        >> 1 tools/call {{"name": "mcpwrap_status"}}
        <- 1 = {{"content": [{{"type": "text", "text": "a change waits\\nno login"}}], "isError": false}}
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {{"tools": []}}
        <- 2 = {{"tools": [{OWN}]}}
    """)


def test_what_waited_for_the_server_is_refused_where_its_token_is_missing() -> None:
    Playbook(OPEN, starting=True).play(f"""
        >> 1 tools/call {{"name": "a"}}
        == tokenless {WHY}
        == began
        <- 1 ~ {WHY}
    """)


# delivery in `_meta`


def test_each_request_carries_the_tokens_of_the_moment() -> None:
    handshaken(OPEN).play("""
        == tokens API=first-token OTHER=other-token
        >> 1 tools/call {"name": "a", "arguments": {"_meta": {"mcpwrap/API": "an argument"}}}
        -> 1 tools/call {"name": "a", "arguments": {"_meta": {"mcpwrap/API": "an argument"}}, "_meta": {"mcpwrap/API": "first-token", "mcpwrap/OTHER": "other-token"}}
        >> 2 tools/list {"_meta": {"progressToken": 1}}
        -> 2 tools/list {"_meta": {"progressToken": 1, "mcpwrap/API": "first-token", "mcpwrap/OTHER": "other-token"}}
        == tokens API=second-token
        >> 3 vendor/a {"_meta": 5}
        -> 3 vendor/a {"_meta": {"mcpwrap/API": "second-token"}}
        >> 4 ping
        -> 4 ping
        >> 5 initialize {"protocolVersion": "2025-11-25"}
        -> 5 initialize {"protocolVersion": "2025-11-25"}
        >> notifications/roots/list_changed
        -> notifications/roots/list_changed
        == tokens
        >> 6 tools/call {"name": "a"}
        -> 6 tools/call {"name": "a"}
    """)  # noqa: E501


@pytest.mark.parametrize("tokens", ["", "API=own-token"])
def test_what_a_client_puts_in_the_places_of_tokens_is_taken_out(tokens: str) -> None:
    own = ', "mcpwrap/API": "own-token"' if tokens else ""
    handshaken(OPEN).play(f"""
        == tokens {tokens}
        >> 1 tools/call {{"name": "a", "_meta": {{"vendor": 1, "mcpwrap/API": "forged", "MCPWRAP/x": {{}}, "mcpwrap": 2}}}}
        -> 1 tools/call {{"name": "a", "_meta": {{"vendor": 1, "mcpwrap": 2{own}}}}}
        >> 2 ping {{"_meta": {{"mcpWrap/API": "forged"}}}}
        -> 2 ping {{"_meta": {{}}}}
        >> notifications/vendor/a {{"_meta": {{"Mcpwrap/": 1, "vendor": 1}}}}
        -> notifications/vendor/a {{"_meta": {{"vendor": 1}}}}
    """)


def test_what_a_server_says_back_of_a_token_does_not_reach_the_client() -> None:
    echo = '"_meta": {"mcpwrap/API": "own-token", "vendor": 1}'
    kept = '"_meta": {"vendor": 1}'
    handshaken(OPEN).play(f"""
        == tokens API=own-token
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a", "_meta": {{"mcpwrap/API": "own-token"}}}}
        << notifications/message {{"data": 1, {echo}}}
        <- notifications/message {{"data": 1, {kept}}}
        << {{"method": "notifications/message", {echo}}}
        <- {{"method": "notifications/message", {kept}}}
        << 5 roots/list {{{echo}}}
        <- 5 roots/list {{{kept}}}
        << 1 = {{"content": [{{"type": "text", "text": "x", {echo}}}], "structuredContent": {{"mcpwrap/core": 1}}, {echo}}}
        <- 1 = {{"content": [{{"type": "text", "text": "x", {kept}}}], "structuredContent": {{"mcpwrap/core": 1}}, {kept}}}
        >> 2 tools/call {{"name": "a"}}
        -> 2 tools/call {{"name": "a", "_meta": {{"mcpwrap/API": "own-token"}}}}
        << {{"id": 2, "error": {{"code": -1, "message": "x", "data": {{"mcpWrap/API": "own-token", "why": 1, {echo}}}}}}}
        <- {{"id": 2, "error": {{"code": -1, "message": "x", "data": {{"why": 1, {kept}}}}}}}
        >> 3 tools/call {{"name": "a"}}
        -> 3 tools/call {{"name": "a", "_meta": {{"mcpwrap/API": "own-token"}}}}
        << {{"id": 3, "error": {{"code": -1, "message": "\\"mcpwrap/", "data": ["\\"mcpwrap/API"]}}}}
        <- {{"id": 3, "error": {{"code": -1, "message": "\\"mcpwrap/", "data": ["\\"mcpwrap/API"]}}}}
    """)


def test_a_token_that_is_delivered_no_more_may_still_come_back() -> None:
    handshaken(OPEN).play("""
        == tokens API=own-token
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a", "_meta": {"mcpwrap/API": "own-token"}}
        == tokens
        << 1 = {"content": [], "_meta": {"mcpwrap/API": "own-token"}}
        <- 1 = {"content": [], "_meta": {}}
    """)


def test_where_no_token_goes_that_way_a_server_says_what_it_likes() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 1 = {"content": [], "_meta": {"mcpwrap/API": "x"}}
        <- 1 = {"content": [], "_meta": {"mcpwrap/API": "x"}}
    """)


def test_our_own_requests_carry_the_tokens_too() -> None:
    meta = json.dumps({**MODERN_META, "mcpwrap/API": "own-token"})
    Playbook(OPEN, policies={"open": OPEN}).play(f"""
        == tokens API=own-token
        >> 1 server/discover {{@}}
        -> 1 server/discover {{"_meta": {meta}}}
        << 1 = {{"resultType": "complete"}}
        <- 1 = {{"resultType": "complete"}}
        >> 7 subscriptions/listen {{"notifications": {{}}, @}}
        -> 7 subscriptions/listen {{"notifications": {{}}, "_meta": {meta}}}
        == due
        %%
        == restarted
        -> "mcpwrap-again-1" server/discover {{"_meta": {meta}}}
        << "mcpwrap-again-1" = {{"resultType": "complete"}}
        -> 7 subscriptions/listen {{"_meta": {meta}, "notifications": {{}}}}
        == exited it died
        == started open
        -> "mcpwrap-discover" server/discover {{"_meta": {meta}}}
    """)


def test_a_retry_with_answers_is_known_whatever_its_token() -> None:
    ask = '{"k": {"method": "roots/list"}}'
    asked = f'{{"resultType": "input_required", "inputRequests": {ask}, "requestState": "s"}}'
    first, second = (json.dumps({**MODERN_META, "mcpwrap/API": token}) for token in ("first-token", "second-token"))
    Playbook(OPEN).play(f"""
        == tokens API=first-token
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", "_meta": {first}}}
        << 1 = {asked}
        <- 1 = {asked}
        == tokens API=second-token
        >> 2 tools/call {{"name": "a", "inputResponses": {{"k": {{"roots": []}}}}, "requestState": "s", @}}
        -> 2 tools/call {{"name": "a", "inputResponses": {{"k": {{"roots": []}}}}, "requestState": "s", "_meta": {second}}}
    """)


# what was delivered is redacted by its value

KNOWN = "s3cr3t/value+" + "x" * 600


def told(lines: list[str], rules: object = OPEN, **more: object) -> list[Command]:
    """All that comes of a session to whose server `KNOWN` was delivered."""
    session = Session(server="files", refs="r", rules=rules, **more)  # type: ignore[arg-type]
    out = session.handle(TokensChanged({"API": Secret("in-meta-token")}, (Secret(KNOWN), Secret("short")), 0.0))
    for line in lines:
        out += session.handle(ClientLine(line_of(line), 1.0))
    return out


def entries(commands: list[Command]) -> list[Entry]:
    return [command.entry for command in commands if isinstance(command, Record)]


def test_a_delivered_secret_stands_in_no_record_and_is_told_to_nobody() -> None:
    rules = policy({"log": ["*"]}, resources={"log": ["*"]}, extra_methods={"log": ["*"]})
    commands = told(
        [
            f'0 initialize {{"clientInfo": {{"name": "{KNOWN}", "version": "a {KNOWN}"}}}}',
            f'1 tools/call {{"name": "{KNOWN}", "arguments": {{"x": "a{KNOWN}b", "y": ["{KNOWN}"], "{KNOWN}": 1, "z": "short"}}}}',
            f'2 resources/read {{"uri": "f:/{KNOWN}"}}',
            f'"{KNOWN[:900]}" prompts/get {{"name": "{KNOWN}"}}',
            f'3 vendor/{KNOWN} {{"x": "{KNOWN}", "_meta": {{"traceparent": "{KNOWN}"}}}}',
            f'notifications/{KNOWN} {{"x": "in-meta-token"}}',
            f'4 tasks/get {{"taskId": "{KNOWN}"}}',
            f'5 tools/call {{"name": "mcpwrap_{KNOWN}", "arguments": {{"a": "{"y" * 500}{KNOWN}"}}}}',
            f"6 {KNOWN}",
        ],
        rules,
    )
    shown = [msgspec.json.encode(entry).decode() for entry in entries(commands)]
    shown += [command.text for command in commands if isinstance(command, Announce)]
    assert sum("[redacted]" in each for each in shown) > 10
    for each in shown:
        assert "s3cr3t/v" not in each
        assert "in-meta-token" not in each
    assert any('"z":"short"' in each for each in shown)
    assert not any("in-meta-token" in repr(command) for command in commands)


def test_the_beginning_of_a_secret_that_was_cut_is_redacted_too() -> None:
    (first, *_) = entries(told(['1 tools/call {"name": "a", "arguments": {"a": "%s"}}' % ("y" * 250 + KNOWN)]))
    assert first.arguments["a"].startswith("y" * 250 + "[redac")
    (second, *_) = entries(told([f"1 unknown/{'z' * 100}{KNOWN}"], policy()))
    assert second.method == "unknown/" + "z" * 100 + "[redacted]"


def test_what_was_known_before_is_known_on_and_a_client_that_named_itself_is_redacted_later() -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    session.handle(ClientLine(line_of('0 initialize {"clientInfo": {"name": "x first-secret"}}'), 0.0))
    session.handle(TokensChanged({}, (Secret("first-secret"),), 0.0))
    session.handle(TokensChanged({}, (Secret("second-secret"),), 0.0))
    (entry,) = entries(session.handle(ClientLine(line_of('1 tools/call {"name": "first-secret second-secret"}'), 1.0)))
    assert entry.tool == "[redacted] [redacted]"
    assert entry.client == msgspec.Raw(b'{"name":"x [redacted]"}')


def test_a_servers_last_words_are_redacted_before_the_client_hears_them() -> None:
    handshaken(OPEN).play("""
        == tokens the-secret
        == tokenless bad token the-secret
        >> 1 tools/call {"name": "a"}
        <- 1 ~ bad token [redacted]
        == exited it said: the-secret is wrong
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
        >> 2 tools/call {"name": "a"}
        <- 2 ~ it said: [redacted] is wrong
    """)


def test_nothing_of_the_core_shows_a_token() -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    event = TokensChanged({"API": Secret("in-meta-token")}, (Secret("known-secret"),), 0.0)
    session.handle(event)
    out = session.handle(ClientLine(line_of('1 tools/call {"name": "a"}'), 0.0))
    assert any(isinstance(command, ToServer) and b"in-meta-token" in command.line for command in out)
    for each in (event, out, session._state, session._state.known, session._state.tokens_in_meta):
        assert "in-meta-token" not in repr(each)
        assert "known-secret" not in repr(each)
    assert not any(isinstance(command, ToClient) for command in out)
