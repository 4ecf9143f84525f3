"""/v1/fs: the bytes of files as they are, in and out: whole or not at all, and in no more memory than any other request."""

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from email.utils import parsedate_to_datetime

import pytest

from client import Client, Raw, request_bytes
from files import HELLO, drafts, fs, put, run, stage, tree
from server import RELEASE, wait_until

MB = 1 << 20
LARGE = 1000 * MB if RELEASE else 200 * MB
PIECE = os.urandom(MB)


@pytest.fixture
def own(start, tmp_path):
    """A server of the test's own, and its root."""
    def starter(*flags):
        (tmp_path / "root").mkdir(exist_ok=True)
        return start("--files-root", str(tmp_path / "root"), *flags, log_level="info"), tmp_path / "root"
    return starter


@pytest.fixture
def staged(root):
    stage(root)
    return root


# -- small ones ------------------------------------------------------------------------------------

def test_what_is_put_is_what_is_got(client, root):
    data = bytes(range(256)) * 5
    created = put(client, "raw.bin", data)
    assert (created.status, created.value) == (201, {"path": "raw.bin", "size_bytes": 1280, "created": True})
    assert (root / "raw.bin").read_bytes() == data
    again = put(client, "raw.bin", b"")
    assert (again.status, again.value) == (200, {"path": "raw.bin", "size_bytes": 0, "created": False})
    assert (root / "raw.bin").read_bytes() == b""
    got = client.get(fs("raw.bin"))
    assert (got.status, got.body) == (200, b"")
    assert drafts(root) == []
    (root / "raw.bin").unlink()


@pytest.mark.parametrize("size", [1, 4095, 4096, 262143, 262144, 262145, 524288, 524289, 786432, 3000001])
def test_sizes_at_the_edges_of_blocks(size, client, root):
    data = (PIECE * 3)[:size]
    assert put(client, "edge.bin", data).value["size_bytes"] == size
    assert (root / "edge.bin").read_bytes() == data
    assert client.get(fs("edge.bin")).body == data
    (root / "edge.bin").unlink()


def test_tags_and_dates(client, staged):
    first = client.get(fs("hello.txt"))
    assert (first.status, first.body) == (200, HELLO)
    assert abs(parsedate_to_datetime(first.header("last-modified")).timestamp()
               - (staged / "hello.txt").stat().st_mtime) < 1
    tag = first.header("etag")
    for match in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        same = client.get(fs("hello.txt"), **{"If-None-Match": match})
        assert (same.status, same.body, same.header("etag")) == (304, b"", tag)
        assert client.ask("HEAD", fs("hello.txt"), headers={"If-None-Match": match}).status == 304
    for match in ('"x"', f'"{tag[1:-2]}"', tag[1:-1], ""):
        assert client.get(fs("hello.txt"), **{"If-None-Match": match}).status == 200, match
    put(client, "hello.txt", HELLO)
    other = client.get(fs("hello.txt"), **{"If-None-Match": tag})
    assert other.status == 200 and other.header("etag") != tag


def test_head_has_the_length_and_no_body(client, staged):
    head, got = client.ask("HEAD", fs("hello.txt")), client.get(fs("hello.txt"))
    drop = {"date", "x-request-id"}
    assert [h for h in head.headers if h[0].lower() not in drop] == [h for h in got.headers if h[0].lower() not in drop]
    assert client.ask("HEAD", fs("nothing.txt")).status == 404


def test_names_of_all_kinds(client, root):
    for name in ("a b", "\u00e9\U0001f40c", "a+b", "100%", "a?b", "a#b", "-n", "...", "*", "a\nb", "\x01", "x" * 255):
        assert put(client, name, name.encode()).status == 201, name
        assert (root / name).read_bytes() == name.encode()
        assert client.get(fs(name)).body == name.encode()
        (root / name).unlink()


