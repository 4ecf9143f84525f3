"""task_requests - makes task specs, reads the state of pools, and sends requests in the background."""

import json
from concurrent.futures import ThreadPoolExecutor

from client import Client, Raw, request_bytes
from server import wait_until

LONG_SECONDS = 60  # the task is canceled long before
BUSY_SECONDS = 2   # of a task that runs while a few requests are answered, even on a busy machine
ENDLESS = {"to": 10 ** 15}  # input of primes; takes months


def task(function, /, **arguments):
    """A task spec: task("sum", n=5, options={"name": "a"})."""
    options = arguments.pop("options", {})
    return {"function": function, "input": arguments, **options}


def gather(*tasks, **options):
    return {"tasks": list(tasks), **options}


def pools(url):
    """GET /v1/pools as {name: pool}."""
    with Client(url) as client:
        return {p["name"]: p for p in client.get("/v1/pools").value["pools"]}


def pool_loads(url):
    """The load of each pool: {name: (busy, queued)}."""
    return {name: (p["busy"], p["queued"]) for name, p in pools(url).items()}


def workers(url):
    """The pids of the worker processes."""
    return [w["pid"] for w in pools(url)["processes"]["workers"]]


def post(url, path, body):
    """Sends a request on a new connection, and returns the checked response."""
    with Client(url) as client:
        return client.post(path, body)


def warmed_up_workers(url):
    """The pids of the workers, once each has run a task: a task for a worker that starts has to wait in the queue."""
    def all_used():
        assert post(url, "/v1/run/map", {"function": "sum", "inputs": [{"n": 10 ** 6}] * 8}).status == 200
        pool = pools(url)["processes"]
        return len(pool["workers"]) == pool["size"] and all(w["tasks_done"] > 0 for w in pool["workers"])

    wait_until(all_used, "a task on every worker")
    return workers(url)


def busy_worker(url):
    """Waits for a busy worker; its pid."""
    return wait_until(lambda: next((w["pid"] for w in pools(url)["processes"]["workers"] if w["busy"]), None), "work")


class Background:
    """Sends requests from background threads."""

    def __init__(self, url):
        self.url, self.executor = url, ThreadPoolExecutor(64)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.executor.shutdown()

    def post(self, path, body):
        """Sends a request, and returns a future of the checked response."""
        return self.executor.submit(post, self.url, path, body)


def send(url, path, body, request_id):
    """Sends a request, and returns the Raw; closing its socket hangs up."""
    raw = Raw(url)
    raw.send(request_bytes("POST", path, json.dumps(body).encode(), f"X-Request-Id: {request_id}"))
    return raw
