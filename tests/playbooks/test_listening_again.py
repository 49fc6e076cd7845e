"""A subscription that outlives its server is judged by the rules that count when the next one hears of it."""

from tests.playbooks.playbook import Playbook
from tests.playbooks.test_conditions import rules

OPEN = rules('allow = ["*"]\n[servers.files.resources]\nallow = ["*"]\n')
TIGHT = rules('deny = ["*"]\n[servers.files.resources]\nallow = ["docs://*"]\n')
WANTED = '{"resourceSubscriptions": ["docs://a", "secret://a"], "taskIds": ["t"], "toolsListChanged": true}'
LEFT = '{"resourceSubscriptions": ["docs://a"], "taskIds": [], "toolsListChanged": true}'


def test_a_subscription_is_judged_again_when_the_server_is_another() -> None:
    book = Playbook(OPEN, policies={"tight": TIGHT, "open": OPEN})
    book.play(f"""
        >> 7 subscriptions/listen {{"notifications": {WANTED}, @}}
        -> 7 subscriptions/listen {{"notifications": {WANTED}, @}}
        << notifications/subscriptions/acknowledged {{#7, "notifications": {WANTED}}}
        <- notifications/subscriptions/acknowledged {{#7, "notifications": {WANTED}}}
        == exited the server died
        <- notifications/tools/list_changed {{#7}}
        == started tight
        -> "mcpwrap-discover" server/discover {{@}}
        << "mcpwrap-discover" = {{}}
        -> 7 subscriptions/listen {{@, "notifications": {LEFT}}}
        <- notifications/tools/list_changed {{#7}}
    """)
    assert not book.session.held
