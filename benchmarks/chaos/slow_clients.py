"""Ten thousand callers that never finish, before the shipped nginx: the others do not notice, and they are let go (P7).

The slow ones are sockets of this process: they send half a head, half a body, or never read. One thread holds them
all and notes when each is closed from the other side.
"""

import contextlib
import resource
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.chaos import offered
from benchmarks.chaos.local_nginx import local_nginx
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, write_bodies

SCORE = "/v1/score"
P99_BAR_MS = 200.0
CLOSED_BAR_S = 12.0  # nginx's 5 s, which count from the last byte, and some room for a busy machine
SERVICE_RSS_BAR = 120 * 2**20  # more than before
NGINX_RSS_BAR = 512 * 2**20  # mem_limit of nginx in docker-compose.yml
_RATE = 200.0
_CALM_S = 2.0
_LASTING_S = 7.0  # as long as nginx bears with the last one; a wave that lasts longer outlasts its good callers
_OPENED_PER_S = 2_500
_DRIBBLE_S = 2.0  # a slow head gets one more byte so often; nginx counts from the first
_OPENED_AT_ONCE = 250
_SPARE_FILES = 200
_READERS = 50  # few, for what they ask must not be an overload
_PIPELINED = 10  # answers of 90 kB, more than the kernel takes off nginx's hands
_HEAD = b"POST /v1/score HTTP/1.1\r\nHost: winnow\r\nContent-Type: application/json\r\n"


