"""Open files: each method does what Python's own file object does, calls on one run in order, and leases let none leak."""

import base64
import json
import os
import random
import subprocess
import threading
import time

import pytest

from client import Client, Raw, request_bytes
from file_helpers import HELLO, Handle, as_json, descriptors, run, script, stage
from server import RELEASE, wait_until

METHODS = ["read", "readline", "readlines", "write", "writelines", "pread", "pwrite", "seek", "tell", "truncate",
           "flush", "fsync", "stat", "close"]
SOON = 5  # seconds, for what should happen at once, on a slow machine too


@pytest.fixture
def own(start, tmp_path):
    """A server of the test's own, and its root."""
    def starter(*flags):
        (tmp_path / "root").mkdir(exist_ok=True)
        return start("--files-root", str(tmp_path / "root"), *flags), tmp_path / "root"
    return starter


@pytest.fixture
def staged(root):
    stage(root)
    return root


# -- the seed: the same by three ways ----------------------------------------------------------------

def test_open_write_close(client, staged):
    file = Handle(client, "data.txt", "w")
    assert (staged / "data.txt").read_bytes() == b""
    assert file("write", data="aio file") == {"written_bytes": 8, "position": 8}
    assert file.close() == {}
    assert (staged / "data.txt").read_bytes() == b"aio file"


def test_the_same_as_one_script(client, staged):
    (staged / "data.txt").unlink(missing_ok=True)
    assert script(client, "data.txt", "w", ("write", {"data": "aio file"}), "close") == [
        {"written_bytes": 8, "position": 8}, {}]
    assert (staged / "data.txt").read_bytes() == b"aio file"
    steps = {"path": "data.txt", "ops": [{"op": "read"}]}
    assert client.post("/v1/files/script?name=n", steps).value["name"] == "n"


def test_the_same_as_one_write_file(client, staged):
    (staged / "data.txt").unlink(missing_ok=True)
    assert run(client, "write_file", path="data.txt", data="aio file") == {"written_bytes": 8, "size_bytes": 8}
    assert (staged / "data.txt").read_bytes() == b"aio file"


# -- handles ---------------------------------------------------------------------------------------

def test_what_is_said_of_an_open_file(client, staged):
    file = Handle(client, "hello.txt", "r+", encoding="base64", lease_seconds=12.5)
    said = file.opened
    assert (said["path"], said["mode"], said["encoding"], said["position"], said["lease_seconds"]) == (
        "hello.txt", "r+", "base64", 0, 12.5)
    assert said["methods"] == METHODS
    file("read", length=5)
    looked = file.look()
    assert (looked["id"], looked["position"]) == (said["id"], 5)
    assert 11 < looked["expires_in_seconds"] <= 12.5
    assert looked in [{**f, "expires_in_seconds": looked["expires_in_seconds"]}
                      for f in client.get("/v1/files").value["files"]]
    file.close()
    assert said["id"] not in [f["id"] for f in client.get("/v1/files").value["files"]]


@pytest.mark.parametrize("body", [b"{}", b"", b"x" * 100000])
def test_a_body_does_not_keep_delete_from_closing(body, client, staged):
    file = Handle(client, "hello.txt")
    assert client.ask("DELETE", file.target, body, {"Content-Type": "text/plain"}).status == 200
    assert client.get(file.target).status == 410


@pytest.mark.parametrize("how", ["close", "DELETE"])
def test_a_closed_file_is_gone(how, client, server, staged):
    client.get("/livez")
    before = descriptors(server.pid)
    file = Handle(client, "hello.txt")
    assert descriptors(server.pid) == before + 1
    if how == "close":
        assert client.ask("POST", file.target + "/close").status == 200
    else:
        assert client.ask("DELETE", file.target).value["function"] == "close"
    assert descriptors(server.pid) == before
    for response in (client.get(file.target), client.ask("HEAD", file.target), client.ask("DELETE", file.target),
                     *(client.post(f"{file.target}/{m}", {"data": "x", "lines": [], "offset": 0, "length": 1})
                       for m in METHODS)):
        assert response.status == 410
        assert response.value is None or response.value["type"] == "urn:gatherd:error:handle-closed"


