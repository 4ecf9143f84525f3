"""For random requests, the service and the schemas of openapi.yaml agree on which are valid."""

import contextlib
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import openapi_spec
from client import Client
from file_helpers import create_example_files, remove_contents
from fuzz import MAX_BODY, Verdict, are_related, bodies, bounded, damaged, encode, exists, is_bounded, classify
from openapi_spec import CODE_PREFIX
from sizes import sized, soak
from strategies import valid

EXAMPLES = sized(3000, 100, 30)
WITH_BODY = [o for o in openapi_spec.OPERATIONS if o.body_schema() is not None]
WITH_QUERY = [o for o in openapi_spec.OPERATIONS if o.query_parameters()]
WITHOUT_INPUT = [o for o in openapi_spec.OPERATIONS if o.method == "GET" and o.path != "/v1/fs/{path}"]

pytestmark = soak
by_operation = {"argnames": "operation", "ids": str}
fuzz_settings = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def example_root(root):
    create_example_files(root)
    yield root
    remove_contents(root)


@contextlib.contextmanager
def request_target(operation, client):
    """The path for a request; opens and closes a file if the path has a handle."""
    if "{handle}" not in operation.path:
        yield operation.example_target()
        return
    opened = client.post("/v1/files", {"path": "fuzz.txt", "mode": "w+"}).value
    yield operation.path.format(handle=opened["id"])
    client.fetch("DELETE", f"/v1/files/{opened['id']}")


def check_agreement(response, verdict, request, value=None):
    """Checks that the response agrees with the verdict on its request. Its status and code are documented: see
    contract.check()."""
    what = (request, response.status, response.value)
    code = response.value["type"].removeprefix(CODE_PREFIX) if response.status >= 400 else None
    if verdict.is_valid:
        assert code not in ("invalid", "malformed_json", "function_not_found"), what
        assert response.status != 500 or "task" in response.value, what
        return
    assert code in verdict.codes, (what, verdict)
    if not verdict.places:
        return
    places = [error["pointer"] for error in response.value["errors"]]
    assert places and all(exists(value, place) for place in places), (what, verdict)
    assert any(are_related(place, other) for place in places for other in verdict.places), (what, verdict)


def release(client, response):
    """Closes a file that a request opened."""
    if response.header("location") is not None:
        client.fetch("DELETE", response.header("location"))


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_bodies(operation, client):
    schema = operation.body_schema()

    @fuzz_settings
    @given(bodies(schema), st.booleans())
    def run(body, ascii_only):
        data = encode(body, ascii_only)
        assume(len(data) < MAX_BODY)
        verdict = classify(schema, data)
        with request_target(operation, client) as target:
            response = client.fetch(operation.method, target, data)
            check_agreement(response, verdict, data[:2000], body)
            release(client, response)

    run()


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_damaged_bodies(operation, client):
    schema = operation.body_schema()

    @fuzz_settings
    @given(valid(schema).flatmap(lambda body: damaged(encode(bounded(body), False))))
    def run(data):
        assume(len(data) < MAX_BODY and is_bounded(data))
        is_absent = data == b"" and not operation.node["requestBody"]["required"]
        verdict = classify(schema, b"{}" if is_absent else data)
        with request_target(operation, client) as target:
            response = client.fetch(operation.method, target, data)
            check_agreement(response, verdict, data[:2000], json.loads(data) if verdict.places else None)
            release(client, response)

    run()


# -- query parameters ------------------------------------------------------------------------------

VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "2", "-1", "64", "65", "1.5", "0.25", "1.0", "1e3", "1e+3", "1E-3", "86400", "86401",
                     "86400.5", "x", "1x", "nan", "inf", "0x10", "1,5", " 1", "true", "null", "default", "processes",
                     "threads", "loop", "files", "no_such_pool", "a\0b", "\u00e9" * 128, "\u00e9" * 129,
                     "9223372036854775808"]),
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=20))


