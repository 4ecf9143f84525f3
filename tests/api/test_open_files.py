"""Open files: methods match Python's file objects, calls on one file run in order, and leases close unused files."""

import base64
import json
import os
import random
import subprocess
import threading
import time

import pytest

import contract
from client import Client, Raw, request_bytes
from file_helpers import HELLO, Handle, as_json, descriptors, run, script, create_example_files
from server import RELEASE, wait_until
from task_requests import Background, pools

METHODS = ["read", "readline", "readlines", "write", "writelines", "pread", "pwrite", "seek", "tell", "truncate",
           "flush", "fsync", "stat", "close"]
SHORT_TIMEOUT = 5 if RELEASE else 20  # seconds, for events that take milliseconds on an idle machine


@pytest.fixture
def start_with_root(start, tmp_path):
    """start_with_root(*flags) starts a server for this test, and returns it and its root directory."""
    def start_server(*flags):
        (tmp_path / "root").mkdir(exist_ok=True)
        return start("--files-root", str(tmp_path / "root"), *flags), tmp_path / "root"
    return start_server


@pytest.fixture
def example_root(root):
    create_example_files(root)
    return root


# -- one example in three ways -----------------------------------------------------------------------

def test_open_write_close(client, example_root):
    file = Handle(client, "data.txt", "w")
    assert (example_root / "data.txt").read_bytes() == b""
    assert file("write", data="aio file") == {"written_bytes": 8, "position": 8}
    assert file.close() == {}
    assert (example_root / "data.txt").read_bytes() == b"aio file"


def test_write_by_script(client, example_root):
    (example_root / "data.txt").unlink(missing_ok=True)
    assert script(client, "data.txt", "w", ("write", {"data": "aio file"}), "close") == [
        {"written_bytes": 8, "position": 8}, {}]
    assert (example_root / "data.txt").read_bytes() == b"aio file"
    steps = {"path": "data.txt", "ops": [{"op": "read"}]}
    assert client.post("/v1/files/script?name=n", steps).value["name"] == "n"


def test_write_by_write_file(client, example_root):
    (example_root / "data.txt").unlink(missing_ok=True)
    assert run(client, "write_file", path="data.txt", data="aio file") == {"written_bytes": 8, "size_bytes": 8}
    assert (example_root / "data.txt").read_bytes() == b"aio file"


# -- handles ---------------------------------------------------------------------------------------

def test_open_file_info(client, example_root):
    file = Handle(client, "hello.txt", "r+", encoding="base64", lease_seconds=120.5)
    opened = file.opened
    assert (opened["path"], opened["mode"], opened["encoding"], opened["position"], opened["lease_seconds"]) == (
        "hello.txt", "r+", "base64", 0, 120.5)
    assert opened["methods"] == METHODS
    file("read", length=5)
    info = file.get_info()
    assert (info["id"], info["position"]) == (opened["id"], 5)
    assert 100 < info["expires_in_seconds"] <= 120.5
    assert info in [{**f, "expires_in_seconds": info["expires_in_seconds"]}
                      for f in client.get("/v1/files").value["files"]]
    file.close()
    assert opened["id"] not in [f["id"] for f in client.get("/v1/files").value["files"]]


@pytest.mark.parametrize("body", [b"{}", b"", b"x" * 100000])
def test_delete_ignores_body(body, client, example_root):
    file = Handle(client, "hello.txt")
    assert client.fetch("DELETE", file.target, body, {"Content-Type": "text/plain"}).status == 200
    assert client.get(file.target).status == 410


@pytest.mark.parametrize("how", ["close", "DELETE"])
def test_closed_file_returns_410(how, client, server, example_root):
    client.get("/livez")
    before = descriptors(server.pid)
    file = Handle(client, "hello.txt")
    assert descriptors(server.pid) == before + 1
    if how == "close":
        assert client.fetch("POST", file.target + "/close").status == 200
    else:
        assert client.fetch("DELETE", file.target).value["function"] == "close"
    assert descriptors(server.pid) == before
    for response in (client.get(file.target), client.fetch("HEAD", file.target), client.fetch("DELETE", file.target),
                     *(client.post(f"{file.target}/{m}", {"data": "x", "lines": [], "offset": 0, "length": 1})
                       for m in METHODS)):
        assert response.status == 410
        assert response.value is None or response.value["type"] == "urn:gatherd:error:handle_closed"


