"""The document in YAML is the document in JSON, for a parser of YAML 1.1, too."""

import json
import subprocess

import pytest
import yaml

from server import BINARY, ENVIRONMENT


def print_openapi(kind, *flags):
    done = subprocess.run([BINARY, "--print-openapi", kind, *flags], stdout=subprocess.PIPE, check=True,
                          env=ENVIRONMENT)
    return done.stdout


def same(a, b):
    """Equal, in the same order, and of the same types: 1 is neither 1.0 nor True."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("flags", [
    (),
    ("--threads", "default=2,no=1,true=1,1e3=1,0x1f=1,12=1,null=1"),  # names that YAML takes for other types
    ("--max-lease-seconds", "61.5", "--max-tasks", "100000"),
], ids=["default", "pools", "numbers"])
def test_yaml_equals_json(flags):
    from_json = json.loads(print_openapi("json", *flags))
    from_yaml = yaml.load(print_openapi("yaml", *flags), Loader=yaml.SafeLoader)
    assert same(from_json, from_yaml)
    if "--threads" in flags:
        assert '"1e3"' in json.dumps(from_json)
