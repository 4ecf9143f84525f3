"""strategies - generates valid request bodies from the schemas of openapi.yaml, and invalid ones by mutation."""

import copy
import json
import math
from dataclasses import dataclass
from functools import lru_cache

from hypothesis import strategies as st

import openapi_spec

# Constraints stricter than those of the schemas, for speed: {schema: {member: constraints}}.
SMALL_RANGE = {"maximum": 20000}
CONSTRAINTS = {
    "SleepInput": {"seconds": {"maximum": 0.01}}, "BlockInput": {"seconds": {"maximum": 0.01}},
    "GatherInput": {"tasks": {"maxItems": 4}}, "GatherRequest": {"tasks": {"maxItems": 4}},
    "PrimesInput": {"to": SMALL_RANGE, "from": SMALL_RANGE}, "SumInput": {"n": SMALL_RANGE, "from": SMALL_RANGE},
    # These resolve without a name server.
    "ResolveInput": {"host": {"enum": ["localhost", "127.0.0.1"]}, "family": {"enum": ["any", "ipv4"]}}}
CONSTRAINTS.update({name: {"inputs": {"maxItems": 4}} for name in openapi_spec.mapping("MapInput").values()})
MAX_TEXT = 4096  # characters of a generated string
MAX_ITEMS = 4    # items of a generated array
PATHS = ["hello.txt", "new.txt", "docs", "docs/a.txt", "docs/nothing/a.txt", ".", "../x", "/x", "docs/../hello.txt",
         "a/", "link", "\u00e9", "a b", ".gatherd-tmp/x"]
MAX_DEPTH = 3  # nesting depth of generated gathers and maps

OTHER_TYPES = {"object": {}, "array": [], "string": "x", "number": 1, "boolean": True, "null": None}


def resolve_schema(node, name=None):
    """Follows top-level references. Returns the schema and the name of the last reference."""
    while "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        node = {**openapi_spec.resolve_pointer(node["$ref"]), **{k: v for k, v in node.items() if k != "$ref"}}
    return node, name


# -- valid values --------------------------------------------------------------------------------

def valid(node, depth=MAX_DEPTH, limits=None, rules=True):
    """A strategy for values of the schema, within CONSTRAINTS. Without `rules`, members are valid only one by one."""
    return _valid(json.dumps(node), depth, json.dumps(limits), rules)


@lru_cache(maxsize=None)
def _valid(node, depth, limits, rules):
    """Makes the strategy. Cached, because this takes longer than drawing from it."""
    node, limits = json.loads(node), json.loads(limits)
    node, name = resolve_schema(node)
    node = {**node, **(limits or {})}
    if "const" in node:
        return st.just(node["const"])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if name == "FilePath":
        return st.one_of(st.sampled_from(PATHS), texts(1, 255), texts(1, node["maxLength"]))
    if "oneOf" in node:
        branches = [b for b in node["oneOf"] if depth > 0 or not has_children(b)]
        return st.one_of([valid(b, depth - has_children(b), rules=rules) for b in reversed(branches)])
    if node["type"] == "object":
        members = {m: valid(s, depth, CONSTRAINTS.get(name, {}).get(m), rules) for m, s in node["properties"].items()}
        required = {m: members.pop(m) for m in node.get("required", [])}
        values = st.fixed_dictionaries(required, optional=members)
        return values.map(lambda value: repair(name, value)) if rules else values
    if node["type"] == "array":
        return st.lists(valid(node["items"], depth, rules=rules), min_size=node.get("minItems", 0),
                        max_size=min(node["maxItems"], MAX_ITEMS))
    if node["type"] == "string":
        return texts(node.get("minLength", 0), min(node["maxLength"], MAX_TEXT))
    if node["type"] == "boolean":
        return st.booleans()
    if node["type"] == "integer":
        return st.integers(node["minimum"], node["maximum"])
    assert node["type"] == "number", node
    return numbers(node)


def discriminator(node):
    """(member, value) that selects this branch of a union; None for a schema that is not a branch."""
    return next(((m, s["const"]) for m, s in resolve_schema(node)[0]["properties"].items() if "const" in s), None)


def has_children(node):
    return discriminator(node)[1] in ("gather", "map")


