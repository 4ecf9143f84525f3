"""openapi.yaml is complete, strict and without duplicates, has valid examples, and agrees with the source code."""

import json
import re

import jsonschema
import pytest

import contract
import openapi_spec
from openapi_spec import DOCUMENT, OPERATIONS, SCHEMAS

COMPONENTS = [(kind, name) for kind, items in DOCUMENT["components"].items() for name in items]
RULES = {"if", "then", "else", "dependentSchemas"}
LINES_MAX = 6500
LINE_LENGTH_MAX = 220  # of a list item, which YAML does not fold

by_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def nodes(node, path="#"):
    """All objects and arrays of the document, with their pointers."""
    yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, item in items:
        yield from nodes(item, f"{path}/{step}")


def objects(node):
    return [(path, n) for path, n in nodes(node) if isinstance(n, dict)]


def is_schema_node(path):
    """Whether the pointer is inside a schema, and not inside an example."""
    return "/schema" in path and not re.search(r"/(examples?|const|enum|mapping)(/|$)", path)


SCHEMA_NODES = [(path, node) for path, node in objects(DOCUMENT) if is_schema_node(path)]


def references(node):
    return [n["$ref"] for _, n in objects(node) if isinstance(n.get("$ref"), str)]


def resolved(node, seen=()):
    """Replaces each reference by its target, except the references inside a target to the target itself."""
    if isinstance(node, list):
        return [resolved(item, seen) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        target = openapi_spec.resolve_pointer(reference)
        return resolved({**target, **{k: v for k, v in node.items() if k != "$ref"}}, (*seen, reference))
    return {k: resolved(v, seen) for k, v in node.items()}


def duplicates(named):
    """The names of equal values: a list of lists with two names or more."""
    names = {}
    for name, value in named:
        names.setdefault(json.dumps(value, sort_keys=True), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def test_duplicates_are_found():
    assert duplicates([("a", {"x": 1, "y": 2}), ("b", {"y": 2, "x": 1}), ("c", {"x": 2})]) == [["a", "b"]]


# -- references and components ---------------------------------------------------------------------

def test_every_reference_resolves():
    found = references(DOCUMENT)
    assert len(found) > 100
    for reference in found:
        assert openapi_spec.resolve_pointer(reference) is not None, reference


@pytest.mark.parametrize("kind, name", COMPONENTS)
def test_every_component_is_used(kind, name):
    assert f"#/components/{kind}/{name}" in references(DOCUMENT)


def alternatives():
    """The schemas that are alternatives of a union, by the property that tells them apart."""
    return {name for _, node in SCHEMA_NODES if "discriminator" in node for name in
            (pointer.rsplit("/", 1)[1] for pointer in node["discriminator"]["mapping"].values())}


@pytest.mark.parametrize("kind", DOCUMENT["components"])
def test_no_component_stands_twice(kind):
    assert duplicates((name, resolved(node)) for name, node in DOCUMENT["components"][kind].items()) == []


def test_no_long_example_stands_twice():
    """Short ones can be equal, such as the path of a file for several functions."""
    examples = [(path, example["value"]) for path, node in objects(DOCUMENT) if path.startswith("#/paths")
                for name, example in node.get("examples", {}).items()
                if isinstance(node.get("examples"), dict) for path in [f"{path}/{name}"]]
    assert len(examples) > 30
    assert duplicates(e for e in examples if len(json.dumps(e[1])) > 60) == []


def test_document_is_readable():
    lines = openapi_spec.FILE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES_MAX
    assert [i for i, line in enumerate(lines, 1) if len(line) > LINE_LENGTH_MAX or line != line.rstrip()] == []


# -- schemas ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_and_strict(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    bases = {n["$ref"].rsplit("/", 1)[1] for _, node in SCHEMA_NODES for n in node.get("allOf", []) if "$ref" in n}
    for path, node in objects({k: v for k, v in SCHEMAS[name].items() if k not in RULES}):
        if isinstance(node.get("properties"), dict):
            assert node["type"] == "object", path
            is_closed = node.get("additionalProperties") is False or node.get("unevaluatedProperties") is False
            assert is_closed != (name in bases - {"Problem"}), path
            assert set(node.get("required", [])) <= set(node["properties"]), path


def test_keywords_are_used_in_one_way():
    for path, node in SCHEMA_NODES:
        if path.endswith("/properties"):
            continue
        if path.startswith("#/components/schemas") and not any(f"/{rule}/" in path for rule in RULES):
            assert "const" not in node or "type" in node, f"{path}: const without type"
        assert "default" not in node, f"{path}: default"
        assert "nullable" not in node, f"{path}: OpenAPI 3.0"


def test_every_member_is_described():
    """A member has a description, or the schema that it refers to has one."""
    for path, node in SCHEMA_NODES:
        if re.search(r"/properties/[^/]+$", path) and not any(f"/{rule}/" in path for rule in RULES):
            is_constant = "const" in node or path.startswith((
                "#/components/responses", "#/components/schemas/FailedTask", "#/components/schemas/SucceededTask"))
            is_shape = "anyOf" in node or "$ref" in node
            assert is_constant or is_shape or node.get("description", "").strip(), path


def test_unions_have_disjoint_alternatives():
    """Each alternative requires a different value of the discriminator, so that at most one can match."""
    unions = [node for _, node in SCHEMA_NODES if "discriminator" in node]
    assert len(unions) > 4
    for node in unions:
        member, mapping = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
        assert [branch["$ref"] for branch in node["oneOf"]] == list(mapping.values())
        for value, pointer in mapping.items():
            alternative = openapi_spec.resolve_pointer(pointer)
            assert alternative["type"] == "object" and member in alternative["required"]
            assert alternative["properties"][member]["const"] == value


# -- operations ------------------------------------------------------------------------------------

@by_operation
def test_every_operation_is_complete(operation):
    assert operation.node["operationId"] and operation.node["summary"] and operation.node["tags"]
    assert [o.node["operationId"] for o in OPERATIONS].count(operation.node["operationId"]) == 1
    assert "X-Request-Id" in [p["name"] for p in operation.parameters]
    is_probe = operation.path in ("/livez", "/readyz")
    expected = {400, 413, 422, 503} | (set() if is_probe else {403, 421})
    expected |= {415, 504} if operation.method == "POST" and operation.path != "/v1/files" else set()
    assert expected <= set(operation.responses)
    assert {s for s in operation.responses if s < 300} in ({200}, {201}, {200, 201})
    for status, response in operation.responses.items():
        assert response["description"].strip()
        assert "X-Request-Id" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status == 503)
        assert (status >= 400) == ("application/problem+json" in response.get("content", {}))


def test_tags_are_declared_and_used():
    declared = [tag["name"] for tag in DOCUMENT["tags"]]
    assert set(declared) == {tag for o in OPERATIONS for tag in o.node["tags"]} and len(set(declared)) == len(declared)
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_parameters_are_at_operations():
    for path, item in DOCUMENT["paths"].items():
        assert "parameters" not in item, path
        for operation in (o for o in OPERATIONS if o.path == path):
            in_path = [p["name"] for p in operation.parameters if p["in"] == "path"]
            assert in_path == re.findall(r"\{(\w+)\}", path)
            names = [(p["in"], p["name"]) for p in operation.parameters]
            assert len(set(names)) == len(names)
            assert all(p["description"] for p in operation.parameters)
            assert all(p.get("required", False) == (p["in"] == "path") for p in operation.parameters)


@by_operation
def test_examples_match_their_schemas(operation):
    schema = operation.body_schema()
    if schema is not None:
        assert operation.request_examples()
    for name, value in operation.request_examples().items():
        openapi_spec.check_value(value, schema, name)
        code = operation.example_error(name)
        assert code is None or code in operation.codes(), f"{name}: {code}"
    for status, value in operation.response_examples().items():
        node, = operation.responses[status]["content"].values()
        openapi_spec.check_value(value, node["schema"], status)
    for parameter in operation.parameters:
        if "example" in parameter:
            openapi_spec.check_value(parameter["example"], parameter["schema"], parameter["name"])
    for response in operation.responses.values():
        for name, header in response.get("headers", {}).items():
            header = openapi_spec.resolve(header)
            openapi_spec.check_value(header["example"], header["schema"], name)


def test_examples_in_schemas_are_valid():
    count = 0
    for path, node in SCHEMA_NODES:
        if path.endswith("/properties") or not isinstance(node.get("examples"), list):
            continue
        for value in node["examples"]:
            openapi_spec.check_value(value, node, path)
            count += 1
    assert count > 50


# -- agreement with the source ---------------------------------------------------------------------

def test_version_is_that_of_the_program():
    assert contract.PRODUCT == f"{DOCUMENT['info']['title']}/{DOCUMENT['info']['version']}"


def test_error_codes_match_source():
    types = SCHEMAS["Problem"]["properties"]["type"]["enum"]
    assert types == [contract.problem_type(code) for code in contract.ERRORS]


def test_error_codes_match_response_status():
    for operation in OPERATIONS:
        for status, response in operation.responses.items():
            found = openapi_spec.codes(response)
            assert (status >= 400) == bool(found) and len(set(found)) == len(found)
            assert {contract.ERRORS[code][0] for code in found} <= {status}, (operation, status)
            assert re.findall(r"^(?:- )?`(\w+)`: ", response["description"], re.MULTILINE) == found, (operation, status)


def test_every_error_code_is_declared():
    declared = {code for operation in OPERATIONS for code in operation.codes()}
    without_operation = {"not_found", "method_not_allowed", "file_method_not_found"}
    undeclared = {"internal",  # a bug in the service
                  "canceled"}  # only a child of a gather can report it
    assert declared | without_operation | undeclared == set(contract.ERRORS)
    assert not declared & (without_operation | undeclared)
    for code in without_operation:
        assert f"`{code}`" in DOCUMENT["info"]["description"]


def test_limit_names_are_consistent():
    limits = SCHEMAS["Limits"]
    assert limits["required"] == list(limits["properties"]) == SCHEMAS["ExceededLimit"]["properties"]["name"]["enum"]


def test_functions_are_consistent():
    names = openapi_spec.FUNCTIONS
    for union in ("TaskSpec", "AnyTask", "MapInput", "TaskChild"):
        assert list(openapi_spec.mapping(union)) == names
    assert {f"/v1/run/{name}" for name in names} == {p for p in DOCUMENT["paths"] if p.startswith("/v1/run/")}
    methods = [p.rsplit("/", 1)[1] for p in DOCUMENT["paths"] if p.startswith("/v1/files/{handle}/")]
    assert list(openapi_spec.mapping("FileScriptStep")) == list(openapi_spec.mapping("FileStepResult")) == methods
    assert set(names) | set(methods) < set(SCHEMAS["FailedTask"]["properties"]["function"]["enum"])
