"""Few file descriptors: each kind of use gets its share, every request is answered, and reduced limits are logged."""

import os
import resource
import signal
from contextlib import ExitStack

from client import Client, Raw, request_bytes
from file_helpers import Handle, fs, put, run
from processes import descriptors
from server import wait_until
from task_requests import pools

MB = 1 << 20
FD_LIMIT = 400
READ = "/v1/limits"
REDUCED_LIMITS = ("max_connections", "max_open_files", "max_streams")


def start_with_fd_limit(start, fd_limit, *flags):
    """Starts a server whose hard limit of file descriptors is fd_limit."""
    return start(*flags, command_prefix=("sh", "-c", f'ulimit -n {fd_limit} && exec "$@"', "sh"))


def error_name(response):
    return response.value["type"].rsplit(":", 1)[1]


def download(stack, url, path):
    """Starts a download and reads only the status."""
    raw = stack.enter_context(Raw(url))
    raw.send(request_bytes("GET", fs(path)))
    assert raw.sock.recv(12) == b"HTTP/1.1 200"
    return raw


def rejection(url):
    """The problem that a new connection receives."""
    with Raw(url) as late:
        late.send(request_bytes("GET", READ))
        response = late.response("GET", READ)
        assert response.status == 503 and response.header("retry-after") and late.wait_closed(10)
        return response.value


def is_served(url):
    with Raw(url) as raw:
        raw.send(request_bytes("GET", READ))
        return raw.response("GET", READ).status == 200


def test_all_limits_fit_in_fd_budget(start, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 8 * MB)
    server = start_with_fd_limit(start, FD_LIMIT, "--processes", "2", "--files-root", str(tmp_path))
    url = server.urls()[0]
    with ExitStack() as stack:
        client = stack.enter_context(Client(url))
        limits = client.get(READ).value
        reduced = {name: limits[name] for name in REDUCED_LIMITS}
        assert sum(reduced.values()) < FD_LIMIT and min(reduced.values()) > FD_LIMIT // 20
        server.wait_event(event="limit_reduced", count=len(REDUCED_LIMITS))
        limit_events = {e["limit"]: e for e in server.events(event="limit_reduced")}
        assert {name: e["effective"] for name, e in limit_events.items()} == reduced
        assert all(e["level"] == "warn" and e["descriptors"] == FD_LIMIT for e in limit_events.values())
        assert [limit_events[name]["configured"] for name in REDUCED_LIMITS] == [8192, 1000, 256]

        for _ in range(limits["max_open_files"]):
            Handle(client, "a.bin")
        response = client.post("/v1/files", {"path": "a.bin"})
        assert (response.status, error_name(response)) == (503, "too_many_open_files")

        for _ in range(limits["max_streams"]):
            download(stack, url, "a.bin")
        for response in (client.get(fs("a.bin")), put(client, "b.bin", b"x")):
            assert (response.status, error_name(response)) == (503, "too_many_streams")
            assert response.header("retry-after")

        for _ in range(limits["max_connections"] - limits["max_streams"] - 1):
            raw = stack.enter_context(Raw(url))
            raw.send(request_bytes("GET", READ))
            assert raw.response("GET", READ).status == 200
        for _ in range(10):
            problem = rejection(url)
            assert problem["type"].endswith(":too_many_connections")
            assert f"max_connections, {limits['max_connections']}," in problem["detail"]

        def workers():
            pool = next(p for p in client.get("/v1/pools").value["pools"] if p["name"] == "processes")
            return {w["pid"] for w in pool["workers"]}

        old_workers = wait_until(lambda: len(workers()) == 2 and workers(), "the workers")
        for pid in old_workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers() - old_workers) == 2, "their successors")
        assert client.post("/v1/run/sum", {"n": 10}).value["result"] == {"sum": 45}
        assert run(client, "read_file", path="a.bin", length=1)["data"] == "x"
        assert descriptors(server.pid) <= FD_LIMIT
    wait_until(lambda: is_served(url), "a place for a connection")
    assert server.events(event="accept_failed") == []


def test_worker_count_is_reduced_to_fd_budget(start, tmp_path):
    server = start_with_fd_limit(start, 200, "--processes", "64", "--files-root", str(tmp_path))
    pool = pools(server.urls()[0])["processes"]
    assert 4 < pool["size"] < 32 and pool["size_source"] == "descriptors"
    server.wait_event(event="limit_reduced", limit="processes", configured=64, effective=pool["size"])
    wait_until(lambda: len(pools(server.urls()[0])["processes"]["workers"]) == pool["size"], "the workers")


def test_limits_are_unchanged_with_enough_fds(start, tmp_path):
    server = start_with_fd_limit(start, 12000, "--files-root", str(tmp_path), "--processes", "2")
    with Client(server.urls()[0]) as client:
        limits = client.get(READ).value
    assert [limits[name] for name in REDUCED_LIMITS] == [8192, 1000, 256]
    assert server.events(event="limit_reduced") == []


def test_connection_without_free_fd_returns_503(start):
    """The limit of file descriptors is lowered after the start, so that none is free for a connection."""
    server = start("--processes", "0")
    url = server.urls()[0]
    with ExitStack() as stack:
        client = stack.enter_context(Client(url))
        assert client.get(READ).status == 200
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (descriptors(server.pid) + 3, hard))
        connections = []
        while not server.events(event="accept_failed"):
            connections.append(stack.enter_context(Raw(url)))
            connections[-1].send(request_bytes("GET", READ))
            connections[-1].response("GET", READ)
            assert len(connections) < 50
        for _ in range(20):
            problem = rejection(url)
            assert problem["type"].endswith(":too_many_connections")
            assert "out of file descriptors" in problem["detail"]
        extra_connections = [stack.enter_context(Raw(url)) for _ in range(20)]
        for raw in extra_connections:
            assert raw.response("GET", READ).status == 503 and raw.wait_closed(10)
        assert client.get(READ).status == 200
        for raw in connections:
            raw.sock.close()
        wait_until(lambda: is_served(url), "a place for a connection")
    server.wait_event(event="accept_failed")
    limit_events = server.events(event="accept_failed")
    assert len(limit_events) == 1 and limit_events[0]["level"] == "warn"
    assert limit_events[0]["error"] == "Too many open files"