@pytest.mark.parametrize("handle", ["nothing", "0", "01KAN5C3S0W9TZ3M5X7CEYAK4HQ3", "x" * 300, "%2e%2e", "%C3%A9"])
def test_unknown_handle_returns_404(handle, client):
    for response in (client.get(f"/v1/files/{handle}"), client.fetch("DELETE", f"/v1/files/{handle}"),
                     client.fetch("POST", f"/v1/files/{handle}/read")):
        assert (response.status, response.value["type"]) == (404, "urn:gatherd:error:handle_not_found"), handle


def test_unknown_method_lists_known_methods(client, example_root):
    file = Handle(client, "hello.txt")
    for method in ("fileno", "Read", "read%20", "detach", "x" * 100):
        response = client.fetch("POST", f"{file.target}/{method}")
        assert (response.status, response.value["type"]) == (404, "urn:gatherd:error:file_method_not_found")
        assert response.value["detail"].endswith(": " + ", ".join(METHODS))
    file.close()


def test_handle_from_before_restart_returns_410(start_with_root, tmp_path):
    first, root = start_with_root()
    (root / "a.txt").write_bytes(HELLO)
    with Client(first.urls()[0]) as client:
        file = Handle(client, "a.txt")
    first.terminate()
    first.wait()
    second, _ = start_with_root()
    with Client(second.urls()[0]) as client:
        for response in (client.get(file.target), client.fetch("DELETE", file.target),
                         client.fetch("POST", file.target + "/read")):
            assert (response.status, response.value["type"]) == (410, "urn:gatherd:error:stale_handle")


def test_open_over_max_open_files_returns_503(start_with_root):
    server, root = start_with_root("--max-open-files", "3")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        files = [Handle(client, "a.txt") for _ in range(3)]
        response = client.post("/v1/files", {"path": "a.txt"})
        assert (response.status, response.value["type"]) == (503, "urn:gatherd:error:too_many_open_files")
        assert run(client, "read_file", path="a.txt")["data"] == HELLO.decode()
        files[1].close()
        files[1] = Handle(client, "a.txt")
        assert client.post("/v1/files", {"path": "a.txt"}).status == 503
        for _ in range(5):  # failed opens do not count against the limit
            files.pop().close()
            assert client.post("/v1/files", {"path": "nothing.txt"}).status == 404
            files.append(Handle(client, "a.txt"))


def test_lease_bounds_are_enforced(start_with_root):
    server, root = start_with_root("--max-lease-seconds", "100")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        for lease, status in ((0.001, 201), (100, 201), (100.001, 422), (0, 422), (-1, 422), (1e300, 422)):
            response = client.post("/v1/files", {"path": "a.txt", "lease_seconds": lease})
            assert response.status == status, lease
            if lease == 100.001:
                assert response.value["limit"] == {"name": "max_lease_seconds", "value": 100}


def test_default_lease_is_capped_by_limit(start_with_root):
    """An open without a lease succeeds even if max_lease_seconds is below the default lease."""
    server, root = start_with_root("--max-lease-seconds", "5")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        assert Handle(client, "a.txt").opened["lease_seconds"] == 5


# -- leases ------------------------------------------------------------------------------------------

def test_expired_lease_closes_file(client, server, example_root):
    client.get("/livez")
    before = descriptors(server.pid)
    file = Handle(client, "hello.txt", lease_seconds=0.3)
    for _ in range(6):
        time.sleep(0.1)
        file("tell")
    assert file.get_info()["expires_in_seconds"] <= 0.3
    wait_until(lambda: descriptors(server.pid) == before, "the end of the lease", SHORT_TIMEOUT)
    response = client.get(file.target)
    assert (response.status, response.value["type"]) == (410, "urn:gatherd:error:handle_closed")


@pytest.mark.parametrize("pause", [0, 0.001, 0.05])
def test_disconnect_during_open_leaks_nothing(pause, start_with_root):
    """Clients disconnect between open and close, and during the open."""
    server, root = start_with_root()
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        client.get("/livez")
        before = descriptors(server.pid)
        for i in range(40):
            raw = Raw(server.urls()[0])
            raw.send(request_bytes("POST", "/v1/files", {"path": "a.txt", "lease_seconds": 0.2}))
            if pause:
                time.sleep(pause)
            if i % 2:
                raw.response("POST", "/v1/files")
            raw.sock.close()
        wait_until(lambda: descriptors(server.pid) == before, "the end of all leases", SHORT_TIMEOUT)
        wait_until(lambda: client.get("/v1/files").value == {"files": []}, "the end of all closes", SHORT_TIMEOUT)


