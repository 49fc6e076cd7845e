"""The one way to a provider: what it lets through, what it bounds, what its failures say."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity import http as room
from mcpwrap.identity.clientauth import ClientAuth
from mcpwrap.identity.http import NoJson, ProviderDown, ProviderSaid, address, client, get_json, post_form, post_json
from mcpwrap.secret import Secret
from tests.identity.providers.scripted import Answer, Scripted, say, scripted

CANARY = "canary-token"


@pytest.fixture(scope="module")
def started() -> Iterator[Scripted]:
    with scripted() as provider:
        yield provider


@pytest.fixture
def provider(started: Scripted) -> Scripted:
    started.routes.clear()
    started.seen.clear()
    return started


def got(provider: Scripted, path: str = "/x", network: Network | None = None) -> dict[str, object]:
    with client(network or Network()) as http:
        return get_json(http, provider.issuer + path, bearer=Secret(CANARY))


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.1/",
        "http://2130706433/",
        "http://127.0.0.2/",
        "http://[::ffff:127.0.0.1]/",
        "https://user@login.example.com/",
        "https://login.example.com\\@evil.example/",
        "https://login.example.com/#part",
        "https://login.example.com/ x",
        "https://login.example.com/\x1b[2J",
        "https://löwen.example/",
        "https://login.example.com:99999/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//login.example.com/",
        "https://" + "a" * 2100,
        "",
    ],
)
def test_an_address_that_isnt_https_or_loopback_in_its_plain_form_is_refused(url: str) -> None:
    with pytest.raises(LoginError, match=r"is no plain web address|is not https"):
        address(url)
    with client(Network()) as http, pytest.raises(LoginError):
        get_json(http, url)


def test_an_address_is_taken_apart_as_it_is_talked_to() -> None:
    found = address("https://Login.Example.com:8443/realms/a?x=1")
    assert (found.host, found.port, found.path, found.query) == ("login.example.com", 8443, "/realms/a", "?x=1")
    assert found.origin == "https://login.example.com:8443"
    assert address("https://login.example.com:443").origin == "https://login.example.com"
    for url in ("http://127.0.0.1:8080/a", "http://[::1]:8080/a", "http://localhost/a"):
        assert address(url).scheme == "http"


def test_a_redirect_is_not_followed(provider: Scripted) -> None:
    for status in (301, 302, 303, 307, 308):
        provider.routes["/x"] = Answer(b"", status, {"Location": "/y"})
        with pytest.raises(LoginError, match="with a redirect, and none is followed"):
            got(provider)
    assert provider.asked("/y") == []


def test_the_environment_chooses_neither_proxy_nor_certificates_nor_passwords(
    provider: Scripted, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, provider.issuer)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    (home / ".netrc").write_text("default login x password y\n")
    provider.routes["/x"] = say({"a": 1})
    with client(Network()) as http:
        assert get_json(http, f"{provider.issuer}/x") == {"a": 1}
        # (an address of this machine that a proxy would be asked for)
        with pytest.raises(ProviderDown, match="can't be reached: connection refused"):
            get_json(http, "https://127.0.0.2:9/")
    assert "authorization" not in provider.seen[0].headers


def test_the_persons_proxy_is_used_for_what_isnt_on_this_machine(provider: Scripted) -> None:
    provider.routes["/x"] = say({"a": 1})
    network = Network(proxy=provider.issuer)
    assert got(provider, network=network) == {"a": 1}
    with (
        client(network) as http,
        pytest.raises(ProviderDown, match=r"the proxy doesn't let login\.example\.com be reached|broke off"),
    ):
        get_json(http, "https://login.example.com/")
    with pytest.raises(LoginError, match="the proxy of your own"):
        client(Network(proxy="gopher://user:hunter2@proxy"))


def test_the_persons_certificates_count(tmp_path: Path, provider: Scripted) -> None:
    with pytest.raises(LoginError, match="the certificates in `/nowhere` can't be used: no such file"):
        client(Network(ca="/nowhere"))
    bad = tmp_path / "ca.pem"
    bad.write_text("nothing")
    with pytest.raises(LoginError, match="can't be used"):
        client(Network(ca=str(bad)))
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with scripted() as safe:
        safe.server.socket = context.wrap_socket(safe.server.socket, server_side=True)
        safe.routes["/x"] = say({"a": 1})
        url = safe.issuer.replace("http://", "https://") + "/x"
        with (
            client(Network()) as http,
            pytest.raises(LoginError, match=r"the certificate of 127\.0\.0\.1:.* doesn't count") as caught,
        ):
            get_json(http, url)
        assert "`ca` below [network]" in caught.value.hint
        with client(Network(ca=str(certificate))) as http:
            assert get_json(http, url) == {"a": 1}


def _certificate(folder: Path) -> tuple[Path, Path]:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(built.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_a_body_has_a_limit_whether_its_length_is_told_or_not(provider: Scripted) -> None:
    endless = itertools.repeat(b" " * 65536)
    for body in (b" " * (room.BODY_LIMIT + 1), endless):
        provider.routes["/x"] = Answer(body)
        with pytest.raises(LoginError, match="answered with more than 512 KiB"):
            got(provider)


def test_a_body_that_was_pressed_together_isnt_opened(provider: Scripted) -> None:
    provider.routes["/x"] = Answer(
        gzip.compress(b" " * (1 << 20)), 200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    with pytest.raises(LoginError, match="in a coding that was not asked for"):
        got(provider)
    assert provider.seen[0].headers["accept-encoding"] == "identity"


def _drip(first: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield b"X"
        time.sleep(0.02)  # a provider that is slow on purpose; it ends with its reader


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"])
def test_an_answer_that_drips_is_cut_off(first: bytes, provider: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TOTAL_S", 0.3)
    provider.routes["/x"] = Answer(raw=_drip(first))
    with pytest.raises(ProviderDown, match="took longer than"):
        got(provider)


def test_a_provider_that_says_nothing_is_left(provider: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "READ_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, client(Network()) as http:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ProviderDown, match="didn't answer in time"):
            get_json(http, url)
    with client(Network()) as http, pytest.raises(ProviderDown, match="can't be reached: connection refused"):
        get_json(http, url)
    provider.routes["/x"] = Answer(raw=iter([b"nonsense\r\n\r\n"]))
    with pytest.raises(ProviderDown, match="broke off"):
        got(provider)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("17", 17.0), ("999999999", 3600.0), ("soon", None), ("", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("1" * 400, 3600.0)],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_cant_answer_now_says_when_to_come_again(
    after: str, seconds: float | None, status: int, provider: Scripted
) -> None:
    provider.routes["/x"] = say({}, status, Retry_After=after)
    with pytest.raises(ProviderDown, match=f"status {status}") as caught:
        got(provider)
    assert caught.value.retry_after_s == seconds


def test_a_refusal_is_the_providers_with_its_words_made_visible(provider: Scripted) -> None:
    provider.routes["/x"] = say({"error": "invalid_grant", "error_description": "\x1b[2Jgone\u202e"}, 400)
    with pytest.raises(ProviderSaid) as caught:
        got(provider)
    assert str(caught.value) == "127.0.0.1 refused: invalid_grant: \\u{1b}[2Jgone\\u{202e}"
    assert (caught.value.error, caught.value.description, caught.value.status) == ("invalid_grant", "\x1b[2Jgone\u202e", 400)
    provider.routes["/x"] = say({"error": "bad"}, 200)
    with pytest.raises(ProviderSaid, match="refused: bad"):
        got(provider)
    provider.routes["/x"] = Answer(b"<html>", 403, {"Content-Type": "text/html"})
    with pytest.raises(ProviderSaid, match="refused: status 403"):
        got(provider)
    for error in ("temporarily_unavailable", "server_error"):
        provider.routes["/x"] = say({"error": error}, 400)
        with pytest.raises(ProviderDown, match=error):
            got(provider)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"{}"),
        ("application/json", b"[]"),
        ("application/json", b"{"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("", b"{}"),
    ],
)
def test_what_is_no_json_object_is_refused(kind: str, body: bytes, provider: Scripted) -> None:
    provider.routes["/x"] = Answer(body, 200, {"Content-Type": kind})
    with pytest.raises(NoJson, match="something that is no JSON object"):
        got(provider)
    provider.routes["/x"] = Answer(b'{"a": 1}', 200, {"Content-Type": "application/jwk-set+json; charset=utf-8"})
    assert got(provider) == {"a": 1}


def test_a_form_goes_out_with_the_clients_proof_and_names_that_repeat(provider: Scripted) -> None:
    provider.routes["/x"] = lambda request: say(dict(request.form))
    with client(Network()) as http:
        auth = ClientAuth("client_secret_post", "me", "iss", Secret("s&t"))
        post_form(http, f"{provider.issuer}/x", [("resource", "a"), ("resource", "b")], auth)
        assert provider.seen[0].form == [("resource", "a"), ("resource", "b"), ("client_id", "me"), ("client_secret", "s&t")]
        assert post_form(http, f"{provider.issuer}/x", [("a", "b")], None) == {"a": "b"}
        assert post_form(http, f"{provider.issuer}/x", [("a", "b")], None, answers=False) == {}
        provider.routes["/x"] = lambda request: Answer(request.body)
        assert post_json(http, f"{provider.issuer}/x", {"a": ["ü"]}) == {"a": ["ü"]}


def test_no_failure_carries_a_part_of_what_was_sent(provider: Scripted) -> None:
    answers = [
        say({"error": "x"}, 400),
        say({}, 503),
        Answer(b"", 302, {"Location": "/"}),
        Answer(raw=iter([b"nonsense\r\n\r\n"])),
        Answer(b"no", 200, {}),
    ]
    with client(Network()) as http:
        for answer in answers:
            provider.routes["/x"] = answer
            for send in (
                lambda: got(provider),
                lambda: post_form(http, f"{provider.issuer}/x", [("refresh_token", CANARY)], None),
                lambda: get_json(http, f"{provider.issuer}/x", bearer=Secret(f"{CANARY}ü")),
                lambda: get_json(http, f"{provider.issuer}/x", bearer=Secret(f"{CANARY}\r\nX: y")),
                lambda: get_json(http, "http://127.0.0.1:9/", bearer=Secret(CANARY)),
            ):
                with pytest.raises(LoginError) as caught:
                    send()
                told = "".join(traceback.format_exception(caught.value))
                assert CANARY not in told.replace(f'"{CANARY}', "")
                assert caught.value.__cause__ is None
                assert CANARY not in repr(vars(caught.value))
