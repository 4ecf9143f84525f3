"""client - HTTP clients: Client uses http.client, Raw a socket. Both check responses against openapi.yaml."""

import http.client
import json
import select
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import contract

TIMEOUT = 120  # seconds; ends only what hangs, also with sanitizers on a busy machine


@dataclass
class Response:
    status: int
    headers: list  # of (name, value), as received
    body: bytes
    value: object = None  # the parsed JSON, set by the check

    def header(self, name):
        """The header's value; None if absent."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(values) < 2, f"{name} is repeated: {values}"
        return values[0] if values else None


def connect(url, timeout_s=TIMEOUT):
    """A socket connected to a URL that a server printed: http://HOST:PORT or unix:/PATH."""
    if url.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        sock.connect(url.removeprefix("unix:"))
        return sock
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client(http.client.HTTPConnection):
    """A client with one persistent connection."""

    def __init__(self, url, timeout_s=TIMEOUT):
        self.url, self.timeout_s = url, timeout_s
        super().__init__("localhost" if url.startswith("unix:") else urlsplit(url).netloc)

    def connect(self):
        self.sock = connect(self.url, self.timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_request(self, method, target, body=None, headers=None):
        """Sends a request. `body` is bytes, or None for no body. A header whose value is None is not sent."""
        headers = dict(headers or {})
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        self.putrequest(method, target, skip_accept_encoding=True, skip_host="Host" in headers)
        for name, value in headers.items():
            if value is not None:
                self.putheader(name, value)
        if body is not None:
            self.putheader("Content-Length", str(len(body)))
        elif method in ("POST", "PUT", "PATCH"):
            self.putheader("Content-Length", "0")
        self.endheaders(body)

    def fetch(self, method, target, body=None, headers=None):
        """Sends the request, and returns the checked response."""
        self.send_request(method, target, body, headers)
        return self.response(method, target, (headers or {}).get("X-Request-Id"))

    def response(self, method, target, sent_id=None):
        got = self.getresponse()
        response = Response(got.status, got.getheaders(), got.read())
        response.value = contract.check(method, target, response, sent_id)
        return response

    def get(self, target, **headers):
        return self.fetch("GET", target, headers=headers)

    def post(self, target, body, **headers):
        """Sends a POST, and returns the checked response. A body that is not bytes is sent as JSON."""
        return self.fetch("POST", target, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def wait_until_read(url):
    """Returns once the server has read all that was sent to it before: its loop takes events in order of arrival."""
    with Client(url) as client:
        for _ in range(2):  # the first may be answered in one turn of the loop with those events, before them
            client.get("/livez")


class Raw:
    """A client that sends any bytes over a socket, and reads responses strictly."""

    def __init__(self, url, timeout_s=TIMEOUT):
        self.sock = connect(url, timeout_s)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _receive(self):
        got = self.sock.recv(65536)
        self.data += got
        return got

    def _read_until(self, separator):
        while separator not in self.data:
            if not self._receive():
                raise ConnectionError(f"connection closed after {self.data[:200]!r}")
        head, self.data = self.data.split(separator, 1)
        return head

    def _read_exactly(self, n):
        while len(self.data) < n:
            if not self._receive():
                raise ConnectionError(f"connection closed after {len(self.data)} of {n} bytes")
        data, self.data = self.data[:n], self.data[n:]
        return data

    def read(self, method="POST"):
        """Reads the next response without checking it; it may be an interim response (1xx)."""
        lines = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = (lines[0] + " ").split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        response = Response(int(status), headers, b"")
        if response.status < 200 or response.status == 304 or method == "HEAD":
            return response
        length = response.header("content-length")
        if length is None:
            assert response.header("connection") == "close", "no Content-Length on a persistent connection"
            while self._receive():
                pass
            response.body, self.data = self.data, b""
        else:
            response.body = self._read_exactly(int(length))
        return response

    def response(self, method, target, sent_id=None):
        """Reads the next response, and checks it."""
        response = self.read(method)
        response.value = contract.check(method, target, response, sent_id)
        return response

    def wait_closed(self, timeout_s):
        """Whether the server closes the connection within timeout_s. Adds the bytes received before to self.data."""
        end = time.monotonic() + timeout_s
        while True:
            ready, _, _ = select.select([self.sock], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            try:
                if not self._receive():
                    return True
            except ConnectionError:
                return True


def request_bytes(method, target, body=None, *headers, host="localhost", version="HTTP/1.1"):
    """A request as bytes; each of `headers` is a whole line."""
    lines = [f"{method} {target} {version}", f"Host: {host}", *headers]
    if body is not None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if not any(h.lower().startswith(("content-length:", "transfer-encoding:")) for h in headers):
            lines.append(f"Content-Length: {len(body)}")
        if not any(h.lower().startswith("content-type:") for h in headers):
            lines.append("Content-Type: application/json")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")