def test_call_in_progress_extends_lease(start_with_root):
    """A lease that would expire during a call starts again after the call."""
    server, root = start_with_root("--max-open-files", "10")
    os.mkfifo(root / "fifo")
    (root / "a.bin").write_bytes(b"x" * 16000000)
    with Client(server.urls()[0]) as client:
        file = Handle(client, "a.bin", encoding="base64", lease_seconds=0.001)
        response = client.post(file.target + "/read", {})
        assert response.status in (200, 410)
        if response.status == 200:
            assert len(response.value["result"]["data"]) == 4 * ((16000000 + 2) // 3)


# -- comparison with Python's file objects ---------------------------------------------------------------

MODES = ["r", "r+", "w", "w+", "a", "a+", "x", "x+"]
ALPHABET = b"ab\n\n\xc3\xa9\x00z"


class FilePair:
    """Makes the same calls on an open file and on a Python file object, and compares results and positions."""

    def __init__(self, client, root, mode, content):
        for name in ("ours.bin", "theirs.bin"):
            (root / name).unlink(missing_ok=True)
            if "x" not in mode:
                (root / name).write_bytes(content)
        self.root, self.mode = root, mode
        self.service_file = Handle(client, "ours.bin", mode, encoding="base64")
        self.python_file = open(root / "theirs.bin", mode + "b", buffering=0)
        self.history = [(mode, content)]

    def call(self, method, **given):
        """Makes the call on both files. Returns Python's result, or None if Python raises."""
        self.history.append((method, given))
        expected = getattr(self, "do_" + method)(**given)
        sent = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else
                [base64.b64encode(x).decode() for x in v] if isinstance(v, list) else v for k, v in given.items()}
        response = self.service_file.client.post(f"{self.service_file.target}/{method}", sent)
        if expected is None:
            assert response.status == 422, (self.history, response.value)
            code = "invalid_argument" if method in self.service_file.opened["methods"] else "file_mode_mismatch"
            assert response.value["type"] == contract.problem_type(code)
        else:
            assert response.status == 200, (self.history, response.value)
            got = dict(response.value["result"])
            got.pop("eof", None)
            if "data" in got:
                got["data"] = base64.b64decode(got["data"], validate=True)
            if "lines" in got:
                got["lines"] = [base64.b64decode(line, validate=True) for line in got["lines"]]
            assert got == expected, (self.history, got, expected)
        assert self.service_file.get_info()["position"] == self.python_file.tell(), self.history
        assert (self.root / "ours.bin").read_bytes() == (self.root / "theirs.bin").read_bytes(), self.history

    def can_read(self):
        return self.python_file.readable()

    def can_write(self):
        return self.python_file.writable()

    def got(self, data):
        return {"data": data, "read_bytes": len(data), "position": self.python_file.tell()}

    def do_read(self, length=None):
        return self.got(self.python_file.read(-1 if length is None else length)) if self.can_read() else None

    def do_readline(self, length=None):
        return self.got(self.python_file.readline(-1 if length is None else length)) if self.can_read() else None

    def do_readlines(self):
        if not self.can_read():
            return None
        lines = self.python_file.readlines()
        return {"lines": lines, "read_bytes": sum(map(len, lines)), "position": self.python_file.tell()}

    def write_result(self, n):
        return {"written_bytes": n, "position": self.python_file.tell()}

    def do_write(self, data):
        return self.write_result(self.python_file.write(data)) if self.can_write() else None

    def do_writelines(self, lines):
        if not self.can_write():
            return None
        self.python_file.writelines(lines)
        return self.write_result(sum(map(len, lines)))

    def do_pread(self, offset, length):
        if not self.can_read():
            return None
        data = os.pread(self.python_file.fileno(), length, offset)
        return {"data": data, "read_bytes": len(data)}

    def do_pwrite(self, offset, data):
        if not self.can_write() or "a" in self.mode:
            return None
        return {"written_bytes": os.pwrite(self.python_file.fileno(), data, offset)}

    def do_seek(self, offset, whence="start"):
        try:
            return {"position": self.python_file.seek(offset, ["start", "current", "end"].index(whence))}
        except OSError:
            return None

    def do_tell(self):
        return {"position": self.python_file.tell()}

    def do_truncate(self, size=None):
        if not self.can_write():
            return None
        return {"size_bytes": self.python_file.truncate(size)}

    def do_flush(self):
        return {}

    def close(self):
        self.service_file.close()
        self.python_file.close()


