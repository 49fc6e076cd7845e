"""Batches: several messages in one line (MCP 2025-03-26)."""

from __future__ import annotations

from mcpwrap.core.commands import Command, ToClient, ToServer


def gather(inner: list[Command], out: list[Command]) -> None:
    """Put the lines of a batch together into one array for each side."""
    to_server = [c for c in inner if isinstance(c, ToServer)]
    to_client = [c for c in inner if isinstance(c, ToClient)]
    out.extend(c for c in inner if not isinstance(c, ToServer | ToClient))
    if to_server:
        refs = tuple(ref for c in to_server for ref in c.refs)
        out.append(ToServer(b"[" + b",".join(c.line for c in to_server) + b"]", refs))
    # answers go by themselves: a request of the server's that can't be recorded must not hold them back
    for part in ([c for c in to_client if not c.refs], [c for c in to_client if c.refs]):
        if part:
            refs = tuple(ref for c in part for ref in c.refs)
            out.append(ToClient(b"[" + b",".join(c.line for c in part) + b"]", refs))
