"""Files under faults: a full disk, a killed service, paths that leave the root, FIFOs, exhausted limits."""

import ctypes
import itertools
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from client import Client, Raw, request_bytes
from file_helpers import HELLO, Handle, descriptors, temp_files, fs, put, run, script, tree
from server import Server, wait_until
from sizes import sized, soak

KB, MB = 1 << 10, 1 << 20
SWAP_SECONDS = sized(300, 10, 3)  # how long paths are swapped during calls


@pytest.fixture
def start_server(tmp_path):
    """serve(root, *flags) starts a server, which must exit cleanly at the end of the test."""
    servers = []

    def start(root, *flags):
        servers.append(Server("--files-root", str(root), *flags))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.returncode is None:
            server.stop()


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "root"
    directory.mkdir()
    yield directory
    subprocess.run(["rm", "-rf", str(directory)], check=True)  # shutil.rmtree() fails on a thousand nested directories


# -- escapes -----------------------------------------------------------------------------------------

SECRET = "the secret outside"


@pytest.fixture
def outside(tmp_path, root):
    """A directory beside the root, which must not be read or changed, and symlinks in the root that point to it."""
    directory = tmp_path / "outside"
    (directory / "deep").mkdir(parents=True)
    (directory / "secret").write_text(SECRET)
    (directory / "deep" / "secret").write_text(SECRET)
    (root / "inside").mkdir()
    (root / "inside" / "deep").mkdir()
    (root / "inside" / "secret").write_text("what may be seen")
    (root / "inside" / "deep" / "secret").write_text("what may be seen")
    (root / "file-link").symlink_to(directory / "secret")
    (root / "relative-link").symlink_to("../outside/secret")
    (root / "directory-link").symlink_to(directory)
    (root / "up-link").symlink_to("..")
    (root / "dangling-link").symlink_to(directory / "new")
    (root / "inside" / "link").symlink_to("../../outside")
    (root / "proc-link").symlink_to("/proc/self/root" + str(directory))
    (root / "root-link").symlink_to("/")
    return directory


def snapshot(directory):
    """All entries of a directory, with their content and mtime."""
    found = {}
    for path in sorted(Path(directory).rglob("*")) + [Path(directory)]:
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns, content)
    return found


def escaping_paths(outside):
    depth = len(outside.parts)
    up = "/".join([".."] * (depth + 3))
    return [
        "../outside/secret", "../x", "..", "../", "/etc/passwd", "/", "//etc/passwd", f"{up}{outside}/secret",
        "a/../../x",
        "inside/../../outside/secret", "inside/../..", "./../outside/secret", "inside/./.././../outside/secret",
        str(outside / "secret"), "file-link", "relative-link", "dangling-link", "directory-link/secret",
        "directory-link/new", "directory-link", "directory-link/", "directory-link/deep/secret",
        "up-link/outside/secret",
        "up-link", "up-link/x", "inside/link/secret", "inside/link/deep/../secret", "proc-link/secret",
        "root-link/etc/passwd", f"root-link{outside}/secret", "/proc/self/fd/3", "/proc/self/root/etc/passwd",
        "/dev/stdin", "/proc/self/cwd/x", ".gatherd-tmp", ".gatherd-tmp/x", "./.gatherd-tmp/x",
        "inside/../.gatherd-tmp/x",
        ".gatherd-tmp/../inside/secret/..", "a\0b", "../outside/secret\0.txt", "inside/secret\0", "\0",
        "x" * 5000, "../" * 1666 + "x", "inside/" * 714 + "x", "a/" * 2047 + "b", "~", "~root/.bashrc", "$HOME",
        "file:///etc/passwd",
        "..\\outside\\secret", "%2e%2e/outside/secret", "%2e%2e%2foutside%2fsecret", "..%2foutside/secret",
    ]


