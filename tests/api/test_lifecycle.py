"""The life of the process: disconnects, shutdown, listeners, options, log."""

import json
import os
import signal
import socket
import struct
import time

import pytest

import server as gatherd
from client import Client, Raw, connect, request_bytes, wait_until_read
from server import RELEASE, run, wait_until

SLEEP = "/v1/run/sleep"
LONG_SECONDS = 60    # longer than any test waits
SHORT_TIMEOUT = 5 if RELEASE else 20  # seconds, for events that should be immediate
MAX_LATENCY = 0.15 if RELEASE else SHORT_TIMEOUT


def sleep_bytes(seconds, request_id="r1"):
    return request_bytes("POST", SLEEP, {"seconds": seconds}, f"X-Request-Id: {request_id}")


def gather_bytes(seconds, count, request_id="r1"):
    tasks = [{"function": "sleep", "input": {"seconds": seconds}}] * count
    inner = {"function": "gather", "input": {"tasks": tasks}}
    return request_bytes("POST", "/v1/gather", {"tasks": [*tasks, inner]}, f"X-Request-Id: {request_id}")


# -- disconnects -------------------------------------------------------------------------------------

def disconnect(raw, how):
    if how == "reset":
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        raw.sock.shutdown(socket.SHUT_WR)
    else:
        raw.sock.close()


# No reset right after the request: the kernel would discard a request that has not been read yet.
@pytest.mark.parametrize("how, after", [("close", 0), ("close", 0.01), ("close", 0.2), ("half", 0), ("half", 0.01),
                                        ("half", 0.2), ("reset", 0)])
@pytest.mark.parametrize("data", [sleep_bytes(LONG_SECONDS), gather_bytes(LONG_SECONDS, 20)], ids=["sleep", "gather"])
def test_disconnect_cancels_task(data, how, after, start):
    server = start()
    raw = Raw(server.urls()[0])
    raw.send(data)
    time.sleep(after)
    if how == "reset":
        wait_until_read(server.urls()[0])
    disconnect(raw, how)
    since = time.monotonic()
    event = server.wait_event(event="task_canceled", request_id="r1", timeout_s=SHORT_TIMEOUT)
    assert time.monotonic() - since < MAX_LATENCY
    assert (event["state"], event["error"], event["cancel_effect"], event["cancel_reason"]) == (
        "canceled", "canceled", "stopped", "client")
    server.terminate()
    server.wait(SHORT_TIMEOUT)
    assert server.events(event="draining")[0]["unfinished_tasks"] == 0, "children are still running"


def test_disconnect_does_not_affect_other_clients(start):
    server = start()
    with Raw(server.urls()[0]) as staying, Raw(server.urls()[0]) as leaving:
        staying.send(sleep_bytes(1, "stays"))
        leaving.send(sleep_bytes(LONG_SECONDS, "leaves"))
        wait_until_read(server.urls()[0])
        disconnect(leaving, "close")
        server.wait_event(event="task_canceled", request_id="leaves", timeout_s=SHORT_TIMEOUT)
        assert staying.response("POST", SLEEP).status == 200


def test_disconnect_after_pipelined_requests(start):
    """The client disconnects after two pipelined requests: the second task may run or not, but must end."""
    server = start("--body-timeout-seconds", "2", "--idle-timeout-seconds", "2")
    raw = Raw(server.urls()[0])
    raw.send(sleep_bytes(1, "first") + sleep_bytes(1, "second"))
    time.sleep(0.1)
    disconnect(raw, "close")
    wait_until(lambda: server.events(request_id="first"), "the end of the first task", timeout_s=SHORT_TIMEOUT)
    server.terminate()
    server.wait(SHORT_TIMEOUT)


# -- the drain -----------------------------------------------------------------------------------

def refuses_connections(url):
    try:
        connect(url).close()
        return False
    except OSError:
        return True


