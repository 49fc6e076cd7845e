"""The event loop around a pump; uvloop where it is installed (it answers a call about 20 µs sooner)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from mcpwrap.runtime.compose import Run
from mcpwrap.runtime.lifecycle import ServerPipes
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.pump import Pump

try:
    import uvloop

    _new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:
    _new_loop = asyncio.new_event_loop


TIDY_AFTER_S: Final = 5.0
"""When a run clears up behind older ones: not while it starts, and not at all when it was a probe."""

GC_THRESHOLD: Final = 20_000
"""Container objects between collections of the youngest generation; Python's 700 cost a pause every few hundred calls."""


def relay(run: Run, guardian: Guardian, pipes: ServerPipes | None) -> None:
    """Run the session until it is over."""

    async def pump() -> None:
        asyncio.get_running_loop().call_later(TIDY_AFTER_S, run.tidy)
        await Pump(run.session, run.recorder, guardian, run).run(pipes)

    # what is imported stays: the collector needn't look at it again, and messages make no cycles
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(pump())
