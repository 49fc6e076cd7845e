"""A project that wants a login at a real provider, through the real shim: held without it, refused when it is gone, renewed."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.attacks.shim import Message, Shim
from tests.delivery.desk import NAME, Desk, ask, eventually, refused, told
from tests.identity.providers import browser
from tests.identity.providers.oidc import API, ISSUES, Provider, Setup, running


@pytest.fixture(scope="module")
def started() -> Iterator[Provider]:
    with running(Setup(access_s=5)) as provider:
        yield provider


@pytest.fixture
def provider(started: Provider) -> Iterator[Provider]:
    started.switch()
    yield started
    started.switch()


class Office(Desk):
    """A desk whose project names a provider."""

    def want(self, provider: Provider, via: str, *, resource: str = API, scope: str = "repo:read", more: str = "") -> None:
        """The project's file: the issuer, and a token for `resource`."""
        self.define(
            f'[servers.{NAME}.credentials.AGENT_TOKEN]\nlogin = {{ resource = "{resource}", scope = ["{scope}"] }}\nvia = "{via}"\n'
            + more,
            head=f'[login]\nissuer = "{provider.issuer}"\n',
        )

    def lend(self, provider: Provider, *resources: str) -> None:
        """A profile in the person's own file."""
        config = self.project.home / ".config/mcpwrap/config.toml"
        config.write_text(
            config.read_text("utf-8")
            + f'\n[profiles.work]\nissuer = "{provider.issuer}"\nclient_id = "mcpwrap"\n'
            + f"resources = {json.dumps(resources or [API])}\n"
            'scopes = ["repo:read", "issues:read", "email", "groups", "profile"]\n'
        )

    def sign_in(self, *args: str, who: str = "ann") -> str:
        """Somebody signs in with a browser."""
        program = shlex.join([sys.executable, str(browser.__file__)])
        return self.run("login", *args, BROWSER=f"{program} %s", BROWSER_SEES=str(self.project.home / "page"), BROWSER_WHO=who)


@pytest.fixture
def office(desk: Desk) -> Office:
    return Office(desk.project)


def shown(shim: Shim, id_: int, way: str) -> dict[str, Any]:
    """What the server has, as claims."""
    return told(ask(shim, id_, way, stateless=False, name="shown"))


def _good(answer: Message) -> bool:
    return "result" in answer and not answer["result"].get("isError", False)


def held_text(shim: Shim) -> str:
    return str(shim.call("mcpwrap_status")["result"]["content"][0]["text"])


@pytest.mark.parametrize("via", ["env", "file", "helper", "meta"])
def test_a_session_without_its_login_is_held_and_goes_on_once_it_is_there(office: Office, provider: Provider, via: str) -> None:
    office.lend(provider)
    office.want(provider, via)
    with office.shim() as shim:
        shim.open()
        assert shim.tools() == ["mcpwrap_status"]
        assert "Ask the user to run `mcpwrap login work` in a terminal of their own" in held_text(shim)
        assert office.starts == 0
        office.sign_in()
        shim.wait_for_method("notifications/tools/list_changed")
        found = shown(shim, 1, via)["found"]
        assert (found["aud"], found["scope"]) == (API, "repo:read")
    calls = [r for r in office.records if r["event"] == "call" and r.get("tool") == "shown"]
    assert [(r["subject"]["sub"], r["subject"]["email"]) for r in calls] == [("ann", "ann@acme.example")]
    credentials = [r for r in office.records if r["event"] == "credential"]
    assert credentials[-1]["status"] == "ok"
    assert credentials[-1]["note"].startswith(f"AGENT_TOKEN: login for {API}, scope repo:read, by {via}, until ")


def test_after_a_logout_the_next_call_is_refused_and_a_later_login_heals_the_session(office: Office, provider: Provider) -> None:
    office.lend(provider)
    office.want(provider, "file")
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        assert shown(shim, 1, "file")["found"]["aud"] == API
        office.run("logout", "work")
        text = refused(ask(shim, 2, "file", stateless=False, name="shown"))
        assert "nobody is signed in there" in text
        assert "`mcpwrap login work`" in text
        office.sign_in()
        eventually(lambda: shim.call("shown", way="file"), _good)


def test_a_provider_that_is_down_costs_nothing_while_the_token_is_good_and_then_says_so(office: Office, provider: Provider) -> None:
    office.lend(provider)
    office.want(provider, "file")
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        before = shown(shim, 1, "file")
        provider.switch(down=["/token"], status=503)
        assert shown(shim, 2, "file")["found"] == before["found"]
        text = refused(eventually(lambda: shim.call("shown", way="file"), lambda answer: bool(answer["result"].get("isError"))))
        assert "AGENT_TOKEN can't be had" in text
        provider.switch()
        after = eventually(lambda: shim.call("shown", way="file"), lambda answer: not answer["result"].get("isError"))
        assert told(after)["pid"] == before["pid"], "the server wasn't restarted for it"
    assert office.starts == 1


def test_ten_sessions_that_start_at_once_share_one_token_and_one_refresh(office: Office) -> None:
    with running(Setup(access_s=60)) as provider:
        office.lend(provider)
        office.want(provider, "file")
        office.sign_in()
        before = provider.state()["refreshes"]
        with ExitStack() as stack:
            shims = [stack.enter_context(office.shim()) for _ in range(10)]
            for shim in shims:
                shim.open()
                shim.ask(1, "tools/call", {"name": "shown", "arguments": {"way": "file"}})
            tokens = {json.dumps(told(shim.answer_to(1))["found"], sort_keys=True) for shim in shims}
        assert len(tokens) == 1
        assert (provider.state()["refreshes"] - before, provider.state()["reused"]) == (1, 0)


