"""Asking a server what it has: it is started as `run` would start it, and the MCP SDK's client talks to it.

The definitions are taken off the wire as they came, since the SDK's models may know fewer fields than a server sends. The server's
process belongs to a guardian, so that nothing of it is left however this ends.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mcpwrap.core import jsonrpc
from mcpwrap.core.framing import FramingError, LineReader
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import McpwrapError
from mcpwrap.runtime.lifecycle import Exited, ServerPipes, SpawnFailed
from mcpwrap.runtime.process import Guardian

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

ITEM_LIMIT: Final = 2000
"""Most things of one kind: more names than a file may have patterns."""
PAGE_LIMIT: Final = 200
"""Most pages of one list; a cursor that never ends must not keep us."""
BYTES_LIMIT: Final = 32 * 1024 * 1024
"""Most bytes that are read of a server; definitions are some kilobytes each."""
STDERR_LIMIT: Final = 4096
"""Bytes of what the server wrote last on stderr that are kept, for the error message."""
LEAVE_S: Final = 1.0
"""How long the server may take to leave after its input was closed."""

_LISTS: Final = (
    ("tools", "tools/list", "tools"),
    ("prompts", "prompts/list", "prompts"),
    ("resources", "resources/list", "resources"),
    ("resources", "resources/templates/list", "resourceTemplates"),
)
"""The capability, the method, and the key of the list in its answer."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What is started: the command (its program absolute), the whole environment, the working folder."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str


