"""The checks in contract.py detect invalid responses."""

import copy
import json

import pytest

import contract
import openapi_spec
from client import Response
from strategies import mutated


def make_response(value, status=200, media_type="application/json", **headers):
    fields = {"Content_Type": media_type, "X_Request_Id": "r1", "Server_Timing": timing(value),
              "Server": contract.PRODUCT, **headers}
    body = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
    return Response(status, [(n.replace("_", "-"), v) for n, v in fields.items() if v is not None], body)


def timing(value):
    task = value.get("task", value) if isinstance(value, dict) else None
    if task is None or "queued_seconds" not in task:
        return None
    return f"queue;dur={task['queued_seconds'] * 1e3:.3f}, run;dur={task['duration_seconds'] * 1e3:.3f}"


def check(response, method="POST", target="/v1/gather"):
    return contract.check(method, target, response)


def gather_task(result, **members):
    """A gather that succeeded."""
    return {"id": "01KAN5C3S0W9TZ3M5X7CEYAK4HQ2", "name": None, "function": "gather", "executor": "loop", "pool": None,
            "state": "succeeded", "done": True, "result": result, "error": None, "pid": 4711, "tid": 4711,
            "created_at": "2026-11-22T09:30:00.000112Z", "started_at": "2026-11-22T09:30:00.000140Z",
            "finished_at": "2026-11-22T09:30:02.000349Z", "queued_seconds": 2.8e-05, "duration_seconds": 2.000209,
            "usage": None, "cancel": None, **members}


def sleep_child(index, name, seconds):
    return {"index": index, "name": name, "function": "sleep", "executor": "loop", "state": "succeeded",
            "result": {"slept_seconds": seconds - 4e-06}, "pid": 4711, "tid": 4711, "queued_seconds": 3e-06,
            "duration_seconds": seconds}


def pair():
    """Two sleeps that succeeded."""
    return gather_task({"mode": "all", "counts": {"total": 2, "succeeded": 2, "failed": 0, "canceled": 0},
                        "serial_seconds": 3.000371,
                        "tasks": [sleep_child(0, "task1", 1.000176), sleep_child(1, "task2", 2.000195)]})


def first():
    """Two sleeps, of which the second decided."""
    canceled = sleep_child(0, "slow", 0.100179)
    del canceled["result"]
    canceled.update(state="canceled", cancel={"reason": "sibling", "effect": "stopped"},
                    error={"code": "canceled", "status": 409, "detail": "Its gather was decided without it"})
    return gather_task({"mode": "any", "counts": {"total": 2, "succeeded": 1, "failed": 0, "canceled": 1}, "winner": 1,
                        "serial_seconds": 0.200355, "tasks": [canceled, sleep_child(1, "quick", 0.100176)]},
                       finished_at="2026-11-22T09:30:00.100327Z", duration_seconds=0.100187)


def problem(status=422, code="invalid", **members):
    return {"type": contract.problem_type(code), "title": contract.ERRORS[code][1], "status": status,
            "detail": "/tasks is required", "instance": "urn:gatherd:request:r1",
            "errors": [{"pointer": "/tasks", "detail": "is required"}], **members}


def problem_response(value, **headers):
    return make_response(value, value["status"], "application/problem+json", **headers)


def test_valid_responses_pass():
    check(make_response(pair()))
    check(make_response(first()))
    check(problem_response(problem()))
    check(make_response({"status": "live"}), "GET", "/livez")


INVALID_RESPONSES = {
    "status that is not documented": lambda: make_response(pair(), 201),
    "no request id": lambda: make_response(pair(), X_Request_Id=None),
    "bad request id": lambda: make_response(pair(), X_Request_Id="a b"),
    "no timing": lambda: make_response(pair(), Server_Timing=None),
    "timing of another task": lambda: make_response(pair(), Server_Timing="queue;dur=0.028, run;dur=7.000"),
    "no Server": lambda: make_response(pair(), Server=None),
    "another version": lambda: make_response(pair(), Server="gatherd/0.0.0"),
    "undocumented header": lambda: make_response(pair(), X_Powered_By="C"),
    "media type": lambda: make_response(pair(), media_type="text/html"),
    "no newline": lambda: make_response(json.dumps(pair()).encode(), Server_Timing=timing(pair())),
    "two lines": lambda: make_response(json.dumps(pair(), indent=1).encode() + b"\n", Server_Timing=timing(pair())),
    "not JSON": lambda: make_response(b"{'a': 1}\n", Server_Timing=timing(pair())),
    "a member twice": lambda: make_response(json.dumps(pair()).replace('"name": null', '"name": null, "name": null', 1)
                                     .encode() + b"\n", Server_Timing=timing(pair())),
    "problem without a pointer": lambda: problem_response(problem(errors=[{"detail": "is required"}])),
    "problem without errors": lambda: problem_response({k: v for k, v in problem().items() if k != "errors"}),
    "problem of another status": lambda: problem_response(problem(status=400)),
    "title of another error": lambda: problem_response(problem(title="Oh")),
    "another request's problem": lambda: problem_response(problem(instance="urn:gatherd:request:r2")),
    "unknown error": lambda: problem_response(problem(type="urn:gatherd:error:oh")),
    "error of another operation": lambda: problem_response(problem(404, "file_not_found")),
    "503 without Retry-After": lambda: problem_response(problem(503, "shutting_down")),
    "limit without its name": lambda: problem_response(problem(422, "limit_exceeded")),
    "JSON error without a place": lambda: problem_response(problem(400, "malformed_json")),
}


