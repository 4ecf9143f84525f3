"""Invalid input is rejected, with the field and the reason, and starts no task."""

import json

import pytest

from client import Client, Raw, request_bytes
from contract import LINE_AND_COLUMN

MAX_CHILDREN = 10000  # the default of max_gather_children
SLEEP = {"function": "sleep", "input": {"seconds": 0.01}}


@pytest.fixture
def no_task_starts(server):
    """Checks after the test that the log shows no new tasks: the rejected requests started none."""
    def finished_count():
        return sum(len(server.events(event=f"task_{how}")) for how in ("succeeded", "failed", "canceled"))

    def run_marker_task(seconds):
        with Client(server.urls()[0]) as client:
            done = client.post("/v1/run/sleep", {"seconds": seconds}).value
        server.wait_event(event="task_succeeded", id=done["id"])

    run_marker_task(0)
    before = finished_count()
    yield
    run_marker_task(2 * SLEEP["input"]["seconds"])  # outlasts any task started by mistake
    assert finished_count() == before + 1, "a rejected request started a task"


# -- not JSON ------------------------------------------------------------------------------------

NESTING = 5000  # more levels than jansson's limit of 2048
NOT_JSON = {
    "empty": b"", "blank": b" \n", "cut": b'{"seconds": 1', "cut in a string": b'{"secon',
    "trailing": b'{"seconds": 0} x', "two": b'{"seconds": 0}{"seconds": 0}', "comma": b'{"seconds": 0,}',
    "single quotes": b"{'seconds': 0}", "no quotes": b"{seconds: 0}", "comment": b'{"seconds": 0} // nothing',
    "plus": b'{"seconds": +1}', "leading zero": b'{"seconds": 01}', "no digits": b'{"seconds": 1.}',
    "NaN": b'{"seconds": NaN}', "Infinity": b'{"seconds": Infinity}', "hexadecimal": b'{"seconds": 0x1}',
    "form": b"seconds=0", "byte order mark": b'\xef\xbb\xbf{"seconds": 0}',
    "UTF-16": '{"seconds": 0}'.encode("utf-16"), "Latin-1": b'{"seconds": 0, "x": "\xe9"}',
    "overlong UTF-8": b'{"\xc0\x80": 0}', "surrogate": b'{"\xed\xa0\x80": 0}',
    "beyond Unicode": b'{"\xf4\x90\x80\x80": 0}', "half a surrogate": b'{"\\ud800": 0}', "NUL": b'{"seconds": 0}\0',
    "control character": b'{"a\nb": 0}', "bad escape": b'{"\\x": 0}', "too large a number": b'{"seconds": 1e999}',
    "too large an integer": b'{"seconds": 9223372036854775808}',
    "far too large an integer": b'{"seconds": 1' + b"0" * 400 + b"}",
    "too small an integer": b'{"seconds": -9223372036854775809}',
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_malformed_json_returns_400(what, client, no_task_starts):
    for path in ("/v1/run/sleep", "/v1/tasks", "/v1/gather"):
        response = client.post(path, NOT_JSON[what])
        assert response.status == 400, response.value
        assert response.value["type"] == "urn:gatherd:error:malformed_json"


@pytest.mark.parametrize("body", [b"[" * NESTING + b"]" * NESTING, b'{"a":' * NESTING + b"0" + b"}" * NESTING,
                                  b"[" * NESTING], ids=["arrays", "objects", "open"])
def test_deep_nesting_returns_422(body, client, no_task_starts):
    for path in ("/v1/run/sleep", "/v1/tasks", "/v1/gather"):
        response = client.post(path, body)
        assert (response.status, response.value["type"]) == (422, "urn:gatherd:error:invalid_argument")
        assert "nested too deeply" in response.value["detail"]


def test_malformed_json_detail_has_line_and_column(client):
    for body, line, column in ((b'{\n  "seconds": 1,\n  "minutes" 2\n}', 3, 13), (b"nonsense", 1, 8),
                               (b'{"a": 1}}', 1, 9), ('{"\u00e9\u00e9\u00e9": x}'.encode(), 1, 9)):
        detail = client.post("/v1/run/sleep", body).value["detail"]
        found = tuple(map(int, LINE_AND_COLUMN.search(detail).groups()))
        assert found[0] == line and abs(found[1] - column) <= 1, detail


# -- JSON that violates the schema ------------------------------------------------------------------

def task(**changes):
    return {**SLEEP, **changes}


def children(*tasks, **options):
    return {"tasks": list(tasks), **options}


INVALID_BODIES = [
    ("/v1/run/sleep", [], ""), ("/v1/run/sleep", None, ""), ("/v1/run/sleep", 5, ""), ("/v1/run/sleep", "a", ""),
    ("/v1/run/sleep", True, ""), ("/v1/run/sleep", {}, "/seconds"), ("/v1/run/sleep", {"seconds": -1}, "/seconds"),
    ("/v1/run/sleep", {"seconds": -1e-300}, "/seconds"), ("/v1/run/sleep", {"seconds": "1"}, "/seconds"),
    ("/v1/run/sleep", {"seconds": None}, "/seconds"), ("/v1/run/sleep", {"seconds": False}, "/seconds"),
    ("/v1/run/sleep", {"seconds": [1]}, "/seconds"), ("/v1/run/sleep", {"seconds": 86400.5}, "/seconds"),
    ("/v1/run/sleep", {"seconds": 86400.000000001}, "/seconds"), ("/v1/run/sleep", {"seconds": 1e300}, "/seconds"),
    ("/v1/run/sleep", {"seconds": 0, "Seconds": 0}, "/Seconds"),
    ("/v1/run/sleep", {"seconds": 0, "name": "a"}, "/name"), ("/v1/tasks", {}, "/function"),
    ("/v1/tasks", task(name=""), "/name"), ("/v1/tasks", task(name="a\0"), "/name"),
    ("/v1/tasks", task(name="\0"), "/name"), ("/v1/tasks", task(name="x" * 129), "/name"),
    ("/v1/tasks", task(name=5), "/name"), ("/v1/tasks", task(name=None), "/name"),
    ("/v1/tasks", task(timeout_seconds=0), "/timeout_seconds"),
    ("/v1/tasks", task(timeout_seconds=None), "/timeout_seconds"),
    ("/v1/tasks", task(deadline_seconds=0.0), "/deadline_seconds"), ("/v1/tasks", task(labels={}), "/labels"),
    ("/v1/tasks", task(function=None), "/function"), ("/v1/tasks", task(function=["sleep"]), "/function"),
    ("/v1/tasks", {"function": "sleep", "input": []}, "/input"),
    ("/v1/tasks", {"function": "sleep", "input": None}, "/input"),
    ("/v1/tasks", {"input": {"seconds": 1}, "function": "sleep", "seconds": 1}, "/seconds"),
    ("/v1/tasks", {"input": {"seconds": 0, "tasks": []}, "function": "sleep"}, "/input/tasks"),
    ("/v1/gather", {}, "/tasks"), ("/v1/gather", {"tasks": {}}, "/tasks"),
    ("/v1/gather", {"tasks": None}, "/tasks"), ("/v1/gather", children(SLEEP, 5), "/tasks/1"),
    ("/v1/gather", children(None), "/tasks/0"),
    ("/v1/gather", children(SLEEP, task(input={"seconds": -1})), "/tasks/1/input/seconds"),
    ("/v1/gather", children(task(**{"a/b~c": 1})), "/tasks/0/a~1b~0c"),
    ("/v1/gather", children(task(**{"": 1})), "/tasks/0/"), ("/v1/gather", children(SLEEP, mode="ALL"), "/mode"),
    ("/v1/gather", children(SLEEP, mode=1), "/mode"), ("/v1/gather", children(SLEEP, mode=None), "/mode"),
    ("/v1/gather", children(SLEEP, max_concurrency=0), "/max_concurrency"),
    ("/v1/gather", children(SLEEP, max_concurrency=1.5), "/max_concurrency"),
    ("/v1/gather", children(SLEEP, max_concurrency="1"), "/max_concurrency"),
    ("/v1/gather", children(SLEEP, tolerated_failures=-1), "/tolerated_failures"),
    ("/v1/gather", children(SLEEP, input={}), "/input"),
    # Errors that depend on several members.
    ("/v1/gather", children(mode="any"), "/tasks"), ("/v1/gather", children(mode="race"), "/tasks"),
    ("/v1/gather", children(SLEEP, mode="quorum"), "/quorum"), ("/v1/gather", children(SLEEP, quorum=1), "/quorum"),
    ("/v1/gather", children(SLEEP, mode="any", quorum=1), "/quorum"),
    ("/v1/gather", children(SLEEP, mode="quorum", quorum=2), "/quorum"),
    ("/v1/gather", children(SLEEP, mode="quorum", quorum=0), "/quorum"),
    ("/v1/gather", children(SLEEP, mode="race", tolerated_failures=1), "/tolerated_failures"),
    ("/v1/run/gather", children(SLEEP, mode="quorum", quorum=2), "/quorum"),
    ("/v1/run/gather", children(SLEEP, name="a"), "/name"),
    ("/v1/tasks", {"function": "gather", "input": children(SLEEP, quorum=1)}, "/input/quorum"),
    ("/v1/gather", children({"function": "gather", "input": children(mode="any")}), "/tasks/0/input/tasks"),
]


@pytest.mark.parametrize("path, body, pointer", INVALID_BODIES)
def test_validation_errors_have_pointer(path, body, pointer, client, no_task_starts):
    response = client.post(path, json.dumps(body).encode())
    assert response.status == 422, response.value
    assert [e["pointer"] for e in response.value["errors"]] == [pointer]
    assert response.value["errors"][0]["detail"] in response.value["detail"]


def test_quorum_of_no_tasks_is_rejected(client, no_task_starts):
    response = client.post("/v1/gather", {"tasks": [], "mode": "quorum", "quorum": 1})
    assert response.status == 422
    assert {e["pointer"] for e in response.value["errors"]} <= {"/tasks", "/quorum"}


@pytest.mark.parametrize("path, body, line, column", [
    ("/v1/run/sleep", b'{"seconds": 0, "seconds": 0}', 1, 24),
    ("/v1/run/sleep", b'{"seconds": 0, "s\\u0065conds": 0}', 1, 29),
    ("/v1/run/sleep", b'{"x": 1, "x": 1}', 1, 12),
    ("/v1/tasks", b'{"function": "sleep", "input": {"seconds": 0, "seconds": 5}}', 1, 55),
    ("/v1/gather", b'{"tasks": [], "name": "a,]}\\"", "tasks": []}', 1, 39),
    ("/v1/gather", b'{"tasks": [{"function":"sleep","input":{"seconds":0}},\n'
                   b'{"function":"sleep","input":{"seconds":0,"seconds":1}}]}', 2, 50),
])
def test_duplicate_members_are_rejected(path, body, line, column, client, no_task_starts):
    response = client.post(path, body)
    assert response.status == 422, response.value
    assert response.value["detail"] == f"line {line}, column {column}: duplicate member name"
    assert response.value["errors"] == [{"pointer": "", "detail": response.value["detail"]}]


def test_validation_error_list_is_truncated(client, no_task_starts):
    response = client.post("/v1/gather", children(*(task(input={"seconds": -i - 1}) for i in range(500))))
    assert response.status == 422
    assert [e["pointer"] for e in response.value["errors"]] == [f"/tasks/{i}/input/seconds" for i in range(8)]
    assert "500" in response.value["detail"]


def test_pointers_to_hostile_names_are_valid_json(client, no_task_starts):
    for name in ("\u0000", "a\u0000b", '"', "\\", "\u202e\n\x1b[31m", "x" * 5000, "\U0001f40c" * 1000, "/" * 300):
        response = client.post("/v1/run/sleep", {"seconds": 0, name: 1})
        assert response.status == 422, response.value
        if "\u0000" in name:
            column = len('{"seconds": 0, ') + len(json.dumps(name))
            assert response.value["detail"] == f"line 1, column {column}: a member name must not contain a NUL"
        else:
            assert response.value["errors"][0]["pointer"].startswith("/")


# -- limits --------------------------------------------------------------------------------------

def nested(depth):
    """A request with gathers nested to this depth, for each route that can run a gather: [(path, body)]."""
    inner = b'{"tasks": []}'
    for _ in range(depth - 1):
        inner = b'{"tasks": [{"function": "gather", "input": %s}]}' % inner
    return [("/v1/gather", inner), ("/v1/run/gather", inner),
            ("/v1/tasks", b'{"function": "gather", "input": %s}' % inner)]


def test_gather_depth_at_limit_is_accepted(client):
    for path, body in nested(8):
        assert client.post(path, body).status == 200


@pytest.mark.parametrize("depth", [9, 10, 500])
def test_gather_depth_over_limit_is_rejected(depth, client, no_task_starts):
    for path, body in nested(depth):
        response = client.post(path, body)
        assert response.status == 422
        assert response.value["type"] == "urn:gatherd:error:limit_exceeded"
        assert response.value["limit"] == {"name": "max_gather_depth", "value": 8}
        pointer = response.value["errors"][0]["pointer"]
        assert pointer.startswith("/tasks/0/input/tasks/0/input" if path != "/v1/tasks" else "/input/tasks/0/input")


def test_gather_children_over_limit_are_rejected(client, no_task_starts):
    body = {"tasks": [{"function": "sleep", "input": {"seconds": 0}}] * (MAX_CHILDREN + 1)}
    response = client.post("/v1/gather", body)
    assert response.status == 422
    assert response.value["type"] == "urn:gatherd:error:limit_exceeded"
    assert response.value["limit"] == {"name": "max_gather_children", "value": MAX_CHILDREN}
    assert [e["pointer"] for e in response.value["errors"]] == ["/tasks"]


def test_gather_children_at_limit_are_accepted(client):
    response = client.post("/v1/gather", {"tasks": [{"function": "sleep", "input": {"seconds": 0}}] * MAX_CHILDREN})
    assert response.status == 200
    assert response.value["result"]["counts"]["succeeded"] == MAX_CHILDREN


@pytest.mark.parametrize("member, limit", [("timeout_seconds", "max_timeout_seconds"),
                                           ("deadline_seconds", "max_deadline_seconds")])
def test_time_limits_over_maximum_are_rejected(member, limit, client, no_task_starts):
    for path, body, location in (
            ("/v1/tasks", task(**{member: 86400.5}), {"pointer": "/" + member}),
            ("/v1/gather", children(task(**{member: 1e9})), {"pointer": f"/tasks/0/{member}"}),
            ("/v1/gather", children(**{member: 86401}), {"pointer": "/" + member}),
            (f"/v1/run/sleep?{member}=86401", {"seconds": 0}, {"parameter": member})):
        response = client.post(path, body)
        assert response.status == 422, response.value
        assert response.value["limit"] == {"name": limit, "value": 86400}
        assert location.items() <= response.value["errors"][0].items()


def test_request_over_max_tasks_is_rejected(start):
    server = start("--max-tasks", "3")
    with Client(server.urls()[0]) as client:
        assert client.post("/v1/gather", {"tasks": [SLEEP, SLEEP]}).status == 200
        for count in (3, 100):  # more than the limit
            response = client.post("/v1/gather", {"tasks": [SLEEP] * count})
            assert response.status == 422 and "Retry-After" not in response.headers
            assert response.value["limit"] == {"name": "max_tasks", "value": 3}
            assert "max_tasks is 3" in response.value["detail"] and response.value["errors"][0]["pointer"] == ""
        assert client.post("/v1/gather", {"tasks": [SLEEP, SLEEP]}).status == 200


# -- not found, not allowed, unsupported ---------------------------------------------------------

@pytest.mark.parametrize("name", ["nothing", "", "Sleep", "sleep ", "sleep\u0000", "\u00e9", "x" * 10000])
def test_unknown_function_has_pointer(name, client, no_task_starts):
    for path, body, pointer in (("/v1/tasks", {"function": name, "input": {}}, "/function"),
                                ("/v1/gather", children(SLEEP, {"function": name, "input": 5}),
                                 "/tasks/1/function")):
        response = client.post(path, body)
        assert response.status == 404, response.value
        assert response.value["type"] == "urn:gatherd:error:function_not_found"
        assert [e["pointer"] for e in response.value["errors"]] == [pointer]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "text/json",
                                        "application/jsonx", "application/json-patch+json",
                                        "application/octet-stream", "*/*", "", None])
