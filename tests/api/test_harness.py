"""The judge of answers has to find what is wrong with an answer: here it is shown wrong ones."""

import copy
import json

import pytest

import judge
import spec
from client import Response
from same_schema import differences
from strategies import spoiled


def example(path, method, name):
    operation = next(o for o in spec.OPERATIONS if (o.path, o.method) == (path, method))
    status, value = operation.response_examples()[name]
    return status, copy.deepcopy(value)


def answer(value, status=200, media_type="application/json", **headers):
    fields = {"Content_Type": media_type, "X_Request_Id": "r1", "Server_Timing": timing(value), **headers}
    body = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
    return Response(status, [(n.replace("_", "-"), v) for n, v in fields.items() if v is not None], body)


def timing(value):
    task = value.get("task", value) if isinstance(value, dict) else None
    if task is None or "queued_seconds" not in task:
        return None
    return f"queue;dur={task['queued_seconds'] * 1e3:.3f}, run;dur={task['duration_seconds'] * 1e3:.3f}"


def check(response, method="POST", target="/v1/gather"):
    return judge.check(method, target, response)


def pair():
    return example("/v1/gather", "POST", "pair")[1]


def first():
    return example("/v1/gather", "POST", "first")[1]


def problem(status=422, code="invalid", **members):
    return {"type": f"urn:gatherd:error:{code.replace('_', '-')}", "title": judge.ERRORS[code][1], "status": status,
            "detail": "/tasks is required", "instance": "urn:gatherd:request:r1",
            "errors": [{"pointer": "/tasks", "detail": "is required"}], **members}


def refusal(value, **headers):
    return answer(value, value["status"], "application/problem+json", **headers)


def test_the_examples_are_right():
    check(answer(pair()))
    check(answer(first()))
    check(refusal(problem()))
    check(answer({"status": "live"}), "GET", "/livez")


WRONG = {
    "status that is not documented": lambda: answer(pair(), 201),
    "no request id": lambda: answer(pair(), X_Request_Id=None),
    "bad request id": lambda: answer(pair(), X_Request_Id="a b"),
    "no timing": lambda: answer(pair(), Server_Timing=None),
    "timing of another task": lambda: answer(pair(), Server_Timing="queue;dur=0.028, run;dur=7.000"),
    "header nobody knows": lambda: answer(pair(), X_Powered_By="C"),
    "media type": lambda: answer(pair(), media_type="text/html"),
    "no newline": lambda: answer(json.dumps(pair()).encode(), Server_Timing=timing(pair())),
    "two lines": lambda: answer(json.dumps(pair(), indent=1).encode() + b"\n", Server_Timing=timing(pair())),
    "not JSON": lambda: answer(b"{'a': 1}\n", Server_Timing=timing(pair())),
    "a member twice": lambda: answer(json.dumps(pair()).replace('"name": null', '"name": null, "name": null', 1)
                                     .encode() + b"\n", Server_Timing=timing(pair())),
    "problem without a pointer": lambda: refusal(problem(errors=[{"detail": "is required"}])),
    "problem without errors": lambda: refusal({k: v for k, v in problem().items() if k != "errors"}),
    "problem of another status": lambda: refusal(problem(status=400)),
    "title of another error": lambda: refusal(problem(title="Oh")),
    "another request's problem": lambda: refusal(problem(instance="urn:gatherd:request:r2")),
    "unknown error": lambda: refusal(problem(type="urn:gatherd:error:oh")),
    "503 without Retry-After": lambda: refusal(problem(503, "shutting_down")),
    "limit without its name": lambda: refusal(problem(422, "limit_exceeded")),
    "JSON error without a place": lambda: refusal(problem(400, "malformed_json")),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_answers_are_found(what):
    with pytest.raises(AssertionError):
        check(WRONG[what]())


def spoil(change, make=pair):
    value = make()
    change(value)
    return answer(value)


WRONG_TASKS = {
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
WRONG_CANCELS = {
    "loser wins": lambda t: t["result"].update(winner=0),
    "prevented, though it ran": lambda t: t["result"]["tasks"][0]["cancel"].update(effect="prevented"),
    "canceled by nobody": lambda t: t["result"]["tasks"][0].pop("cancel"),
    "status of another error": lambda t: t["result"]["tasks"][0]["error"].update(status=500),
}


@pytest.mark.parametrize("what", WRONG_TASKS)
def test_wrong_tasks_are_found(what):
    with pytest.raises((AssertionError, TypeError)):
        check(spoil(WRONG_TASKS[what]))


@pytest.mark.parametrize("what", WRONG_CANCELS)
def test_wrong_cancels_are_found(what):
    with pytest.raises((AssertionError, TypeError)):
        check(spoil(WRONG_CANCELS[what], first))


def test_a_shared_answer_is_judged_too():
    check(refusal(problem(405, "method_not_allowed"), Allow="POST"), "GET")
    check(refusal(problem(404, "unknown_path")), "GET", "/nothing")
    with pytest.raises(AssertionError):
        check(refusal(problem(405, "method_not_allowed")), "GET")
    with pytest.raises(AssertionError):
        check(answer({"status": "live"}), "GET", "/nothing")


def test_slips_are_slips():
    body = {"tasks": [{"function": "sleep", "input": {"seconds": 1}, "name": "a"}], "mode": "all",
            "max_concurrency": 1}
    slips = spoiled(spec.schema("GatherRequest"), body)
    assert len(slips) > 60
    for slip in slips:
        assert slip.what in ("a NUL", "too many bytes") or not spec.validator(spec.schema("GatherRequest")).is_valid(
            slip.value), slip


def test_schemas_that_differ_are_found():
    name, root = spec.schema("GatherInput"), spec.DOCUMENT
    assert not differences(name, root, copy.deepcopy(name), copy.deepcopy(root))
    for change in (
            lambda s: s["SleepInput"]["properties"]["seconds"].update(maximum=1),
            lambda s: s["SleepInput"].update(required=[]),
            lambda s: s["SleepInput"].pop("additionalProperties"),
            lambda s: s["SleepSpec"]["properties"].pop("name"),
            lambda s: s["TaskSpec"]["oneOf"].pop(),
            lambda s: s["Mode"]["enum"].append("none"),
            lambda s: s["GatherTasks"].update(maxItems=1)):
        other = copy.deepcopy(root)
        change(other["components"]["schemas"])
        assert differences(name, root, name, other)
