"""A label log that a real trainer wrote of simulated events, one for all tests of a session, to be read only; and both
ports of a service, as the pages ask them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from service.console.archive import Archive
from service.settings import ServiceSettings
from tests.labelled import label, stored_rows
from tests.service.console.ports import Ports, ports_of
from winnow.embedded_log import EmbeddedLog


@pytest.fixture(scope="session")
def labelled_home(private_log: EmbeddedLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the label log of four checkpoints, all of the current hour or the one before."""
    home = tmp_path_factory.mktemp("labelled")
    label(home, private_log.url)
    return home


@pytest.fixture(scope="session")
def stored(labelled_home: Path) -> pd.DataFrame:
    """Every row of that label log."""
    return stored_rows(labelled_home)


@pytest.fixture
def archive(labelled_home: Path) -> Archive:
    return Archive(labelled_home)


@pytest.fixture
def ports(settings: ServiceSettings) -> Iterator[Ports]:
    """Both ports of a service in an empty home."""
    with ports_of(settings) as ports:
        yield ports


@pytest.fixture
def labelled(labelled_home: Path, settings: ServiceSettings) -> Iterator[Ports]:
    """Both ports of a service in a home with labels and versions."""
    shutil.copytree(labelled_home, settings.home, dirs_exist_ok=True)
    with ports_of(settings) as ports:
        yield ports
