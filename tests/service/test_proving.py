"""Versions are proven in another process: what it finds, what becomes of it, and what it cannot take along (P4, P5)."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from structlog.testing import capture_logs

from contract.errors import ProofUnfinished, VersionCorrupt
from contract.hashing import id_key, id_keys
from contract.registry import Registry
from service.metrics import Metrics
from service.prior import PriorModel
from service.proven import look, open_proven, prove
from service.proving import Prover, rest_s
from service.slot import Slot
from tests.service.conftest import running_service, until
from tests.service.test_slot import poll
from tests.versions import ITEMS, promote_version, write_version

# A real prover that comes to harm by a real signal, or by none, while it is asked for a version.
_HARMED = "import sys, os, time, signal; sys.stdin.buffer.read(4); {harm}"
_UNHARMED = "from service.prover import main; main()"


def harmed(harm: str) -> list[str]:
    return [sys.executable, "-c", _HARMED.format(harm=harm)]


def harmed_once(mark: Path, harm: str) -> list[str]:
    first = _HARMED.format(harm=f"open({str(mark)!r}, 'x').close(); {harm}")
    code = f"import os\nif os.path.exists({str(mark)!r}):\n    {_UNHARMED}\nelse:\n    {first}"
    return [sys.executable, "-c", code]


CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"
OUTSIDE = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "time.sleep(600)"


@pytest.fixture(scope="module")
def prover() -> Iterator[Prover]:
    with closing(Prover()) as prover:
        yield prover


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_a_sound_version_is_proven_there_and_answers_here(tmp_path: Path, prover: Prover) -> None:
    expected = write_version(tmp_path / "000001", history=3)
    opened = open_proven(tmp_path / "000001", prover.prove(tmp_path / "000001"), None)
    answer = opened.answer(id_key("u1"), id_keys(list(ITEMS)))
    np.testing.assert_allclose(answer.score, [expected.score("u1", item) for item in ITEMS], atol=1e-6)


def test_a_corrupt_version_is_refused_with_the_reason_found_there(tmp_path: Path, prover: Prover) -> None:
    write_version(tmp_path / "000001")
    (tmp_path / "000001" / "items.terms.bin").write_bytes(b"\x00" * 32)
    with pytest.raises(VersionCorrupt, match=r"000001: sha256 of items.terms.bin differs"):
        prover.prove(tmp_path / "000001")


def test_the_process_stands_back_after_its_first_answer(tmp_path: Path, prover: Prover) -> None:
    write_version(tmp_path / "000001")
    prover.prove(tmp_path / "000001")
    assert prover.pid is not None
    pid = prover.pid
    until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19)
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        until(lambda: session.read_text().rstrip().endswith("nice 19"))
    assert psutil.Process(pid).num_threads() == 1


def _write_into(path: Path) -> None:
    content = path.read_bytes()
    times = path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # whoever hides it cannot hide that it was changed


def _replace(path: Path) -> None:
    aside = path.with_name("aside")
    aside.write_bytes(path.read_bytes())
    aside.replace(path)


@pytest.mark.parametrize("change", [_write_into, _replace, Path.unlink])
@pytest.mark.parametrize("name", ["items.vectors.bin", "manifest.json"])
def test_a_file_that_changed_after_its_proof_is_not_served(
    tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    write_version(tmp_path / "000001")
    proven, _ = prove(tmp_path / "000001", None)
    change(tmp_path / "000001" / name)
    with pytest.raises(ProofUnfinished, match="changed after its proof"):
        open_proven(tmp_path / "000001", proven, None)


def test_a_file_that_came_after_the_proof_is_seen(tmp_path: Path) -> None:
    write_version(tmp_path / "000001")
    proven, _ = prove(tmp_path / "000001", None)
    (tmp_path / "000001" / "users.changed.bin").write_bytes(b"")
    with pytest.raises(ProofUnfinished):
        open_proven(tmp_path / "000001", proven, None)


def test_a_version_that_kills_every_process_that_opens_it_is_refused(registry: Registry) -> None:
    good, _ = promote_version(registry, seed=1)
    bad, _ = promote_version(registry, seed=2)
    with closing(Prover(command=harmed(CRASH))) as prover:
        with pytest.raises(VersionCorrupt, match=f"{bad}: it kills the process that opens it .SIGSEGV, 2 times"):
            prover.prove(registry.path(bad))
        slot = Slot(registry, PriorModel(0.02), Metrics(), prover)
        assert poll(slot) == "prior"
    assert slot.refused.keys() == {bad, good}


def test_one_death_is_no_proof_against_a_version(tmp_path: Path) -> None:
    write_version(tmp_path / "000001")
    with closing(Prover(command=harmed_once(tmp_path / "mark", CRASH))) as prover:
        proven = prover.prove(tmp_path / "000001")
    assert (tmp_path / "mark").exists()
    assert proven.own == look(tmp_path / "000001")


def test_a_version_is_left_for_later_when_its_proof_was_killed_from_outside(registry: Registry, tmp_path: Path) -> None:
    version, _ = promote_version(registry)
    with closing(Prover(command=harmed_once(tmp_path / "mark", OUTSIDE))) as prover:
        slot = Slot(registry, PriorModel(0.02), Metrics(), prover)
        assert poll(slot) == "prior"
        assert not slot.refused
        until(lambda: poll(slot) == version)


def test_a_hang_ends_at_the_deadline_and_is_no_proof_against_the_version(tmp_path: Path) -> None:
    write_version(tmp_path / "000001")
    before = descendants(os.getpid())
    with closing(Prover(0.2, command=harmed(HANG))) as prover, capture_logs() as logs:
        with pytest.raises(ProofUnfinished, match="did not answer in time"):
            prover.prove(tmp_path / "000001")
        assert descendants(os.getpid()) == before
        with pytest.raises(ProofUnfinished, match="did not answer in time"):  # at once: it rests now
            prover.prove(tmp_path / "000001")
    assert [line["event"] for line in logs] == ["prover_started"]


def test_a_process_that_gets_no_processor_is_replaced_by_one_that_does_not_stand_back(tmp_path: Path) -> None:
    write_version(tmp_path / "000001")
    with closing(Prover(patience_s=0.2)) as prover:
        prover.prove(tmp_path / "000001")
        starved = prover.pid
        assert starved is not None
        os.kill(starved, signal.SIGSTOP)
        assert prover.prove(tmp_path / "000001").own == look(tmp_path / "000001")
        assert prover.pid != starved


def test_rests_grow_and_are_bounded() -> None:
    assert [rest_s(failures) for failures in (1, 2, 3, 1_000)] == [0.25, 0.5, 1.0, 10.0]


def test_closing_ends_a_proof_that_is_under_way(tmp_path: Path) -> None:
    write_version(tmp_path / "000001")
    prover = Prover(command=harmed(HANG))
    raised: list[str] = []

    def ask() -> None:
        try:
            prover.prove(tmp_path / "000001")
        except ProofUnfinished as error:
            raised.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: prover.pid is not None)
    started = time.monotonic()
    prover.close()
    asking.join()
    assert raised == ["the service is stopping"]
    assert time.monotonic() - started < 5


def test_the_service_swaps_on_after_its_prover_was_killed_and_takes_it_along_when_it_dies(
    home: Path, registry: Registry
) -> None:
    promote_version(registry, seed=1)
    with running_service(home) as service, httpx.Client(base_url=service.url, timeout=30) as http:
        (prover,) = descendants(service.process.pid)
        os.kill(prover, signal.SIGKILL)
        second, _ = promote_version(registry, seed=2)
        until(lambda: http.get("/readyz").json()["model"]["version"] == second, 30)
        (another,) = descendants(service.process.pid)
        assert another != prover
        service.process.kill()
        until(lambda: is_gone(another), 60)


def test_the_service_takes_its_prover_along_when_it_stops(home: Path, registry: Registry) -> None:
    promote_version(registry)
    with running_service(home) as service:
        (prover,) = descendants(service.process.pid)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        assert is_gone(prover)
