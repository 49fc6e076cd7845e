"""Which keyrings count, and the process in which they are asked (`mcpwrap.identity.keyrings`)."""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mcpwrap.errors import VaultError
from mcpwrap.identity import keyrings
from mcpwrap.identity.keyfile import text_of
from mcpwrap.identity.keyrings import KNOWN, NO_KEYRING, Probe, choose, probe_keyring, read_entry, remove_entry, write_entry
from tests.contracts.keyrings import CredentialLocker, Keychain, macos, windows
from tests.identity.odd_bus import OddBus
from tests.identity.secret_service import SecretService

DEADLINE_S = 60.0
"""For the end of what was killed; it takes a moment, the rest is for a busy machine."""

NOT_OURS = [
    "keyring.backends.null.Keyring",
    "keyring.backends.fail.Keyring",
    "keyrings.alt.file.PlaintextKeyring",
    "keyrings.alt.file.EncryptedKeyring",
    "planted.Keyring",
    "keyring.backends.SecretService.Keyring2",
]

PLANTED = "import pathlib; pathlib.Path({mark!r}).touch()\nclass Keyring:\n    priority = 99\n"


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_keyring_that_a_variable_names_is_refused_with_its_name(name: str, secret_service: SecretService) -> None:
    found = probe_keyring({**secret_service.env, "PYTHON_KEYRING_BACKEND": name})
    assert (found.backend, found.why) == ("", f"`{name}` is no keyring that the key may lie in")
    assert "PYTHON_KEYRING_BACKEND" in found.hint
    with pytest.raises(VaultError, match=r"is no keyring that the key may lie in"):
        write_entry({**secret_service.env, "PYTHON_KEYRING_BACKEND": name}, "one", os.urandom(32))
    assert secret_service.get({"service": "mcpwrap"}) is None


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_keyring_that_keyringrc_names_is_refused_with_its_name(name: str, secret_service: SecretService) -> None:
    folder = Path(secret_service.env["XDG_CONFIG_HOME"], "python_keyring")
    folder.mkdir()
    (folder / "keyringrc.cfg").write_text(f"[backend]\ndefault-keyring = {name}\n")
    assert probe_keyring(secret_service.env).why == f"`{name}` is no keyring that the key may lie in"


def test_nothing_that_a_variable_or_a_file_names_is_imported(secret_service: SecretService, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "planted.py").write_text(PLANTED.format(mark=str(mark)))
    folder = Path(secret_service.env["XDG_CONFIG_HOME"], "python_keyring")
    folder.mkdir()
    (folder / "keyringrc.cfg").write_text(f"[backend]\nkeyring-path = {tmp_path}\ndefault-keyring = planted.Keyring\n")
    env = {**secret_service.env, "PYTHONPATH": str(tmp_path)}
    assert "planted.Keyring" in probe_keyring(env).why
    assert "planted.Keyring" in probe_keyring({**env, "PYTHON_KEYRING_BACKEND": "planted.Keyring"}).why
    assert not mark.exists()


@pytest.mark.parametrize("name", ["keyring.backends.SecretService.Keyring", "keyring.backends.chainer.ChainerBackend"])
def test_a_known_keyring_may_be_named(name: str, secret_service: SecretService) -> None:
    assert probe_keyring({**secret_service.env, "PYTHON_KEYRING_BACKEND": name}) == Probe("Secret Service")


def test_a_known_keyring_that_does_not_work_here_is_not_replaced_by_another(secret_service: SecretService) -> None:
    env = {**secret_service.env, "PYTHON_KEYRING_BACKEND": "keyring.backends.Windows.WinVaultKeyring"}
    assert probe_keyring(env).why == NO_KEYRING


def test_a_broken_keyringrc_names_nothing(secret_service: SecretService) -> None:
    folder = Path(secret_service.env["XDG_CONFIG_HOME"], "python_keyring")
    folder.mkdir()
    for data in (b"nonsense", b"[backend]\n", b"\xff\xfe", b"[other]\ndefault-keyring = planted.Keyring\n"):
        (folder / "keyringrc.cfg").write_bytes(data)
        assert probe_keyring(secret_service.env).backend == "Secret Service"