def all_executors():
    """A gather of a sum in a worker process, a parallel sum, and a block in a thread."""
    worker = {"user_seconds": 0.1, "system_seconds": 0, "worker_peak_rss_bytes": 4489216}
    child = {"function": "sum", "executor": "processes", "pool": "processes", "state": "succeeded",
             "result": {"sum": 10}, "pid": 4712, "tid": 4712, "queued_seconds": 0, "duration_seconds": 0.1,
             "usage": worker}
    parts = [{**child, "index": i, "result": {"sum": n}} for i, n in enumerate((1, 9))]
    parallel = {**child, "index": 1, "pid": 4711, "tid": 4711, "result": {"sum": 10, "parts": parts}}
    del parallel["pool"], parallel["usage"]
    block = {**child, "index": 2, "function": "block", "executor": "threads", "pool": "default", "pid": 4711,
             "tid": 4715, "result": {"blocked_seconds": 0.1}, "usage": {"user_seconds": 0, "system_seconds": 0}}
    crashed = {**child, "index": 3, "state": "failed",
            "error": {"code": "worker_crashed", "status": 500, "detail": "x", "exit_signal": 9}}
    del crashed["result"], crashed["usage"]
    abandoned = {**block, "index": 4, "state": "canceled", "cancel": {"reason": "sibling", "effect": "abandoned"},
            "error": {"code": "canceled", "status": 409, "detail": "x"}}
    del abandoned["result"], abandoned["usage"]
    value = pair()
    value["result"].update(mode="all_settled", serial_seconds=0.5, counts={"total": 5, "succeeded": 3, "failed": 1,
                                                                          "canceled": 1},
                           tasks=copy.deepcopy([{**child, "index": 0}, parallel, block, crashed, abandoned]))
    return value


def pool_list():
    operation = next(o for o in openapi_spec.OPERATIONS if o.path == "/v1/pools")
    return copy.deepcopy(operation.response_examples()[200])


def test_valid_executor_and_pool_responses_pass():
    check(make_response(all_executors()))
    check(make_response(pool_list()), "GET", "/v1/pools")
    check(problem_response(problem(503, "pool_full", pool="default"), Retry_After="1"))


@pytest.mark.parametrize("what", INVALID_RESPONSES)
def test_invalid_responses_are_detected(what):
    with pytest.raises(AssertionError):
        check(INVALID_RESPONSES[what]())


def mutated_response(change, make=pair):
    value = make()
    change(value)
    return make_response(value)


INVALID_TASKS = {
    "member missing": lambda t: t.pop("cancel"),
    "member added": lambda t: t.update(links=[]),
    "not done": lambda t: t.update(done=False),
    "state": lambda t: t.update(state="finished"),
    "error in success": lambda t: t.update(error={"code": "timeout", "status": 504, "detail": "x"}),
    "id": lambda t: t.update(id="0"),
    "time": lambda t: t.update(created_at="2026-11-22T09:30:00Z"),
    "times in disorder": lambda t: t.update(created_at="2026-11-22T09:31:00.000000Z"),
    "duration": lambda t: t.update(duration_seconds=3),
    "function": lambda t: t.update(function="sleep"),
    "no pid": lambda t: t.update(pid=None),
    "null in a child": lambda t: t["result"]["tasks"][0].update(error=None),
    "order": lambda t: t["result"]["tasks"].reverse(),
    "a child missing": lambda t: t["result"]["tasks"].pop(),
    "counts": lambda t: t["result"]["counts"].update(succeeded=1, failed=1),
    "serial": lambda t: t["result"].update(serial_seconds=2),
    "quorum in mode all": lambda t: t["result"].update(quorum=1),
    "winner in mode all": lambda t: t["result"].update(winner=0),
    "child outlasts": lambda t: t["result"]["tasks"][0].update(duration_seconds=3),
    "slept longer than it ran": lambda t: t["result"]["tasks"][0]["result"].update(slept_seconds=1.1),
}
INVALID_CANCELS = {
    "loser wins": lambda t: t["result"].update(winner=0),
    "prevented, though it ran": lambda t: t["result"]["tasks"][0]["cancel"].update(effect="prevented"),
    "canceled without a cancel object": lambda t: t["result"]["tasks"][0].pop("cancel"),
    "status of another error": lambda t: t["result"]["tasks"][0]["error"].update(status=500),
}


@pytest.mark.parametrize("what", INVALID_TASKS)
def test_invalid_tasks_are_detected(what):
    with pytest.raises((AssertionError, TypeError)):
        check(mutated_response(INVALID_TASKS[what]))