@dataclass(slots=True)
class Survey:
    """What the server said: its answer to the handshake, the items of its lists by method, and in `gaps` what it refused."""

    revision: str = ""
    greeting: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The name and version that the server gives itself; "" where it gives none."""
        meta = self.greeting.get("_meta")
        info = self.greeting.get("serverInfo")
        if info is None and isinstance(meta, dict):
            info = meta.get("io.modelcontextprotocol/serverInfo")
        if not isinstance(info, dict):
            return ""
        return " ".join(str(info[key]) for key in ("name", "version") if isinstance(info.get(key), str))


def survey(launch: Launch, *, limit_s: float, tell: Callable[[str], None]) -> Survey:
    """Start the server, ask for all its lists, and end it; `tell` is called with each line of progress.

    Raises:
        McpwrapError: it can't be started, ends, doesn't answer within `limit_s` seconds, or answers with what is no MCP.
    """
    # forked first: the guardian is to be small, and the SDK isn't
    guardian = Guardian.start()
    try:
        import anyio  # noqa: PLC0415 - after the fork

        wire = _Wire(guardian)
        try:
            return anyio.run(_ask, wire, launch, limit_s, tell)
        except Exception as error:
            raise _explained(error, wire, launch, limit_s) from error
    finally:
        guardian.close()


def _explained(error: BaseException, wire: _Wire, launch: Launch, limit_s: float) -> McpwrapError:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    name = f"`{spell_out(os.path.basename(launch.argv[0]))}`"  # noqa: PTH119 - a text of the command
    said = wire.last_words
    more = f": {said}" if said else ""
    hint = "start it by hand to see what it needs; variables of yours reach it only with `--inherit-env NAME`"
    if wire.failed:
        return McpwrapError(f"{name} can't be started: {wire.failed}")
    if isinstance(error, McpwrapError):
        return error
    if isinstance(error, TimeoutError):
        return McpwrapError(
            f"{name} didn't answer within {limit_s:g} s{more}",
            hint="give it more time: `--timeout SECONDS`; a first download is slow",
        )
    if _is_closed(error) and wire.ended is not None:
        how = f"exited ({wire.ended.code})" if wire.ended.signal is None else f"was ended by signal {wire.ended.signal}"
        return McpwrapError(f"{name} {how} before it had answered{more}", hint=hint)
    return McpwrapError(f"{name} can't say what it has: {spell_out(_reason(error), limit=300)}{more}", hint=hint)


def _reason(error: BaseException) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"no {error.title}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"


def _is_closed(error: BaseException) -> bool:
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    return isinstance(error, MCPError) and error.code == CONNECTION_CLOSED


async def _ask(wire: _Wire, launch: Launch, limit_s: float, tell: Callable[[str], None]) -> Survey:
    import anyio  # noqa: PLC0415 - see survey
    from mcp import Client
    from mcp_types import Implementation

    found = Survey()
    with anyio.fail_after(limit_s):
        async with Client(
            _transport(wire, launch), client_info=Implementation(name="mcpwrap-init", version="1"), cache=None
        ) as client:
            found.revision = client.protocol_version
            found.greeting = wire.answers.get("server/discover", [{}])[-1]
            if "initialize" in wire.answers:
                found.greeting = wire.answers["initialize"][-1]
            tell(f"it is {spell_out(found.title, limit=100) or 'a server without a name'}, MCP {found.revision}")
            capabilities = client.server_capabilities
            for capability, method, key in _LISTS:
                if getattr(capabilities, capability) is not None:
                    await _list(client, wire, method, found)
                    found.lists[method] = items = [item for page in wire.answers.get(method, ()) for item in page.get(key, ())]
                    if len(items) > ITEM_LIMIT:
                        raise McpwrapError(f"the server lists more than {ITEM_LIMIT:,} things in {method}")
                    tell(f"  {len(items):,} from {method}")
    return found


async def _list(client: Client, wire: _Wire, method: str, found: Survey) -> None:
    from mcp import MCPError

    ask = {
        "tools/list": client.list_tools,
        "prompts/list": client.list_prompts,
        "resources/list": client.list_resources,
        "resources/templates/list": client.list_resource_templates,
    }[method]
    cursor: str | None = None
    for _ in range(PAGE_LIMIT):
        try:
            page = await ask(cursor=cursor)
        except MCPError as error:
            if method == "tools/list" or wire.gone:
                raise
            wire.answers.pop(method, None)
            found.gaps.append(f"it refused {method}: {spell_out(error.message, limit=200)}")
            return
        cursor = page.next_cursor
        if not cursor:
            return
    raise McpwrapError(f"{method} has more than {PAGE_LIMIT} pages")


class _Wire:
    """The server's process with what it said: the answers by method as they came, its last words on stderr, and its end."""

    def __init__(self, guardian: Guardian) -> None:
        self.guardian = guardian
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.failed = ""
        self.ended: Exited | None = None
        self._asked: dict[object, str] = {}
        self._stderr = bytearray()
        self._bytes = 0

    @property
    def gone(self) -> bool:
        """True once the server's process has ended or never began."""
        return self.ended is not None or bool(self.failed)

    @property
    def last_words(self) -> str:
        """The last line that the server wrote on stderr, visible."""
        lines = [line for line in self._stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        return spell_out(lines[-1].strip(), limit=300) if lines else ""

    def events(self) -> None:
        """Take in what became of the process."""
        for event in self.guardian.events():
            match event:
                case SpawnFailed(message):
                    self.failed = spell_out(message, limit=300)
                case Exited():
                    self.ended = event
                case _:
                    pass

    def said(self, data: bytes) -> None:
        """Keep the end of what comes on stderr."""
        self._stderr += data
        del self._stderr[:-STDERR_LIMIT]

    def sent(self, body: Mapping[str, Any]) -> None:
        """Note a request, so that its answer is known."""
        if "method" in body and "id" in body:
            self._asked[body["id"]] = str(body["method"])

    def came(self, line: bytes) -> None:
        """Keep the answer in `line` where it is one.

        Raises:
            McpwrapError: it is ambiguous, or too much came.
        """
        self._bytes += len(line)
        if self._bytes > BYTES_LIMIT:
            raise McpwrapError(f"the server sends more than {BYTES_LIMIT // 1024 // 1024} MiB")
        try:
            message = jsonrpc.parse(line)
        except jsonrpc.WireError:
            return  # not an answer that counts; the SDK says what it makes of it
        if isinstance(message, jsonrpc.Result) and (method := self._asked.pop(message.id, "")):
            self.answers.setdefault(method, []).append(message.result)


@asynccontextmanager
async def _transport(wire: _Wire, launch: Launch) -> AsyncIterator[TransportStreams]:
    """The SDK's streams over the pipes of a server that a guardian starts."""
    import anyio  # noqa: PLC0415 - see survey
    from mcp.shared.message import SessionMessage

    pipes = wire.guardian.spawn(launch.argv, launch.env, launch.cwd)
    inward, inbound = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outbound, outward = anyio.create_memory_object_stream[SessionMessage](0)
    ended = anyio.Event()

    async def watch() -> None:
        while not wire.gone:
            await anyio.wait_readable(wire.guardian)
            wire.events()
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        tasks.start_soon(_errors, pipes, wire)
        tasks.start_soon(_reader, pipes, wire, inward)
        tasks.start_soon(_writer, pipes, wire, outward)
        try:
            yield inbound, outbound
        finally:
            with anyio.CancelScope(shield=True):
                outbound.close()
                inbound.close()
                os.close(pipes.stdin)
                with anyio.move_on_after(LEAVE_S):
                    await ended.wait()
            tasks.cancel_scope.cancel()
            os.close(pipes.stdout)
            os.close(pipes.stderr)


async def _reader(pipes: ServerPipes, wire: _Wire, inward: Any) -> None:
    import anyio  # noqa: PLC0415 - see survey
    import mcp_types
    from mcp.shared.message import SessionMessage

    lines = LineReader(BYTES_LIMIT)
    async with inward:
        while data := await _some(pipes.stdout):
            try:
                whole = lines.feed(data)
            except FramingError as error:
                raise McpwrapError(f"the server sends a line of more than {BYTES_LIMIT // 1024 // 1024} MiB") from error
            for line in whole:
                if not line.strip():
                    continue
                wire.came(line)
                try:
                    message: SessionMessage | Exception = SessionMessage(
                        mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                    )
                except ValueError as error:
                    message = error
                try:
                    await inward.send(message)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return


async def _writer(pipes: ServerPipes, wire: _Wire, outward: Any) -> None:
    import anyio  # noqa: PLC0415 - see survey

    async with outward:
        async for message in outward:
            body = message.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            wire.sent(body)
            data = memoryview(jsonrpc.encode(body) + b"\n")
            while data:
                await anyio.wait_writable(pipes.stdin)
                try:
                    data = data[os.write(pipes.stdin, data) :]
                except BlockingIOError:
                    continue
                except OSError:  # it is gone; its output ends, and that is what the session sees
                    return


async def _errors(pipes: ServerPipes, wire: _Wire) -> None:
    while data := await _some(pipes.stderr):
        wire.said(data)


async def _some(fd: int) -> bytes:
    """What is there to read, b"" at the end."""
    import anyio  # noqa: PLC0415 - see survey

    while True:
        await anyio.wait_readable(fd)
        try:
            return os.read(fd, 65536)
        except BlockingIOError:
            continue
        except OSError:
            return b""
