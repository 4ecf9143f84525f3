"""openapi_spec - openapi.yaml as data: operations, examples, error codes, schemas and their validators.

The tests check responses against the committed file, which the server does not read.
"""

import re
from functools import lru_cache
from urllib.parse import unquote

import jsonschema
import yaml

from server import ROOT

FILE = ROOT / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DOCUMENT = yaml.load(FILE.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
SCHEMAS = DOCUMENT["components"]["schemas"]
CODE_PREFIX = "urn:gatherd:error:"


@lru_cache(maxsize=None)
def resolve_pointer(pointer):
    """The node of the document that a reference "#/..." points to."""
    node = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def resolve(node):
    """Follows a reference, unless its node has members other than description."""
    while isinstance(node, dict) and set(node) - {"description"} == {"$ref"}:
        node = resolve_pointer(node["$ref"])
    return node


def schema(name):
    return {"$ref": f"#/components/schemas/{name}"}


def mapping(name):
    """{value of the discriminator: name of the schema} of a union."""
    return {value: pointer.rsplit("/", 1)[1] for value, pointer in SCHEMAS[name]["discriminator"]["mapping"].items()}


FUNCTIONS = sorted(mapping("TaskSpec"))


def _validate_reference(validator, reference, instance, _):
    """As jsonschema does it, without its search for base URIs."""
    yield from validator.descend(instance, resolve_pointer(reference))


def _validate_one_of(validator, branches, instance, node):
    """Validates only the branch that the discriminator selects. This is faster than trying all branches, and an error
    is that of one branch. test_openapi_document.py checks that the other branches cannot match."""
    discriminator = node.get("discriminator")
    if discriminator is None:
        yield from jsonschema.Draft202012Validator.VALIDATORS["oneOf"](validator, branches, instance, node)
        return
    member = discriminator["propertyName"]
    if not isinstance(instance, dict):
        yield jsonschema.ValidationError(f"{instance!r} is not an object")
    elif not isinstance(instance.get(member), str) or instance[member] not in discriminator["mapping"]:
        yield jsonschema.ValidationError(f"no branch for {member} {instance.get(member)!r}")
    else:
        yield from validator.descend(instance, resolve_pointer(discriminator["mapping"][instance[member]]))


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator,
                                         {"$ref": _validate_reference, "oneOf": _validate_one_of})


formats = jsonschema.FormatChecker(formats=())


@formats.checks("date-time")
def is_timestamp(value):
    """Times are in UTC, with microseconds."""
    return not isinstance(value, str) or re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", value) is not None


@lru_cache(maxsize=None)
def _validator(key):
    return _new_validator(resolve_pointer(key))


def _new_validator(node):
    return Validator(node, resolver=jsonschema.RefResolver("", DOCUMENT), format_checker=formats)


def validator(node):
    if isinstance(node, dict) and set(node) == {"$ref"}:
        return _validator(node["$ref"])
    return _new_validator(node)


def check_value(value, node, what):
    """Asserts that the value matches the schema."""
    error = jsonschema.exceptions.best_match(validator(node).iter_errors(value))
    assert error is None, f"{what}: {error.json_path}: {error.message}"


def codes(response):
    """The error codes that a response declares; none if it is not a problem."""
    media = response.get("content", {}).get("application/problem+json")
    if media is None:
        return []
    _, narrowed = media["schema"]["allOf"]
    return [value.removeprefix(CODE_PREFIX) for value in narrowed["properties"]["type"]["enum"]]


class Operation:
    def __init__(self, path, method):
        self.path, self.method = path, method.upper()
        self.node = DOCUMENT["paths"][path][method]
        self.parameters = [resolve(p) for p in self.node["parameters"]]
        self.responses = {int(status): resolve(r) for status, r in self.node["responses"].items()}

    def __repr__(self):
        return f"{self.method} {self.path}"

    def query_parameters(self):
        return [p for p in self.parameters if p["in"] == "query"]

    def body_schema(self):
        """The schema of the request body; None for an operation without a body."""
        body = self.node.get("requestBody")
        return body and body["content"].get("application/json", {}).get("schema")

    def _body_examples(self):
        body = self.node.get("requestBody")
        return body["content"].get("application/json", {}).get("examples", {}) if body else {}

    def request_examples(self):
        """The examples of the request body: {name: body}."""
        return {name: example["value"] for name, example in self._body_examples().items()}

    def example_error(self, name):
        """The error code of the response to a request example; None if the request succeeds."""
        return self._body_examples()[name].get("x-error")

    def response_examples(self):
        """The examples of responses: {status: value}."""
        return {status: media["example"] for status, response in self.responses.items()
                for media in response.get("content", {}).values() if "example" in media}

    def codes(self):
        """The error codes that the operation declares: {code: status}."""
        return {code: status for status, response in self.responses.items() for code in codes(response)}

    def success(self):
        """The status of a successful response. The operation must have only one."""
        status, = [s for s in self.responses if 200 <= s < 300]
        return status

    def result_schema(self):
        """The schema of a task's result; None for an operation that does not run one function."""
        content = self.responses[min(self.responses)].get("content", {}).get("application/json")
        return content and resolve(content["schema"]).get("properties", {}).get("result")

    def result_examples(self):
        """The examples of a task's result; an empty list if none are documented."""
        found = self.result_schema()
        return resolve(found).get("examples", []) if found is not None else []

    def example_target(self):
        """The path with the example of each parameter filled in."""
        values = {p["name"]: p["example"] for p in self.parameters if p["in"] == "path"}
        return self.path.format(**values)


OPERATIONS = [Operation(path, method) for path, item in DOCUMENT["paths"].items() for method in item
              if method in METHODS]


def allowed_methods(path):
    """The methods of a documented path, as in the header Allow."""
    methods = {o.method for o in OPERATIONS if o.path == path}
    return methods | ({"HEAD"} if "GET" in methods else set())


def path_template(target):
    """The documented path that matches a request target such as /v1/functions/sleep?a=b, or None."""
    path = re.sub(r"^http://[^/]+", "", target).split("?", 1)[0]
    segments = path.split("/")
    for template in sorted(DOCUMENT["paths"], key=lambda t: t.count("{")):  # the most specific match first
        expected = template.split("/")
        if template == "/v1/fs/{path}" and segments[:3] == ["", "v1", "fs"] and segments[3:4] > [""]:
            return template
        if len(expected) == len(segments) and all(
                (w.startswith("{") and s) or w == unquote(s) for w, s in zip(expected, segments)):
            return template
    return None


def operation_for(method, target):
    """The documented path and operation of a request, each None if not documented. HEAD uses the operation of GET."""
    path = path_template(target)
    expected = "GET" if method == "HEAD" else method
    return path, next((o for o in OPERATIONS if o.path == path and o.method == expected), None)