@pytest.mark.parametrize("what", INVALID_CANCELS)
def test_invalid_cancels_are_detected(what):
    with pytest.raises((AssertionError, TypeError)):
        check(mutated_response(INVALID_CANCELS[what], first))


INVALID_EXECUTOR_MEMBERS = {
    "no pool": lambda c: c[0].pop("pool"),
    "pool of threads": lambda c: c[0].update(pool="default"),
    "a worker's other thread": lambda c: c[0].update(tid=4713),
    "no usage": lambda c: c[0].pop("usage"),
    "a worker without its memory": lambda c: c[0]["usage"].pop("worker_peak_rss_bytes"),
    "a thread's memory": lambda c: c[2]["usage"].update(worker_peak_rss_bytes=1),
    "more usage than time": lambda c: c[2]["usage"].update(user_seconds=1),
    "usage on the loop": lambda c: c[1].update(usage=c[2]["usage"]),
    "parts in disorder": lambda c: c[1]["result"]["parts"].reverse(),
    "parts that don't add up": lambda c: c[1]["result"].update(sum=11),
    "a part that failed": lambda c: c[1]["result"]["parts"][0].update(state="failed"),
    "blocked longer than it ran": lambda c: c[2]["result"].update(blocked_seconds=0.2),
    "died twice": lambda c: c[3]["error"].update(exit_code=1),
    "died of a timeout": lambda c: c[3].update(cancel={"reason": "timeout", "effect": "killed"}, error={
        "code": "timeout", "status": 504, "detail": "x", "exit_signal": 9}),
    "usage of one that died": lambda c: c[3].update(usage=c[0]["usage"]),
    "a thread killed": lambda c: c[4]["cancel"].update(effect="killed"),
    "a thread stopped": lambda c: c[4]["cancel"].update(effect="stopped"),
    "usage of one that was abandoned": lambda c: c[4].update(usage=c[2]["usage"]),
}
INVALID_POOLS = {
    "no default": lambda p: p[0].update(name="other"),
    "a name twice": lambda p: p[-1].update(name="default"),
    "busier than large": lambda p: p[0].update(busy=7),
    "more abandoned than busy": lambda p: p[0].update(abandoned=1),
    "threads with workers": lambda p: p[0].update(workers=[]),
    "processes without": lambda p: p[-1].pop("workers"),
    "a pid twice": lambda p: p[-1]["workers"][0].update(pid=4713),
    "a busy worker in an idle pool": lambda p: p[-1]["workers"][0].update(busy=True),
}


@pytest.mark.parametrize("what", INVALID_EXECUTOR_MEMBERS)
def test_invalid_executor_members_are_detected(what):
    with pytest.raises((AssertionError, KeyError)):
        check(mutated_response(lambda task: INVALID_EXECUTOR_MEMBERS[what](task["result"]["tasks"]), all_executors))


@pytest.mark.parametrize("what", INVALID_POOLS)
def test_invalid_pools_are_detected(what):
    value = pool_list()
    INVALID_POOLS[what](value["pools"])
    with pytest.raises(AssertionError):
        check(make_response(value), "GET", "/v1/pools")


@pytest.mark.parametrize("wrong", [problem(503, "pool_full"), problem(503, "too_many_tasks", pool="default")])
def test_pool_member_requires_pool_full(wrong):
    with pytest.raises(AssertionError):
        check(problem_response(wrong, Retry_After="1"))


def test_responses_without_operation_are_checked():
    check(problem_response(problem(405, "method_not_allowed"), Allow="POST"), "GET")
    check(problem_response(problem(405, "method_not_allowed"), Allow="HEAD, GET"), "PUT", "/v1/limits")
    check(problem_response(problem(404, "not_found")), "GET", "/nothing")
    check(problem_response(problem(404, "function_not_found")), "POST", "/v1/run/nothing")
    check(problem_response(problem(404, "file_method_not_found")), "POST", "/v1/files/x/detach")
    check(problem_response(problem(403, "cross_origin_request")), "GET", "/nothing")
    for wrong, method, target in (
            (problem_response(problem(405, "method_not_allowed")), "GET", "/v1/gather"),
            (problem_response(problem(405, "method_not_allowed"), Allow="POST"), "PUT", "/v1/limits"),
            (problem_response(problem(404, "not_found")), "POST", "/v1/run/nothing"),
            (problem_response(problem(404, "function_not_found")), "GET", "/nothing"),
            (problem_response(problem(409, "file_exists")), "GET", "/nothing"),
            (make_response({"status": "live"}), "GET", "/nothing")):
        with pytest.raises(AssertionError):
            check(wrong, method, target)


def test_mutations_violate_schema():
    body = {"tasks": [{"function": "sleep", "input": {"seconds": 1}, "name": "a"}], "mode": "all",
            "max_concurrency": 1}
    schema = openapi_spec.schema("GatherRequest")
    mutations = mutated(schema, body)
    assert len(mutations) > 60
    for mutation in mutations:
        assert not openapi_spec.validator(schema).is_valid(mutation.value), mutation
