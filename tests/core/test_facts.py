"""What is known of paths where there is no file system."""

from mcpwrap.core.facts import NoFacts, Once


def test_without_a_file_system_nothing_is_resolved_and_a_path_is_known_by_its_look() -> None:
    facts = NoFacts()
    assert facts.paths("/a") is None
    assert facts.canonical("/a/../b") == "/a/../b"
    assert facts.relative("/a") is None
    assert facts.is_path("/a")
    assert not facts.is_path("a")


class Counting(NoFacts):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def paths(self, text: str) -> tuple[str, ...] | None:
        self.asked.append(text)
        return None if text == "?:" else (text,)

    def is_path(self, text: str) -> bool:
        self.asked.append(f"is_path {text}")
        return super().is_path(text)

    def ends(self, path: str) -> tuple[str, ...] | None:
        self.asked.append(f"ends {path}")
        return ()

    def canonical(self, path: str) -> str:
        self.asked.append(f"canonical {path}")
        return path

    def relative(self, path: str) -> str | None:
        self.asked.append(f"relative {path}")
        return None


def test_in_one_decision_each_fact_is_asked_for_once() -> None:
    counting = Counting()
    once = Once(counting)
    for _ in range(2):
        assert once.paths("/a b.") == ("/a b.",)
        assert once.paths("?:") is None
        assert once.paths("/a") is None
        assert once.canonical("/a") == "/a"
        assert once.relative("/a") is None
        assert once.ends("/a") == ()
        assert not once.rooted
        assert once.is_path("/a")
        assert not once.is_path("a")
    assert counting.asked == ["/a b.", "?:", "ends /a", "canonical /a", "relative /a", "is_path /a", "is_path a"]
