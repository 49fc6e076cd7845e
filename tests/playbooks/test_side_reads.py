"""Side reads follow their objects: subscriptions, updates and completion (trap 9)."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import EVERYTHING, OPEN, policy

RULES = policy(
    {"allow": ["slow"]},
    resources={"allow": ["file:///docs/**"], "log": ["file:///docs/log"], "ask": ["file:///docs/draft/**"]},
    prompts={"allow": ["greet"], "ask": ["sign"]},
)

WANTED = '"toolsListChanged": true, "resourceSubscriptions": %s, "taskIds": %s'


def test_listening_is_filtered_as_if_the_server_did_not_offer_the_rest() -> None:
    uris = '["file:///docs/a", "file:///etc", "file:///docs/../x", "file:///docs/draft/a", 7, "file:///docs/log"]'
    Playbook(RULES).play(f"""
        >> 1 tools/call {{"name": "slow", @}}
        -> 1 tools/call {{"name": "slow", @}}
        << 1 = {{"resultType": "task", "taskId": "k"}}
        <- 1 = {{"resultType": "task", "taskId": "k"}}
        >> 2 subscriptions/listen {{"notifications": {{{WANTED % (uris, '["k", "other", 7, ["k"]]')}}}, @}}
        -> 2 subscriptions/listen {{"notifications": {{{WANTED % ('["file:///docs/a", "file:///docs/log"]', '["k"]')}}}, @}}
        !! call subscriptions/listen outcome=deny status=refused note=altered:hiddenresourcesandtasksweretakenout
    """)


def test_listening_to_what_is_permitted_is_passed_on_as_it_is() -> None:
    wanted = WANTED % ('["file:///docs/a"]', "[]")
    Playbook(RULES).play(f"""
        >> 2 subscriptions/listen {{"notifications": {{{wanted}}}, @}}
        -> 2 subscriptions/listen {{"notifications": {{{wanted}}}, @}}
        << notifications/subscriptions/acknowledged {{#2, "notifications": {{"toolsListChanged": true}}}}
        <- notifications/subscriptions/acknowledged {{#2, "notifications": {{"toolsListChanged": true}}}}
        << notifications/tools/list_changed {{#2}}
        <- notifications/tools/list_changed {{#2}}
        << notifications/resources/updated {{#2, "uri": "file:///docs/a"}}
        <- notifications/resources/updated {{#2, "uri": "file:///docs/a"}}
        << notifications/resources/updated {{#2, "uri": "file:///etc/a"}}
        !! notification notifications/resources/updated outcome=deny why~a resource that isn't permitted
        << notifications/resources/updated {{#2, "uri": 7}}
        !! notification outcome=deny
        >> notifications/cancelled {{"requestId": 2}}
        -> notifications/cancelled {{"requestId": 2}}
        << 2 = {{"resultType": "complete"}}
    """)


def test_a_subscription_may_have_a_text_for_an_id() -> None:
    Playbook(OPEN).play("""
        >> "s" subscriptions/listen {"notifications": {}, @}
        -> "s" subscriptions/listen {"notifications": {}, @}
        << notifications/subscriptions/acknowledged {#"s", "notifications": {}}
        <- notifications/subscriptions/acknowledged {#"s", "notifications": {}}
        << notifications/cancelled {"requestId": "s"}
        <- notifications/cancelled {"requestId": "s"}
    """)


def test_the_server_may_end_a_subscription() -> None:
    Playbook(OPEN).play("""
        >> 2 subscriptions/listen {"notifications": {}, @}
        -> 2 subscriptions/listen {"notifications": {}, @}
        << notifications/cancelled {"requestId": 2}
        <- notifications/cancelled {"requestId": 2}
        << notifications/subscriptions/acknowledged {#2, "notifications": {}}
        !! notification outcome=deny why~an acknowledgment of nothing
        >> 2 subscriptions/listen {"notifications": {}, @}
        -> 2 subscriptions/listen {"notifications": {}, @}
    """)


@pytest.mark.parametrize("meta", ["#3", '"_meta": 5', '"_meta": {"io.modelcontextprotocol/subscriptionId": [2]}', "#1"])
def test_an_acknowledgment_of_nothing_that_was_asked_is_dropped(meta: str) -> None:
    Playbook(OPEN).play(f"""
        >> 1 tools/list {{@}}
        -> 1 tools/list {{@}}
        >> 2 subscriptions/listen {{"notifications": {{}}, @}}
        -> 2 subscriptions/listen {{"notifications": {{}}, @}}
        << notifications/subscriptions/acknowledged {{{meta}, "notifications": {{}}}}
        !! notification notifications/subscriptions/acknowledged outcome=deny why~an acknowledgment of nothing
    """)


@pytest.mark.parametrize("params", ["{@}", '{"notifications": [], @}', '{"notifications": {"TaskIds": []}, @}'])
def test_listening_to_nothing_readable_is_refused(params: str) -> None:
    Playbook(OPEN).play(f"""
        >> 2 subscriptions/listen {params}
        <- 2 ! -32602 `notifications` must be an object
    """)


def test_lists_of_an_odd_shape_are_taken_for_empty_ones() -> None:
    Playbook(RULES).play("""
        >> 2 subscriptions/listen {"notifications": {"resourceSubscriptions": "file:///etc", "taskIds": {"a": 1}}, @}
        -> 2 subscriptions/listen {"notifications": {"resourceSubscriptions": [], "taskIds": []}, @}
    """)


def test_completion_follows_the_prompt_or_the_resource_that_it_names() -> None:
    handshaken(RULES).play("""
        >> 1 completion/complete {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}}
        -> 1 completion/complete {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}}
        !! call completion/complete outcome=allow prompt=greet
        >> 2 completion/complete {"ref": {"type": "ref/prompt", "name": "hidden"}}
        <- 2 ! -32602 Unknown reference (ref r2)
        !! call completion/complete outcome=deny prompt=hidden
        >> 3 completion/complete {"ref": {"type": "ref/prompt", "name": "sign"}}
        <- 3 ! -32602 Unknown reference
        !! call completion/complete outcome=ask
        >> 4 completion/complete {"ref": {"type": "ref/resource", "uri": "file:///docs/a/{p}"}}
        -> 4 completion/complete {"ref": {"type": "ref/resource", "uri": "file:///docs/a/{p}"}}
        !! call completion/complete outcome=allow uri=file:///docs/a/{p}
        >> 5 completion/complete {"ref": {"type": "ref/resource", "uri": "file:///etc/{p}"}}
        <- 5 ! -32602 Unknown reference
        >> 6 completion/complete {"ref": {"type": "ref/resource", "uri": "file:///{p}"}, "argument": {"name": "p", "value": "etc/"}}
        <- 6 ! -32602 Unknown reference
        >> 7 completion/complete {"ref": {"type": "ref/resource", "uri": "file:///{p}"}, "argument": {"name": "p", "value": "do"}}
        <- 7 ! -32602 Unknown reference
        !! call completion/complete outcome=ask
    """)


@pytest.mark.parametrize(
    "params",
    [
        '"uri": "file:///docs/../etc/{p}"}',
        '"uri": "file:///docs/%2e%2e/etc/{p}"}',
        '"uri": "file:///docs/pub/{p}"}, "argument": {"name": "p", "value": "../"}',
        '"uri": "file:///docs/pub/{p}"}, "argument": {"name": "p", "value": ".."}',
        '"uri": "file:///docs/pub/{q}/{p}"}, "context": {"arguments": {"q": ".."}}, "argument": {"name": "p", "value": "a"}',
    ],
)
def test_completion_cannot_climb_out_of_what_is_permitted(params: str) -> None:
    rules = policy(resources={"allow": ["file:///docs/**"]})
    handshaken(rules).play(f"""
        >> 1 completion/complete {{"ref": {{"type": "ref/resource", {params}}}
        <- 1 ! -32602 Unknown reference
        !! call completion/complete outcome=deny why~in the URI
    """)
    handshaken(policy(resources=EVERYTHING)).play(f"""
        >> 1 completion/complete {{"ref": {{"type": "ref/resource", {params}}}
        -> 1 completion/complete {{"ref": {{"type": "ref/resource", {params}}}
    """)


@pytest.mark.parametrize(
    "ref",
    [
        "5",
        "{}",
        '{"type": "ref/tool", "name": "greet"}',
        '{"type": "ref/tool", "uri": "f:/a"}',
        '{"type": "ref/prompt", "uri": "greet"}',
        '{"type": ["ref/prompt"]}',
    ],
)
def test_completion_that_names_neither_is_refused(ref: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 completion/complete {{"ref": {ref}}}
        <- 1 ! -32602 `ref` must name a prompt or a resource
    """)


def test_a_legacy_update_of_a_sub_resource_is_judged_by_its_own_name() -> None:
    handshaken(RULES).play("""
        << notifications/resources/updated {"uri": "file:///docs/a/b"}
        <- notifications/resources/updated {"uri": "file:///docs/a/b"}
        << notifications/resources/updated {"uri": "file:///docs/log"}
        <- notifications/resources/updated {"uri": "file:///docs/log"}
        << notifications/resources/updated {"uri": "file:///docs/draft/b"}
        !! notification outcome=deny
    """)
