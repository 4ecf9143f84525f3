"""Operations on files conform to openapi.yaml: valid and invalid input, documented problems, headers.

The second half tests the behavior of file functions that schemas cannot express.
"""

import base64
import hashlib
import os
import shutil
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contract
import openapi_spec
import test_contract
from client import Client
from file_helpers import HELLO, Handle, as_json, temp_files, fs, put, run, create_example_files, tree, remove_contents
from strategies import mutated, valid
from test_contract import check_rejection, has_time_limit

FILE_OPERATIONS = [o for o in openapi_spec.OPERATIONS if "files" in o.node["tags"]]
POST_OPERATIONS = [o for o in FILE_OPERATIONS if o.method == "POST"]
WITH_BODY = [o for o in POST_OPERATIONS if o.body_schema() is not None]
WITH_QUERY = [o for o in POST_OPERATIONS if o.query_parameters()]
HANDLE_OPERATIONS = [o for o in POST_OPERATIONS if "{handle}" in o.path]
by_operation = {"argnames": "operation", "ids": str}


@pytest.fixture
def example_root(root):
    create_example_files(root)
    return root


@pytest.fixture(scope="module", autouse=True)
def clean_root(root):
    """Removes everything from the root."""
    yield
    remove_contents(root)


class Target:
    """The request path for an operation; opens a file if the path needs a handle."""

    def __init__(self, operation, client, root, encoding="utf-8"):
        self.operation, self.handle = operation, None
        if "{handle}" in operation.path:
            (root / "hello.txt").unlink(missing_ok=True)
            (root / "hello.txt").write_bytes(HELLO)
            self.handle = Handle(client, "hello.txt", "r+", encoding=encoding)

    def __str__(self):
        if self.handle is None:
            return self.operation.example_target()
        return self.operation.path.format(handle=self.handle.opened["id"])

    def done(self):
        if self.handle is not None:
            self.handle.client.fetch("DELETE", self.handle.target)


# -- contract ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("operation, name", [(o, name) for o in WITH_BODY for name in o.request_examples()], ids=str)
def test_request_examples_end_as_documented(operation, name, client, example_root):
    target = Target(operation, client, example_root)
    response = client.post(str(target), operation.request_examples()[name])
    error = operation.example_error(name)
    if error is not None:
        assert response.value["type"] == contract.problem_type(error), response.value
    else:
        assert response.status == operation.success(), response.value
        test_contract.check_resembles_example(operation, response.value.get("result"))
        for example in operation.response_examples().values():
            assert set(response.value) == set(example)
    if response.header("location"):
        client.fetch("DELETE", response.header("location"))
    target.done()


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_schema_valid_input_is_accepted(operation, client, example_root):
    """Valid input succeeds, or fails because of the state of the files. It is never rejected as invalid."""
    @settings(max_examples=60)
    @given(valid(operation.body_schema()), st.sampled_from(["r-1", None, "a b"]))
    def check_example(body, request_id):
        openapi_spec.check_value(body, operation.body_schema(), "generated")
        target = Target(operation, client, example_root)
        response = client.post(str(target), body, **{"X-Request-Id": request_id})
        if response.status not in (200, 201):
            assert "task" in response.value, (body, response.value)
            assert response.status in (403, 404, 409, 410, 422, 507), (body, response.value)
        elif operation.path == "/v1/files":
            assert {k: response.value[k] for k in body if k != "lease_seconds"} == {
                k: v for k, v in body.items() if k != "lease_seconds"}
            client.fetch("DELETE", response.header("location"))
        else:
            assert response.value["executor"] == response.value["pool"] == "files"
        target.done()

    check_example()
    assert temp_files(example_root) == []


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_mutated_input_is_rejected(operation, client, example_root):
    target = Target(operation, client, example_root)
    content = (example_root / "hello.txt").read_bytes()

    @settings(max_examples=40)
    @given(st.data())
    def check_example(data):
        body = data.draw(valid(operation.body_schema()))
        mutations = st.sampled_from(mutated(operation.body_schema(), body))
        for mutation in data.draw(st.lists(mutations, min_size=1, max_size=8)):
            check_rejection(client.post(str(target), mutation.value), mutation, (mutation.what, mutation.value))

    before = tree(example_root)
    check_example()
    assert tree(example_root) == before and (example_root / "hello.txt").read_bytes() == content
    target.done()


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_mutated_examples_are_rejected(operation, client, example_root):
    target = Target(operation, client, example_root)
    for name, body in operation.request_examples().items():
        for mutation in mutated(operation.body_schema(), body):
            check_rejection(client.post(str(target), mutation.value), mutation, (name, mutation.what))
    target.done()


