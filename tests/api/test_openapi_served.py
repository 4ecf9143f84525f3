"""GET /openapi.json and /openapi.yaml return the document of this process; GET / links to them."""

import json

import pytest
import yaml

import openapi_spec
from client import Client

FORMATS = ("/openapi.json", "/openapi.yaml")


def test_index_links_to_documented_paths(client):
    index = client.get("/").value
    info = openapi_spec.DOCUMENT["info"]
    assert (index["name"], index["version"]) == (info["title"], info["version"])
    for path in index["links"].values():
        assert path in openapi_spec.DOCUMENT["paths"]
        assert client.get(path).status == 200
    assert index["links"]["openapi_json"] == "/openapi.json"


def test_served_documents_equal_committed_one(client):
    assert client.get("/openapi.yaml").body == openapi_spec.FILE.read_bytes()
    document = client.get("/openapi.json").value
    assert document == openapi_spec.DOCUMENT
    assert list(document) == list(openapi_spec.DOCUMENT)
    assert list(document["paths"]) == list(openapi_spec.DOCUMENT["paths"])


@pytest.mark.parametrize("path", FORMATS)
def test_unchanged_document_returns_304(path, client):
    first = client.get(path)
    etag = first.header("etag")
    for match in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        response = client.get(path, **{"If-None-Match": match})
        assert (response.status, response.body, response.header("etag")) == (304, b"", etag), match
        assert response.header("content-length") in (None, str(len(first.body)))  # never another (RFC 9110 section 8.6)
        assert client.fetch("HEAD", path, headers={"If-None-Match": match}).status == 304
    for match in ('"x"', etag.strip('"'), "", "nonsense"):
        response = client.get(path, **{"If-None-Match": match})
        assert (response.status, response.body, response.header("etag")) == (200, first.body, etag), match
    head = client.fetch("HEAD", path)
    assert (head.header("etag"), head.header("content-length")) == (etag, str(len(first.body)))


def test_etag_differs_between_documents(start, client):
    etags = {client.get(path).header("etag") for path in FORMATS}
    with Client(start().urls()[0]) as same, Client(start("--max-gather-children", "7").urls()[0]) as other:
        assert {same.get(path).header("etag") for path in FORMATS} == etags and len(etags) == 2
        assert not etags & {other.get(path).header("etag") for path in FORMATS}


def test_document_describes_this_process(start):
    server = start("--max-timeout-seconds", "5", "--default-timeout-seconds", "4", "--threads", "default=2,io=4",
                   "--max-gather-children", "7", "--queue-limit", "100")
    with Client(server.urls()[0]) as client:
        document = client.get("/openapi.json").value
        assert yaml.safe_load(client.get("/openapi.yaml").body) == document
        limits = client.get("/v1/limits").value
        schemas = document["components"]["schemas"]
        assert schemas["TimeoutSeconds"]["maximum"] == 5
        assert schemas["PoolName"]["enum"] == ["default", "io"]
        assert schemas["GatherInput"]["properties"]["tasks"]["maxItems"] == 7
        for name, value in limits.items():
            maximum = schemas["Limits"]["properties"][name].get("maximum")
            assert maximum is None or value <= maximum
        for accepted, target, body in (
                (True, "/v1/run/block?pool=io", {"seconds": 0}), (False, "/v1/run/block?pool=ios", {"seconds": 0}),
                (True, "/v1/run/sleep?timeout_seconds=5", {"seconds": 0}),
                (False, "/v1/run/sleep?timeout_seconds=5.1", {"seconds": 0}),
                (True, "/v1/gather", {"tasks": [{"function": "sleep", "input": {"seconds": 0}}] * 7}),
                (False, "/v1/gather", {"tasks": [{"function": "sleep", "input": {"seconds": 0}}] * 8})):
            assert client.post(target, body).status == (200 if accepted else 422), target


def test_document_is_the_same_for_each_client(client, server):
    """The document is rendered once; responses to several clients at once do not share a position in it."""
    expected = client.get("/openapi.json").body
    clients = [Client(server.urls()[0]) for _ in range(20)]
    for each in clients:
        each.send_request("GET", "/openapi.json")
    for each in clients:
        assert each.response("GET", "/openapi.json").body == expected
        each.close()
    assert json.loads(expected)["openapi"] == "3.1.0"
