"""contract - checks responses against openapi.yaml: status, headers, media type, schema, and rules beyond schemas."""

import json
import re
from datetime import datetime
from itertools import permutations

import openapi_spec
from server import ROOT

# Headers of HTTP itself, not of an operation.
HTTP_HEADERS = {"date", "content-length", "content-type", "connection", "server"}
# The value of Server in each response.
PRODUCT = "gatherd/" + re.search(r"^project\(gatherd VERSION ([0-9.]+) ", (ROOT / "CMakeLists.txt").read_text("utf-8"),
                                 re.MULTILINE).group(1)
# Codes that are possible on any path, also on one without an operation.
COMMON_CODES = ("malformed_http", "cross_origin_request", "misdirected_request", "out_of_memory",
                "too_many_connections", "shutting_down")
LINE_AND_COLUMN = re.compile(r"\bline (\d+),? (?:and )?column (\d+)\b")
CLOCK_SLACK = 0.005  # seconds by which two measurements of one duration may differ
USAGE_SLACK = 0.05   # seconds of error in the system's CPU accounting
POOL_EXECUTORS = ("threads", "processes", "files")
PARENT_FUNCTIONS = ("gather", "map")

# {error code: the cancel reason that causes it}
CLOCKS = {"timeout": "timeout", "deadline_exceeded": "deadline"}
ERROR_HEADER = (ROOT / "runtime" / "lib" / "error.h").read_text(encoding="utf-8")
ERROR_TITLES = dict(re.findall(r'#define (ERROR_TITLE_\w+) "(.*)"', ERROR_HEADER))
ERRORS = {code: (int(status), ERROR_TITLES.get(title, title)) for code, status, title in re.findall(
    r'X\(\w+, "(\w+)", (\d+), "?([^",]*)"?,', ERROR_HEADER)}


def problem_type(code):
    """The `type` of a problem with this error code."""
    return openapi_spec.CODE_PREFIX + code


def parse_json(data):
    """Parses JSON strictly: rejects duplicate members and NaN."""
    def members(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), f"duplicate member in {pairs}"
        return dict(pairs)

    def reject(constant):
        raise AssertionError(f"{constant} in JSON")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=members, parse_constant=reject)
    except ValueError as error:
        raise AssertionError(f"not JSON: {error}: {data[:200]!r}") from None


def documented(method, target, status):
    """The response object of openapi.yaml for this request and status."""
    path, operation = openapi_spec.operation_for(method, target)
    found = (operation.responses.get(status) if operation is not None
             else without_operation(path, method, target, status))
    assert found is not None, f"{method} {target}: status {status} is not documented"
    return found


def without_operation(path, method, target, status):
    """The response to an unknown path, or to a method that the path does not support. These belong to no operation, so
    openapi.yaml has them only in the description of `info`. None if the status is not possible."""
    if path is not None:
        code = "method_not_allowed"
    elif re.match(r"/v1/run/[^/?]", target):
        code = "function_not_found"
    elif method == "POST" and re.fullmatch(r"/v1/files/[^/]+/[^/]+", target):
        code = "file_method_not_found"
    else:
        code = "not_found"
    codes = [c for c in (*COMMON_CODES, code) if ERRORS[c][0] == status]
    headers = openapi_spec.DOCUMENT["components"]["headers"]
    fields = {"X-Request-Id": headers["X-Request-Id"]}
    if status == 405:
        methods = openapi_spec.allowed_methods(path)
        fields["Allow"] = {"required": True, "schema": {"enum": [", ".join(p) for p in permutations(methods)]}}
    if status == 503:
        fields["Retry-After"] = headers["Retry-After"]
    narrowed = {"properties": {"type": {"enum": [problem_type(c) for c in codes]}}}
    schema = {"allOf": [openapi_spec.schema("Problem"), narrowed]}
    return {"headers": fields, "content": {"application/problem+json": {"schema": schema}}} if codes else None


def check_headers(response, node):
    names = [name.lower() for name, _ in response.headers]
    assert len(names) == len(set(names)), f"a header twice: {response.headers}"
    assert response.header("server") == PRODUCT
    known = {name.lower(): openapi_spec.resolve(header) for name, header in node.get("headers", {}).items()}
    for name, header in known.items():
        value = response.header(name)
        assert value is not None or not header["required"], f"the header {name} is missing"
        if value is not None:
            openapi_spec.check_value(value, header["schema"], name)
    undocumented = set(names) - set(known) - HTTP_HEADERS
    assert not undocumented, f"undocumented headers: {undocumented}"


