"""Load: thousands of concurrent tasks and connections, and limits on time, memory and system calls.

Tests marked `release` run only in the release build: sanitizers cost time and memory.
"""

import json
import re
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest

import contract
from client import Client, Raw, Response, request_bytes

EXAMPLE = {"tasks": [{"name": "task1", "function": "sleep", "input": {"seconds": 1}},
                  {"name": "task2", "function": "sleep", "input": {"seconds": 2}}]}
SLEEP = "/v1/run/sleep"


def sleep_gather(count, seconds):
    return {"tasks": [{"function": "sleep", "input": {"seconds": seconds}}] * count}


def measure(call):
    since = time.monotonic()
    value = call()
    return time.monotonic() - since, value


@pytest.mark.release
def test_gather_takes_as_long_as_longest_task(client):
    for _ in range(3):
        elapsed, response = measure(lambda: client.post("/v1/gather", EXAMPLE))
        assert response.status == 200
        assert 2.0 <= elapsed < 2.2
        assert 3.0 <= response.value["result"]["serial_seconds"] < 3.2


def post_unchecked(client, body):
    """Returns the response body unchecked: checking ten thousand children takes longer than running them."""
    client.send_request("POST", "/v1/gather", json.dumps(body).encode())
    response = client.getresponse()
    assert response.status == 200
    return response.read()


@pytest.mark.release
def test_ten_thousand_sleeps_in_one_gather(start):
    server = start(log_level="info")
    with Client(server.urls()[0]) as client:
        elapsed, raw = measure(lambda: post_unchecked(client, sleep_gather(10000, 1)))
    assert 1.0 <= elapsed < 1.6
    peak = server.memory("VmHWM")
    assert peak < 40 * 1024 * 1024, f"{peak / 1024 / 1024:.1f} MiB"
    task = contract.parse_json(raw)
    assert task["result"]["counts"] == {"total": 10000, "succeeded": 10000, "failed": 0, "canceled": 0}
    assert min(c["result"]["slept_seconds"] for c in task["result"]["tasks"]) >= 1


@pytest.mark.release
def test_large_gather_memory_is_freed(start):
    server = start(log_level="info")
    with Client(server.urls()[0]) as client:
        for _ in range(5):
            post_unchecked(client, sleep_gather(10000, 0))
        before = server.memory("VmRSS")
        for _ in range(50):
            post_unchecked(client, sleep_gather(10000, 0))
        assert server.memory("VmRSS") < before + 4 * 1024 * 1024


# -- many connections ------------------------------------------------------------------------------

