"""GET /v1/pools: sizes and counters; requests are rejected when a queue is full."""

import os
import time

import pytest

from client import Client
from contract import problem_type
from processes import children, exists, threads
from server import RELEASE, run, wait_until
from task_requests import BUSY_SECONDS, ENDLESS, Background, gather, pools, post, task, workers


def counters(pool):
    return {k: pool[k] for k in ("busy", "queued", "abandoned", "tasks_done")}


# -- sizes ---------------------------------------------------------------------------------------

def test_pools_have_configured_sizes(start):
    server = start("--threads", "default=3,reports=2", "--threads", "slow-io_1=1", "--processes", "3",
                "--queue-limit", "7")
    with Client(server.urls()[0]) as client:
        listing = client.get("/v1/pools").value["pools"]
    assert [(p["name"], p["executor"], p["size"], p["size_source"], p["queue_limit"]) for p in listing] == [
        ("default", "threads", 3, "configured", 7), ("reports", "threads", 2, "configured", 7),
        ("slow-io_1", "threads", 1, "configured", 7), ("processes", "processes", 3, "configured", 7)]
    expected = ["gd-default"] * 3 + ["gd-reports"] * 2 + ["gd-slow-io_1"]
    wait_until(lambda: sorted(n for n in threads(server.pid).values() if n.startswith("gd-")) == expected,
               "all threads, each with its name")
    assert len(children(server.pid)) == 3


def test_bare_number_sizes_default_pool(start):
    assert pools(start("--threads", "9").urls()[0])["default"]["size"] == 9
    listing = pools(start("--threads", "reports=2").urls()[0])
    assert list(listing) == ["default", "reports", "processes"], "the pool default always exists"
    assert pools(start("--threads", "reports=2,3").urls()[0])["default"]["size"] == 3
    assert pools(start(env={"GATHERD_THREADS": "2,io=1", "GATHERD_PROCESSES": "1"}).urls()[0])["io"]["size"] == 1


def test_default_sizes_follow_cpu_affinity(start):
    affinity = os.sched_getaffinity(0)
    try:
        for count in range(1, len(affinity) + 1):
            os.sched_setaffinity(0, sorted(affinity)[:count])
            listing = pools(start().urls()[0])
            if listing["processes"]["size_source"] == "affinity":  # otherwise the cgroup limits it
                assert (listing["processes"]["size"], listing["default"]["size"]) == (count, min(32, count + 4))
            assert listing["default"]["size_source"] == listing["processes"]["size_source"] != "configured"
            assert listing["processes"]["size"] <= count
    finally:
        os.sched_setaffinity(0, affinity)


@pytest.mark.parametrize("flags, named", [
    (["--threads", "0"], "threads"), (["--threads", "default=0"], "threads"), (["--threads", "a=513"], "threads"),
    (["--threads", "default=1,default=2"], "default"), (["--threads", "2,default=2"], "default"),
    (["--threads", "a=1,a=1"], "twice"), (["--threads", "A=1"], "a-z"), (["--threads", "=1"], "1 to 12"),
    (["--threads", "a="], "threads"), (["--threads", "a=b"], "threads"), (["--threads", "a=1=1"], "threads"),
    (["--threads", "x" * 13 + "=1"], "1 to 12"), (["--threads", ""], "--threads"), (["--threads", "a b=1"], "a-z"),
    (["--threads", ",".join(f"p{i}=1" for i in range(16))], "15"), (["--processes", "-1"], "--processes"),
    (["--processes", "257"], "--processes"), (["--processes", "two"], "--processes"),
    (["--worker-max-tasks", "0"], "--worker-max-tasks"), (["--worker-memory-bytes", "1000"], "--worker-memory-bytes"),
    (["--queue-limit", "-1"], "--queue-limit"), (["--threads", "processes=1"], "processes")])
def test_invalid_sizes_are_reported(flags, named):
    done = run(*flags)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and named in done.stderr and done.stderr.count("\n") == 1


def test_help_hides_implementation():
    assert "null" not in run("--help").stdout


# -- counts --------------------------------------------------------------------------------------

