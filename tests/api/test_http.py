"""HTTP/1.1 over real sockets: what clients do, what they should not do, and what they do when they are slow."""

import re
import shutil
import socket
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contract
import openapi_spec
from client import Client, Raw, request_bytes
from server import RELEASE, Server, wait_until

SLEEP, READ = "/v1/run/sleep", "/livez"
BODY_LIMIT = 1048576  # by default
SOON = 5              # seconds: for what should happen at once


@pytest.fixture
def raw(server):
    with Raw(server.urls()[0]) as connection:
        yield connection


@pytest.fixture(scope="module")
def hasty():
    """The URL of a server that has no patience, so that what never becomes a request is over soon."""
    own = Server(*(f"--{what}-timeout-seconds=0.2" for what in ("header", "body", "idle")))
    yield own.urls()[0]
    own.stop()


def sleep_bytes(seconds, *headers):
    return request_bytes("POST", SLEEP, {"seconds": seconds}, *headers)


def alive(url):
    with Client(url) as client:
        return client.get(READ).status == 200


# -- connections ---------------------------------------------------------------------------------

def test_keep_alive(raw):
    for i in range(100):
        raw.send(sleep_bytes(0 if i % 10 else 0.01, f"X-Request-Id: k{i}"))
        assert raw.answer("POST", SLEEP, f"k{i}").status == 200


def test_pipelining_keeps_the_order(raw):
    raw.send(sleep_bytes(0.1, "X-Request-Id: p0") + sleep_bytes(0, "X-Request-Id: p1")
             + request_bytes("GET", READ, None, "X-Request-Id: p2") + sleep_bytes(0.05, "X-Request-Id: p3")
             + request_bytes("POST", SLEEP, b"{", "X-Request-Id: p4") + sleep_bytes(0, "X-Request-Id: p5"))
    for i, (method, target, status) in enumerate([("POST", SLEEP, 200), ("POST", SLEEP, 200), ("GET", READ, 200),
                                                  ("POST", SLEEP, 200), ("POST", SLEEP, 400),
                                                  ("POST", SLEEP, 200)]):
        assert raw.answer(method, target, f"p{i}").status == status


def test_many_pipelined_answers_that_nobody_reads_yet(raw):
    count = 150
    raw.send(request_bytes("GET", "/openapi.yaml") * count)
    time.sleep(0.3)  # lets the answers pile up; how many do is not ours to say
    document = openapi_spec.FILE.read_bytes()
    for _ in range(count):
        assert raw.answer("GET", "/openapi.yaml").body == document


def test_connection_close_is_honoured(raw):
    raw.send(sleep_bytes(0.01, "Connection: close"))
    response = raw.answer("POST", SLEEP)
    assert response.status == 200 and response.header("connection") == "close"
    assert raw.ended(SOON)


def test_http_1_0(raw):
    raw.send(request_bytes("POST", SLEEP, {"seconds": 0.01}, version="HTTP/1.0"))
    assert raw.answer("POST", SLEEP).status == 200
    assert raw.ended(SOON)


def test_absolute_targets(raw):
    for target in ("http://localhost/livez", "http://127.0.0.1:80/livez", "http://[::1]/livez"):
        raw.send(request_bytes("GET", target))
        assert raw.answer("GET", target).status == 200
    target = "http://localhost/v1/run/sleep?name=a"
    raw.send(request_bytes("POST", target, {"seconds": 0}))
    assert raw.answer("POST", target).value["name"] == "a"


def test_a_request_in_pieces(raw):
    whole = sleep_bytes(0.01)
    for i in range(len(whole)):
        raw.send(whole[i:i + 1])
    assert raw.answer("POST", SLEEP).status == 200


def test_head_has_no_body(raw):
    raw.send(request_bytes("HEAD", "/openapi.yaml") + request_bytes("HEAD", "/nothing")
             + request_bytes("GET", READ))
    head = raw.answer("HEAD", "/openapi.yaml")
    assert head.status == 200 and int(head.header("content-length")) == len(openapi_spec.FILE.read_bytes())
    assert raw.answer("HEAD", "/nothing").status == 404
    assert raw.answer("GET", READ).status == 200


# -- bodies --------------------------------------------------------------------------------------

