"""Signing in and out from the command line, by a person and by a script, at a real provider."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.secret import Secret
from tests.cli.conftest import PLAIN
from tests.cli.person import Person
from tests.identity.providers import browser
from tests.identity.providers.browser import Browser
from tests.identity.providers.oidc import API, Provider, Setup, running
from tests.project import COMMAND_DEADLINE_S, Project

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def started() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(started: Provider) -> Provider:
    started.switch()
    return started


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is no project."""
    return tmp_path


@pytest.fixture
def config(project: Project, user_config: Path) -> Path:
    """The person's own file: scripts may sign in, and the vault's key lies in a file."""
    project.mcpwrap("vault", "init", "--key-file", str(project.home / "vault.key"))
    return user_config


@pytest.fixture
def run(project: Project, config: Path, outside: Path, tmp_path: Path) -> Run:
    """Runs `mcpwrap` outside of any project, with a browser that signs ann in."""

    def one(*args: str, cwd: Path | None = None, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [project.command, *args],
            cwd=cwd or outside,
            env=environment(project, tmp_path, **env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )

    return one


def environment(project: Project, tmp_path: Path, **env: str) -> dict[str, str]:
    program = shlex.join([sys.executable, str(browser.__file__)])
    return {**project.env, **PLAIN, "BROWSER": f"{program} %s", "BROWSER_SEES": str(tmp_path / "page"), **env}


def profile(config: Path, provider: Provider, name: str = "work", **more: object) -> None:
    """Add a profile for `provider` to the person's own file."""
    fields = {"issuer": provider.issuer, "client_id": "mcpwrap", **more}
    lines = [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    config.write_text(config.read_text() + "\n" + "\n".join(lines) + "\n")


def good(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def notes(run: Run) -> list[tuple[str, str]]:
    """The lifecycle records about logins."""
    records = [json.loads(line) for line in good(run("log", "--json")).splitlines()]
    return [(r["method"], r["note"]) for r in records if r["method"] in ("mcpwrap/login", "mcpwrap/logout")]


# the local profile


def test_without_a_provider_a_login_makes_the_key_and_says_what_it_is_good_for(project: Project, user_config: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(project.home / "vault.key"))
    told = project.mcpwrap("login").stdout
    assert len(told.splitlines()) == 3
    assert told.startswith("No provider is needed: this installation vouches for you as ")
    assert f"Its key lies in {project.home / 'vault.key'}; it also seals what you trust" in told
    assert "mcpwrap login --issuer https://" in told


def test_the_local_profile_opens_no_connection(run: Run, provider: Provider) -> None:
    before = provider.state()
    facts = json.loads(good(run("login", "local", "--json", HTTPS_PROXY="http://127.0.0.1:9")))
    assert (facts["profile"], facts["issuer"]) == ("local", "local")
    assert facts["vault"]["mode"] == "file"
    assert provider.state() == before
    assert run("login", "local", "--device").returncode == 2


# a browser


def test_a_script_signs_in_and_status_says_so_without_a_secret(run: Run, provider: Provider, config: Path, home: Path) -> None:
    profile(config, provider, resources=[API], scopes=["repo:read"])
    ended = run("login")
    told = good(ended)
    assert told.startswith(
        f"You sign in at {provider.issuer}\nOpening your browser. Without one: mcpwrap login work --device\n  http"
    )
    assert told.endswith(f"Signed in as ann@acme.example. Renews by itself; key in {home / 'vault.key'}.\n")
    status = json.loads(good(run("status", "--json")))
    [login] = status["logins"]
    assert (login["profile"], login["issuer"], login["sub"], login["email"]) == ("work", provider.issuer, "ann", "ann@acme.example")
    assert (login["refreshable"], login["resources"], login["ended"]) == (True, [API], "")
    assert login["expires_at"] > login["logged_in_at"]
    assert (status["vault"]["state"], status["vault"]["mode"]) == ("open", "file")
    text = good(run("status"))
    assert re.search(
        rf"^login +ann@acme\.example +{re.escape(provider.issuer)} \(work\) +renews by itself; its token counts until \d\d:\d\d$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^vault +its key lies in /.*vault\.key$", text, re.MULTILINE)
    [(method, note)] = notes(run)
    assert method == "mcpwrap/login"
    assert note.startswith(f"signed in as ann at {provider.issuer} by browser; profile: work")


def test_an_issuer_on_the_command_line_needs_no_profile(run: Run, provider: Provider) -> None:
    ended = run("login", "--issuer", provider.issuer, "--resource", API, "--scope", "repo:read", "--json")
    facts = json.loads(good(ended))
    assert (facts["profile"], facts["issuer"], facts["resources"]) == ("", provider.issuer, [API])
    assert facts["client_id"] != "mcpwrap"
    assert f"You sign in at {provider.issuer}" in ended.stderr


def test_a_login_anew_replaces_the_one_before_and_asks_for_what_it_had(run: Run, provider: Provider) -> None:
    at = ("login", "--issuer", provider.issuer, "--client-id", "mcpwrap")
    good(run(*at, "--resource", API, "--scope", "repo:read"))
    facts = json.loads(good(run(*at, "--scope", "repo:write", "--json", BROWSER_WHO="bob")))
    assert (facts["sub"], facts["resources"]) == ("bob", [API])
    assert {"repo:read", "repo:write"} <= set(facts["scopes"])
    [login] = json.loads(good(run("status", "--json")))["logins"]
    assert login["sub"] == "bob"


def test_a_profile_lends_what_its_file_says_and_no_more(run: Run, provider: Provider, config: Path) -> None:
    profile(config, provider, resources=[API], scopes=["repo:read"])
    for option, value in (("--resource", "https://other.example"), ("--scope", "repo:write")):
        ended = run("login", "work", option, value)
        assert ended.returncode == 2
        assert f"the profile `work` doesn't lend `{value}`" in ended.stderr


def test_what_cant_be_meant_is_said_with_what_to_type(run: Run, provider: Provider, config: Path) -> None:
    profile(config, provider)
    profile(config, provider, "customers")
    assert "hint: mcpwrap login work   (or: customers)\n" in run("login").stderr
    assert "no profile `wrok` in your config.toml" in run("login", "wrok").stderr
    assert "a profile has its issuer" in run("login", "work", "--issuer", provider.issuer).stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("login.example.com", "https://login.example.com"),
        ("login.example.com:8443/a", "https://login.example.com:8443/a"),
        ("localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
    ],
)
def test_an_issuer_without_its_scheme_is_told_with_it(typed: str, meant: str, project: Project, user_config: Path) -> None:
    ended = project.mcpwrap("login", "--issuer", typed, check=False)
    assert ended.returncode == 2
    assert f"error: `{typed}` is no web address\nhint: write {meant}\n" in ended.stderr


@pytest.mark.parametrize(
    ("does", "fact"),
    [
        ("cancels", "error: the sign-in was declined at 127.0.0.1: End-User aborted interaction"),
        ("mangles:iss=https://evil.example", "error: the answer comes from another issuer, `https://evil.example`, not from"),
        ("mangles:iss", "error: the answer doesn't name its issuer, and `http"),
        ("mangles:code=stolen", "error: 127.0.0.1 refused: invalid_grant"),
    ],
)
def test_an_answer_that_isnt_good_stores_nothing(does: str, fact: str, run: Run, provider: Provider) -> None:
    typed = ("login", "--issuer", provider.issuer, "--client-id", "mcpwrap", "--resource", API, "--scope", "repo:read")
    ended = run(*typed, BROWSER_DOES=does)
    assert ended.returncode == 1
    assert fact in ended.stderr
    # what is to be typed again is what was typed
    assert shlex.join(["mcpwrap", *typed]) in ended.stderr
    assert ended.stdout.count("You have 5 minutes.\n") == 1
    assert json.loads(good(run("status", "--json")))["logins"] == []
    assert notes(run) == []


def test_where_no_browser_opens_the_address_is_there_to_be_opened_by_hand(
    project: Project, config: Path, provider: Provider, outside: Path, tmp_path: Path
) -> None:
    env = environment(project, tmp_path, BROWSER="/nowhere/browser")
    argv = [str(project.command), "login", "--issuer", provider.issuer, "--client-id", "mcpwrap"]
    for more, said in (([], "No browser could be opened."), (["--no-browser"], "Open this address in a browser")):
        with subprocess.Popen([*argv, *more], env=env, cwd=outside, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdout is not None
            url, told = "", ""
            while not (url and said in told):
                line = process.stdout.readline()
                assert line, told
                told += line
                url = line.strip() if line.startswith("  http") else url
            Browser().visits(url)
            assert process.wait(COMMAND_DEADLINE_S) == 0
            assert "Signed in as ann@acme.example." in process.stdout.read()
        if not more:
            assert f"Without one: mcpwrap login --issuer {provider.issuer} --client-id mcpwrap --device\n" in told


def test_a_refusal_to_a_profile_names_the_profile(run: Run, provider: Provider, config: Path) -> None:
    profile(config, provider)
    profile(config, provider, "ci", client_id="ci", flow="client-credentials", key="/nowhere/ci.pem")
    ended = run("login", "work", BROWSER_DOES="cancels")
    assert "hint: nothing was stored; `mcpwrap login work` starts again\n" in ended.stderr
    ended = run("login", "work", "--client-secret", stdin="wrong")
    assert "refused: invalid_client" in ended.stderr
    assert ended.stderr.endswith("a client that has a secret: mcpwrap login work --client-secret\n")
    ended = run("login", "ci")
    assert "error: the key file `/nowhere/ci.pem` isn't there\n" in ended.stderr
    assert "hint: `key` of [profiles.ci] in your config.toml names it; put the file there\n" in ended.stderr


def test_what_an_agent_is_told_to_have_typed_is_all_that_it_typed(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("scripted = true", "scripted = false"))
    typed = ("login", "--issuer", "https://login.example.com", "--scope", "repo:*", "--device")
    assert shlex.join(["mcpwrap", *typed]) in run(*typed, CLAUDECODE="1").stderr


# who may


def test_an_agent_signs_nobody_in_and_may_sign_out(project: Project, run: Run, provider: Provider, config: Path) -> None:
    good(run("login", "--issuer", provider.issuer))
    config.write_text(config.read_text().replace("scripted = true", "scripted = false"))
    ended = run("login", "--issuer", provider.issuer, CLAUDECODE="1")
    assert ended.returncode == 3
    assert "`CLAUDECODE` says that this is a shell of Claude Code" in ended.stderr
    assert run("login").returncode == 3
    told = good(run("logout", CLAUDECODE="1"))
    assert told == f"signed out of {provider.issuer}; running servers get no new token from the next call on\n"
    assert json.loads(good(run("status", "--json")))["logins"] == []


def test_a_person_signs_in_at_a_terminal(project: Project, config: Path, provider: Provider, outside: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("scripted = true", "scripted = false"))
    argv = [str(project.command), "login", "--issuer", provider.issuer]
    with Person(argv, env=environment(project, tmp_path), cwd=outside) as person:
        person.reads("Opening your browser.")
        person.reads("Signed in as ann@acme.example.")
        assert person.ends() == 0


def test_a_code_is_shown_for_a_browser_elsewhere(
    project: Project, config: Path, provider: Provider, outside: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text().replace("scripted = true", "scripted = false"))
    argv = [str(project.command), "login", "--issuer", provider.issuer, "--device"]
    with Person(argv, env=environment(project, tmp_path), cwd=outside) as person:
        place = person.reads("and enter the code     ").split("go to  ")[1].split()[0]
        code = person.reads("\n").strip()
        Browser().visits(f"{place}?user_code={code}")
        person.reads("Signed in as ann@acme.example.")
        assert person.ends() == 0


def test_a_client_secret_is_typed_and_never_seen(run: Run, provider: Provider, config: Path) -> None:
    ended = run("login", "--issuer", provider.issuer, "--client-id", "mcpwrap", "--client-secret", stdin="")
    assert ended.returncode == 2
    assert "no secret was entered" in ended.stderr


# a project


def ask_for(project: Project, provider: Provider) -> None:
    project.write(
        f"""version = 1
[project]
name = "shop"
[login]
issuer = "{provider.issuer}"
[servers.files]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["*"]
[servers.files.credentials.API_TOKEN]
login = {{ resource = "{API}", scope = ["repo:read"] }}
"""
    )


def test_a_project_that_isnt_trusted_chooses_no_provider(run: Run, project: Project, provider: Provider) -> None:
    ask_for(project, provider)
    ended = run("login", cwd=project.root)
    assert ended.returncode == 3
    assert f"mcpwrap.toml:5 asks you to sign in at {provider.issuer}, and isn't trusted" in ended.stderr
    assert "mcpwrap trust" in ended.stderr


def test_a_trusted_project_asks_for_its_provider_and_for_what_its_servers_want(
    run: Run, project: Project, provider: Provider
) -> None:
    ask_for(project, provider)
    project.trust()
    ended = run("login", cwd=project.root)
    told = good(ended)
    assert told.startswith(f"shop asks you to sign in at {provider.issuer} (mcpwrap.toml:5)\nOpening your browser.")
    [login] = json.loads(good(run("status", "--json", cwd=project.root)))["logins"]
    assert (login["profile"], login["resources"]) == ("", [API])
    assert "repo:read" in login["scopes"]


def test_a_profile_for_the_projects_provider_is_the_one_that_is_meant(
    run: Run, project: Project, provider: Provider, config: Path
) -> None:
    ask_for(project, provider)
    project.trust()
    profile(config, provider, "acme")
    good(run("login", cwd=project.root))
    [login] = json.loads(good(run("status", "--json", cwd=project.root)))["logins"]
    assert (login["profile"], login["client_id"]) == ("acme", "mcpwrap")


def test_a_provider_that_a_change_brings_in_waits_for_trust(run: Run, project: Project, provider: Provider) -> None:
    project.write('version = 1\n[servers.files]\ncommand = ["/bin/true"]\n')
    project.trust()
    ask_for(project, provider)
    ended = run("login", cwd=project.root)
    assert ended.returncode == 3
    assert "isn't trusted" in ended.stderr


# the end


def test_a_logout_where_the_provider_is_down_wipes_here_and_says_what_is_left(run: Run, provider: Provider) -> None:
    good(run("login", "--issuer", provider.issuer))
    provider.switch(down=["/token/revocation"])
    told = good(run("logout"))
    assert told.startswith(f"wiped the login of {provider.issuer} here;")
    assert "not revoked at the provider: 127.0.0.1 can't answer now (status 503)" in told
    assert json.loads(good(run("status", "--json")))["logins"] == []
    assert [method for method, _ in notes(run)] == ["mcpwrap/login", "mcpwrap/logout"]


def test_a_logout_works_without_the_vaults_key(run: Run, provider: Provider, project: Project) -> None:
    good(run("login", "--issuer", provider.issuer))
    (project.home / "vault.key").unlink()
    status = json.loads(good(run("status", "--json")))
    assert (status["vault"]["state"], status["logins"]) == ("closed", [])
    told = good(run("logout"))
    assert told.startswith(f"wiped the login of {provider.issuer} here;")
    assert "not revoked at the provider: the vault doesn't open" in told
    state = project.home / ".local" / "state" / "mcpwrap"
    assert list((state / "logins").iterdir()) == []
    assert good(run("logout")) == "nobody is signed in; nothing changed\n"


def test_one_of_several_logins_is_named_or_all_are(run: Run, provider: Provider, config: Path) -> None:
    profile(config, provider)
    profile(config, provider, "customers")
    for name in ("work", "customers"):
        good(run("login", name))
    ended = run("logout")
    assert ended.returncode == 2
    assert "hint: name one of them: customers, work\n" in ended.stderr
    # pasted, a hint ends no login that nobody named
    unknown = run("logout", "nix")
    assert unknown.returncode == 2
    assert unknown.stderr.endswith("hint: mcpwrap status\n")
    [one] = json.loads(good(run("logout", "work", "--json")))
    assert one == {"profile": "work", "issuer": provider.issuer, "wiped": True, "revoked": True, "why": ""}
    told = good(run("logout", "--all"))
    assert told.startswith(f"signed out of customers ({provider.issuer})")
    assert good(run("logout", "work")).startswith(f"nobody was signed in at work ({provider.issuer})")
    assert run("logout", "nobody").returncode == 2
    assert run("logout", "work", "--all").returncode == 2
    assert run("logout", "local").returncode == 2


# what must never be seen


def test_no_secret_of_a_login_is_seen_anywhere(run: Run, provider: Provider, project: Project, tmp_path: Path) -> None:
    from mcpwrap.identity.keys import open_vault
    from mcpwrap.identity.logins import LoginStore, key_of
    from mcpwrap.identity.vault import Places

    key = project.home / "vault.key"
    outputs: list[str] = []
    arguments: Mapping[str, Any] = {"MCPWRAP_DEBUG": "1"}
    for does in ("approves", "cancels", "mangles:code=canary-of-a-code", "mangles:iss"):
        ended = run("login", "--issuer", provider.issuer, "--resource", API, BROWSER_DOES=does, **arguments)
        outputs += [ended.stdout, ended.stderr]
    places = Places(str(project.home / ".local/state/mcpwrap"), str(project.home / ".local/share/mcpwrap"))
    vault = open_vault(places, f"file:{key}", os.environ)
    secrets = LoginStore(vault).secrets(key_of("", provider.issuer))
    assert secrets is not None
    canaries = [secrets.refresh_token, *(access.token for access in secrets.access.values()), "canary-of-a-code"]
    assert all(canaries)
    for args in (("status",), ("status", "--json"), ("log", "--json"), ("logout", "--json")):
        ended = run(*args, **arguments)
        outputs += [ended.stdout, ended.stderr]
    outputs += [repr(secrets), repr(vault), (tmp_path / "page").read_text()]
    outputs += [path.read_bytes().decode("latin-1") for path in project.home.rglob("*") if path.is_file()]
    for canary in canaries:
        assert not [text for text in outputs if canary in text]


def test_a_secret_and_a_passphrase_come_in_without_arguments_and_are_never_seen(
    project: Project, user_config: Path, run_bare: Run
) -> None:
    secret, passphrase = "canary-secret-of-the-client", "canary-of-a-passphrase"
    ci = {
        "client_id": "ci",
        "client_secret": secret,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
    }
    outputs: list[str] = []

    def mcpwrap(*args: str, stdin: str = "") -> str:
        ended = run_bare(*args, stdin=stdin, MCPWRAP_PASSPHRASE=passphrase, MCPWRAP_DEBUG="1")
        outputs.extend([ended.stdout, ended.stderr])
        return good(ended)

    with running(Setup(clients=[ci])) as provider:
        mcpwrap("vault", "init", "--passphrase")
        profile(user_config, provider, "ci", client_id="ci", flow="client-credentials", resources=[API], scopes=["repo:read"])
        told = mcpwrap("login", "ci", stdin=f"{secret}\n")
        assert told.endswith("Signed in as ci. Renews by itself; key behind a passphrase.\n")
        # it is kept: the next time nobody has to give it
        [login] = [json.loads(mcpwrap("login", "ci", "--json"))]
        assert (login["sub"], login["refreshable"], login["resources"]) == ("ci", True, [API])
        wrong = run_bare("login", "ci", "--client-secret", stdin="canary-of-another", MCPWRAP_PASSPHRASE=passphrase)
        assert "invalid_client" in wrong.stderr
        outputs.extend([wrong.stdout, wrong.stderr])
        mcpwrap("status", "--json")
        mcpwrap("log", "--json")
        mcpwrap("logout")
    outputs += [path.read_bytes().decode("latin-1") for path in project.home.rglob("*") if path.is_file()]
    for canary in (secret, passphrase, "canary-of-another"):
        assert not [text for text in outputs if canary in text]


@pytest.fixture
def run_bare(project: Project, outside: Path, tmp_path: Path) -> Run:
    """As `run`, before there is a vault."""

    def one(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [project.command, *args],
            cwd=outside,
            env=environment(project, tmp_path, **env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )

    return one


def test_a_vault_that_doesnt_open_is_said_before_any_browser_opens(run: Run, project: Project, provider: Provider) -> None:
    (project.home / "vault.key").unlink()
    before = provider.state()["requests"]
    ended = run("login", "--issuer", provider.issuer)
    assert ended.returncode == 1
    assert "vault.key" in ended.stderr
    assert "browser" not in ended.stdout
    assert provider.state()["requests"] == before


def test_a_logout_works_with_a_file_that_cant_be_read(run: Run, provider: Provider, config: Path) -> None:
    good(run("login", "--issuer", provider.issuer))
    config.write_text("broken = [")
    assert good(run("logout")).startswith(f"wiped the login of {provider.issuer} here;")


def test_a_login_that_cant_be_renewed_says_when_it_ends(run: Run, provider: Provider) -> None:
    provider.switch(metadata={"scopes_supported": ["openid", "email"]})
    told = good(run("login", "--issuer", provider.issuer, "--client-id", "mcpwrap"))
    assert re.search(
        rf"Signed in as ann@acme\.example\. It ends at \d\d:\d\d: {re.escape(provider.issuer)} gave no refresh token\.", told
    )
    assert re.search(r"until \d\d:\d\d, and can't be renewed", good(run("status")))


def test_a_script_accepts_no_place_for_a_code_at_another_host(run: Run, provider: Provider) -> None:
    provider.switch(
        down=["/device/auth"],
        status=200,
        answer={"device_code": "d", "user_code": "A", "verification_uri": "https://evil.example/"},
    )
    ended = run("login", "--issuer", provider.issuer, "--client-id", "mcpwrap", "--device")
    assert ended.returncode == 1
    assert "the place for the code was not accepted" in ended.stderr


def test_profiles_are_completed(run: Run, provider: Provider, config: Path) -> None:
    profile(config, provider, "work")
    told = good(run(_MCPWRAP_COMPLETE="bash_complete", COMP_WORDS="mcpwrap login ", COMP_CWORD="2"))
    assert {"plain,local", "plain,work"} <= set(told.split())
    told = good(run(_MCPWRAP_COMPLETE="bash_complete", COMP_WORDS="mcpwrap logout ", COMP_CWORD="2"))
    assert told.split() == ["plain,work"]


def test_the_wait_for_a_browser_is_told_minute_by_minute() -> None:
    from mcpwrap.cli.here import Here
    from mcpwrap.cli.identity import Meant
    from mcpwrap.cli.login import _Screen
    from mcpwrap.core.credentials import Profile

    shown: list[str] = []

    class Quiet:
        scripted = False

        def show(self, text: str) -> None:
            shown.append(text)

        def confirm(self, question: str) -> bool:
            return True

        def hidden(self, question: str) -> Secret:
            return Secret("")

    screen = _Screen(Here.now(), Quiet(), Meant(Profile("", "https://a.example")), browser=True, quiet=False)
    for left_s in range(300, -1, -1):
        screen.waiting(float(left_s))
    assert shown == [
        "Still waiting, 4 more minutes; Ctrl-C ends it.",
        "Still waiting, 3 more minutes; Ctrl-C ends it.",
        "Still waiting, 2 more minutes; Ctrl-C ends it.",
        "Still waiting, 1 more minute; Ctrl-C ends it.",
    ]
