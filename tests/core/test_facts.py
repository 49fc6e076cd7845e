"""What is known of paths where there is no file system."""

from mcpwrap.core.facts import NoFacts


def test_without_a_file_system_nothing_is_resolved_and_a_path_is_known_by_its_look() -> None:
    facts = NoFacts()
    assert facts.paths("/a") is None
    assert facts.canonical("/a/../b") == "/a/../b"
    assert facts.relative("/a") is None
    assert facts.is_path("/a")
    assert not facts.is_path("a")