@dataclass
class Slow:
    """Connections that never finish. `open` them, then look at `lasted_s` once `closed` is true."""

    address: tuple[str, int]
    request: bytes  # whole, of which the slow readers never take the answer
    lasted_s: list[float] = field(default_factory=list)
    refused: int = 0
    most: int = 0  # open at once

    def __post_init__(self) -> None:
        self._opened: dict[socket.socket, tuple[float, bytes]] = {}
        self._looking = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def open(self, count: int, seconds: float) -> None:
        """Open `count` connections of the three kinds, one in _READERS a slow reader, within about `seconds`."""
        self._thread.start()
        begins = (_HEAD, _HEAD + b"Content-Length: 20000\r\n\r\n{", self.request)
        pause = seconds * _OPENED_AT_ONCE / count
        for number in range(count):
            self._open_one(begins[2 if number % _READERS == 0 else number % 2], f"127.0.0.{2 + number % 8}")
            if number % _OPENED_AT_ONCE == 0:
                time.sleep(pause)

    @property
    def closed(self) -> bool:
        """Whether none is left."""
        return not self._opened

    @property
    def left(self) -> int:
        """How many are left."""
        return len(self._opened)

    def leave(self) -> None:
        """Close what is left."""
        self._stopping.set()
        self._thread.join()
        for one in list(self._opened):
            one.close()

    def _open_one(self, begin: bytes, source: str) -> None:
        one = socket.socket()
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_304)  # a slow reader's answer does not fit
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # nor into the sender's buffer
            one.bind((source, 0))
            one.settimeout(5)
            one.connect(self.address)
            one.sendall(begin * (_PIPELINED if begin is self.request else 1))
        except OSError:
            self.refused += 1
            one.close()
            return
        one.setblocking(False)
        self._opened[one] = (time.monotonic(), begin)
        self.most = max(self.most, len(self._opened))
        if begin is not self.request:
            self._looking.register(one, selectors.EVENT_READ)

    def _hold(self) -> None:
        dribbled = time.monotonic()
        while not self._stopping.wait(0.05):
            for key, _ in self._looking.select(0.05):
                self._read(key.fileobj)  # type: ignore[arg-type]
            if time.monotonic() - dribbled > _DRIBBLE_S:
                dribbled = time.monotonic()
                for one, (_, begin) in list(self._opened.items()):
                    if begin is self.request:
                        self._probe(one)
                    elif begin == _HEAD:
                        self._tell(one)

    def _read(self, one: socket.socket) -> None:
        """A slow sender reads whatever it is told, and notes that it is hung up on."""
        try:
            over = one.recv(65_536) == b""
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._looking.unregister(one)
            self._end(one)

    def _probe(self, one: socket.socket) -> None:
        """A slow reader reads nothing; that it was hung up on it learns from its socket's state."""
        state = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state != _ESTABLISHED:
            self._end(one)

    def _tell(self, one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.send(b"x")

    def _end(self, one: socket.socket) -> None:
        started, _ = self._opened.pop(one)
        self.lasted_s.append(time.monotonic() - started)
        one.close()


_ESTABLISHED = 1


@scenario(
    fault="10,000 connections that send half a head, half a body or never read, before the shipped nginx",
    invariant="all others are answered with p99 under 200 ms; the slow ones are let go within about 10 s; the memory "
    "of nginx and service stays bounded",
    needs=("nginx",),
)
def half_open_connections(directory: Path, effort: Effort) -> Outcome:
    """Hold them open while good callers ask."""
    return slow(directory, connections=10_000, waves=effort.of(1, 20))


def slow(directory: Path, connections: int, waves: int) -> Outcome:
    """Open `connections` in each wave and wait until they have been let go, while good callers ask."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections = min(connections, most - _SPARE_FILES)
    world = World.of(2_000, 2_000)
    Versions(directory / "home", world).whole(1)
    bodies = write_bodies(world.requests(100, 100, seed=2), directory / "bodies.txt")
    greedy = world.requests(1_000, 1, seed=3)[0]
    request = _HEAD + b"Content-Length: %d\r\n\r\n" % len(greedy) + greedy
    lasted: list[float] = []
    refused = held = left = 0
    with winnow_service(directory / "home") as service, local_nginx(directory / "nginx", [service]) as nginx:
        before = [_rss(service.pid), _rss(nginx.pid)]
        peak = list(before)
        opening_s = connections / _OPENED_PER_S
        seconds = 2 * _CALM_S + waves * (_LASTING_S + 3 * opening_s)
        begun = offered.start([nginx.url], SCORE, bodies, _RATE, seconds, directory / "sent", connections=32)
        time.sleep(max(0.0, begun[0][1].start_s + _CALM_S - time.monotonic()))
        for _ in range(waves):
            wave = Slow(nginx.address, request)
            wave.open(connections, opening_s)
            deadline = time.monotonic() + CLOSED_BAR_S
            while not wave.closed and time.monotonic() < deadline:
                time.sleep(0.1)
                peak = [max(one) for one in zip(peak, (_rss(service.pid), _rss(nginx.pid)), strict=True)]
            left += wave.left
            wave.leave()
            lasted += wave.lasted_s
            refused, held = refused + wave.refused, max(held, wave.most)
        seen = offered.finish(begun)
    calm, meanwhile = seen.between(0, _CALM_S), seen.between(_CALM_S, seconds)
    errors = int((~seen.good).sum())
    figures: dict[str, Figure] = {
        "slow_connections": waves * connections,
        "open_at_once": held,
        "not_let_in": refused,
        "left_open": left,
        "lasted_max_s": round(max(lasted, default=0.0), 2),
        "good_requests": len(seen.status),
        "errors": errors,
        "calm_p99_ms": round(calm.quantile_ms(0.99), 2),
        "p99_ms": round(meanwhile.quantile_ms(0.99), 2),
        "service_rss_more_mb": round((peak[0] - before[0]) / 2**20, 1),
        "nginx_rss_mb": round(peak[1] / 2**20, 1),
    }
    broken = [
        f"{errors} good callers were not answered: {seen.fates()}" if errors else "",
        f"{left} connections were still open after {CLOSED_BAR_S:g} s" if left else "",
        "the service grew past its bar" if peak[0] - before[0] > SERVICE_RSS_BAR else "",
        "nginx grew past its bar" if peak[1] > NGINX_RSS_BAR else "",
    ]
    p99_ms = meanwhile.quantile_ms(0.99)
    return Outcome.of(
        figures, broken, [f"p99 is {p99_ms:.1f} ms, the bar is {P99_BAR_MS:g} ms" if p99_ms > P99_BAR_MS else ""]
    )


def _rss(pid: int) -> int:
    """Return the resident bytes of a process and all it started."""
    total = 0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total
