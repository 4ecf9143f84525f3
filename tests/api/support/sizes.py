"""sizes - the sizes of long tests: small in the suite, full under `./dev soak`.

A long test has the mark @soak, and takes its numbers from sized().
"""

import os

import pytest

from server import RELEASE

SOAK = os.environ.get("GATHERD_SOAK") == "1"
soak = pytest.mark.soak


def sized(full, release, sanitized=None):
    """The number for this run: `full` under ./dev soak, else `release` or `sanitized` (default: as `release`)."""
    if SOAK:
        return full
    return release if RELEASE or sanitized is None else sanitized
