"""file_helpers - calls file functions and methods of open files, and manages the files in a root."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

HELLO = b"Hello, file.\n"


def run(client, function, status=200, **arguments):
    """Runs a file function. Returns its result, or the problem if `status` is not 200."""
    response = client.post(f"/v1/run/{function}", arguments)
    assert response.status == status, response.value
    return response.value["result"] if status == 200 else response.value


def script(client, path, mode, *ops, status=200, **arguments):
    """Runs file_script; an op is a name or (name, {members})."""
    steps = [{"op": op} if isinstance(op, str) else {"op": op[0], **op[1]} for op in ops]
    value = run(client, "file_script", status, path=path, mode=mode, ops=steps, **arguments)
    return [step["result"] for step in value["results"]] if status == 200 else value


class Handle:
    """A file that the service holds open."""

    def __init__(self, client, path, mode="r", **arguments):
        response = client.post("/v1/files", {"path": path, "mode": mode, **arguments})
        assert response.status == 201, response.value
        self.client, self.opened = client, response.value
        self.target = response.header("location")
        assert self.target == f"/v1/files/{self.opened['id']}"

    def __call__(self, method, status=200, **arguments):
        response = self.client.post(f"{self.target}/{method}", arguments)
        assert response.status == status, response.value
        return response.value["result"] if status == 200 else response.value

    def get_info(self):
        response = self.client.get(self.target)
        return response.value if response.status == 200 else response.status

    def close(self):
        return self("close")


def fs(path):
    return "/v1/fs/" + quote(path)


def put(client, path, data, **headers):
    return client.fetch("PUT", fs(path), data, {"Content-Type": "application/octet-stream", **headers})


def create_example_files(root):
    """Empties the root and creates the files that the examples in openapi.yaml use."""
    root = Path(root)
    remove_contents(root)
    for path in ("docs/deep", "notes"):
        (root / path).mkdir(parents=True, exist_ok=True)
    for path in ("hello.txt", "docs/a.txt", "docs/b.txt", "docs/new.txt", "docs/old.txt"):
        (root / path).write_bytes(HELLO)
    (root / "binary.dat").write_bytes(b"\xff\xfe\x00")
    (root / "docs" / "link").symlink_to("b.txt")


def remove_contents(root):
    """Empties the root, except gatherd's temporary directory."""
    paths = [os.fsencode(root) + b"/" + name for name in os.listdir(os.fsencode(root)) if name != b".gatherd-tmp"]
    if paths:
        subprocess.run([b"rm", b"-rf", b"--", *paths], check=True)  # shutil.rmtree() fails on deep trees


def descriptors(pid):
    """The number of open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def tree(root):
    """Every path below the root, except gatherd's temporary directory."""
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if ".gatherd-tmp" not in p.parts)


def temp_files(root):
    """The files in gatherd's temporary directory."""
    directory = Path(root) / ".gatherd-tmp"
    return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []


def as_json(value):
    return json.dumps(value).encode()
