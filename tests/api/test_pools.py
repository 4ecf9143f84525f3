"""GET /v1/pools, the sizes of pools, and what they refuse: nothing waits without a bound, and nobody is cut short."""

import os
import time

import pytest

import openapi_spec
from client import Client
from contract import steady
from processes import children, exists, threads
from server import RELEASE, run, wait_until
from task_requests import ENDLESS, Background, gather, loads, pools, post, task, workers


def example(response, name):
    return openapi_spec.DOCUMENT["components"]["responses"][response]["content"]["application/problem+json"]["examples"][
        name]["value"]


def state(pool):
    return {k: pool[k] for k in ("busy", "queued", "abandoned", "tasks_done")}


# -- sizes ---------------------------------------------------------------------------------------

def test_pools_have_the_sizes_they_were_given(start):
    own = start("--threads", "default=3,reports=2", "--threads", "slow-io_1=1", "--processes", "3",
                "--queue-limit", "7")
    with Client(own.urls()[0]) as client:
        listed = client.get("/v1/pools").value["pools"]
    assert [(p["name"], p["executor"], p["size"], p["size_source"], p["queue_limit"]) for p in listed] == [
        ("default", "threads", 3, "configured", 7), ("reports", "threads", 2, "configured", 7),
        ("slow-io_1", "threads", 1, "configured", 7), ("processes", "processes", 3, "configured", 7)]
    names = sorted(threads(own.pid).values())
    assert [n for n in names if n.startswith("gd-")] == ["gd-default"] * 3 + ["gd-reports"] * 2 + ["gd-slow-io_1"]
    assert len(children(own.pid)) == 3


def test_a_bare_number_sizes_the_default_pool(start):
    assert pools(start("--threads", "9").urls()[0])["default"]["size"] == 9
    listed = pools(start("--threads", "reports=2").urls()[0])
    assert list(listed) == ["default", "reports", "processes"], "there always is a default"
    assert pools(start("--threads", "reports=2,3").urls()[0])["default"]["size"] == 3
    assert pools(start(env={"GATHERD_THREADS": "2,io=1", "GATHERD_PROCESSES": "1"}).urls()[0])["io"]["size"] == 1


def test_sizes_follow_the_processors_there_are(start):
    mine = os.sched_getaffinity(0)
    try:
        for count in range(1, len(mine) + 1):
            os.sched_setaffinity(0, sorted(mine)[:count])
            listed = pools(start().urls()[0])
            if listed["processes"]["size_source"] == "affinity":  # else the cgroup allows less
                assert (listed["processes"]["size"], listed["default"]["size"]) == (count, min(32, count + 4))
            assert listed["default"]["size_source"] == listed["processes"]["size_source"] != "configured"
            assert listed["processes"]["size"] <= count
    finally:
        os.sched_setaffinity(0, mine)


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
def test_bad_sizes_are_named(flags, named):
    done = run(*flags, patience=10)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and named in done.stderr and done.stderr.count("\n") == 1


def test_the_help_says_nothing_of_c():
    assert "null" not in run("--help").stdout


# -- what is going on ----------------------------------------------------------------------------

def test_pools_tell_who_runs_and_who_waits(start):
    own = start("--threads", "2", "--processes", "1")
    url = own.urls()[0]
    with Background(url) as background:
        asked = [background.post("/v1/run/block", {"seconds": 0.7}) for _ in range(5)]
        asked += [background.post("/v1/run/block?executor=processes", {"seconds": 0.7}) for _ in range(2)]
        wait_until(lambda: loads(url) == {"default": (2, 3), "processes": (1, 1)}, "full pools")
        listed = pools(url)
        assert state(listed["default"]) == {"busy": 2, "queued": 3, "abandoned": 0, "tasks_done": 0}
        assert state(listed["processes"]) == {"busy": 1, "queued": 1, "abandoned": 0, "tasks_done": 0}
        worker, = listed["processes"]["workers"]
        assert worker["busy"] and worker["tasks_done"] == 0 and exists(worker["pid"])
        assert all(f.result().status == 200 for f in asked)
    listed = pools(url)
    assert state(listed["default"]) == {"busy": 0, "queued": 0, "abandoned": 0, "tasks_done": 5}
    after, = listed["processes"]["workers"]
    assert (after["pid"], after["busy"], after["tasks_done"]) == (worker["pid"], False, 2)
    assert after["age_seconds"] >= worker["age_seconds"] + 0.7 and listed["processes"]["restarts"] == 0


def test_an_abandoned_slot_is_taken_until_its_thread_returns(start):
    own = start("--threads", "1")
    url = own.urls()[0]
    since = time.monotonic()
    response = post(url, "/v1/run/block?timeout_seconds=0.1", {"seconds": 1})
    assert response.status == 504 and response.value["task"]["cancel"]["effect"] == "abandoned"
    assert state(pools(url)["default"]) == {"busy": 1, "queued": 0, "abandoned": 1, "tasks_done": 0}
    done = post(url, "/v1/run/block", {"seconds": 0}).value
    assert time.monotonic() - since >= 1 and done["queued_seconds"] >= 0.5, "it had to wait for the thread"
    assert state(pools(url)["default"]) == {"busy": 0, "queued": 0, "abandoned": 0, "tasks_done": 2}


def test_a_cooperative_function_gives_its_slot_back_soon(start):
    own = start("--threads", "1")
    url = own.urls()[0]
    for function, body in (("primes", ENDLESS), ("sum", {"n": 4 * 10 ** 9})):
        response = post(url, f"/v1/run/{function}?executor=threads&timeout_seconds=0.1", body)
        assert response.value["task"]["cancel"]["effect"] == "abandoned"
        since = time.monotonic()
        wait_until(lambda: pools(url)["default"]["busy"] == 0, "a free slot")
        assert time.monotonic() - since < (0.2 if RELEASE else 5)