def test_pools_report_busy_and_queued(start):
    server = start("--threads", "2", "--processes", "1")
    url = server.urls()[0]
    def full_pools():
        listing = pools(url)
        loads = {name: (p["busy"], p["queued"]) for name, p in listing.items()}
        return listing if loads == {"default": (2, 3), "processes": (1, 1)} else None

    with Background(url) as background:
        futures = [background.post("/v1/run/block", {"seconds": BUSY_SECONDS}) for _ in range(5)]
        futures += [background.post("/v1/run/block?executor=processes", {"seconds": BUSY_SECONDS}) for _ in range(2)]
        listing = wait_until(full_pools, "full pools")
        assert counters(listing["default"]) == {"busy": 2, "queued": 3, "abandoned": 0, "tasks_done": 0}
        assert counters(listing["processes"]) == {"busy": 1, "queued": 1, "abandoned": 0, "tasks_done": 0}
        worker, = listing["processes"]["workers"]
        assert worker["busy"] and worker["tasks_done"] == 0 and exists(worker["pid"])
        assert all(f.result().status == 200 for f in futures)
    listing = pools(url)
    assert counters(listing["default"]) == {"busy": 0, "queued": 0, "abandoned": 0, "tasks_done": 5}
    after, = listing["processes"]["workers"]
    assert (after["pid"], after["busy"], after["tasks_done"]) == (worker["pid"], False, 2)
    assert after["age_seconds"] >= worker["age_seconds"] + BUSY_SECONDS and listing["processes"]["restarts"] == 0


def test_abandoned_slot_is_busy_until_thread_returns(start):
    server = start("--threads", "1")
    url = server.urls()[0]
    since = time.monotonic()
    response = post(url, "/v1/run/block?timeout_seconds=0.1", {"seconds": 3})
    assert response.status == 504 and response.value["task"]["cancel"]["effect"] == "abandoned"
    assert counters(pools(url)["default"]) == {"busy": 1, "queued": 0, "abandoned": 1, "tasks_done": 0}
    done = post(url, "/v1/run/block", {"seconds": 0}).value
    assert time.monotonic() - since >= 3 and done["queued_seconds"] >= 0.5, "it had to wait for the thread"
    assert counters(pools(url)["default"]) == {"busy": 0, "queued": 0, "abandoned": 0, "tasks_done": 2}


def test_cooperative_function_frees_abandoned_slot(start):
    server = start("--threads", "1")
    url = server.urls()[0]
    for function, body in (("primes", ENDLESS), ("sum", {"n": 4 * 10 ** 9})):
        response = post(url, f"/v1/run/{function}?executor=threads&timeout_seconds=0.1", body)
        assert response.value["task"]["cancel"]["effect"] == "abandoned"
        since = time.monotonic()
        wait_until(lambda: pools(url)["default"]["busy"] == 0, "a free slot")
        assert not RELEASE or time.monotonic() - since < 0.2


def test_workers_are_replaced_after_max_tasks(start):
    server = start("--processes", "2", "--worker-max-tasks", "5")
    url = server.urls()[0]
    first = workers(url)
    done = post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 100}] * 60}).value
    assert done["result"]["counts"]["succeeded"] == 60
    pids = [c["pid"] for c in done["result"]["tasks"]]
    assert len(set(pids)) >= 12 and max(map(pids.count, pids)) <= 5
    wait_until(lambda: len(workers(url)) == 2 and pools(url)["processes"]["restarts"] >= 11, "new workers")
    assert not set(first) & set(workers(url)) and pools(url)["processes"]["tasks_done"] == 60
    wait_until(lambda: set(children(server.pid)) == set(workers(url)), "the end of the old ones")


# -- rejection -----------------------------------------------------------------------------------

def test_full_queue_returns_503(start):
    server = start("--threads", "1", "--queue-limit", "0", "--processes", "1")
    url = server.urls()[0]
    with Background(url) as background:
        for path, name in (("/v1/run/block", "default"), ("/v1/run/block?executor=processes", "processes")):
            running = background.post(path, {"seconds": BUSY_SECONDS})
            wait_until(lambda: pools(url)[name]["busy"] == 1, "a busy pool")
            response = post(url, path, {"seconds": 0})
            assert response.status == 503 and response.value["pool"] == name
            assert int(response.header("retry-after")) >= 1
            assert post(url, "/v1/run/sleep", {"seconds": 0}).status == 200, "other executors are not full"
            assert running.result().status == 200
            assert post(url, path, {"seconds": 0}).status == 200, "the pool is not full any more"
            assert pools(url)[name]["tasks_done"] == 2


def test_pool_full_problem_names_pool(start):
    server = start("--threads", "1", "--queue-limit", "0")
    url = server.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": BUSY_SECONDS})
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        value = post(url, "/v1/run/block", {"seconds": 0}).value
        assert (value["type"], value["pool"]) == (problem_type("pool_full"), "default")
        assert value["detail"] == ("The pool default has 1 unfinished tasks and the request has 1 more; "
                                   "the pool's capacity is 1")
        running.result()


