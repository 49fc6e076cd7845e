"""Where a real part is missing, its tests say so; in CI they fail, since a test that didn't run shows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import parts


def test_a_missing_part_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        parts.script("@modelcontextprotocol/no-such-part/index.js")


def test_a_missing_part_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI needs it"):
        parts.script("@modelcontextprotocol/no-such-part/index.js")


def test_the_lock_of_the_npm_parts_names_no_registry() -> None:
    lock = Path(parts.__file__).with_name("package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
