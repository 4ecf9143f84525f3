"""The log: lost workers, rejected requests and overload are each logged once, and logging does not block."""

import json
import os
import re
import resource
import signal
import subprocess
import time

import pytest

from client import Client, Raw, request_bytes, wait_until_read
from processes import descriptors
from server import BINARY, ENVIRONMENT, RELEASE, wait_until
from task_requests import (BUSY_SECONDS, ENDLESS, LONG_SECONDS, Background, busy_worker, pools, post,
                           warmed_up_workers, workers)

SLEEP = "/v1/run/sleep"
BLOCK = "/v1/run/block"
SHORT_TIMEOUT = 5 if RELEASE else 20  # seconds

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (error|warn|info|debug) ([a-z_]+)((?: .*)?)")
FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)')


def parse_text(line):
    """Parses a line in text format to the object that the JSON format would contain."""
    time_, level, event, rest = LINE.fullmatch(line).groups()
    fields = FIELD.findall(rest)
    assert "".join(f" {key}={value}" for key, value in fields) == rest, line
    assert len({key for key, _ in fields}) == len(fields), f"repeated key: {line}"

    def value_of(raw):
        return json.loads(raw) if raw[0] == '"' or re.fullmatch(r"-?\d+(\.\d+)?", raw) else raw

    return {"time": time_, "level": level, "event": event, **{key: value_of(raw) for key, raw in fields}}


def lines(gatherd, **wanted):
    """The log lines that have these members, in text or JSON format."""
    parsed = [json.loads(line) if line[0] == "{" else parse_text(line) for line in list(gatherd.lines["stderr"])]
    return [e for e in parsed if all(e.get(key) == value for key, value in wanted.items())]


def single_line(gatherd, **wanted):
    """Waits for a line with these members, and asserts that it is the only such line so far."""
    wait_until(lambda: lines(gatherd, **wanted), f"a line with {wanted}", timeout_s=SHORT_TIMEOUT)
    found = lines(gatherd, **wanted)
    assert len(found) == 1, found
    return found[0]


# -- worker processes ------------------------------------------------------------------------------

@pytest.mark.parametrize("log_format", ["json", "text"])
def test_killed_worker_is_logged_once(log_format, start):
    gatherd = start("--processes", "2", log_format=log_format)
    url = gatherd.urls()[0]
    both = warmed_up_workers(url)  # a starting worker fails differently
    with Background(url) as background:
        killed_task = background.post("/v1/run/primes", ENDLESS)
        pid = busy_worker(url)
        os.kill(pid, signal.SIGKILL)
        problem = killed_task.result().value
    line = single_line(gatherd, event="worker_exited")
    assert {k: v for k, v in line.items() if k != "time"} == {
        "level": "warn", "event": "worker_exited", "pid": pid, "exit_signal": 9, "function": "primes"}
    failed = single_line(gatherd, event="task_failed")
    assert (failed["id"], failed["error"]) == (problem["task"]["id"], "worker_crashed")
    assert failed["detail"] == problem["detail"] == problem["task"]["error"]["detail"]
    assert lines(gatherd).index(line) < lines(gatherd).index(failed), "the exit of the worker is logged first"

    idle = next(other for other in both if other != pid)
    os.kill(idle, signal.SIGABRT)
    line = single_line(gatherd, event="worker_exited", pid=idle)
    assert {k: v for k, v in line.items() if k != "time"} == {
        "level": "warn", "event": "worker_exited", "pid": idle, "exit_signal": 6}
    wait_until(lambda: len(workers(url)) == 2, "a new worker")
    gatherd.stop()
    assert len(lines(gatherd, event="worker_exited")) == 2 and not lines(gatherd, event="request_rejected")
    assert not lines(gatherd, event="worker_start_failed")


def test_deliberate_worker_exits_are_not_logged(start):
    gatherd = start("--processes", "2", "--worker-max-tasks", "3", "--drain-seconds", "0.1")
    url = gatherd.urls()[0]
    assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 100}] * 20}).status == 200
    assert post(url, "/v1/run/primes?timeout_seconds=0.05", ENDLESS).status == 504

    def deadline_kills():
        """False while no worker is ready: the deadline passes in the queue."""
        response = post(url, "/v1/run/primes?deadline_seconds=0.05", ENDLESS)
        assert response.status == 504
        return response.value["task"]["cancel"]["effect"] == "killed"

    wait_until(deadline_kills, "a task that was running at its deadline")
    with Raw(url) as leaving:
        leaving.send(request_bytes("POST", "/v1/run/primes", ENDLESS, "X-Request-Id: leaves"))
        busy_worker(url)
    gatherd.wait_event(event="task_canceled", request_id="leaves")
    wait_until(lambda: pools(url)["processes"]["restarts"] >= 9, "new workers")
    with Background(url) as background:
        background.post("/v1/run/primes", ENDLESS)
        busy_worker(url)
        gatherd.terminate()
    gatherd.wait()
    assert [e["event"] for e in gatherd.events(level="warn")] == ["drain_timeout"], gatherd.events(level="warn")


