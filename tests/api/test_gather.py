"""gather and sleep: modes, cancellation and its effects, time limits, order, counts."""

import pytest

import contract
from client import Client
from processes import threads
from server import RELEASE, wait_until
from task_requests import pools

LONG_SECONDS = 60  # duration of a sleep that is always canceled


def sleep(seconds, **options):
    return {"function": "sleep", "input": {"seconds": seconds}, **options}


def failing_sleep(seconds=0.02, **options):
    """A task that fails after `seconds`."""
    return sleep(LONG_SECONDS, timeout_seconds=seconds, **options)


def gather(*tasks, **options):
    return {"tasks": list(tasks), **options}


@pytest.fixture
def run(client):
    """run(status, tasks..., **options) runs a gather. Returns its task object, from the response or the problem."""
    def runner(status, *tasks, **options):
        response = client.post("/v1/gather", gather(*tasks, **options))
        assert response.status == status, response.value
        task = response.value if status == 200 else response.value["task"]
        for spec, child in zip(tasks, task["result"]["tasks"]):
            if child["state"] == "succeeded" and child["function"] == "sleep":
                assert child["result"]["slept_seconds"] >= spec["input"]["seconds"]
                assert child["duration_seconds"] >= spec["input"]["seconds"]
        return task
    return runner


def states(task):
    return [c["state"] for c in task["result"]["tasks"]]


def cancels(task):
    """The cancel (reason, effect) of each child; None for a child that was not canceled."""
    found = [c.get("cancel") for c in task["result"]["tasks"]]
    return [cancel and (cancel["reason"], cancel["effect"]) for cancel in found]


# -- sleep ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds", [0, 1e-9, 0.0001, 0.001, 0.0123456789, 0.05, 0.3])
def test_sleep_lasts_at_least_requested_time(seconds, client):
    for _ in range(10):
        task = client.post("/v1/run/sleep", {"seconds": seconds}).value
        assert seconds <= task["result"]["slept_seconds"] <= task["duration_seconds"]


def test_loop_tasks_report_main_thread(client, server):
    task = client.post("/v1/gather", gather(sleep(0), sleep(0.01))).value
    assert {task["pid"], *(c["pid"] for c in task["result"]["tasks"])} == {server.pid}
    assert {task["tid"], *(c["tid"] for c in task["result"]["tasks"])} == {server.pid}
    if RELEASE:  # ThreadSanitizer starts a thread of its own
        def others():
            return sorted(name for tid, name in threads(server.pid).items() if tid != server.pid)

        sizes = {name: pool["size"] for name, pool in pools(server.urls()[0]).items()
                 if pool["executor"] != "processes"}
        expected = sorted(f"gd-{name}" for name, size in sizes.items() for _ in range(size))
        wait_until(lambda: others() == expected, "each thread's name; sleeping tasks use no threads")


def test_task_ids_are_unique_and_sort_by_time(client):
    ids = [client.post("/v1/run/sleep", {"seconds": 0.002}).value["id"] for _ in range(50)]
    assert ids == sorted(set(ids))


# -- modes ---------------------------------------------------------------------------------------

def test_all_runs_children_concurrently(run):
    task = run(200, sleep(0.3), sleep(0.1), sleep(0.2), name="three")
    assert task["name"] == "three" and task["result"]["mode"] == "all"
    assert all(c["result"]["slept_seconds"] >= s for c, s in zip(task["result"]["tasks"], (0.3, 0.1, 0.2)))
    assert task["duration_seconds"] >= 0.3 and task["result"]["serial_seconds"] >= 0.6
    # The longest takes as long as the gather, the others add 0.3 s; one after the other, both would be the same.
    assert task["result"]["serial_seconds"] - task["duration_seconds"] > 0.2
    assert not set(task["result"]) & {"quorum", "winner"}


def test_all_fails_on_first_failure(run):
    task = run(500, failing_sleep(), sleep(LONG_SECONDS), sleep(0))
    assert states(task) == ["failed", "canceled", "succeeded"]
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "stopped"), None]
    assert task["error"]["code"] == "child_failed" and task["state"] == "failed"
    assert task["result"]["tasks"][0]["error"]["code"] == "timeout"
    assert task["result"]["tasks"][1]["error"]["code"] == "canceled"
    assert task["duration_seconds"] < LONG_SECONDS / 2


def test_all_honors_tolerated_failures(run):
    tasks = (failing_sleep(), failing_sleep(), sleep(0.1))
    assert states(run(200, *tasks, tolerated_failures=2)) == ["failed", "failed", "succeeded"]
    assert states(run(200, *tasks, tolerated_failures=9)) == ["failed", "failed", "succeeded"]
    task = run(500, failing_sleep(0.02), failing_sleep(0.04), sleep(LONG_SECONDS), tolerated_failures=1)
    assert states(task) == ["failed", "failed", "canceled"]


