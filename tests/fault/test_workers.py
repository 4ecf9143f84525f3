"""Worker processes that crash, hang or exceed limits cost only their own task."""

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest

from client import Client
from processes import children, descriptors, exists
from server import RELEASE, wait_until
from sizes import sized, soak
from task_requests import (BUSY_SECONDS, ENDLESS, LONG_SECONDS, Background, busy_worker, gather, pools, post, task,
                           workers)

MAX_LATENCY = 0.2 if RELEASE else 30  # seconds until all workers are replaced
BIG_RANGE = {"from": 10 ** 15 - 10 ** 5, "to": 10 ** 15}  # for primes: the sieve takes about 12 MB


def replacement_worker(url, pid):
    """The younger of two workers, once the worker `pid` has been replaced; None before."""
    listing = pools(url)["processes"]["workers"]
    if len(listing) < 2 or pid in [w["pid"] for w in listing]:
        return None
    return min(listing, key=lambda w: w["age_seconds"])


def pool_is_healthy(server):
    """Whether all workers are alive and idle, and the server has no other child processes."""
    pool = pools(server.urls()[0])["processes"]
    pids = {w["pid"] for w in pool["workers"]}
    return (len(pids) == pool["size"] and pool["busy"] == pool["queued"] == 0 and
            {p for p, state in children(server.pid).items() if state != "Z"} == pids == set(children(server.pid)))


def check_crashed(response, pid, number):
    assert response.status == 500 and response.value["type"] == "urn:gatherd:error:worker_crashed"
    error = response.value["task"]["error"]
    assert error["exit_signal"] == number and "exit_code" not in error
    assert str(pid) in error["detail"] and response.value["task"]["pid"] == pid
    assert response.value["task"]["cancel"] is None and response.value["task"]["usage"] is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_killed_worker_fails_only_its_task(number, start):
    server = start("--processes", "2")
    url = server.urls()[0]
    with Background(url) as background:
        killed_task = background.post("/v1/run/primes", ENDLESS)
        pid = busy_worker(url)
        other_tasks = [background.post("/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 5}] * 100})
                  for _ in range(5)]
        wait_until(lambda: pools(url)["processes"]["tasks_done"] > 0, "work beside it")
        os.kill(pid, number)
        since = time.monotonic()
        replacement = wait_until(lambda: replacement_worker(url, pid), "a new worker")
        # Subtracting the age gives the time of the spawn: GET /v1/pools is slow under this load.
        assert time.monotonic() - since - replacement["age_seconds"] < MAX_LATENCY
        other_tasks += [background.post("/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 5}] * 100})
                   for _ in range(5)]
        check_crashed(killed_task.result(), pid, number)
        for future in other_tasks:
            assert future.result().value["result"]["counts"]["succeeded"] == 100, "the crash affected other tasks"
    assert pools(url)["processes"]["restarts"] == 1 and pools(url)["processes"]["tasks_done"] == 1001
    wait_until(lambda: pool_is_healthy(server), "a whole pool")


def test_killed_worker_is_replaced_immediately(start):
    server = start("--processes", "1")
    url = server.urls()[0]
    with Background(url) as background, Client(url) as client:
        for _ in range(3):
            killed_task = background.post("/v1/run/primes", ENDLESS)
            pid = busy_worker(url)
            os.kill(pid, signal.SIGKILL)
            since = time.monotonic()
            assert client.post("/v1/run/sum", {"n": 10}).value["result"]["sum"] == 45
            assert time.monotonic() - since < MAX_LATENCY
            check_crashed(killed_task.result(), pid, signal.SIGKILL)


def test_a_child_whose_worker_crashed_says_so(start):
    server = start("--processes", "1")
    url = server.urls()[0]
    with Background(url) as background:
        future = background.post("/v1/gather", gather(task("primes", **ENDLESS), task("sum", n=10),
                                                     task("sleep", seconds=0), mode="all_settled"))
        pid = busy_worker(url)
        os.kill(pid, signal.SIGKILL)
        first, second, third = future.result().value["result"]["tasks"]
    assert first["error"]["code"] == "worker_crashed" and first["error"]["exit_signal"] == 9 and first["pid"] == pid
    assert second["state"] == third["state"] == "succeeded" and second["pid"] != pid


def test_parallel_task_fails_with_its_part(start):
    server = start("--processes", "2")
    url = server.urls()[0]
    with Background(url) as background:
        future = background.post("/v1/run/primes?parallel=2", ENDLESS)
        wait_until(lambda: pools(url)["processes"]["busy"] == 2, "two parts")
        pid = busy_worker(url)
        os.kill(pid, signal.SIGKILL)
        response = future.result()
    assert response.status == 500 and response.value["type"].endswith(":worker_crashed")
    assert str(pid) in response.value["detail"]
    wait_until(lambda: pool_is_healthy(server), "a whole pool: the other part was canceled")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_workers_ignore_group_signals(number, start):
    server = start("--processes", "1")
    url = server.urls()[0]
    pids = workers(url)
    with Background(url) as background:
        running = background.post("/v1/run/block?executor=processes", {"seconds": BUSY_SECONDS})
        os.kill(busy_worker(url), number)
        assert running.result().status == 200
    assert workers(url) == pids and pools(url)["processes"]["restarts"] == 0


def test_killed_idle_workers_are_replaced(start):
    server = start("--processes", "2")
    url = server.urls()[0]
    assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 7}] * 4}).status == 200
    for pid in workers(url):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pools(url)["processes"]["restarts"] == 2 and pool_is_healthy(server), "new workers")
    assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 10}] * 50}).status == 200


