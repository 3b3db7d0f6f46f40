"""The shipped nginx configuration as a plain process on this machine: free ports, a directory of its own, all else so.

What is proved here is proved of what is deployed (P7): `adapted` replaces ports and the paths under /tmp, and nothing
else. One replica stands in both places.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.serving.processes import Running, answers, free_port, running
from contract.errors import SetupError

_DEPLOY = Path(__file__).parents[2] / "deploy"
SHIPPED = _DEPLOY / "nginx.conf"
UPSTREAM = _DEPLOY / "nginx" / "upstream-local.conf"
_PORT, _REPLICAS = "8080", ("8788", "8789")


def adapted(shipped: str, places: dict[str, str]) -> str:
    """Return a configuration with texts replaced, ports as whole words. Raises SetupError if one does not occur."""
    for old, new in places.items():
        changed = re.sub(rf"\b{old}\b", new, shipped) if old.isdigit() else shipped.replace(old, new)
        if changed == shipped:
            raise SetupError(
                f"the shipped nginx configuration no longer says {old!r}; mend benchmarks/chaos/local_nginx.py"
            )
        shipped = changed
    return shipped


@contextlib.contextmanager
def local_nginx(directory: Path, replicas: list[Running]) -> Iterator[Running]:
    """Run nginx in front of one or two services until the block ends; it has a directory of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = directory / "nginx.conf"
    file.write_text(
        adapted(SHIPPED.read_text(), {f"listen {_PORT};": f"listen 127.0.0.1:{port};", "/tmp/": f"{directory}/"})
    )
    ports = [str(replica.address[1]) for replica in replicas]
    (directory / "upstream.conf").write_text(
        adapted(UPSTREAM.read_text(), dict(zip(_REPLICAS, (ports * 2)[:2], strict=True)))
    )
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