def test_each_failed_worker_start_is_logged(start):
    gatherd = start("--processes", "1")
    url = gatherd.urls()[0]
    pid = warmed_up_workers(url)[0]
    soft, hard = resource.prlimit(gatherd.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gatherd.pid, resource.RLIMIT_NOFILE, (3, hard))  # fewer descriptors than are in use
    os.kill(pid, signal.SIGKILL)
    fourth = gatherd.wait_event(count=4, event="worker_start_failed")
    resource.prlimit(gatherd.pid, resource.RLIMIT_NOFILE, (soft, hard))
    failed = gatherd.events(event="worker_start_failed")
    assert {(e["level"], e["error"], e["detail"]) for e in failed} == {("warn", "spawn_failed", "too many open files")}
    assert not any(key in e for e in failed for key in ("pid", "exit_signal", "exit_code"))
    assert [e["retry_seconds"] for e in failed[:4]] == [0, 0, 0.1, 0.2] and fourth == failed[3]
    assert [e["pid"] for e in gatherd.events(event="worker_exited")] == [pid]
    assert post(url, "/v1/run/sum", {"n": 10}).status == 200


# -- requests --------------------------------------------------------------------------------------

def start_with_full_pool(start, **options):
    """Starts a server, and fills its only pool with a task. Returns the server and the connection of the task."""
    gatherd = start("--threads", "1", "--queue-limit", "0", **options)
    filler = Raw(gatherd.urls()[0])
    filler.send(request_bytes("POST", BLOCK, {"seconds": 2}))
    wait_until(lambda: pools(gatherd.urls()[0])["default"]["busy"] == 1, "a full pool")
    return gatherd, filler


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_overload_is_logged_at_warn(log_format, start):
    gatherd, filler = start_with_full_pool(start, log_level="warn", log_format=log_format)
    with filler, Client(gatherd.urls()[0]) as client:
        for i in range(5):
            assert client.post(BLOCK + "?name=a", {"seconds": 0}, **{"X-Request-Id": f"late-{i}"}).status == 503
        issued = client.post(BLOCK, {"seconds": 0}).header("X-Request-Id")
        line = single_line(gatherd, request_id="late-3")
        assert {k: v for k, v in line.items() if k != "time"} == {
            "level": "warn", "event": "request_rejected", "status": 503, "error": "pool_full", "method": "POST",
            "path": BLOCK, "request_id": "late-3"}
        assert single_line(gatherd, request_id=issued)["status"] == 503
        assert filler.response("POST", BLOCK).status == 200
    gatherd.stop()
    assert len(lines(gatherd)) == 6 and {e["event"] for e in lines(gatherd)} == {"request_rejected"}


