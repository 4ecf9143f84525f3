"""conftest - imports the fixtures and hooks of the API tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api" / "support"))

from fixtures import (client, pytest_collection_modifyitems, pytest_configure, pytest_sessionstart,  # noqa: E402, F401
                      server, start)
