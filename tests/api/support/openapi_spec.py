"""openapi_spec - openapi.yaml as data: operations, examples, schemas and their validators."""

import re
from functools import lru_cache
from urllib.parse import unquote

import jsonschema
import yaml

from server import ROOT

FILE = ROOT / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DOCUMENT = yaml.safe_load(FILE.read_bytes())


def resolve_pointer(pointer):
    """The node of the document that a reference "#/..." points to."""
    node = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def resolve(node):
    """Follows a reference, unless its node has members other than description and default."""
    while isinstance(node, dict) and set(node) - {"description", "default"} == {"$ref"}:
        node = resolve_pointer(node["$ref"])
    return node


def schema(name):
    return {"$ref": f"#/components/schemas/{name}"}


@lru_cache(maxsize=None)
def _validator(key):
    resolver = jsonschema.RefResolver("", DOCUMENT)
    return jsonschema.Draft202012Validator(resolve_pointer(key), resolver=resolver)


def validator(node):
    if isinstance(node, dict) and set(node) == {"$ref"}:
        return _validator(node["$ref"])
    return jsonschema.Draft202012Validator(node, resolver=jsonschema.RefResolver("", DOCUMENT))


def check_value(value, node, what):
    """Asserts that the value matches the schema."""
    error = jsonschema.exceptions.best_match(validator(node).iter_errors(value))
    assert error is None, f"{what}: {error.json_path}: {error.message}"


class Operation:
    def __init__(self, path, method):
        self.path, self.method = path, method.upper()
        self.node = DOCUMENT["paths"][path][method]
        shared = DOCUMENT["paths"][path].get("parameters", [])
        self.parameters = [resolve(p) for p in [*shared, *self.node.get("parameters", [])]]
        self.responses = {int(status): resolve(r) for status, r in self.node["responses"].items()}

    def __repr__(self):
        return f"{self.method} {self.path}"

    def query_parameters(self):
        return [p for p in self.parameters if p["in"] == "query"]

    def body_schema(self):
        """The schema of the request body; None for an operation without a body."""
        body = self.node.get("requestBody")
        return body and body["content"].get("application/json", {}).get("schema")

    def request_examples(self):
        """The examples of the request body: {name: body}."""
        body = self.node.get("requestBody")
        examples = body["content"].get("application/json", {}).get("examples", {}) if body else {}
        return {name: example["value"] for name, example in examples.items()}

    def response_examples(self):
        """The examples of responses: {name: (status, value)}. The name is that of the request's example."""
        found = {}
        for status, response in self.responses.items():
            for media in response.get("content", {}).values():
                for name, example in media.get("examples", {}).items():
                    assert name not in found, f"{self}: two examples are named {name}"
                    found[name] = (status, example["value"])
        return found

    def example_target(self):
        """The path with the example of each parameter filled in."""
        values = {p["name"]: p["example"] for p in self.parameters if p["in"] == "path"}
        return self.path.format(**values)


OPERATIONS = [Operation(path, method) for path, item in DOCUMENT["paths"].items() for method in item
              if method in METHODS]


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