def random_call(rng):
    """A random method with arguments mostly near the file's size."""
    method = rng.choice([m for m in METHODS if m not in ("close", "fsync", "stat")])
    random_size = lambda: rng.choice([0, 0, 1, rng.randrange(40), rng.randrange(40), rng.randrange(5000)])
    data = lambda: bytes(rng.choices(ALPHABET, k=rng.choice([0, 1, 5, 20, 300])))
    if method in ("read", "readline"):
        return method, rng.choice([{}, {"length": random_size()}])
    if method == "write":
        return method, {"data": data()}
    if method == "writelines":
        return method, {"lines": [data() for _ in range(rng.randrange(4))]}
    if method == "pread":
        return method, {"offset": random_size(), "length": random_size()}
    if method == "pwrite":
        return method, {"offset": random_size(), "data": data()}
    if method == "seek":
        whence = rng.choice(["start", "current", "end", None])
        offset = random_size() if whence in ("start", None) else rng.choice([-1, 1]) * random_size()
        return method, {"offset": offset} if whence is None else {"offset": offset, "whence": whence}
    if method == "truncate":
        return method, rng.choice([{}, {"size": random_size()}])
    return method, {}


@pytest.mark.parametrize("mode", MODES)
def test_methods_match_python(mode, client, root):
    rng = random.Random(f"files {mode}")
    for _ in range(12 if RELEASE else 6):
        content = bytes(rng.choices(ALPHABET, k=rng.choice([0, 1, 30, 1000])))
        pair = FilePair(client, root, mode, content)
        for _ in range(40):
            method, given = random_call(rng)
            pair.call(method, **given)
        pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_scripts_match_python(mode, client, root):
    """A script of random calls gives the same results as Python, up to the first step that fails."""
    rng = random.Random(f"scripts {mode}")
    for _ in range(30 if RELEASE else 10):
        pair = FilePair(client, root, mode, bytes(rng.choices(ALPHABET, k=30)))
        pair.service_file.close()
        (root / "ours.bin").unlink()
        if "x" not in mode:
            (root / "ours.bin").write_bytes(pair.history[0][1])
        ops, expected, rejected = [], [], False
        for _ in range(rng.randrange(1, 30)):
            method, given = random_call(rng)
            ops.append({"op": method, **{
                k: base64.b64encode(v).decode() if isinstance(v, bytes) else
                [base64.b64encode(x).decode() for x in v] if isinstance(v, list) else v for k, v in given.items()}})
            result = getattr(pair, "do_" + method)(**given)
            if result is None:
                rejected = True
                break
            expected.append(result)
        response = client.post("/v1/files/script", {"path": "ours.bin", "mode": mode, "encoding": "base64", "ops": ops})
        assert (root / "ours.bin").read_bytes() == (root / "theirs.bin").read_bytes(), (mode, ops)
        if rejected:
            assert response.status == 422, (ops, response.value)
            assert f"/ops/{len(ops) - 1} (" in response.value["detail"], (ops, response.value)
        else:
            assert response.status == 200, (ops, response.value)
            for op, step, wanted in zip(ops, response.value["result"]["results"], expected):
                got = dict(step["result"])
                got.pop("eof", None)
                if "data" in got:
                    got["data"] = base64.b64decode(got["data"])
                if "lines" in got:
                    got["lines"] = [base64.b64decode(line) for line in got["lines"]]
                assert step["op"] == op["op"] and got == wanted, (mode, ops, op)
        pair.python_file.close()


def test_text_reads_return_whole_characters(client, example_root):
    text = "a\u00e9\u20ac\U0001f40c\n\0b"
    (example_root / "text.txt").write_bytes(text.encode())
    for length in range(1, 14):
        file = Handle(client, "text.txt")
        pieces = []
        while True:
            got = file("read", length=length)
            if not got["data"]:
                assert got["eof"]
                break
            assert got["read_bytes"] == len(got["data"].encode()) <= max(length, 4)
            pieces.append(got["data"])
        assert "".join(pieces) == text
        file.close()


