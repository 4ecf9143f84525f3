"""Descriptors that are few: each use keeps its share, everything stays answered, and what can't be kept is told so."""

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
FEW = 400
READ = "/v1/limits"
LOWERED = ("max_connections", "max_open_files", "max_streams")


def few(start, most, *flags):
    """A server whose hard limit of descriptors is this."""
    return start(*flags, before=("sh", "-c", f'ulimit -n {most} && exec "$@"', "sh"))


def kind(response):
    return response.value["type"].rsplit(":", 1)[1]


def download(stack, url, path):
    """A download of which only the status is read."""
    raw = stack.enter_context(Raw(url))
    raw.send(request_bytes("GET", fs(path)))
    assert raw.sock.recv(12) == b"HTTP/1.1 200"
    return raw


def refused(url):
    """The problem that a new connection gets."""
    with Raw(url) as late:
        late.send(request_bytes("GET", READ))
        response = late.answer("GET", READ)
        assert response.status == 503 and response.header("retry-after") and late.ended(10)
        return response.value


def served(url):
    with Raw(url) as raw:
        raw.send(request_bytes("GET", READ))
        return raw.answer("GET", READ).status == 200


def test_with_all_in_use_at_once_everything_is_answered(start, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 8 * MB)
    own = few(start, FEW, "--processes", "2", "--files-root", str(tmp_path))
    url = own.urls()[0]
    with ExitStack() as stack:
        client = stack.enter_context(Client(url))
        limits = client.get(READ).value
        assert sum(limits[name] for name in LOWERED) < FEW and min(limits[name] for name in LOWERED) > FEW // 20
        told = {e["limit"]: e for e in own.events(event="limit_reduced")}
        assert {name: e["now"] for name, e in told.items()} == {name: limits[name] for name in LOWERED}
        assert all(e["level"] == "warn" and e["descriptors"] == FEW for e in told.values())
        assert [told[name]["asked"] for name in LOWERED] == [8192, 1000, 256]

        for _ in range(limits["max_open_files"]):
            Handle(client, "a.bin")
        response = client.post("/v1/files", {"path": "a.bin"})
        assert (response.status, kind(response)) == (503, "too-many-open-files")

        for _ in range(limits["max_streams"]):
            download(stack, url, "a.bin")
        for response in (client.get(fs("a.bin")), put(client, "b.bin", b"x")):
            assert (response.status, kind(response)) == (503, "too-many-streams")
            assert response.header("retry-after")

        for _ in range(limits["max_connections"] - limits["max_streams"] - 1):
            raw = stack.enter_context(Raw(url))
            raw.send(request_bytes("GET", READ))
            assert raw.answer("GET", READ).status == 200
        for _ in range(10):
            problem = refused(url)
            assert problem["type"].endswith(":too-many-connections")
            assert f"the limit max_connections is {limits['max_connections']}" in problem["detail"]

        def workers():
            pool = next(p for p in client.get("/v1/pools").value["pools"] if p["name"] == "processes")
            return {w["pid"] for w in pool["workers"]}

        old = wait_until(lambda: len(workers()) == 2 and workers(), "the workers")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers() - old) == 2, "their successors")
        assert client.post("/v1/run/sum", {"n": 10}).value["result"] == {"sum": 45}
        assert run(client, "read_file", path="a.bin", length=1)["data"] == "x"
        assert descriptors(own.pid) <= FEW
    wait_until(lambda: served(url), "a place for a connection")
    assert own.events(event="accept_failed") == []


def test_workers_keep_no_more_than_their_share(start, tmp_path):
    own = few(start, 200, "--processes", "64", "--files-root", str(tmp_path))
    pool = pools(own.urls()[0])["processes"]
    assert 4 < pool["size"] < 32 and pool["size_source"] == "descriptors"
    assert own.events(event="limit_reduced", limit="processes", asked=64, now=pool["size"])
    wait_until(lambda: len(pools(own.urls()[0])["processes"]["workers"]) == pool["size"], "the workers")


def test_where_there_are_enough_nothing_is_lowered(start, tmp_path):
    own = few(start, 12000, "--files-root", str(tmp_path), "--processes", "2")
    with Client(own.urls()[0]) as client:
        limits = client.get(READ).value
    assert [limits[name] for name in LOWERED] == [8192, 1000, 256]
    assert own.events(event="limit_reduced") == []


def test_connections_that_find_no_descriptor_are_told_so(start):
    """The system may come to allow fewer than it did at the start."""
    own = start("--processes", "0")
    url = own.urls()[0]
    with ExitStack() as stack:
        client = stack.enter_context(Client(url))
        assert client.get(READ).status == 200
        _, hard = resource.prlimit(own.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(own.pid, resource.RLIMIT_NOFILE, (descriptors(own.pid) + 3, hard))
        held = []
        while not own.events(event="accept_failed"):
            held.append(stack.enter_context(Raw(url)))
            held[-1].send(request_bytes("GET", READ))
            held[-1].answer("GET", READ)
            assert len(held) < 50
        for _ in range(20):
            problem = refused(url)
            assert problem["type"].endswith(":too-many-connections")
            assert "as many files and connections as the system allows are open" in problem["detail"]
        crowd = [stack.enter_context(Raw(url)) for _ in range(20)]
        for raw in crowd:
            assert raw.answer("GET", READ).status == 503 and raw.ended(10)
        assert client.get(READ).status == 200
        for raw in held:
            raw.sock.close()
        wait_until(lambda: served(url), "a place for a connection")
    told = own.events(event="accept_failed")
    assert len(told) == 1 and told[0]["level"] == "warn" and told[0]["error"] == "Too many open files"
