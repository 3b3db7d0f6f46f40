"""Models made bad by hand, with digests that are right, are refused with the right reason, fast and cheaply (P4)."""

import shutil
import time
from pathlib import Path

import pytest

from benchmarks.chaos.handcrafted import HANDCRAFTED, BadModel, spoil
from contract.errors import VersionCorrupt
from service.proof import open_version
from tests.versions import write_version

MOST_S = 5.0  # they take some milliseconds; a pipe that is opened would take for ever
MOST_BYTES = 600 << 20  # of 3 GiB claimed; a graph of a million nodes alone is some 20 MB


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("registry") / "versions" / "000001"
    write_version(directory)
    open_version(directory)  # what is loaded for the first time is none of a bad model's cost
    return directory


def peak_bytes(*, anew: bool = False) -> int:
    if anew:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that since now
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("bad", HANDCRAFTED, ids=lambda bad: bad.name)
def test_a_bad_model_with_valid_digests_is_refused_with_its_reason(good: Path, bad: BadModel) -> None:
    directory = good.parent / "000002"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(good, directory)
    spoil(directory, bad)
    before, started = peak_bytes(anew=True), time.monotonic()
    with pytest.raises(VersionCorrupt, match=f"version 000002: .*{bad.reason}"):
        open_version(directory)
    assert time.monotonic() - started < MOST_S
    assert peak_bytes() - before < MOST_BYTES


def test_a_copy_whose_digests_were_made_again_and_nothing_else_is_opened(good: Path, tmp_path: Path) -> None:
    directory = tmp_path / "000003"
    shutil.copytree(good, directory)
    spoil(directory, BadModel("nothing", lambda _directory: None, ""))
    assert open_version(directory).version == "000003"
