"""A file is its old bytes or its new ones, whoever reads, writes or dies."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.durable import sha256_of, write_atomically

OLD, NEW = b"a" * 300_000, b"b" * 200_000


def test_a_reader_never_sees_a_mix(tmp_path: Path) -> None:
    path, done = tmp_path / "file", threading.Event()
    write_atomically(path, OLD)

    def read() -> set[bytes]:
        seen = set()
        while not done.is_set():
            seen.add(path.read_bytes())
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(50):
            write_atomically(path, NEW)
            write_atomically(path, OLD)
        done.set()
        assert set().union(*(reader.result() for reader in readers)) <= {OLD, NEW}


def test_two_threads_that_write_one_file_leave_one_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([65 + n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for written in [pool.submit(write_atomically, path, content) for content in contents * 5]:
            written.result()
    assert path.read_bytes() in contents
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_state_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", NEW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(OLD).hexdigest()