def test_simultaneous_failures_are_reported(run):
    """Two children that fail at the same time both report failure; neither cancels the other."""
    task = run(500, *[failing_sleep(0.05)] * 3, max_concurrency=3)
    assert states(task).count("failed") >= 1 and "succeeded" not in states(task)
    assert all(c["error"]["code"] in ("timeout", "canceled") for c in task["result"]["tasks"])


def test_error_names_first_failed_child(client):
    """The error of a gather names the first child that failed, also through nested gathers."""
    named = {**failing_sleep(), "name": "\u017c\u00f3\u0142w"}
    counts = "(2 tasks: 0 succeeded, 1 failed, 1 canceled); task 1 (\u017c\u00f3\u0142w) failed first: " \
        "The task timed out"
    response = client.post("/v1/gather", gather(sleep(LONG_SECONDS), named))
    assert response.value["detail"] == response.value["task"]["error"]["detail"] == f"Mode \"all\" was not met {counts}"
    nested = {"function": "gather", "input": gather(sleep(LONG_SECONDS), named)}
    response = client.post("/v1/gather", gather(nested, mode="any"))
    assert response.value["detail"] == (
        "Mode \"any\" was not met (1 tasks: 0 succeeded, 1 failed, 0 canceled); task 0 failed first: "
        f"Mode \"all\" was not met {counts}")
    long = {**failing_sleep(), "name": "\u017c" * 60}
    response = client.post("/v1/gather", gather(sleep(LONG_SECONDS), long))
    assert "; task 1 (" + "\u017c" * 20 + ") failed first: " in response.value["detail"]


def test_all_settled_always_succeeds(run):
    task = run(200, failing_sleep(), sleep(0.1), failing_sleep(0.05), mode="all_settled")
    assert states(task) == ["failed", "succeeded", "failed"]
    assert task["result"]["counts"] == {"total": 3, "succeeded": 1, "failed": 2, "canceled": 0}
    assert states(run(200, failing_sleep(), mode="all_settled")) == ["failed"]


def test_any_returns_first_success(run):
    task = run(200, failing_sleep(), sleep(LONG_SECONDS), sleep(0.1), sleep(LONG_SECONDS), mode="any")
    assert states(task) == ["failed", "canceled", "succeeded", "canceled"]
    assert task["result"]["winner"] == 2
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "stopped"), None, ("sibling", "stopped")]


def test_any_fails_when_all_children_fail(run):
    task = run(500, failing_sleep(), failing_sleep(0.04), mode="any")
    assert states(task) == ["failed", "failed"]
    assert "winner" not in task["result"] and task["error"]["code"] == "child_failed"


def test_race_returns_first_finished(run):
    task = run(200, sleep(LONG_SECONDS), sleep(0.05), mode="race")
    assert states(task) == ["canceled", "succeeded"] and task["result"]["winner"] == 1
    task = run(500, sleep(LONG_SECONDS), failing_sleep(0.05), mode="race")
    assert states(task) == ["canceled", "failed"] and task["result"]["winner"] == 1
    assert task["error"]["code"] == "child_failed"


def test_any_and_race_have_one_winner(run):
    for mode in ("any", "race"):
        task = run(200, *[sleep(0.02)] * 20, mode=mode)
        winner = task["result"]["tasks"][task["result"]["winner"]]
        assert winner["state"] == "succeeded" and "cancel" not in winner
        assert task["result"]["counts"]["succeeded"] + task["result"]["counts"]["canceled"] == 20


def test_quorum_succeeds_when_reached(run):
    task = run(200, sleep(LONG_SECONDS), sleep(0.05), failing_sleep(), sleep(0.02), mode="quorum", quorum=2)
    assert states(task) == ["canceled", "succeeded", "failed", "succeeded"]
    assert task["result"]["quorum"] == 2 and "winner" not in task["result"]
    assert states(run(200, sleep(0), sleep(0.01), mode="quorum", quorum=2)) == ["succeeded"] * 2


def test_quorum_fails_when_unreachable(run):
    task = run(500, failing_sleep(0.02), failing_sleep(0.04), sleep(LONG_SECONDS), mode="quorum", quorum=2)
    assert states(task) == ["failed", "failed", "canceled"] and task["result"]["quorum"] == 2


