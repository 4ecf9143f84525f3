"""The log: what an operator finds there when workers die and requests are refused, and that it is there once."""

import json
import os
import re
import resource
import signal
import subprocess
import time

import pytest

from client import Client, Raw, request_bytes
from server import BINARY, ENVIRONMENT, wait_until
from task_requests import ENDLESS, LONG, Background, pools, post, workers

SLEEP = "/v1/run/sleep"
BLOCK = "/v1/run/block"
SOON = 5  # seconds, for what should happen at once, on a slow machine too

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (error|warn|info|debug) ([a-z_]+)((?: .*)?)")
FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)')


def parse_text(line):
    """A line of the log in its format for people, as the object it would be in JSON."""
    time_, level, event, rest = LINE.fullmatch(line).groups()
    fields = FIELD.findall(rest)
    assert "".join(f" {key}={value}" for key, value in fields) == rest, line
    assert len({key for key, _ in fields}) == len(fields), f"a key that comes twice: {line}"

    def value_of(raw):
        return json.loads(raw) if raw[0] == '"' or re.fullmatch(r"-?\d+(\.\d+)?", raw) else raw

    return {"time": time_, "level": level, "event": event, **{key: value_of(raw) for key, raw in fields}}


def lines(own, **wanted):
    """The lines of the log that have these members, in either format."""
    parsed = [json.loads(line) if line[0] == "{" else parse_text(line) for line in list(own.lines["stderr"])]
    return [e for e in parsed if all(e.get(key) == value for key, value in wanted.items())]


def one(own, **wanted):
    """The only such line, once it is there. That none follows is seen after own.stop()."""
    wait_until(lambda: lines(own, **wanted), f"a line with {wanted}", patience=SOON)
    found = lines(own, **wanted)
    assert len(found) == 1, found
    return found[0]


def proven_workers(url):
    """The pids of the workers, once each has done something: one that is still starting would die another death."""
    def proven():
        assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 6}] * 8}).status == 200
        return all(w["tasks_done"] > 0 for w in pools(url)["processes"]["workers"])

    wait_until(proven, "work for every worker")
    return workers(url)


def busy_worker(url):
    return wait_until(lambda: next((w["pid"] for w in pools(url)["processes"]["workers"] if w["busy"]), None), "work")


# -- worker processes ------------------------------------------------------------------------------

@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_worker_that_is_killed_has_one_line(log_format, start):
    own = start("--processes", "2", log_format=log_format)
    url = own.urls()[0]
    both = proven_workers(url)
    with Background(url) as background:
        doomed = background.post("/v1/run/primes", ENDLESS)
        pid = busy_worker(url)
        os.kill(pid, signal.SIGKILL)
        problem = doomed.result().value
    line = one(own, event="worker_exited")
    assert {k: v for k, v in line.items() if k != "time"} == {
        "level": "warn", "event": "worker_exited", "pid": pid, "exit_signal": 9, "function": "primes"}
    failed = one(own, event="task_failed")
    assert (failed["id"], failed["error"]) == (problem["task"]["id"], "worker_crashed")
    assert failed["detail"] == problem["detail"] == problem["task"]["error"]["detail"]
    assert lines(own).index(line) < lines(own).index(failed), "the cause comes first"

    idle = next(other for other in both if other != pid)
    os.kill(idle, signal.SIGABRT)
    line = one(own, event="worker_exited", pid=idle)
    assert {k: v for k, v in line.items() if k != "time"} == {
        "level": "warn", "event": "worker_exited", "pid": idle, "exit_signal": 6}
    wait_until(lambda: len(workers(url)) == 2, "a new worker")
    own.stop()
    assert len(lines(own, event="worker_exited")) == 2 and not lines(own, event="request_rejected")
    assert not lines(own, event="worker_start_failed")