NUMBER_TEXTS = {"integer": re.compile(r"-?(0|[1-9][0-9]*)"),
                "number": re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")}


@st.composite
def queries(draw, operation):
    """A list of (name, text)."""
    known = {p["name"]: p["schema"] for p in operation.query_parameters()}
    names = draw(st.lists(st.one_of(st.sampled_from(sorted(known)), st.sampled_from(sorted(known)),
                                    st.sampled_from(["seconds", "", "Name", "max_concurrency"])), max_size=4))
    return [(name, draw(VALUES) if name not in known or draw(st.integers(0, 3)) == 0
             else str(draw(valid(known[name])))) for name in names]


def query_value(schema, text):
    """The value of a parameter: a number if its schema says so and the text is one in JSON, else the text. Integers are
    sequences of digits: 1.0 is an integer only in JSON."""
    kind = openapi_spec.resolve(schema)["type"]
    if kind in NUMBER_TEXTS and NUMBER_TEXTS[kind].fullmatch(text):
        return json.loads(text)
    return text


def classify_query(operation, query):
    """The verdict on task options. Parameters cannot state rules between them; these are those of a task spec."""
    known = {p["name"]: p["schema"] for p in operation.query_parameters()}
    are_unique = len({name for name, _ in query}) == len(query)
    are_valid = all(name in known and openapi_spec.validator(known[name]).is_valid(query_value(known[name], text))
                    for name, text in query)
    if not are_valid or not are_unique:
        codes = {"invalid_argument"} if not are_unique else set()
        return Verdict(False, frozenset(codes if are_valid else codes | {"invalid", "limit_exceeded"}))
    function = openapi_spec.resolve(operation.responses[200]["content"]["application/json"]["schema"])
    options = {name: query_value(known[name], text) for name, text in query}
    spec = {"function": function["properties"]["function"]["const"], "input": {}, **options}
    errors = [e for e in openapi_spec.validator(openapi_spec.schema("TaskSpec")).iter_errors(spec)
              if list(e.absolute_path)[:1] != ["input"]]
    return Verdict(not errors, frozenset({"invalid_argument"}))


@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
def test_queries(operation, client):
    body = [body for name, body in operation.request_examples().items() if operation.example_error(name) is None][-1]
    data = json.dumps(bounded(body)).encode()

    @fuzz_settings
    @given(queries(operation))
    def run(query):
        verdict = classify_query(operation, query)
        encoded = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in query)
        response = client.fetch("POST", f"{operation.path}?{encoded}", data)
        check_agreement(response, verdict, query)
        if not verdict.is_valid:
            assert {error["parameter"] for error in response.value["errors"]} <= {name for name, _ in query}, query

    run()


@pytest.mark.parametrize(argvalues=WITHOUT_INPUT, **by_operation)
def test_unknown_query_parameters(operation, client):
    @settings(max_examples=sized(300, 10))
    @given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20), VALUES)
    def run(name, text):
        with request_target(operation, client) as target:
            response = client.get(f"{target}?{quote(name, safe='')}={quote(text, safe='')}")
        check_agreement(response, Verdict(False, frozenset({"invalid"})), (name, text))
        if "\0" not in name:
            assert [error["parameter"] for error in response.value["errors"]] == [name]

    run()


# -- gathers ---------------------------------------------------------------------------------------

def test_gathers_of_valid_tasks_report_each_child(server):
    """The children of a gather have the functions and names of its tasks, in the same order."""
    @settings(max_examples=sized(1000, 20, 10))
    @given(st.lists(valid(openapi_spec.schema("TaskSpec"), depth=1), max_size=20))
    def run(tasks):
        body = bounded({"tasks": tasks, "mode": "all_settled"})
        with Client(server.urls()[0]) as client:
            response = client.post("/v1/gather", body)
        assert response.status == 200, response.value
        children = response.value["result"]["tasks"]
        assert [(c["function"], c.get("name")) for c in children] == [(t["function"], t.get("name")) for t in tasks]

    run()
