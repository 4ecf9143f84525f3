"""openapi.yaml is complete and strict, its examples are valid, and it agrees with the source code."""

import jsonschema
import pytest

import contract
import openapi_spec

SCHEMAS = openapi_spec.DOCUMENT["components"]["schemas"]
COMPONENTS = [(kind, name) for kind, items in openapi_spec.DOCUMENT["components"].items() for name in items]
# Responses that apply to all paths, as described in `info`; FileMethodNotFound applies to all paths of open files.
SHARED_RESPONSES = {("responses", "PathNotFound"), ("responses", "MethodNotAllowed"),
                    ("responses", "FileMethodNotFound")}
# Schemas that narrow another schema, which is strict.
NARROWING_SCHEMAS = {name for name, schema in SCHEMAS.items() if "allOf" in schema}


def nodes(node, path="#"):
    """All objects and arrays of the document, with their pointers."""
    yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, item in items:
        yield from nodes(item, f"{path}/{step}")


def references(node):
    return [n["$ref"] for _, n in nodes(node) if isinstance(n, dict) and isinstance(n.get("$ref"), str)]


def test_every_reference_resolves():
    found = references(openapi_spec.DOCUMENT)
    assert len(found) > 100
    for reference in found:
        assert openapi_spec.resolve_pointer(reference) is not None, reference


@pytest.mark.parametrize("kind, name", COMPONENTS)
def test_every_component_is_used(kind, name):
    used = f"#/components/{kind}/{name}" in references(openapi_spec.DOCUMENT)
    assert used != ((kind, name) in SHARED_RESPONSES)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_and_strict(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name].get("description", "").endswith((".", ".\n")), "the description must be sentences"
    rules = {"if", "then", "else", "dependentSchemas"}
    for path, node in nodes({k: v for k, v in SCHEMAS[name].items() if k not in rules}):
        if isinstance(node, dict) and isinstance(node.get("properties"), dict) and name not in NARROWING_SCHEMAS:
            assert node["type"] == "object" and node["additionalProperties"] is False, path
            assert set(node.get("required", [])) <= set(node["properties"]), path


@pytest.mark.parametrize("operation", openapi_spec.OPERATIONS, ids=str)
def test_every_operation_is_complete(operation):
    assert operation.node["operationId"] and operation.node["summary"] and operation.node["tags"]
    assert [o.node["operationId"] for o in openapi_spec.OPERATIONS].count(operation.node["operationId"]) == 1
    probe = operation.path in ("/livez", "/readyz")
    expected = {201 if operation.node["operationId"] == "openFile" else 200, 400, 422, 503}
    expected |= set() if probe else {403, 421}
    expected |= {413, 415, 500, 504} if operation.method == "POST" else set()
    expected |= {500, 504} if operation.method == "DELETE" else {500} if "/fs/" in operation.path else set()
    assert expected <= set(operation.responses)
    for status, response in operation.responses.items():
        assert "X-Request-Id" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status == 503)


@pytest.mark.parametrize("operation", openapi_spec.OPERATIONS, ids=str)
def test_examples_match_their_schemas(operation):
    if operation.body_schema() is not None:
        assert operation.request_examples()
    for name, value in operation.request_examples().items():
        openapi_spec.check_value(value, operation.body_schema(), name)
    for name, (status, value) in operation.response_examples().items():
        node, = operation.responses[status]["content"].values()
        openapi_spec.check_value(value, node["schema"], name)
        if isinstance(value, dict) and "state" in value:
            contract.check_task(value)
    for parameter in operation.parameters:
        openapi_spec.check_value(parameter["example"], parameter["schema"], parameter["name"])
    for response in operation.responses.values():
        for name, header in response.get("headers", {}).items():
            header = openapi_spec.resolve(header)
            openapi_spec.check_value(header["example"], header["schema"], name)


def test_error_codes_match_source():
    types = SCHEMAS["Problem"]["properties"]["type"]["enum"]
    assert types == [contract.problem_type(code) for code in contract.ERRORS]
    assert set(SCHEMAS["TaskError"]["properties"]["code"]["enum"]) <= set(contract.ERRORS)


def test_error_codes_match_response_status():
    named = {}
    for status, response in [(s, r) for o in openapi_spec.OPERATIONS for s, r in o.responses.items()] + [
            (contract.ERRORS[code][0], openapi_spec.DOCUMENT["components"]["responses"][name]) for name, code in
            (("PathNotFound", "not_found"), ("MethodNotAllowed", "method_not_allowed"),
             ("FileMethodNotFound", "file_method_not_found"))]:
        for code, (expected_status, _) in contract.ERRORS.items():
            if f"`{code}`" in response["description"]:
                assert status == expected_status, (code, status)
                named[code] = status
    assert set(contract.ERRORS) - set(named) <= {"canceled"}


def test_limit_names_are_consistent():
    limits = SCHEMAS["Limits"]
    assert limits["required"] == list(limits["properties"]) == SCHEMAS["ExceededLimit"]["properties"]["name"]["enum"]
