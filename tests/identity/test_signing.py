"""The installation's keys: made once, published before they sign, rotated with an overlap."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mcpwrap.core.credentials import Minted
from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity import locks, signing
from mcpwrap.identity.signing import LEEWAY_S, MAX_TTL_S, PUBLISHED_S, ROTATE_S, current_key, issuer_of, jwks, jwks_path, rotate
from mcpwrap.identity.tokens import TokenError, audience, local_subject, mint, verify
from mcpwrap.identity.vault import Vault
from tests.identity.installation import bearer

NOW = 1_800_000_000.0
SHOP = audience("shop", "issues")

PROCESS = """
import sys, msgspec
sys.path.append(sys.argv[1])
from mcpwrap.identity.signing import current_key, jwks
from mcpwrap.identity.vault import Header, Places, Vault
places, header, key = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Places, Header, bytes])
vault = Vault(places, header, key)
print(current_key(vault, 1_800_000_000.0).kid, len(jwks(vault, 1_800_000_000.0)["keys"]))
"""


def minted(vault: Vault, now: float, ttl_s: int = MAX_TTL_S) -> str:
    token, _ = mint(current_key(vault, now), issuer_of(vault), bearer(), Minted(ttl_s=ttl_s), local_subject(), now)
    return token.reveal()


def published(vault: Vault) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(jwks_path(vault.places)).read_text())
    return found


def kids(vault: Vault) -> list[str]:
    return [entry["kid"] for entry in published(vault)["keys"]]


def test_the_first_use_makes_a_key_that_signs_and_one_that_will(vault: Vault) -> None:
    key = current_key(vault, NOW)
    assert (key.alg, key.state) == ("EdDSA", "current")
    assert len(kids(vault)) == 2
    assert kids(vault)[0] == key.kid
    assert current_key(vault, NOW + 1).kid == key.kid


def test_only_public_parts_are_published_and_for_this_user_alone(vault: Vault) -> None:
    assert jwks(vault, NOW) == published(vault)
    for entry in published(vault)["keys"]:
        assert entry.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    path = jwks_path(vault.places)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_ten_processes_that_begin_at_once_have_one_set_of_keys(vault: Vault) -> None:
    job = msgspec.json.encode((vault.places, vault.header, vault.key))
    root = str(Path(signing.__file__).parents[2])
    processes = [
        subprocess.Popen([sys.executable, "-I", "-c", PROCESS, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(10)
    ]
    said = set()
    for process in processes:
        out, _ = process.communicate(job)
        assert process.returncode == 0
        said.add(out)
    assert len(said) == 1
    assert kids(vault)[0].encode() in said.pop()


def test_the_issuer_stays_when_keys_rotate_and_is_another_one_for_another_vault(vault: Vault, tmp_path: Path) -> None:
    from tests.identity.installation import make_vault

    before = issuer_of(vault)
    current_key(vault, NOW)
    rotate(vault, NOW + PUBLISHED_S)
    assert issuer_of(vault) == before
    assert issuer_of(make_vault(tmp_path / "other")) != before
    assert before.startswith("urn:mcpwrap:installation:")


def test_the_next_key_was_published_before_it_signs_and_the_old_one_goes_when_its_tokens_have(vault: Vault) -> None:
    old = minted(vault, NOW)
    first, second = kids(vault)
    later = NOW + PUBLISHED_S
    old_late = minted(vault, later)
    assert rotate(vault, later)
    assert current_key(vault, later).kid == second
    assert kids(vault)[0] == second
    assert first in kids(vault)
    assert len(kids(vault)) == 3
    assert verify(old_late, published(vault), SHOP, issuer_of(vault), later + MAX_TTL_S)["sub"]
    with pytest.raises(TokenError):
        verify(old, published(vault), SHOP, issuer_of(vault), later + MAX_TTL_S)
    # a server that read the keys before the rotation knows the new one
    kept = {"keys": [entry for entry in published(vault)["keys"] if entry["kid"] in (first, second)]}
    assert verify(minted(vault, later), kept, SHOP, issuer_of(vault), later)
    over = later + MAX_TTL_S + LEEWAY_S
    stale = published(vault)
    assert first not in [entry["kid"] for entry in jwks(vault, over)["keys"]]
    assert first not in kids(vault)
    # a copy that nobody renews doesn't keep the key alive
    with pytest.raises(TokenError, match="retired"):
        verify(old_late, stale, SHOP, issuer_of(vault), over)


def test_a_next_key_that_servers_may_not_know_is_not_rotated_to(vault: Vault) -> None:
    key = current_key(vault, NOW)
    with pytest.raises(StateError, match="published a moment ago") as refused:
        rotate(vault, NOW + PUBLISHED_S - 1)
    assert refused.value.hint == "in 2 s: mcpwrap jwks --rotate"
    assert current_key(vault, NOW).kid == key.kid


def test_a_clock_that_was_put_back_keeps_nobody_from_rotating(vault: Vault) -> None:
    key = current_key(vault, NOW)
    assert rotate(vault, NOW - 3600)
    assert current_key(vault, NOW - 3600).kid != key.kid


@pytest.mark.parametrize("away_s", [ROTATE_S + 1, -ROTATE_S - 1], ids=["its age", "a clock that was far ahead"])
def test_a_key_is_replaced_by_itself(vault: Vault, away_s: float) -> None:
    first = current_key(vault, NOW)
    second = kids(vault)[1]
    assert current_key(vault, NOW + ROTATE_S - 1).kid == first.kid
    assert current_key(vault, NOW + away_s).kid == second
    assert first.kid in kids(vault)


def test_es256_is_published_first_and_signs_after_the_next_rotation(vault: Vault) -> None:
    first = current_key(vault, NOW)
    assert not rotate(vault, NOW + PUBLISHED_S, "ES256")
    assert current_key(vault, NOW + PUBLISHED_S).kid == first.kid
    assert published(vault)["keys"][1]["alg"] == "ES256"
    assert published(vault)["keys"][1].keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    with pytest.raises(StateError):
        rotate(vault, NOW + PUBLISHED_S, "ES256")
    later = NOW + 2 * PUBLISHED_S
    assert rotate(vault, later, "ES256")
    assert current_key(vault, later).alg == "ES256"
    assert verify(minted(vault, later), published(vault), SHOP, issuer_of(vault), later)
    # and stays the algorithm
    assert published(vault)["keys"][1]["alg"] == "ES256"


def test_the_public_file_is_put_right_by_the_next_use(vault: Vault) -> None:
    current_key(vault, NOW)
    good = published(vault)
    path = Path(jwks_path(vault.places))
    path.unlink()
    current_key(vault, NOW)
    assert published(vault) == good
    path.write_text('{"keys": []}')
    jwks(vault, NOW)
    assert published(vault) == good
    path.write_text("{")
    jwks(vault, NOW)
    assert published(vault) == good


def test_who_lost_the_race_writes_nothing(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    current_key(vault, NOW)
    Path(jwks_path(vault.places)).unlink()

    def after_the_winner(path: str, wait_s: float) -> Any:
        monkeypatch.setattr(signing, "held", locks.held)
        current_key(vault, NOW)
        monkeypatch.setattr(signing, "replace", None)
        return locks.held(path, wait_s)

    monkeypatch.setattr(signing, "held", after_the_winner)
    assert current_key(vault, NOW).state == "current"


def test_a_public_file_that_cannot_be_written_is_an_error(vault: Vault) -> None:
    Path(jwks_path(vault.places)).mkdir()
    with pytest.raises(StateError, match=r"jwks.json` can't be written"):
        current_key(vault, NOW)


def test_old_keys_that_are_put_back_do_not_count(vault: Vault) -> None:
    current_key(vault, NOW)
    path = Path(vault.path(signing.ITEM))
    old = path.read_bytes()
    rotate(vault, NOW + PUBLISHED_S)
    path.write_bytes(old)
    with pytest.raises(VaultError, match="put back"):
        current_key(vault, NOW + PUBLISHED_S)


def test_keys_of_another_version_are_not_replaced(vault: Vault) -> None:
    vault.put(signing.ITEM, b'{"a": 1}')
    with pytest.raises(VaultError, match="another version"):
        current_key(vault, NOW)


def test_a_key_shows_nothing_of_itself(vault: Vault) -> None:
    key = current_key(vault, NOW)
    assert repr(key) == f"SigningKey({key.kid}, current)"


def test_who_holds_the_lock_for_too_long_is_not_waited_for(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_WAIT_S", 0.0)
    with locks.held(vault.lock(signing.ITEM), 0), pytest.raises(locks.Busy):
        current_key(vault, NOW)
    assert current_key(vault, NOW).state == "current"
