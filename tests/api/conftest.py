"""conftest - imports the shared fixtures and hooks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from fixtures import (client, pytest_collection_modifyitems, pytest_configure, pytest_sessionstart,  # noqa: E402, F401
                      root, server, start)
