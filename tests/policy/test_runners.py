"""Package runners without an exact version get a warning."""

from __future__ import annotations

import shlex

import pytest

from mcpwrap.policy.load import load_project
from mcpwrap.policy.runners import exact_package, inexact
from mcpwrap.policy.trust import warnings_for

SHA = "a" * 64


@pytest.mark.parametrize(
    "command",
    [
        "npx -y @scope/server@2026.8.31 /src",
        "npx -y server@1.2.3-beta.1",
        "npx --package=server@1.2.3 -- run --now",
        "npx -p server@1.2.3 -p other@2.0.0 run latest",
        "npx --registry https://r.example server@1.2.3",
        "npx ./local",
        "npm exec server@1.2.3",
        "pnpm dlx server@1.2.3",
        "bunx server@1.2.3",
        "uvx mcp-server-git@2026.10.19 --repository /src",
        "uvx --from mcp-server-git==2026.10.19 mcp-server-git",
        "uvx --python 3.12 server==1.0.post1",
        "uvx --from git+https://x.example/y@" + "a" * 40 + " y",
        "uvx --from /src/y y",
        "uv tool run server==1.0",
        "uv run --directory /src server.py",
        "uv run --with x==1.0 server.py",
        "pipx run --spec server==1.0 server",
        f"docker run -i --rm ghcr.io/x/y@sha256:{SHA}",
        "go run example.com/x@v1.2.3",
        "deno run --allow-net server.ts",
        "deno run npm:server@1.2.3",
        "node server.js",
        "python -m server",
        "docker ps",
        "npm run start",
        "npx",
        "env",
    ],
)
def test_an_exact_version_or_no_fetch_gives_no_warning(command: str) -> None:
    assert inexact(shlex.split(command)) is None


NPX = ["-c", "--call", "-w", "--workspace", "--registry", "--cache", "--prefix", "--userconfig"]
UV = [
    *(
        "-p",
        "--python",
        "--index",
        "--index-url",
        "-i",
        "--default-index",
        "--extra-index-url",
        "--find-links",
        "-f",
        "--directory",
    ),
    *("--project", "--cache-dir", "--config-file", "--env-file", "--with-editable", "--with-requirements", "-c", "--constraints"),
]
VALUES = [
    *(("npx", option, "server@1.2.3", "server") for option in NPX),
    *((runner, option, "server@1.2.3", "server") for runner in ("uvx", "uv tool run") for option in UV),
    *(("pipx run", option, "server==1.2", "server") for option in ("--python", "--index-url", "-i", "--pip-args")),
    *(("go run", option, "x.example/server@v1.2.3", "x.example/server") for option in ("-C", "-exec")),
    *(("deno run", option, "npm:server@1.2.3", "npm:server") for option in ("-c", "--config", "--import-map")),
]


@pytest.mark.parametrize(("runner", "option", "exact", "inexact_one"), VALUES)
def test_the_value_of_an_option_is_no_package_and_hides_none(runner: str, option: str, exact: str, inexact_one: str) -> None:
    assert inexact(shlex.split(f"{runner} {option} value {exact}")) is None
    said = inexact(shlex.split(f"{runner} {option} value {inexact_one}"))
    assert said is not None
    assert f"fetches `{inexact_one.removeprefix('npm:')}`" in said


@pytest.mark.parametrize("command", ["npx ../local", "npx file:local", "npx .", "uvx --from", "deno run server.ts", "npx -p"])
def test_what_lies_here_is_not_fetched(command: str) -> None:
    assert inexact(shlex.split(command)) is None


