"""gather and sleep: every mode, what is canceled and what that came to, clocks, order and accounts."""

import pytest

from client import Client
from processes import threads
from server import RELEASE
from task_requests import pools

LONG = 60  # seconds that nobody waits for: who sleeps so long gets canceled


def sleep(seconds, **options):
    return {"function": "sleep", "input": {"seconds": seconds}, **options}


def failing(seconds=0.02, **options):
    """A task that fails so soon."""
    return sleep(LONG, timeout_seconds=seconds, **options)


def gather(*tasks, **options):
    return {"tasks": list(tasks), **options}


@pytest.fixture
def run(client):
    """run(status, tasks..., **options): the task object of a gather, from the answer or from the problem."""
    def runner(status, *tasks, **options):
        response = client.post("/v1/gather", gather(*tasks, **options))
        assert response.status == status, response.value
        task = response.value if status == 200 else response.value["task"]
        for spec_of, child in zip(tasks, task["result"]["tasks"]):
            if child["state"] == "succeeded" and child["function"] == "sleep":
                assert child["result"]["slept_seconds"] >= spec_of["input"]["seconds"]
                assert child["duration_seconds"] >= spec_of["input"]["seconds"]
        return task
    return runner


def states(task):
    return [c["state"] for c in task["result"]["tasks"]]


def cancels(task):
    """(reason, effect) of each child, None for one that nobody canceled."""
    found = [c.get("cancel") for c in task["result"]["tasks"]]
    return [cancel and (cancel["reason"], cancel["effect"]) for cancel in found]


# -- sleep ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds", [0, 1e-9, 0.0001, 0.001, 0.0123456789, 0.05, 0.3])
def test_a_sleep_is_never_too_short(seconds, client):
    for _ in range(10):
        task = client.post("/v1/run/sleep", {"seconds": seconds}).value
        assert seconds <= task["result"]["slept_seconds"] <= task["duration_seconds"]


def test_a_task_tells_where_it_ran(client, server):
    task = client.post("/v1/gather", gather(sleep(0), sleep(0.01))).value
    assert {task["pid"], *(c["pid"] for c in task["result"]["tasks"])} == {server.pid}
    assert {task["tid"], *(c["tid"] for c in task["result"]["tasks"])} == {server.pid}
    if RELEASE:  # ThreadSanitizer has a thread of its own
        others = [name for tid, name in threads(server.pid).items() if tid != server.pid]
        sizes = {name: pool["size"] for name, pool in pools(server.urls()[0]).items() if pool["executor"] != "processes"}
        assert sorted(others) == sorted(f"gd-{name}" for name, size in sizes.items() for _ in range(size)), "sleeping takes none"


def test_ids_are_new_and_sort_by_time(client):
    ids = [client.post("/v1/run/sleep", {"seconds": 0.002}).value["id"] for _ in range(50)]
    assert ids == sorted(set(ids))


# -- modes ---------------------------------------------------------------------------------------

def test_all_runs_everything_at_once(run):
    task = run(200, sleep(0.3), sleep(0.1), sleep(0.2), name="three")
    assert task["name"] == "three" and task["result"]["mode"] == "all"
    assert [round(c["result"]["slept_seconds"], 1) for c in task["result"]["tasks"]] == [0.3, 0.1, 0.2]
    assert task["duration_seconds"] >= 0.3
    assert task["result"]["serial_seconds"] >= 0.6 > task["duration_seconds"]
    assert not set(task["result"]) & {"quorum", "winner"}


def test_all_fails_with_the_first_failure(run):
    task = run(500, failing(), sleep(LONG), sleep(0))
    assert states(task) == ["failed", "canceled", "succeeded"]
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "stopped"), None]
    assert task["error"]["code"] == "child_failed" and task["state"] == "failed"
    assert task["result"]["tasks"][0]["error"]["code"] == "timeout"
    assert task["result"]["tasks"][1]["error"]["code"] == "canceled"
    assert task["duration_seconds"] < LONG / 2


def test_all_tolerates_as_many_failures_as_asked(run):
    tasks = (failing(), failing(), sleep(0.1))
    assert states(run(200, *tasks, tolerated_failures=2)) == ["failed", "failed", "succeeded"]
    assert states(run(200, *tasks, tolerated_failures=9)) == ["failed", "failed", "succeeded"]
    task = run(500, failing(0.02), failing(0.04), sleep(LONG), tolerated_failures=1)
    assert states(task) == ["failed", "failed", "canceled"]