def test_idle_service_shuts_down_immediately(start):
    server = start()
    with Client(server.urls()[0]) as kept_alive, Raw(server.urls()[0]) as silent:
        kept_alive.get("/livez")
        since = time.monotonic()
        server.terminate()
        server.wait()
        assert time.monotonic() - since < (0.5 if RELEASE else SHORT_TIMEOUT)
        assert silent.wait_closed(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_running_tasks(number, start):
    server = start()
    with Raw(server.urls()[0]) as busy, Raw(server.urls()[0]) as idle:
        busy.send(gather_bytes(1.5, 10))
        wait_until_read(server.urls()[0])
        os.kill(server.pid, number)
        wait_until(lambda: refuses_connections(server.urls()[0]), "the listener to close")
        assert idle.wait_closed(SHORT_TIMEOUT), "the idle connection is still open"
        response = busy.response("POST", "/v1/gather")
        assert response.status == 200 and response.header("connection") == "close"
        assert busy.wait_closed(SHORT_TIMEOUT)
        server.wait(SHORT_TIMEOUT)


def test_drain_timeout_cancels_tasks(start):
    server = start("--drain-seconds", "0.5")
    with Raw(server.urls()[0]) as one, Raw(server.urls()[0]) as many:
        one.send(sleep_bytes(LONG_SECONDS))
        many.send(gather_bytes(LONG_SECONDS, 10))
        wait_until_read(server.urls()[0])
        since = time.monotonic()
        server.terminate()
        for raw, target in ((one, SLEEP), (many, "/v1/gather")):
            response = raw.response("POST", target)
            assert response.status == 503
            assert response.value["type"] == "urn:gatherd:error:shutting_down"
            task = response.value["task"]
            assert (task["state"], task["cancel"]) == ("canceled", {"reason": "shutdown", "effect": "stopped"})
            assert raw.wait_closed(SHORT_TIMEOUT)
        assert {c["state"] for c in task["result"]["tasks"]} == {"canceled"}
        assert time.monotonic() - since >= 0.45
        server.wait(SHORT_TIMEOUT)
    events = server.events(event="task_canceled")
    assert len(events) == 2 and {e["cancel_reason"] for e in events} == {"shutdown"}


def test_zero_drain_cancels_immediately(start):
    server = start("--drain-seconds", "0")
    with Raw(server.urls()[0]) as raw:
        raw.send(sleep_bytes(LONG_SECONDS))
        wait_until_read(server.urls()[0])
        server.terminate()
        server.wait(SHORT_TIMEOUT)
        assert raw.response("POST", SLEEP).status == 503


def test_second_signal_cancels_running_tasks(start):
    server = start("--drain-seconds", "60")
    with Raw(server.urls()[0]) as raw:
        raw.send(sleep_bytes(LONG_SECONDS))
        wait_until_read(server.urls()[0])
        server.terminate()
        server.wait_event(event="draining")
        server.terminate()
        server.wait(SHORT_TIMEOUT)
        assert raw.response("POST", SLEEP).status == 503


def test_requests_during_drain_return_503(start):
    """During the drain, requests can arrive only on connections that were open before: new ones are not accepted."""
    server = start()
    probe, late, busy = (Raw(server.urls()[0]) for _ in range(3))
    busy.send(sleep_bytes(2))
    probe.send(b"GET /readyz HTTP/1.1\r\nHost: loc")
    late.send(sleep_bytes(0)[:-2])
    wait_until_read(server.urls()[0])
    server.terminate()
    server.wait_event(event="draining")
    probe.send(b"alhost\r\n\r\n")
    late.send(sleep_bytes(0)[-2:])
    for raw, method, target in ((probe, "GET", "/readyz"), (late, "POST", SLEEP)):
        response = raw.response(method, target)
        assert response.status == 503 and response.value["type"] == "urn:gatherd:error:shutting_down"
        assert response.header("connection") == "close" and raw.wait_closed(SHORT_TIMEOUT)
    assert busy.response("POST", SLEEP).status == 200
    server.wait(SHORT_TIMEOUT)


def test_drain_rejects_tasks_before_their_body(start):
    server = start()
    late, busy = Raw(server.urls()[0]), Raw(server.urls()[0])
    busy.send(sleep_bytes(2))
    late.send(b"POST /v1/run/sleep HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n")
    wait_until_read(server.urls()[0])
    server.terminate()
    server.wait_event(event="draining")
    late.send(b"Content-Length: 14\r\nHost: localhost\r\n\r\n")
    response = late.response("POST", SLEEP)
    assert response.status == 503 and response.value["type"] == "urn:gatherd:error:shutting_down"
    assert late.wait_closed(SHORT_TIMEOUT)
    assert busy.response("POST", SLEEP).status == 200
    server.wait(SHORT_TIMEOUT)


def test_livez_succeeds_during_drain(start):
    server = start()
    probe, busy = Raw(server.urls()[0]), Raw(server.urls()[0])
    busy.send(sleep_bytes(2))
    probe.send(b"GET /livez HTTP/1.1\r\n")
    wait_until_read(server.urls()[0])
    server.terminate()
    server.wait_event(event="draining")
    probe.send(b"Host: localhost\r\n\r\n")
    assert probe.response("GET", "/livez").status == 200
    assert busy.response("POST", SLEEP).status == 200
    server.wait(SHORT_TIMEOUT)


@pytest.mark.parametrize("data", [b"", b"POST", b"POST /v1/run/sleep HTTP/1.1\r\n", sleep_bytes(1)[:-3],
                                  request_bytes("GET", "/openapi.yaml") * 2000],
                         ids=["silent", "a word", "half a head", "half a body", "reads nothing"])
def test_idle_clients_do_not_delay_shutdown(data, start):
    server = start("--drain-seconds", "1")
    with Raw(server.urls()[0]) as raw:
        raw.sock.setblocking(False)
        try:
            raw.sock.send(data)
        except BlockingIOError:
            pass
        time.sleep(0.2)
        since = time.monotonic()
        server.terminate()
        server.wait()
        assert time.monotonic() - since < (4 if RELEASE else 30)


def test_shutdown_right_after_startup(start):
    for _ in range(10):
        start().stop()


def test_shutdown_with_hundred_clients(start):
    server = start("--drain-seconds", "1")
    clients = [Raw(server.urls()[0]) for _ in range(100)]
    for i, raw in enumerate(clients):
        raw.send(sleep_bytes(LONG_SECONDS if i % 2 else 0.5, f"c{i}"))
    wait_until_read(server.urls()[0])
    server.terminate()
    for i, raw in enumerate(clients):
        assert raw.response("POST", SLEEP, f"c{i}").status == (503 if i % 2 else 200)
    server.wait(SHORT_TIMEOUT)


# -- listeners -----------------------------------------------------------------------------------

def is_serving(url):
    with Client(url) as client:
        return client.post(SLEEP, {"seconds": 0}).status == 200


def test_port_0_selects_free_port(start):
    first, second = start(), start()
    assert first.port() != second.port() != 0
    assert is_serving(first.urls()[0]) and is_serving(second.urls()[0])


def test_two_listeners(start):
    server = start(listen=("127.0.0.1:0", "127.0.0.2:0"))
    assert [u.rsplit(":", 1)[0] for u in server.urls()] == ["http://127.0.0.1", "http://127.0.0.2"]
    assert all(is_serving(url) for url in server.urls())
    server.wait_event(event="listening", count=2)
    assert [e["address"] for e in server.events(event="listening")] == server.urls()


def test_ipv6(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("IPv6 is not available")
    server = start(listen=("[::1]:0", "127.0.0.1:0"))
    assert server.urls()[0].startswith("http://[::1]:")
    assert all(is_serving(url) for url in server.urls())


def test_listen_on_localhost_name(start):
    assert is_serving(start(listen=("localhost:0",)).urls()[0])


def test_unix_socket_listener(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    server = start(listen=(f"unix:{path}", "127.0.0.1:0"))
    assert server.urls()[0] == f"unix:{path}"
    assert all(is_serving(url) for url in server.urls())
    with Raw(server.urls()[0]) as raw:
        raw.send(request_bytes("GET", "/v1/limits", host="example.com"))
        assert raw.response("GET", "/v1/limits").status == 200, "Host is not checked on a Unix socket"
        raw.send(sleep_bytes(LONG_SECONDS, "unix"))
        wait_until_read(server.urls()[0])
    server.wait_event(event="task_canceled", request_id="unix", timeout_s=SHORT_TIMEOUT)
    server.stop()
    assert not path.exists()


def test_stale_unix_socket_is_replaced(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert path.exists()
    assert is_serving(start(listen=(f"unix:{path}",)).urls()[0])


def test_address_in_use_fails_startup(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    server = start(listen=(f"unix:{path}", "127.0.0.1:0"))
    for address in (f"unix:{path}", f"127.0.0.1:{server.port(1)}"):
        done = run("--listen", address)
        assert done.returncode == 1 and address in done.stderr and done.stdout == ""
    assert all(is_serving(url) for url in server.urls())
    (tmp_path / "file").write_text("precious", encoding="ascii")
    assert run("--listen", f"unix:{tmp_path}/file").returncode == 1
    assert (tmp_path / "file").read_text(encoding="ascii") == "precious"


def test_public_listener_requires_insecure(start):
    done = run("--listen", "0.0.0.0:0")
    assert done.returncode == 2 and "--insecure" in done.stderr
    server = start("--insecure", listen=("0.0.0.0:0",))
    assert is_serving(f"http://127.0.0.1:{server.port()}")


CROSS_SITE_HEADERS = [("Origin: http://example.org",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",),
           ("Origin: http://example.com", "Sec-Fetch-Site: same-site")]


def statuses(url, host):
    """The statuses of three POSTs with this Host: without Origin, with the same origin, and cross-site."""
    with Raw(url) as raw:
        def post(*lines):
            raw.send(request_bytes("POST", SLEEP, {"seconds": 0}, *lines, host=host))
            return raw.response("POST", SLEEP).status

        return post(), post(f"Origin: http://{host}"), {post(*lines) for lines in CROSS_SITE_HEADERS}


def test_insecure_skips_host_check_off_loopback_only(start, tmp_path):
    server = start("--insecure", listen=("127.0.0.1:0", "0.0.0.0:0", f"unix:{tmp_path}/gatherd.sock"))
    loopback, other, unix = server.urls()
    other = f"http://127.0.0.1:{server.port(1)}"
    assert statuses(loopback, "localhost") == (200, 200, {403})
    assert statuses(loopback, "example.com") == (421, 421, {421})
    for url in (other, unix):
        assert statuses(url, "localhost") == (200, 200, {403})
        assert statuses(url, "example.com") == (200, 200, {403})


# -- options -------------------------------------------------------------------------------------

def test_help_lists_every_option():
    done = run("--help")
    config = json.loads(run("--print-config").stdout)
    assert done.returncode == 0 and done.stderr == ""
    for name in config:
        assert "--" + name.replace("_", "-") in done.stdout
    assert len(config) >= 17 and max(map(len, done.stdout.splitlines())) <= 100


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "gatherd 0.1.0\n", "")


def test_print_config_round_trip(start, tmp_path):
    flags = ("--max-tasks", "77", "--drain-seconds=0.25", "--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0",
             "--log-format", "json", "--idle-timeout-seconds", "7.5")
    first = run("--print-config", *flags)
    assert first.returncode == 0, first.stderr
    config = json.loads(first.stdout)
    assert (config["max_tasks"], config["drain_seconds"], config["idle_timeout_seconds"]) == (77, 0.25, 7.5)
    assert config["listen"] == ["127.0.0.1:0", "127.0.0.2:0"]
    (tmp_path / "config.json").write_text(first.stdout, encoding="utf-8")
    again = run("--config", f"{tmp_path}/config.json", "--print-config")
    assert again.stdout == first.stdout
    server = start("--config", f"{tmp_path}/config.json", listen=("127.0.0.1:0",))
    with Client(server.urls()[0]) as client:
        limits = client.get("/v1/limits").value
    assert limits["max_tasks"] == 77 and limits["idle_timeout_seconds"] == 7.5


def test_flags_override_environment_and_file(tmp_path):
    (tmp_path / "c.json").write_text('{"max_tasks": 1, "max_connections": 1, "max_body_bytes": 2000}',
                                     encoding="ascii")
    done = run("--max-tasks", "3", "--print-config",
               env={"GATHERD_CONFIG": f"{tmp_path}/c.json", "GATHERD_MAX_TASKS": "2",
                    "GATHERD_MAX_CONNECTIONS": "2"})
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)
    assert (config["max_tasks"], config["max_connections"], config["max_body_bytes"]) == (3, 2, 2000)


@pytest.mark.parametrize("flags, named", [
    (["--no-such-option"], "--no-such-option"), (["extra"], "extra"), (["--max-tasks"], "--max-tasks"),
    (["--max-tasks", "0"], "--max-tasks"), (["--max-tasks", "-1"], "--max-tasks"),
    (["--max-tasks=many"], "--max-tasks"), (["--max-tasks", "1.5"], "--max-tasks"),
    (["--max-tasks", "99999999999999999999"], "--max-tasks"), (["--log-level", "loud"], "--log-level"),
    (["--log-format=xml"], "--log-format"), (["--drain-seconds", "-1"], "--drain-seconds"),
    (["--drain-seconds", "soon"], "--drain-seconds"), (["--listen", "nowhere"], "nowhere"),
    (["--listen", "127.0.0.1:65536"], "65536"), (["--listen", "127.0.0.1"], "127.0.0.1"),
    (["--listen", ":::1"], ":::1"), (["--listen", "unix:"], "unix:"),
    (["--config", "/no/such/file"], "/no/such/file"), (["--help=now"], "--help")])
def test_invalid_options_are_reported(flags, named):
    done = run(*flags)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and named in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("text, named", [("{", "line"), ('{"max_tasks": 0}', "max_tasks"),
                                         ('{"no_such": 1}', "no_such"), ('{"max_tasks": "1"}', "max_tasks"),
                                         ("[]", ""), ('{"max_tasks": 1, "max_tasks": 1}', "line 1, column 28")])
def test_invalid_config_file_is_reported(text, named, tmp_path):
    (tmp_path / "c.json").write_text(text, encoding="ascii")
    done = run("--config", f"{tmp_path}/c.json")
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path}/c.json" in done.stderr and named in done.stderr and done.stderr.count("\n") == 1


def test_invalid_environment_variable_is_reported():
    done = run(env={"GATHERD_MAX_TASKS": "0"})
    assert done.returncode == 2 and "GATHERD_MAX_TASKS" in done.stderr


def test_write_error_on_stdout_fails():
    with open("/dev/full", "wb") as full:
        done = gatherd.subprocess.run([gatherd.BINARY, "--help"], stdout=full, stderr=-1, check=False,
                                      env=gatherd.ENVIRONMENT, timeout=gatherd.TIMEOUT)
    assert done.returncode == 1


# -- the log -------------------------------------------------------------------------------------

def test_task_results_are_logged(start):
    server = start()
    with Client(server.urls()[0]) as client:
        done = client.post("/v1/tasks", {"function": "sleep", "input": {"seconds": 0.01}, "name": 'a "b" \u00e9'},
                           **{"X-Request-Id": "one"}).value
        failed = client.post(SLEEP + "?timeout_seconds=0.01", {"seconds": LONG_SECONDS},
                             **{"X-Request-Id": "two"}).value["task"]
    event = server.wait_event(request_id="one")
    assert (event["event"], event["level"], event["id"], event["function"], event["state"]) == (
        "task_succeeded", "debug", done["id"], "sleep", "succeeded")
    assert event["queued_seconds"] == done["queued_seconds"]
    assert event["duration_seconds"] == done["duration_seconds"]
    event = server.wait_event(request_id="two")
    assert (event["event"], event["level"], event["id"], event["state"], event["error"],
            event["cancel_effect"]) == (
        "task_failed", "info", failed["id"], "failed", "timeout", "stopped")


def test_log_level_filters_events(start):
    server = start(log_level="warn")
    is_serving(server.urls()[0])
    server.stop()
    assert server.stderr() == ""