def test_without_any_keyring_the_remedy_is_said(tmp_path: Path) -> None:
    found = probe_keyring({"HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})
    assert found == Probe("", NO_KEYRING, "run `mcpwrap vault init --key-file PATH` (or --passphrase)")


def test_an_entry_is_written_read_and_taken_away(secret_service: SecretService) -> None:
    key = os.urandom(32)
    assert write_entry(secret_service.env, "one", key) == "Secret Service"
    assert read_entry(secret_service.env, "one", "Secret Service") == key
    assert remove_entry(secret_service.env, "one", "Secret Service")
    assert not remove_entry(secret_service.env, "one", "Secret Service")


def test_the_keyring_that_the_vault_was_made_with_counts_and_no_other(secret_service: SecretService) -> None:
    with pytest.raises(VaultError, match="the installation's key lies in the KWallet, and that isn't here"):
        read_entry(secret_service.env, "one", "KWallet")


def test_a_keyring_that_hangs_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OddBus(tmp_path, lambda method: None) as odd:
        found = probe_keyring({"HOME": str(tmp_path), **odd.env})
    assert found.backend == ""
    assert "didn't answer within 3 s" in found.why or found.why == NO_KEYRING


# the process apart


def sleeping(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(keyrings, "_BOOT", script)
    monkeypatch.setattr(keyrings, "_START_S", 0.5)
    monkeypatch.setattr(keyrings, "LIMIT_S", 0.5)


def ended(pid: str) -> bool:
    try:
        # (one that nobody waited for yet is a zombie)
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_process_that_never_answers_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    sleeping(
        monkeypatch,
        "import subprocess, sys, os, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)",
    )
    found = probe_keyring({})
    assert "didn't answer" in found.why
    assert "--key-file" in found.hint
    end = time.monotonic() + DEADLINE_S
    for pid in pids.read_text().split():
        # the kill is sent by then, and takes effect when the system gets round to it
        while not ended(pid):
            assert time.monotonic() < end, pid
            time.sleep(0.01)


@pytest.mark.parametrize("script", ["", "print('{')", "print('x' * 100)", "print()", "import sys; sys.exit(3)"])
def test_a_process_that_answers_nonsense_is_said(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyrings, "_BOOT", script)
    assert probe_keyring({}).why == "the process that asks the keyring ended without an answer"


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert probe_keyring({}).why == "the process that asks the keyring can't be started: No such file or directory"


def test_the_other_process_reads_a_line_and_writes_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    locker = CredentialLocker()
    backend = windows(monkeypatch, locker)
    monkeypatch.setattr(keyrings, "choose", lambda *_: (backend, "Windows Credential Locker"))
    key = os.urandom(32)

    def ask(**request: Any) -> dict[str, Any]:
        line = msgspec.json.encode(keyrings._Request(**request)) + b"\n"
        output = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(line)}))
        monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": output}))
        keyrings.main()
        return msgspec.to_builtins(msgspec.json.decode(output.getvalue(), type=keyrings._Reply), builtin_types=(bytes,))  # type: ignore[no-any-return]

    assert ask(op="probe")["backend"] == "Windows Credential Locker"
    assert "isn't in" in ask(op="read", name="one")["why"]
    assert ask(op="write", name="one", key=key)["why"] == ""
    assert ask(op="read", name="one")["key"] == key
    assert ask(op="remove", name="one")["done"]
    assert not ask(op="remove", name="one")["done"]


def test_the_other_process_leaves_a_keyring_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()
    monkeypatch.setattr(keyrings, "choose", lambda *_: released.wait())
    monkeypatch.setattr(keyrings, "LIMIT_S", 0.1)
    assert "didn't answer" in keyrings.answer(keyrings._Request("probe"), {}).why
    released.set()


def test_whatever_happens_in_the_other_process_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyrings, "choose", lambda *_: None)
    assert keyrings.answer(keyrings._Request("probe"), {}).why == "the system's keyring can't be asked: TypeError"


