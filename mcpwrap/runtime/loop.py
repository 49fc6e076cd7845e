"""The event loop around a pump; uvloop where it is installed (it answers a call about 20 µs sooner)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mcpwrap.runtime.compose import Run
from mcpwrap.runtime.lifecycle import ServerPipes
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.pump import Pump

try:
    import uvloop

    _new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:
    _new_loop = asyncio.new_event_loop


def relay(run: Run, guardian: Guardian, pipes: ServerPipes | None) -> None:
    """Run the session until it is over."""

    async def pump() -> None:
        await Pump(run.session, run.recorder, guardian, run).run(pipes)

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(pump())