def check(method, target, response, sent_id=None):
    """Asserts that the response is documented for the request. sent_id is the X-Request-Id that was sent."""
    what = f"{method} {target[:80]} -> {response.status}"
    node = documented(method, target, response.status)
    check_headers(response, node)
    if sent_id is not None and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", sent_id):
        assert response.header("x-request-id") == sent_id
    media_type = response.header("content-type")
    if "content" not in node:
        assert media_type is None and response.body == b"", f"{what}: unexpected content"
        return None
    assert media_type in node["content"], f"{what}: the media type is {media_type}"
    if method == "HEAD":
        assert response.body == b""
        return None
    if media_type in ("application/yaml", "application/octet-stream"):
        return None
    assert response.body.endswith(b"\n") and response.body.count(b"\n") == 1, f"{what}: not one line"
    value = parse_json(response.body)
    openapi_spec.check_value(value, node["content"][media_type]["schema"], what)
    timing = response.header("server-timing")
    if media_type == "application/problem+json":
        check_problem(value, response, timing, has_location=not target.startswith("/v1/fs/"))
    elif "state" in value:
        check_task(value)
        check_timing(timing, value)
    elif "pools" in value:
        check_pools(value["pools"])
    return value


def check_problem(value, response, timing, has_location=True):
    """Checks a problem. A validation error has a location, unless the path is invalid or a task detected the error."""
    has_location = has_location and "task" not in value
    code = value["type"].rsplit(":", 1)[1]
    assert (value["status"], value["title"]) == ERRORS[code]
    assert value["status"] == response.status
    assert value["instance"] == "urn:gatherd:request:" + response.header("x-request-id")
    if code == "malformed_json" and "empty" not in value["detail"]:  # an empty body has no position
        assert LINE_AND_COLUMN.search(value["detail"]), value["detail"]
    if code in ("invalid", "limit_exceeded") and has_location:
        assert value.get("errors"), value
    if code == "limit_exceeded" and has_location:
        assert "limit" in value, value
    assert ("pool" in value) == (code == "pool_full"), value
    task = value.get("task")
    assert (task is not None) == (timing is not None), "Server-Timing must be present exactly if the problem has a task"
    if task is not None:
        check_task(task)
        check_timing(timing, task)
        assert task["state"] in ("failed", "canceled")
        assert task["error"]["code"] == code


def check_timing(timing, task):
    """Checks that Server-Timing, in milliseconds, agrees with the task object."""
    queue, has_run = map(float, re.findall(r"dur=([0-9.]+)", timing))
    assert abs(queue - task["queued_seconds"] * 1e3) < 0.01, (timing, task["queued_seconds"])
    assert abs(has_run - (task["duration_seconds"] or 0) * 1e3) < 0.01, (timing, task["duration_seconds"])


def check_task(task):
    """Checks that the members of a finished top-level task are consistent."""
    assert task["done"] is True
    check_finished(task)
    created, started, finished = (
        text and datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ") for text in
        (task["created_at"], task["started_at"], task["finished_at"]))
    assert finished is not None and created <= finished
    if started is not None:
        assert created <= started <= finished
        assert abs((started - created).total_seconds() - task["queued_seconds"]) < CLOCK_SLACK
        assert abs((finished - started).total_seconds() - task["duration_seconds"]) < CLOCK_SLACK


def check_finished(task):
    """Checks that the members of a finished task or child are consistent. Absent members count as null."""
    state, error, cancel = task["state"], task.get("error"), task.get("cancel")
    assert state in ("succeeded", "failed", "canceled"), state
    assert (error is None) == (state == "succeeded")
    has_run = task.get("duration_seconds") is not None
    assert has_run == (task.get("pid") is not None), task
    # An abandoned thread may not have reported its usage.
    if not (has_run and cancel is not None and cancel["effect"] == "abandoned"):
        assert has_run == (task.get("tid") is not None), task
    assert has_run or task.get("result") is None
    if state == "succeeded":
        assert has_run and task["result"] is not None
    if cancel is not None:
        assert "effect" in cancel, "a finished task that was canceled must report the effect"
        assert (cancel["effect"] == "prevented") == (not has_run), task
    if error is not None:
        assert error["status"] == ERRORS[error["code"]][0]
        if error["code"] in CLOCKS:
            assert state == "failed" and cancel["reason"] == CLOCKS[error["code"]]
        if state == "canceled":
            assert cancel is not None
    check_execution(task, has_run)
    if task["function"] == "sleep" and state == "succeeded":
        assert task["result"]["slept_seconds"] <= task["duration_seconds"] + 1e-9
    if task["function"] == "block" and state == "succeeded":
        assert task["result"]["blocked_seconds"] <= task["duration_seconds"] + 1e-9
    if task["function"] in PARENT_FUNCTIONS and task.get("result") is not None:
        check_gather(task["result"], task)
    if "parts" in (task.get("result") or {}):
        check_parts(task["result"], task)


