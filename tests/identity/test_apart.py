"""The process apart: what it is told and what it tells, and what becomes of it when who asked, or it itself, fails."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from mcpwrap.core.credentials import Bearer, Failed, FromSecret, Issued, Minted, Wanted
from mcpwrap.identity import apart, job
from mcpwrap.identity.apart import Apart
from mcpwrap.identity.job import Job, decode_answer, encode_answer
from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.identity.vault import Vault
from mcpwrap.secret import Secret
from tests.identity.installation import bearer, keep, sign_in, wanted
from tests.identity.installation import job as job_of
from tests.identity.providers.oidc import Provider

DEADLINE_S = 60.0
AGENT = Wanted("AGENT_TOKEN", Minted())


@pytest.fixture(autouse=True)
def reaped() -> Iterator[None]:
    """Every process is reaped before the next test."""
    yield
    deadline = time.monotonic() + DEADLINE_S
    while apart._left and time.monotonic() < deadline:
        apart._reap()
        select.select([], [], [], 0.01)
    assert not apart._left


def results(asked: Apart) -> list[Issued | Failed]:
    """What comes, however long it takes."""
    found = None
    deadline = time.monotonic() + DEADLINE_S
    while found is None:
        assert time.monotonic() < deadline
        select.select([asked], [], [], DEADLINE_S)
        found = asked.read()
    return found


def stand_in(vault: Vault, script: str) -> Apart:
    """A process that does what `script` says in place of the job."""
    return apart.start(job_of(vault, bearer(), AGENT), python=("/bin/sh", "-c", script))


def why(found: list[Issued | Failed]) -> str:
    assert len(found) == 1
    assert isinstance(found[0], Failed)
    assert found[0].retry_s == apart.RETRY_S
    assert found[0].hint == "mcpwrap status"
    return found[0].why


def test_what_was_asked_for_comes_back(vault: Vault) -> None:
    SecretStore(vault).set("/src/shop", "issues", "KEY", Secret("s3cret ✓"))
    asked = apart.start(job_of(vault, bearer(), AGENT, Wanted("SECRET", FromSecret("KEY")), Wanted("X", FromSecret("NONE"))))
    assert asked.pid > 0
    found = results(asked)
    assert isinstance(found[0], Issued)
    assert found[1] == Issued("SECRET", Secret("s3cret ✓"))
    assert isinstance(found[2], Failed)
    assert found[2].retry_s is None
    assert asked.fileno() == -1


def test_reading_before_there_is_something_does_not_block(vault: Vault) -> None:
    asked = stand_in(vault, "exec sleep 60")
    assert asked.read() is None
    assert asked.read() is None
    os.kill(asked.pid, signal.SIGKILL)
    assert "no whole answer" in why(results(asked))


def test_waiting_for_the_answer_is_bounded_and_the_process_goes_on(vault: Vault, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    asked = stand_in(vault, f"read line < {go}; echo done > {tmp_path}/done; echo '[]'")
    assert "no answer within 30 s" in why(asked.give_up())
    with go.open("w") as pipe:
        pipe.write("go\n")
    os.waitid(os.P_PID, asked.pid, os.WEXITED | os.WNOWAIT)
    assert (tmp_path / "done").read_text() == "done\n"


def test_run_gives_up_after_its_time(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(apart.run(job_of(vault, bearer(), AGENT))[0], Issued)
    assert "no answer" in why(apart.run(job_of(vault, bearer(), AGENT), timeout_s=0.0))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "garbage",
        "{}",
        "[]",
        '[{"name": "AGENT_TOKEN", "value": "x"}',
        '[{"name": "OTHER", "value": "x"}]',
        '[{"name": "AGENT_TOKEN", "value": "x"}, {"name": "AGENT_TOKEN", "value": "x"}]',
        '[{"name": 7}]',
        "\\377",
    ],
)
def test_what_is_no_answer_is_a_failure_that_passes(vault: Vault, said: str) -> None:
    assert "no whole answer" in why(results(stand_in(vault, f"printf '{said}\\n'")))


def test_an_answer_that_was_cut_off_is_none(vault: Vault) -> None:
    assert "no whole answer" in why(results(stand_in(vault, """printf '[{"name": "AGENT_TOKEN", "value": "x"}]'""")))


def test_an_answer_without_end_is_not_read(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (apart, job):
        monkeypatch.setattr(module, "ANSWER_LIMIT", 100_000)
    asked = stand_in(vault, "exec cat /dev/zero")
    assert "no whole answer" in why(results(asked))


def test_of_a_crash_the_name_is_told_and_nothing_else(vault: Vault) -> None:
    told = why(results(stand_in(vault, "echo 'Traceback' >&2; echo 'some.where.KeyError: s3cret' >&2; exit 1")))
    assert told == "the process that renews credentials failed: it ended with KeyError"
    assert "no whole answer" in why(results(stand_in(vault, "echo '\x1b[31m s3cret' >&2; exit 1")))


def test_a_process_that_cannot_be_started_is_a_failure_that_can_be_waited_for(vault: Vault) -> None:
    asked = apart.start(job_of(vault, bearer(), AGENT), python=("/nowhere/python",))
    assert asked.pid == 0
    select.select([asked], [], [])
    assert "can't be started (FileNotFoundError)" in why(results(asked))


def test_a_process_that_ends_before_it_has_its_job_is_a_failure(vault: Vault) -> None:
    assert "no whole answer" in why(results(stand_in(vault, "exec <&-; exit 0")))


def test_a_job_that_does_not_fit_into_a_pipe_is_not_sent(vault: Vault) -> None:
    asked = apart.start(job_of(vault, bearer(), Wanted("AGENT_TOKEN", FromSecret("x" * 70_000))))
    assert "60 KiB" in why(results(asked))


def test_a_name_that_is_no_text_is_told(vault: Vault) -> None:
    asked = apart.start(job_of(vault, Bearer("/src/\udcff", "shop", "issues", ""), AGENT))
    assert "no text" in why(results(asked))


def test_a_pipe_that_breaks_is_an_end(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(vault, "exec sleep 60")
    pid, fd = asked.pid, asked.fileno()
    real = os.read

    def broken(descriptor: int, size: int) -> bytes:
        if descriptor == fd:
            raise OSError(5, "Input/output error")
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", broken)
    found = asked.read()
    assert found is not None
    assert "no whole answer" in why(found)
    os.kill(pid, signal.SIGKILL)


def test_a_job_with_another_key_is_a_crash(vault: Vault) -> None:
    asked = apart.start(msgspec.structs.replace(job_of(vault, bearer(), AGENT), key=b"x" * 32))
    assert "it ended with VaultError" in why(results(asked))


def test_the_worker_reads_no_more_than_a_job(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "JOB_LIMIT", 1 << 20)
    asked = apart.start(job_of(vault, bearer(), Wanted("AGENT_TOKEN", FromSecret("x" * 62_000))))
    assert "it ended with ValueError" in why(results(asked))


def test_nothing_that_a_repository_brings_is_imported(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("msgspec", "json", "sitecustomize", "usercustomize", "mcpwrap", "jwt"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "PYTHONHOME": str(tmp_path),
        "PYTHONINSPECT": "1",
        "LD_PRELOAD": "",
    }.items():
        monkeypatch.setenv(name, value)
    assert isinstance(apart.run(job_of(vault, bearer(), AGENT))[0], Issued)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_secret_is_in_its_arguments_or_its_environment_nor_anything_of_the_askers(
    vault: Vault, provider: Provider, canaries: Callable[[bytes], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "PYTHONPATH", "MCPWRAP_PASSPHRASE"):
        monkeypatch.setenv(name, "/of-the-asker")
    key = sign_in(vault, provider)
    provider.switch(late=["/token"], late_ms=400)
    asked = apart.start(job_of(vault, bearer(key), wanted()))
    proc = Path("/proc", str(asked.pid))
    argv, env = (proc / "cmdline").read_bytes(), (proc / "environ").read_bytes()
    assert canaries(argv) == canaries(env) == []
    assert {each.partition(b"=")[0] for each in env.split(b"\0") if each} <= {b"PATH", b"LANG", b"LC_CTYPE"}
    assert b"/of-the-asker" not in argv + env
    assert os.getsid(asked.pid) == asked.pid
    assert (proc / "cwd").readlink() == Path("/")
    opened = {int(each.name): str(each.readlink()) for each in (proc / "fd").iterdir() if int(each.name) > 2}
    assert not [path for path in opened.values() if path.startswith("pipe:")]
    assert isinstance(results(asked)[0], Issued)


@pytest.fixture
def canaries(vault: Vault, provider: Provider) -> Callable[[bytes], list[str]]:
    """Finds what is secret in some bytes: the installation's key, the refresh token, access tokens, in any usual form."""
    from base64 import b64encode, urlsafe_b64encode

    def found(data: bytes) -> list[str]:
        secrets = {"the key": vault.key}
        for card in LoginStore(vault).cards():
            kept = LoginStore(vault).secrets(card.key)
            assert kept is not None
            secrets["the refresh token"] = kept.refresh_token.encode()
            secrets |= {f"an access token {n}": token.token.encode() for n, token in enumerate(kept.access.values())}
        forms = {
            f"{name} {form}": text
            for name, secret in secrets.items()
            for form, text in (
                ("as it is", secret),
                ("in hex", secret.hex().encode()),
                ("in HEX", secret.hex().upper().encode()),
                ("in base64", b64encode(secret).rstrip(b"=")),
                ("in base64url", urlsafe_b64encode(secret).rstrip(b"=")),
                ("as Python shows it", repr(secret).encode()[2:-1]),
            )
        }
        return [name for name, text in forms.items() if text in data]

    return found


