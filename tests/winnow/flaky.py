"""A service that fails as it was told to, then takes what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass
class Flaky:
    """A server that gives its planned statuses (0 = drops the connection), then takes whatever it is sent."""

    plan: list[int]
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    accepted: list[list[dict[str, Any]]] = field(default_factory=list)


@contextmanager
def flaky_server(*plan: int, headers: dict[str, str] | None = None) -> Iterator[Flaky]:
    flaky = Flaky(list(plan), headers=headers or {})

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            flaky.bodies.append(body)
            status = flaky.plan.pop(0) if flaky.plan else 202
            if status == 0:
                self.close_connection = True
                return
            events = orjson.loads(body) if status == 202 else []
            if events:
                flaky.accepted.append(events)
            ids = [event["event_id"] for event in events]
            problem = {"title": "t", "status": status, "detail": "no", "errors": [{"field": "0.at", "problem": "late"}]}
            content = orjson.dumps({"accepted": len(ids), "event_ids": ids} if status == 202 else problem)
            self.send_response(status)
            for name, value in {**flaky.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    flaky.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield flaky
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
