"""From the command line to the last answer: options, listeners, clients that hang up, and the drain."""

import json
import os
import signal
import socket
import struct
import time

import pytest

import server as gatherd
from client import Client, Raw, connect, request_bytes
from server import RELEASE, run, wait_until

SLEEP = "/v1/run/sleep"
LONG = 60   # seconds that nobody waits for
SOON = 5    # seconds, for what should happen at once, on a slow machine too
AT_ONCE = 0.15 if RELEASE else SOON


def sleep_bytes(seconds, request_id="r1"):
    return request_bytes("POST", SLEEP, {"seconds": seconds}, f"X-Request-Id: {request_id}")


def gather_bytes(seconds, count, request_id="r1"):
    tasks = [{"function": "sleep", "input": {"seconds": seconds}}] * count
    inner = {"function": "gather", "input": {"tasks": tasks}}
    return request_bytes("POST", "/v1/gather", {"tasks": [*tasks, inner]}, f"X-Request-Id: {request_id}")


# -- clients that hang up ----------------------------------------------------------------------------

def leave(raw, how):
    if how == "reset":
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        raw.sock.shutdown(socket.SHUT_WR)
    else:
        raw.sock.close()


# A reset right after the request may reach the kernel before the request was read, and destroy it.
@pytest.mark.parametrize("how, after", [("close", 0), ("close", 0.01), ("close", 0.2), ("half", 0), ("half", 0.01),
                                        ("half", 0.2), ("reset", 0.2)])
@pytest.mark.parametrize("data", [sleep_bytes(LONG), gather_bytes(LONG, 20)], ids=["sleep", "gather"])
def test_the_task_of_a_client_that_hung_up_is_canceled(data, how, after, start):
    own = start()
    raw = Raw(own.urls()[0])
    raw.send(data)
    time.sleep(after)
    leave(raw, how)
    since = time.monotonic()
    event = own.wait_event(event="task_canceled", request_id="r1", patience=SOON)
    assert time.monotonic() - since < AT_ONCE
    assert (event["state"], event["error"], event["cancel_effect"], event["cancel_reason"]) == (
        "canceled", "canceled", "stopped", "client")
    own.terminate()
    own.wait(SOON)
    assert own.events(event="draining")[0]["unfinished_tasks"] == 0, "its children went on"


def test_other_clients_are_left_alone(start):
    own = start()
    with Raw(own.urls()[0]) as stays, Raw(own.urls()[0]) as leaves:
        stays.send(sleep_bytes(0.5, "stays"))
        leaves.send(sleep_bytes(LONG, "leaves"))
        time.sleep(0.1)
        leave(leaves, "close")
        own.wait_event(event="task_canceled", request_id="leaves", patience=SOON)
        assert stays.answer("POST", SLEEP).status == 200


def test_a_client_that_hangs_up_behind_a_pipelined_request(start):
    """Nobody is there to read either answer, so the second task may run or not, but nothing may stay."""
    own = start("--body-timeout-seconds", "2", "--idle-timeout-seconds", "2")
    raw = Raw(own.urls()[0])
    raw.send(sleep_bytes(1, "first") + sleep_bytes(1, "second"))
    time.sleep(0.1)
    leave(raw, "close")
    wait_until(lambda: own.events(request_id="first"), "the end of the first task", patience=SOON)
    own.terminate()
    own.wait(SOON)


# -- the drain -----------------------------------------------------------------------------------

def refuses_connections(url):
    try:
        connect(url).close()
        return False
    except OSError:
        return True