@pytest.mark.parametrize("handle", ["nothing", "0", "01KAN5C3S0W9TZ3M5X7CEYAK4HQ3", "x" * 300, "%2e%2e", "%C3%A9"])
def test_handles_that_never_were(handle, client):
    for response in (client.get(f"/v1/files/{handle}"), client.ask("DELETE", f"/v1/files/{handle}"),
                     client.ask("POST", f"/v1/files/{handle}/read")):
        assert (response.status, response.value["type"]) == (404, "urn:gatherd:error:handle-not-found"), handle


def test_an_unknown_method_lists_those_there_are(client, staged):
    file = Handle(client, "hello.txt")
    for method in ("fileno", "Read", "read%20", "detach", "x" * 100):
        response = client.ask("POST", f"{file.target}/{method}")
        assert (response.status, response.value["type"]) == (404, "urn:gatherd:error:file-method-not-found")
        assert response.value["detail"].endswith(": " + ", ".join(METHODS))
    file.close()


def test_a_handle_from_before_a_restart(own, tmp_path):
    first, root = own()
    (root / "a.txt").write_bytes(HELLO)
    with Client(first.urls()[0]) as client:
        file = Handle(client, "a.txt")
    first.terminate()
    first.wait()
    second, _ = own()
    with Client(second.urls()[0]) as client:
        for response in (client.get(file.target), client.ask("DELETE", file.target),
                         client.ask("POST", file.target + "/read")):
            assert (response.status, response.value["type"]) == (410, "urn:gatherd:error:stale-handle")


def test_too_many_open_files(own):
    server, root = own("--max-open-files", "3")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        files = [Handle(client, "a.txt") for _ in range(3)]
        response = client.post("/v1/files", {"path": "a.txt"})
        assert (response.status, response.value["type"]) == (503, "urn:gatherd:error:too-many-open-files")
        assert run(client, "read_file", path="a.txt")["data"] == HELLO.decode()
        files[1].close()
        files[1] = Handle(client, "a.txt")
        assert client.post("/v1/files", {"path": "a.txt"}).status == 503
        for _ in range(5):  # one that can't be opened takes no place for long
            files.pop().close()
            assert client.post("/v1/files", {"path": "nothing.txt"}).status == 404
            files.append(Handle(client, "a.txt"))


def test_leases_have_bounds(own):
    server, root = own("--max-lease-seconds", "100")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        for lease, status in ((0.001, 201), (100, 201), (100.001, 422), (0, 422), (-1, 422), (1e300, 422)):
            response = client.post("/v1/files", {"path": "a.txt", "lease_seconds": lease})
            assert response.status == status, lease
            if lease == 100.001:
                assert response.value["limit"] == {"name": "max_lease_seconds", "value": 100}


def test_the_default_lease_is_within_a_small_limit(own):
    """A limit below the default doesn't make every open fail that says nothing of a lease."""
    server, root = own("--max-lease-seconds", "5")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        assert Handle(client, "a.txt").opened["lease_seconds"] == 5


# -- leases ------------------------------------------------------------------------------------------

def test_a_lease_that_runs_out_closes_the_file(client, server, staged):
    client.get("/livez")
    before = descriptors(server.pid)
    file = Handle(client, "hello.txt", lease_seconds=0.3)
    for _ in range(6):
        time.sleep(0.1)
        file("tell")
    assert file.look()["expires_in_seconds"] <= 0.3
    wait_until(lambda: descriptors(server.pid) == before, "the end of the lease", SOON)
    response = client.get(file.target)
    assert (response.status, response.value["type"]) == (410, "urn:gatherd:error:handle-closed")