@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
def test_query_options_are_applied(operation, client, example_root):
    body = list(operation.request_examples().values())[0]
    known = {p["name"]: valid(p["schema"]) for p in operation.query_parameters()}

    @settings(max_examples=20)
    @given(st.fixed_dictionaries({}, optional=known))
    def check_example(options):
        create_example_files(example_root)
        query = "&".join(f"{name}=" + "".join(f"%{b:02x}" for b in str(value).encode())
                         for name, value in options.items())
        response = client.post(f"{operation.path}?{query}", body)
        task = response.value if response.status == 200 else response.value["task"]
        assert task["name"] == options.get("name")
        assert response.status == 200 or (response.status == 504 and has_time_limit(options))

    check_example()
    assert client.post(f"{operation.path}?x=1", body).status == 422


@pytest.mark.parametrize(argvalues=[o for o in FILE_OPERATIONS if o.method == "GET" and "/fs/" not in o.path],
                         **by_operation)
def test_get_returns_documented_response(operation, client, example_root):
    file = Handle(client, "data.txt", "w")
    file("write", data="aio file")
    target = operation.path.format(handle=file.opened["id"])
    response = client.get(target)
    assert response.status == 200
    head = client.fetch("HEAD", target)
    ignored = {"date", "x-request-id", "content-length"}
    assert [h for h in head.headers if h[0].lower() not in ignored] == [
        h for h in response.headers if h[0].lower() not in ignored]
    assert client.get(f"{target}?x=1").status == 422
    file.close()


@pytest.mark.parametrize(argvalues=HANDLE_OPERATIONS, **by_operation)
def test_body_is_optional_when_nothing_is_required(operation, client, example_root):
    target = Target(operation, client, example_root)
    empty_response = client.fetch("POST", str(target))
    if operation.node["requestBody"]["required"]:
        assert empty_response.status == 422 and empty_response.value["errors"]
    else:
        assert empty_response.status == 200
    target.done()


# Requests that cause the errors that test_contract.py does not cause: {code: request}.
PROBLEMS = {
    "path_forbidden": lambda c: c.post("/v1/run/read_file", {"path": "../x"}),
    "file_not_found": lambda c: c.post("/v1/run/read_file", {"path": "missing.txt"}),
    "file_exists": lambda c: c.post("/v1/run/write_file", {"path": "hello.txt", "data": "x", "mode": "x"}),
    "file_mode_mismatch": lambda c: c.fetch("POST", Handle(c, "data.txt", "w").target + "/read"),
    "unsupported_file_type": lambda c: c.post("/v1/run/read_file", {"path": "."}),
    "invalid_utf8": lambda c: c.post("/v1/run/read_file", {"path": "binary.dat"}),
    "handle_not_found": lambda c: c.get("/v1/files/nothing"),
    "handle_closed": lambda c: c.get(closed_handle(c)),
    "file_method_not_found": lambda c: c.fetch("POST", "/v1/files/nothing/detach"),
    "precondition_failed": lambda c: put(c, "hello.txt", b"x", **{"If-None-Match": "*"}),
    "invalid_argument": lambda c: c.post("/v1/run/write_file", {"path": "x", "data": "?", "encoding": "base64"}),
    "malformed_http": lambda c: put(c, "hello.txt", b"x", **{"Content-Range": "bytes 0-0/13"}),
    "unsupported_media_type": lambda c: put(c, "data.txt", b"x", **{"Content-Encoding": "gzip"}),
}
# Errors that are tested with another configuration, in tests/fault, or by unit tests.
TESTED_ELSEWHERE = {"access_denied", "executor_disabled", "insufficient_storage", "io_error", "stale_handle",
                    "too_many_open_files", "too_many_streams"}


