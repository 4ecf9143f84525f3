"""processes - children, threads and descriptors of a process, from /proc."""

import os
from pathlib import Path


def _stat(pid):
    """(state, parent pid) of a process; None once it has exited."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(") ", 1)[1].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def children(pid):
    """The child processes: {pid: state}, including zombies (Z)."""
    found = {int(name): _stat(name) for name in os.listdir("/proc") if name.isdigit()}
    return {child: stat[0] for child, stat in found.items() if stat is not None and stat[1] == pid}


def exists(pid):
    """Whether the process exists and is not a zombie."""
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def threads(pid):
    """The threads of a process: {tid: name}."""
    return {int(tid): Path(f"/proc/{pid}/task/{tid}/comm").read_text(encoding="utf-8").strip()
            for tid in os.listdir(f"/proc/{pid}/task")}


def descriptors(pid):
    """The number of open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
