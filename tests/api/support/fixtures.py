"""fixtures - what conftest.py gives to all tests: a server to share, servers of one's own, a client."""

import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

from client import Client
from server import BINARY, RELEASE, Server

# The same requests each time: a test that fails has to fail again.
settings.register_profile("api", derandomize=True, deadline=None, database=None, max_examples=100,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("api")


def pytest_configure(config):
    config.addinivalue_line("markers", "release: about speed or system calls, so only for the release build")
    config.addinivalue_line("markers", "soak: has a full size, for ./dev soak")


def pytest_collection_modifyitems(config, items):
    """What is about speed says nothing of a sanitizer's build."""
    deselected = [item for item in items if item.get_closest_marker("release") and not RELEASE]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


def pytest_sessionstart():
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"there is no {BINARY}: build gatherd, or let GATHERD_BINARY say where it is", returncode=3)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The root of files of the server that is shared."""
    where = tmp_path_factory.mktemp("root")
    yield where
    subprocess.run(["rm", "-rf", str(where)], check=True)  # pytest's own way gives up on a thousand levels


@pytest.fixture(scope="session")
def server(root):
    """A server with default limits. Tests leave it as they found it, but for what is in its root of files."""
    started = Server("--files-root", str(root))
    yield started
    started.stop()


@pytest.fixture
def client(server):
    with Client(server.urls()[0]) as connection:
        yield connection


@pytest.fixture
def start(request):
    """start(*flags, listen=...) gives a server of the test's own; it has to end well when the test does."""
    servers = []

    def starter(*flags, **options):
        servers.append(Server(*flags, **options))
        return servers[-1]

    yield starter
    for server in servers:
        server.stop()