def repair(name, value):
    """Makes a value obey the rules between members, which schemas state in dependentSchemas."""
    if "pool" in value:
        value["executor"] = "threads"
    if name == "WriteFileInput" and value.get("mode") == "a":
        value.pop("atomic", None)
    if name not in ("GatherInput", "GatherRequest"):
        return value
    if not value["tasks"] and value.get("mode") in ("any", "race", "quorum"):
        value["mode"] = "all_settled"
    mode = value.get("mode", "all")
    value.pop("quorum", None) if mode != "quorum" else value.update(quorum=1 + len(value["tasks"]) // 2)
    if mode != "all":
        value.pop("tolerated_failures", None)
    return value


def texts(minimum, maximum):
    """A strategy for strings of `minimum` to `maximum` characters, without U+0000."""
    plain = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=maximum)
    full = st.sampled_from(["x" * maximum, "\u00e9" * maximum, "\U0001f40c" * maximum, '"\\\b/\u2028' * 8])
    return st.one_of(plain, full).filter(lambda s: minimum <= len(s) <= maximum)


def numbers(node):
    minimum = node.get("minimum", node.get("exclusiveMinimum"))
    floats = st.floats(minimum, node["maximum"], exclude_min="exclusiveMinimum" in node, allow_subnormal=False)
    integers = st.integers(math.floor(minimum), math.floor(node["maximum"]))
    return st.one_of(floats, integers, st.just(node["maximum"])).filter(
        lambda n: openapi_spec.validator({k: v for k, v in node.items() if k != "description"}).is_valid(n))


# -- mutated values ------------------------------------------------------------------------------

@dataclass
class Mutation:
    what: str
    pointer: str       # the pointer that the error must have
    value: object      # the mutated body
    status: int = 422


def escape(member):
    return member.replace("~", "~0").replace("/", "~1")


def mutated(node, body):
    """All mutations that make a valid body invalid: a list of Mutation."""
    mutations = []

    def add(path, what, new, status=422):
        mutations.append(Mutation(what, "".join("/" + escape(str(p)) for p in path), replaced(body, path, new), status))

    def visit(schema, value, path):
        schema, name = resolve_schema(schema)
        if "oneOf" in schema:
            branch = next(b for b in schema["oneOf"] if value.get(discriminator(b)[0]) == discriminator(b)[1])
            schema, name = resolve_schema(branch)
        kind = schema.get("type") or "string"
        for other, other_value in OTHER_TYPES.items():
            if other != kind and not (kind == "integer" and other == "number"):
                add(path, f"{other} for {kind}", other_value)
        if "enum" in schema:
            add(path, "no such name", "no_such_name")
            add(path, "an empty name", "")
            add(path, "a long name", "x" * 1000)
        elif "const" in schema:
            add(path, "no such name", "no_such_name", 404 if path[-1] == "function" else 422)
        elif kind == "object":
            mutate_object(schema, value, path)
        elif kind == "array":
            for i, item in enumerate(value):
                visit(schema["items"], item, [*path, i])
        elif kind == "string":
            mutate_text(schema, path)
        elif kind == "boolean":
            pass
        else:
            mutate_number(schema, kind, path)

    def mutate_object(schema, value, path):
        for member in schema.get("required", []):
            mutations.append(Mutation(f"no {member}", "".join("/" + str(p) for p in [*path, member]),
                              replaced(body, [*path, member], None, remove=True)))
        for member in ("no_such_member", "", "a/b~c", "\u00fc"):
            add([*path, member], "an unknown member", 1)
        for member, item in value.items():
            visit(schema["properties"][member], item, [*path, member])

    def mutate_text(schema, path):
        if schema.get("minLength", 0) > 0:
            add(path, "too short", "")
        if schema["maxLength"] <= 1 << 16:  # longer strings exceed the body limit
            add(path, "too long", "x" * (schema["maxLength"] + 1))
        if "pattern" in schema:
            add(path, "a NUL", "a\0b")

    def mutate_number(schema, kind, path):
        if "minimum" in schema:
            add(path, "too small", schema["minimum"] - 1)
        if "exclusiveMinimum" in schema:
            add(path, "equal to the exclusive minimum", schema["exclusiveMinimum"])
            add(path, "negative", -0.5)
        add(path, "too large", schema["maximum"] + 1)
        add(path, "far too large", 9223372036854775807)
        if kind == "integer":
            add(path, "a fraction", 1.5)

    visit(node, body, [])
    return mutations


def replaced(body, path, new, remove=False):
    """A copy of the body with another value at the path."""
    if not path:
        return new
    body = copy.copy(body)  # a shallow copy: the copies share siblings, which are never modified
    if len(path) > 1:
        body[path[0]] = replaced(body[path[0]], path[1:], new, remove)
    elif remove:
        del body[path[0]]
    else:
        body[path[0]] = new
    return body