def closed_handle(client):
    file = Handle(client, "hello.txt")
    file.close()
    return file.target


def test_every_error_code_has_a_test():
    declared = {code for o in FILE_OPERATIONS for code in o.codes()} | {"file_method_not_found"}
    tested = set(PROBLEMS) | TESTED_ELSEWHERE
    assert len(tested) == len(PROBLEMS) + len(TESTED_ELSEWHERE)
    assert tested <= declared
    elsewhere = set(test_contract.PROBLEMS) | test_contract.EXAMPLE_CODES | test_contract.TESTED_ELSEWHERE
    assert declared - tested <= elsewhere


@pytest.mark.parametrize("code", PROBLEMS)
def test_request_causes_problem(code, client, example_root):
    assert PROBLEMS[code](client).value["type"] == contract.problem_type(code)


def test_file_operations_without_root_return_403(start):
    """Without --files-root, every operation on files returns 403 before any other check."""
    server = start()
    with Client(server.urls()[0]) as client:
        for operation in FILE_OPERATIONS:
            target = operation.example_target()
            if operation.method == "PUT":
                response = client.fetch("PUT", target, b"x", {"Content-Type": "text/plain"})
            elif operation.method == "POST":
                response = client.post(target, next(iter(operation.request_examples().values())))
            else:
                response = client.fetch(operation.method, target)
            assert response.status == 403, (operation, response.value)
            assert response.value["type"] == "urn:gatherd:error:executor_disabled"
            assert "--files-root" in response.value["detail"]
        task = {"function": "read_file", "input": {"path": "x"}}
        assert client.post("/v1/tasks", task).status == 403
        sleep = {"function": "sleep", "input": {"seconds": 0}}
        assert client.post("/v1/gather", {"tasks": [sleep, task]}).status == 403
        assert client.get("/v1/functions/read_file").status == 200


@pytest.mark.parametrize("flags, words", [(["/nowhere"], "/nowhere"), (["/etc/hostname"], "/etc/hostname"), ([""], "")])
def test_invalid_files_root_fails_startup(flags, words):
    from server import run as run_gatherd
    done = run_gatherd("--files-root", *flags, "--listen", "127.0.0.1:0")
    assert done.returncode != 0 and words in done.stderr and "root" in done.stderr


# -- functions --------------------------------------------------------------------------------------------

def test_write_file_in_all_modes(client, example_root):
    path = example_root / "new.txt"
    path.unlink(missing_ok=True)
    assert run(client, "write_file", path="new.txt", data="one\n", mode="x") == {"written_bytes": 4, "size_bytes": 4}
    assert run(client, "write_file", 409, path="new.txt", data="no", mode="x")["type"].endswith(":file_exists")
    problem = run(client, "write_file", 409, path="new.txt", data="no", mode="x", atomic=True)
    assert problem["type"].endswith(":file_exists")
    assert run(client, "write_file", path="new.txt", data="two\n", mode="a") == {"written_bytes": 4, "size_bytes": 8}
    assert path.read_text() == "one\ntwo\n"
    inode = path.stat().st_ino
    assert run(client, "write_file", path="new.txt", data="3") == {"written_bytes": 1, "size_bytes": 1}
    assert path.read_text() == "3" and path.stat().st_ino == inode
    result = run(client, "write_file", path="new.txt", data="", atomic=True, fsync=True)
    assert result == {"written_bytes": 0, "size_bytes": 0}
    assert path.read_text() == "" and path.stat().st_ino != inode
    problem = run(client, "write_file", 422, path="new.txt", data="x", mode="a", atomic=True)
    assert [e["pointer"] for e in problem["errors"]] == ["/atomic"]
    path.unlink()


