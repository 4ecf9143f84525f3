"""The service conforms to openapi.yaml: it accepts valid requests, and locates the errors in invalid ones."""

import json
import re
import shutil
import subprocess
from itertools import accumulate
from urllib.parse import quote, quote_plus

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contract
import openapi_spec
from client import Client
from strategies import repair, mutated, texts, valid

# The operations on files are tested in test_files.py, test_open_files.py and test_fs.py.
POST_OPERATIONS = [o for o in openapi_spec.OPERATIONS if o.body_schema() is not None and "files" not in o.node["tags"]]
FILE_OPERATIONS = [o for o in openapi_spec.OPERATIONS if "files" in o.node["tags"]]
GET_OPERATIONS = [o for o in openapi_spec.OPERATIONS if o.method == "GET" and "files" not in o.node["tags"]]
WITH_QUERY = [o for o in POST_OPERATIONS if o.query_parameters()]

by_operation = {"argnames": "operation", "ids": str}


def members(node, name):
    """The values of all members with this name, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from members(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from members(value, name)


def has_time_limit(value):
    return any(True for name in ("timeout_seconds", "deadline_seconds") for _ in members(value, name))


def uses_files(value):
    """Whether the request contains a task that uses files."""
    names = {n for n in openapi_spec.FUNCTIONS if n.endswith(("_file", "_directory", "_script"))}
    return any(n in names for n in members(value, "function"))


@pytest.mark.parametrize(argvalues=POST_OPERATIONS, **by_operation)
def test_schema_valid_input_is_accepted(operation, client):
    @given(valid(operation.body_schema()), st.sampled_from(["r-1", "a" * 128, "._-9", None, "", "a" * 129, "a b"]))
    def run(body, request_id):
        openapi_spec.check_value(body, operation.body_schema(), "generated")
        response = client.post(operation.path, body, **{"X-Request-Id": request_id})
        if not has_time_limit(body) and not uses_files(body):
            assert response.status == 200, response.value
        assert response.status in (200, 500, 504) or uses_files(body) and "task" in response.value, response.value
        if response.status == 500:
            assert response.value["type"].endswith(":child_failed")
        check_matches_request(operation, body, response.value if response.status == 200 else response.value["task"])

    run()


def check_matches_request(operation, body, task):
    """Checks that the task in the response is the requested one."""
    if operation.path == "/v1/tasks":
        assert task["function"] == body["function"]
        request = body.get("input", {})
    else:
        request = body
    if operation.path in ("/v1/tasks", "/v1/gather"):
        assert task["name"] == body.get("name")
    if operation.path == "/v1/tasks":
        check_options(body, task)
    if task["result"] is not None:
        check_result(request, task["result"])


def check_options(options, task):
    """Checks that the task ran on the requested executor. A parallel call has no pool."""
    assert task["executor"] == options.get("executor", task["executor"])
    assert task["pool"] == (None if options.get("parallel", 1) > 1 else options.get("pool", task["pool"]))


def is_prime(n):
    return n > 1 and all(n % i for i in range(2, int(n ** 0.5) + 1))


PRIMES = list(accumulate(map(is_prime, range(20001)), initial=0))  # the number of primes below each index


def check_result(request, result):
    if "tasks" in result:
        check_gather_result(request, result)
    elif "slept_seconds" in result:
        assert result["slept_seconds"] >= request["seconds"]
    elif "blocked_seconds" in result:
        assert result["blocked_seconds"] >= request["seconds"]
    elif "sum" in result:
        assert int(result["sum"]) == sum(range(request.get("from", 0), request["n"]))
    elif "count" in result:
        if request["to"] < len(PRIMES):  # the examples are larger
            assert result["count"] == max(0, PRIMES[request["to"]] - PRIMES[request.get("from", 0)])
    elif "addresses" in result:
        assert "127.0.0.1" in result["addresses"]


def check_gather_result(request, result):
    tasks = request.get("tasks")
    if tasks is None:  # a map
        tasks = [{"function": request["function"], "input": i} for i in request["inputs"]]
    assert result["mode"] == request.get("mode", "all")
    assert result.get("quorum") == request.get("quorum")
    assert len(result["tasks"]) == len(tasks)
    for spec, child in zip(tasks, result["tasks"]):
        assert child["function"] == spec["function"] and child.get("name") == spec.get("name")
        if child.get("result") is not None:
            check_result(spec.get("input", {}), child["result"])


def check_rejection(response, mutation, what):
    """Checks that the mutation is the only reason for the rejection."""
    assert response.status == mutation.status, (what, response.value)
    pointers = [e.get("pointer") for e in response.value["errors"]]
    # An error names the missing member, or members of the missing object.
    if mutation.what.startswith("no ") and mutation.status == 422:
        matches = all(p == mutation.pointer or p.startswith(mutation.pointer + "/") for p in pointers)
    else:
        matches = pointers == [mutation.pointer]
    assert matches, (what, mutation.pointer, response.value)


@pytest.mark.parametrize(argvalues=POST_OPERATIONS, **by_operation)
def test_mutated_input_is_rejected(operation, client):
    @given(st.data())
    def run(data):
        body = data.draw(valid(operation.body_schema()))
        mutations = st.sampled_from(mutated(operation.body_schema(), body))
        for mutation in data.draw(st.lists(mutations, min_size=1, max_size=8)):
            check_rejection(client.post(operation.path, mutation.value), mutation, (mutation.what, mutation.value))

    run()


@pytest.mark.parametrize(argvalues=POST_OPERATIONS, **by_operation)
def test_mutated_examples_are_rejected(operation, client):
    for name, body in operation.request_examples().items():
        for mutation in mutated(operation.body_schema(), body):
            check_rejection(client.post(operation.path, mutation.value), mutation, (name, mutation.what))


def successful_example(operation):
    """The last request example that succeeds; it is the fastest."""
    return [body for name, body in operation.request_examples().items() if operation.example_error(name) is None][-1]


@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
@settings(max_examples=100)
@given(data=st.data())
def test_query_options_are_applied(operation, server, data):
    body = successful_example(operation)
    known = {p["name"]: valid(p["schema"]) for p in operation.query_parameters()}
    options = repair(None, data.draw(st.fixed_dictionaries({}, optional=known)))
    encode = data.draw(st.sampled_from([quote, quote_plus, lambda s: "".join(f"%{b:02x}" for b in s.encode())]))
    query = "&".join(f"{name}={encode(str(value))}" for name, value in options.items())
    with Client(server.urls()[0]) as client:
        response = client.post(f"{operation.path}?{query}", body)
    task = response.value if response.status == 200 else response.value["task"]
    assert task["name"] == options.get("name")
    check_options(options, task)
    assert response.status == 200 or (response.status == 504 and has_time_limit(options))


INVALID_OPTIONS = [
    ("name=", "name"), ("name", "name"), ("name=" + "x" * 129, "name"), ("name=" + "%C3%A9" * 129, "name"),
    ("name=a%00b", "name"), ("name=%FF", "name"), ("name=%C0%80", "name"), ("name=%ED%A0%80", "name"),
    ("name=%4", "name"), ("name=%zz", "name"), ("name=a&name=b", "name"), ("name=a&name=a", "name"),
    ("n%61me=a&name=b", "name"),
    ("timeout_seconds=0", "timeout_seconds"), ("timeout_seconds=", "timeout_seconds"),
    ("timeout_seconds=-1", "timeout_seconds"), ("timeout_seconds=nan", "timeout_seconds"),
    ("timeout_seconds=inf", "timeout_seconds"), ("timeout_seconds=0x1p3", "timeout_seconds"),
    ("timeout_seconds=1,5", "timeout_seconds"), ("timeout_seconds=1s", "timeout_seconds"),
    ("timeout_seconds=%201", "timeout_seconds"), ("timeout_seconds=1e999", "timeout_seconds"),
    ("timeout_seconds=86400.000000001", "timeout_seconds"),
    ("timeout_seconds=9223372036854775808", "timeout_seconds"),
    ("deadline_seconds=0", "deadline_seconds"), ("deadline_seconds=86401", "deadline_seconds"),
    ("deadline_seconds=true", "deadline_seconds"),
    ("executor=", "executor"), ("executor=Loop", "executor"), ("executor=files", "executor"),
    ("executor=threads&executor=threads", "executor"), ("pool=", "pool"), ("pool=no_such_pool", "pool"),
    ("pool=no_such_pool&executor=threads", "pool"), ("pool=processes", "pool"), ("pool=Default", "pool"),
    ("parallel=0", "parallel"), ("parallel=65", "parallel"), ("parallel=1.5", "parallel"), ("parallel=-1", "parallel"),
    ("parallel=", "parallel"), ("parallel=two", "parallel"), ("max_concurrency=1", "max_concurrency"),
    ("seconds=1", "seconds"), ("Name=a", "Name"), ("=1", ""), ("mode=all", "mode"), ("timeout=1", "timeout"),
]


@pytest.mark.parametrize("query, parameter", INVALID_OPTIONS)
@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
def test_invalid_query_options_are_rejected(operation, query, parameter, client):
    body = next(iter(operation.request_examples().values()))
    response = client.post(f"{operation.path}?{query}", body)
    assert response.status == 422, response.value
    assert [e.get("parameter") for e in response.value["errors"]] == [parameter]


UNSUPPORTED_OPTIONS = [  # valid options that the function or executor does not support
    ("executor=loop", "executor", contract.POOL_EXECUTORS), ("executor=threads", "executor", ("loop",)),
    ("executor=processes", "executor", ("loop",)), ("pool=default&executor=processes", "pool", contract.POOL_EXECUTORS),
    ("pool=default", "pool", ("loop", "processes"))]


@pytest.mark.parametrize("query, parameter, executors", UNSUPPORTED_OPTIONS)
@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
def test_options_unsupported_by_function_are_rejected(operation, query, parameter, executors, client):
    function = client.get("/v1/functions/" + operation.path.rsplit("/", 1)[1]).value
    body = next(iter(operation.request_examples().values()))
    if function["executor"] in executors:
        response = client.post(f"{operation.path}?{query}", body)
        assert response.status == 422, response.value
        assert [e.get("parameter") for e in response.value["errors"]] == [parameter]
    if not function["parallelizable"]:
        response = client.post(f"{operation.path}?parallel=2", body)
        assert [e.get("parameter") for e in response.value["errors"]] == ["parallel"]


@pytest.mark.parametrize(argvalues=openapi_spec.OPERATIONS, **by_operation)
def test_unknown_query_parameters_are_rejected(operation, client):
    body = next(iter(operation.request_examples().values()), None)
    response = client.fetch(operation.method, operation.example_target() + "?no_such_parameter=1",
                          body and json.dumps(body).encode())
    assert response.status == 422
    assert [e.get("parameter") for e in response.value["errors"]] == ["no_such_parameter"]


def check_resembles_example(operation, result):
    """Checks that a documented example of the result has the same members, if the operation has examples."""
    examples = operation.result_examples()
    assert not examples or set(result) in [set(example) for example in examples], result


@pytest.mark.parametrize("operation, name",
                         [(o, name) for o in POST_OPERATIONS for name in o.request_examples()], ids=str)
def test_request_examples_end_as_documented(operation, name, client):
    body, error = operation.request_examples()[name], operation.example_error(name)
    response = client.post(operation.path, body)
    if error is None:
        assert response.status == operation.success(), response.value
        check_matches_request(operation, body, response.value)
        check_resembles_example(operation, response.value["result"])
    else:
        assert response.value["type"] == contract.problem_type(error), response.value


@pytest.mark.parametrize(argvalues=GET_OPERATIONS, **by_operation)
def test_get_returns_documented_response(operation, client):
    response = client.get(operation.example_target())
    assert response.status == 200
    for status, example in operation.response_examples().items():
        if status == 200:
            assert same_members(response.value, example)
    head = client.fetch("HEAD", operation.example_target())
    ignored = {"date", "x-request-id"}
    if operation.path == "/v1/pools":  # ages vary in length
        ignored.add("content-length")
    assert [h for h in head.headers if h[0].lower() not in ignored] == [
        h for h in response.headers if h[0].lower() not in ignored]


def same_members(value, example):
    """Whether the value has the same members as the example. For pools, the members of each pool are compared."""
    if "pools" in example:
        members_of = {p["executor"]: set(p) for p in value["pools"]}
        return all(members_of[p["executor"]] == set(p) for p in example["pools"])
    return set(value) == set(example)


# Requests that cause the errors that no request example causes: {code: request}.
SLEEP = b'{"seconds": 5}'
PROBLEMS = {
    "malformed_json": ("POST", "/v1/run/sleep", b'{"seconds": }', {}),
    "malformed_http": ("GET", "/v1/limits", None, {"Content-Length": "0", "Transfer-Encoding": "chunked"}),
    "cross_origin_request": ("GET", "/v1/limits", None, {"Origin": "http://example.com"}),
    "not_found": ("GET", "/v2/limits", None, {}),
    "function_not_found": ("POST", "/v1/tasks", b'{"function": "slep"}', {}),
    "method_not_allowed": ("GET", "/v1/run/sleep", None, {}),
    "body_too_large": ("POST", "/v1/run/sleep", b" " * 1048577, {}),
    "unsupported_media_type": ("POST", "/v1/run/sleep", SLEEP, {"Content-Type": "text/plain"}),
    "misdirected_request": ("GET", "/v1/limits", None, {"Host": "example.com"}),
    "invalid": ("POST", "/v1/run/sleep", b'{"seconds": -1}', {}),
    "invalid_argument": ("POST", "/v1/run/sleep", b'{"seconds": 0, "seconds": 0}', {}),
    "limit_exceeded": ("POST", "/v1/tasks", b'{"function": "sleep", "input": {"seconds": 5}, "timeout_seconds": 86401}',
                       {}),
    "deadline_exceeded": ("POST", "/v1/run/sleep?deadline_seconds=0.001", SLEEP, {}),
}
EXAMPLE_CODES = {o.example_error(name) for o in POST_OPERATIONS for name in o.request_examples()} - {None}
# Errors that need another configuration or a fault. Only unit tests simulate a name server that does not answer.
TESTED_ELSEWHERE = {"executor_disabled", "out_of_memory", "pool_full", "resolve_failed", "shutting_down",
                    "too_many_connections", "too_many_tasks", "worker_crashed", "worker_out_of_memory"}
# Errors of operations on files: tested in test_files.py.
FILE_CODES = {"access_denied", "file_exists", "file_mode_mismatch", "file_not_found", "handle_closed",
              "insufficient_storage", "invalid_utf8", "io_error", "path_forbidden", "too_many_open_files",
              "unsupported_file_type"}


def test_every_error_code_has_a_test():
    declared = {code for o in openapi_spec.OPERATIONS if "files" not in o.node["tags"] for code in o.codes()}
    tested = [set(PROBLEMS), EXAMPLE_CODES, TESTED_ELSEWHERE, FILE_CODES]
    assert declared | {"not_found", "method_not_allowed"} == set().union(*tested)
    assert sum(map(len, tested)) == len(set().union(*tested))


@pytest.mark.parametrize("code", PROBLEMS)
def test_request_causes_problem(code, client):
    method, target, body, headers = PROBLEMS[code]
    assert client.fetch(method, target, body, headers).value["type"] == contract.problem_type(code)


def test_function_list_is_small_summary(client):
    response = client.get("/v1/functions")
    assert len(response.body) < 8192
    for summary in response.value["functions"]:
        function = client.get(f"/v1/functions/{summary['name']}").value
        assert summary == {name: value for name, value in function.items() if name in summary}


def renamed_references(node):
    """Replaces the references in a schema of /v1/functions by those in openapi.yaml."""
    return json.loads(json.dumps(node).replace('"#/$defs/', '"#/components/schemas/'))


def without_alternative(schema):
    """Replaces a reference to one alternative of TaskChild, which parts have, by one to TaskChild."""
    return json.loads(re.sub(r'(#/components/schemas/)\w+(TaskChild")', r"\1\2", json.dumps(schema)))


# In openapi.yaml these are unions with one alternative for each type of result. /v1/functions allows any result.
UNIONS_OF_RESULTS = {"FileStepResult", "TaskChild"}


def test_function_schemas_are_those_of_openapi(client):
    names = [f["name"] for f in client.get("/v1/functions").value["functions"]]
    assert names == openapi_spec.FUNCTIONS
    for name in names:
        function = client.get(f"/v1/functions/{name}").value
        operation = next(o for o in POST_OPERATIONS + FILE_OPERATIONS if o.path == f"/v1/run/{name}")
        assert renamed_references(function["input"]) == operation.body_schema()
        assert renamed_references(function["result"]) == operation.result_schema()
        for definition in function["$defs"].keys() - UNIONS_OF_RESULTS:
            schema = function["$defs"][definition]
            expected = without_alternative(openapi_spec.SCHEMAS[definition])
            assert renamed_references(schema) == expected, f"{name}: {definition}"


def test_function_schemas_are_self_contained(client):
    """A client can validate with the schemas of /v1/functions alone, without openapi.yaml."""
    document = client.get("/v1/functions/gather").value
    used = {reference.removeprefix("#/$defs/") for reference in members(document, "$ref")}
    assert used == set(document["$defs"])

    def validator(kind):
        return jsonschema.Draft202012Validator(document[kind], resolver=jsonschema.RefResolver("", document))

    tasks = [{"function": "gather", "input": {"tasks": [{"function": "sleep", "input": {"seconds": 0}}]}}]
    validator("input").validate({"tasks": tasks})
    assert not validator("input").is_valid({"tasks": [{"function": "sleep", "input": {}}]})
    result = client.post("/v1/gather", {"tasks": tasks}).value["result"]
    validator("result").validate(result)
    assert not validator("result").is_valid({**result, "x": 1})


def test_unknown_function_returns_404(client):
    for name in ("nothing", "Sleep", "sleep%20", "sleep%2F", "%C3%A9", "a" * 300):
        assert client.get(f"/v1/functions/{name}").status == 404
        assert client.post(f"/v1/run/{name}", {}).status == 404


def test_default_limits_match_documentation(client):
    values = client.get("/v1/limits").value
    for name, schema in openapi_spec.SCHEMAS["Limits"]["properties"].items():
        assert f"Default: `{values[name]}`." in schema["description"], name


def test_schema_bounds_match_default_limits(client):
    """The default limits in openapi.yaml are those of the service."""
    limits, schemas = client.get("/v1/limits").value, openapi_spec.SCHEMAS
    assert schemas["GatherInput"]["properties"]["tasks"]["maxItems"] == limits["max_gather_children"]
    assert schemas["TimeoutSeconds"]["maximum"] == limits["max_timeout_seconds"]
    assert schemas["DeadlineSeconds"]["maximum"] == limits["max_deadline_seconds"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_quickstart_command_works(server):
    """The description of openapi.yaml begins with a shell command, which works."""
    lines = openapi_spec.DOCUMENT["info"]["description"].split("\n")
    command = "\n".join(line for line in lines if line.startswith("    "))
    assert command.strip().startswith("curl ") and openapi_spec.DOCUMENT["servers"][0]["url"] in command
    command = command.replace(openapi_spec.DOCUMENT["servers"][0]["url"], server.urls()[0])
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                          timeout=60)
    task = contract.parse_json(done.stdout)
    assert [c["name"] for c in task["result"]["tasks"]] == ["task1", "task2"]
    assert 2 <= task["duration_seconds"] < task["result"]["serial_seconds"]


def test_limits_and_schemas_reflect_configuration(start):
    server = start("--max-gather-children", "7", "--max-timeout-seconds", "12.5", "--default-timeout-seconds", "2")
    with Client(server.urls()[0]) as client:
        limits = client.get("/v1/limits").value
        schemas = client.get("/v1/functions/gather").value["$defs"]
    assert (limits["max_gather_children"], limits["max_timeout_seconds"]) == (7, 12.5)
    assert limits["default_timeout_seconds"] == 2
    assert schemas["GatherInput"]["properties"]["tasks"]["maxItems"] == 7
    assert schemas["TimeoutSeconds"]["maximum"] == 12.5


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "post")


@pytest.mark.parametrize("path", openapi_spec.DOCUMENT["paths"])
def test_undocumented_methods_return_405(path, client):
    target = next(o for o in openapi_spec.OPERATIONS if o.path == path).example_target()
    for method in METHODS:
        if method not in openapi_spec.allowed_methods(path):
            response = client.fetch(method, target)  # contract.check() checks Allow
            assert response.status == 405, (method, response.status)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/tasks/", "//v1/tasks", "/v1//tasks", "/V1/tasks",
                                  "/v1/run", "/v1/run/", "/v1/functions/", "/v1/functions/sleep/x", "/livez/",
                                  "/openapi.yml", "/v1/tasks/01KAN5C3S0W9TZ3M5X7CEYAK4HQ2", "/metrics",
                                  "/v1/%67ather/x", "/a" * 500])
def test_unknown_paths_return_404(path, client):
    for method in ("GET", "POST", "DELETE"):
        assert client.fetch(method, path).value["type"] == "urn:gatherd:error:not_found"
    assert client.fetch("HEAD", path).status == 404


def test_percent_encoded_paths_are_equivalent(client):
    assert client.get("/v1/%66unctions/sl%65ep").value["name"] == "sleep"
    assert client.post("/v1/%67ather", {"tasks": []}).status == 200


def test_error_title_matches_error_table(client):
    """contract.py compares the title of each problem that occurs; this one is certain to occur."""
    assert client.get("/nothing").value["title"] == contract.ERRORS["not_found"][1]


@given(name=texts(1, 128))
def test_task_name_is_returned_unchanged(server, name):
    with Client(server.urls()[0]) as client:
        task = client.post("/v1/tasks", {"function": "sleep", "input": {"seconds": 0}, "name": name}).value
    assert task["name"] == name