def test_paths_that_are_no_files(client, staged):
    for path, status, code in (("docs", 422, "unsuitable-file"), ("docs/", 422, "unsuitable-file"),
                               ("nothing", 404, "no-file"), ("nothing/x", 404, "no-file"),
                               ("hello.txt/x", 422, "unsuitable-file"), ("x" * 256, 422, "invalid"),
                               ("/".join(["x" * 100] * 41), 422, "invalid")):
        got = client.get(fs(path))
        assert (got.status, got.value["type"]) == (status, f"urn:gatherd:error:{code}"), path
        before = tree(staged)
        got = put(client, path, b"new")
        if path == "nothing":
            assert got.status == 201
            (staged / "nothing").unlink()
        else:
            assert (got.status, got.value["type"]) == (status, f"urn:gatherd:error:{code}"), path
        assert tree(staged) == before
    assert drafts(staged) == []


def test_the_root_itself_is_no_file(client):
    for method in ("GET", "HEAD", "PUT"):
        for path in ("/v1/fs", "/v1/fs/"):
            assert client.ask(method, path, b"" if method == "PUT" else None).status == 404


def test_a_parameter_is_refused(client, staged):
    assert client.get(fs("hello.txt") + "?a=b").status == 422
    assert client.ask("PUT", fs("hello.txt") + "?a=b", b"new").status == 422
    assert (staged / "hello.txt").read_bytes() == HELLO


def test_a_body_in_chunks(client, server, root):
    with Raw(server.urls()[0]) as raw:
        raw.send(request_bytes("PUT", "/v1/fs/chunked.bin", None, "Transfer-Encoding: chunked"))
        for _ in range(20):
            raw.send(b"%x\r\n" % 50000 + PIECE[:50000] + b"\r\n")
        raw.send(b"0\r\n\r\n")
        assert raw.answer("PUT", "/v1/fs/chunked.bin").value["size_bytes"] == 1000000
        raw.send(request_bytes("GET", "/livez"))
        assert raw.answer("GET", "/livez").status == 200
    assert (root / "chunked.bin").read_bytes() == PIECE[:50000] * 20
    (root / "chunked.bin").unlink()


def test_a_put_replaces_in_one_step(client, server, staged):
    """Who reads meanwhile sees the old file or the new one; who has it open keeps the old one."""
    old, new = b"o" * (2 * MB), b"n" * (2 * MB)
    put(client, "swap.bin", old)
    with open(staged / "swap.bin", "rb") as opened, Client(server.urls()[0]) as other:
        done = threading.Event()
        seen = set()

        def look():
            while not done.is_set():
                data = other.get(fs("swap.bin")).body
                seen.add((len(data), data[:1], len(set(data))))

        thread = threading.Thread(target=look)
        thread.start()
        for data in (new, old, new, old, new):
            put(client, "swap.bin", data)
        done.set()
        thread.join()
        assert opened.read() == old
    assert seen <= {(2 * MB, b"o", 1), (2 * MB, b"n", 1)}
    (staged / "swap.bin").unlink()


def test_it_keeps_the_permissions_of_what_it_replaces(client, staged):
    (staged / "hello.txt").chmod(0o640)
    put(client, "hello.txt", b"new")
    assert (staged / "hello.txt").stat().st_mode & 0o777 == 0o640


def test_through_a_symlink_inside(client, staged):
    assert client.get(fs("docs/link")).body == HELLO
    assert put(client, "docs/link", b"new").status == 200
    assert (staged / "docs" / "link").is_symlink() and (staged / "docs" / "b.txt").read_bytes() == b"new"


