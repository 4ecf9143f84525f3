"""fuzz - generates request bodies that are valid, nearly valid or random, and judges them by openapi.yaml."""

import copy
import json
import math
from dataclasses import dataclass, field

from hypothesis import strategies as st

import openapi_spec
from strategies import valid

# Bounds on the work that a request causes. Values that are invalid anyway are not reduced.
MAX_SECONDS = 0.01     # of a sleep or block
MAX_RANGE = 20000      # integers for sum and primes
MAX_POSITION = 100000  # bytes
HOSTS = ("localhost", "127.0.0.1", "::1", "::", "127.1")  # these resolve without a name server
MAX_BODY = 500000      # bytes; the limit of the service is larger


# -- generation ------------------------------------------------------------------------------------

def member_names():
    """The names of all members of all schemas."""
    return sorted({name for schema in openapi_spec.SCHEMAS.values() for name in schema.get("properties", {})})


NUMBERS = [0, -1, 1, 2, 64, 65, 255, 256, 10000, 10001, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 2 ** 53 + 1, 2 ** 63 - 1,
           -2 ** 63, -2 ** 53, -2 ** 53 - 1, 0.5, 1.5, 1.0, -0.0, 1e-300, 1e300, 86400, 86400.5, 86401, 16777216,
           16777217, 3600, 3601, 0.001, 0.0009, 10 ** 15, 10 ** 15 + 1]
TEXTS = ["", "\0", "a\0b", "x" * 128, "x" * 129, "\u00e9" * 128, "\U0001f40c" * 128, "\U0001f40c" * 129, "x" * 255,
         "x" * 256, "x" * 4095, "x" * 4096, "/", "..", ".", "a//b", "\ud7ff", "\uffff", "\u0001", "null", "true", "1"]
NAMES = openapi_spec.FUNCTIONS + sorted(openapi_spec.mapping("FileScriptStep")) + ["", "Sleep", "no_such_name"] + [
    value for schema in openapi_spec.SCHEMAS.values() for value in schema.get("enum", [])]

scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(-2 ** 63, 2 ** 63 - 1),
                    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(TEXTS), st.sampled_from(NAMES),
                    st.text(st.characters(blacklist_categories=("Cs",)), max_size=20))
keys = st.one_of(st.sampled_from(member_names()), st.text(st.characters(blacklist_categories=("Cs",)), max_size=8))
random_json = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=4),
                                                            st.dictionaries(keys, inner, max_size=4)), max_leaves=12)


def paths(value, path=()):
    """The paths of the value and of everything in it."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def replacement(draw, value, body):
    """A value to replace a value with."""
    kinds = ["random", "scalar", "elsewhere", "wrapped", "empty"]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        kinds += ["near"] * 3
    if isinstance(value, str):
        kinds += ["text"] * 3
    kind = draw(st.sampled_from(kinds))
    if kind == "near":
        return draw(st.sampled_from([value + 1, value - 1, -value, value + 0.5, float(value), str(value)]))
    if kind == "text":
        return draw(st.one_of(st.sampled_from(TEXTS), st.just(value.upper()), st.just(value + "\0"), st.just(value * 2),
                              st.sampled_from(NAMES)))
    if kind == "elsewhere":
        return copy.deepcopy(at(body, draw(st.sampled_from(list(paths(body))))))
    if kind == "wrapped":
        return [value]
    if kind == "empty":
        return draw(st.sampled_from([{}, [], "", 0, None, False]))
    return draw(random_json if kind == "random" else scalars)


def mutate(draw, body):
    """Makes one change to the body, and returns it."""
    path = draw(st.sampled_from(list(paths(body))))
    value = at(body, path)
    action = draw(st.sampled_from(["replace"] * 4 + ["remove", "insert", "insert", "rename", "repeat"]))
    if action == "insert" and isinstance(value, dict):
        value[draw(keys)] = draw(random_json)
    elif action == "insert" and isinstance(value, list):
        value.insert(draw(st.integers(0, len(value))), draw(random_json))
    elif not path:
        return draw(random_json) if draw(st.integers(0, 3)) == 0 else body
    elif action == "remove":
        del at(body, path[:-1])[path[-1]]
    elif action == "rename" and isinstance(path[-1], str):
        parent = at(body, path[:-1])
        parent[draw(keys)] = parent.pop(path[-1])
    elif action == "repeat" and isinstance(path[-1], int):
        at(body, path[:-1]).append(copy.deepcopy(value))
    else:
        at(body, path[:-1])[path[-1]] = replacement(draw, value, body)
    return body


@st.composite
def bodies(draw, schema):
    """A strategy for bodies that are valid, except perhaps for the rules between members, with up to three changes."""
    body = copy.deepcopy(draw(valid(schema, rules=draw(st.sampled_from([False, False, True])))))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        body = mutate(draw, body)
    return bounded(body)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def bounded(value):
    """Reduces durations, ranges and positions, so that tasks that run with the value end soon."""
    if isinstance(value, list):
        return [bounded(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: bounded(item) for key, item in value.items()}
    for name, bound, largest in (
            ("seconds", MAX_SECONDS, 86400), ("to", MAX_RANGE, 10 ** 15), ("n", MAX_RANGE, 2 ** 53),
            ("size", MAX_POSITION, 2 ** 53), ("offset", MAX_POSITION, 2 ** 53)):
        if is_number(value.get(name)) and bound < value[name] <= largest:
            value[name] = math.fmod(value[name], bound) if name == "seconds" else value[name] % bound
    if isinstance(value.get("host"), str) and 0 < len(value["host"]) and value["host"] not in HOSTS:
        value["host"] = HOSTS[len(value["host"]) % len(HOSTS)] if len(value["host"]) < 254 else value["host"]
    return value


def encode(value, ascii_only):
    return json.dumps(value, ensure_ascii=ascii_only).encode()


@st.composite
def damaged(draw, data):
    """A strategy for `data` with one to three changes to its bytes."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(data)))
        action = draw(st.sampled_from(["insert", "remove", "replace", "cut", "repeat"]))
        token = draw(st.one_of(st.binary(min_size=1, max_size=2), st.sampled_from(
            [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\\udc00", b"0", b"-", b".",
             b"e9", b"1e400", b"null", b"NaN", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"\n",
             b" "])))
        if action == "insert":
            data[where:where] = token
        elif action == "replace":
            data[where:where + len(token)] = token
        elif action == "remove":
            del data[where:where + draw(st.integers(1, 4))]
        elif action == "cut":
            del data[where:]
        else:
            end = where + draw(st.integers(1, 30))
            data[where:where] = data[where:end]
    return bytes(data)