def test_requests_and_replies_show_no_key() -> None:
    key = b"k" * 32
    for each in (keyrings._Request("write", "one", key), keyrings._Reply("b", key=key)):
        assert "kkk" not in f"{each!r}{each}{each!s}"
        assert text_of(key)[:8] not in repr(each)


# choosing


def test_windows_and_macos_choose_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "elsewhere")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(keyrings, "_configured", lambda: "")
    for path, backend in (
        ("keyring.backends.Windows.WinVaultKeyring", windows(monkeypatch, CredentialLocker())),
        ("keyring.backends.macOS.Keyring", macos(monkeypatch, Keychain())),
    ):
        cls = type(backend)
        monkeypatch.setattr(keyrings, "_class", {path: cls}.get)
        chosen, name = choose({})
        assert (type(chosen), name) == (cls, KNOWN[path])


def test_a_keyring_whose_asking_fails_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        @property
        def priority(self) -> int:
            raise AssertionError

    monkeypatch.setattr(sys, "platform", "elsewhere")
    monkeypatch.setattr(keyrings, "_configured", lambda: "")
    monkeypatch.setattr(keyrings, "_class", lambda path: Odd)
    with pytest.raises(VaultError, match=NO_KEYRING):
        choose({})


def test_every_known_keyring_is_one_of_the_librarys() -> None:
    import keyring

    folder = Path(keyring.__file__).parent / "backends"
    for path in KNOWN:
        module, _, name = path.removeprefix("keyring.backends.").rpartition(".")
        file = folder / f"{module}.py" if (folder / f"{module}.py").exists() else folder / module / "__init__.py"
        assert f"class {name}(" in file.read_text("utf-8")


def test_a_library_error_is_told_by_kind_and_number_only() -> None:
    class Backend:
        def get_password(self, service: str, username: str) -> str | None:
            raise RuntimeError("the password is hunter2")

        def set_password(self, service: str, username: str, password: str) -> None:
            """Not reached."""

        def delete_password(self, service: str, username: str) -> None:
            """Not reached."""

    with pytest.raises(VaultError, match=r"the key can't be read in the system's keyring: RuntimeError$") as told:
        keyrings.fetch(Backend(), "one")
    assert "hunter2" not in "".join(traceback.format_exception(told.value))


@pytest.fixture
def here(secret_service: SecretService, monkeypatch: pytest.MonkeyPatch) -> SecretService:
    """The Secret Service, asked in this process."""
    for name, value in secret_service.env.items():
        monkeypatch.setenv(name, value)
    return secret_service


def test_the_secret_service_is_chosen_where_it_is_usable(here: SecretService) -> None:
    backend, name = choose(os.environ)
    assert (type(backend).__module__, name) == ("keyring.backends.SecretService", "Secret Service")
    folder = Path(here.env["XDG_CONFIG_HOME"], "python_keyring")
    folder.mkdir()
    (folder / "keyringrc.cfg").write_text("[backend]\ndefault-keyring = keyring.backends.null.Keyring\n")
    with pytest.raises(VaultError, match=r"`keyring.backends.null.Keyring` is no keyring"):
        choose(os.environ)
    with pytest.raises(VaultError, match="and that isn't here"):
        choose({**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.chainer.ChainerBackend"}, only="KWallet")


def test_a_locked_secret_service_is_not_handed_to_the_library(here: SecretService, monkeypatch: pytest.MonkeyPatch) -> None:
    here.lock()
    monkeypatch.setattr(keyrings, "_class", lambda path: None)
    with pytest.raises(VaultError, match="the system's keyring is locked"):
        choose(os.environ)


def test_a_secret_service_without_a_keyring_is_not_handed_to_the_library(
    session_bus: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", session_bus.address)
    monkeypatch.setattr(keyrings, "_class", lambda path: None)
    with pytest.raises(VaultError, match=f"{NO_KEYRING}: the Secret Service has no default keyring") as told:
        choose(os.environ)
    assert "--key-file" in told.value.hint


def test_a_keyring_of_another_platform_is_none_here() -> None:
    assert keyrings._class("keyring.backends.nothing.Keyring") is None


def test_on_windows_the_process_alone_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    monkeypatch.setattr(sys, "platform", "win32")
    keyrings._end(process)
    assert process.returncode is not None
