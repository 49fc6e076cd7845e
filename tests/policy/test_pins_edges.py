"""Pins that are stored: what is remembered of half a list, whose they are, and who else may write there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mcpwrap.core.pins import KINDS, Learned, PinnedServer, digest
from mcpwrap.errors import ConfigError, StateError
from mcpwrap.policy import lock as lock_module
from mcpwrap.policy.lock import LOCK_LIMIT, Entry, Lock, parse, render
from mcpwrap.policy.pins import PinStore, pins_of
from tests.policy.test_pins import ROOT, A, B, learn, record
from tests.policy.test_trust import Keyed
from tests.vaults import Unsealed


@pytest.fixture
def store(tmp_path: Path) -> PinStore:
    return PinStore(str(tmp_path / "state"), Unsealed())


def test_a_list_is_remembered_as_whole_only_where_it_was_taken_and_seen_whole(store: PinStore) -> None:
    taken = PinnedServer(items={"tool": {"a": digest(A)}}, complete=frozenset({"tool"}))
    store.remember(ROOT, "f", Learned(items={"tool": {"a": A}}, complete=frozenset(), pinned=taken))
    known = store.known(ROOT, "f")
    assert known is not None
    assert known.complete == frozenset()
    store.remember(ROOT, "g", Learned(items={"tool": {"a": A}}, complete=frozenset({"tool"}), pinned=PinnedServer()))
    known = store.known(ROOT, "g")
    assert known is not None
    assert known.complete == frozenset()
    assert known.items == {"tool": {}}


def test_what_was_seen_of_half_a_list_adds_up_and_a_whole_one_takes_its_place(store: PinStore) -> None:
    def seen() -> set[str]:
        found = store.seen(ROOT, "f")
        assert found is not None
        return set(found.items["tool"])

    store.note_seen(ROOT, "f", Learned(items={"tool": {"a": A}}))
    store.note_seen(ROOT, "f", Learned(items={"tool": {"b": B}}))
    assert seen() == {"a", "b"}
    store.note_seen(ROOT, "f", Learned(items={"tool": {"b": B}}, complete=frozenset({"tool"})))
    assert seen() == {"b"}


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_nothing_is_remembered_in_a_folder_that_others_can_write(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(StateError, match="is writable for others"):
        PinStore(str(state), Unsealed()).accept(ROOT, "f", learn(A))


def test_pins_are_sealed_as_those_of_one_server_of_one_project(tmp_path: Path) -> None:
    seal = Keyed()
    store = PinStore(str(tmp_path / "state"), seal)
    store.accept(ROOT, "f", learn(A))
    store.note_seen(ROOT, "f", learn(A))
    assert ("seal", "pins", Path(store.path("pins", ROOT, "f")).name.partition(".")[0]) in seal.asked
    assert ("seal", "seen", Path(store.path("pins", ROOT, "f")).name.partition(".")[0]) in seal.asked
    known = store.known(ROOT, "f")
    assert known is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", known.at)


def test_a_project_of_any_bytes_has_pins(store: PinStore) -> None:
    assert store.path("pins", "/a\udcff", "f") != store.path("pins", "/a", "f")


def test_pins_without_a_lock_are_the_remembered_ones_and_others_matter_until_the_list_is_whole(store: PinStore) -> None:
    store.accept(ROOT, "other", learn(B))
    assert pins_of(store, record(), ROOT, "f", ["f", "other"]) == (None, {"b": digest(B)})
    store.accept(ROOT, "f", Learned(items={"tool": {"a": A}}))
    pinned, others = pins_of(store, record(), ROOT, "f", ["f", "other"])
    assert pinned is not None
    assert pinned.complete == frozenset()
    assert others == {"b": digest(B)}
    store.accept(ROOT, "f", learn(A))
    assert pins_of(store, record(), ROOT, "f", ["f", "other"])[1] == {}


def test_what_is_wrong_with_a_lock_is_told_with_its_place() -> None:
    places = {b"[]": "here", b'{\n "version": 1}': "here", b'{\n "x": 5}': "here:2", b'{\n  "a" 1}': "here:2:7"}
    for data, place in places.items():
        with pytest.raises(ConfigError) as caught:
            parse(data, "here")
        assert caught.value.place == place, data
    with pytest.raises(ConfigError, match="longer than") as caught:
        parse(b" " * (LOCK_LIMIT + 1), "here")
    assert caught.value.place == "here"


def test_a_server_may_have_as_many_definitions_as_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    data = render(Lock({"f": Entry(None, None, {kind: {} for kind in KINDS} | {"tool": {"a": {"name": "a"}, "b": {"name": "b"}}})}))
    monkeypatch.setattr(lock_module, "COUNT_LIMIT", 2)
    parse(data)
    monkeypatch.setattr(lock_module, "COUNT_LIMIT", 1)
    with pytest.raises(ConfigError, match="`f` has more than 1 tools"):
        parse(data)