def function_calls(path):
    """Calls every file function with the path in each of its path fields."""
    yield "write_file", {"path": path, "data": "gotcha"}
    yield "write_file", {"path": path, "data": "gotcha", "mode": "a"}
    yield "write_file", {"path": path, "data": "gotcha", "mode": "x"}
    yield "write_file", {"path": path, "data": "gotcha", "atomic": True}
    yield "write_file", {"path": path, "data": "gotcha", "atomic": True, "mode": "x"}
    yield "write_file", {"path": path, "data": "gotcha", "create_parents": True}
    yield "write_file", {"path": path + "/new/x", "data": "gotcha", "create_parents": True}
    yield "read_file", {"path": path}
    yield "stat_file", {"path": path}
    yield "stat_file", {"path": path, "follow": False}
    yield "list_directory", {"path": path}
    yield "remove_file", {"path": path + "/secret"}
    yield "remove_file", {"path": path + "/deep", "directory": True}
    yield "rename_file", {"from": path + "/secret", "to": "stolen"}
    yield "rename_file", {"from": "inside/secret", "to": path + "/planted"}
    yield "rename_file", {"from": "inside/secret", "to": path + "/secret", "replace": True}
    yield "make_directory", {"path": path + "/made"}
    yield "make_directory", {"path": path + "/made/x", "parents": True}
    yield "copy_file", {"from": path, "to": "stolen"}
    yield "copy_file", {"from": "inside/secret", "to": path + "/planted"}
    yield "copy_file", {"from": "inside/secret", "to": path, "replace": True}
    yield "sha256_file", {"path": path}
    for mode in ("r", "r+", "w", "w+", "a", "a+", "x", "x+"):
        yield "file_script", {"path": path, "mode": mode, "ops": [{"op": "stat"}]}


def all_requests(client, path):
    """Requests the path with every operation. Yields (operation, response)."""
    for function, given in function_calls(path):
        yield (function, given), client.post(f"/v1/run/{function}", given)
    for mode in ("r", "r+", "w", "w+", "a", "a+", "x", "x+"):
        response = client.post("/v1/files", {"path": path, "mode": mode})
        yield ("open", mode), response
        if response.status == 201:
            client.fetch("DELETE", response.header("location"))
    encoded = "".join(f"%{b:02x}" for b in path.encode())
    plain = fs(path) if "\0" not in path else None
    for target in {fs(""), plain, "/v1/fs/" + encoded, "/v1/fs/" + encoded.replace("%2f", "/")} - {fs(""), None}:
        if len(target) < 16000:
            for method in ("GET", "HEAD", "PUT"):
                yield (method, target), client.fetch(method, target, b"gotcha" if method == "PUT" else None,
                                                   {"Content-Type": "text/plain"} if method == "PUT" else {})


def leaks_secret(response):
    return SECRET.encode() in response.body or b"root:x:" in response.body


def test_no_path_escapes_root(root, outside, start_server):
    server = start_server(root)
    before = snapshot(outside)
    siblings = sorted(os.listdir(root.parent))
    with Client(server.urls()[0]) as client:
        for path in escaping_paths(outside):
            for what, response in all_requests(client, path):
                assert not leaks_secret(response), (path, what)
                assert response.status < 500, (path, what, response.value)
                if "link" in path.split("/")[0] and "follow" not in str(what) and "x" != path:
                    assert response.status in (400, 403, 404, 409, 422), (path, what, response.status)
            assert snapshot(outside) == before, path
            assert sorted(os.listdir(root.parent)) == siblings, path
    assert not [p for p in Path("/").glob("gotcha*")] and not Path("/x").exists()


def test_escaping_paths_return_403(root, outside, start_server):
    """Every operation on a path that leaves the root returns 403, also if the target does not exist."""
    server = start_server(root)
    with Client(server.urls()[0]) as client:
        for path in ("../outside/secret", str(outside / "secret"), "/etc/passwd", "file-link", "relative-link",
                     "directory-link/secret", "up-link/outside/secret", "inside/link/secret", "/proc/self/fd/3",
                     ".gatherd-tmp/x"):
            for what, response in all_requests(client, path):
                name, given = what
                link = path.endswith("-link")
                if name == "stat_file" and given.get("follow") is False and link:
                    assert response.value["result"]["type"] == "symlink"
                    continue
                allowed = {403}
                if link:  # for an operation that does not follow symlinks, the last name is not a directory
                    allowed |= {404, 409, 422}
                if path[0] == "/" and name in ("GET", "HEAD", "PUT") and given.startswith("/v1/fs//"):
                    allowed = {404}  # an empty segment matches another route
                assert response.status in allowed, (path, what, response.status, response.value)