def test_non_json_media_types_are_rejected(media_type, client, no_task_starts):
    for path in ("/v1/run/sleep", "/v1/run/gather", "/v1/tasks", "/v1/gather"):
        response = client.post(path, b'{"seconds": 0}', **{"Content-Type": media_type})
        assert response.status == 415, response.value
        assert "--json" in response.value["detail"]


@pytest.mark.parametrize("coding", ["gzip", "x", "gzip, identity", "deflate"])
def test_content_encoding_is_rejected(coding, client, no_task_starts):
    for path in ("/v1/run/sleep", "/v1/tasks", "/v1/gather"):
        response = client.post(path, b'{"seconds": 0}', **{"Content-Encoding": coding})
        assert response.status == 415, response.value
        assert response.header("accept-encoding") == "identity" and f'"{coding}"' in response.value["detail"]


@pytest.mark.parametrize("codings", [("gzip", "identity"), ("identity", "gzip"), ("gzip", "")])
def test_repeated_content_encoding_is_rejected(codings, server):
    with Raw(server.urls()[0]) as raw:
        raw.send(request_bytes("POST", "/v1/run/sleep", b'{"seconds": 0}', "Content-Type: application/json",
                               *(f"Content-Encoding: {coding}" for coding in codings)))
        assert raw.response("POST", "/v1/run/sleep").status == 415