def test_nothing_secret_is_shown_by_what_holds_it(
    vault: Vault, provider: Provider, canaries: Callable[[bytes], list[str]], tmp_path: Path
) -> None:
    key = sign_in(vault, provider)
    SecretStore(vault).set("/src/shop", "issues", "KEY", Secret("s3cret-canary"))
    asked = job_of(vault, bearer(key), wanted(), AGENT, Wanted("SECRET", FromSecret("KEY")))
    running = apart.start(asked)
    found = results(running)
    minted = next(each.value.reveal() for each in found if isinstance(each, Issued) and each.name == "AGENT_TOKEN")
    answer = encode_answer(found)
    shown = "".join(map(repr, (asked, running, found, vault, LoginStore(vault).secrets(key), LoginStore(vault).card(key))))
    shown += repr(msgspec.json.decode(answer, type=list[job._Answer]))
    assert canaries(shown.encode()) == []
    assert "s3cret-canary" not in shown
    assert minted not in shown
    assert canaries(answer) == ["an access token 0 as it is", "an access token 0 as Python shows it"]
    # nor in any file but sealed
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert canaries(data) == []
            assert b"s3cret-canary" not in data
            assert minted.encode() not in data


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGUSR1"])
def test_the_signals_that_end_a_shim_do_not_end_a_refresh(vault: Vault, provider: Provider, name: str) -> None:
    key = sign_in(vault, provider)
    before = provider.state()["refreshes"]
    provider.switch(late=["/token"], late_ms=150)
    asked = apart.start(job_of(vault, bearer(key), wanted()))
    deadline = time.monotonic() + DEADLINE_S
    while provider.state()["refreshes"] == before:
        assert time.monotonic() < deadline
    os.kill(asked.pid, getattr(signal, name))
    assert isinstance(results(asked)[0], Issued)