REJECTED = [  # (request, status, error code)
    (request_bytes("GET", "/nowhere?token=secret"), 404, "not_found"),
    (request_bytes("DELETE", SLEEP), 405, "method_not_allowed"),
    (request_bytes("BREW", SLEEP), 405, "method_not_allowed"),
    (request_bytes("HEAD", "/nowhere"), 404, "not_found"),
    (request_bytes("POST", SLEEP, b"{}", "Content-Type: text/plain"), 415, "unsupported_media_type"),
    (request_bytes("POST", SLEEP, b"{"), 400, "malformed_json"),
    (request_bytes("POST", SLEEP, {"seconds": -1}), 422, "invalid"),
    (request_bytes("GET", "/livez", None, "Host: other"), 400, "malformed_http"),
    (request_bytes("GET", "/v1/limits", host="example.com"), 421, "misdirected_request"),
    (request_bytes("GET", "/v1/limits", None, "Origin: http://example.com"), 403, "cross_origin_request"),
    (request_bytes("POST", SLEEP, b"x" * 9999), 413, "body_too_large"),
    (request_bytes("POST", SLEEP, b"bb8\r\n" + b"x" * 3000 + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 413,
     "body_too_large"),
    (request_bytes("GET", "/v1/fs/none"), 404, "file_not_found"),
    (request_bytes("PUT", "/v1/fs/a/b/none", b"x"), 404, "file_not_found"),
    (request_bytes("PUT", "/v1/fs/..", b"x"), 403, "path_forbidden"),
    (request_bytes("GET", "/v1/files/unknown"), 404, "handle_not_found"),
]


def with_id(request, request_id):
    head, body = request.split(b"\r\n\r\n", 1)
    return head + f"\r\nX-Request-Id: {request_id}\r\n\r\n".encode() + body


def test_client_errors_are_logged_at_debug(start, tmp_path):
    flags = ("--max-body-bytes", "2000", "--files-root", str(tmp_path))
    gatherd, quiet = start(*flags), start(*flags, log_level="info")
    for i, (request, status, error) in enumerate(REJECTED):
        method, target = request.decode("latin-1").split(" ")[:2]
        for server in (gatherd, quiet):
            with Raw(server.urls()[0]) as raw:
                raw.send(with_id(request, f"r{i}"))
                assert raw.response(method, target).status == status, request
        line = single_line(gatherd, request_id=f"r{i}")
        assert {k: v for k, v in line.items() if k != "time"} == {
            "level": "debug", "event": "request_rejected", "status": status, "error": error, "method": method,
            "path": target.split("?")[0], "request_id": f"r{i}"}
    gatherd.stop()
    quiet.stop()
    assert len(lines(gatherd, event="request_rejected")) == len(REJECTED)
    assert [e["event"] for e in lines(quiet)] == ["listening", "draining", "stopped"]


def test_endless_body_is_logged_once(start):
    """A body beyond the discard limit: the response is written to the socket directly, and the connection is closed."""
    gatherd = start("--max-body-bytes", "2000")
    with Raw(gatherd.urls()[0]) as raw:
        raw.send(request_bytes("POST", SLEEP, b"", "Transfer-Encoding: chunked", "X-Request-Id: endless"))
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(80):
                raw.send(piece)
        except OSError:
            pass
        assert single_line(gatherd, request_id="endless")["status"] == 413
    gatherd.stop()
    assert len(lines(gatherd, request_id="endless")) == 1


def test_task_results_are_not_logged_as_rejections(start, tmp_path):
    gatherd = start("--files-root", str(tmp_path))
    with Client(gatherd.urls()[0]) as client:
        for target, body, status in ((SLEEP + "?timeout_seconds=0.01", {"seconds": LONG_SECONDS}, 504),
                                     ("/v1/run/read_file", {"path": "none"}, 404),
                                     (SLEEP, {"seconds": 0}, 200)):
            assert client.post(target, body, **{"X-Request-Id": f"is-{status}"}).status == status
        assert client.get("/livez", **{"X-Request-Id": "probe"}).status == 200
    gatherd.stop()
    for request_id, events in (("is-504", ["task_failed"]), ("is-404", ["task_failed"]), ("is-200", ["task_succeeded"]),
                               ("probe", [])):
        assert [e["event"] for e in gatherd.events(request_id=request_id)] == events, request_id


def test_logged_detail_matches_response(start):
    gatherd = start()
    with Client(gatherd.urls()[0]) as client:
        for i, (target, body) in enumerate(((SLEEP + "?timeout_seconds=0.01", {"seconds": LONG_SECONDS}),
                                            ("/v1/gather", {"tasks": [{"function": "sleep", "timeout_seconds": 0.01,
                                                                       "input": {"seconds": LONG_SECONDS}}]}))):
            problem = client.post(target, body, **{"X-Request-Id": f"d{i}"}).value
            assert single_line(gatherd, request_id=f"d{i}")["detail"] == problem["detail"] != problem["title"]
        client.post(SLEEP, {"seconds": 0}, **{"X-Request-Id": "well"})
        assert "detail" not in single_line(gatherd, request_id="well")


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("path, logged", [
    ('/"quoted"=\\', '/"quoted"=\\'), ("/caf\u00e9", "/caf\u00e9"), ("/\xff\xfe", "/\ufffd\ufffd"),
    ("/%0Aevent=x", "/%0Aevent=x"),
    ("/\x7f\xc2\x9b", "/\ufffd\ufffd"), ("/" + "x" * 3000, "/" + "x" * 1023 + "...")])
def test_logged_paths_are_escaped(path, logged, log_format, start):
    gatherd = start(log_format=log_format)
    raw_path = path.encode("utf-8") if path == logged else path.encode("latin-1")
    with Raw(gatherd.urls()[0]) as raw:
        raw.send(b"GET " + raw_path + b" HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: odd\r\n\r\n")
        assert raw.response("GET", raw_path.decode("latin-1")).status in (400, 404)
    assert single_line(gatherd, request_id="odd")["path"] == logged


def test_rejection_during_drain_is_logged_at_warn(start):
    gatherd = start(log_level="warn")
    url = gatherd.urls()[0]
    with Raw(url) as busy, Raw(url) as late:
        busy.send(request_bytes("POST", SLEEP, {"seconds": BUSY_SECONDS}))
        late.send(request_bytes("POST", SLEEP, {"seconds": 0}, "X-Request-Id: late")[:-3])
        wait_until_read(url)
        gatherd.terminate()
        wait_until(lambda: not os.path.exists(f"/proc/{gatherd.pid}") or refuses_connections(url), "closed listeners")
        late.send(b" 0}")
        assert late.response("POST", SLEEP).status == 503
        assert busy.response("POST", SLEEP).status == 200
    gatherd.wait()
    assert [(e["event"], e["error"], e["request_id"]) for e in lines(gatherd)] == [
        ("request_rejected", "shutting_down", "late")]


def refuses_connections(url):
    try:
        Raw(url).sock.close()
        return False
    except OSError:
        return True


# -- connections -----------------------------------------------------------------------------------

def test_connection_overload_is_logged_once(start):
    gatherd = start("--max-connections", "4", "--processes", "0", log_level="warn")
    url = gatherd.urls()[0]

    def open_connection():
        raw = Raw(url)
        raw.send(request_bytes("GET", "/v1/limits"))
        return raw, raw.response("GET", "/v1/limits").status

    before = descriptors(gatherd.pid)
    for expected_count in (1, 2):
        connections = [open_connection() for _ in range(4)]
        assert [status for _, status in connections] == [200] * 4
        for _ in range(10):
            raw, status = open_connection()
            raw.sock.close()
            assert status == 503
        found = wait_until(lambda: lines(gatherd) if len(lines(gatherd)) >= expected_count else None, "a line",
                           timeout_s=SHORT_TIMEOUT)
        assert len(found) == expected_count, found
        assert {k: v for k, v in found[-1].items() if k != "time"} == {
            "level": "warn", "event": "connections_rejected", "error": "too_many_connections", "connections": 4,
            "max_connections": 4}
        for raw, _ in connections:
            raw.sock.close()

        wait_until(lambda: descriptors(gatherd.pid) <= before, "the end of all connections")
    gatherd.stop()
    assert len(lines(gatherd)) == 2


# -- a flood ---------------------------------------------------------------------------------------

FLOOD_COUNT = 20000


def cpu_seconds(pid):
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3)