def test_identity_content_encoding_is_accepted(client):
    for coding in ("identity", "Identity", ""):
        assert client.post("/v1/run/sleep", b'{"seconds": 0}', **{"Content-Encoding": coding}).status == 200


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON",
                                        "application/json;charset=UTF-8", "application/json ;a=b"])
def test_json_media_type_variants_are_accepted(media_type, client):
    assert client.post("/v1/run/sleep", b'{"seconds": 0}', **{"Content-Type": media_type}).status == 200


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/run/sleep", "/v1/run/gather", "/v1/gather"])
def test_get_on_post_path_returns_405(path, client, no_task_starts):
    response = client.get(path)
    assert response.status == 405
    assert response.header("allow") == "POST"


@pytest.mark.parametrize("text, least", [("1e-9", 1e-9), ("0.1", 0.1), ("1E-2", 0.01), ("0e999", 0), ("-0", 0),
                                         ("-0.0", 0), ("1e-400", 0), ("0.0000000001", 1e-9),
                                         ("0.012345678901234567890", 0.0123456789)])
def test_number_formats_are_accepted(text, least, client):
    response = client.post("/v1/run/sleep", b'{"seconds": ' + text.encode() + b"}")
    assert response.status == 200, response.value
    assert response.value["result"]["slept_seconds"] >= least


def test_integer_written_as_float_is_accepted(client):
    """As in JSON Schema, 2.0 is an integer."""
    response = client.post("/v1/gather", b'{"tasks": [{"function": "sleep", "input": {"seconds": 0}}], '
                                         b'"mode": "quorum", "quorum": 1.0, "max_concurrency": 1e3}')
    assert response.status == 200
    assert response.value["result"]["quorum"] == 1