def test_every_failure_is_listed(run):
    """Two that fail together both failed: neither is said to be canceled by the other."""
    task = run(500, *[failing(0.05)] * 3, max_concurrency=3)
    assert states(task).count("failed") >= 1 and "succeeded" not in states(task)
    assert all(c["error"]["code"] in ("timeout", "canceled") for c in task["result"]["tasks"])


def test_who_failed_first_is_told(client):
    """In the error itself, and through gathers in gathers."""
    named = {**failing(), "name": "\u017c\u00f3\u0142w"}
    lost = "(of 2 tasks 0 succeeded, 1 failed, 1 canceled); task 1 (\u017c\u00f3\u0142w) failed first: " \
        "The task ran longer than its timeout"
    response = client.post("/v1/gather", gather(sleep(LONG), named))
    assert response.value["detail"] == response.value["task"]["error"]["detail"] == f"Mode all was lost {lost}"
    response = client.post("/v1/gather", gather({"function": "gather", "input": gather(sleep(LONG), named)}, mode="any"))
    assert response.value["detail"] == \
        f"Mode any was lost (of 1 tasks 0 succeeded, 1 failed, 0 canceled); task 0 failed first: Mode all was lost {lost}"
    long = {**failing(), "name": "\u017c" * 60}
    response = client.post("/v1/gather", gather(sleep(LONG), long))
    assert "; task 1 (" + "\u017c" * 20 + ") failed first: " in response.value["detail"]


def test_all_settled_always_succeeds(run):
    task = run(200, failing(), sleep(0.1), failing(0.05), mode="all_settled")
    assert states(task) == ["failed", "succeeded", "failed"]
    assert task["result"]["counts"] == {"total": 3, "succeeded": 1, "failed": 2, "canceled": 0}
    assert states(run(200, failing(), mode="all_settled")) == ["failed"]


def test_any_takes_the_first_success(run):
    task = run(200, failing(), sleep(LONG), sleep(0.1), sleep(LONG), mode="any")
    assert states(task) == ["failed", "canceled", "succeeded", "canceled"]
    assert task["result"]["winner"] == 2
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "stopped"), None, ("sibling", "stopped")]


def test_any_fails_when_all_do(run):
    task = run(500, failing(), failing(0.04), mode="any")
    assert states(task) == ["failed", "failed"]
    assert "winner" not in task["result"] and task["error"]["code"] == "child_failed"


def test_race_takes_the_first_end(run):
    task = run(200, sleep(LONG), sleep(0.05), mode="race")
    assert states(task) == ["canceled", "succeeded"] and task["result"]["winner"] == 1
    task = run(500, sleep(LONG), failing(0.05), mode="race")
    assert states(task) == ["canceled", "failed"] and task["result"]["winner"] == 1
    assert task["error"]["code"] == "child_failed"


def test_there_is_only_one_winner(run):
    for mode in ("any", "race"):
        task = run(200, *[sleep(0.02)] * 20, mode=mode)
        winner = task["result"]["tasks"][task["result"]["winner"]]
        assert winner["state"] == "succeeded" and "cancel" not in winner
        assert task["result"]["counts"]["succeeded"] + task["result"]["counts"]["canceled"] == 20


def test_quorum_takes_as_many_as_it_needs(run):
    task = run(200, sleep(LONG), sleep(0.05), failing(), sleep(0.02), mode="quorum", quorum=2)
    assert states(task) == ["canceled", "succeeded", "failed", "succeeded"]
    assert task["result"]["quorum"] == 2 and "winner" not in task["result"]
    assert states(run(200, sleep(0), sleep(0.01), mode="quorum", quorum=2)) == ["succeeded"] * 2


def test_quorum_fails_as_soon_as_it_must(run):
    task = run(500, failing(0.02), failing(0.04), sleep(LONG), mode="quorum", quorum=2)
    assert states(task) == ["failed", "failed", "canceled"] and task["result"]["quorum"] == 2


@pytest.mark.parametrize("mode", ["all", "all_settled"])
def test_nothing_succeeds(mode, run):
    result = run(200, mode=mode)["result"]
    assert result == {"mode": mode, "counts": {"total": 0, "succeeded": 0, "failed": 0, "canceled": 0},
                      "serial_seconds": 0, "tasks": []}


