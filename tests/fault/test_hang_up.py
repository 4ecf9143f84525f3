"""Clients that hang up on what blocks and on what computes: nobody works for them any longer than must be."""

import time

import pytest

from server import RELEASE, wait_until
from task_requests import ENDLESS, LONG, Background, gather, pools, post, send, task

SOON = 5 if RELEASE else 20
AT_ONCE = 0.1 if RELEASE else SOON


def hang_up(own, path, body, when):
    """Sends it, hangs up when `when` says so, and returns the log's word on it and how long that took."""
    raw = send(own.urls()[0], path, body, "gone")
    wait_until(when, "what was sent")
    since = time.monotonic()
    raw.sock.close()
    event = own.wait_event(request_id="gone", patience=SOON)
    took = time.monotonic() - since
    assert (event["event"], event["state"], event["cancel_reason"]) == ("task_canceled", "canceled", "client")
    return event["cancel_effect"], took


def busy(own, name, count=1):
    return lambda: pools(own.urls()[0])[name]["busy"] == count


@pytest.mark.parametrize("path, body", [
    ("/v1/run/primes", ENDLESS), ("/v1/run/block?executor=processes", {"seconds": LONG}),
    ("/v1/run/primes?parallel=2", ENDLESS),
    ("/v1/gather", gather(task("primes", **ENDLESS), task("sleep", seconds=LONG))),
    ("/v1/run/map", {"function": "primes", "inputs": [ENDLESS] * 9})])
def test_hanging_up_frees_the_workers(path, body, start):
    size = 2 if "parallel" in path or "map" in path else 1
    own = start("--processes", str(size))
    effect, took = hang_up(own, path, body, busy(own, "processes", size))
    assert effect == "killed" and took < AT_ONCE
    since = time.monotonic()
    wait_until(lambda: (lambda p: p["busy"] == p["queued"] == 0 and len(p["workers"]) == size)(
        pools(own.urls()[0])["processes"]), "free workers")
    assert took + time.monotonic() - since < (0.15 if RELEASE else SOON)
    assert pools(own.urls()[0])["processes"]["restarts"] == size
    assert post(own.urls()[0], "/v1/run/sum", {"n": 10}).value["result"]["sum"] == 45


@pytest.mark.parametrize("executor, name", [("processes", "processes"), ("threads", "default")])
def test_the_place_of_one_that_left_goes_to_the_next(executor, name, start):
    """The worker or slot is there for who waits for it, not only for who comes later."""
    own = start("--processes", "1", "--threads", "1")
    url = own.urls()[0]
    with Background(url) as background:
        raw = send(url, f"/v1/run/primes?executor={executor}", ENDLESS, "gone")
        wait_until(busy(own, name), "a busy pool")
        waits = background.post(f"/v1/run/sum?executor={executor}", {"n": 10})
        wait_until(lambda: pools(url)[name]["queued"] == 1, "a queue")
        since = time.monotonic()
        raw.sock.close()
        assert waits.result().value["result"]["sum"] == 45
        # A worker is killed; a thread looks only now and then whether anybody waits.
        assert time.monotonic() - since < (AT_ONCE if name == "processes" else 10 * AT_ONCE)


def test_hanging_up_on_a_block_abandons_it(start):
    own = start("--threads", "2")
    url = own.urls()[0]
    since = time.monotonic()
    effect, took = hang_up(own, "/v1/run/block", {"seconds": 1.5}, busy(own, "default"))
    assert effect == "abandoned" and took < AT_ONCE
    pool = pools(url)["default"]
    assert (pool["busy"], pool["abandoned"], pool["tasks_done"]) == (1, 1, 0)
    assert post(url, "/v1/run/block", {"seconds": 0.01}).status == 200, "the other slot is free"
    wait_until(lambda: pools(url)["default"]["busy"] == 0, "the thread's return")
    assert time.monotonic() - since >= 1.5
    pool = pools(url)["default"]
    assert (pool["abandoned"], pool["tasks_done"]) == (0, 2)


@pytest.mark.parametrize("path, name", [("/v1/run/block", "default"), ("/v1/run/block?executor=processes", "processes"),
                                        ("/v1/gather", "default")])
def test_what_waits_in_a_queue_never_runs_for_one_who_left(path, name, start):
    own = start("--threads", "1", "--processes", "1")
    url = own.urls()[0]
    with Background(url) as background:
        running = background.post(path if name == "processes" else "/v1/run/block", {"seconds": 0.8})
        wait_until(busy(own, name), "a busy pool")
        body = gather(*[task("block", seconds=0)] * 3) if path == "/v1/gather" else {"seconds": 0}
        effect, took = hang_up(own, path, body, lambda: pools(url)[name]["queued"] == (3 if "tasks" in body else 1))
        assert took < AT_ONCE and effect == ("stopped" if path == "/v1/gather" else "prevented")
        assert pools(url)[name]["queued"] == 0
        assert running.result().status == 200
    pool = pools(url)[name]
    assert (pool["busy"], pool["tasks_done"]) == (0, 1), "it never ran"


def test_the_weightiest_effect_is_told_of_many(start):
    own = start("--threads", "1", "--processes", "1")
    body = gather(task("sleep", seconds=LONG), task("primes", **ENDLESS), task("block", seconds=0.5),
                  task("block", seconds=0.5))
    effect, _ = hang_up(own, "/v1/gather", body, lambda: busy(own, "default")() and busy(own, "processes")())
    assert effect == "abandoned"
    wait_until(lambda: all(p["busy"] == p["queued"] == 0 for p in pools(own.urls()[0]).values()), "free slots")
    assert pools(own.urls()[0])["default"]["tasks_done"] == 1, "the second block was still waiting"


def test_many_who_hang_up(start):
    """Whenever they do it, all slots come back."""
    own = start("--threads", "2", "--processes", "2")
    url = own.urls()[0]
    count = 60 if RELEASE else 20
    for i in range(count):
        raw = send(url, ("/v1/run/block", "/v1/run/primes", "/v1/run/primes?executor=threads")[i % 3],
                   {"seconds": 0.02} if i % 3 == 0 else ENDLESS, f"c{i}")
        time.sleep(0.0007 * (i % 13))
        raw.sock.close()
    wait_until(lambda: all(p["busy"] == p["queued"] == 0 for p in pools(url).values()), "free slots")
    assert len(pools(url)["processes"]["workers"]) == 2
    assert post(url, "/v1/run/sum?parallel=2", {"n": 5000}).value["result"]["sum"] == 12497500