@pytest.mark.parametrize("pause", [0, 0.001, 0.05])
def test_a_client_that_vanishes_leaks_nothing(pause, own):
    """Between open and close, and in the middle of the open itself."""
    server, root = own()
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
                raw.answer("POST", "/v1/files")
            raw.sock.close()
        wait_until(lambda: descriptors(server.pid) == before, "the end of all leases", SOON)
        assert client.get("/v1/files").value == {"files": []}


def test_a_call_under_way_holds_the_file(own):
    """A lease that runs out meanwhile begins anew when the call has ended."""
    server, root = own("--max-open-files", "10")
    os.mkfifo(root / "fifo")
    (root / "a.bin").write_bytes(b"x" * 16000000)
    with Client(server.urls()[0]) as client:
        file = Handle(client, "a.bin", encoding="base64", lease_seconds=0.001)
        response = client.post(file.target + "/read", {})
        assert response.status in (200, 410)
        if response.status == 200:
            assert len(response.value["result"]["data"]) == 4 * ((16000000 + 2) // 3)


# -- Python's own file object, by its side ---------------------------------------------------------------

MODES = ["r", "r+", "w", "w+", "a", "a+", "x", "x+"]
ALPHABET = b"ab\n\n\xc3\xa9\x00z"


class Both:
    """The same call on an open file of the service, and on Python's own: results and positions have to be equal."""

    def __init__(self, client, root, mode, content):
        for name in ("ours.bin", "theirs.bin"):
            (root / name).unlink(missing_ok=True)
            if "x" not in mode:
                (root / name).write_bytes(content)
        self.root, self.mode = root, mode
        self.ours = Handle(client, "ours.bin", mode, encoding="base64")
        self.theirs = open(root / "theirs.bin", mode + "b", buffering=0)
        self.history = [(mode, content)]

    def call(self, method, **given):
        """What Python says of it: a result, or None where it refuses."""
        self.history.append((method, given))
        expected = getattr(self, "do_" + method)(**given)
        sent = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else
                [base64.b64encode(x).decode() for x in v] if isinstance(v, list) else v for k, v in given.items()}
        response = self.ours.client.post(f"{self.ours.target}/{method}", sent)
        if expected is None:
            assert response.status == 422, (self.history, response.value)
            code = "invalid" if method in self.ours.opened["methods"] else "file-mode-mismatch"
            assert response.value["type"] == f"urn:gatherd:error:{code}"
        else:
            assert response.status == 200, (self.history, response.value)
            got = dict(response.value["result"])
            got.pop("eof", None)
            if "data" in got:
                got["data"] = base64.b64decode(got["data"], validate=True)
            if "lines" in got:
                got["lines"] = [base64.b64decode(line, validate=True) for line in got["lines"]]
            assert got == expected, (self.history, got, expected)
        assert self.ours.look()["position"] == self.theirs.tell(), self.history
        assert (self.root / "ours.bin").read_bytes() == (self.root / "theirs.bin").read_bytes(), self.history

    def reads(self):
        return self.theirs.readable()

    def writes(self):
        return self.theirs.writable()

    def got(self, data):
        return {"data": data, "read_bytes": len(data), "position": self.theirs.tell()}

    def do_read(self, length=None):
        return self.got(self.theirs.read(-1 if length is None else length)) if self.reads() else None

    def do_readline(self, length=None):
        return self.got(self.theirs.readline(-1 if length is None else length)) if self.reads() else None

    def do_readlines(self):
        if not self.reads():
            return None
        lines = self.theirs.readlines()
        return {"lines": lines, "read_bytes": sum(map(len, lines)), "position": self.theirs.tell()}

    def wrote(self, n):
        return {"written_bytes": n, "position": self.theirs.tell()}

    def do_write(self, data):
        return self.wrote(self.theirs.write(data)) if self.writes() else None

    def do_writelines(self, lines):
        if not self.writes():
            return None
        self.theirs.writelines(lines)
        return self.wrote(sum(map(len, lines)))

    def do_pread(self, offset, length):
        if not self.reads():
            return None
        data = os.pread(self.theirs.fileno(), length, offset)
        return {"data": data, "read_bytes": len(data)}

    def do_pwrite(self, offset, data):
        if not self.writes() or "a" in self.mode:
            return None
        return {"written_bytes": os.pwrite(self.theirs.fileno(), data, offset)}

    def do_seek(self, offset, whence="start"):
        try:
            return {"position": self.theirs.seek(offset, ["start", "current", "end"].index(whence))}
        except OSError:
            return None

    def do_tell(self):
        return {"position": self.theirs.tell()}

    def do_truncate(self, size=None):
        if not self.writes():
            return None
        return {"size_bytes": self.theirs.truncate(size)}

    def do_flush(self):
        return {}

    def close(self):
        self.ours.close()
        self.theirs.close()