@pytest.mark.parametrize("mode", ["all", "all_settled", "any", "race"])
def test_one_is_not_special(mode, run):
    assert states(run(200, sleep(0.01), mode=mode)) == ["succeeded"]


# -- concurrency ---------------------------------------------------------------------------------

def test_max_concurrency_is_kept(run):
    task = run(200, *[sleep(0.05)] * 6, max_concurrency=2)
    spans = [(c["queued_seconds"], c["queued_seconds"] + c["duration_seconds"]) for c in task["result"]["tasks"]]
    for start, _ in spans:
        assert sum(a <= start < b for a, b in spans) <= 2
    assert task["duration_seconds"] >= 0.15
    assert [s for s, _ in spans] == sorted(s for s, _ in spans), "they start in the order of the input"


def test_one_by_one(run):
    task = run(200, *[sleep(0.02)] * 5, max_concurrency=1)
    assert task["result"]["serial_seconds"] >= 0.1
    assert task["duration_seconds"] >= task["result"]["serial_seconds"] - 1e-6


def test_whose_turn_never_came_was_prevented(run):
    task = run(500, failing(), sleep(LONG), sleep(LONG), max_concurrency=1)
    assert cancels(task) == [("timeout", "stopped"), ("sibling", "prevented"), ("sibling", "prevented")]
    assert all("pid" not in c and "result" not in c for c in task["result"]["tasks"][1:])
    task = run(200, sleep(0.01), sleep(LONG), mode="race", max_concurrency=1)
    assert cancels(task) == [None, ("sibling", "prevented")]


def test_an_ended_child_makes_room(run):
    task = run(200, sleep(0.2), sleep(0.01), sleep(0.01), sleep(0.01), max_concurrency=2)
    assert task["duration_seconds"] >= 0.2 and task["result"]["tasks"][3]["queued_seconds"] < 0.2


# -- nesting -------------------------------------------------------------------------------------

def inner(*tasks, name=None, timeout_seconds=None, **options):
    outer = {"name": name, "timeout_seconds": timeout_seconds}
    return {"function": "gather", "input": gather(*tasks, **options),
            **{k: v for k, v in outer.items() if v is not None}}


def test_gathers_in_gathers(run):
    task = run(200, inner(sleep(0.1), sleep(0.05), name="in"), sleep(0.1))
    child = task["result"]["tasks"][0]
    assert child["name"] == "in" and child["function"] == "gather"
    assert [c["index"] for c in child["result"]["tasks"]] == [0, 1]
    assert child["result"]["counts"]["succeeded"] == 2


def test_a_cancel_reaches_grandchildren(run):
    task = run(200, sleep(0.05), inner(sleep(LONG), inner(sleep(LONG))), mode="race")
    child = task["result"]["tasks"][1]
    assert child["state"] == "canceled" and child["cancel"] == {"reason": "sibling", "effect": "stopped"}
    first, second = child["result"]["tasks"]
    assert first["cancel"] == second["cancel"] == {"reason": "parent", "effect": "stopped"}
    assert second["result"]["tasks"][0]["cancel"] == {"reason": "parent", "effect": "stopped"}


def test_a_failure_inside_is_a_failure_outside(run):
    task = run(500, inner(failing(), sleep(LONG)), sleep(LONG))
    assert task["result"]["tasks"][0]["error"]["code"] == "child_failed"
    assert states(task) == ["failed", "canceled"]
    task = run(200, inner(failing(), mode="all_settled"), sleep(0))
    assert states(task) == ["succeeded", "succeeded"]


def test_nested_gathers_do_not_starve_one_another(run):
    """Parents hold no place that their children wait for."""
    task = run(200, *[inner(*[sleep(0.01)] * 3, max_concurrency=1)] * 4, max_concurrency=1)
    assert states(task) == ["succeeded"] * 4


# -- clocks --------------------------------------------------------------------------------------

@pytest.mark.parametrize("member, code", [("timeout_seconds", "timeout"), ("deadline_seconds", "deadline_exceeded")])
def test_a_task_out_of_time_has_failed(member, code, client):
    for path, body in (("/v1/tasks", sleep(LONG, **{member: 0.1})),
                       (f"/v1/run/sleep?{member}=0.1", {"seconds": LONG})):
        response = client.post(path, body)
        assert response.status == 504
        assert response.value["type"] == f"urn:gatherd:error:{code}"
        task = response.value["task"]
        assert task["state"] == "failed" and task["done"] and task["result"] is None
        assert task["error"]["code"] == code
        assert task["cancel"] == {"reason": code, "effect": "stopped"}
        assert 0.1 <= task["queued_seconds"] + task["duration_seconds"] < LONG / 2


