"""HTTP as bytes on a socket, for requests that no client library would send, and for what is answered to them."""

import contextlib
import re
import socket
import threading
from collections.abc import Mapping

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


def request_of(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a POST as it stands on the wire; `headers` come before the content type's own."""
    given = {"host": "h", "content-type": "application/json", "content-length": str(len(body))} | dict(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def status_of(address: tuple[str, int], wire: bytes, timeout_s: float) -> int:
    """Send bytes to one connection of its own; return the status that is answered, 0 if it is closed without.

    Sending goes on while the answer is awaited, for a refusal may come before the body is out.
    """
    with socket.create_connection(address, timeout=timeout_s) as connection:
        sender = threading.Thread(target=_send, args=(connection, wire), daemon=True)
        sender.start()
        try:
            head = connection.recv(65_536)
        except ConnectionError:
            head = b""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join(timeout_s)
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


def _send(connection: socket.socket, wire: bytes) -> None:
    with contextlib.suppress(OSError):  # refused and closed: that is what is wanted
        connection.sendall(wire)