class ConnectionGroup:
    """Many connections in one thread: each sends one request and reads one response."""

    def __init__(self, url, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < count + 100 <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
        self.address = (urlsplit(url).hostname, urlsplit(url).port)
        self.selector = selectors.DefaultSelector()
        self.responses = []  # (seconds, bytes)
        self.count = count

    def run(self, data, timeout_s):
        for _ in range(self.count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(self.address)
            self.selector.register(sock, selectors.EVENT_WRITE, [None, b""])
        end = time.monotonic() + timeout_s
        while len(self.responses) < self.count:
            assert time.monotonic() < end, f"{len(self.responses)} of {self.count} responses within {timeout_s} s"
            for key, _ in self.selector.select(1):
                self.step(key, data)
        return self.responses

    def step(self, key, data):
        state, sock = key.data, key.fileobj
        if state[0] is None:
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert error == 0, f"connect failed: {error}"
            state[0] = time.monotonic()
            assert sock.send(data) == len(data)
            self.selector.modify(sock, selectors.EVENT_READ, state)
            return
        got = sock.recv(65536)
        assert got, f"closed after {state[1]!r}"
        state[1] += got
        head, mark, body = state[1].partition(b"\r\n\r\n")
        if mark and len(body) >= int(re.search(rb"(?i)content-length: (\d+)", head).group(1)):
            self.responses.append((time.monotonic() - state[0], state[1]))
            self.selector.unregister(sock)
            sock.close()


def check_concurrent_sleeps(url, count, seconds, timeout_s):
    responses = ConnectionGroup(url, count).run(request_bytes("POST", SLEEP, {"seconds": seconds}), timeout_s)
    ids = set()
    for elapsed, data in responses:
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        response = Response(int(lines[0].split()[1]), headers, body)
        assert response.status == 200, data
        task = contract.check("POST", SLEEP, response)
        assert elapsed >= seconds and task["result"]["slept_seconds"] >= seconds
        ids.add(task["id"])
    assert len(ids) == count
    return max(elapsed for elapsed, _ in responses)


def test_three_hundred_connections_are_served(start):
    check_concurrent_sleeps(start(log_level="info").urls()[0], 300, 0.5, 60)


@pytest.mark.release
def test_five_thousand_connections_are_served(start):
    server = start(log_level="info")
    slowest = check_concurrent_sleeps(server.urls()[0], 5000, 2, 30)
    assert slowest < 4
    assert server.process.poll() is None


def test_thousand_tasks_in_one_gather(client):
    response = client.post("/v1/gather", sleep_gather(1000, 0.2))
    assert response.status == 200 and response.value["result"]["counts"]["succeeded"] == 1000


# -- system calls --------------------------------------------------------------------------------

class SyscallTrace:
    """Counts the system calls of a running process with strace."""

    def __init__(self, pid, path):
        self.path = path
        self.process = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", str(path), "-p", str(pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert b"attached" in line, line

    def end(self):
        """Stops the trace. Returns {system call: count}."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        text = self.path.read_text(encoding="ascii")
        return {name: int(calls) for name, calls in re.findall(r"^(\w+)\s+(\d+)$", text,
                                                               re.MULTILINE) if name != "total"}


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.release
@needs_strace
def test_idle_service_makes_no_system_calls(start, tmp_path):
    server = start(log_level="info")
    connections = [Raw(server.urls()[0]) for _ in range(20)]
    for raw in connections[:10]:
        raw.send(request_bytes("POST", SLEEP, {"seconds": 0.05}))
        assert raw.response("POST", SLEEP).status == 200
    connections[0].send(request_bytes("POST", SLEEP, {"seconds": 600}))
    time.sleep(0.5)  # until the work that follows the requests is done
    trace = SyscallTrace(server.pid, tmp_path / "trace")
    time.sleep(5)
    calls = trace.end()
    # strace interrupts the pending epoll_wait() when it attaches and detaches.
    assert set(calls) <= {"epoll_wait", "epoll_pwait", "restart_syscall"} and sum(calls.values()) <= 2, calls


@pytest.mark.release
@needs_strace
def test_keep_alive_request_takes_two_system_calls(start, tmp_path):
    server = start(log_level="info")
    clients = [Raw(server.urls()[0]) for _ in range(8)]
    data = request_bytes("POST", SLEEP, {"seconds": 0})

    def rounds(count):
        for _ in range(count):
            for raw in clients:
                raw.send(data)
            for raw in clients:
                assert raw.read().status == 200

    rounds(5)
    trace = SyscallTrace(server.pid, tmp_path / "trace")
    rounds(250)
    calls = trace.end()
    requests = 250 * len(clients)
    assert calls["recvfrom"] + calls["sendmsg"] <= 2.1 * requests, calls
    waits = sum(calls.pop(name, 0) for name in ("epoll_wait", "epoll_pwait"))
    assert waits <= requests, calls
    others = {name: n for name, n in calls.items() if name not in ("recvfrom", "sendmsg")}
    # The random bytes for several hundred ids are read at once.
    assert set(others) <= {"getrandom"} and sum(others.values()) <= requests / 100, calls


@pytest.mark.release
def test_loop_responds_while_large_gather_is_decoded(start):
    """Decoding a gather of ten thousand children blocks the loop for only tens of milliseconds."""
    server = start(log_level="info")
    with Client(server.urls()[0]) as large, Client(server.urls()[0]) as probe:
        body = json.dumps(sleep_gather(10000, 0.5)).encode()
        probe.get("/livez")
        large.send_request("POST", "/v1/gather", body)
        slowest = 0
        end = time.monotonic() + 1
        while time.monotonic() < end:
            slowest = max(slowest, measure(lambda: probe.get("/livez"))[0])
        assert slowest < 0.25
        assert large.getresponse().status == 200