# -- clients that go away ------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "there"])
def test_a_client_that_vanishes_changes_nothing(exists, how, own):
    server, root = own()
    if exists:
        (root / "a.bin").write_bytes(b"old")
    before = tree(root)
    with Client(server.urls()[0]) as probe:
        probe.get("/livez")
        since = len(os.listdir(f"/proc/{server.pid}/fd"))
        for size in (0, 100, 3 * MB):
            raw = Raw(server.urls()[0])
            raw.send(request_bytes("PUT", "/v1/fs/a.bin", None, f"Content-Length: {4 * MB}"))
            raw.send((PIECE * 3)[:size])
            wait_until(lambda: size == 0 or drafts(root), "a draft")
            if how == "half":
                raw.sock.shutdown(socket.SHUT_WR)
                assert raw.ended(30)
            elif how == "reset":
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sock.close()
            wait_until(lambda: not drafts(root), "the end of the draft")
        wait_until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == since, "the end of all connections")
    assert tree(root) == before and (not exists or (root / "a.bin").read_bytes() == b"old")


def test_clients_that_vanish_from_a_download(own):
    server, root = own()
    (root / "a.bin").write_bytes(PIECE * 20)
    with Client(server.urls()[0]) as probe:
        probe.get("/livez")
        since = len(os.listdir(f"/proc/{server.pid}/fd"))
        for i in range(30):
            raw = Raw(server.urls()[0])
            raw.send(request_bytes("GET", "/v1/fs/a.bin"))
            if i % 3:
                raw.sock.recv(1000 * i)
            raw.sock.close()
        wait_until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == since, "the end of all files")


def test_an_upload_that_takes_too_long_is_cut_off(own):
    server, root = own("--body-timeout-seconds", "0.5")
    with Raw(server.urls()[0]) as raw:
        raw.send(request_bytes("PUT", "/v1/fs/a.bin", None, "Content-Length: 1000") + b"abc")
        assert raw.ended(30) and raw.data == b""
    wait_until(lambda: not drafts(root), "the end of the draft")
    assert tree(root) == []


# -- large ones ------------------------------------------------------------------------------------

def digest_of(path):
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while data := file.read(MB):
            digest.update(data)
    return digest.hexdigest()


