"""The hostile list: requests that no well-meaning caller sends, as the bytes on the wire (P11, faults F29 and F41)."""

import gzip
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.chaos.raw_http import request_of

JSON, LINES = "application/json", "application/x-ndjson"
INFER = "/v2/models/winnow/infer"
PATHS = ("/v1/score", "/v1/score:batch", "/v1/feedback", "/v1/labels", INFER)
_MB = 1_000_000  # a body as large as the service takes by default
_GOOD = {
    "/v1/score": b'{"user_id":"u1","candidates":["v1",X]}',
    "/v1/score:batch": b'{"requests":[{"user_id":"u1","candidates":["v1",X]}]}',
    "/v1/feedback": b'{"event_id":X,"user_id":"u1","item_id":"v1","at":1,"watch_ms":1}',
    "/v1/labels": b'[{"event_id":"e1","user_id":"u1","item_id":X,"at":1,"watch_ms":1}]',
    INFER: b'{"inputs":[{"name":"item_id","shape":[1],"datatype":"BYTES","data":[X]},'
    b'{"name":"user_id","shape":[1],"datatype":"BYTES","data":["u1"]}]}',
}
_VALUES: Mapping[str, bytes] = {
    "NaN": b"NaN",
    "minus infinity": b"-Infinity",
    "1e400": b"1e400",
    "5,000-digit integer": b"7" * 5_000,
    "900 k digit integer": b"7" * 900_000,
    "lone surrogate": rb'"\ud800"',
    "NUL": rb'"\u0000"',
    "raw NUL": b'"\x00"',
    "line feed and ANSI": rb'"a\n\u001b[31m{\"level\":\"error\"}"',
    "bad UTF-8": b'"\xff\xfe"',
    "100 k open arrays": b"[" * 100_000,
    "100 k closed arrays": b"[" * 100_000 + b"]" * 100_000,
    "100 k objects in each other": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "long text": b'"' + b"a" * 900_000 + b'"',
    "long text of escapes": b'"' + rb"\u00e9" * 150_000 + b'"',
    "100 k numbers": b"[" + b",".join([b"1"] * 100_000) + b"]",
}
_BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"user_id": "',
    "UTF-16": '{"user_id": "u1"}'.encode("utf-16"),
    "NUL bytes": bytes(100_000),
    "1 MB of blanks": b" " * _MB,
    "1 MB of line feeds": b"\n" * _MB,
    "1 MB of open arrays": b"[" * _MB,
    "200 k duplicate keys": b"{" + b",".join([b'"":0'] * 200_000) + b"}",
    "100 k unknown keys": b"{" + b",".join(b'"%x":0' % n for n in range(100_000)) + b"}",
    "200 k unknown keys": b"{" + b",".join(b'"%x":0' % n for n in range(200_000)) + b"}",
    "300 k empty objects": b"[" + b",".join([b"{}"] * 300_000) + b"]",
    "300 k empty events": b'{"events":[' + b",".join([b"{}"] * 300_000) + b"]}",
    "300 k empty requests": b'{"requests":[' + b",".join([b"{}"] * 300_000) + b"]}",
    "300 k empty inputs": b'{"inputs":[' + b",".join([b"{}"] * 300_000) + b"]}",
    "900 events with nothing in them": b"[" + b",".join([b"{}"] * 900) + b"]",
    "900 candidates of a wrong type": b'{"user_id":"u1","candidates":[' + b",".join([b"[]"] * 900) + b"]}",
    "900 requests with 300 candidates": b'{"requests":['
    + b",".join([b'{"user_id":"u","candidates":[' + b",".join([b"0"] * 300) + b"]}"] * 900)
    + b"]}",
    "900 events with an array of 300 actions": b"["
    + b",".join([b'{"actions":[' + b",".join([b"0"] * 300) + b"]}"] * 900)
    + b"]",
    "900 objects of 150 unknown keys": b"["
    + b",".join([b"{" + b",".join(b'"%x":0' % n for n in range(150)) + b"}"] * 900)
    + b"]",
    "450 k lone digits": b"[" + b",".join([b"1"] * 450_000) + b"]",
    "50 MB": b'{"user_id":"' + b"a" * 50 * _MB + b'"}',
}


class Hostile(NamedTuple):
    """One request, and what it is."""

    name: str
    path: str
    wire: bytes
    never_ends: bool = False  # the service has to give up waiting, so only what it costs is measured


def hostile_requests() -> Iterator[Hostile]:
    """Yield the whole list, on every route that takes a body."""
    for path in PATHS:
        for name, value in _VALUES.items():
            yield Hostile(name, path, request_of(path, _GOOD[path].replace(b"X", value)))
        for name, body in _BODIES.items():
            yield Hostile(name, path, request_of(path, body))
        yield from _of_http(path)
    for path in ("/v1/feedback", "/v1/labels"):
        for name, body in _BODIES.items():
            yield Hostile(f"{name}, as lines", path, request_of(path, body, {"content-type": LINES}))
        for name, value in _VALUES.items():
            lines = (_GOOD["/v1/feedback"].replace(b"X", value) + b"\n") * (1 if len(value) > 100 else 3)
            yield Hostile(f"{name}, as lines", path, request_of(path, lines, {"content-type": LINES}))
    for length in ("0", "-1", "9" * 30, "1e3", "\u00b2"):
        asked = {"inference-header-content-length": length}
        yield Hostile(f"JSON of {length[:4]} bytes", INFER, request_of(INFER, _GOOD[INFER], asked))
    claimed = b'{"inputs":[{"name":"item_id","shape":[9000000000000000000],"datatype":"BYTES","data":["v1"]}]}'
    yield Hostile("a shape of 9 exa", INFER, request_of(INFER, claimed))


def _of_http(path: str) -> Iterator[Hostile]:
    """Yield what is wrong around a body."""
    bomb = gzip.compress(bytes(20 * _MB))
    for coding in ("gzip", "deflate", "br", "identity, gzip"):
        yield Hostile(f"a bomb in {coding}", path, request_of(path, bomb, {"content-encoding": coding}))
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {JSON}\r\n".encode()
    yield Hostile("both lengths", path, head + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
    yield Hostile(
        "both lengths, turned", path, head + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n"
    )
    yield Hostile("two lengths", path, head + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}}")
    yield Hostile("a negative length", path, head + b"content-length: -1\r\n\r\n{}")
    yield Hostile("a length of 30 digits", path, head + b"content-length: " + b"9" * 30 + b"\r\n\r\n{}")
    yield Hostile("a chunk of no length", path, head + b"transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n")
    chunks = b"%x\r\n%b\r\n" % (100_000, b" " * 100_000)
    yield Hostile("chunks of 50 MB", path, head + b"transfer-encoding: chunked\r\n\r\n" + chunks * 500)
    yield Hostile(
        "chunks of a byte", path, head + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 20_000 + b"0\r\n\r\n"
    )
    yield Hostile("chunks without end", path, head + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", never_ends=True)
    yield Hostile("half of what was promised", path, head + b"content-length: 1000\r\n\r\n{", never_ends=True)
    yield Hostile("a NUL in a header", path, head + b"x-a: \x00\r\ncontent-length: 2\r\n\r\n{}")
    yield Hostile("a header folded", path, head + b"x-a: 1\r\n two\r\ncontent-length: 2\r\n\r\n{}")
    yield Hostile("a request id with ANSI", path, request_of(path, b"{", {"x-request-id": "\x1b[31mred"}))