@given(data=st.binary(max_size=2000))
@settings(max_examples=40)
def test_base64_round_trip(client, example_root, data):
    text = base64.b64encode(data).decode()
    assert run(client, "write_file", path="raw.bin", data=text, encoding="base64")["written_bytes"] == len(data)
    assert (example_root / "raw.bin").read_bytes() == data
    assert run(client, "read_file", path="raw.bin", encoding="base64")["data"] == text
    digest = hashlib.sha256(data).hexdigest()
    assert run(client, "sha256_file", path="raw.bin") == {"sha256": digest, "size_bytes": len(data)}
    assert client.get(fs("raw.bin")).body == data
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        assert run(client, "read_file", 422, path="raw.bin")["type"].endswith(":invalid_utf8")
    else:
        assert run(client, "read_file", path="raw.bin")["data"] == expected


@pytest.mark.parametrize("data", ["a", "ab=", "a===", "====", "YQ", "YQ=", "YQ===", "Y Q=", "YQ==\n", "YQ==YQ==",
                                  "YR==", "-_-_", "\u00e9\u00e9"])
def test_invalid_base64_is_rejected(data, client, example_root):
    """Non-canonical base64 is rejected too, so that each content has exactly one encoding."""
    (example_root / "raw.bin").write_bytes(b"old")
    response = client.post("/v1/run/write_file", {"path": "raw.bin", "data": data, "encoding": "base64"})
    assert response.status == 422 and response.value["type"].endswith(":invalid_argument"), data
    assert (example_root / "raw.bin").read_bytes() == b"old"


@given(text=st.text(max_size=500))
@settings(max_examples=40)
def test_text_round_trip(client, example_root, text):
    assert run(client, "write_file", path="text.txt", data=text)["written_bytes"] == len(text.encode())
    assert (example_root / "text.txt").read_bytes() == text.encode()
    assert run(client, "read_file", path="text.txt")["data"] == text


def test_read_file_ranges(client, example_root):
    data = bytes(range(128)) * 8
    (example_root / "range.bin").write_bytes(data)
    for offset in (0, 1, 127, 1000, 1023, 1024, 1025, 1 << 40, 1 << 53):
        for length in (None, 0, 1, 24, 5000):
            request = {"path": "range.bin", "offset": offset, **({} if length is None else {"length": length})}
            got = run(client, "read_file", **request)
            expected = data[offset:] if length is None else data[offset:offset + length]
            assert got["data"].encode() == expected and got["read_bytes"] == len(expected) and got["size_bytes"] == 1024
            assert got["eof"] == (offset + len(expected) >= 1024)


def test_make_and_remove_directories(client, example_root):
    assert run(client, "make_directory", path="made/x/y", parents=True) == {"created": True}
    assert run(client, "make_directory", path="made/x/y", exist_ok=True) == {"created": False}
    assert run(client, "make_directory", 409, path="made/x")["type"].endswith(":file_exists")
    assert run(client, "make_directory", 404, path="nowhere/x")["type"].endswith(":file_not_found")
    assert run(client, "make_directory", 409, path="hello.txt", exist_ok=True)["type"].endswith(":file_exists")
    assert run(client, "remove_file", 422, path="made/x/y")["type"].endswith(":unsupported_file_type")
    assert run(client, "remove_file", 409, path="made", directory=True)["type"].endswith(":file_exists")
    assert run(client, "remove_file", 422, path="hello.txt", directory=True)["type"].endswith(":unsupported_file_type")
    for path in ("made/x/y", "made/x", "made"):
        assert run(client, "remove_file", path=path, directory=True) == {"removed": True}
    assert run(client, "remove_file", path="made", missing_ok=True) == {"removed": False}
    assert run(client, "remove_file", 404, path="made")["type"].endswith(":file_not_found")
    assert run(client, "write_file", path="p/q/r.txt", data="x", create_parents=True)["written_bytes"] == 1
    assert (example_root / "p" / "q" / "r.txt").read_text() == "x"


