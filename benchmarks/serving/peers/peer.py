"""The peers: which versions, and how each is installed in a virtual environment of its own and started."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

import benchmarks
from benchmarks.serving.peers.ranker import BUNDLE, PORT
from benchmarks.serving.processes import Running, answers, free_port, running
from contract.errors import SetupError

COMMON = ("numpy==2.4.6", "onnxruntime==1.32.0", "orjson==3.13.0")
_MARK = "installed.txt"


@dataclass(frozen=True)
class Peer:
    """One server that a user might pick instead."""

    name: str
    requirements: tuple[str, ...]
    command: Callable[[Path, Path, int], list[str]]  # of its bin directory, a directory for files, and its port
    settings: str  # what was chosen, in words
    environment: Mapping[str, str] = field(default_factory=dict)

    def installed(self, root: Path) -> Path:
        """Return the bin directory of its environment, made first if need be. Raises SetupError with pip's words."""
        directory = root / self.name
        wanted = "\n".join((*self.requirements, *COMMON))
        mark = directory / _MARK
        if not (mark.exists() and mark.read_text() == wanted):
            _run([sys.executable, "-m", "venv", "--clear", str(directory)])
            pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            _run([*pip, *self.requirements, *COMMON])
            mark.write_text(wanted)
        return directory / "bin"

    @contextlib.contextmanager
    def serving(self, root: Path, bundle: Path, work: Path) -> Iterator[Running]:
        """Run it on a bundle; it answers `POST /score`. Raises SetupError if it does not come up."""
        programs, port = self.installed(root), free_port()
        files = work / self.name
        (files / "path").mkdir(parents=True, exist_ok=True)
        package = files / "path" / "benchmarks"  # all of Winnow that a peer sees
        package.unlink(missing_ok=True)
        package.symlink_to(Path(benchmarks.__file__).parent.resolve())
        environment = {
            BUNDLE: str(bundle.resolve()),
            PORT: str(port),
            "PYTHONPATH": str((files / "path").resolve()),
            "PATH": os.pathsep.join([str(programs.resolve()), os.environ.get("PATH", os.defpath)]),
            **self.environment,
        }
        url = f"http://127.0.0.1:{port}"
        command = self.command(programs.resolve(), files.resolve(), port)
        with running(command, files / "log.txt", answers(url, _ALIVE[self.name]), environment, timeout_s=120.0) as peer:
            yield peer


def _bentoml(programs: Path, files: Path, port: int) -> list[str]:
    target = "benchmarks.serving.peers.bentoml_peer:Scorer"
    options = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(files / "path")]
    return [str(programs / "bentoml"), "serve", target, *options]


def _mlserver(programs: Path, files: Path, port: int) -> list[str]:
    free = {name: free_port() for name in ("grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "http_port": port, **free, "debug": False, "parallel_workers": 0}
    (files / "settings.json").write_bytes(orjson.dumps(settings | {"gzip_enabled": False}))
    model = {"name": "scorer", "implementation": "benchmarks.serving.peers.mlserver_peer.Scorer"}
    (files / "model-settings.json").write_bytes(orjson.dumps(model))
    return [str(programs / "mlserver"), "start", str(files)]


def _module(name: str) -> Callable[[Path, Path, int], list[str]]:
    return lambda programs, _files, _port: [str(programs / "python"), "-m", f"benchmarks.serving.peers.{name}"]


_ALIVE = {"bentoml": "/livez", "litserve": "/health", "ray": "/-/healthz", "mlserver": "/v2/health/ready"}
PEERS = (
    Peer("bentoml", ("bentoml==1.4.40",), _bentoml, "one worker, an asynchronous API",
         {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}),
    Peer("litserve", ("litserve==0.2.19",), _module("litserve_peer"),
         "one worker, one API server, fast_queue, no batching"),
    Peer("ray", ("ray[serve]==2.60.0",), _module("ray_peer"),
         "one replica, RAY_SERVE_THROUGHPUT_OPTIMIZED=1, access log off, bytes answered",
         {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}),
    Peer("mlserver", ("mlserver==1.7.1",), _mlserver, "a custom handler, parallel_workers 0, gzip and access log off"),
)  # fmt: skip


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise SetupError(f"{' '.join(command[:6])} ... ended with {done.returncode}: {lines[-1] if lines else ''}")
