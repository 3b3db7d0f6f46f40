"""Both ports of a service, as the pages ask them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import ServiceSettings
from tests.service.console.ports import Ports, ports_of


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