def test_list_directory_pagination(client, example_root):
    (example_root / "many").mkdir(exist_ok=True)
    names = sorted((f"{i:05}-{'n' * (i % 50)}" for i in range(3000)), key=os.fsencode)
    for name in names:
        (example_root / "many" / name).touch()
    found, after = [], None
    while True:
        got = run(client, "list_directory", path="many", limit=700, **({"after": after} if after else {}))
        found += [e["name"] for e in got["entries"]]
        if not got["truncated"]:
            break
        after = found[-1]
    assert found == names
    everything = run(client, "list_directory", path="many")
    assert [e["name"] for e in everything["entries"]] == names and not everything["truncated"]
    shutil.rmtree(example_root / "many")


def test_list_directory_entry_types(client, example_root):
    directory = example_root / "kinds"
    directory.mkdir(exist_ok=True)
    (directory / "\u00e9").write_bytes(b"12345")
    (directory / "directory").mkdir(exist_ok=True)
    (directory / "link").unlink(missing_ok=True)
    (directory / "link").symlink_to("nowhere")
    if not (directory / "fifo").exists():
        os.mkfifo(directory / "fifo")
    with open(os.fsencode(directory) + b"/\xff\xfe", "wb"):
        pass
    got = run(client, "list_directory", path="kinds")
    assert got == {"entries": [{"name": "directory", "type": "directory"}, {"name": "fifo", "type": "other"},
                               {"name": "link", "type": "symlink"},
                               {"name": "\u00e9", "type": "file", "size_bytes": 5}],
                   "truncated": False, "skipped_non_utf8": 1}
    assert ".gatherd-tmp" not in [e["name"] for e in run(client, "list_directory")["entries"]]
    assert run(client, "list_directory", 422, path="hello.txt")["type"].endswith(":unsupported_file_type")
    shutil.rmtree(os.fsencode(directory))


def test_copy_and_rename_file(client, example_root):
    (example_root / "b.txt").unlink(missing_ok=True)
    assert run(client, "copy_file", **{"from": "hello.txt", "to": "b.txt"}) == {"size_bytes": len(HELLO)}
    assert run(client, "copy_file", 409, **{"from": "hello.txt", "to": "b.txt"})["type"].endswith(":file_exists")
    (example_root / "hello.txt").write_bytes(b"other")
    assert run(client, "copy_file", **{"from": "hello.txt", "to": "b.txt", "replace": True}) == {"size_bytes": 5}
    assert run(client, "copy_file", **{"from": "b.txt", "to": "b.txt", "replace": True}) == {"size_bytes": 5}
    assert (example_root / "b.txt").read_bytes() == b"other"
    for function, given, code in (
            ("copy_file", {"from": "docs", "to": "c.txt"}, "unsupported_file_type"),
            ("copy_file", {"from": "hello.txt", "to": "docs", "replace": True}, "unsupported_file_type"),
            ("copy_file", {"from": "nothing", "to": "c.txt"}, "file_not_found"),
            ("copy_file", {"from": "hello.txt", "to": "nowhere/c.txt"}, "file_not_found"),
            ("rename_file", {"from": "hello.txt", "to": "b.txt"}, "file_exists"),
            ("rename_file", {"from": "nothing", "to": "c.txt"}, "file_not_found"),
            ("rename_file", {"from": "hello.txt", "to": "docs", "replace": True}, "unsupported_file_type"),
            ("rename_file", {"from": "notes", "to": "docs", "replace": True}, "file_exists"),
            ("rename_file", {"from": "docs", "to": "docs/deep/docs"}, "unsupported_file_type"),
            ("rename_file", {"from": "hello.txt", "to": "c/"}, "unsupported_file_type")):
        before = tree(example_root)
        response = client.post(f"/v1/run/{function}", given)
        assert response.value["type"] == contract.problem_type(code), (function, given, response.value)
        assert tree(example_root) == before
    assert run(client, "rename_file", **{"from": "hello.txt", "to": "b.txt", "replace": True}) == {"type": "file"}
    assert run(client, "rename_file", **{"from": "docs/link", "to": "moved"}) == {"type": "symlink"}
    assert (example_root / "moved").is_symlink() and not (example_root / "hello.txt").exists()
    assert run(client, "rename_file", **{"from": "notes", "to": "notes2"}) == {"type": "directory"}
    assert (example_root / "notes2").is_dir()
    shutil.rmtree(example_root / "notes2")
    for name in ("moved", "b.txt"):
        (example_root / name).unlink()


