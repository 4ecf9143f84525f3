"""gatherd --print-openapi: JSON and YAML are the same document, also for a parser of YAML 1.1."""

import json
import subprocess

import pytest
import yaml

import openapi_spec
from server import BINARY, ENVIRONMENT, run


def print_openapi(*flags, env=()):
    done = run("--print-openapi", *flags, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def same(a, b):
    """Whether two values are equal, have the same order, and the same types: 1 is neither 1.0 nor True."""
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
        assert from_json["components"]["schemas"]["PoolName"]["enum"] == [
            "default", "no", "true", "1e3", "0x1f", "12", "null"]


def test_default_format_is_yaml():
    assert print_openapi() == print_openapi("yaml") == openapi_spec.FILE.read_text(encoding="utf-8")


def test_document_describes_configuration():
    flags = ("--max-timeout-seconds", "5", "--default-timeout-seconds", "4", "--threads", "default=2,io=4")
    variables = {"GATHERD_MAX_TIMEOUT_SECONDS": "5", "GATHERD_DEFAULT_TIMEOUT_SECONDS": "4",
                 "GATHERD_THREADS": "default=2,io=4"}
    document = print_openapi("json", *flags)
    assert print_openapi("json", env=variables) == document
    schemas = json.loads(document)["components"]["schemas"]
    assert schemas["TimeoutSeconds"]["maximum"] == 5
    assert schemas["PoolName"]["enum"] == ["default", "io"]


@pytest.mark.parametrize("flags, words", [
    (("nonsense",), "must be one of: json, yaml"), (("",), "must be one of: json, yaml"), (("JSON",), "json, yaml"),
    (("json", "yaml"), "unexpected argument"), (("yaml", "--max-tasks", "0"), "--max-tasks"),
    (("yaml", "--no-such-flag"), "--no-such-flag")])
def test_invalid_command_line_prints_nothing(flags, words):
    done = run("--print-openapi", *flags)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert words in done.stderr


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_output_to_full_device_fails(kind):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BINARY, "--print-openapi", kind], stdout=full, stderr=subprocess.PIPE, check=False,
                              env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (1, b"gatherd: cannot write the output\n")
