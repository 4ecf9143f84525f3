"""Clients that hang up: their tasks are canceled, and slots are freed promptly."""

import time

import pytest

from server import RELEASE, wait_until
from sizes import sized, soak
from task_requests import (BUSY_SECONDS, ENDLESS, LONG_SECONDS, Background, gather, pools, post, send, task,
                           warmed_up_workers)

SHORT_TIMEOUT = 5 if RELEASE else 20
MAX_LATENCY = 0.1 if RELEASE else SHORT_TIMEOUT


def disconnect(server, path, body, when):
    """Sends a request, and hangs up once when() is true. Returns the cancel effect and the time until it was logged."""
    raw = send(server.urls()[0], path, body, "gone")
    wait_until(when, "the task's expected state")
    since = time.monotonic()
    raw.sock.close()
    event = server.wait_event(request_id="gone", timeout_s=SHORT_TIMEOUT)
    elapsed = time.monotonic() - since
    assert (event["event"], event["state"], event["cancel_reason"]) == ("task_canceled", "canceled", "client")
    return event["cancel_effect"], elapsed


def is_busy(server, name, count=1):
    return lambda: pools(server.urls()[0])[name]["busy"] == count


@pytest.mark.parametrize("path, body", [
    ("/v1/run/primes", ENDLESS), ("/v1/run/block?executor=processes", {"seconds": LONG_SECONDS}),
    ("/v1/run/primes?parallel=2", ENDLESS),
    ("/v1/gather", gather(task("primes", **ENDLESS), task("sleep", seconds=LONG_SECONDS))),
    ("/v1/run/map", {"function": "primes", "inputs": [ENDLESS] * 9})])
def test_disconnect_frees_workers(path, body, start):
    size = 2 if "parallel" in path or "map" in path else 1
    server = start("--processes", str(size))
    effect, elapsed = disconnect(server, path, body, is_busy(server, "processes", size))
    assert effect == "killed" and elapsed < MAX_LATENCY
    since = time.monotonic()
    wait_until(lambda: (lambda p: p["busy"] == p["queued"] == 0 and len(p["workers"]) == size)(
        pools(server.urls()[0])["processes"]), "free workers")
    assert elapsed + time.monotonic() - since < (0.15 if RELEASE else SHORT_TIMEOUT)
    assert pools(server.urls()[0])["processes"]["restarts"] == size
    assert post(server.urls()[0], "/v1/run/sum", {"n": 10}).value["result"]["sum"] == 45


@pytest.mark.parametrize("executor, name", [("processes", "processes"), ("threads", "default")])
def test_slot_is_reused_after_disconnect(executor, name, start):
    """The freed slot or worker runs a task that is already queued."""
    server = start("--processes", "1", "--threads", "1")
    url = server.urls()[0]
    with Background(url) as background:
        raw = send(url, f"/v1/run/primes?executor={executor}", ENDLESS, "gone")
        wait_until(is_busy(server, name), "a busy pool")
        queued = background.post(f"/v1/run/sum?executor={executor}", {"n": 10})
        wait_until(lambda: pools(url)[name]["queued"] == 1, "a queue")
        since = time.monotonic()
        raw.sock.close()
        assert queued.result().value["result"]["sum"] == 45
        # A worker is killed; a thread polls its cancel flag.
        assert time.monotonic() - since < (MAX_LATENCY if name == "processes" else 10 * MAX_LATENCY)


def test_disconnect_abandons_blocking_task(start):
    server = start("--threads", "2")
    url = server.urls()[0]
    since = time.monotonic()
    effect, elapsed = disconnect(server, "/v1/run/block", {"seconds": 3}, is_busy(server, "default"))
    assert effect == "abandoned" and elapsed < MAX_LATENCY
    pool = pools(url)["default"]
    assert (pool["busy"], pool["abandoned"], pool["tasks_done"]) == (1, 1, 0)
    assert post(url, "/v1/run/block", {"seconds": 0.01}).status == 200, "the other slot is free"
    wait_until(lambda: pools(url)["default"]["busy"] == 0, "an idle thread")
    assert time.monotonic() - since >= 3
    pool = pools(url)["default"]
    assert (pool["abandoned"], pool["tasks_done"]) == (0, 2)


@pytest.mark.parametrize("path, name", [("/v1/run/block", "default"), ("/v1/run/block?executor=processes", "processes"),
                                        ("/v1/gather", "default")])
def test_disconnect_cancels_queued_task(path, name, start):
    server = start("--threads", "1", "--processes", "1")
    url = server.urls()[0]
    with Background(url) as background:
        running = background.post(path if name == "processes" else "/v1/run/block",
                                  {"seconds": BUSY_SECONDS})
        wait_until(is_busy(server, name), "a busy pool")
        body = gather(*[task("block", seconds=0)] * 3) if path == "/v1/gather" else {"seconds": 0}
        effect, elapsed = disconnect(server, path, body,
                                     lambda: pools(url)[name]["queued"] == (3 if "tasks" in body else 1))
        assert elapsed < MAX_LATENCY and effect == ("stopped" if path == "/v1/gather" else "prevented")
        assert pools(url)[name]["queued"] == 0
        assert running.result().status == 200
    pool = pools(url)[name]
    assert (pool["busy"], pool["tasks_done"]) == (0, 1), "the queued task ran"


def test_most_severe_cancel_effect_is_reported(start):
    server = start("--threads", "1", "--processes", "1")
    warmed_up_workers(server.urls()[0])
    body = gather(task("sleep", seconds=LONG_SECONDS), task("primes", **ENDLESS),
                  *[task("block", seconds=BUSY_SECONDS)] * 2)
    effect, _ = disconnect(server, "/v1/gather", body,
                           lambda: is_busy(server, "default")() and is_busy(server, "processes")())
    assert effect == "abandoned"
    wait_until(lambda: all(p["busy"] == p["queued"] == 0 for p in pools(server.urls()[0]).values()), "free slots")
    assert pools(server.urls()[0])["default"]["tasks_done"] == 1, "the queued block must not start"


@soak
def test_random_disconnects_free_all_slots(start):
    server = start("--threads", "2", "--processes", "2")
    url = server.urls()[0]
    count = sized(5000, 60, 20)
    for i in range(count):
        raw = send(url, ("/v1/run/block", "/v1/run/primes", "/v1/run/primes?executor=threads")[i % 3],
                   {"seconds": 0.02} if i % 3 == 0 else ENDLESS, f"c{i}")
        time.sleep(0.0007 * (i % 13))
        raw.sock.close()
    wait_until(lambda: all(p["busy"] == p["queued"] == 0 for p in pools(url).values()), "free slots")
    assert len(pools(url)["processes"]["workers"]) == 2
    assert post(url, "/v1/run/sum?parallel=2", {"n": 5000}).value["result"]["sum"] == 12497500