def test_an_idle_service_ends_at_once(start):
    own = start()
    with Client(own.urls()[0]) as kept, Raw(own.urls()[0]) as silent:
        kept.get("/livez")
        since = time.monotonic()
        own.terminate()
        own.wait()
        assert time.monotonic() - since < (0.5 if RELEASE else SOON)
        assert silent.ended(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_finished(number, start):
    own = start()
    with Raw(own.urls()[0]) as busy, Raw(own.urls()[0]) as idle:
        busy.send(gather_bytes(0.7, 10))
        time.sleep(0.2)
        os.kill(own.pid, number)
        wait_until(lambda: refuses_connections(own.urls()[0]), "the end of listening")
        assert idle.ended(SOON), "an idle connection is closed"
        response = busy.answer("POST", "/v1/gather")
        assert response.status == 200 and response.header("connection") == "close"
        assert busy.ended(SOON)
        own.wait(SOON)


def test_what_does_not_finish_is_canceled(start):
    own = start("--drain-seconds", "0.5")
    with Raw(own.urls()[0]) as one, Raw(own.urls()[0]) as many:
        one.send(sleep_bytes(LONG))
        many.send(gather_bytes(LONG, 10))
        time.sleep(0.2)
        own.terminate()
        since = time.monotonic()
        for raw, target in ((one, SLEEP), (many, "/v1/gather")):
            response = raw.answer("POST", target)
            assert response.status == 503
            assert response.value["type"] == "urn:gatherd:error:shutting-down"
            task = response.value["task"]
            assert (task["state"], task["cancel"]) == ("canceled", {"reason": "shutdown", "effect": "stopped"})
            assert raw.ended(SOON)
        assert {c["state"] for c in task["result"]["tasks"]} == {"canceled"}
        assert time.monotonic() - since >= 0.45
        own.wait(SOON)
    events = own.events(event="task_canceled")
    assert len(events) == 2 and {e["cancel_reason"] for e in events} == {"shutdown"}


def test_no_drain_at_all(start):
    own = start("--drain-seconds", "0")
    with Raw(own.urls()[0]) as raw:
        raw.send(sleep_bytes(LONG))
        time.sleep(0.1)
        own.terminate()
        own.wait(SOON)
        assert raw.answer("POST", SLEEP).status == 503


def test_who_asks_twice_is_in_a_hurry(start):
    own = start("--drain-seconds", "60")
    with Raw(own.urls()[0]) as raw:
        raw.send(sleep_bytes(LONG))
        time.sleep(0.1)
        own.terminate()
        own.wait_event(event="draining")
        own.terminate()
        own.wait(SOON)
        assert raw.answer("POST", SLEEP).status == 503


def test_requests_that_arrive_during_the_drain_are_refused(start):
    """On connections that were open, in the middle of a request: only they can still ask."""
    own = start()
    probe, late, busy = (Raw(own.urls()[0]) for _ in range(3))
    busy.send(sleep_bytes(1.5))
    probe.send(b"GET /readyz HTTP/1.1\r\nHost: loc")
    late.send(sleep_bytes(0)[:-2])
    time.sleep(0.2)
    own.terminate()
    own.wait_event(event="draining")
    probe.send(b"alhost\r\n\r\n")
    late.send(sleep_bytes(0)[-2:])
    for raw, method, target in ((probe, "GET", "/readyz"), (late, "POST", SLEEP)):
        response = raw.answer(method, target)
        assert response.status == 503 and response.value["type"] == "urn:gatherd:error:shutting-down"
        assert response.header("connection") == "close" and raw.ended(SOON)
    assert busy.answer("POST", SLEEP).status == 200
    own.wait(SOON)


def test_the_service_stays_live_while_it_drains(start):
    own = start()
    probe, busy = Raw(own.urls()[0]), Raw(own.urls()[0])
    busy.send(sleep_bytes(1))
    probe.send(b"GET /livez HTTP/1.1\r\n")
    time.sleep(0.2)
    own.terminate()
    own.wait_event(event="draining")
    probe.send(b"Host: localhost\r\n\r\n")
    assert probe.answer("GET", "/livez").status == 200
    assert busy.answer("POST", SLEEP).status == 200
    own.wait(SOON)


@pytest.mark.parametrize("data", [b"", b"POST", b"POST /v1/run/sleep HTTP/1.1\r\n", sleep_bytes(1)[:-3],
                                  request_bytes("GET", "/openapi.yaml") * 2000],
                         ids=["silent", "a word", "half a head", "half a body", "reads nothing"])
def test_clients_that_do_nothing_cannot_hold_up_the_end(data, start):
    own = start("--drain-seconds", "1")
    with Raw(own.urls()[0]) as raw:
        raw.sock.setblocking(False)
        try:
            raw.sock.send(data)
        except BlockingIOError:
            pass
        time.sleep(0.2)
        since = time.monotonic()
        own.terminate()
        own.wait()
        assert time.monotonic() - since < (4 if RELEASE else gatherd.PATIENCE)


def test_an_end_right_after_the_start(start):
    for _ in range(10):
        start().stop()


def test_a_hundred_clients_at_the_end(start):
    own = start("--drain-seconds", "1")
    clients = [Raw(own.urls()[0]) for _ in range(100)]
    for i, raw in enumerate(clients):
        raw.send(sleep_bytes(LONG if i % 2 else 0.5, f"c{i}"))
    time.sleep(0.3)
    own.terminate()
    for i, raw in enumerate(clients):
        assert raw.answer("POST", SLEEP, f"c{i}").status == (503 if i % 2 else 200)
    own.wait(SOON)


# -- listeners -----------------------------------------------------------------------------------

def answers(url):
    with Client(url) as client:
        return client.post(SLEEP, {"seconds": 0}).status == 200


def test_port_0_is_any_port(start):
    first, second = start(), start()
    assert first.port() != second.port() != 0
    assert answers(first.urls()[0]) and answers(second.urls()[0])


def test_two_listeners(start):
    own = start(listen=("127.0.0.1:0", "127.0.0.2:0"))
    assert [u.rsplit(":", 1)[0] for u in own.urls()] == ["http://127.0.0.1", "http://127.0.0.2"]
    assert all(answers(url) for url in own.urls())
    assert [e["address"] for e in own.events(event="listening")] == own.urls()


def test_ipv6(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    own = start(listen=("[::1]:0", "127.0.0.1:0"))
    assert own.urls()[0].startswith("http://[::1]:")
    assert all(answers(url) for url in own.urls())


def test_localhost_by_name(start):
    assert answers(start(listen=("localhost:0",)).urls()[0])


def test_unix_sockets(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    own = start(listen=(f"unix:{path}", "127.0.0.1:0"))
    assert own.urls()[0] == f"unix:{path}"
    assert all(answers(url) for url in own.urls())
    with Raw(own.urls()[0]) as raw:
        raw.send(request_bytes("GET", "/v1/limits", host="example.com"))
        assert raw.answer("GET", "/v1/limits").status == 200, "no page reaches a Unix socket, so any Host will do"
        raw.send(sleep_bytes(LONG, "unix"))
        time.sleep(0.1)
    own.wait_event(event="task_canceled", request_id="unix", patience=SOON)
    own.stop()
    assert not path.exists()


def test_a_unix_socket_that_was_left_behind_is_replaced(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert path.exists()
    assert answers(start(listen=(f"unix:{path}",)).urls()[0])


def test_what_is_in_use_is_left_alone(start, tmp_path):
    path = tmp_path / "gatherd.sock"
    own = start(listen=(f"unix:{path}", "127.0.0.1:0"))
    for address in (f"unix:{path}", f"127.0.0.1:{own.port(1)}"):
        done = run("--listen", address)
        assert done.returncode == 1 and address in done.stderr and done.stdout == ""
    assert all(answers(url) for url in own.urls())
    (tmp_path / "file").write_text("precious", encoding="ascii")
    assert run("--listen", f"unix:{tmp_path}/file").returncode == 1
    assert (tmp_path / "file").read_text(encoding="ascii") == "precious"


def test_other_addresses_need_a_word(start):
    done = run("--listen", "0.0.0.0:0")
    assert done.returncode == 2 and "--insecure" in done.stderr
    own = start("--insecure", listen=("0.0.0.0:0",))
    assert answers(f"http://127.0.0.1:{own.port()}")


FOREIGN = [("Origin: http://example.org",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",),
           ("Origin: http://example.com", "Sec-Fetch-Site: same-site")]


def statuses(url, host):
    """What a POST to this host gets: without a word of where it is from, from there, and from elsewhere."""
    with Raw(url) as raw:
        def post(*lines):
            raw.send(request_bytes("POST", SLEEP, {"seconds": 0}, *lines, host=host))
            return raw.answer("POST", SLEEP).status

        return post(), post(f"Origin: http://{host}"), {post(*lines) for lines in FOREIGN}


def test_that_word_lifts_the_check_of_hosts_where_it_is_needed_and_nothing_else(start, tmp_path):
    own = start("--insecure", listen=("127.0.0.1:0", "0.0.0.0:0", f"unix:{tmp_path}/gatherd.sock"))
    loopback, other, unix = own.urls()
    other = f"http://127.0.0.1:{own.port(1)}"
    assert statuses(loopback, "localhost") == (200, 200, {403})
    assert statuses(loopback, "example.com") == (421, 421, {421})
    for url in (other, unix):
        assert statuses(url, "localhost") == (200, 200, {403})
        assert statuses(url, "example.com") == (200, 200, {403})


# -- options -------------------------------------------------------------------------------------

def test_help_names_every_option():
    done = run("--help")
    config = json.loads(run("--print-config").stdout)
    assert done.returncode == 0 and done.stderr == ""
    for name in config:
        assert "--" + name.replace("_", "-") in done.stdout
    assert len(config) >= 17 and max(map(len, done.stdout.splitlines())) <= 100


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "gatherd 0.1.0\n", "")


def test_the_configuration_comes_back(start, tmp_path):
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
    own = start("--config", f"{tmp_path}/config.json", listen=("127.0.0.1:0",))
    with Client(own.urls()[0]) as client:
        limits = client.get("/v1/limits").value
    assert limits["max_tasks"] == 77 and limits["idle_timeout_seconds"] == 7.5


def test_flags_come_before_variables_and_those_before_the_file(tmp_path):
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
def test_bad_options_are_named(flags, named):
    done = run(*flags)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and named in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("text, named", [("{", "line"), ('{"max_tasks": 0}', "max_tasks"),
                                         ('{"no_such": 1}', "no_such"), ('{"max_tasks": "1"}', "max_tasks"),
                                         ("[]", ""), ('{"max_tasks": 1, "max_tasks": 1}', "max_tasks")])
def test_bad_files_are_named(text, named, tmp_path):
    (tmp_path / "c.json").write_text(text, encoding="ascii")
    done = run("--config", f"{tmp_path}/c.json")
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path}/c.json" in done.stderr and named in done.stderr and done.stderr.count("\n") == 1


def test_bad_variables_are_named():
    done = run(env={"GATHERD_MAX_TASKS": "0"})
    assert done.returncode == 2 and "GATHERD_MAX_TASKS" in done.stderr


def test_an_output_that_is_full_is_told():
    with open("/dev/full", "wb") as full:
        done = gatherd.subprocess.run([gatherd.BINARY, "--help"], stdout=full, stderr=-1, check=False,
                                      env=gatherd.ENVIRONMENT, timeout=SOON)
    assert done.returncode == 1


# -- the log -------------------------------------------------------------------------------------

def test_the_log_tells_what_became_of_tasks(start):
    own = start()
    with Client(own.urls()[0]) as client:
        done = client.post("/v1/tasks", {"function": "sleep", "input": {"seconds": 0.01}, "name": 'a "b" \u00e9'},
                           **{"X-Request-Id": "one"}).value
        failed = client.post(SLEEP + "?timeout_seconds=0.01", {"seconds": LONG},
                             **{"X-Request-Id": "two"}).value["task"]
    event = own.wait_event(request_id="one")
    assert (event["event"], event["level"], event["id"], event["function"], event["state"]) == (
        "task_succeeded", "debug", done["id"], "sleep", "succeeded")
    assert event["queued_seconds"] == done["queued_seconds"]
    assert event["duration_seconds"] == done["duration_seconds"]
    event = own.wait_event(request_id="two")
    assert (event["event"], event["level"], event["id"], event["state"], event["error"],
            event["cancel_effect"]) == (
        "task_failed", "info", failed["id"], "failed", "timeout", "stopped")


def test_the_log_keeps_to_its_level(start):
    own = start(log_level="warn")
    answers(own.urls()[0])
    own.stop()
    assert own.stderr() == ""