def test_reading_invalid_utf8_as_text_fails(client, example_root):
    for content in (b"ok\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"a\x80"):
        (example_root / "binary.dat").write_bytes(content)
        file = Handle(client, "binary.dat")
        for method in ("read", "readline", "readlines"):
            assert file(method, 422)["type"] == "urn:gatherd:error:invalid_utf8"
            assert file.get_info()["position"] == 0
        assert file("pread", 422, offset=0, length=9)["type"] == "urn:gatherd:error:invalid_utf8"
        file.close()
        same = Handle(client, "binary.dat", encoding="base64")
        assert base64.b64decode(same("read")["data"]) == content
        same.close()


def test_mode_determines_allowed_methods(client, example_root):
    for mode in MODES:
        if "x" in mode:
            (example_root / "modes.txt").unlink(missing_ok=True)
        else:
            (example_root / "modes.txt").write_bytes(HELLO)
        file = Handle(client, "modes.txt", mode)
        can_read, can_write = "r" in mode or "+" in mode, mode != "r"
        for method, given, allowed in (("read", {}, can_read), ("readline", {}, can_read), ("readlines", {}, can_read),
                                   ("pread", {"offset": 0, "length": 1}, can_read), ("write", {"data": "x"}, can_write),
                                   ("writelines", {"lines": ["x"]}, can_write), ("truncate", {"size": 1}, can_write),
                                   ("pwrite", {"offset": 0, "data": "x"}, can_write and "a" not in mode)):
            value = file(method, 200 if allowed else 422, **given)
            assert allowed or value["type"] == "urn:gatherd:error:file_mode_mismatch"
            assert allowed or value["detail"] == f"modes.txt is open in mode {mode}, which does not allow {method}"
            assert (method in file.opened["methods"]) == allowed
        assert {"seek", "tell", "flush", "fsync", "stat", "close"} <= set(file.opened["methods"])
        file.close()
    assert client.post("/v1/files", {"path": "modes.txt", "mode": "x"}).status == 409
    assert client.post("/v1/files", {"path": "nothing.txt", "mode": "r+"}).status == 404
    for mode in ("rb", "", "rw", "R", "r ", "+"):
        assert client.post("/v1/files", {"path": "modes.txt", "mode": mode}).status == 422


def test_flush_fsync_and_stat(client, example_root):
    file = Handle(client, "hello.txt", "r+")
    file("write", data="J")
    assert file("flush") == {} and file("fsync") == {}
    stat = file("stat")
    assert (stat["type"], stat["size_bytes"], stat["links"]) == ("file", len(HELLO), 1)
    assert file.get_info()["position"] == 1
    file.close()


def test_removed_file_stays_open(client, example_root):
    file = Handle(client, "hello.txt", "r+")
    run(client, "remove_file", path="hello.txt")
    assert file("stat")["links"] == 0
    assert file("read")["data"] == HELLO.decode()
    file.close()
    assert not (example_root / "hello.txt").exists()


def test_reads_over_max_read_bytes_are_rejected(start_with_root):
    server, root = start_with_root("--max-read-bytes", "1000")
    (root / "a.txt").write_bytes(b"0123456789" * 200)
    with Client(server.urls()[0]) as client:
        file = Handle(client, "a.txt")
        assert client.post(file.target + "/read", {"length": 1001}).value["limit"] == {
            "name": "max_read_bytes", "value": 1000}
        for method in ("read", "readlines"):
            value = file(method, 422)
            assert value["type"] == "urn:gatherd:error:limit_exceeded" and "max_read_bytes" in value["detail"]
            assert file.get_info()["position"] == 0
        assert file("read", length=1000)["position"] == 1000
        assert file("read")["position"] == 2000
        assert file("read")["eof"] is True
        piece = run(client, "read_file", path="a.txt")
        assert (piece["read_bytes"], piece["size_bytes"], piece["eof"]) == (1000, 2000, False)
        script(client, "a.txt", "r", ("read", {"length": 600}), ("read", {"length": 400}))
        value = script(client, "a.txt", "r", ("read", {"length": 600}), ("read", {"length": 401}), status=422)
        assert value["type"] == "urn:gatherd:error:limit_exceeded"


def test_read_quota_is_refunded_on_failure(start_with_root):
    server, root = start_with_root("--max-read-bytes", "1000")
    for name, size in (("600", 600), ("400", 400), ("1", 1), ("0", 0)):
        (root / name).write_bytes(b"x" * size)
    (root / "binary").write_bytes(b"\xff" * 900)
    with Client(server.urls()[0]) as client:
        names = ["binary", "binary", "600", "600", "400", "1", "0"]
        response = client.post("/v1/gather", {
            "mode": "all_settled", "max_concurrency": 1,
            "tasks": [{"function": "read_file", "input": {"path": name}} for name in names]})
        codes = [t.get("error", {}).get("code") for t in response.value["result"]["tasks"]]
        assert codes == ["invalid_utf8", "invalid_utf8", None, "limit_exceeded", None, "limit_exceeded", None]


def test_multibyte_characters_are_charged_in_full(start_with_root):
    """Each read returns at least one character. A failed read gets its quota refunded exactly."""
    server, root = start_with_root("--max-read-bytes", "10")
    (root / "bad").write_bytes(b"\x80" * 100)
    (root / "ten").write_bytes(b"a" * 10)
    (root / "euros").write_text("\u20ac" * 20, encoding="utf-8")
    bad = {"function": "read_file", "input": {"path": "bad", "length": 1}}
    ten = {"function": "read_file", "input": {"path": "ten"}}
    euro = {"function": "read_file", "input": {"path": "euros", "length": 1}}
    ops = [{"op": "read"}, {"op": "write", "data": "x"}]
    failing = {"function": "file_script", "input": {"path": "ten", "ops": ops}}
    with Client(server.urls()[0]) as client:
        for tasks, expected_successes in (([bad] * 20 + [ten] * 3, 1), ([euro] * 12, 4),
                                          ([failing] * 3 + [ten] * 2, 1)):
            response = client.post("/v1/gather", {"mode": "all_settled", "max_concurrency": 1, "tasks": tasks})
            assert response.value["result"]["counts"]["succeeded"] == expected_successes, tasks


def test_list_directory_counts_toward_read_quota(start_with_root):
    server, root = start_with_root("--max-read-bytes", "20000")
    for i in range(100):
        (root / f"{i:0100}").touch()
    with Client(server.urls()[0]) as client:
        tasks = [{"function": "list_directory", "input": {}}] * 3
        response = client.post("/v1/gather", {"mode": "all_settled", "tasks": tasks})
        assert sorted(t["state"] for t in response.value["result"]["tasks"]) == ["failed", "failed", "succeeded"]
        assert len(client.post("/v1/run/list_directory", {}).value["result"]["entries"]) == 100


def test_rejected_reads_take_no_memory(start_with_root):
    server, root = start_with_root()
    (root / "large").write_bytes(b"x" * (16 << 20))
    (root / "binary").write_bytes(b"\xff" * (16 << 20))
    with Client(server.urls()[0]) as client:
        for name, expected_successes in (("large", 1), ("binary", 0)):
            tasks = [{"function": "read_file", "input": {"path": name}}] * 40
            response = client.post("/v1/gather", {"mode": "all_settled", "tasks": tasks})
            assert response.value["result"]["counts"]["succeeded"] == expected_successes
    if RELEASE:
        assert server.memory("VmHWM") < 200 << 20  # only a few of the 40 reads run at a time


def test_script_over_max_steps_is_rejected(start_with_root):
    server, root = start_with_root("--max-script-steps", "3")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        script(client, "a.txt", "r", "tell", "tell", "tell")
        value = script(client, "a.txt", "r", "tell", "tell", "tell", "tell", status=422)
        assert value["limit"] == {"name": "max_script_steps", "value": 3}


def test_script_step_members_are_validated(client, example_root):
    everything = {"data": "x", "lines": [], "length": 1, "offset": 0, "size": 0, "whence": "start"}
    members_by_method = {"read": "length", "readline": "length", "write": "data", "writelines": "lines",
                         "pread": "offset length", "pwrite": "offset data", "seek": "offset whence",
                         "truncate": "size"}
    optional = {("read", "length"), ("readline", "length"), ("seek", "whence"), ("truncate", "size")}
    for method in METHODS:
        members = members_by_method.get(method, "").split()
        for member in everything:
            step = {"op": method, **{m: everything[m] for m in members}}
            if member in members and (method, member) not in optional:
                del step[member]
            elif member not in members:
                step[member] = everything[member]
            else:
                continue
            response = client.post("/v1/files/script", {"path": "hello.txt", "ops": [{"op": "tell"}, step]})
            assert response.status == 422 and "task" not in response.value, step
            assert [e["pointer"] for e in response.value["errors"]] == [f"/ops/1/{member}"], step


def test_script_accepts_negative_seek(client, example_root):
    assert script(client, "hello.txt", "r", ("seek", {"offset": -6, "whence": "end"}), ("read", {"length": 4}),
                  ("seek", {"offset": -4, "whence": "current"}), "tell") == [
        {"position": 7}, {"data": "file", "read_bytes": 4, "position": 11, "eof": False},
        {"position": 7}, {"position": 7}]
    for op in (("pread", {"offset": -1, "length": 1}), ("pwrite", {"offset": -1, "data": "x"})):
        value = script(client, "hello.txt", "r+", op, status=422)
        assert [e["pointer"] for e in value["errors"]] == ["/ops/0/offset"] and "task" not in value


def test_script_stops_after_close_and_first_failure(start_with_root):
    server, root = start_with_root()
    with Client(server.urls()[0]) as client:
        client.get("/livez")
        before = descriptors(server.pid)
        value = script(client, "data.txt", "w", ("write", {"data": "a"}), "close", ("write", {"data": "b"}), status=410)
        assert "/ops/2 (write)" in value["detail"]
        assert (root / "data.txt").read_bytes() == b"a"
        value = script(client, "data.txt", "w", ("write", {"data": "c"}), "read", ("write", {"data": "d"}), status=422)
        assert "/ops/1 (read)" in value["detail"]
        assert (root / "data.txt").read_bytes() == b"c"
        assert descriptors(server.pid) == before


def test_calls_reject_query_and_non_json_body(client, example_root):
    file = Handle(client, "hello.txt")
    assert client.post(f"{file.target}/read?length=1", {}).status == 422
    assert client.fetch("POST", f"{file.target}/read", b"{}", {"Content-Type": "text/plain"}).status == 415
    assert client.fetch("POST", f"{file.target}/write").status == 422
    assert client.fetch("POST", f"{file.target}/tell").value["result"] == {"position": 0}
    file.close()


# -- order -------------------------------------------------------------------------------------------

def test_pipelined_calls_run_in_order(server, example_root):
    with Client(server.urls()[0]) as client, Raw(server.urls()[0]) as raw:
        file = Handle(client, "order.txt", "w")
        target = f"{file.target}/write"
        raw.send(b"".join(request_bytes("POST", target, {"data": f"{i}\n"}) for i in range(300)))
        for _ in range(300):
            assert raw.response("POST", target).status == 200
        file.close()
    assert (example_root / "order.txt").read_text() == "".join(f"{i}\n" for i in range(300))


def test_concurrent_calls_on_one_file_are_serialized(server, example_root):
    """The file contains each write once, and whole. Each write starts at the position that the previous returned."""
    with Client(server.urls()[0]) as client:
        file = Handle(client, "order.txt", "w")
        ends = []

        def write(name):
            with Client(server.urls()[0]) as other:
                for i in range(40):
                    piece = f"{name}{i:02}" * 50 + "\n"
                    result = other.post(f"{file.target}/write", {"data": piece}).value["result"]
                    ends.append((result["position"], piece))

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        file.close()
    content = (example_root / "order.txt").read_text()
    assert len(ends) == 320 and "".join(piece for _, piece in sorted(ends)) == content


def test_calls_on_different_files_run_concurrently(server, client, example_root):
    """Calls on different files run concurrently, one per thread."""
    def uses_two_threads():
        """On a busy machine one thread may do all of a gather before another gets a processor."""
        for i in range(50):
            (example_root / f"many-{i}.txt").unlink(missing_ok=True)
        tasks = [{"function": "write_file", "input": {"path": f"many-{i}.txt", "data": "x" * 1000}} for i in range(50)]
        result = client.post("/v1/gather", {"tasks": tasks}).value["result"]
        assert result["counts"]["succeeded"] == 50
        for i in range(50):
            assert (example_root / f"many-{i}.txt").read_bytes() == b"x" * 1000
        return len({c["tid"] for c in result["tasks"]}) > 1

    wait_until(uses_two_threads, "two threads")


def test_slow_file_does_not_delay_other_files(start_with_root, tmp_path):
    """Many calls on one file occupy one thread; calls on another file overtake them."""
    server, root = start_with_root("--files-threads", "2")
    with Client(server.urls()[0]) as client, Client(server.urls()[0]) as other:
        slow, quick = Handle(client, "slow.bin", "w"), Handle(client, "quick.bin", "w")
        data = "x" * 1000000
        raws = [Raw(server.urls()[0]) for _ in range(20)]
        for raw in raws:
            raw.send(request_bytes("POST", f"{slow.target}/write", {"data": data})
                     + request_bytes("POST", f"{slow.target}/fsync"))
        for i in range(20):
            assert other.post(f"{quick.target}/write", {"data": "x"}).value["result"]["position"] == i + 1
        for raw in raws:
            assert raw.response("POST", f"{slow.target}/write").status == 200
            assert raw.response("POST", f"{slow.target}/fsync").status == 200
            raw.sock.close()
        assert slow("tell") == {"position": 20 * len(data)}


def test_close_waits_for_earlier_calls(server, example_root):
    with Client(server.urls()[0]) as client, Raw(server.urls()[0]) as raw:
        file = Handle(client, "order.txt", "w")
        calls = [("write", {"data": "x" * 500000})] * 3 + [("close", {}), ("write", {"data": "y"}), ("tell", {})]
        raw.send(b"".join(request_bytes("POST", f"{file.target}/{m}", given) for m, given in calls))
        got = [raw.response("POST", f"{file.target}/{m}").status for m, _ in calls]
        assert got == [200, 200, 200, 200, 410, 410]
    assert (example_root / "order.txt").stat().st_size == 1500000


def test_concurrent_closes_succeed_once(server, example_root):
    before = descriptors(server.pid)
    with Client(server.urls()[0]) as client:
        client.get("/livez")
        for _ in range(30):
            file = Handle(client, "hello.txt")
            raws = [Raw(server.urls()[0]) for _ in range(3)]
            for raw in raws:
                raw.send(request_bytes("POST", f"{file.target}/close"))
            got = sorted(raw.response("POST", f"{file.target}/close").status for raw in raws)
            assert got == [200, 410, 410]
            for raw in raws:
                raw.sock.close()
    wait_until(lambda: descriptors(server.pid) <= before, "the end of all", SHORT_TIMEOUT)


# -- speed -------------------------------------------------------------------------------------------

FGETS_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
int main(int argc, char **argv)
{
    struct timespec a, b;
    char line[4096], **lines = NULL;
    size_t count = 0, room = 0, bytes = 0;
    clock_gettime(CLOCK_MONOTONIC, &a);
    FILE *f = fopen(argv[1], "r");
    if (argc < 2 || f == NULL)
        return 1;
    while (fgets(line, sizeof line, f) != NULL) {
        if (count == room)
            lines = realloc(lines, (room = room * 2 + 64) * sizeof *lines);
        bytes += strlen(line);
        lines[count++] = strdup(line);
    }
    fclose(f);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.9f %zu %zu\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9, count, bytes);
    return 0;
}
"""


def write_lines(path, count):
    path.write_text("".join(f"{i:08} the quick brown fox jumps over the lazy dog\n" for i in range(count)))


def post_unchecked(client, target, body):
    """Returns the task unchecked: checking 100,000 lines against the schema takes longer than reading them."""
    client.send_request("POST", target, as_json(body))
    response = client.getresponse()
    data = response.read()
    assert response.status == 200, data[:1000]
    return json.loads(data)


def test_readlines_of_large_file(client, example_root):
    write_lines(example_root / "lines.txt", 100000)
    whole = (example_root / "lines.txt").read_text()
    file = Handle(client, "lines.txt")
    got = post_unchecked(client, f"{file.target}/readlines", {})["result"]
    file.close()
    assert "".join(got["lines"]) == whole and len(got["lines"]) == 100000
    steps = [{"op": "readlines"}]
    got = post_unchecked(client, "/v1/files/script", {"path": "lines.txt", "ops": steps})["result"]["results"]
    assert "".join(got[0]["result"]["lines"]) == whole
    steps = [{"op": "readline"}] * 10000
    got = post_unchecked(client, "/v1/files/script", {"path": "lines.txt", "ops": steps})["result"]["results"]
    assert [step["result"]["data"] for step in got] == whole.splitlines(keepends=True)[:10000]
    (example_root / "lines.txt").unlink()


@pytest.mark.release
def test_readlines_takes_at_most_five_times_fgets(client, example_root, tmp_path):
    """Compares the task's duration with a loop of fgets(3) in C that keeps each line."""
    write_lines(example_root / "lines.txt", 100000)
    (tmp_path / "plain.c").write_text(FGETS_SOURCE)
    subprocess.run(["cc", "-O2", "-o", str(tmp_path / "plain"), str(tmp_path / "plain.c")], check=True)
    fgets_seconds, called, scripted = [], [], []
    for _ in range(9):
        done = subprocess.run([tmp_path / "plain", example_root / "lines.txt"], stdout=subprocess.PIPE, check=True,
                              text=True)
        fgets_seconds.append(float(done.stdout.split()[0]))
        file = Handle(client, "lines.txt")
        called.append(post_unchecked(client, f"{file.target}/readlines", {})["duration_seconds"])
        file.close()
        steps = {"path": "lines.txt", "ops": [{"op": "readlines"}]}
        scripted.append(post_unchecked(client, "/v1/files/script", steps)["duration_seconds"])
    median = lambda values: sorted(values)[len(values) // 2]
    assert median(called) < 5 * median(fgets_seconds), (median(called), median(fgets_seconds))
    assert median(scripted) < 5 * median(fgets_seconds), (median(scripted), median(fgets_seconds))
    (example_root / "lines.txt").unlink()


def test_full_pool_does_not_hide_unknown_handle(start, tmp_path):
    with open(tmp_path / "large.bin", "wb") as large:
        large.truncate(1000 << 20)
    server = start("--files-root", str(tmp_path), "--files-threads", "1", "--queue-limit", "0")
    url = server.urls()[0]
    with Background(url) as background, Client(url) as client:
        hashing = background.post("/v1/run/sha256_file", {"path": "large.bin"})
        wait_until(lambda: pools(url)["files"]["busy"] == 1, "the hashing")
        assert client.post("/v1/files", {"path": "large.bin"}).status == 503
        for path in ("/v1/files/unknown/read", "/v1/files/unknown/nonsense"):
            assert client.post(path, {}).status == 404, path
        assert hashing.result().status == 200
