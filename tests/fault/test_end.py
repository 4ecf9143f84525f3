"""Shutdown with busy pools: it is on time, every request is answered, and no worker process is left."""

import signal
import time

import pytest

from processes import children, exists
from server import RELEASE, Server, wait_until
from task_requests import (ENDLESS, LONG_SECONDS, Background, gather, pool_loads, pools, task, warmed_up_workers,
                           workers)

DRAIN_SECONDS = 0.5
MAX_SANITIZED_SECONDS = 40  # below LONG_SECONDS and the longest drain
MAX_SHUTDOWN_SECONDS = DRAIN_SECONDS + 1 if RELEASE else MAX_SANITIZED_SECONDS  # from SIGTERM to exit


def fill_pools(background, url):
    """Starts more tasks of each kind than the pools have slots. Returns {name: future}."""
    futures = {"sleep": background.post("/v1/run/sleep", {"seconds": LONG_SECONDS})}
    for i in range(3):
        futures[f"block {i}"] = background.post("/v1/run/block", {"seconds": LONG_SECONDS})
        futures[f"primes {i}"] = background.post("/v1/run/primes", ENDLESS)
    wait_until(lambda: pool_loads(url) == {"default": (2, 1), "processes": (2, 1)}, "full pools")
    futures["gather"] = background.post("/v1/gather", gather(
        task("block", seconds=LONG_SECONDS), task("primes", **ENDLESS), task("sleep", seconds=LONG_SECONDS)))
    wait_until(lambda: pool_loads(url) == {"default": (2, 2), "processes": (2, 2)}, "full pools")
    return futures


def wait_workers_exit(server, pids):
    assert not children(server.pid)
    wait_until(lambda: not any(map(exists, pids)), "exited workers", timeout_s=2 if RELEASE else MAX_SANITIZED_SECONDS)


def test_shutdown_with_busy_pools_meets_drain_timeout(start):
    server = start("--drain-seconds", str(DRAIN_SECONDS), "--threads", "2", "--processes", "2")
    url = server.urls()[0]
    with Background(url) as background:
        futures = fill_pools(background, url)
        pids = workers(url)
        since = time.monotonic()
        server.terminate()
        server.wait()
        elapsed = time.monotonic() - since
        assert DRAIN_SECONDS <= elapsed <= MAX_SHUTDOWN_SECONDS, elapsed
        effects = {}
        for what, future in futures.items():
            response = future.result()
            assert response.status == 503 and response.value["type"].endswith(":shutting_down")
            assert response.value["task"]["cancel"]["reason"] == "shutdown"
            effects.setdefault(what.split()[0], []).append(response.value["task"]["cancel"]["effect"])
    assert effects["sleep"] == ["stopped"] and effects["gather"] == ["stopped"]
    assert sorted(effects["block"]) == ["abandoned", "abandoned", "prevented"]
    assert sorted(effects["primes"]) == ["killed", "killed", "prevented"]
    wait_workers_exit(server, pids)


def test_tasks_finished_during_drain_return_200(start):
    server = start("--drain-seconds", "60", "--threads", "1", "--processes", "1")
    url = server.urls()[0]
    pids = warmed_up_workers(url)
    with Background(url) as background:
        futures = [background.post("/v1/run/block", {"seconds": 1}) for _ in range(2)]
        futures += [background.post("/v1/run/block?executor=processes", {"seconds": 1}) for _ in range(2)]
        wait_until(lambda: pool_loads(url) == {"default": (1, 1), "processes": (1, 1)}, "full pools")
        since = time.monotonic()
        server.terminate()
        assert [f.result().status for f in futures] == [200] * 4, "queued tasks run during the drain, too"
        server.wait()
        assert time.monotonic() - since < (10 if RELEASE else MAX_SANITIZED_SECONDS)
    wait_workers_exit(server, pids)


def test_shutdown_does_not_wait_for_abandoned_thread(start):
    server = start("--threads", "1")
    url = server.urls()[0]
    with Background(url) as background:
        assert background.post("/v1/run/block?timeout_seconds=0.1", {"seconds": LONG_SECONDS}).result().status == 504
    pids = workers(url)
    since = time.monotonic()
    server.terminate()
    server.wait()
    assert time.monotonic() - since < (1 if RELEASE else MAX_SANITIZED_SECONDS), "no task was left"
    wait_workers_exit(server, pids)


def test_second_signal_exits_immediately(start):
    server = start("--drain-seconds", "60", "--threads", "2", "--processes", "2")
    url = server.urls()[0]
    with Background(url) as background:
        fill_pools(background, url)
        pids = workers(url)
        server.terminate()
        server.wait_event(event="draining")
        since = time.monotonic()
        server.terminate()
        server.wait()
        assert time.monotonic() - since < (1 if RELEASE else MAX_SANITIZED_SECONDS)
    wait_workers_exit(server, pids)


def test_idle_workers_exit_with_service(start):
    server = start("--processes", "4")
    pids = workers(server.urls()[0])
    since = time.monotonic()
    server.terminate()
    server.wait()
    assert time.monotonic() - since < (0.5 if RELEASE else MAX_SANITIZED_SECONDS)
    wait_workers_exit(server, pids)


@pytest.mark.parametrize("load", [False, True])
def test_workers_exit_when_service_is_killed(load):
    server = Server("--processes", "3")
    pids = []
    try:
        pids = workers(server.urls()[0])
        if load:
            for _ in range(2):
                Background(server.urls()[0]).post("/v1/run/primes", ENDLESS)
            wait_until(lambda: pools(server.urls()[0])["processes"]["busy"] == 2, "busy workers")
    finally:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert len(pids) == 3
    wait_until(lambda: not any(map(exists, pids)), "exited workers", timeout_s=2 if RELEASE else MAX_SANITIZED_SECONDS)