def test_stat_file_members(client, example_root):
    (example_root / "hello.txt").chmod(0o4751)
    got = run(client, "stat_file", path="hello.txt")
    expected = (example_root / "hello.txt").stat()
    assert (got["type"], got["size_bytes"], got["mode"], got["links"]) == ("file", len(HELLO), "4751", 1)
    assert got["modified_at"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expected.st_mtime))
    assert run(client, "stat_file", path="docs/link")["type"] == "file"
    assert run(client, "stat_file", path="docs/link", follow=False)["type"] == "symlink"
    assert run(client, "stat_file", path=".")["type"] == "directory"
    (example_root / "hello.txt").chmod(0o644)


def test_concurrent_appends_lose_nothing(server, example_root):
    """After concurrent appends, the file contains each line once, and whole."""
    def append(name):
        with Client(server.urls()[0]) as client:
            for i in range(50):
                run(client, "write_file", path="log.txt", data=f"{name}{i:03}" * 20 + "\n", mode="a")

    (example_root / "log.txt").unlink(missing_ok=True)
    threads = [threading.Thread(target=append, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (example_root / "log.txt").read_text().splitlines()
    assert sorted(lines) == sorted(f"{n}{i:03}" * 20 for n in "abcdef" for i in range(50))
    (example_root / "log.txt").unlink()


def test_file_functions_in_gather(client, example_root):
    """In mode all, a failed child cancels its siblings; in mode all_settled, each child reports its outcome."""
    tasks = [{"function": "write_file", "name": "seed", "input": {"path": "data.txt", "data": "aio file"}},
             {"function": "read_file", "input": {"path": "missing.txt"}},
             {"function": "read_file", "input": {"path": "../x"}},
             {"function": "sleep", "input": {"seconds": 0}}]
    result = client.post("/v1/gather", {"tasks": tasks, "mode": "all_settled"}).value["result"]
    assert [c["state"] for c in result["tasks"]] == ["succeeded", "failed", "failed", "succeeded"]
    assert [c["error"]["code"] for c in result["tasks"][1:3]] == ["file_not_found", "path_forbidden"]
    assert result["tasks"][0]["result"] == {"written_bytes": 8, "size_bytes": 8}
    response = client.post("/v1/gather", {"tasks": tasks})
    assert response.status == 500 and response.value["type"].endswith(":child_failed")


def test_expired_write_changes_nothing(client, example_root):
    """A task whose deadline passes while it is queued never starts, and writes nothing."""
    (example_root / "late.txt").unlink(missing_ok=True)
    body = {"path": "late.txt", "data": "x" * 100000}
    response = client.post("/v1/run/write_file?deadline_seconds=0.000000001", body)
    assert response.status in (200, 504)
    if response.status == 504 and response.value["task"]["cancel"]["effect"] == "prevented":
        assert not (example_root / "late.txt").exists()


def test_write_and_read_at_body_limit(client, example_root):
    """Data in JSON is limited by max_body_bytes; larger files go through /v1/fs."""
    frame = len(as_json({"path": "large.txt", "data": ""}))
    data = "x" * (1048576 - frame)
    assert run(client, "write_file", path="large.txt", data=data)["written_bytes"] == len(data)
    assert client.post("/v1/run/write_file", {"path": "large.txt", "data": data + "x"}).status == 413
    assert run(client, "read_file", path="large.txt")["data"] == data
    (example_root / "large.txt").unlink()
