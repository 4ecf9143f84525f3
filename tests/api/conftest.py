"""conftest - the fixtures of all tests here."""

from fixtures import (client, pytest_collection_modifyitems, pytest_configure, pytest_sessionstart,  # noqa: F401
                      root, server, start)