def test_a_worker_that_hangs_ends_itself(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # the same code with a short life, in a process that waits for a job that never comes
    code = apart._CODE.replace("main()\n", "from mcpwrap.identity import worker\nworker.LIFE_S = 0.3\nmain()\n")
    monkeypatch.setattr(apart, "_CODE", code)
    go = tmp_path / "go"
    os.mkfifo(go)
    asked = apart.start(job_of(vault, bearer(), AGENT), python=("/bin/sh", "-c", f'exec {sys.executable} "$@" < {go}', "sh"))
    with go.open("w"):
        assert "no whole answer" in why(results(asked))


def test_an_answer_is_that_to_what_was_asked() -> None:
    asked = (AGENT, wanted())
    found: list[Issued | Failed] = [Issued("AGENT_TOKEN", Secret("x"), 1.5, 1.0), Failed("API_TOKEN", "why", "hint", None)]
    data = encode_answer(found)
    assert decode_answer(data, asked) == found
    assert decode_answer(data[:-1], asked) is None
    assert decode_answer(data, (AGENT,)) is None
    assert decode_answer(b"[" * 100_000 + b"\n", asked) is None


def test_a_login_that_ended_is_told_through_the_process_too(vault: Vault, provider: Provider) -> None:
    key = keep(vault, provider.issuer, "never-given")
    found = results(apart.start(job_of(vault, bearer(key), wanted())))
    assert isinstance(found[0], Failed)
    assert found[0].hint == "mcpwrap login acme"


def test_the_worker_is_deaf_to_signals_and_leaves_no_dump_before_it_reads_its_job(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcpwrap.identity import worker

    done: list[str] = []
    said = bytearray()
    real = os.write

    class Input:
        def read(self, size: int) -> bytes:
            done.append("read")
            return msgspec.json.encode(job_of(vault, bearer(), AGENT))

    def write(fd: int, data: bytes) -> int:
        if fd != 1:
            return real(fd, data)
        said.extend(data[:100])
        if len(said) > 200:
            raise BrokenPipeError
        return min(len(data), 100)

    monkeypatch.setattr(signal, "signal", lambda number, what: done.append(f"{signal.Signals(number).name} {what.name}"))
    monkeypatch.setattr(signal, "setitimer", lambda which, life_s: done.append(f"ends after {life_s} s"))
    monkeypatch.setattr("resource.setrlimit", lambda which, limits: done.append(f"limit {limits}"))
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=Input()))
    monkeypatch.setattr(os, "set_blocking", lambda fd, blocking: done.append(f"{fd} blocks: {blocking}"))
    monkeypatch.setattr(os, "write", write)
    worker.main()
    monkeypatch.undo()
    assert done.index("read") == len(done) - 1
    assert {f"{name} SIG_IGN" for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE")} <= set(done)
    assert {"2 blocks: False", "limit (0, 0)", f"ends after {worker.LIFE_S} s"} <= set(done)
    assert bytes(said).startswith(b'[{"name":"AGENT_TOKEN","value":"ey')


def test_the_worker_reads_a_job_and_no_more(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcpwrap.identity import worker

    monkeypatch.setattr(worker, "_settle", lambda: None)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=types.SimpleNamespace(read=lambda size: b"x" * size)))
    with pytest.raises(ValueError, match="too long"):
        worker.main()


def test_windows_has_what_its_sockets_need_and_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcpwrap.identity import worker

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("SYSTEMROOT", "C:\\Windows")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert apart._environment() == {"SYSTEMROOT": "C:\\Windows"}
    done: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda number, what: done.append(number))
    monkeypatch.setattr(signal, "setitimer", None)
    monkeypatch.setattr(worker, "IGNORED", ("SIGINT", "SIGNOTHING"))
    monkeypatch.setattr(os, "set_blocking", lambda fd, blocking: None)
    worker._settle()
    assert done == [signal.SIGINT]


def test_it_knows_its_job() -> None:
    assert Job.__struct_fields__ == ("places", "header", "key", "bearer", "wanted", "network", "lends")
