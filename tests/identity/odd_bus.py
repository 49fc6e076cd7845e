"""A bus that behaves as no real one does: it says what a test tells it to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jeepney import HeaderFields, Message, MessageType, Parser
from jeepney.low_level import Endianness, Header, MessageFlag

Answer = Callable[[str], tuple[str, tuple[Any, ...]] | bytes | None]
"""From a method's name to signature and body of the reply, to raw bytes, or to None: no reply at all."""


class OddBus:
    """Listens on a unix socket in `folder`. `greeting` is what follows the client's AUTH; None: nothing."""

    def __init__(self, folder: Path, answer: Answer, greeting: bytes | None = b"OK 1234deadbeef\r\n") -> None:
        self.path = folder / "bus"
        self.address = f"unix:path={self.path}"
        self.env = {"DBUS_SESSION_BUS_ADDRESS": self.address}
        self.asked: list[str] = []
        self._answer = answer
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            try:
                self._talk(connection)
            except OSError:
                continue

    def _talk(self, connection: socket.socket) -> None:
        if self._greeting is None:
            return
        connection.recv(4096)
        connection.sendall(self._greeting)
        data = b""
        while not data.startswith(b"BEGIN\r\n"):
            data += (more := connection.recv(4096))
            if not more:
                return
        parser = Parser()
        parser.add_data(data.removeprefix(b"BEGIN\r\n"))
        serial = 0
        while True:
            while (message := parser.get_next_message()) is not None:
                serial += 1
                method = str(message.header.fields[HeaderFields.member])
                self.asked.append(method)
                answer = ("s", (":1.1",)) if method == "Hello" else self._answer(method)
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                elif answer is not None:
                    connection.sendall(reply(message, serial, *answer))
            more = connection.recv(4096)
            if not more:
                connection.close()
                return
            parser.add_data(more)


def reply(to: Message, serial: int, signature: str, body: tuple[Any, ...]) -> bytes:
    """A method's return, or an error where the signature begins with ``!``: then the rest is its name."""
    fields: dict[HeaderFields, Any] = {HeaderFields.reply_serial: to.header.serial}
    kind = MessageType.method_return
    if signature.startswith("!"):
        kind = MessageType.error
        fields[HeaderFields.error_name] = signature[1:]
    elif signature:
        fields[HeaderFields.signature] = signature
    header = Header(Endianness.little, kind, MessageFlag.no_reply_expected, 1, -1, serial, fields)
    return bytes(Message(header, body).serialise(serial=serial))