def test_workers_that_gatherd_ends_itself_have_none(start):
    own = start("--processes", "2", "--worker-max-tasks", "3", "--drain-seconds", "0.1")
    url = own.urls()[0]
    assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 100}] * 20}).status == 200
    assert post(url, "/v1/run/primes?timeout_seconds=0.05", ENDLESS).status == 504
    assert post(url, "/v1/run/primes?deadline_seconds=0.05", ENDLESS).status == 504
    with Raw(url) as leaves:
        leaves.send(request_bytes("POST", "/v1/run/primes", ENDLESS, "X-Request-Id: leaves"))
        busy_worker(url)
    own.wait_event(event="task_canceled", request_id="leaves")
    wait_until(lambda: pools(url)["processes"]["restarts"] >= 9, "new workers")
    with Background(url) as background:
        background.post("/v1/run/primes", ENDLESS)
        busy_worker(url)
        own.terminate()
    own.wait()
    assert [e["event"] for e in own.events(level="warn")] == ["drain_timeout"], own.events(level="warn")


def test_a_worker_that_does_not_start_has_a_line_for_each_attempt(start):
    own = start("--processes", "1")
    url = own.urls()[0]
    pid = proven_workers(url)[0]
    soft, hard = resource.prlimit(own.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(own.pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open stays so, and nothing is opened
    os.kill(pid, signal.SIGKILL)
    fourth = own.wait_event(count=4, event="worker_start_failed")
    resource.prlimit(own.pid, resource.RLIMIT_NOFILE, (soft, hard))
    failed = own.events(event="worker_start_failed")
    assert {(e["level"], e["error"], e["detail"]) for e in failed} == {("warn", "spawn_failed", "too many open files")}
    assert not any(key in e for e in failed for key in ("pid", "exit_signal", "exit_code"))
    assert [e["retry_seconds"] for e in failed[:4]] == [0, 0, 0.1, 0.2] and fourth == failed[3]
    assert [e["pid"] for e in own.events(event="worker_exited")] == [pid]
    assert post(url, "/v1/run/sum", {"n": 10}).status == 200


# -- requests --------------------------------------------------------------------------------------

def full(start, **options):
    """A server whose only pool is full, its client, and what fills it."""
    own = start("--threads", "1", "--queue-limit", "0", **options)
    filler = Raw(own.urls()[0])
    filler.send(request_bytes("POST", BLOCK, {"seconds": 2}))
    wait_until(lambda: pools(own.urls()[0])["default"]["busy"] == 1, "a full pool")
    return own, filler


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_overload_is_seen_at_warn(log_format, start):
    own, filler = full(start, log_level="warn", log_format=log_format)
    with filler, Client(own.urls()[0]) as client:
        for i in range(5):
            assert client.post(BLOCK + "?name=a", {"seconds": 0}, **{"X-Request-Id": f"late-{i}"}).status == 503
        issued = client.post(BLOCK, {"seconds": 0}).header("X-Request-Id")
        line = one(own, request_id="late-3")
        assert {k: v for k, v in line.items() if k != "time"} == {
            "level": "warn", "event": "request_rejected", "status": 503, "error": "pool_full", "method": "POST",
            "path": BLOCK, "request_id": "late-3"}
        assert one(own, request_id=issued)["status"] == 503
        assert filler.answer("POST", BLOCK).status == 200
    own.stop()
    assert len(lines(own)) == 6 and {e["event"] for e in lines(own)} == {"request_rejected"}


REFUSED = [  # request, status, error
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


def test_what_clients_do_wrong_is_seen_at_debug(start, tmp_path):
    flags = ("--max-body-bytes", "2000", "--files-root", str(tmp_path))
    own, quiet = start(*flags), start(*flags, log_level="info")
    for i, (request, status, error) in enumerate(REFUSED):
        method, target = request.decode("latin-1").split(" ")[:2]
        for server in (own, quiet):
            with Raw(server.urls()[0]) as raw:
                raw.send(with_id(request, f"r{i}"))
                assert raw.read(method).status == status, request
        line = one(own, request_id=f"r{i}")
        assert {k: v for k, v in line.items() if k != "time"} == {
            "level": "debug", "event": "request_rejected", "status": status, "error": error, "method": method,
            "path": target.split("?")[0], "request_id": f"r{i}"}
    own.stop()
    quiet.stop()
    assert len(lines(own, event="request_rejected")) == len(REFUSED)
    assert [e["event"] for e in lines(quiet)] == ["listening", "draining", "stopped"]


def test_a_body_without_end_is_refused_once(start):
    """So much of it that its answer is written by hand, and the connection closed."""
    own = start("--max-body-bytes", "2000")
    with Raw(own.urls()[0]) as raw:
        raw.send(request_bytes("POST", SLEEP, b"", "Transfer-Encoding: chunked", "X-Request-Id: endless"))
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(80):
                raw.send(piece)
        except OSError:
            pass
        assert one(own, request_id="endless")["status"] == 413
    own.stop()
    assert len(lines(own, request_id="endless")) == 1


def test_failed_tasks_and_what_went_well_are_no_refusals(start, tmp_path):
    own = start("--files-root", str(tmp_path))
    with Client(own.urls()[0]) as client:
        for target, body, status in ((SLEEP + "?timeout_seconds=0.01", {"seconds": LONG}, 504),
                                     ("/v1/run/read_file", {"path": "none"}, 404),
                                     (SLEEP, {"seconds": 0}, 200)):
            assert client.post(target, body, **{"X-Request-Id": f"is-{status}"}).status == status
        assert client.get("/livez", **{"X-Request-Id": "probe"}).status == 200
    own.stop()
    for request_id, events in (("is-504", ["task_failed"]), ("is-404", ["task_failed"]), ("is-200", ["task_succeeded"]),
                               ("probe", [])):
        assert [e["event"] for e in own.events(request_id=request_id)] == events, request_id


def test_detail_says_what_the_client_reads(start):
    own = start()
    with Client(own.urls()[0]) as client:
        for i, (target, body) in enumerate(((SLEEP + "?timeout_seconds=0.01", {"seconds": LONG}),
                                            ("/v1/gather", {"tasks": [{"function": "sleep", "timeout_seconds": 0.01,
                                                                       "input": {"seconds": LONG}}]}))):
            problem = client.post(target, body, **{"X-Request-Id": f"d{i}"}).value
            assert one(own, request_id=f"d{i}")["detail"] == problem["detail"] != problem["title"]
        client.post(SLEEP, {"seconds": 0}, **{"X-Request-Id": "well"})
        assert "detail" not in one(own, request_id="well")


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("path, logged", [
    ('/"quoted"=\\', '/"quoted"=\\'), ("/caf\u00e9", "/caf\u00e9"), ("/\xff\xfe", "/\ufffd\ufffd"), ("/%0Aevent=x", "/%0Aevent=x"),
    ("/\x7f\xc2\x9b", "/\ufffd\ufffd"), ("/" + "x" * 3000, "/" + "x" * 1023 + "...")])
def test_no_path_breaks_a_line(path, logged, log_format, start):
    own = start(log_format=log_format)
    raw_path = path.encode("utf-8") if path == logged else path.encode("latin-1")
    with Raw(own.urls()[0]) as raw:
        raw.send(b"GET " + raw_path + b" HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: odd\r\n\r\n")
        assert raw.read("GET").status in (400, 404)
    assert one(own, request_id="odd")["path"] == logged


def test_what_comes_during_the_drain_is_refused_at_warn(start):
    own = start(log_level="warn")
    url = own.urls()[0]
    with Raw(url) as busy, Raw(url) as late:
        busy.send(request_bytes("POST", SLEEP, {"seconds": 1}))
        late.send(request_bytes("POST", SLEEP, {"seconds": 0}, "X-Request-Id: late")[:-3])
        time.sleep(0.2)
        own.terminate()
        wait_until(lambda: not os.path.exists(f"/proc/{own.pid}") or refused(url), "the end of listening")
        late.send(b" 0}")
        assert late.answer("POST", SLEEP).status == 503
        assert busy.answer("POST", SLEEP).status == 200
    own.wait()
    assert [(e["event"], e["error"], e["request_id"]) for e in lines(own)] == [
        ("request_rejected", "shutting_down", "late")]


def refused(url):
    try:
        Raw(url).sock.close()
        return False
    except OSError:
        return True


# -- connections -----------------------------------------------------------------------------------

def test_refused_connections_are_told_of_once_until_there_was_room(start):
    own = start("--max-connections", "4", log_level="warn")
    url = own.urls()[0]

    def hold():
        raw = Raw(url)
        raw.send(request_bytes("GET", "/v1/limits"))
        return raw, raw.read("GET").status

    for times in (1, 2):
        held = [hold() for _ in range(4)]
        assert [status for _, status in held] == [200] * 4
        for _ in range(10):
            raw, status = hold()
            raw.sock.close()
            assert status == 503
        found = wait_until(lambda: lines(own) if len(lines(own)) >= times else None, "a line", patience=SOON)
        assert len(found) == times, found
        assert {k: v for k, v in found[-1].items() if k != "time"} == {
            "level": "warn", "event": "connections_rejected", "error": "too_many_connections", "connections": 4,
            "max_connections": 4}
        for raw, _ in held:
            raw.sock.close()

        def empty():
            probe, status = hold()
            probe.sock.close()
            return status == 200

        wait_until(empty, "room")
        time.sleep(0.1)  # for the others to be seen as closed
    own.stop()
    assert len(lines(own)) == 2


# -- a flood ---------------------------------------------------------------------------------------

FLOOD = 20000


def processor_seconds(pid):
    return time.clock_gettime(~pid << 3 | 2)  # the clock of that process, as clock_getcpuclockid(3) makes it


FULL = request_bytes("POST", BLOCK, {"seconds": 0})


def flood(url, pid, request=FULL, status=503):
    """Sends many requests that are refused, and returns the processor time that the server took for one."""
    before = processor_seconds(pid)
    with Raw(url) as raw:
        for _ in range(FLOOD // 100):
            raw.send(request * 100)
            for _ in range(100):
                assert raw.read().status == status
    return (processor_seconds(pid) - before) / FLOOD


@pytest.mark.release
def test_a_flood_of_refusals_costs_little_more_for_being_logged(start):
    def cost(log_level):
        own = start("--threads", "1", "--queue-limit", "0", log_level=log_level)
        with Raw(own.urls()[0]) as filler:
            filler.send(request_bytes("POST", BLOCK + "?name=filler", {"seconds": LONG}))
            wait_until(lambda: pools(own.urls()[0])["default"]["busy"] == 1, "a full pool")
            return flood(own.urls()[0], own.pid)

    silent, logging = cost("error"), cost("warn")
    print(f"{silent * 1e6:.1f} us, {logging * 1e6:.1f} us when it is logged")
    assert logging < 2 * silent


def test_a_flood_of_refusals_fills_no_disk(start):
    own = start("--threads", "1", "--queue-limit", "0", log_level="warn")
    url = own.urls()[0]
    with Raw(url) as filler:
        filler.send(request_bytes("POST", BLOCK + "?name=filler", {"seconds": LONG}))
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a full pool")
        began = time.monotonic()
        flood(url, own.pid)
        took = time.monotonic() - began

        asked = []

        def one_more_is_logged():
            asked.append(f"more-{len(asked)}")
            with Raw(url) as raw:
                raw.send(request_bytes("POST", BLOCK, {"seconds": 0}, f"X-Request-Id: {asked[-1]}"))
                assert raw.read().status == 503
            return any(own.events(request_id=name) for name in asked)
        wait_until(one_more_is_logged, "a second that has room")

        def refusals():
            lines = own.events(event="request_rejected")
            return sum(1 + line.get("suppressed", 0) for line in lines) == FLOOD + len(asked) and lines
        lines = wait_until(refusals, "the count of what was left out")
        assert 50 <= len(lines) <= 50 * (took + time.monotonic() - began + 2)


def test_a_flood_of_refusals_waits_for_no_reader(start):
    """Nobody reads stderr: lines are lost, answers are not."""
    process = subprocess.Popen([BINARY, "--listen", "127.0.0.1:0", "--log-level", "debug"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    try:
        url = process.stdout.readline().decode().split(" on ")[1].strip()
        flood(url, process.pid, request_bytes("GET", "/nothing"), 404)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
