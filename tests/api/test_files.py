"""Files by openapi.yaml: every operation of theirs, with what fits its schema and what doesn't, each answer and header.

And what file functions promise beyond their schemas.
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

import openapi_spec
import test_contract
from client import Client
from file_helpers import HELLO, Handle, as_json, drafts, fs, put, run, stage, tree, wipe
from strategies import spoiled, valid
from contract import steady
from test_contract import check_refusal, hurried

FILES = [o for o in openapi_spec.OPERATIONS if "files" in o.node["tags"]]
POSTS = [o for o in FILES if o.method == "POST"]
WITH_BODY = [o for o in POSTS if o.body_schema() is not None]
WITH_QUERY = [o for o in POSTS if o.query_parameters()]
CALLS = [o for o in POSTS if "{handle}" in o.path]
# What says when a file changed, what a call took, and who did it.
OWN = {"modified_at", "changed_at", "accessed_at", "usage", "expires_in_seconds", "tid"}
by_operation = {"argnames": "operation", "ids": str}


def plain(value):
    """Without what differs each time."""
    value = steady(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in OWN}
    return [plain(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def staged(root):
    stage(root)
    return root


@pytest.fixture(scope="module", autouse=True)
def tidy(root):
    """Leaves the root as empty as it was."""
    yield
    wipe(root)


class Target:
    """Where to send what an operation takes: an open file where it needs one."""

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
            self.handle.client.ask("DELETE", self.handle.target)


# -- by the contract -------------------------------------------------------------------------------------

@pytest.mark.parametrize("operation, name", [(o, name) for o in WITH_BODY for name in o.request_examples()], ids=str)
def test_examples_are_answered_as_documented(operation, name, client, staged):
    target = Target(operation, client, staged)
    response = client.post(str(target), operation.request_examples()[name])
    status, value = operation.response_examples().get(name, (None, None))
    if operation.path == "/v1/run/read_file" and name == "missing":
        assert response.status == 404 and response.value["type"].endswith(":file-not-found")
    elif status is None:
        assert response.status in (200, 201), response.value
    else:
        assert response.status == status, response.value
        assert plain(response.value) == plain(value)
    if response.header("location"):
        client.ask("DELETE", response.header("location"))
    target.done()


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_what_fits_the_schema_is_taken(operation, client, staged):
    """It succeeds, or fails as a task, for what it finds: never for what was asked."""
    @settings(max_examples=60)
    @given(valid(operation.body_schema()), st.sampled_from(["r-1", None, "a b"]))
    def go(body, request_id):
        openapi_spec.check_value(body, operation.body_schema(), "generated")
        target = Target(operation, client, staged)
        response = client.post(str(target), body, **{"X-Request-Id": request_id})
        if response.status not in (200, 201):
            assert "task" in response.value, (body, response.value)
            assert response.status in (403, 404, 409, 410, 422, 507), (body, response.value)
        elif operation.path == "/v1/files":
            assert {k: response.value[k] for k in body if k != "lease_seconds"} == {
                k: v for k, v in body.items() if k != "lease_seconds"}
            client.ask("DELETE", response.header("location"))
        else:
            assert response.value["executor"] == response.value["pool"] == "files"
        target.done()

    go()
    assert drafts(staged) == []


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_what_does_not_fit_is_refused(operation, client, staged):
    target = Target(operation, client, staged)
    content = (staged / "hello.txt").read_bytes()

    @settings(max_examples=40)
    @given(st.data())
    def go(data):
        body = data.draw(valid(operation.body_schema()))
        slips = st.sampled_from(spoiled(operation.body_schema(), body))
        for slip in data.draw(st.lists(slips, min_size=1, max_size=8)):
            check_refusal(client.post(str(target), slip.value), slip, (slip.what, slip.value))

    before = tree(staged)
    go()
    assert tree(staged) == before and (staged / "hello.txt").read_bytes() == content
    target.done()


@pytest.mark.parametrize(argvalues=WITH_BODY, **by_operation)
def test_every_slip_in_the_examples_is_refused(operation, client, staged):
    target = Target(operation, client, staged)
    for name, body in operation.request_examples().items():
        for slip in spoiled(operation.body_schema(), body):
            check_refusal(client.post(str(target), slip.value), slip, (name, slip.what))
    target.done()


@pytest.mark.parametrize(argvalues=WITH_QUERY, **by_operation)
def test_options_in_the_query_are_taken(operation, client, staged):
    body = list(operation.request_examples().values())[0]
    known = {p["name"]: valid(p["schema"]) for p in operation.query_parameters()}

    @settings(max_examples=20)
    @given(st.fixed_dictionaries({}, optional=known))
    def go(options):
        stage(staged)
        query = "&".join(f"{name}=" + "".join(f"%{b:02x}" for b in str(value).encode()) for name, value in options.items())
        response = client.post(f"{operation.path}?{query}", body)
        task = response.value if response.status == 200 else response.value["task"]
        assert task["name"] == options.get("name")
        assert response.status == 200 or (response.status == 504 and hurried(options))

    go()
    assert client.post(f"{operation.path}?x=1", body).status == 422


@pytest.mark.parametrize(argvalues=[o for o in FILES if o.method == "GET" and "/fs/" not in o.path], **by_operation)
def test_reads_are_answered_as_documented(operation, client, staged):
    file = Handle(client, "data.txt", "w")
    file("write", data="aio file")
    target = operation.path.format(handle=file.opened["id"])
    response = client.get(target)
    assert response.status == 200
    for status, value in operation.response_examples().values():
        if status == 200:
            assert plain(response.value) == plain(value)
    head = client.ask("HEAD", target)
    drop = {"date", "x-request-id", "content-length"}
    assert [h for h in head.headers if h[0].lower() not in drop] == [
        h for h in response.headers if h[0].lower() not in drop]
    assert client.get(f"{target}?x=1").status == 422
    file.close()


@pytest.mark.parametrize(argvalues=CALLS, **by_operation)
def test_a_body_may_be_left_out_where_nothing_is_required(operation, client, staged):
    target = Target(operation, client, staged)
    bare = client.ask("POST", str(target))
    if operation.node["requestBody"]["required"]:
        assert bare.status == 422 and bare.value["errors"]
    else:
        assert bare.status == 200
    target.done()


# A request for each documented problem, by the name of the shared answer that documents it.
PROBLEMS = {
    ("FileForbidden", "path_forbidden"): lambda c, root: c.post("/v1/run/read_file", {"path": "../x"}),
    ("FileNotFound", "file_not_found"): lambda c, root: c.post("/v1/run/read_file", {"path": "missing.txt"}),
    ("FileExists", "file_exists"): lambda c, root: c.post("/v1/run/write_file", {
        "path": put(c, "data.txt", b"x").value["path"], "data": "x", "mode": "x"}),
    ("UnsupportedFileType", "file_mode_mismatch"): lambda c, root: c.ask(
        "POST", Handle(c, "data.txt", "w").target + "/read"),
    ("UnsupportedFileType", "unsupported_file_type"): lambda c, root: c.post("/v1/run/read_file", {"path": "."}),
    ("UnsupportedFileType", "invalid_utf8"): lambda c, root: c.post("/v1/run/read_file", {"path": "binary.dat"}),
    ("HandleNotFound", "handle_not_found"): lambda c, root: c.get("/v1/files/nothing"),
    ("FileMethodNotFound", "file_method_not_found"): lambda c, root: c.ask("POST", "/v1/files/nothing/detach"),
    ("UnsupportedContentEncoding", "coding"): lambda c, root: put(c, "data.txt", b"x", **{"Content-Encoding": "gzip"}),
    ("UnsupportedPath", "directory"): lambda c, root: c.get("/v1/fs/notes"),
    ("MalformedUpload", "content_range"): lambda c, root: put(c, "hello.txt", b"x", **{"Content-Range": "bytes 0-0/13"}),
    ("PreconditionFailed", "there_is_one"): lambda c, root: put(c, "hello.txt", b"x", **{"If-None-Match": "*"}),
    ("PreconditionFailed", "there_is_none"): lambda c, root: put(c, "missing.txt", b"x", **{"If-Match": "*"}),
    ("PreconditionFailed", "another_content"): lambda c, root: put(c, "hello.txt", b"x", **{"If-Match": '"x"'}),
}
# Provoked here by a server of another kind, or in tests/fault.
ELSEWHERE = {("FileForbidden", "executor_disabled"), ("InsufficientStorage", "insufficient_storage"),
             ("Gone", "handle_closed"), ("Gone", "stale_handle"), ("TooManyOpenFiles", "too_many_open_files"),
             ("TooManyStreams", "too_many_streams")}


def documented_problems():
    names = {r["$ref"].rsplit("/", 1)[1] for o in FILES for r in o.node["responses"].values() if "$ref" in r}
    shared = openapi_spec.DOCUMENT["components"]["responses"]
    for name in sorted(names | {"FileMethodNotFound"}):
        for example, value in shared[name]["content"]["application/problem+json"].get("examples", {}).items():
            yield (name, example), value["value"]


def test_every_documented_problem_is_provoked():
    """By what is here, or, where the answer is one that others share, by test_contract.py."""
    mine = set(PROBLEMS) | ELSEWHERE
    names = {name for name, _ in mine}
    there = {key for key, _ in documented_problems()}
    assert {key for key in there if key[0] in names} == mine
    assert {name for name, _ in there} - names <= set(test_contract.PROBLEMS) | test_contract.ELSEWHERE


@pytest.mark.parametrize("key", PROBLEMS, ids=lambda k: k[1])
def test_problems_are_as_documented(key, client, staged):
    value = PROBLEMS[key](client, staged).value
    wanted = dict(documented_problems())[key]
    assert plain(value) == plain(wanted)
    if key[1] != "invalid_utf8":
        assert value["detail"] == wanted["detail"]


def test_handles_that_are_gone_are_as_documented(client, staged):
    file = Handle(client, "hello.txt")
    file.close()
    wanted = dict(documented_problems())
    value = client.get(file.target).value
    assert plain(value) == plain(wanted[("Gone", "handle_closed")])
    assert value["detail"] == wanted[("Gone", "handle_closed")]["detail"]


def test_without_a_root_there_are_no_files(start):
    """403 everywhere, before anything else is looked at."""
    own = start()
    with Client(own.urls()[0]) as client:
        wanted = dict(documented_problems())
        for operation in FILES:
            target = operation.example_target()
            if operation.method == "PUT":
                response = client.ask("PUT", target, b"x", {"Content-Type": "text/plain"})
            elif operation.method == "POST":
                response = client.post(target, next(iter(operation.request_examples().values())))
            else:
                response = client.ask(operation.method, target)
            assert response.status == 403, (operation, response.value)
            assert response.value["type"] == "urn:gatherd:error:executor-disabled" and "--files-root" in response.value["detail"]
        assert plain(client.post("/v1/run/read_file", {"path": "x"}).value) == plain(
            wanted[("FileForbidden", "executor_disabled")])
        task = {"function": "read_file", "input": {"path": "x"}}
        assert client.post("/v1/tasks", task).status == 403
        assert client.post("/v1/gather", {"tasks": [{"function": "sleep", "input": {"seconds": 0}}, task]}).status == 403
        assert client.get("/v1/functions/read_file").status == 200


@pytest.mark.parametrize("flags, words", [(["/nowhere"], "/nowhere"), (["/etc/hostname"], "/etc/hostname"), ([""], "")])
def test_a_root_that_is_none_is_refused_at_the_start(flags, words):
    from server import run as run_to_its_end
    done = run_to_its_end("--files-root", *flags, "--listen", "127.0.0.1:0")
    assert done.returncode != 0 and words in done.stderr and "root" in done.stderr


# -- what functions promise --------------------------------------------------------------------------------

def test_writes_in_all_modes(client, staged):
    path = staged / "new.txt"
    path.unlink(missing_ok=True)
    assert run(client, "write_file", path="new.txt", data="one\n", mode="x") == {"written_bytes": 4, "size_bytes": 4}
    assert run(client, "write_file", 409, path="new.txt", data="no", mode="x")["type"].endswith(":file-exists")
    assert run(client, "write_file", 409, path="new.txt", data="no", mode="x", atomic=True)["type"].endswith(":file-exists")
    assert run(client, "write_file", path="new.txt", data="two\n", mode="a") == {"written_bytes": 4, "size_bytes": 8}
    assert path.read_text() == "one\ntwo\n"
    inode = path.stat().st_ino
    assert run(client, "write_file", path="new.txt", data="3") == {"written_bytes": 1, "size_bytes": 1}
    assert path.read_text() == "3" and path.stat().st_ino == inode
    assert run(client, "write_file", path="new.txt", data="", atomic=True, fsync=True) == {"written_bytes": 0, "size_bytes": 0}
    assert path.read_text() == "" and path.stat().st_ino != inode
    problem = run(client, "write_file", 422, path="new.txt", data="x", mode="a", atomic=True)
    assert [e["pointer"] for e in problem["errors"]] == ["/atomic"]
    path.unlink()


@given(data=st.binary(max_size=2000))
@settings(max_examples=40)
def test_bytes_by_base64(client, staged, data):
    text = base64.b64encode(data).decode()
    assert run(client, "write_file", path="raw.bin", data=text, encoding="base64")["written_bytes"] == len(data)
    assert (staged / "raw.bin").read_bytes() == data
    assert run(client, "read_file", path="raw.bin", encoding="base64")["data"] == text
    assert run(client, "sha256_file", path="raw.bin") == {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    assert client.get(fs("raw.bin")).body == data
    try:
        wanted = data.decode()
    except UnicodeDecodeError:
        assert run(client, "read_file", 422, path="raw.bin")["type"].endswith(":invalid-utf8")
    else:
        assert run(client, "read_file", path="raw.bin")["data"] == wanted


@pytest.mark.parametrize("data", ["a", "ab=", "a===", "====", "YQ", "YQ=", "YQ===", "Y Q=", "YQ==\n", "YQ==YQ==", "YR==", "-_-_", "\u00e9\u00e9"])
def test_what_is_no_base64_is_refused(data, client, staged):
    """Also what decodes with a shrug: each content has one text."""
    (staged / "raw.bin").write_bytes(b"old")
    response = client.post("/v1/run/write_file", {"path": "raw.bin", "data": data, "encoding": "base64"})
    assert response.status == 422 and response.value["type"].endswith(":invalid"), data
    assert (staged / "raw.bin").read_bytes() == b"old"


@given(text=st.text(max_size=500))
@settings(max_examples=40)
def test_text_of_all_kinds(client, staged, text):
    assert run(client, "write_file", path="text.txt", data=text)["written_bytes"] == len(text.encode())
    assert (staged / "text.txt").read_bytes() == text.encode()
    assert run(client, "read_file", path="text.txt")["data"] == text


def test_ranges(client, staged):
    data = bytes(range(128)) * 8
    (staged / "range.bin").write_bytes(data)
    for offset in (0, 1, 127, 1000, 1023, 1024, 1025, 1 << 40, 1 << 53):
        for length in (None, 0, 1, 24, 5000):
            asked = {"path": "range.bin", "offset": offset, **({} if length is None else {"length": length})}
            got = run(client, "read_file", **asked)
            wanted = data[offset:] if length is None else data[offset:offset + length]
            assert got["data"].encode() == wanted and got["read_bytes"] == len(wanted) and got["size_bytes"] == 1024
            assert got["eof"] == (offset + len(wanted) >= 1024)


def test_directories(client, staged):
    assert run(client, "make_directory", path="made/x/y", parents=True) == {"created": True}
    assert run(client, "make_directory", path="made/x/y", exist_ok=True) == {"created": False}
    assert run(client, "make_directory", 409, path="made/x")["type"].endswith(":file-exists")
    assert run(client, "make_directory", 404, path="nowhere/x")["type"].endswith(":file-not-found")
    assert run(client, "make_directory", 409, path="hello.txt", exist_ok=True)["type"].endswith(":file-exists")
    assert run(client, "remove_file", 422, path="made/x/y")["type"].endswith(":unsupported-file-type")
    assert run(client, "remove_file", 409, path="made", directory=True)["type"].endswith(":file-exists")
    assert run(client, "remove_file", 422, path="hello.txt", directory=True)["type"].endswith(":unsupported-file-type")
    for path in ("made/x/y", "made/x", "made"):
        assert run(client, "remove_file", path=path, directory=True) == {"removed": True}
    assert run(client, "remove_file", path="made", missing_ok=True) == {"removed": False}
    assert run(client, "remove_file", 404, path="made")["type"].endswith(":file-not-found")
    assert run(client, "write_file", path="p/q/r.txt", data="x", create_parents=True)["written_bytes"] == 1
    assert (staged / "p" / "q" / "r.txt").read_text() == "x"


def test_a_large_directory_in_pages(client, staged):
    (staged / "many").mkdir(exist_ok=True)
    names = sorted((f"{i:05}-{'n' * (i % 50)}" for i in range(3000)), key=os.fsencode)
    for name in names:
        (staged / "many" / name).touch()
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
    shutil.rmtree(staged / "many")


def test_what_a_directory_lists(client, staged):
    where = staged / "kinds"
    where.mkdir(exist_ok=True)
    (where / "\u00e9").write_bytes(b"12345")
    (where / "directory").mkdir(exist_ok=True)
    (where / "link").unlink(missing_ok=True)
    (where / "link").symlink_to("nowhere")
    if not (where / "fifo").exists():
        os.mkfifo(where / "fifo")
    with open(os.fsencode(where) + b"/\xff\xfe", "wb"):
        pass
    got = run(client, "list_directory", path="kinds")
    assert got == {"entries": [{"name": "directory", "type": "directory"}, {"name": "fifo", "type": "other"},
                               {"name": "link", "type": "symlink"}, {"name": "\u00e9", "type": "file", "size_bytes": 5}],
                   "truncated": False, "skipped_non_utf8": 1}
    assert ".gatherd-tmp" not in [e["name"] for e in run(client, "list_directory")["entries"]]
    assert run(client, "list_directory", 422, path="hello.txt")["type"].endswith(":unsupported-file-type")
    shutil.rmtree(os.fsencode(where))


def test_copies_and_renames(client, staged):
    (staged / "b.txt").unlink(missing_ok=True)
    assert run(client, "copy_file", **{"from": "hello.txt", "to": "b.txt"}) == {"size_bytes": len(HELLO)}
    assert run(client, "copy_file", 409, **{"from": "hello.txt", "to": "b.txt"})["type"].endswith(":file-exists")
    (staged / "hello.txt").write_bytes(b"other")
    assert run(client, "copy_file", **{"from": "hello.txt", "to": "b.txt", "replace": True}) == {"size_bytes": 5}
    assert run(client, "copy_file", **{"from": "b.txt", "to": "b.txt", "replace": True}) == {"size_bytes": 5}
    assert (staged / "b.txt").read_bytes() == b"other"
    for function, given, code in (
            ("copy_file", {"from": "docs", "to": "c.txt"}, "unsupported-file-type"),
            ("copy_file", {"from": "hello.txt", "to": "docs", "replace": True}, "unsupported-file-type"),
            ("copy_file", {"from": "nothing", "to": "c.txt"}, "file-not-found"),
            ("copy_file", {"from": "hello.txt", "to": "nowhere/c.txt"}, "file-not-found"),
            ("rename_file", {"from": "hello.txt", "to": "b.txt"}, "file-exists"),
            ("rename_file", {"from": "nothing", "to": "c.txt"}, "file-not-found"),
            ("rename_file", {"from": "hello.txt", "to": "docs", "replace": True}, "unsupported-file-type"),
            ("rename_file", {"from": "notes", "to": "docs", "replace": True}, "file-exists"),
            ("rename_file", {"from": "docs", "to": "docs/deep/docs"}, "unsupported-file-type"),
            ("rename_file", {"from": "hello.txt", "to": "c/"}, "unsupported-file-type")):
        before = tree(staged)
        response = client.post(f"/v1/run/{function}", given)
        assert response.value["type"] == f"urn:gatherd:error:{code}", (function, given, response.value)
        assert tree(staged) == before
    assert run(client, "rename_file", **{"from": "hello.txt", "to": "b.txt", "replace": True}) == {"type": "file"}
    assert run(client, "rename_file", **{"from": "docs/link", "to": "moved"}) == {"type": "symlink"}
    assert (staged / "moved").is_symlink() and not (staged / "hello.txt").exists()
    assert run(client, "rename_file", **{"from": "notes", "to": "notes2"}) == {"type": "directory"}
    assert (staged / "notes2").is_dir()
    shutil.rmtree(staged / "notes2")
    for name in ("moved", "b.txt"):
        (staged / name).unlink()


def test_what_is_said_of_a_file(client, staged):
    (staged / "hello.txt").chmod(0o4751)
    got = run(client, "stat_file", path="hello.txt")
    real = (staged / "hello.txt").stat()
    assert (got["type"], got["size_bytes"], got["mode"], got["links"]) == ("file", len(HELLO), "4751", 1)
    assert got["modified_at"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(real.st_mtime))
    assert run(client, "stat_file", path="docs/link")["type"] == "file"
    assert run(client, "stat_file", path="docs/link", follow=False)["type"] == "symlink"
    assert run(client, "stat_file", path=".")["type"] == "directory"
    (staged / "hello.txt").chmod(0o644)


def test_an_append_of_many_loses_nothing(server, staged):
    """Each line is there once and whole, whoever else appends."""
    def append(name):
        with Client(server.urls()[0]) as client:
            for i in range(50):
                run(client, "write_file", path="log.txt", data=f"{name}{i:03}" * 20 + "\n", mode="a")

    (staged / "log.txt").unlink(missing_ok=True)
    threads = [threading.Thread(target=append, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (staged / "log.txt").read_text().splitlines()
    assert sorted(lines) == sorted(f"{n}{i:03}" * 20 for n in "abcdef" for i in range(50))
    (staged / "log.txt").unlink()


def test_files_in_a_gather(client, staged):
    """Children as any other: a failure of one cancels the others, all_settled tells of each."""
    tasks = [{"function": "write_file", "name": "seed", "input": {"path": "data.txt", "data": "aio file"}},
             {"function": "read_file", "input": {"path": "missing.txt"}},
             {"function": "read_file", "input": {"path": "../x"}},
             {"function": "sleep", "input": {"seconds": 0}}]
    result = client.post("/v1/gather", {"tasks": tasks, "mode": "all_settled"}).value["result"]
    assert [c["state"] for c in result["tasks"]] == ["succeeded", "failed", "failed", "succeeded"]
    assert [c["error"]["code"] for c in result["tasks"][1:3]] == ["file_not_found", "path_forbidden"]
    assert result["tasks"][0]["result"] == {"written_bytes": 8, "size_bytes": 8}
    response = client.post("/v1/gather", {"tasks": tasks})
    assert response.status == 500 and response.value["type"].endswith(":child-failed")


def test_hardly_any_time(client, staged):
    """A deadline that passes while it queues: it never starts, and nothing is written."""
    (staged / "late.txt").unlink(missing_ok=True)
    response = client.post("/v1/run/write_file?deadline_seconds=0.000000001", {"path": "late.txt", "data": "x" * 100000})
    assert response.status in (200, 504)
    if response.status == 504 and response.value["task"]["cancel"]["effect"] == "prevented":
        assert not (staged / "late.txt").exists()


def test_the_largest_body_that_is_taken(client, staged):
    """Text is as large as a body may be; more goes through /v1/fs, as it is."""
    frame = len(as_json({"path": "large.txt", "data": ""}))
    data = "x" * (1048576 - frame)
    assert run(client, "write_file", path="large.txt", data=data)["written_bytes"] == len(data)
    assert client.post("/v1/run/write_file", {"path": "large.txt", "data": data + "x"}).status == 413
    assert run(client, "read_file", path="large.txt")["data"] == data
    (staged / "large.txt").unlink()