def upload(url, path, size):
    """The answer's status and the digest of what was sent."""
    digest = hashlib.sha256()
    with Raw(url, patience=300) as raw:
        raw.send(request_bytes("PUT", path, None, f"Content-Length: {size}"))
        for i in range(size // MB):
            piece = struct.pack("<Q", i) + PIECE[8:]
            digest.update(piece)
            raw.send(piece)
        return raw.answer("PUT", path).status, digest.hexdigest()


def download(url, path):
    digest, size = hashlib.sha256(), 0
    with Client(url, patience=300) as client:
        client.send_request("GET", path)
        response = client.getresponse()
        while data := response.read(MB):
            digest.update(data)
            size += len(data)
        assert response.status == 200 and size == int(response.headers["content-length"])
    return digest.hexdigest()


def peak(server):
    return server.memory("VmHWM") / MB


def test_a_large_file_in_and_out(own):
    """Sizes are read from the process: a sanitizer's own memory is none of this."""
    server, root = own()
    before = peak(server)
    status, sent = upload(server.urls()[0], "/v1/fs/large.bin", LARGE)
    assert status == 201
    assert digest_of(root / "large.bin") == sent
    assert download(server.urls()[0], "/v1/fs/large.bin") == sent
    if RELEASE:
        assert peak(server) < 20, f"{peak(server):.1f} MiB"
    else:
        assert peak(server) < before + 60, f"{peak(server):.1f} MiB after {before:.1f}"
    (root / "large.bin").unlink()


def slowest_probe(url, meanwhile):
    """The longest that /livez took while meanwhile() ran, in seconds; and what that returned."""
    took, found = [0], []
    done = threading.Event()

    def probe():
        with Client(url) as client:
            while not done.is_set():
                since = time.monotonic()
                client.send_request("GET", "/livez")
                client.getresponse().read()
                took.append(time.monotonic() - since)
                time.sleep(0.002)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        found.append(meanwhile())
    finally:
        done.set()
        thread.join()
    return max(took), found[0]


# Many clients at once, in a process of their own: what they take must not slow the probe down.
CROWD = r"""
import os, selectors, socket, sys
host, port, count, size, verb = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
os.nice(10)
selector = selectors.DefaultSelector()
piece = bytes(range(256)) * 256
states = []
for i in range(count):
    sock = socket.create_connection((host, port))
    sock.setblocking(False)
    head = f"{verb} /v1/fs/many-{i}.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Length: {size}\r\n\r\n" if verb == "PUT" else "\r\n"
    state = {"out": head.encode(), "left": size if verb == "PUT" else 0, "got": 0, "head": b""}
    states.append(state)
    selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, state)
while selector.get_map():
    for key, events in selector.select():
        sock, state = key.fileobj, key.data
        if events & selectors.EVENT_WRITE:
            if not state["out"] and state["left"]:
                state["out"] = piece[:min(len(piece), state["left"])]
                state["left"] -= len(state["out"])
            if state["out"]:
                state["out"] = state["out"][sock.send(state["out"]):]
            elif not state["left"]:
                selector.modify(sock, selectors.EVENT_READ, state)
        if events & selectors.EVENT_READ:
            data = sock.recv(1 << 20)
            state["got"] += len(data)
            state["head"] = state["head"] or data[:12]
            if not data:
                selector.unregister(sock)
                sock.close()
print(sorted({s["head"].decode() for s in states}), min(s["got"] for s in states) > (size if verb == "GET" else 0))
"""


def crowd(server, count, size, verb):
    done = subprocess.run([sys.executable, "-c", CROWD, "127.0.0.1", str(server.port()), str(count), str(size), verb],
                          stdout=subprocess.PIPE, check=True, timeout=280, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("verb", ["PUT", "GET"])
def test_fifty_at_once(verb, own):
    """And /livez is answered meanwhile. A machine that is busy otherwise may need some tries to show that."""
    server, root = own()
    count, size = (50, 10 * MB) if RELEASE else (20, 4 * MB)
    pattern = bytes(range(256)) * (size // 256)
    if verb == "GET":
        for i in range(count):
            (root / f"many-{i}.bin").write_bytes(pattern)
    for attempt in range(4):
        slowest, said = slowest_probe(server.urls()[0], lambda: crowd(server, count, size, verb))
        created = verb == "PUT" and attempt == 0
        assert said == f"['HTTP/1.1 {201 if created else 200}'] True"
        if not RELEASE or slowest < 0.05:
            break
    assert not RELEASE or slowest < 0.05, f"{slowest * 1e3:.1f} ms"
    assert drafts(root) == []
    for i in range(count):
        assert (root / f"many-{i}.bin").read_bytes() == pattern


def test_slow_readers_hold_nobody_up(own):
    """Ten that take nothing: no memory grows, no thread is held, and a client that reads is served."""
    server, root = own("--files-threads", "1")
    (root / "a.bin").write_bytes(PIECE * 50)
    with Client(server.urls()[0]) as quick:
        assert quick.get(fs("a.bin")).body == PIECE * 50
        before = server.memory("VmRSS")
        slow = []
        for _ in range(10):
            raw = Raw(server.urls()[0])
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.send(request_bytes("GET", "/v1/fs/a.bin"))
            slow.append(raw)
        time.sleep(0.3)
        assert quick.get(fs("a.bin")).body == PIECE * 50
        assert run(quick, "stat_file", path="a.bin")["size_bytes"] == 50 * MB
        if RELEASE:  # two blocks of 256 KiB each, and some
            assert server.memory("VmRSS") < before + 12 * MB
        head = slow[0].sock.recv(200)
        assert head.startswith(b"HTTP/1.1 200 ")
        for raw in slow:
            raw.sock.close()
        wait_until(lambda: "a.bin" not in str([os.readlink(f"/proc/{server.pid}/fd/{n}") for n in os.listdir(
            f"/proc/{server.pid}/fd") if os.path.lexists(f"/proc/{server.pid}/fd/{n}")]), "the end of the files")


def test_transfers_beyond_the_limit_are_refused(own):
    """So what slow clients can take up is bounded; and when they have gone, others have their turn."""
    server, root = own("--max-streams", "8")
    (root / "a.bin").write_bytes(PIECE * 8)
    with Client(server.urls()[0]) as client:
        assert client.get("/v1/limits").value["max_streams"] == 8
        assert client.get(fs("a.bin")).body == PIECE * 8
        before = server.memory("VmRSS")
        readers, heads = [], []
        for _ in range(100):
            raw = Raw(server.urls()[0])
            raw.send(request_bytes("GET", "/v1/fs/a.bin"))
            heads.append(raw.sock.recv(12))
            readers.append(raw)
        assert heads == [b"HTTP/1.1 200"] * 8 + [b"HTTP/1.1 503"] * 92
        if RELEASE:  # 0.66 MB each, and 100 connections
            assert server.memory("VmRSS") < before + 12 * MB
        title = "As many files as the limit allows are on their way in or out"
        detail = "8 files are on their way in or out, and the limit max_streams is 8; try again later"
        for response in (client.get(fs("a.bin")), client.get(fs("missing")), put(client, "b.bin", b"x" * 300000)):
            assert (response.status, response.header("retry-after")) == (503, "1")
            assert (response.value["type"], response.value["title"], response.value["detail"]) == (
                "urn:gatherd:error:too-many-streams", title, detail)
        assert client.ask("HEAD", fs("a.bin")).status == 503
        assert run(client, "stat_file", path="a.bin")["size_bytes"] == 8 * MB
        for raw in readers[:8]:
            raw.sock.close()
        wait_until(lambda: client.get(fs("a.bin")).status == 200, "a place for a download")
        assert put(client, "b.bin", b"x" * 300000).status == 201
        uploads = [Raw(server.urls()[0]) for _ in range(8)]
        for i, raw in enumerate(uploads):
            raw.send(request_bytes("PUT", f"/v1/fs/c-{i}.bin", None, "Content-Length: 10") + b"half ")
        wait_until(lambda: client.get(fs("a.bin")).status == 503, "uploads, which count as well")
        for i, raw in enumerate(uploads):
            raw.send(b"more.")
            assert raw.answer("PUT", f"/v1/fs/c-{i}.bin").status == 201
        wait_until(lambda: client.get(fs("a.bin")).status == 200, "a place for a download")
        for raw in readers + uploads:
            raw.sock.close()
    assert tree(root) == ["a.bin", "b.bin"] + [f"c-{i}.bin" for i in range(8)] and drafts(root) == []


def test_slow_uploads_hold_nobody_up(own):
    server, root = own("--files-threads", "1")
    with Client(server.urls()[0]) as quick:
        slow = [Raw(server.urls()[0]) for _ in range(10)]
        for i, raw in enumerate(slow):
            raw.send(request_bytes("PUT", f"/v1/fs/slow-{i}.bin", None, "Content-Length: 1000000") + PIECE[:300000])
        assert put(quick, "quick.bin", PIECE).status == 201
        for i, raw in enumerate(slow):
            raw.send(PIECE[300000:1000000])
            assert raw.answer("PUT", f"/v1/fs/slow-{i}.bin").status == 201
            assert (root / f"slow-{i}.bin").read_bytes() == PIECE[:1000000]


def test_a_file_that_becomes_shorter_ends_the_download(own):
    server, root = own()
    (root / "a.bin").write_bytes(PIECE * 30)
    with Raw(server.urls()[0]) as raw:
        raw.send(request_bytes("GET", "/v1/fs/a.bin"))
        assert raw.sock.recv(100).startswith(b"HTTP/1.1 200 ")
        os.truncate(root / "a.bin", 100)
        assert raw.ended(30)
        assert len(raw.data) < 30 * MB
    with Client(server.urls()[0]) as client:
        assert client.get(fs("a.bin")).body == PIECE[:100]
