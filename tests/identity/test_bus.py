"""The session bus that isn't what it should be: none of it hangs, none of it is believed (`mcpwrap.identity.bus`)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpwrap.errors import VaultError
from mcpwrap.identity import bus
from mcpwrap.identity.bus import Locked, Missing, Unreachable
from tests.identity.odd_bus import Answer, OddBus

UNLOCKED = "/org/freedesktop/secrets/collection/login/1"


def good(method: str) -> tuple[str, tuple[Any, ...]] | None:
    """What a Secret Service with one entry answers."""
    return {
        "SearchItems": ("aoao", ([UNLOCKED], [])),
        "OpenSession": ("vo", (("s", ""), "/session")),
        "GetSecrets": ("a{o(oayays)}", ({UNLOCKED: ("/session", b"", b"value", "text/plain")},)),
        "ReadAlias": ("o", ("/org/freedesktop/secrets/collection/login",)),
        "Get": ("v", (("b", False),)),
    }.get(method)


def but(**answers: tuple[str, tuple[Any, ...]] | bytes | None) -> Answer:
    """As `good`, except for these."""
    return lambda method: answers[method] if method in answers else good(method)


def asked(odd: OddBus) -> list[str]:
    return bus.read(odd.env, "name")[0]


def test_what_a_secret_service_says_is_read(tmp_path: Path) -> None:
    with OddBus(tmp_path, good) as odd:
        assert asked(odd) == ["value"]
        assert odd.asked == ["Hello", "SearchItems", "OpenSession", "GetSecrets"]
        assert bus.usable(odd.env) == odd.address


SILENT = [
    pytest.param(good, None, id="never greets"),
    pytest.param(good, b"OK 12", id="stops in the greeting"),
    pytest.param(but(SearchItems=None), b"OK 1\r\n", id="never answers a search"),
    pytest.param(but(OpenSession=None), b"OK 1\r\n", id="never opens a session"),
    pytest.param(but(GetSecrets=None), b"OK 1\r\n", id="never gives the secret"),
    pytest.param(but(SearchItems=b"l"), b"OK 1\r\n", id="stops within an answer"),
]


@pytest.mark.parametrize(("answer", "greeting"), SILENT)
def test_a_bus_that_falls_silent_is_left(
    answer: Answer, greeting: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "LIMIT_S", 0.2)
    with OddBus(tmp_path, answer, greeting) as odd, pytest.raises(Unreachable, match="didn't answer within") as told:
        asked(odd)
    assert "mcpwrap vault status" in told.value.hint


def test_a_bus_that_trickles_does_not_stretch_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.1, 0.1, 0.1, 0.2, 3.5, 3.6])
    monkeypatch.setattr("mcpwrap.identity.bus.time.monotonic", lambda: next(times, 9.0))
    with OddBus(tmp_path, good) as odd, pytest.raises(Unreachable, match="didn't answer within 3 s"):
        asked(odd)


ODD = [
    pytest.param(b"\0" * 64, "isn't a Secret Service", id="zeros"),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "isn't a Secret Service", id="HTTP"),
    pytest.param(("s", ("text",)), "isn't a Secret Service", id="another signature"),
    pytest.param(("", ()), "isn't a Secret Service", id="nothing"),
    pytest.param(("ao", ([UNLOCKED],)), "isn't a Secret Service", id="too little"),
    pytest.param(("!org.freedesktop.DBus.Error.ServiceUnknown", ()), "no Secret Service on the session bus", id="unknown"),
    pytest.param(("!org.example.Failed", ()), "doesn't answer: org.example.Failed", id="an error"),
    pytest.param(b"l\1\0\1" + b"\xff" * 12, "isn't a Secret Service|hung up", id="a message of 4 GiB"),
]


@pytest.mark.parametrize(("answer", "fact"), ODD)
def test_what_answers_oddly_is_not_believed(answer: Any, fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "LIMIT_S", 0.5)
    with OddBus(tmp_path, but(SearchItems=answer)) as odd, pytest.raises(Unreachable, match=f"{fact}|didn't answer"):
        asked(odd)


@pytest.mark.parametrize("greeting", [b"REJECTED EXTERNAL\r\n", b"x" * 2000])
def test_a_bus_that_lets_nobody_in_is_said(greeting: bytes, tmp_path: Path) -> None:
    with OddBus(tmp_path, good, greeting) as odd, pytest.raises(Unreachable):
        asked(odd)


def test_a_bus_that_floods_is_left(tmp_path: Path) -> None:
    from jeepney import DBusAddress, new_signal

    signal = new_signal(DBusAddress("/a", interface="a.b"), "C", "s", ("x" * 100_000,)).serialise(serial=9)
    with OddBus(tmp_path, but(SearchItems=signal * 20)) as odd, pytest.raises(Unreachable, match="hung up"):
        asked(odd)


def test_signals_between_are_skipped(tmp_path: Path) -> None:
    from jeepney import DBusAddress, new_signal

    signal = new_signal(DBusAddress("/a", interface="a.b"), "C").serialise(serial=9)
    answers = iter([signal])

    def answer(method: str) -> Any:
        return next(answers, None) if method == "SearchItems" else good(method)

    # (the signal alone, and then silence: it wasn't taken for the answer)
    with OddBus(tmp_path, answer) as odd, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "LIMIT_S", 0.2)
        with pytest.raises(Unreachable, match="didn't answer"):
            asked(odd)


def test_a_locked_entry_and_a_locked_keyring_are_said(tmp_path: Path) -> None:
    none: tuple[str, tuple[Any, ...]] = ("aoao", ([], []))
    for i, (answer, kind) in enumerate(
        [
            (but(SearchItems=("aoao", ([], [UNLOCKED]))), Locked),
            (but(SearchItems=none, Get=("v", (("b", True),))), Locked),
            (but(GetSecrets=("!org.freedesktop.Secret.Error.IsLocked", ())), Locked),
            (but(SearchItems=none), Missing),
            (but(SearchItems=none, ReadAlias=("o", ("/",))), Missing),
        ]
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        with OddBus(folder, answer) as odd, pytest.raises(kind):
            asked(odd)
        assert not {"Unlock", "Prompt", "CreateCollection"} & set(odd.asked)


def test_a_value_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    secrets = {UNLOCKED: ("/s", b"", b"\xff", "t"), "/b": ("/s", b"", b"value", "t")}
    with OddBus(tmp_path, but(GetSecrets=("a{o(oayays)}", (secrets,)))) as odd:
        assert asked(odd) == ["value"]


def test_the_most_telling_of_several_buses_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    with OddBus(tmp_path, good, b"REJECTED\r\n") as gone, OddBus(folder, but(SearchItems=("aoao", ([], [UNLOCKED])))) as locked:
        with pytest.raises(Locked):
            bus.read(gone.env, "name", locked.address)
        with pytest.raises(Unreachable, match="doesn't let this user in"):
            bus.usable(gone.env)


@pytest.mark.parametrize(
    "address",
    [
        "unixexec:path=/bin/touch,argv1=PLANTED",
        "autolaunch:",
        "tcp:host=127.0.0.1,port=1",
        "nonce-tcp:host=127.0.0.1,port=1",
        "unix:",
        "unix:path=",
        "unix:path=/nowhere",
        "unix:path=/no%00where",
        "unix:abstract=nobody-listens-here",
        "nonsense",
        "unix:path=" + "x" * 400,
        "unix:path=%",
    ],
)
def test_an_address_starts_no_program_and_leaves_no_machine(address: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    env = {"DBUS_SESSION_BUS_ADDRESS": address.replace("PLANTED", str(planted))}
    with pytest.raises(Unreachable, match="no session bus"):
        bus.read(env, "name")
    assert not planted.exists()


def test_the_second_of_several_addresses_counts_too(tmp_path: Path) -> None:
    with OddBus(tmp_path, good) as odd:
        env = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path=/nowhere;{odd.address.replace('bus', '%62us')},guid=12"}
        assert bus.read(env, "name")[0] == ["value"]


def test_an_abstract_socket_of_ours_counts() -> None:
    name = f"mcpwrap-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Unreachable, match="didn't answer"):
            patch.setattr(bus, "LIMIT_S", 0.2)
            bus.read({"DBUS_SESSION_BUS_ADDRESS": f"unix:abstract={name}"}, "name")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_users_bus_is_not_spoken_to() -> None:
    name = f"mcpwrap-other-{os.getpid()}"
    script = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        f"s = socket.socket(socket.AF_UNIX); s.bind('\\0{name}'); s.listen()\n"
        "print('ready', flush=True)\n"
        "c, _ = s.accept()\n"
        "print(c.recv(100), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Unreachable, match="belongs to another user"):
            bus.read({"DBUS_SESSION_BUS_ADDRESS": f"unix:abstract={name}"}, "name")
        assert other.stdout.readline() == "b''\n"  # not even our number was told


def test_where_the_bus_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # (there may be one of this user's on the machine that runs the tests)
    mine = [f"unix:path=/run/user/{os.geteuid()}/bus"] if Path(f"/run/user/{os.geteuid()}/bus").is_socket() else []
    assert bus.addresses({"DBUS_SESSION_BUS_ADDRESS": "a"}, "b") == ["a", *mine, "b"]
    assert bus.addresses({"DBUS_SESSION_BUS_ADDRESS": "a"}, "a") == ["a", *mine]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        found = os.lstat(tmp_path / "bus")
    monkeypatch.setattr("mcpwrap.identity.bus.os.lstat", lambda path: found)
    assert bus.addresses({}) == [f"unix:path=/run/user/{os.geteuid()}/bus"]
    foreign = os.stat_result((found.st_mode, 0, 0, 1, os.geteuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr("mcpwrap.identity.bus.os.lstat", lambda path: foreign)
    assert bus.addresses({}) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.binary(max_size=300))
def test_whatever_a_bus_sends_is_an_error_of_ours(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "LIMIT_S", 0.05)
        with OddBus(folder, but(SearchItems=data)) as odd, pytest.raises(VaultError):
            asked(odd)


@pytest.mark.parametrize(
    "answers",
    [
        {"GetSecrets": ("s", ("text",))},
        {"GetSecrets": ("a{oo}", ({UNLOCKED: "/session"},))},
        {"GetSecrets": ("ss", ("a", "b"))},
        {"OpenSession": ("v", (("s", ""),))},
        {"OpenSession": ("vs", (("s", ""), "no path"))},
        {"SearchItems": ("aoao", ([], [])), "ReadAlias": ("s", ("no path",))},
        {"SearchItems": ("aoao", ([], [])), "Get": ("s", ("",))},
    ],
)
def test_an_answer_of_another_shape_is_not_believed(answers: dict[str, Any], tmp_path: Path) -> None:
    with OddBus(tmp_path, but(**answers)) as odd, pytest.raises(Unreachable, match="isn't a Secret Service"):
        asked(odd)


def test_a_bus_that_hangs_up_is_said(tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    for i, name in enumerate(("sendall", "recv")):
        folder = tmp_path / str(i)
        folder.mkdir()
        with OddBus(folder, good) as odd, pytest.MonkeyPatch.context() as patch:
            connection = bus.Bus(odd.address, time.monotonic() + 3)
            patch.setattr(connection, "_socket", type("Broken", (), {name: broken, "settimeout": broken})())
            with pytest.raises(Unreachable, match="hung up"):
                connection.secrets("name")
            with pytest.raises(Unreachable, match="hung up"):
                connection._receive(1)
            patch.undo()
            connection._socket.close()


def test_a_bus_that_takes_nothing_is_left(tmp_path: Path) -> None:
    def late(*_: object) -> None:
        raise TimeoutError

    with OddBus(tmp_path, good) as odd, pytest.MonkeyPatch.context() as patch:
        connection = bus.Bus(odd.address, time.monotonic() + 3)
        patch.setattr(connection, "_socket", type("Late", (), {"settimeout": late})())
        with pytest.raises(Unreachable, match="didn't answer"):
            connection.secrets("name")
        patch.undo()
        connection._socket.close()


def test_elsewhere_than_on_linux_nothing_is_asked_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    with socket.socket(socket.AF_UNIX) as connection:
        bus._check_peer(connection)
    monkeypatch.delattr(os, "geteuid")
    assert bus.addresses({"DBUS_SESSION_BUS_ADDRESS": "a"}) == ["a"]