def test_workers_are_replaced_after_so_many_tasks(start):
    own = start("--processes", "2", "--worker-max-tasks", "5")
    url = own.urls()[0]
    first = workers(url)
    done = post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 100}] * 60}).value
    assert done["result"]["counts"]["succeeded"] == 60
    pids = [c["pid"] for c in done["result"]["tasks"]]
    assert len(set(pids)) >= 12 and max(map(pids.count, pids)) <= 5
    wait_until(lambda: len(workers(url)) == 2 and pools(url)["processes"]["restarts"] >= 11, "new workers")
    assert not set(first) & set(workers(url)) and pools(url)["processes"]["tasks_done"] == 60
    wait_until(lambda: set(children(own.pid)) == set(workers(url)), "the end of the old ones")


# -- refusals ------------------------------------------------------------------------------------

def test_a_full_queue_is_refused(start):
    own = start("--threads", "1", "--queue-limit", "0", "--processes", "1")
    url = own.urls()[0]
    with Background(url) as background:
        for path, name in (("/v1/run/block", "default"), ("/v1/run/block?executor=processes", "processes")):
            running = background.post(path, {"seconds": 0.5})
            wait_until(lambda: pools(url)[name]["busy"] == 1, "a busy pool")
            response = post(url, path, {"seconds": 0})
            assert response.status == 503 and response.value["pool"] == name
            assert int(response.header("retry-after")) >= 1
            assert post(url, "/v1/run/sleep", {"seconds": 0}).status == 200, "other executors have room"
            assert running.result().status == 200
            assert post(url, path, {"seconds": 0}).status == 200, "and now there is room"
            assert pools(url)[name]["tasks_done"] == 2


def test_the_refusal_is_as_documented(start):
    own = start("--threads", "1", "--queue-limit", "0")
    url = own.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": 0.4})
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        value = post(url, "/v1/run/block", {"seconds": 0}).value
        assert steady(value) == steady(example("Unavailable", "pool_full"))
        assert value["detail"] == example("Unavailable", "pool_full")["detail"]
        running.result()


def test_a_gather_that_does_not_fit_now_starts_nothing(start):
    own = start("--threads", "1", "--queue-limit", "3")
    url = own.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": 0.5})
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
def test_what_would_never_fit_is_refused_for_good(path, body, start):
    own = start("--threads", "2", "--processes", "2", "--queue-limit", "3")
    url = own.urls()[0]
    response = post(url, path, body)
    assert response.status == 422 and response.value["type"] == "urn:gatherd:error:limit-exceeded"
    assert response.value["limit"] == {"name": "queue_limit", "value": 3}
    assert "6" in response.value["detail"] and "5" in response.value["detail"]
    assert all(p["tasks_done"] == p["queued"] == 0 for p in pools(url).values())


def test_what_is_canceled_in_the_queue_makes_room(start):
    own = start("--threads", "1", "--queue-limit", "2")
    url = own.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/run/block", {"seconds": 0.6})
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        for _ in range(3):
            response = post(url, "/v1/gather", gather(*[task("block", seconds=0)] * 2, deadline_seconds=0.05))
            assert response.status == 504
        assert pools(url)["default"]["queued"] == 0
        running.result()
    assert pools(url)["default"]["tasks_done"] == 1


def test_without_worker_processes(start):
    own = start("--processes", "0")
    url = own.urls()[0]
    assert "processes" not in pools(url) and children(own.pid) == {}
    for path, body in (("/v1/run/sum", {"n": 1}), ("/v1/run/primes?parallel=2", {"to": 10}),
                       ("/v1/run/block?executor=processes", {"seconds": 0}), ("/v1/tasks", task("sum", n=1)),
                       ("/v1/gather", gather(task("sleep", seconds=0), task("sum", n=1))),
                       ("/v1/run/map", {"function": "primes", "inputs": [{"to": 1}]})):
        response = post(url, path, body)
        assert response.status == 403, response.value
        assert steady(response.value) == steady(example("Forbidden", "executor_disabled"))
    assert post(url, "/v1/run/sum?executor=threads", {"n": 5000}).value["result"]["sum"] == 12497500
    assert post(url, "/v1/gather", gather(task("block", seconds=0), task("sleep", seconds=0))).status == 200


def test_the_limit_of_the_queue_is_listed(start):
    with Client(start("--queue-limit", "0").urls()[0]) as client:
        assert client.get("/v1/limits").value["queue_limit"] == 0


def test_unfinished_tasks_are_counted_over_all_executors(start):
    own = start("--max-tasks", "3", "--threads", "1")
    url = own.urls()[0]
    with Background(url) as background:
        running = background.post("/v1/gather", gather(task("block", seconds=0.4), task("sleep", seconds=0.4)))
        wait_until(lambda: pools(url)["default"]["busy"] == 1, "a busy pool")
        response = post(url, "/v1/run/sum", {"n": 1})
        assert response.status == 503 and response.value["type"].endswith(":too-many-tasks")
        assert running.result().status == 200
    assert post(url, "/v1/run/sum", {"n": 1}).status == 200


def test_ten_thousand_tasks_may_wait(start):
    """The default limits: as many as a gather may have fit into the queue of a pool."""
    own = start("--threads", "4", log_level="info")
    done = post(own.urls()[0], "/v1/run/map?timeout_seconds=120",
                {"function": "block", "inputs": [{"seconds": 0}] * 10000}).value
    assert done["result"]["counts"]["succeeded"] == 10000
    done = post(own.urls()[0], "/v1/run/map?timeout_seconds=120",
                {"function": "sum", "inputs": [{"n": 3}] * 2000}).value
    assert done["result"]["counts"]["succeeded"] == 2000