@pytest.mark.parametrize("mode", ["all", "all_settled"])
def test_empty_gather_succeeds(mode, run):
    result = run(200, mode=mode)["result"]
    assert result == {"mode": mode, "counts": {"total": 0, "succeeded": 0, "failed": 0, "canceled": 0},
                      "serial_seconds": 0, "tasks": []}


@pytest.mark.parametrize("mode", ["all", "all_settled", "any", "race"])
def test_single_child_succeeds_in_every_mode(mode, run):
    assert states(run(200, sleep(0.01), mode=mode)) == ["succeeded"]


# -- concurrency ---------------------------------------------------------------------------------

def test_max_concurrency_is_respected(run):
    task = run(200, *[sleep(0.05)] * 6, max_concurrency=2)
    spans = [(c["queued_seconds"], c["queued_seconds"] + c["duration_seconds"]) for c in task["result"]["tasks"]]
    for start, _ in spans:
        assert sum(a <= start < b - 1e-9 for a, b in spans) <= 2
    assert task["duration_seconds"] >= 0.15
    assert [s for s, _ in spans] == sorted(s for s, _ in spans), "children do not start in the order of the input"


def test_max_concurrency_one_is_sequential(run):
    task = run(200, *[sleep(0.02)] * 5, max_concurrency=1)
    assert task["result"]["serial_seconds"] >= 0.1
    assert task["duration_seconds"] >= task["result"]["serial_seconds"] - 1e-6


def test_unstarted_children_are_prevented(run):
    task = run(500, failing_sleep(), sleep(LONG_SECONDS), sleep(LONG_SECONDS), max_concurrency=1)
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "prevented"), ("sibling", "prevented")]
    assert all("pid" not in c and "result" not in c for c in task["result"]["tasks"][1:])
    task = run(200, sleep(0.01), sleep(LONG_SECONDS), mode="race", max_concurrency=1)
    assert cancels(task) == [None, ("sibling", "prevented")]


def test_finished_child_frees_concurrency_slot(run):
    task = run(200, sleep(1), sleep(0.01), sleep(0.01), sleep(0.01), max_concurrency=2)
    assert task["duration_seconds"] >= 1 and task["result"]["tasks"][3]["queued_seconds"] < 1


# -- nesting -------------------------------------------------------------------------------------

def inner(*tasks, name=None, timeout_seconds=None, **options):
    outer = {"name": name, "timeout_seconds": timeout_seconds}
    return {"function": "gather", "input": gather(*tasks, **options),
            **{k: v for k, v in outer.items() if v is not None}}


def test_nested_gather(run):
    task = run(200, inner(sleep(0.1), sleep(0.05), name="in"), sleep(0.1))
    child = task["result"]["tasks"][0]
    assert child["name"] == "in" and child["function"] == "gather"
    assert [c["index"] for c in child["result"]["tasks"]] == [0, 1]
    assert child["result"]["counts"]["succeeded"] == 2


def test_cancel_propagates_to_grandchildren(run):
    task = run(200, sleep(0.05), inner(sleep(LONG_SECONDS), inner(sleep(LONG_SECONDS))), mode="race")
    child = task["result"]["tasks"][1]
    assert child["state"] == "canceled" and child["cancel"] == {"reason": "sibling", "effect": "stopped"}
    first, second = child["result"]["tasks"]
    assert first["cancel"] == second["cancel"] == {"reason": "parent", "effect": "stopped"}
    assert second["result"]["tasks"][0]["cancel"] == {"reason": "parent", "effect": "stopped"}


def test_nested_failure_propagates(run):
    task = run(500, inner(failing_sleep(), sleep(LONG_SECONDS)), sleep(LONG_SECONDS))
    assert task["result"]["tasks"][0]["error"]["code"] == "child_failed"
    assert states(task) == ["failed", "canceled"]
    task = run(200, inner(failing_sleep(), mode="all_settled"), sleep(0))
    assert states(task) == ["succeeded", "succeeded"]


def test_nested_gathers_do_not_deadlock(run):
    """A gather occupies no slot, so its children can use all slots."""
    task = run(200, *[inner(*[sleep(0.01)] * 3, max_concurrency=1)] * 4, max_concurrency=1)
    assert states(task) == ["succeeded"] * 4


# -- time limits ---------------------------------------------------------------------------------

@pytest.mark.parametrize("member, code", [("timeout_seconds", "timeout"), ("deadline_seconds", "deadline_exceeded")])
def test_expired_task_fails(member, code, client):
    for path, body in (("/v1/tasks", sleep(LONG_SECONDS, **{member: 0.1})),
                       (f"/v1/run/sleep?{member}=0.1", {"seconds": LONG_SECONDS})):
        response = client.post(path, body)
        assert response.status == 504
        assert response.value["type"] == contract.problem_type(code)
        task = response.value["task"]
        assert task["state"] == "failed" and task["done"] and task["result"] is None
        assert task["error"]["code"] == code
        assert task["cancel"] == {"reason": contract.CLOCKS[code], "effect": "stopped"}
        assert 0.1 <= task["queued_seconds"] + task["duration_seconds"] < LONG_SECONDS / 2