def check_execution(task, has_run):
    """Checks where a finished task ran: executor, pool, process, thread, and its resource usage."""
    executor, pool, usage = task["executor"], task.get("pool"), task.get("usage")
    error, effect = task.get("error") or {}, (task.get("cancel") or {}).get("effect")
    if pool is None:  # the task takes no slot: it runs on the loop, or is split into parts
        assert executor == "loop" or task["function"] in ("primes", "sum"), task
        assert usage is None and not {"exit_signal", "exit_code"} & error.keys(), task
        return
    assert executor in POOL_EXECUTORS and (pool == "processes") == (executor == "processes"), task
    if executor == "processes":
        assert not has_run or task["pid"] == task["tid"], task
        assert effect in (None, "prevented", "killed", "too_late"), task
    else:
        assert effect in (None, "prevented", "abandoned", "too_late"), task
    crashed = error.get("code") == "worker_crashed"
    assert (usage is not None) == (has_run and not crashed and effect not in ("killed", "abandoned")), task
    if usage is not None:
        assert ("worker_peak_rss_bytes" in usage) == (executor == "processes"), task
        cpu_seconds = usage["user_seconds"] + usage["system_seconds"]
        assert cpu_seconds <= task["duration_seconds"] * 1.1 + USAGE_SLACK, task
    exit_members = {"exit_signal", "exit_code"} & error.keys()
    assert len(exit_members) < 2 and (not exit_members or crashed), task


def check_parts(result, task):
    """Checks that the parts of a successful parallel call are complete and in order."""
    parts = result["parts"]
    assert task["state"] == "succeeded" and task.get("pool") is None
    assert [p["index"] for p in parts] == list(range(len(parts)))
    for part in parts:
        check_finished(part)
        assert (part["state"], part["function"], part["executor"]) == ("succeeded", task["function"], task["executor"])
        assert part["duration_seconds"] <= task["duration_seconds"] + 1e-9
    name = {"sum": "sum", "primes": "count"}[task["function"]]
    assert sum(int(p["result"][name]) for p in parts) == int(result[name])


def check_pools(pools):
    """Checks that the members of pools are consistent. The number of idle workers is not checked."""
    names = [p["name"] for p in pools]
    assert len(names) == len(set(names)) and names[0] == "default" and "processes" not in names[:-1]
    for pool in pools:
        workers = pool.get("workers")
        assert pool["abandoned"] <= pool["busy"] <= pool["size"]
        assert pool["queued"] <= pool["queue_limit"] + pool["size"]
        assert (workers is not None) == ("restarts" in pool) == (pool["executor"] == "processes"), pool
        if workers is not None:
            assert pool["abandoned"] == 0 and len(workers) <= pool["size"]
            assert len({w["pid"] for w in workers}) == len(workers)
            assert sum(w["busy"] for w in workers) <= pool["busy"], pool


def check_gather(result, task):
    children, counts, mode = result["tasks"], result["counts"], result["mode"]
    assert [c["index"] for c in children] == list(range(len(children)))
    for child in children:
        check_finished(child)
        if child.get("duration_seconds") is not None:
            assert child["duration_seconds"] <= task["duration_seconds"] + 1e-9
    states = [c["state"] for c in children]
    assert counts == {"total": len(children), **{s: states.count(s) for s in ("succeeded", "failed", "canceled")}}
    serial = sum(c.get("duration_seconds", 0) for c in children)
    assert abs(result["serial_seconds"] - serial) < 1e-6, (result["serial_seconds"], serial)
    assert ("quorum" in result) == (mode == "quorum")
    if "winner" in result:
        winner = children[result["winner"]]
        assert mode in ("any", "race")
        assert winner["state"] == "succeeded" or (mode == "race" and winner["state"] == "failed")
    if task["state"] == "succeeded":
        assert mode not in ("any", "race") or winner["state"] == "succeeded"
        assert mode != "quorum" or counts["succeeded"] >= result["quorum"]