POOL_FULL_REQUEST = request_bytes("POST", BLOCK, {"seconds": 0})


def flood(url, pid, request=POOL_FULL_REQUEST, status=503):
    """Sends many requests that are rejected, and returns the server's CPU seconds per request."""
    before = cpu_seconds(pid)
    with Raw(url) as raw:
        for _ in range(FLOOD_COUNT // 100):
            raw.send(request * 100)
            for _ in range(100):
                assert raw.read().status == status
    return (cpu_seconds(pid) - before) / FLOOD_COUNT


@pytest.mark.release
def test_logging_rejections_costs_little(start):
    def cost(log_level):
        gatherd = start("--threads", "1", "--queue-limit", "0", log_level=log_level)
        with Raw(gatherd.urls()[0]) as filler:
            filler.send(request_bytes("POST", BLOCK + "?name=filler", {"seconds": LONG_SECONDS}))
            wait_until(lambda: pools(gatherd.urls()[0])["default"]["busy"] == 1, "a full pool")
            return flood(gatherd.urls()[0], gatherd.pid)

    silent, logging = cost("error"), cost("warn")
    print(f"{silent * 1e6:.1f} us, {logging * 1e6:.1f} us when logged")
    assert logging < 2 * silent


def test_rejection_log_is_rate_limited(start):
    gatherd = start("--threads", "1", "--queue-limit", "0", log_level="warn")
    url = gatherd.urls()[0]
    with Raw(url) as filler:
        filler.send(request_bytes("POST", BLOCK + "?name=filler", {"seconds": LONG_SECONDS}))
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a full pool")
        since = time.monotonic()
        flood(url, gatherd.pid)
        elapsed = time.monotonic() - since

        request_ids = []

        def next_is_logged():
            time.sleep(0.05)  # well below the rate limit: all are logged from then on
            request_ids.append(f"more-{len(request_ids)}")
            with Raw(url) as raw:
                raw.send(request_bytes("POST", BLOCK, {"seconds": 0}, f"X-Request-Id: {request_ids[-1]}"))
                assert raw.response("POST", BLOCK).status == 503
            return any(gatherd.events(request_id=name) for name in request_ids)
        wait_until(next_is_logged, "a second below the rate limit")

        def complete_log():
            lines = gatherd.events(event="request_rejected")
            return sum(1 + line.get("suppressed", 0) for line in lines) == FLOOD_COUNT + len(request_ids) and lines
        lines = wait_until(complete_log, "the suppressed count")
        assert 50 <= len(lines) <= 50 * (elapsed + time.monotonic() - since + 2)


def test_unread_log_does_not_block_requests(start):
    """If stderr is a full pipe, log lines are dropped, but requests are answered."""
    process = subprocess.Popen([BINARY, "--listen", "127.0.0.1:0", "--log-level", "debug"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    try:
        url = process.stdout.readline().decode().split(" on ")[1].strip()
        flood(url, process.pid, request_bytes("GET", "/nothing"), 404)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