def chunked(*pieces, trailer=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailer + b"\r\n"


def test_chunked_bodies(raw):
    body = b'{"seconds": 0.001}'
    for data in (chunked(body), chunked(*(body[i:i + 1] for i in range(len(body)))),
                 chunked(body, trailer=b"A: b\r\n")):
        raw.send(request_bytes("POST", SLEEP, data, "Transfer-Encoding: chunked"))
        assert raw.answer("POST", SLEEP).status == 200
    raw.send(request_bytes("POST", SLEEP, chunked(body).upper().replace(b"SECONDS", b"seconds"),
                           "transfer-encoding: Chunked"))
    assert raw.answer("POST", SLEEP).status == 200


def test_an_empty_chunked_body_is_no_json(raw):
    raw.send(request_bytes("POST", SLEEP, chunked(), "Transfer-Encoding: chunked"))
    assert raw.answer("POST", SLEEP).status == 400


def test_expect_continue_is_answered(raw):
    body = b'{"seconds": 0.01}'
    raw.send(request_bytes("POST", SLEEP, b"", f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert raw.read().status == 100
    raw.send(body)
    assert raw.answer("POST", SLEEP).status == 200


@pytest.mark.parametrize("status, target, headers", [
    (413, SLEEP, [f"Content-Length: {BODY_LIMIT + 1}"]),
    (413, SLEEP, ["Content-Length: 1000000000000000"]),
    (415, SLEEP, ["Content-Length: 17", "Content-Type: text/plain"]),
    (404, "/nothing", ["Content-Length: 17"]),
    (405, READ, ["Content-Length: 17"]),
    (421, SLEEP, ["Content-Length: 17"]),
])
def test_expect_continue_is_refused_at_once(raw, status, target, headers):
    host = "example.com" if status == 421 else "localhost"
    raw.send(request_bytes("POST", target, b"", "Expect: 100-continue", *headers, host=host))
    assert raw.answer("POST", target).status == status
    assert raw.ended(SOON)


def test_a_body_of_the_largest_size(raw, server):
    body = b'{"seconds": 0}'.ljust(BODY_LIMIT)
    raw.send(request_bytes("POST", SLEEP, body))
    assert raw.answer("POST", SLEEP).status == 200
    raw.send(request_bytes("POST", SLEEP, chunked(body[:400000], body[400000:]), "Transfer-Encoding: chunked"))
    assert raw.answer("POST", SLEEP).status == 200
    with Raw(server.urls()[0]) as other:
        other.send(request_bytes("POST", SLEEP, chunked(body[:400000], body[400000:], b" "),
                                 "Transfer-Encoding: chunked"))
        assert other.answer("POST", SLEEP).status == 413


@pytest.mark.parametrize("size", [BODY_LIMIT + 1, 3 * BODY_LIMIT, 40 * BODY_LIMIT])
@pytest.mark.parametrize("way", ["length", "chunked"])
def test_too_large_a_body_gets_an_answer_that_can_be_read(server, size, way):
    for _ in range(10 if size < 40 * BODY_LIMIT else 2):
        with Client(server.urls()[0]) as client:
            if way == "length":
                response = client.post(SLEEP, b" " * size)
            else:
                pieces = (b" " * 65536 for _ in range(-(-size // 65536)))
                client.request("POST", SLEEP, pieces, {"Content-Type": "application/json"}, encode_chunked=True)
                response = client.answer("POST", SLEEP)
        assert response.status == 413
        assert str(BODY_LIMIT) in response.value["detail"]
    assert alive(server.urls()[0])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("options", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"],
                                     ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]])
def test_curl_reads_the_refusal_of_too_large_a_body(server, options, tmp_path):
    (tmp_path / "body").write_bytes(b" " * (5 * BODY_LIMIT))
    url = server.urls()[0] + SLEEP
    for _ in range(5):
        done = subprocess.run(["curl", "-sS", "-w", "%{http_code}", "--json", f"@{tmp_path}/body", *options, url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(b"413")
        value = contract.parse_json(done.stdout[:-3])
        assert value["type"] == "urn:gatherd:error:body-too-large"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_a_person_with_curl_meets(server):
    def curl(*options):
        done = subprocess.run(["curl", "-sS", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, timeout=60)
        return done.returncode, done.stdout

    url = server.urls()[0]
    code, out = curl("--json", '{"seconds": 0.01}', url + SLEEP)
    assert code == 0 and contract.parse_json(out)["state"] == "succeeded"
    code, out = curl("-d", '{"seconds": 0.01}', url + SLEEP)
    assert code == 0 and "--json" in contract.parse_json(out)["detail"]
    code, out = curl("--fail-with-body", "--json", '{"seconds": 5}', url + SLEEP + "?timeout_seconds=0.01")
    assert code == 22 and contract.parse_json(out)["task"]["error"]["code"] == "timeout"
    code, out = curl("-I", url + READ)
    assert code == 0 and out.startswith(b"HTTP/1.1 200")
    # A nested gather past curl's threshold of 1 MiB for Expect: 100-continue is too large; one of 900 kB is not.
    body = b'{"seconds": 0}'.ljust(900000)
    done = subprocess.run(["curl", "-sS", "-H", "Expect: 100-continue", "--json", "@-", url + SLEEP], input=body,
                          stdout=subprocess.PIPE, check=True, timeout=60)
    assert contract.parse_json(done.stdout)["state"] == "succeeded"


def test_bytes_behind_a_request_are_another_request(raw):
    raw.send(request_bytes("POST", SLEEP, b'{"seconds": 0}GARBAGE\r\n\r\n', "Content-Length: 14"))
    assert raw.answer("POST", SLEEP).status == 200
    assert raw.ended(SOON)
    assert not raw.data or raw.data.startswith(b"HTTP/1.1 400")


def test_a_get_may_have_a_body_that_means_nothing(raw):
    raw.send(request_bytes("GET", READ, b"{nonsense") + request_bytes("GET", READ))
    assert raw.answer("GET", READ).status == 200
    assert raw.answer("GET", READ).status == 200


# -- ambiguity -----------------------------------------------------------------------------------

HIDDEN = request_bytes("GET", "/v1/limits", None, "X-Request-Id: smuggled")
AMBIGUOUS = {
    "two lengths": ["Content-Length: 14", "Content-Length: 14"],
    "two lengths that differ": ["Content-Length: 14", "Content-Length: 0"],
    "length and chunked": ["Content-Length: 14", "Transfer-Encoding: chunked"],
    "chunked and length": ["Transfer-Encoding: chunked", "Content-Length: 14"],
    "gzip": ["Transfer-Encoding: gzip"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked, chunked": ["Transfer-Encoding: chunked, chunked"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    "identity": ["Transfer-Encoding: identity", "Content-Length: 14"],
    "no coding at all": ["Transfer-Encoding: ", "Content-Length: 14"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "a list as length": ["Content-Length: 14, 14"],
    "a sign": ["Content-Length: +14"],
    "negative": ["Content-Length: -14"],
    "hexadecimal": ["Content-Length: 0xe"],
    "trailing letter": ["Content-Length: 14x"],
    "no number": ["Content-Length: "],
    "overflow": ["Content-Length: 18446744073709551630"],
    "two hosts": ["Content-Length: 14", "Host: localhost"],
    "blank in a name": ["Content-Length : 14"],
    "length behind a blank": ["Transfer-Encoding : chunked", "Content-Length: 14"],
    "too large for all": ["Content-Length: 9223372036854775807"],
}


def refused(raw):
    """Reads what must be the only answer, a 400 or 413 by the service or by libmicrohttpd, and the end."""
    response = raw.read()
    assert response.status in (400, 413, 501), response
    if response.header("content-type") == "application/problem+json":
        response.value = contract.check("POST", SLEEP, response)
        assert response.status == 413 or response.value["type"] == "urn:gatherd:error:malformed-http"
    assert raw.ended(SOON)
    assert b"HTTP/1." not in raw.data, raw.data


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_ambiguous_requests_are_refused_and_hide_no_other(what, raw, server):
    lines = ["Host: localhost", "Content-Type: application/json", *AMBIGUOUS[what]]
    body = b'{"seconds": 0}'  # sent so that whoever overlooks what is wrong finds it sound
    if any("chunked" in line for line in lines):
        body = chunked(body)
    raw.send(f"POST {SLEEP} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + body + HIDDEN)
    refused(raw)
    assert alive(server.urls()[0])


@pytest.mark.parametrize("chunks", ids=repr, argvalues=[
    b"x\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"0x0\r\n\r\n", b'+e\r\n{"seconds": 0}\r\n0\r\n\r\n',
    b' e\r\n{"seconds": 0}\r\n0\r\n\r\n', b'd\r\n{"seconds": 0}\r\n0\r\n\r\n'])
def test_malformed_chunks_are_refused(chunks, hasty):
    with Raw(hasty) as raw:
        raw.send(request_bytes("POST", SLEEP, chunks, "Transfer-Encoding: chunked") + HIDDEN)
        assert raw.ended(SOON)
    assert not raw.data or raw.data[9:12] in (b"400", b"413"), raw.data
    assert raw.data.count(b"HTTP/1.") < 2 and b"smuggled" not in raw.data


@pytest.mark.parametrize("data", ids=lambda data: repr(data[:20]), argvalues=[
    b"\r\n" * 3 + b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"\x16\x03\x01" * 50,
    b"GET  /livez  HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n", b"GET /livez\r\n\r\n"])
def test_what_is_not_http_gets_no_more_than_a_refusal(data, hasty):
    with Raw(hasty) as raw:
        raw.send(data)
        assert raw.ended(SOON)
    assert not raw.data or raw.data[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 "), raw.data
    # libmicrohttpd 1.0 sends a client whose target has blanks to one that has none, by 301.
    assert raw.data[9:10] in b"4" or raw.data[9:12] in (b"505", b"200", b"301"), raw.data
    assert alive(hasty)


@pytest.mark.parametrize("line", ids=["target", "header", "headers"], argvalues=[
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100000 + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20000 + b"\r\n"])
def test_oversized_heads_are_refused(line, raw, server):
    try:
        raw.send(line)
    except ConnectionError:
        pass
    assert raw.ended(SOON)
    assert not raw.data or raw.data[9:12] in (b"400", b"413", b"414", b"431"), raw.data[:100]
    assert alive(server.urls()[0])


def test_long_heads_that_fit_are_taken(raw):
    raw.send(request_bytes("GET", READ, None, *(f"A{i}: " + "b" * 100 for i in range(60))))
    assert raw.answer("GET", READ).status == 200


@settings(max_examples=150)
@given(st.lists(st.one_of(
    st.sampled_from([b"POST /v1/run/sleep HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\n", b"Host: localhost\r\n",
                     b"\r\n", b"\r\n\r\n", b"Content-Length: 14\r\n", b"Content-Length: 99999\r\n",
                     b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b'{"seconds": 0}',
                     b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n", b"e\r\n", b"\n",
                     b"Connection: close\r\n", b" ", b"HTTP/1.1"]), st.binary(max_size=20)), max_size=14))
def test_any_bytes_leave_the_service_as_it_was(hasty, pieces):
    with Raw(hasty) as connection:
        connection.send(b"".join(pieces))
        assert connection.ended(SOON), pieces
        for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", connection.data):
            assert status[:1] in b"124" or status in (b"301", b"505"), connection.data
    assert alive(hasty)


# -- paths ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("target, status", [
    ("/v1%2Ffunctions", 404), ("/v1/functions%2Fsleep", 404), ("/v1/functions/sleep%2F", 404),
    ("/v1/functions/%2e%2e", 404), ("/v1/functions/../functions", 404), ("/v1/functions/a%00b", 400),
    ("/v1/functions/sleep%00", 400), ("/livez%00", 400), ("/livez%", 400), ("/livez%2", 400), ("/livez%zz", 400),
    ("/%FF", 400), ("/%C0%AE", 400), ("*", 404), ("livez", 404), ("/livez#fragment", 404), ("/livez?", 200),
    ("/livez?&&", 200), ("/livez;a=b", 404)])
def test_paths_are_split_before_they_are_decoded(target, status, raw):
    raw.send(request_bytes("GET", target))
    response = raw.read("GET")
    assert response.status == status
    assert response.body.endswith(b"}\n")
    if status == 400:
        assert b"malformed-http" in response.body


# -- hosts and origins -----------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080",
                                  "10.1.2.3", "[2001:db8::1]:80", "0.0.0.0"])
def test_own_hosts_are_answered_for(host, raw):
    raw.send(request_bytes("GET", "/v1/limits", host=host))
    assert raw.answer("GET", "/v1/limits").status == 200


FOREIGN_HOSTS = ["example.com", "example.com:80", "localhost.example.com", "127.0.0.1.example.com",
                 "127.0.0.1@example.com", "example.com:localhost", "xlocalhost", "localhostx", "localhost.", "1",
                 "0x7f000001", "[::1].example.com", "[localhost", "x" * 300, "-", "[::1", "[::1]x",
                 "localhost:80.example.com"]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_hosts_are_not_answered_for(host, raw):
    for method, target, body in (("GET", "/v1/limits", None), ("POST", SLEEP, {"seconds": 0}),
                                 ("GET", "/openapi.yaml", None)):
        raw.send(request_bytes(method, target, body, host=host))
        assert raw.answer(method, target).status == 421


def test_probes_are_answered_for_any_host(raw):
    for target in ("/livez", "/readyz"):
        raw.send(request_bytes("GET", target, None, "Origin: http://example.com", host="example.com"))
        assert raw.answer("GET", target).status == 200


def test_a_request_needs_a_host(server):
    for head in (b"GET /v1/limits HTTP/1.1\r\n\r\n", b"GET /v1/limits HTTP/1.1\r\nHost:\r\n\r\n"):
        with Raw(server.urls()[0]) as connection:
            connection.send(head)
            assert connection.read("GET").status in (400, 421)


@pytest.mark.parametrize("lines, status", [
    (["Origin: http://example.com"], 403), (["Origin: null"], 403), (["Origin: http://localhost:1"], 403),
    (["Origin: http://localhost.example.com"], 403), (["Origin: https://example.com/http://localhost"], 403),
    (["Origin: "], 403), (["Origin: localhost"], 403), (["Origin: http://a@localhost"], 403),
    (["Sec-Fetch-Site: cross-site"], 403), (["Origin: http://localhost", "Sec-Fetch-Site: cross-site"], 403),
    (["Origin: http://localhost"], 200), (["Origin: http://localhost", "Sec-Fetch-Site: same-origin"], 200),
    (["Sec-Fetch-Site: none"], 200), ([], 200)])
def test_what_other_sites_send_is_refused(lines, status, raw):
    for method, target, body in (("POST", SLEEP, {"seconds": 0}), ("GET", "/v1/limits", None)):
        raw.send(request_bytes(method, target, body, *lines))
        assert raw.answer(method, target).status == status


# -- slow and absent clients -----------------------------------------------------------------------

def drip(raw, data, patience=10):
    """Sends a byte every tenth of a second until the connection ends; returns the seconds that took."""
    start = time.monotonic()
    for i in range(len(data)):
        try:
            raw.send(data[i:i + 1])
        except ConnectionError:
            return time.monotonic() - start
        if raw.ended(0.1):
            return time.monotonic() - start
        assert time.monotonic() - start < patience, "the connection is still open"
    raise AssertionError("all of it was taken")


def test_a_client_that_drips_its_headers_is_cut_off(start):
    own = start("--header-timeout-seconds", "1")
    with Raw(own.urls()[0]) as slow, Client(own.urls()[0]) as other:
        took = drip(slow, sleep_bytes(0, "A: " + "b" * 1000))
        assert took >= 0.9 and (took < 2 or not RELEASE)
        assert slow.data == b""
        assert other.post(SLEEP, {"seconds": 0}).status == 200


def test_a_client_that_drips_its_body_is_cut_off(start):
    own = start("--body-timeout-seconds", "1")
    body = b'{"seconds": 0}'.ljust(500)
    for head, data in ((["Content-Length: 500"], body), (["Transfer-Encoding: chunked"], chunked(*([b" "] * 100)))):
        with Raw(own.urls()[0]) as slow:
            slow.send(request_bytes("POST", SLEEP, b"", *head))
            took = drip(slow, data)
            assert took >= 0.9 and (took < 2 or not RELEASE)
    assert not own.events(event="task_succeeded")
    assert alive(own.urls()[0])


def test_the_clock_of_the_headers_starts_anew_with_each_request(start):
    """On a kept connection it starts with the end of the request line; until then, the connection is idle."""
    own = start("--header-timeout-seconds", "1", "--body-timeout-seconds", "1", "--idle-timeout-seconds", "2")
    line, rest = sleep_bytes(0, "A: " + "b" * 1000).split(b"\r\n", 1)
    for at_once, dripping, least in ((line + b"\r\n", rest, 0.9), (b"", line * 10, 1.9)):
        with Raw(own.urls()[0]) as connection:
            for _ in range(3):
                connection.send(sleep_bytes(0.6))
                assert connection.answer("POST", SLEEP).status == 200
            connection.send(at_once)
            took = drip(connection, dripping)
            assert took >= least and (took < least + 1.1 or not RELEASE)


def test_idle_connections_are_closed_and_waiting_ones_are_not(start):
    own = start("--idle-timeout-seconds", "1", "--header-timeout-seconds", "1")
    with Raw(own.urls()[0]) as fresh, Raw(own.urls()[0]) as used, Raw(own.urls()[0]) as waiting:
        waiting.send(sleep_bytes(3))
        used.send(request_bytes("GET", READ))
        assert used.answer("GET", READ).status == 200
        since = time.monotonic()
        assert used.ended(10)
        assert time.monotonic() - since >= 0.9
        assert fresh.ended(10)
        assert waiting.answer("POST", SLEEP).status == 200


def test_a_client_that_closes_its_half_counts_as_gone(raw, server):
    raw.send(sleep_bytes(60, "X-Request-Id: half-closed"))
    raw.sock.shutdown(socket.SHUT_WR)
    event = server.wait_event(event="task_canceled", request_id="half-closed", patience=SOON)
    assert event["cancel_effect"] == "stopped"
    assert raw.ended(SOON)


@pytest.mark.parametrize("what, data", [
    ("a word", b"POST"), ("half a head", b"POST /v1/run/sleep HTTP/1.1\r\nHost: "),
    ("half a body", sleep_bytes(5)[:-3]), ("a request", request_bytes("GET", READ)),
    ("a request with a body", sleep_bytes(0)), ("a short task", sleep_bytes(0.01))],
                         ids=lambda value: value if isinstance(value, str) else "")
def test_an_end_that_comes_with_the_last_bytes_is_seen(what, data, raw):
    """Both in one segment: the kernel then tells of them only once."""
    raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    raw.send(data)
    raw.sock.shutdown(socket.SHUT_WR)
    assert raw.ended(SOON), "it waits for more"
    assert not raw.data or raw.data.startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_the_middle_leaves_nothing(server):
    for data in (b"POST", sleep_bytes(5)[:-3],
                 request_bytes("POST", SLEEP, b"5\r\n{", "Transfer-Encoding: chunked"),
                 request_bytes("POST", SLEEP, b"", "Content-Length: 900000", "Expect: 100-continue")):
        with Raw(server.urls()[0]) as connection:
            connection.send(data)
            time.sleep(0.05)  # so that it is read before its end comes; the other case has a test of its own
    assert alive(server.urls()[0])


# -- limits --------------------------------------------------------------------------------------

def test_connections_beyond_the_limit_get_a_503(start):
    own = start("--max-connections", "3")
    url = own.urls()[0]
    held = [Raw(url) for _ in range(3)]
    for connection in held:
        connection.send(request_bytes("GET", READ))
        assert connection.answer("GET", READ).status == 200
    for _ in range(20):
        with Raw(url) as late:
            late.send(request_bytes("GET", READ))
            response = late.answer("GET", READ)
            assert response.status == 503
            assert response.value["type"] == "urn:gatherd:error:too-many-connections"
            assert late.ended(SOON)
    with Client(url) as client:
        assert client.post(SLEEP, {"seconds": 0}).status == 503
    held.pop().sock.close()

    def free():
        with Raw(url) as connection:
            connection.send(request_bytes("GET", READ))
            return connection.answer("GET", READ).status == 200

    wait_until(free, "a place for a connection")
    for connection in held:
        connection.send(sleep_bytes(0))
        assert connection.answer("POST", SLEEP).status == 200
        connection.sock.close()


def test_a_smaller_limit_for_bodies(start):
    own = start("--max-body-bytes", "2048")
    with Client(own.urls()[0]) as client:
        assert client.post(SLEEP, b'{"seconds": 0}'.ljust(2048)).status == 200
        response = client.post(SLEEP, b'{"seconds": 0}'.ljust(2049))
        assert response.status == 413 and "2048" in response.value["detail"]
        assert client.get("/v1/limits").value["max_body_bytes"] == 2048
