"""The end of the service while every pool is busy: in time, with an answer to everybody, and nobody stays behind."""

import signal
import time

import pytest

from processes import children, exists
from server import RELEASE, Server, wait_until
from task_requests import ENDLESS, LONG, Background, gather, loads, pools, task, workers

DRAIN = 0.5
BOUND = DRAIN + 1 if RELEASE else 30  # seconds from SIGTERM to the end


def fill(background, url):
    """Something of everything, more than there are slots: {what: future}."""
    asked = {"sleep": background.post("/v1/run/sleep", {"seconds": LONG})}
    for i in range(3):
        asked[f"block {i}"] = background.post("/v1/run/block", {"seconds": LONG})
        asked[f"primes {i}"] = background.post("/v1/run/primes", ENDLESS)
    wait_until(lambda: loads(url) == {"default": (2, 1), "processes": (2, 1)}, "full pools")
    asked["gather"] = background.post("/v1/gather", gather(task("block", seconds=LONG), task("primes", **ENDLESS),
                                                           task("sleep", seconds=LONG)))
    wait_until(lambda: loads(url) == {"default": (2, 2), "processes": (2, 2)}, "full pools")
    return asked


def gone(own, pids):
    assert not children(own.pid)
    wait_until(lambda: not any(map(exists, pids)), "the end of the workers", patience=2)


def test_the_end_comes_in_time_however_busy_the_pools_are(start):
    own = start("--drain-seconds", str(DRAIN), "--threads", "2", "--processes", "2")
    url = own.urls()[0]
    with Background(url) as background:
        asked = fill(background, url)
        pids = workers(url)
        since = time.monotonic()
        own.terminate()
        own.wait()
        took = time.monotonic() - since
        assert DRAIN <= took <= BOUND, took
        effects = {}
        for what, future in asked.items():
            response = future.result()
            assert response.status == 503 and response.value["type"].endswith(":shutting-down")
            assert response.value["task"]["cancel"]["reason"] == "shutdown"
            effects.setdefault(what.split()[0], []).append(response.value["task"]["cancel"]["effect"])
    assert effects["sleep"] == ["stopped"] and effects["gather"] == ["stopped"]
    assert sorted(effects["block"]) == ["abandoned", "abandoned", "prevented"]
    assert sorted(effects["primes"]) == ["killed", "killed", "prevented"]
    gone(own, pids)


def test_what_ends_during_the_drain_is_answered(start):
    own = start("--drain-seconds", "20", "--threads", "1", "--processes", "1")
    url = own.urls()[0]
    with Background(url) as background:
        asked = [background.post("/v1/run/block", {"seconds": 0.4}) for _ in range(2)]
        asked += [background.post("/v1/run/block?executor=processes", {"seconds": 0.4}) for _ in range(2)]
        wait_until(lambda: loads(url) == {"default": (1, 1), "processes": (1, 1)}, "full pools")
        pids = workers(url)
        since = time.monotonic()
        own.terminate()
        assert [f.result().status for f in asked] == [200] * 4, "what was queued runs, too"
        own.wait()
        assert time.monotonic() - since < 10
    gone(own, pids)


def test_an_abandoned_thread_is_not_waited_for(start):
    own = start("--threads", "1")
    url = own.urls()[0]
    with Background(url) as background:
        assert background.post("/v1/run/block?timeout_seconds=0.1", {"seconds": LONG}).result().status == 504
    pids = workers(url)
    since = time.monotonic()
    own.terminate()
    own.wait()
    assert time.monotonic() - since < (1 if RELEASE else 10), "nothing was left to wait for"
    gone(own, pids)


def test_a_second_signal_ends_it_at_once(start):
    own = start("--drain-seconds", "60", "--threads", "2", "--processes", "2")
    url = own.urls()[0]
    with Background(url) as background:
        fill(background, url)
        pids = workers(url)
        own.terminate()
        own.wait_event(event="draining")
        since = time.monotonic()
        own.terminate()
        own.wait()
        assert time.monotonic() - since < (1 if RELEASE else 20)
    gone(own, pids)


def test_idle_workers_end_with_the_service(start):
    own = start("--processes", "4")
    pids = workers(own.urls()[0])
    since = time.monotonic()
    own.terminate()
    own.wait()
    assert time.monotonic() - since < (0.5 if RELEASE else 10)
    gone(own, pids)


@pytest.mark.parametrize("load", [False, True])
def test_workers_do_not_outlive_a_service_that_was_killed(load):
    own = Server("--processes", "3")
    pids = []
    try:
        pids = workers(own.urls()[0])
        if load:
            for _ in range(2):
                Background(own.urls()[0]).post("/v1/run/primes", ENDLESS)
            wait_until(lambda: pools(own.urls()[0])["processes"]["busy"] == 2, "busy workers")
    finally:
        own.process.send_signal(signal.SIGKILL)
        own.process.wait()
    assert len(pids) == 3
    wait_until(lambda: not any(map(exists, pids)), "the end of the workers", patience=2 if RELEASE else 10)
