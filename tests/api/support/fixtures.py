"""fixtures - the fixtures of all tests: a shared server, servers for one test, a client."""

import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

from client import Client
from server import BINARY, RELEASE, Server

# derandomize makes failures reproducible.
settings.register_profile("api", derandomize=True, deadline=None, database=None, max_examples=100,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("api")


def pytest_configure(config):
    config.addinivalue_line("markers", "release: measures speed, memory or system calls; only for the release build")
    config.addinivalue_line("markers", "soak: has a full size, for ./dev soak")


def pytest_collection_modifyitems(config, items):
    """Deselects tests marked `release` in sanitizer builds."""
    deselected = [item for item in items if item.get_closest_marker("release") and not RELEASE]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


def pytest_sessionstart():
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} not found: build gatherd, or set GATHERD_BINARY", returncode=3)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The file root of the shared server."""
    where = tmp_path_factory.mktemp("root")
    yield where
    subprocess.run(["rm", "-rf", str(where)], check=True)  # pytest's own cleanup fails on a thousand nested directories


@pytest.fixture(scope="session")
def server(root):
    """A shared server with default limits. Tests may leave files in its root, and no other state."""
    started = Server("--files-root", str(root))
    yield started
    started.stop()


@pytest.fixture
def client(server):
    with Client(server.urls()[0]) as connection:
        yield connection


@pytest.fixture
def start(request):
    """start(*flags, listen=...) starts a server for this test; it must exit cleanly afterwards."""
    servers = []

    def starter(*flags, **options):
        servers.append(Server(*flags, **options))
        return servers[-1]

    yield starter
    for server in servers:
        server.stop()
