"""sizes - how long a test runs: short in the suite, in full under `./dev soak`.

A test that has a full size is marked with @soak and takes its numbers from sized().
"""

import os

import pytest

from server import RELEASE

SOAK = os.environ.get("GATHERD_SOAK") == "1"
soak = pytest.mark.soak


def sized(full, release, sanitized=None):
    """The number for this run: `full` under ./dev soak, else that of the build (sanitized: as release by default)."""
    if SOAK:
        return full
    return release if RELEASE or sanitized is None else sanitized