def test_each_servers_token_is_for_its_own_resource(office: Office, provider: Provider, desk: Desk) -> None:
    office.lend(provider, API, ISSUES)
    other = (
        '[servers.other]\ncommand = ["/bin/true"]\n[servers.other.credentials.T]\n'
        f'login = {{ resource = "{ISSUES}", scope = ["issues:read"] }}\n'
    )
    office.want(provider, "meta", more=other)
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        assert shown(shim, 1, "meta")["found"]["aud"] == API


def test_what_the_profile_doesnt_lend_is_refused_with_the_reason(office: Office, provider: Provider) -> None:
    office.lend(provider, API)
    office.want(provider, "file", resource=ISSUES, scope="issues:read")
    office.sign_in("work")
    with office.shim() as shim:
        shim.open()
        text = refused(shim.call("shown", way="file"))
    assert ISSUES in text
    assert "work" in text


def test_rules_judge_who_is_signed_in(office: Office, provider: Provider) -> None:
    office.lend(provider)
    rule = f"[[servers.{NAME}.rules]]\n"
    developers = f'{rule}deny = ["shown"]\nwhen = \'!("developers" in subject.groups)\'\n'
    ann = f'{rule}deny = ["whoami"]\nwhen = \'subject.sub == "ann" && subject.email.endsWith("acme.example")\'\n'
    office.want(provider, "meta", more=developers + ann)
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        assert shown(shim, 1, "meta")["found"]["aud"] == API
        assert "error" in shim.call("whoami", way="meta") or refused(shim.call("whoami", way="meta"))


@pytest.mark.parametrize("via", ["env", "file", "helper", "meta"])
def test_no_call_fails_while_the_providers_tokens_come_and_go(office: Office, provider: Provider, via: str) -> None:
    office.lend(provider)
    office.want(provider, via)
    office.sign_in()
    seen: set[int] = set()
    with office.shim() as shim:
        shim.open()

        def call() -> dict[str, Any]:
            found = shim.call("shown", way=via)
            seen.add(told(found)["found"]["exp"])
            return found

        eventually(call, lambda _: len(seen) >= 2)
        assert [m for m in shim.messages if "method" in m] == []
    state = provider.state()
    assert state["reused"] == 0


def test_a_login_that_the_provider_ended_is_said_with_its_remedy(office: Office, provider: Provider) -> None:
    office.lend(provider)
    office.want(provider, "file")
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        shown(shim, 1, "file")
        provider.switch(
            down=["/token"], status=400, answer={"error": "invalid_grant", "error_description": "revoked by \x1b[31mACME"}
        )
        text = refused(
            eventually(lambda: shim.call("shown", way="file"), lambda answer: bool(answer.get("result", {}).get("isError")))
        )
        text = refused(eventually(lambda: shim.call("shown", way="file"), lambda a: "has ended" in str(a)))
        assert "`mcpwrap login work`" in text
        assert "\x1b" not in text
        provider.switch()
        office.sign_in()
        eventually(lambda: shim.call("shown", way="file"), _good)


@pytest.mark.parametrize("via", ["env", "file", "meta"])
@pytest.mark.parametrize("first_out", [True, False], ids=["after a logout", "over the login"])
def test_who_signs_in_next_acts_with_their_own_token(office: Office, provider: Provider, via: str, first_out: bool) -> None:
    office.lend(provider)
    office.want(provider, via)
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        assert shown(shim, 1, via)["found"]["sub"] == "ann"
        if first_out:
            office.run("logout", "work")
            refused(shim.call("shown", way=via))
        office.sign_in(who="bob")
        first = eventually(lambda: shim.call("shown", way=via), _good)
        assert told(first)["found"]["sub"] == "bob"
    calls = [r["subject"]["sub"] for r in office.records if r["event"] == "call" and r["outcome"] == "allow"]
    assert calls[0] == "ann" and calls[-1] == "bob"


@pytest.mark.parametrize("via", ["env", "file", "meta"])
def test_a_profile_that_lends_less_counts_from_the_next_call_on(office: Office, provider: Provider, via: str) -> None:
    office.lend(provider)
    office.want(provider, via)
    office.sign_in()
    config = office.project.home / ".config/mcpwrap/config.toml"
    with office.shim() as shim:
        shim.open()
        shown(shim, 1, via)
        config.write_text(config.read_text("utf-8").replace(json.dumps([API]), json.dumps([ISSUES])), encoding="utf-8")
        # (files are looked at every 20 ms at most)
        threading.Event().wait(0.05)
        assert "doesn't lend" in refused(shim.call("shown", way=via))


def test_a_file_that_is_touched_again_and_again_asks_the_provider_nothing(office: Office, provider: Provider) -> None:
    office.lend(provider)
    office.want(provider, "file")
    office.sign_in()
    with office.shim() as shim:
        shim.open()
        shown(shim, 1, "file")
        provider.switch(down=["/token"], status=400, answer={"error": "temporarily_odd"})
        eventually(lambda: shim.call("shown", way="file"), lambda answer: not _good(answer))
        before = provider.state()["requests"].get("/token", 0)
        for _ in range(30):
            os.utime(office.project.root / "mcpwrap.toml")
            shim.call("shown", way="file")
        assert provider.state()["requests"].get("/token", 0) - before <= 2
