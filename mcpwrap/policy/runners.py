"""Package runners without an exact version: such a command runs whatever the registry holds that day (POLICY.md §5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from mcpwrap.policy.load import ProjectPolicy

_NPM: Final = re.compile(r"(?:.+@)v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_PYTHON: Final = re.compile(r"[^@=<>~!]+(?:@|===?)\d+(?:\.\d+)*(?:[.a-z0-9+-]*\d)?")
_GO: Final = re.compile(r".+@v\d+\.\d+\.\d+\S*")
_IMAGE: Final = re.compile(r".+@sha256:[0-9a-f]{64}")
_COMMIT: Final = re.compile(r".+[@#][0-9a-f]{40}")


class _Runner(msgspec.Struct, frozen=True):
    """One runner's command line.

    `words` begin it; `specs` are options that name what to fetch in place of the first word that is no option; `values` are
    further options with a value; `more` are options that name something to fetch besides.
    """

    words: tuple[str, ...]
    exact: re.Pattern[str]
    specs: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    only: str = ""


_NPX_VALUES: Final = ("-c", "--call", "-w", "--workspace", "--registry", "--cache", "--prefix", "--userconfig")
_UV_VALUES: Final = (
    "-p", "--python", "--index", "--index-url", "-i", "--default-index", "--extra-index-url", "--find-links", "-f", "--directory",
    "--project", "--cache-dir", "--config-file", "--env-file", "--with-editable", "--with-requirements", "-c", "--constraints",
)  # fmt: skip

_RUNNERS: Final = (
    *(
        _Runner(words, _NPM, ("-p", "--package"), _NPX_VALUES)
        for words in (("npx",), ("npm", "exec"), ("npm", "x"), ("pnpx",), ("pnpm", "dlx"), ("yarn", "dlx"), ("bunx",), ("bun", "x"))
    ),
    _Runner(("uvx",), _PYTHON, ("--from",), _UV_VALUES, ("--with", "-w")),
    _Runner(("uv", "tool", "run"), _PYTHON, ("--from",), _UV_VALUES, ("--with", "-w")),
    _Runner(("uv", "run"), _PYTHON, (), _UV_VALUES, ("--with", "-w"), only="--with"),
    _Runner(("pipx", "run"), _PYTHON, ("--spec",), ("--python", "--index-url", "-i", "--pip-args")),
    _Runner(("go", "run"), _GO, (), ("-C", "-exec")),
    _Runner(("deno", "run"), _NPM, (), ("-c", "--config", "--import-map"), only="registry"),
    *(_Runner((tool, "run"), _IMAGE, only="image") for tool in ("docker", "podman", "nerdctl")),
    *(_Runner((tool, "container", "run"), _IMAGE, only="image") for tool in ("docker", "podman")),
)


def warnings_for(policy: ProjectPolicy) -> list[str]:
    """A sentence for each server whose command fetches something without an exact version."""
    return [
        f"{server.name}: {said} ({policy.file}:{server.line})"
        for server in policy.servers.values()
        if server.command and (said := inexact(server.command))
    ]


def inexact(argv: Sequence[str]) -> str | None:
    """Says what `argv` fetches without an exact version; None where it fetches nothing, or exact versions only.

    NOTE: a runner inside a shell's text or a script of the project isn't seen.
    """
    found = _runner(argv)
    return _judge(*found) if found else None


def exact_package(argv: Sequence[str]) -> str | None:
    """``name@version`` of the one package that `argv` fetches; None where it is none, several, or has no exact version."""
    found = _runner(argv)
    if found is None or found[0].only == "image":
        return None
    runner, rest = found
    specs = [spec for spec in _specs(runner, rest) if not _local(spec)]
    return re.sub("={2,3}", "@", specs[0]) if len(specs) == 1 and runner.exact.fullmatch(specs[0]) else None


def _runner(argv: Sequence[str]) -> tuple[_Runner, list[str]] | None:
    words = list(argv)
    if words and _bare(words[0]) == "env":
        del words[0]
        while words and (words[0].startswith("-") or "=" in words[0]):
            del words[0]
    if not words:
        return None
    words[0] = _bare(words[0])
    for runner in _RUNNERS:
        if tuple(words[: len(runner.words)]) == runner.words:
            return runner, words[len(runner.words) :]
    return None


def _judge(runner: _Runner, rest: list[str]) -> str | None:
    name = " ".join(runner.words)
    if runner.only == "image":
        if any(_IMAGE.fullmatch(word) for word in rest):
            return None
        return f"`{name}` names its image without a digest (`@sha256:…`): it runs whatever the registry holds"
    for spec in _specs(runner, rest):
        if not _local(spec) and not runner.exact.fullmatch(spec) and not _COMMIT.fullmatch(spec):
            return f"`{name}` fetches `{spec}` without an exact version: it runs whatever the registry holds"
    return None


def _specs(runner: _Runner, rest: list[str]) -> Iterable[str]:
    named: list[str] = []
    more: list[str] = []
    first: str | None = None
    i = 0
    while i < len(rest):
        option, equals, value = rest[i].partition("=")
        if not rest[i].startswith("-"):
            first = rest[i]
            break
        taken = option in runner.specs + runner.values + runner.more
        if taken and not equals:
            i += 1
            value = rest[i] if i < len(rest) else ""
        if option in runner.specs:
            named.append(value)
        elif option in runner.more:
            more.extend(value.split(","))
        i += 1
    if runner.only == "--with":
        return more
    if runner.only == "registry":
        return [first.partition(":")[2]] if first and first.startswith(("npm:", "jsr:")) else []
    return [*(named or ([first] if first else [])), *more]


def _local(spec: str) -> bool:
    return spec.startswith(("/", "./", "../", "file:")) or spec in (".", "")


def _bare(program: str) -> str:
    return re.sub(r"\.(exe|cmd|bat)$", "", re.split(r"[/\\]", program)[-1], flags=re.IGNORECASE)