def test_stopped_worker_is_killed_on_timeout(start):
    server = start("--processes", "1")
    url = server.urls()[0]
    with Background(url) as background:
        future = background.post(f"/v1/run/primes?timeout_seconds={BUSY_SECONDS}", ENDLESS)
        pid = busy_worker(url)
        os.kill(pid, signal.SIGSTOP)
        response = future.result()
    assert response.status == 504 and response.value["task"]["cancel"] == {"reason": "timeout", "effect": "killed"}
    wait_until(lambda: pool_is_healthy(server), "a whole pool")
    assert not exists(pid) and post(url, "/v1/run/sum", {"n": 10}).status == 200


def test_worker_restarts_back_off(start):
    server = start("--processes", "1")
    url = server.urls()[0]
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for pid in children(server.pid):
            with suppress(ProcessLookupError):  # it exited after it was listed
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    assert pools(url)["processes"]["restarts"] < 20
    assert post(url, "/v1/run/sum", {"n": 10}).value["result"]["sum"] == 45, "the pool must recover"


# -- limits --------------------------------------------------------------------------------------

@pytest.mark.skipif(not RELEASE, reason="sanitizers reserve the whole address space")
def test_worker_memory_limit_fails_only_its_task(start):
    server = start("--processes", "2", "--worker-memory-bytes", "4194304")
    url = server.urls()[0]
    with Background(url) as background:
        other_tasks = background.post("/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 6}] * 500})
        for _ in range(10):
            response = post(url, "/v1/run/primes", BIG_RANGE)
            assert response.status == 500 and response.value["type"] == "urn:gatherd:error:worker_out_of_memory"
            assert response.value["task"]["error"]["code"] == "worker_out_of_memory"
        assert post(url, "/v1/run/primes", {"to": 10 ** 6}).value["result"]["count"] == 78498
        assert other_tasks.result().value["result"]["counts"]["succeeded"] == 500
    assert post(start("--processes", "1").urls()[0], "/v1/run/primes", BIG_RANGE).status == 200, "without a limit"
    wait_until(lambda: pool_is_healthy(server), "a whole pool")


def test_endless_task_is_killed_on_timeout(start):
    server = start("--processes", "1")
    url = server.urls()[0]
    since = time.monotonic()
    response = post(url, "/v1/run/primes?timeout_seconds=0.3", ENDLESS)
    elapsed = time.monotonic() - since
    assert response.status == 504 and response.value["task"]["state"] == "failed"
    assert response.value["task"]["cancel"] == {"reason": "timeout", "effect": "killed"}
    assert 0.3 <= elapsed and (elapsed < 0.5 or not RELEASE)
    wait_until(lambda: pool_is_healthy(server), "a whole pool")
    assert pools(url)["processes"]["restarts"] == 1


# -- under load ----------------------------------------------------------------------------------

class LoadThread(threading.Thread):
    """Sends gathers of sums until stopped, and counts their outcomes."""

    def __init__(self, url, stop_event):
        super().__init__()
        self.url, self.stop_event = url, stop_event
        self.succeeded = self.crashed = 0
        self.ids, self.failure = [], None

    def run(self):
        try:
            with Client(self.url) as client:
                while not self.stop_event.is_set():
                    self.run_gather(client)
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure

    def run_gather(self, client):
        sizes = random.sample(range(10 ** 5, 4 * 10 ** 6), 40)
        done = client.post("/v1/gather", gather(*[task("sum", n=n) for n in sizes], mode="all_settled")).value
        self.ids.append(done["id"])
        assert len(done["result"]["tasks"]) == len(sizes)
        for n, child in zip(sizes, done["result"]["tasks"]):
            if child["state"] == "succeeded":
                assert child["result"]["sum"] == n * (n - 1) // 2
                self.succeeded += 1
            else:
                assert (child["error"]["code"], child["error"]["exit_signal"]) == ("worker_crashed", 9), child
                self.crashed += 1


def kill_workers(url, count):
    """Kills `count` workers, busy or idle. Returns their pids."""
    killed = set()
    with Client(url) as client:
        while len(killed) < count:
            listing = next(p for p in client.get("/v1/pools").value["pools"] if p["name"] == "processes")["workers"]
            replacement = [w["pid"] for w in listing if w["pid"] not in killed and (w["tasks_done"] > 0 or w["busy"])]
            if replacement:
                pid = random.choice(replacement)
                time.sleep(random.random() * 0.01)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed.add(pid)
    return killed


@soak
def test_worker_kills_under_load(start):
    """While workers are killed under load, no task is lost or run twice, and no process is left behind."""
    random.seed(7)
    kills = sized(2000, 200)
    server = start("--processes", "4")
    url = server.urls()[0]
    assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 6}] * 40}).status == 200
    wait_until(lambda: pool_is_healthy(server), "a whole pool")
    before, done_before = descriptors(server.pid), pools(url)["processes"]["tasks_done"]

    stop_event = threading.Event()
    loads = [LoadThread(url, stop_event) for _ in range(4)]
    for load in loads:
        load.start()
    killed = kill_workers(url, kills)
    stop_event.set()
    for load in loads:
        load.join(LONG_SECONDS)
        assert not load.is_alive() and load.failure is None, load.failure

    wait_until(lambda: pool_is_healthy(server), "a whole pool, and no zombie")
    pool = pools(url)["processes"]
    assert pool["restarts"] == len(killed) == kills and not killed & set(workers(url))
    finished, crashed = sum(x.succeeded + x.crashed for x in loads), sum(x.crashed for x in loads)
    assert pool["tasks_done"] - done_before == finished, "each task must run once"
    assert 0 < crashed <= kills < finished
    ids = [i for load in loads for i in load.ids]
    assert len(set(ids)) == len(ids)
    server.wait_event(event="task_succeeded", function="gather", count=len(ids))
    logged = [e["id"] for e in server.events(event="task_succeeded", function="gather")]
    assert sorted(logged) == sorted(ids), "each request must get one response"
    wait_until(lambda: descriptors(server.pid) <= before, f"{before} descriptors again, not {descriptors(server.pid)}")
