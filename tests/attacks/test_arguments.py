"""Arguments that say one thing to a policy and another to the server (ATTACKS.md, arguments)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.attacks.arena import Arena
from tests.attacks.shim import Shim, ref_of, said

LETS_IN = """
[[servers.lab.rules]]
allow = ["safe"]
args.path = { within = "${project}/docs" }
"""

KEEPS_OUT = """
allow = ["safe"]
[[servers.lab.rules]]
deny = ["safe"]
unless.path = { within = "${project}/docs" }
"""

NO_SECRETS = """
allow = ["safe"]
[[servers.lab.rules]]
deny = ["safe"]
args."*" = { glob = ["**/.env", "**/.env/**"] }
"""

ONE_HOST = """
[[servers.lab.rules]]
allow = ["safe"]
args.url = { host = ["api.example.com", "*.good.example"] }
"""

NOT_THERE = """
allow = ["safe"]
[[servers.lab.rules]]
deny = ["safe"]
args.url = { host = ["127.0.0.1", "169.254.169.254", "evil.example"] }
"""

CWD = 'cwd = "${project}"\n'


def tree(arena: Arena) -> Path:
    """A folder that is permitted, one beside it that only begins like it, and links between them."""
    root = arena.project.root.resolve()
    for folder in ("docs/sub", "docs-evil", "docs.bak", "other"):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.md").write_text("x", encoding="utf-8")
    (root / ".env").write_text("KEY=1", encoding="utf-8")
    (root / "docs" / "out").symlink_to(root / "other")
    (root / "docs" / "file.md").symlink_to(root / "other" / "a.md")
    (root / "docs" / "loop").symlink_to(root / "docs" / "loop")
    (root / "docs" / "root").symlink_to("/")
    (root / "shortcut").symlink_to(root / "docs" / "sub")
    (root / "docs" / "inside").symlink_to(root / "docs" / "sub")
    (root / "plain.txt").symlink_to(root / ".env")
    return root


def refused(arena: Arena, shim: Shim, **arguments: Any) -> str:
    """That a call is refused and never reaches the server, and why."""
    before = len(arena.called())
    answer = shim.call("safe", **arguments)
    assert answer.get("error") or answer["result"]["isError"] is True, answer
    record = arena.the_record(ref_of(answer))
    shim.fence()
    assert len(arena.called()) == before
    assert (record["outcome"], record["status"], record["tool"]) == ("deny", "refused", "safe")
    return str(record["reasons"][0]["text"])


ESCAPES = [
    "{root}/docs/../other/a.md",
    "{root}/docs/sub/../../other/a.md",
    "{root}/docs/./../.env",
    "{root}/docs/..",
    "../other/a.md",
    "docs/../../a.md",
    # the prefix match of EscapeRoute
    "{root}/docs-evil/a.md",
    "{root}/docs.bak/a.md",
    "{root}/docs-evil",
    # links
    "{root}/docs/out/a.md",
    "{root}/docs/file.md",
    "{root}/docs/loop/a.md",
    "{root}/docs/root/etc/passwd",
    "{root}/docs/out/new/file.md",
    "{root}/docs/inside/../../other/a.md",
    # inside for who follows links first, outside for who takes `..` away first; and the other way round
    "{root}/shortcut/../a.md",
    "{root}/docs/out/../a.md",
    # URIs
    "file://{root}/other/a.md",
    "file:///%2e%2e/etc/passwd",
    "file://{root}/docs/%2e%2e/other/a.md",
    "file://{root}/docs/%2E%2E%2Fother/a.md",
    "{root}/docs/%2e%2e/other/a.md",
    "file://evil.example{root}/docs/a.md",
    "FILE://{root}/other/a.md",
    # what a shell, Windows or another reader makes of it
    "~/a.md",
    "$HOME/a.md",
    "%USERPROFILE%\\a.md",
    "{root}\\docs\\..\\other\\a.md",
    "\\\\evil.example\\share\\a.md",
    "//evil.example/share/a.md",
    "C:\\docs\\a.md",
    "c:docs",
    "{root}/docs/a.md\x00.png",
    "{root}/docs/a.md\n/etc/passwd",
    "{root}/docs/..::$INDEX_ALLOCATION/other/a.md",
    "",
]


@pytest.mark.parametrize("rules", [LETS_IN, KEEPS_OUT], ids=["lets-in", "keeps-out"])
def test_no_spelling_of_a_path_outside_passes_within(arena: Arena, rules: str) -> None:
    root = tree(arena)
    with arena.run(rules=rules, more=CWD) as shim:
        shim.open()
        for spelled in ESCAPES:
            refused(arena, shim, path=spelled.format(root=root))
        for odd in (None, 7, ["docs/a.md", "other/a.md"], [], {"path": f"{root}/docs/a.md"}, [[f"{root}/other/a.md"]]):
            refused(arena, shim, path=odd)
        refused(arena, shim, file=f"{root}/docs/sub/a.md")
        for good in (
            f"{root}/docs/sub/a.md",
            "docs/new/file.md",
            f"{root}/docs/inside/a.md",
            f"file://{root}/docs/sub/a.md",
            f"{root}/docs",
        ):
            assert said(shim.call("safe", path=good))["arguments"] == {"path": good}
        assert said(shim.call("safe", path=[f"{root}/docs/sub/a.md", "docs/b.md"]))
    assert len(arena.called()) == 6


def test_a_relative_path_resolves_nowhere_without_a_declared_working_folder(arena: Arena) -> None:
    tree(arena)
    with arena.run(rules=LETS_IN) as shim:
        shim.open()
        refused(arena, shim, path="docs/sub/a.md")


def test_a_link_that_is_made_between_two_calls_counts_for_the_second(arena: Arena) -> None:
    # NOTE: one that is made between our check and the server's own use isn't seen by anybody outside of the server
    root = tree(arena)
    path = f"{root}/docs/sub/a.md"
    with arena.run(rules=LETS_IN, more=CWD) as shim:
        shim.open()
        assert said(shim.call("safe", path=path))
        (root / "docs" / "sub").rename(root / "docs" / "old")
        (root / "docs" / "sub").symlink_to(root / "other")
        refused(arena, shim, path=path)
        (root / "docs" / "sub").unlink()
        (root / "docs" / "old").rename(root / "docs" / "sub")
        assert said(shim.call("safe", path=path))


SECRETS: list[dict[str, Any]] = [
    {"path": ".env"},
    {"path": "{root}/.env"},
    {"path": "{root}/.env/"},
    {"path": "{root}/.env/."},
    {"path": "{root}/docs/../.env"},
    {"path": "./.env"},
    {"path": "plain.txt"},
    {"path": "{root}/plain.txt"},
    {"path": "{root}/docs/../plain.txt"},
    {"path": ".ENV"},
    {"path": "{root}/.Env"},
    {"path": "file://{root}/.env"},
    {"path": "file://{root}/%2Eenv"},
    {"path": "file://{root}/%2eenv"},
    {"path": ".env::$DATA"},
    {"path": ".env. "},
    {"paths": [".env"]},
    {"paths": ["docs/a.md", ".env"]},
    {"options": {"deep": [{"er": ["{root}/.env"]}]}},
    {"edits": [{"file": "{root}/.env"}]},
    {"files": {"{root}/.env": True}},
]


def filled(value: Any, root: Path) -> Any:
    match value:
        case str():
            return value.replace("{root}", str(root))
        case list():
            return [filled(each, root) for each in value]
        case dict():
            return {filled(key, root): filled(each, root) for key, each in value.items()}
        case _:
            return value


def test_no_spelling_of_a_secret_file_passes_a_glob_in_a_deny(arena: Arena) -> None:
    root = tree(arena)
    with arena.run(rules=NO_SECRETS, more=CWD) as shim:
        shim.open()
        passed = []
        for arguments in SECRETS:
            answer = shim.call("safe", **filled(arguments, root))
            if "isError" not in answer.get("result", {}) and "error" not in answer:
                passed.append(arguments)
        assert passed == []
        assert arena.called() == []
        for good in ({"path": "docs/sub/a.md"}, {"text": "set the environment"}, {}, {"path": f"{root}/environment.txt"}):
            assert said(shim.call("safe", **good))


def test_another_normalisation_of_a_name_doesnt_pass_a_glob_in_a_deny(arena: Arena) -> None:
    rules = NO_SECRETS.replace('"**/.env"', '"**/caf\u00e9.key"')
    with arena.run(rules=rules, more=CWD) as shim:
        shim.open()
        for name in ("caf\u00e9.key", "cafe\u0301.key", "CAFE\u0301.KEY", "Caf\u00c9.key"):
            refused(arena, shim, path=f"/data/{name}")


TRICKS = [
    "https://api.example.com@evil.example/",
    "https://api.example.com:443@evil.example/",
    "https://evil.example/api.example.com",
    "https://evil.example#api.example.com",
    "https://evil.example?api.example.com",
    "https://api.example.com.evil.example/",
    "https://evilapi.example.com/",
    "https://good.example/",
    "https://evilgood.example/",
    "https://api.example.com\\@evil.example/",
    "https://evil.example\\.api.example.com/",
    "https:\\\\evil.example/",
    "https://evil.example%2eapi.example.com/",
    "https://api.example.com%00.evil.example/",
    "https://api.example.com%40evil.example/",
    "https://ap\ti.example.com@evil.example/",
    "https://api.example.com\n.evil.example/",
    " https://evil.example/",
    "https:evil.example",
    "https:///evil.example/",
    "//evil.example/",
    "api.example.com",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://\uff41pi.example.com.evil.example/",
    "https://\u0430pi.example.com/",
    "https://xn--pi-6kc.example.com/",
    "javascript:alert(1)//api.example.com",
    "",
]


def test_no_url_trick_passes_a_host_that_lets_in(arena: Arena) -> None:
    with arena.run(rules=ONE_HOST) as shim:
        shim.open()
        for url in TRICKS:
            refused(arena, shim, url=url)
        for odd in (None, 7, [], ["https://api.example.com/", "https://evil.example/"], {"href": "https://api.example.com/"}):
            refused(arena, shim, url=odd)
        for good in ("https://api.example.com/a?b#c", "https://API.example.com:8443/", "https://a.b.good.example/"):
            assert said(shim.call("safe", url=good))["arguments"] == {"url": good}
    assert len(arena.called()) == 3


FORBIDDEN = [
    "http://127.0.0.1/",
    "http://127.0.0.1.:80/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://127.0.0.1%2f@x.example/",
    "http://x.example@127.0.0.1/",
    "http://127.0.0.1@x.example/",
    "http:\\\\127.0.0.1\\",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://evil.example./",
    "http://EVIL.example/",
    "http://evil%2eexample/",
    "http://e\tvil.example/",
    "//evil.example/",
    "see https://evil.example/ please",
    "not a url",
]


def test_no_url_trick_evades_a_host_in_a_deny(arena: Arena) -> None:
    with arena.run(rules=NOT_THERE) as shim:
        shim.open()
        for url in FORBIDDEN:
            refused(arena, shim, url=url)
        refused(arena, shim, url=["https://a.example/", "http://127.1/"])
        refused(arena, shim)
        for good in ("https://a.example/", "https://a.example/evil.example"):
            assert said(shim.call("safe", url=good))["arguments"] == {"url": good}


def test_no_url_trick_hides_a_host_in_any_string(arena: Arena) -> None:
    with arena.run(rules=NOT_THERE.replace("args.url", 'args."*"')) as shim:
        shim.open()
        for url in FORBIDDEN[:-1]:
            refused(arena, shim, text={"deep": [url]})
        for good in ("https://a.example/", "not a url", "evil, example"):
            assert said(shim.call("safe", text=good))["arguments"] == {"text": good}


def test_a_visible_tool_that_is_refused_by_its_arguments_says_so_to_the_model(arena: Arena) -> None:
    root = tree(arena)
    with arena.run(rules=KEEPS_OUT, more=CWD) as shim:
        shim.open()
        assert "safe" in shim.tools()
        answer = shim.call("safe", path=f"{root}/.env")
        assert answer["result"]["isError"] is True
        assert "policy, not a fault" in answer["result"]["content"][0]["text"]


def test_an_argument_in_another_case_helps_nobody(arena: Arena) -> None:
    root = tree(arena)
    with arena.run(rules=LETS_IN, more=CWD) as shim:
        shim.open()
        answer = shim.call("safe", path=f"{root}/docs/sub/a.md", Path=f"{root}/.env")
        assert answer["error"]["code"] == -32602
        refused(arena, shim, Path=f"{root}/docs/sub/a.md")
    assert arena.called() == []