def test_gather_over_free_capacity_starts_nothing(start):
    server = start("--threads", "1", "--queue-limit", "3")
    url = server.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": BUSY_SECONDS})
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        response = post(url, "/v1/gather", gather(task("sleep", seconds=0), *[task("block", seconds=0)] * 4))
        assert response.status == 503 and response.value["pool"] == "default"
        assert pools(url)["default"]["queued"] == 0
        assert post(url, "/v1/gather", gather(*[task("block", seconds=0)] * 3)).status == 200
        running.result()
    assert pools(url)["default"]["tasks_done"] == 4


@pytest.mark.parametrize("path, body", [
    ("/v1/gather", gather(*[task("block", seconds=0)] * 6)),
    ("/v1/run/map", {"function": "sum", "inputs": [{"n": 1}] * 6}),
    ("/v1/run/sum?parallel=6", {"n": 100}),
    ("/v1/gather", gather(task("sum", n=100, options={"parallel": 3}), task("sum", n=100, options={"parallel": 3}))),
    ("/v1/gather", gather(*[task("gather", tasks=[task("block", seconds=0)] * 3)] * 2))])
def test_request_over_total_capacity_returns_422(path, body, start):
    server = start("--threads", "2", "--processes", "2", "--queue-limit", "3")
    url = server.urls()[0]
    response = post(url, path, body)
    assert response.status == 422 and response.value["type"] == "urn:gatherd:error:limit_exceeded"
    assert response.value["limit"] == {"name": "queue_limit", "value": 3}
    assert "6" in response.value["detail"] and "5" in response.value["detail"]
    assert all(p["tasks_done"] == p["queued"] == 0 for p in pools(url).values())


def test_canceling_queued_task_frees_queue_slot(start):
    server = start("--threads", "1", "--queue-limit", "2")
    url = server.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": BUSY_SECONDS})
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        for _ in range(3):
            response = post(url, "/v1/gather", gather(*[task("block", seconds=0)] * 2, deadline_seconds=0.05))
            assert response.status == 504
        assert pools(url)["default"]["queued"] == 0
        running.result()
    assert pools(url)["default"]["tasks_done"] == 1


def test_zero_processes_disables_executor(start):
    server = start("--processes", "0")
    url = server.urls()[0]
    assert "processes" not in pools(url) and children(server.pid) == {}
    for path, body in (("/v1/run/sum", {"n": 1}), ("/v1/run/primes?parallel=2", {"to": 10}),
                       ("/v1/run/block?executor=processes", {"seconds": 0}), ("/v1/tasks", task("sum", n=1)),
                       ("/v1/gather", gather(task("sleep", seconds=0), task("sum", n=1))),
                       ("/v1/run/map", {"function": "primes", "inputs": [{"to": 1}]})):
        response = post(url, path, body)
        assert response.value["type"] == problem_type("executor_disabled"), response.value
        assert "--processes N enables it" in response.value["detail"]
    assert post(url, "/v1/run/sum?executor=threads", {"n": 5000}).value["result"]["sum"] == 12497500
    assert post(url, "/v1/gather", gather(task("block", seconds=0), task("sleep", seconds=0))).status == 200


def test_limits_include_queue_limit(start):
    with Client(start("--queue-limit", "0").urls()[0]) as client:
        assert client.get("/v1/limits").value["queue_limit"] == 0


def test_max_tasks_spans_all_executors(start):
    server = start("--max-tasks", "3", "--threads", "1")
    url = server.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/gather", gather(
            task("block", seconds=BUSY_SECONDS), task("sleep", seconds=BUSY_SECONDS)))
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        response = post(url, "/v1/run/sum", {"n": 1})
        assert response.status == 503 and response.value["type"].endswith(":too_many_tasks")
        assert running.result().status == 200
    assert post(url, "/v1/run/sum", {"n": 1}).status == 200


def test_queue_holds_ten_thousand_tasks(start):
    """With the default limits, the largest gather fits into the queue of one pool."""
    server = start("--threads", "4", log_level="info")
    done = post(server.urls()[0], "/v1/run/map?timeout_seconds=120",
                {"function": "block", "inputs": [{"seconds": 0}] * 10000}).value
    assert done["result"]["counts"]["succeeded"] == 10000
    done = post(server.urls()[0], "/v1/run/map?timeout_seconds=120",
                {"function": "sum", "inputs": [{"n": 3}] * 2000}).value
    assert done["result"]["counts"]["succeeded"] == 2000