def test_the_earlier_clock_counts(client):
    for timeout, deadline, first in ((0.05, 5, "timeout"), (5, 0.05, "deadline_exceeded")):
        task = sleep(LONG, timeout_seconds=timeout, deadline_seconds=deadline)
        assert client.post("/v1/tasks", task).value["type"] == f"urn:gatherd:error:{first}"


def test_in_time_is_in_time(client):
    task = client.post("/v1/tasks", sleep(0.1, timeout_seconds=30, deadline_seconds=30)).value
    assert task["state"] == "succeeded" and task["cancel"] is None


@pytest.mark.parametrize("member, code", [("timeout_seconds", "timeout"), ("deadline_seconds", "deadline_exceeded")])
def test_a_gather_out_of_time_takes_its_children_along(member, code, run):
    task = run(504, sleep(LONG), inner(sleep(LONG)), sleep(0.01), mode="all_settled", **{member: 0.1})
    assert task["error"]["code"] == code and task["cancel"] == {"reason": code, "effect": "stopped"}
    assert states(task) == ["canceled", "canceled", "succeeded"]
    assert cancels(task) == [("parent", "stopped"), ("parent", "stopped"), None]


@pytest.mark.parametrize("mode", ["race", "any"])
def test_who_was_canceled_with_all_the_others_has_not_won(mode, run):
    task = run(504, sleep(LONG), sleep(LONG), mode=mode, timeout_seconds=0.05)
    assert states(task) == ["canceled", "canceled"] and "winner" not in task["result"]
    task = run(200, inner(sleep(LONG), sleep(LONG), mode=mode), sleep(0.05), mode="race")
    assert "winner" not in task["result"]["tasks"][0]["result"]


def test_waiting_for_a_turn_counts_for_the_deadline_alone(run):
    """The second child waits 0.2 s for its turn: too long for its deadline, no matter for its timeout."""
    task = run(200, sleep(0.2), sleep(0.05, deadline_seconds=0.1), sleep(0.05, timeout_seconds=0.1),
               max_concurrency=1, mode="all_settled")
    assert states(task) == ["succeeded", "failed", "succeeded"]
    late = task["result"]["tasks"][1]
    assert late["error"]["code"] == "deadline_exceeded" and late["cancel"] == {"reason": "deadline", "effect": "prevented"}
    assert "pid" not in late and "duration_seconds" not in late


def test_the_default_timeout_counts(start):
    own = start("--default-timeout-seconds", "0.2", "--default-deadline-seconds", "30")
    with Client(own.urls()[0]) as client:
        response = client.post("/v1/run/sleep", {"seconds": LONG})
        assert response.status == 504 and response.value["type"].endswith(":timeout")
        assert client.post("/v1/run/sleep?timeout_seconds=20", {"seconds": 0.4}).status == 200


def test_the_default_deadline_counts(start):
    own = start("--default-deadline-seconds", "0.2")
    with Client(own.urls()[0]) as client:
        response = client.post("/v1/gather", gather(sleep(LONG)))
        assert response.status == 504 and response.value["type"].endswith(":deadline-exceeded")


def test_the_shortest_clock_there_is(client):
    for member in ("timeout_seconds", "deadline_seconds"):
        response = client.post("/v1/tasks", sleep(LONG, **{member: 1e-9}))
        assert response.status == 504, response.value


def test_many_clocks(run):
    """Hundreds of timers, some of them at the same moment, none of them early."""
    tasks = [sleep((i * 7919 % 100) / 1000) for i in range(500)]
    task = run(200, *tasks)
    assert task["result"]["counts"]["succeeded"] == 500
    tasks = [failing((1 + i * 7919 % 100) / 1000) if i % 2 else sleep((i * 7919 % 100) / 1000) for i in range(500)]
    task = run(200, *tasks, mode="all_settled")
    assert task["result"]["counts"] == {"total": 500, "succeeded": 250, "failed": 250, "canceled": 0}
    for spec_of, child in zip(tasks, task["result"]["tasks"]):
        assert child["duration_seconds"] >= spec_of.get("timeout_seconds", spec_of["input"]["seconds"])