# -- the oracle ------------------------------------------------------------------------------------

@dataclass
class Verdict:
    """What openapi.yaml says about a request."""
    is_valid: bool
    codes: frozenset = frozenset()  # of an invalid request: the error codes that are possible
    places: list = field(default_factory=list)  # of an invalid request: the JSON pointers of its errors


INVALID_CODES = frozenset({"invalid", "limit_exceeded", "function_not_found"})
# The service reports the first error: a duplicate member, or a NUL in a member name, can precede the syntax error.
MALFORMED_CODES = frozenset({"malformed_json", "invalid_argument", "invalid"})


class Duplicate(Exception):
    """A member name occurs twice in an object."""


def parse(data):
    """Parses JSON as the service must. Raises ValueError, or Duplicate for a duplicate member name."""
    duplicates = []

    def members(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            duplicates.append(pairs)
        return dict(pairs)

    def reject(constant):
        raise ValueError(constant)

    value = json.loads(data.decode("utf-8"), object_pairs_hook=members, parse_constant=reject)
    check_representable(value)
    if duplicates:
        raise Duplicate(duplicates)
    return value


def check_representable(value):
    """Raises ValueError for numbers and strings that the service cannot represent."""
    if isinstance(value, (dict, list)):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            check_representable(item)
    elif isinstance(value, str):
        value.encode("utf-8")  # fails for a lone surrogate
    elif is_number(value):
        if not math.isfinite(value) or isinstance(value, int) and not -2 ** 63 <= value < 2 ** 63:
            raise ValueError(value)


def is_bounded(data):
    """Whether tasks that run with this body end soon, or the body is rejected before."""
    try:
        value = parse(data)
    except (ValueError, RecursionError, Duplicate):
        return True
    return bounded(value) == value


def pointer(path):
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def place_of(error):
    """The pointer of an error. An error against a rule between members is one of their object."""
    path = list(error.absolute_path)
    if "dependentSchemas" in error.absolute_schema_path and error.validator != "required":
        path.pop()
    return pointer(path)


def classify(schema, data):
    """The verdict on a body."""
    try:
        value = parse(data)
    except Duplicate:
        return Verdict(False, frozenset({"invalid_argument"}))
    except (ValueError, RecursionError):
        return Verdict(False, MALFORMED_CODES)
    errors = list(openapi_spec.validator(schema).iter_errors(value))
    if not errors:
        return Verdict(True)
    return Verdict(False, INVALID_CODES, list(map(place_of, errors)))


def exists(value, place):
    """Whether a JSON pointer names a value, or a member that an object lacks."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    for i, step in enumerate(steps):
        if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:  # an absent object counts as an empty one, which lacks a member
            return isinstance(value, dict) and len(steps) - i <= 2
    return True


def are_related(place, other):
    """Whether one of the pointers contains the other."""
    return (place + "/").startswith(other + "/") or (other + "/").startswith(place + "/")