def test_earlier_of_timeout_and_deadline_applies(client):
    for timeout, deadline, first in ((0.05, 5, "timeout"), (5, 0.05, "deadline_exceeded")):
        task = sleep(LONG_SECONDS, timeout_seconds=timeout, deadline_seconds=deadline)
        assert client.post("/v1/tasks", task).value["type"] == contract.problem_type(first)


def test_task_within_time_limits_succeeds(client):
    task = client.post("/v1/tasks", sleep(0.1, timeout_seconds=30, deadline_seconds=30)).value
    assert task["state"] == "succeeded" and task["cancel"] is None


@pytest.mark.parametrize("member, code", [("timeout_seconds", "timeout"), ("deadline_seconds", "deadline_exceeded")])
def test_expired_gather_cancels_children(member, code, run):
    task = run(504, sleep(LONG_SECONDS), inner(sleep(LONG_SECONDS)), sleep(0.01), mode="all_settled", **{member: 0.1})
    assert task["error"]["code"] == code
    assert task["cancel"] == {"reason": contract.CLOCKS[code], "effect": "stopped"}
    assert states(task) == ["canceled", "canceled", "succeeded"]
    assert cancels(task) == [("parent", "stopped"), ("parent", "stopped"), None]


@pytest.mark.parametrize("mode", ["race", "any"])
def test_canceled_gather_has_no_winner(mode, run):
    task = run(504, sleep(LONG_SECONDS), sleep(LONG_SECONDS), mode=mode, timeout_seconds=0.05)
    assert states(task) == ["canceled", "canceled"] and "winner" not in task["result"]
    task = run(200, inner(sleep(LONG_SECONDS), sleep(LONG_SECONDS), mode=mode), sleep(0.05), mode="race")
    assert "winner" not in task["result"]["tasks"][0]["result"]


def test_only_deadline_includes_queue_time(run):
    """The second child waits for the first one for 0.2 s: its deadline passes, but its timeout has not started."""
    task = run(200, sleep(0.2), sleep(0.05, deadline_seconds=0.1), sleep(0.05, timeout_seconds=0.1),
               max_concurrency=1, mode="all_settled")
    assert states(task) == ["succeeded", "failed", "succeeded"]
    expired = task["result"]["tasks"][1]
    assert expired["error"]["code"] == "deadline_exceeded"
    assert expired["cancel"] == {"reason": "deadline", "effect": "prevented"}
    assert "pid" not in expired and "duration_seconds" not in expired


def test_default_timeout_applies(start):
    server = start("--default-timeout-seconds", "0.2", "--default-deadline-seconds", "30")
    with Client(server.urls()[0]) as client:
        response = client.post("/v1/run/sleep", {"seconds": LONG_SECONDS})
        assert response.status == 504 and response.value["type"].endswith(":timeout")
        assert client.post("/v1/run/sleep?timeout_seconds=20", {"seconds": 0.4}).status == 200


def test_default_deadline_applies(start):
    server = start("--default-deadline-seconds", "0.2")
    with Client(server.urls()[0]) as client:
        response = client.post("/v1/gather", gather(sleep(LONG_SECONDS)))
        assert response.status == 504 and response.value["type"].endswith(":deadline_exceeded")


def test_one_nanosecond_limit_expires(client):
    for member in ("timeout_seconds", "deadline_seconds"):
        response = client.post("/v1/tasks", sleep(LONG_SECONDS, **{member: 1e-9}))
        assert response.status == 504, response.value


def test_many_timers_never_fire_early(run):
    """Hundreds of timers, some with equal times, and none fires early."""
    tasks = [sleep((i * 7919 % 100) / 1000) for i in range(500)]
    task = run(200, *tasks)
    assert task["result"]["counts"]["succeeded"] == 500
    tasks = [failing_sleep((1 + i * 7919 % 100) / 1000) if i % 2 else sleep((i * 7919 % 100) / 1000)
             for i in range(500)]
    task = run(200, *tasks, mode="all_settled")
    assert task["result"]["counts"] == {"total": 500, "succeeded": 250, "failed": 250, "canceled": 0}
    for spec, child in zip(tasks, task["result"]["tasks"]):
        assert child["duration_seconds"] >= spec.get("timeout_seconds", spec["input"]["seconds"])