def test_symlinks_inside_root_are_followed(root, outside, start_server):
    (root / "in-link").symlink_to("inside/secret")
    (root / "inside" / "back-link").symlink_to("../inside/deep/../secret")
    server = start_server(root)
    with Client(server.urls()[0]) as client:
        for path in ("in-link", "inside/back-link", "inside/../inside/secret", "./inside//secret"):
            assert run(client, "read_file", path=path)["data"] == "what may be seen"
            assert client.get(fs(path)).body == b"what may be seen"


RENAME_EXCHANGE = 2


def swap_names(a, b, done, swaps):
    """Exchanges two names in a tight loop, and counts in swaps[0]."""
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(a), os.fsencode(b)
    while not done.is_set():
        if libc.renameat2(-100, first, -100, second, RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        swaps[0] += 1


@soak
def test_symlink_swap_race_does_not_escape_root(root, outside, start_server):
    """A directory is swapped with a symlink during calls: they get the file inside the root or an error, never the file
    outside.
    """
    (root / "swap").mkdir()
    (root / "swap" / "deep").mkdir()
    for name in ("secret", "deep/secret"):
        (root / "swap" / name).write_text("what may be seen")
    (root / "other").symlink_to(outside)
    server = start_server(root)
    before = snapshot(outside)
    done = threading.Event()
    swaps = [0]
    threads = [threading.Thread(target=swap_names, args=(root / "swap", root / "other", done, swaps))]
    seen, problems = {}, []

    def calls(number):
        rng = random.Random(number)
        with Client(server.urls()[0]) as client:
            while not done.is_set():
                path = rng.choice(["swap/secret", "swap/deep/secret"])
                directory = path.rsplit("/", 1)[0]
                function, given = rng.choice([
                    ("read_file", {"path": path}), ("stat_file", {"path": path}), ("sha256_file", {"path": path}),
                    ("list_directory", {"path": directory}),
                    ("copy_file", {"from": path, "to": f"copy-{number}", "replace": True}),
                    ("write_file", {"path": path, "data": "what may be seen"}),
                    ("write_file", {"path": path, "data": "what may be seen", "atomic": True}),
                    ("write_file", {"path": f"{directory}/new-{number}", "data": "x", "mode": "a"}),
                    ("copy_file", {"from": "inside/secret", "to": f"{directory}/new-{number}", "replace": True}),
                    ("rename_file", {"from": f"{directory}/new-{number}", "to": f"{directory}/newer-{number}",
                                     "replace": True}),
                    ("remove_file", {"path": f"{directory}/newer-{number}"}),
                    ("make_directory", {"path": f"{directory}/made-{number}/x", "parents": True, "exist_ok": True}),
                    ("file_script", {"path": path, "ops": [{"op": "read"}]}),
                    ("file_script", {"path": f"{directory}/new-{number}", "mode": "a",
                                     "ops": [{"op": "write", "data": "x"}]}),
                    ("GET", fs(path)), ("PUT", fs(path)), ("open", {"path": path, "mode": "r+"})])
                if function == "GET":
                    response = client.get(given)
                elif function == "PUT":
                    response = put(client, path, b"what may be seen")
                elif function == "open":
                    response = client.post("/v1/files", given)
                    if response.status == 201:
                        got = client.post(response.header("location") + "/read", {})
                        client.fetch("DELETE", response.header("location"))
                        response = got
                else:
                    response = client.post(f"/v1/run/{function}", given)
                seen.setdefault(function, set()).add(response.status)
                if leaks_secret(response) or response.status >= 500:
                    problems.append((function, given, response.status, response.value))

    threads += [threading.Thread(target=calls, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(SWAP_SECONDS)
    try:  # a busy machine may take longer until the calls have met both
        wait_until(lambda: problems or (swaps[0] > 1000 and all(
            {200, 403} <= seen.get(name, set()) for name in ("read_file", "GET"))), "both sides of the swap")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not problems, problems[:5]
    assert snapshot(outside) == before


def test_fifo_does_not_block(root, start_server):
    rejected = ("read_file", "sha256_file", "GET", "PUT", "open", "file_script")
    os.mkfifo(root / "fifo")
    server = start_server(root, "--files-threads", "1")
    with Client(server.urls()[0], timeout_s=20) as client:
        for what, response in all_requests(client, "fifo"):
            name, given = what
            if name == "stat_file":
                assert response.value["result"]["type"] == "other"
            elif name == "copy_file" and given["to"] == "stolen" or name in rejected:
                assert response.status in (422, 409), (what, response.status)
        assert client.get("/livez").status == 200
        assert run(client, "write_file", path="a.txt", data="x")["written_bytes"] == 1
    assert (root / "fifo").is_fifo() if (root / "fifo").exists() else True


# -- a full disk -----------------------------------------------------------------------------------------

@pytest.fixture
def small_root(tmp_path):
    """A root on a file system of 1 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=1000", "gatherd-test", str(directory)],
                          stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        pytest.skip("mounting a file system needs root, outside of a container")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


OLD_CONTENT = b"the old content\n"
BIG_TEXT = "x" * (800 * KB)


def fill_disk(root, free_bytes):
    """Fills the file system up to this many free bytes."""
    stat = os.statvfs(root)
    with open(root / "filler", "ab") as file:
        file.write(b"f" * max(0, stat.f_bavail * stat.f_frsize - free_bytes))


def check_no_space(response):
    assert response.status == 507, response.value
    assert response.value["type"] == "urn:gatherd:error:insufficient_storage"


def failing_writes():
    """Every kind of write: a list of (name, whether the file exists before, call)."""
    def function(name, **given):
        return lambda client: client.post(f"/v1/run/{name}", given)

    def method(mode, name, *before, **given):
        def call(client):
            file = Handle(client, "a.txt", mode)
            for first, arguments in before:
                file(first, **arguments)
            position = file.get_info()["position"]
            response = client.post(f"{file.target}/{name}", given)
            assert file.get_info()["position"] == position, "a failed write moved the position"
            file.close()
            return response
        return call

    for there in (True, False):
        for mode in ("w", "a") if there else ("w", "a", "x"):
            yield f"write_file {mode}", there, function("write_file", path="a.txt", data=BIG_TEXT, mode=mode)
        for mode in ("w",) if there else ("w", "x"):
            call = function("write_file", path="a.txt", data=BIG_TEXT, mode=mode, atomic=True)
            yield f"write_file {mode} atomic", there, call
        yield "copy_file", there, function("copy_file", **{"from": "big", "to": "a.txt", "replace": there})
        yield "PUT", there, lambda client: put(client, "a.txt", BIG_TEXT.encode())
        yield "PUT of much", there, lambda client: put(client, "a.txt", BIG_TEXT.encode() * 10)
    yield "write r+", True, method("r+", "write", data=BIG_TEXT)
    yield "write a", True, method("a", "write", data=BIG_TEXT)
    yield "write in the middle", True, method("r+", "write", ("seek", {"offset": 5}), data=BIG_TEXT)
    yield "write beyond the end", True, method("r+", "write", ("seek", {"offset": 300000}), data=BIG_TEXT)
    yield "writelines", True, method("r+", "writelines", lines=[BIG_TEXT[:1000]] * 800)
    yield "writelines a+", True, method("a+", "writelines", lines=[BIG_TEXT[:1000]] * 800)
    yield "pwrite", True, method("r+", "pwrite", offset=3, data=BIG_TEXT)
    yield "script", True, function("file_script", path="a.txt", mode="r+", ops=[{"op": "write", "data": BIG_TEXT}])
    ops = [{"op": "tell"}, {"op": "write", "data": BIG_TEXT}]
    yield "script a", True, function("file_script", path="a.txt", mode="a", ops=ops)


@pytest.mark.parametrize("name, there, call", list(failing_writes()), ids=lambda v: str(v) if not callable(v) else "")
def test_full_disk_preserves_old_content(name, there, call, small_root, start_server, tmp_path):
    (small_root / "big").write_bytes(b"b" * (300 * KB))
    if there:
        (small_root / "a.txt").write_bytes(OLD_CONTENT)
    fill_disk(small_root, 100 * KB)
    server = start_server(small_root)
    before = os.statvfs(small_root).f_bavail
    with Client(server.urls()[0]) as client:
        check_no_space(call(client))
        assert tree(small_root) == (["a.txt", "big", "filler"] if there else ["big", "filler"])
        assert not there or (small_root / "a.txt").read_bytes() == OLD_CONTENT
        wait_until(lambda: temp_files(small_root) == [], "the removal of the temporary file")
        wait_until(lambda: os.statvfs(small_root).f_bavail == before, "the space that was taken meanwhile")
        assert run(client, "write_file", path="little.txt", data="x")["written_bytes"] == 1


def test_full_disk_error_names_script_step(small_root, start_server):
    (small_root / "a.txt").write_bytes(OLD_CONTENT)
    fill_disk(small_root, 100 * KB)
    server = start_server(small_root)
    with Client(server.urls()[0]) as client:
        response = client.post("/v1/run/file_script", {"path": "a.txt", "mode": "r+", "ops": [
            {"op": "write", "data": "THE"}, {"op": "write", "data": BIG_TEXT}, {"op": "write", "data": "never"}]})
        check_no_space(response)
        assert "/ops/1 (write)" in response.value["detail"]
        assert (small_root / "a.txt").read_bytes() == b"THE" + OLD_CONTENT[3:]


def test_concurrent_uploads_on_full_disk(small_root, start_server):
    """Concurrent uploads exceed the free space: the files of successful ones are whole, failed ones leave no file."""
    server = start_server(small_root)
    data = b"u" * (200 * KB)
    statuses = []

    def upload(i):
        with Client(server.urls()[0]) as client:
            statuses.append((put(client, f"{i}.bin", data).status, i))

    threads = [threading.Thread(target=upload, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {s for s, _ in statuses} <= {201, 507} and 507 in {s for s, _ in statuses}
    assert tree(small_root) == sorted(f"{i}.bin" for s, i in statuses if s == 201)
    assert all((small_root / name).read_bytes() == data for name in tree(small_root))
    wait_until(lambda: temp_files(small_root) == [], "the removal of the temporary files")


def test_inode_exhaustion_returns_507(small_root, start_server):
    server = start_server(small_root)
    with Client(server.urls()[0]) as client:
        for i in itertools.count():
            try:
                (small_root / f"{i}").touch()
            except OSError:
                break
        for function, given in (("write_file", {"path": "a.txt", "data": "x"}), ("make_directory", {"path": "a"}),
                                ("write_file", {"path": "a.txt", "data": "x", "atomic": True})):
            check_no_space(client.post(f"/v1/run/{function}", given))
        check_no_space(client.post("/v1/files", {"path": "a.txt", "mode": "w"}))
        check_no_space(put(client, "a.txt", b"x"))


# -- kill -9 -----------------------------------------------------------------------------------------

def kill_during(server, calls, after):
    """Runs each of `calls` on its own connection, and kills the server after `after` seconds."""
    def run_one(call):
        try:
            with Client(server.urls()[0]) as client:
                call(client)
        except (OSError, AssertionError, EOFError, Exception):  # calls may fail when the server is killed
            pass

    threads = [threading.Thread(target=run_one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    time.sleep(after)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    for thread in threads:
        thread.join()


def body(i, version):
    """Content of which every byte depends on the version, so that a mixture of versions is detected."""
    return (f"{i} {version} ".encode() * 60000)[:300 * KB]


@pytest.mark.parametrize("after", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("how", ["write_file", "PUT", "copy_file"])
def test_kill_leaves_old_or_new_content(how, after, root, start_server):
    count = 200
    for i in range(count):
        if i % 2:
            (root / f"{i}.txt").write_bytes(body(i, "old"))
        if how == "copy_file":
            (root / f"from-{i}").write_bytes(body(i, "new"))
    server = start_server(root)
    os.nice(0)

    def job(numbers):
        def call(client):
            for i in numbers:
                if how == "write_file":
                    run(client, "write_file", path=f"{i}.txt", data=body(i, "new").decode(), atomic=True)
                elif how == "copy_file":
                    run(client, "copy_file", **{"from": f"from-{i}", "to": f"{i}.txt", "replace": True})
                else:
                    put(client, f"{i}.txt", body(i, "new"))
        return call

    kill_during(server, [job(range(n, count, 8)) for n in range(8)], after)
    found = []
    for i in range(count):
        path = root / f"{i}.txt"
        content = path.read_bytes() if path.exists() else None
        old = body(i, "old") if i % 2 else None
        assert content in (old, body(i, "new")), f"{i}.txt is neither the old nor the new one"
        found.append(content == body(i, "new"))
    again = start_server(root)
    assert temp_files(root) == []
    names = {f"{i}.txt" for i in range(count) if i % 2 or found[i]} | ({f"from-{i}" for i in range(count)}
                                                                        if how == "copy_file" else set())
    assert set(tree(root)) == names
    with Client(again.urls()[0]) as client:
        run(client, "write_file", path="0.txt", data="after", atomic=True)


def test_shutdown_during_uploads_leaves_no_temp_files(root, start_server):
    """After SIGTERM, uploads are aborted at the end of the drain, and leave no temporary files."""
    server = start_server(root, "--drain-seconds", "0.3")
    raws = [Raw(server.urls()[0]) for _ in range(20)]
    for i, raw in enumerate(raws):
        raw.send(request_bytes("PUT", f"/v1/fs/{i}.bin", None, "Content-Length: 1000000") + b"x" * 500000)
    wait_until(lambda: len(temp_files(root)) == 20, "the temporary files")
    server.terminate()
    server.wait()
    for raw in raws:
        raw.sock.close()
    assert tree(root) == []
    start_server(root)
    assert temp_files(root) == []


@soak
@pytest.mark.parametrize("method", ["GET", "PUT", "open", "script", "lease"])
def test_shutdown_right_after_response(method, root, start_server):
    """Work that outlasts the response (closing a file, discarding a temporary file) ends before the process exits."""
    (root / "a.txt").write_bytes(HELLO)
    for _ in range(sized(200, 12)):
        server = start_server(root)
        with Client(server.urls()[0]) as client:
            if method == "GET":
                client.get(fs("a.txt"))
            elif method == "PUT":
                put(client, "b.txt", b"x")
            elif method == "script":
                script(client, "a.txt", "r", "read")
            elif method == "open":
                Handle(client, "a.txt")
            else:
                Handle(client, "a.txt", lease_seconds=0.001)
            server.terminate()
            server.wait()


@soak
def test_shutdown_during_downloads(root, start_server):
    """Clients disconnect during the shutdown; the server exits cleanly."""
    (root / "a.bin").write_bytes(b"x" * (2 * MB))
    for _ in range(sized(200, 8)):
        server = start_server(root, "--drain-seconds", "1")
        raws = [Raw(server.urls()[0]) for _ in range(6)]
        for raw in raws:
            raw.send(request_bytes("GET", "/v1/fs/a.bin"))
            raw.sock.recv(100)
        for raw in raws:
            raw.sock.close()
        server.terminate()
        server.wait()


def test_shutdown_with_open_files(root, start_server):
    (root / "a.txt").write_bytes(HELLO)
    server = start_server(root, "--drain-seconds", "0.3")
    with Client(server.urls()[0]) as client:
        for mode in ("r", "r+", "a"):
            Handle(client, "a.txt", mode)
        raws = [Raw(server.urls()[0]) for _ in range(4)]
        (root / "large.bin").write_bytes(b"x" * (20 * MB))
        for raw in raws:
            raw.send(request_bytes("GET", "/v1/fs/large.bin"))
            raw.sock.recv(100)
        server.terminate()
        server.wait()
        for raw in raws:
            raw.sock.close()
    assert (root / "a.txt").read_bytes() == HELLO


# -- system limits --------------------------------------------------------------------------------------

def test_fd_exhaustion_returns_503(root, start_server, tmp_path):
    """Out of file descriptors, requests return 503 and no data is lost; later requests succeed."""
    (root / "a.txt").write_bytes(HELLO)
    server = start_server(root)
    with Client(server.urls()[0]) as client:
        client.get("/livez")
        nofile = descriptors(server.pid) + 2
        subprocess.run(["prlimit", "--pid", str(server.pid), f"--nofile={nofile}:20000"], check=True)
        handles = []
        for _ in range(10):
            response = client.post("/v1/files", {"path": "a.txt"})
            if response.status != 201:
                break
            handles.append(response.header("location"))
        assert (response.status, response.value["type"]) == (503, "urn:gatherd:error:too_many_open_files")
        assert response.header("retry-after")
        assert client.post("/v1/run/read_file", {"path": "a.txt"}).status == 503
        assert client.get(fs("a.txt")).status == 503
        assert put(client, "b.txt", b"x").status == 503
        for handle in handles:
            assert client.fetch("DELETE", handle).status == 200
        assert run(client, "read_file", path="a.txt")["data"] == HELLO.decode()
    assert tree(root) == ["a.txt"] and temp_files(root) == []


def test_rlimit_fsize_returns_507(root, start_server):
    """A write beyond RLIMIT_FSIZE returns 507, without SIGXFSZ, and the file keeps its old content."""
    (root / "a.txt").write_bytes(HELLO)
    large = "x" * 200000
    (root / "large.txt").write_text(large)
    server = start_server(root)
    subprocess.run(["prlimit", "--pid", str(server.pid), "--fsize=100000:100000"], check=True)
    with Client(server.urls()[0]) as client:
        def steps(mode, **step):
            return "file_script", {"path": "a.txt", "mode": mode, "ops": [step]}

        for function, given in (("write_file", {"path": "a.txt", "data": large}),
                                ("write_file", {"path": "a.txt", "data": large, "mode": "a"}),
                                ("write_file", {"path": "a.txt", "data": large, "atomic": True}),
                                ("write_file", {"path": "new.txt", "data": large, "mode": "x"}),
                                ("copy_file", {"from": "large.txt", "to": "a.txt", "replace": True}),
                                steps("r+", op="write", data=large), steps("a", op="write", data=large),
                                steps("r+", op="pwrite", data="x", offset=200000),
                                steps("r+", op="pwrite", data=large, offset=5), steps("r+", op="truncate", size=200000),
                                ("PUT", None)):
            if given is None:
                response = put(client, "a.txt", large.encode())
            else:
                response = client.post(f"/v1/run/{function}", given)
            check_no_space(response)
            assert (root / "a.txt").read_bytes() == HELLO, (function, str(given)[:100])
            assert tree(root) == ["a.txt", "large.txt"] and temp_files(root) == []


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_renamed_root_stays_usable(root, start_server, tmp_path):
    """If the root is renamed or replaced, the service keeps using the directory that it opened."""
    (root / "a.txt").write_bytes(HELLO)
    server = start_server(root)
    root.rename(tmp_path / "elsewhere")
    with Client(server.urls()[0]) as client:
        assert run(client, "read_file", path="a.txt")["data"] == HELLO.decode()
        assert put(client, "b.txt", b"x").status == 201
    assert (tmp_path / "elsewhere" / "b.txt").read_bytes() == b"x"