@pytest.mark.parametrize(
    "command",
    [
        *("npm x server", "pnpx server", "pnpm dlx server", "yarn dlx server", "bunx server", "npx.CMD server"),
        *("nerdctl run server", "podman run server", "docker container run server", "podman container run server"),
        *("uvx -w other server@1.2.3", "uv tool run -w other server@1.2.3", "uv tool run --with other server@1.2.3"),
        *("uv tool run --from other server", "uv run -w other server.py", "deno run jsr:@scope/server"),
        "npx 'server@1.2.3||2'",
        "docker run server@sha256:" + "a" * 65,
        "uvx --from git+https://x.example/y@" + "a" * 41 + " y",
    ],
)
def test_every_runner_and_what_only_begins_exactly_is_warned_of(command: str) -> None:
    assert "it runs whatever the registry holds" in (inexact(shlex.split(command)) or "")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("npx -y @scope/server", "`npx` fetches `@scope/server`"),
        ("npx server@latest", "`npx` fetches `server@latest`"),
        ("npx server@^1.2.3", "`npx` fetches `server@^1.2.3`"),
        ("npx server@1", "`npx` fetches `server@1`"),
        ("/usr/local/bin/npx server", "`npx` fetches `server`"),
        ("npx.cmd server", "`npx` fetches `server`"),
        ("env -i A=b npx server", "`npx` fetches `server`"),
        ("npx -p server@1.2.3 -p other run", "`npx` fetches `other`"),
        ("npx --package=server -- run", "`npx` fetches `server`"),
        ("npm exec -- server", "`npm exec` fetches `server`"),
        ("bun x server", "`bun x` fetches `server`"),
        ("uvx server", "`uvx` fetches `server`"),
        ("uvx server@latest", "`uvx` fetches `server@latest`"),
        ("uvx server>=1.0", "`uvx` fetches `server>=1.0`"),
        ("uvx --from git+https://x.example/y y", "`uvx` fetches `git+https://x.example/y`"),
        ("uvx --with extra server==1.0", "`uvx` fetches `extra`"),
        ("uv run --with x==1.0,y server.py", "`uv run` fetches `y`"),
        ("uv tool run server", "`uv tool run` fetches `server`"),
        ("pipx run server", "`pipx run` fetches `server`"),
        ("docker run -i ghcr.io/x/y:1.2.3", "`docker run` names its image without a digest"),
        ("podman run x", "`podman run` names its image without a digest"),
        ("go run example.com/x@latest", "`go run` fetches `example.com/x@latest`"),
        ("deno run -A npm:server", "`deno run` fetches `server`"),
        ("npx -y", ""),
    ],
)
def test_what_is_fetched_without_an_exact_version_is_named(command: str, named: str) -> None:
    said = inexact(shlex.split(command))
    assert (said or "").startswith(named)
    assert bool(said) is bool(named)


def test_the_warning_says_server_and_place() -> None:
    text = b'[servers.a]\n[servers.f]\ncommand = ["npx", "server"]\n[servers.g]\ncommand = ["node", "x"]\n'
    assert warnings_for(load_project(text, file="mcpwrap.toml", root="/s", home="/h")) == [
        "f: `npx` fetches `server` without an exact version: it runs whatever the registry holds (mcpwrap.toml:2)"
    ]


@pytest.mark.parametrize("option", ["--with", "-w", "--with=", "--from", "--from="])
@pytest.mark.parametrize("runner", ["uvx", "uv tool run"])
def test_an_exact_version_of_something_else_excuses_only_that(runner: str, option: str) -> None:
    other = f"{option}other==1.0" if option.endswith("=") else f"{option} other==1.0"
    said = inexact(shlex.split(f"{runner} {other} server"))
    if option.startswith("--from"):
        assert said is None  # (`server` is a command of `other`)
    else:
        assert said is not None
        assert f"`{runner}` fetches `server`" in said


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("uvx --with . server==1.2", "server@1.2"),
        ("uvx --from=server==1.2 run", "server@1.2"),
        ("uv tool run --from=server==1.2 run", "server@1.2"),
        ("pipx run --spec=server==1.2 run", "server@1.2"),
        ("uvx --from server==1.2 other==2.0", "server@1.2"),
        (f"docker container run server@sha256:{SHA}", None),
        (f"docker run server@sha256:{SHA}", None),
    ],
)
def test_the_one_package_that_is_fetched_is_named_with_its_version(command: str, package: str | None) -> None:
    assert exact_package(shlex.split(command)) == package


@pytest.mark.parametrize(
    "command",
    [
        *("pnpm start", "yarn start", "bun start", "npm start", "docker container ls", "podman container ls", "deno run -A"),
        *("deno run data:server", "uv run server", f"docker container run -i x.example/y@sha256:{SHA} latest"),
    ],
)
def test_other_commands_of_the_same_tools_fetch_nothing(command: str) -> None:
    assert inexact(shlex.split(command)) is None


@pytest.mark.parametrize("command", ["docker container run x", "podman container run x", "nerdctl run x"])
def test_an_image_is_asked_for_its_digest_however_it_is_run(command: str) -> None:
    name = command.removesuffix(" x")
    assert inexact(shlex.split(command)) == (
        f"`{name}` names its image without a digest (`@sha256:…`): it runs whatever the registry holds"
    )