def some_call(rng):
    """A method and its arguments, mostly near the file's size."""
    method = rng.choice([m for m in METHODS if m not in ("close", "fsync", "stat")])
    near = lambda: rng.choice([0, 0, 1, rng.randrange(40), rng.randrange(40), rng.randrange(5000)])
    data = lambda: bytes(rng.choices(ALPHABET, k=rng.choice([0, 1, 5, 20, 300])))
    if method in ("read", "readline"):
        return method, rng.choice([{}, {"length": near()}])
    if method == "write":
        return method, {"data": data()}
    if method == "writelines":
        return method, {"lines": [data() for _ in range(rng.randrange(4))]}
    if method == "pread":
        return method, {"offset": near(), "length": near()}
    if method == "pwrite":
        return method, {"offset": near(), "data": data()}
    if method == "seek":
        whence = rng.choice(["start", "current", "end", None])
        offset = near() if whence in ("start", None) else rng.choice([-1, 1]) * near()
        return method, {"offset": offset} if whence is None else {"offset": offset, "whence": whence}
    if method == "truncate":
        return method, rng.choice([{}, {"size": near()}])
    return method, {}


@pytest.mark.parametrize("mode", MODES)
def test_methods_are_pythons(mode, client, root):
    rng = random.Random(f"files {mode}")
    for _ in range(12 if RELEASE else 6):
        content = bytes(rng.choices(ALPHABET, k=rng.choice([0, 1, 30, 1000])))
        both = Both(client, root, mode, content)
        for _ in range(40):
            method, given = some_call(rng)
            both.call(method, **given)
        both.close()


@pytest.mark.parametrize("mode", MODES)
def test_scripts_are_pythons(mode, client, root):
    """The same, as one job: up to the first step that is refused."""
    rng = random.Random(f"scripts {mode}")
    for _ in range(30 if RELEASE else 10):
        both = Both(client, root, mode, bytes(rng.choices(ALPHABET, k=30)))
        both.ours.close()
        (root / "ours.bin").unlink()
        if "x" not in mode:
            (root / "ours.bin").write_bytes(both.history[0][1])
        ops, expected, refused = [], [], False
        for _ in range(rng.randrange(1, 30)):
            method, given = some_call(rng)
            ops.append({"op": method, **{
                k: base64.b64encode(v).decode() if isinstance(v, bytes) else
                [base64.b64encode(x).decode() for x in v] if isinstance(v, list) else v for k, v in given.items()}})
            result = getattr(both, "do_" + method)(**given)
            if result is None:
                refused = True
                break
            expected.append(result)
        response = client.post("/v1/files/script", {"path": "ours.bin", "mode": mode, "encoding": "base64", "ops": ops})
        assert (root / "ours.bin").read_bytes() == (root / "theirs.bin").read_bytes(), (mode, ops)
        if refused:
            assert response.status == 422 and f"Step {len(ops) - 1} (" in response.value["detail"], (ops, response.value)
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
        both.theirs.close()


def test_text_is_given_in_whole_characters(client, staged):
    text = "a\u00e9\u20ac\U0001f40c\n\0b"
    (staged / "text.txt").write_bytes(text.encode())
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


