"""The shipped nginx.conf as a plain process on this machine: a high port, real ports behind it, all else as shipped.

Only what names the containers differs: the resolver, `resolve`, the replicas' names, the port, the paths under /tmp and
the pid file. `adapted` refuses to change anything else, so that what is proved here is proved of what is deployed (P7).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.serving.processes import Running, answers, free_port, running
from contract.errors import SetupError

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_NAMES = ("service-1:8787", "service-2:8787")
_CHANGES = (  # text of the shipped file -> what stands there here; each must occur
    (" resolve", ""),
    ("    resolver 127.0.0.11 valid=2s ipv6=off;\n    resolver_timeout 2s;\n", ""),
)


def adapted(shipped: str, port: int, replicas: list[str], directory: Path) -> str:
    """Return the configuration for this machine. Raises SetupError if the shipped one is not what this file knows."""
    changes = [
        *_CHANGES,
        *zip(_NAMES, (replicas * 2)[:2], strict=True),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/tmp/", f"{directory}/"),
    ]
    text = shipped
    for old, new in changes:
        if old not in text:
            raise SetupError(f"deploy/nginx.conf no longer says {old!r}; mend benchmarks/chaos/local_nginx.py")
        text = text.replace(old, new) if old != " resolve" else re.sub(r"(server [^;]*) resolve\b", r"\1", text)
    return text


@contextlib.contextmanager
def local_nginx(directory: Path, replicas: list[Running]) -> Iterator[Running]:
    """Run nginx in front of one or two services until the block ends; it has a directory of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    where = [f"{host}:{number}" for host, number in (replica.address for replica in replicas)]
    file = directory / "nginx.conf"
    file.write_text(adapted(SHIPPED.read_text(), port, where, directory))
    command = ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(file), "-g", "daemon off;"]
    url = f"http://127.0.0.1:{port}"
    with running(command, directory / "nginx.log", answers(url, "/livez")) as nginx:
        yield nginx


def asks(url: str, path: str, timeout_s: float = 1.0) -> bool:
    """Whether a GET is answered well in time."""
    try:
        return httpx.get(url + path, timeout=timeout_s, trust_env=False).is_success
    except httpx.HTTPError:
        return False