def test_a_file_that_is_no_text(client, staged):
    for content in (b"ok\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"a\x80"):
        (staged / "binary.dat").write_bytes(content)
        file = Handle(client, "binary.dat")
        for method in ("read", "readline", "readlines"):
            assert file(method, 422)["type"] == "urn:gatherd:error:invalid-utf8"
            assert file.look()["position"] == 0
        assert file("pread", 422, offset=0, length=9)["type"] == "urn:gatherd:error:invalid-utf8"
        file.close()
        same = Handle(client, "binary.dat", encoding="base64")
        assert base64.b64decode(same("read")["data"]) == content
        same.close()


def test_the_mode_decides_what_may_be_done(client, staged):
    for mode in MODES:
        if "x" in mode:
            (staged / "modes.txt").unlink(missing_ok=True)
        else:
            (staged / "modes.txt").write_bytes(HELLO)
        file = Handle(client, "modes.txt", mode)
        reads, writes = "r" in mode or "+" in mode, mode != "r"
        for method, given, may in (("read", {}, reads), ("readline", {}, reads), ("readlines", {}, reads),
                                   ("pread", {"offset": 0, "length": 1}, reads), ("write", {"data": "x"}, writes),
                                   ("writelines", {"lines": ["x"]}, writes), ("truncate", {"size": 1}, writes),
                                   ("pwrite", {"offset": 0, "data": "x"}, writes and "a" not in mode)):
            value = file(method, 200 if may else 422, **given)
            assert may or value["type"] == "urn:gatherd:error:file-mode-mismatch"
            assert may or value["detail"] == f"modes.txt is open in mode {mode}, in which {method} can't be called"
            assert (method in file.opened["methods"]) == may
        assert {"seek", "tell", "flush", "fsync", "stat", "close"} <= set(file.opened["methods"])
        file.close()
    assert client.post("/v1/files", {"path": "modes.txt", "mode": "x"}).status == 409
    assert client.post("/v1/files", {"path": "nothing.txt", "mode": "r+"}).status == 404
    for mode in ("rb", "", "rw", "R", "r ", "+"):
        assert client.post("/v1/files", {"path": "modes.txt", "mode": mode}).status == 422


def test_flush_fsync_and_stat(client, staged):
    file = Handle(client, "hello.txt", "r+")
    file("write", data="J")
    assert file("flush") == {} and file("fsync") == {}
    stat = file("stat")
    assert (stat["type"], stat["size_bytes"], stat["links"]) == ("file", len(HELLO), 1)
    assert file.look()["position"] == 1
    file.close()


def test_a_file_that_was_removed_stays_open(client, staged):
    file = Handle(client, "hello.txt", "r+")
    run(client, "remove_file", path="hello.txt")
    assert file("stat")["links"] == 0
    assert file("read")["data"] == HELLO.decode()
    file.close()
    assert not (staged / "hello.txt").exists()


def test_no_more_is_read_than_the_limit(own):
    server, root = own("--max-read-bytes", "1000")
    (root / "a.txt").write_bytes(b"0123456789" * 200)
    with Client(server.urls()[0]) as client:
        file = Handle(client, "a.txt")
        assert client.post(file.target + "/read", {"length": 1001}).value["limit"] == {
            "name": "max_read_bytes", "value": 1000}
        for method in ("read", "readlines"):
            value = file(method, 422)
            assert value["type"] == "urn:gatherd:error:limit-exceeded" and "max_read_bytes" in value["detail"]
            assert file.look()["position"] == 0
        assert file("read", length=1000)["position"] == 1000
        assert file("read")["position"] == 2000
        assert file("read")["eof"] is True
        piece = run(client, "read_file", path="a.txt")
        assert (piece["read_bytes"], piece["size_bytes"], piece["eof"]) == (1000, 2000, False)
        script(client, "a.txt", "r", ("read", {"length": 600}), ("read", {"length": 400}))
        value = script(client, "a.txt", "r", ("read", {"length": 600}), ("read", {"length": 401}), status=422)
        assert value["type"] == "urn:gatherd:error:limit-exceeded"


def test_what_was_refused_or_failed_is_not_spent(own):
    server, root = own("--max-read-bytes", "1000")
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


def test_characters_of_several_bytes_are_paid_for_as_they_are(own):
    """One character is given in any case, however little was asked for; and who fails gets back what he paid, not more."""
    server, root = own("--max-read-bytes", "10")
    (root / "bad").write_bytes(b"\x80" * 100)
    (root / "ten").write_bytes(b"a" * 10)
    (root / "euros").write_text("\u20ac" * 20, encoding="utf-8")
    bad = {"function": "read_file", "input": {"path": "bad", "length": 1}}
    ten = {"function": "read_file", "input": {"path": "ten"}}
    euro = {"function": "read_file", "input": {"path": "euros", "length": 1}}
    failing = {"function": "file_script", "input": {"path": "ten", "ops": [{"op": "read"}, {"op": "write", "data": "x"}]}}
    with Client(server.urls()[0]) as client:
        for tasks, succeed in (([bad] * 20 + [ten] * 3, 1), ([euro] * 12, 4), ([failing] * 3 + [ten] * 2, 1)):
            response = client.post("/v1/gather", {"mode": "all_settled", "max_concurrency": 1, "tasks": tasks})
            assert response.value["result"]["counts"]["succeeded"] == succeed, tasks


def test_lists_of_directories_count_as_reading(own):
    server, root = own("--max-read-bytes", "20000")
    for i in range(100):
        (root / f"{i:0100}").touch()
    with Client(server.urls()[0]) as client:
        tasks = [{"function": "list_directory", "input": {}}] * 3
        response = client.post("/v1/gather", {"mode": "all_settled", "tasks": tasks})
        assert sorted(t["state"] for t in response.value["result"]["tasks"]) == ["failed", "failed", "succeeded"]
        assert len(client.post("/v1/run/list_directory", {}).value["result"]["entries"]) == 100


def test_reads_that_are_refused_take_no_memory(own):
    server, root = own()
    (root / "large").write_bytes(b"x" * (16 << 20))
    (root / "binary").write_bytes(b"\xff" * (16 << 20))
    with Client(server.urls()[0]) as client:
        for name, succeed in (("large", 1), ("binary", 0)):
            tasks = [{"function": "read_file", "input": {"path": name}}] * 40
            response = client.post("/v1/gather", {"mode": "all_settled", "tasks": tasks})
            assert response.value["result"]["counts"]["succeeded"] == succeed
    if RELEASE:
        assert server.memory("VmHWM") < 200 << 20  # a few at a time, not 40


def test_a_script_has_no_more_steps_than_the_limit(own):
    server, root = own("--max-script-steps", "3")
    (root / "a.txt").write_bytes(HELLO)
    with Client(server.urls()[0]) as client:
        script(client, "a.txt", "r", "tell", "tell", "tell")
        value = script(client, "a.txt", "r", "tell", "tell", "tell", "tell", status=422)
        assert value["limit"] == {"name": "max_script_steps", "value": 3}


def test_a_step_takes_what_its_method_takes(client, staged):
    everything = {"data": "x", "lines": [], "length": 1, "offset": 0, "size": 0, "whence": "start"}
    takes = {"read": "length", "readline": "length", "write": "data", "writelines": "lines", "pread": "offset length",
             "pwrite": "offset data", "seek": "offset whence", "truncate": "size"}
    optional = {("read", "length"), ("readline", "length"), ("seek", "whence"), ("truncate", "size")}
    for method in METHODS:
        taken = takes.get(method, "").split()
        for member in everything:
            step = {"op": method, **{m: everything[m] for m in taken}}
            if member in taken and (method, member) not in optional:
                del step[member]
            elif member not in taken:
                step[member] = everything[member]
            else:
                continue
            response = client.post("/v1/files/script", {"path": "hello.txt", "ops": [{"op": "tell"}, step]})
            assert response.status == 422 and "task" not in response.value, step
            assert [e["pointer"] for e in response.value["errors"]] == [f"/ops/1/{member}"], step


def test_a_script_can_seek_backwards(client, staged):
    assert script(client, "hello.txt", "r", ("seek", {"offset": -6, "whence": "end"}), ("read", {"length": 4}),
                  ("seek", {"offset": -4, "whence": "current"}), "tell") == [
        {"position": 7}, {"data": "file", "read_bytes": 4, "position": 11, "eof": False}, {"position": 7}, {"position": 7}]
    for op in (("pread", {"offset": -1, "length": 1}), ("pwrite", {"offset": -1, "data": "x"})):
        value = script(client, "hello.txt", "r+", op, status=422)
        assert [e["pointer"] for e in value["errors"]] == ["/ops/0/offset"] and "task" not in value


def test_a_script_ends_with_close_and_with_the_first_failure(client, server, staged):
    client.get("/livez")
    before = descriptors(server.pid)
    value = script(client, "data.txt", "w", ("write", {"data": "a"}), "close", ("write", {"data": "b"}), status=410)
    assert "Step 2 (write)" in value["detail"]
    assert (staged / "data.txt").read_bytes() == b"a"
    value = script(client, "data.txt", "w", ("write", {"data": "c"}), "read", ("write", {"data": "d"}), status=422)
    assert "Step 1 (read)" in value["detail"]
    assert (staged / "data.txt").read_bytes() == b"c"
    assert descriptors(server.pid) == before


def test_calls_take_their_options_from_nowhere_else(client, staged):
    file = Handle(client, "hello.txt")
    assert client.post(f"{file.target}/read?length=1", {}).status == 422
    assert client.ask("POST", f"{file.target}/read", b"{}", {"Content-Type": "text/plain"}).status == 415
    assert client.ask("POST", f"{file.target}/write").status == 422
    assert client.ask("POST", f"{file.target}/tell").value["result"] == {"position": 0}
    file.close()


# -- order -------------------------------------------------------------------------------------------

def test_pipelined_calls_run_in_their_order(server, staged):
    with Client(server.urls()[0]) as client, Raw(server.urls()[0]) as raw:
        file = Handle(client, "order.txt", "w")
        target = f"{file.target}/write"
        raw.send(b"".join(request_bytes("POST", target, {"data": f"{i}\n"}) for i in range(300)))
        for _ in range(300):
            assert raw.answer("POST", target).status == 200
        file.close()
    assert (staged / "order.txt").read_text() == "".join(f"{i}\n" for i in range(300))


def test_calls_of_many_clients_on_one_file_run_one_after_the_other(server, staged):
    """Each write is in the file whole and once, and the position of each is the next one's beginning."""
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
    content = (staged / "order.txt").read_text()
    assert len(ends) == 320 and "".join(piece for _, piece in sorted(ends)) == content


def test_a_gathers_calls_on_different_files_run_at_once(server, client, staged):
    """As many threads as there are: each holds one file."""
    tasks = [{"function": "write_file", "input": {"path": f"many-{i}.txt", "data": "x" * 1000}} for i in range(50)]
    result = client.post("/v1/gather", {"tasks": tasks}).value["result"]
    assert result["counts"]["succeeded"] == 50
    assert len({c["tid"] for c in result["tasks"]}) > 1
    for i in range(50):
        assert (staged / f"many-{i}.txt").read_bytes() == b"x" * 1000


def test_a_slow_file_holds_no_other_up(own, tmp_path):
    """One file's calls queue behind one another in one thread, however many there are; another file's pass them."""
    server, root = own("--files-threads", "2")
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
            assert raw.answer("POST", f"{slow.target}/write").status == 200
            assert raw.answer("POST", f"{slow.target}/fsync").status == 200
            raw.sock.close()
        assert slow("tell") == {"position": 20 * len(data)}


def test_close_waits_for_the_calls_before_it(server, staged):
    with Client(server.urls()[0]) as client, Raw(server.urls()[0]) as raw:
        file = Handle(client, "order.txt", "w")
        calls = [("write", {"data": "x" * 500000})] * 3 + [("close", {}), ("write", {"data": "y"}), ("tell", {})]
        raw.send(b"".join(request_bytes("POST", f"{file.target}/{m}", given) for m, given in calls))
        got = [raw.answer("POST", f"{file.target}/{m}").status for m, _ in calls]
        assert got == [200, 200, 200, 200, 410, 410]
    assert (staged / "order.txt").stat().st_size == 1500000


def test_two_that_close_at_once(server, staged):
    before = descriptors(server.pid)
    with Client(server.urls()[0]) as client:
        client.get("/livez")
        for _ in range(30):
            file = Handle(client, "hello.txt")
            raws = [Raw(server.urls()[0]) for _ in range(3)]
            for raw in raws:
                raw.send(request_bytes("POST", f"{file.target}/close"))
            got = sorted(raw.answer("POST", f"{file.target}/close").status for raw in raws)
            assert got == [200, 410, 410]
            for raw in raws:
                raw.sock.close()
    wait_until(lambda: descriptors(server.pid) <= before, "the end of all", SOON)


# -- speed -------------------------------------------------------------------------------------------

PLAIN = r"""
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


def lines_of(path, count):
    path.write_text("".join(f"{i:08} the quick brown fox jumps over the lazy dog\n" for i in range(count)))


def unjudged(client, target, body):
    """The task of an answer: to hold a hundred thousand lines to their schema takes longer than to read them."""
    client.send_request("POST", target, as_json(body))
    response = client.getresponse()
    data = response.read()
    assert response.status == 200, data[:1000]
    return json.loads(data)


def test_many_lines_in_one_call(client, staged):
    lines_of(staged / "lines.txt", 100000)
    whole = (staged / "lines.txt").read_text()
    file = Handle(client, "lines.txt")
    got = unjudged(client, f"{file.target}/readlines", {})["result"]
    file.close()
    assert "".join(got["lines"]) == whole and len(got["lines"]) == 100000
    got = unjudged(client, "/v1/files/script", {"path": "lines.txt", "ops": [{"op": "readlines"}]})["result"]["results"]
    assert "".join(got[0]["result"]["lines"]) == whole
    steps = [{"op": "readline"}] * 10000
    got = unjudged(client, "/v1/files/script", {"path": "lines.txt", "ops": steps})["result"]["results"]
    assert [step["result"]["data"] for step in got] == whole.splitlines(keepends=True)[:10000]
    (staged / "lines.txt").unlink()


@pytest.mark.release
def test_many_lines_take_no_more_than_five_times_a_plain_read(client, staged, tmp_path):
    """Side by side in one run: the task's own duration, and a loop of fgets in C that keeps each line."""
    lines_of(staged / "lines.txt", 100000)
    (tmp_path / "plain.c").write_text(PLAIN)
    subprocess.run(["cc", "-O2", "-o", str(tmp_path / "plain"), str(tmp_path / "plain.c")], check=True)
    plain, called, scripted = [], [], []
    for _ in range(9):
        done = subprocess.run([tmp_path / "plain", staged / "lines.txt"], stdout=subprocess.PIPE, check=True, text=True)
        plain.append(float(done.stdout.split()[0]))
        file = Handle(client, "lines.txt")
        called.append(unjudged(client, f"{file.target}/readlines", {})["duration_seconds"])
        file.close()
        steps = {"path": "lines.txt", "ops": [{"op": "readlines"}]}
        scripted.append(unjudged(client, "/v1/files/script", steps)["duration_seconds"])
    median = lambda values: sorted(values)[len(values) // 2]
    assert median(called) < 5 * median(plain), (median(called), median(plain))
    assert median(scripted) < 5 * median(plain), (median(scripted), median(plain))
    (staged / "lines.txt").unlink()
