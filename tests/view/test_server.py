"""The server answers on this machine alone, and only who knows the address."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.view.run import first_page
from sofdata.view.server import POLICY, ViewServer
from sofdata.view.site import Site
from tests.helpers import sofdata


@pytest.fixture
def server(site: Site) -> Iterator[ViewServer]:
    with ViewServer(site) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def ask(
    server: ViewServer, path: str | None = None, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    host, port = server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), int(port), timeout=60)
    connection.request(method, path or f"/{server.token}/", headers=headers)
    return connection.getresponse()


def connected(server: ViewServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60)


def test_it_listens_on_the_loopback_address_alone(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address.startswith("http://127.0.0.1:")


def test_the_whole_address_gives_the_page_with_all_its_headers(server: ViewServer) -> None:
    answer = ask(server)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Python" not in answer.headers["Server"]


@pytest.mark.parametrize("path", ["/", "/x/", "/../", "//", "/TOKEN", "http://other/", "*", "x"])
def test_another_address_gives_nothing(server: ViewServer, path: str) -> None:
    answer = ask(server, path.replace("TOKEN", server.token))
    assert answer.status in (400, 404, 421)
    assert server.token not in answer.read().decode()


@pytest.mark.parametrize("name", ["../server.py", "static/../../run.py", "%2e%2e/run.py", "static"])
def test_no_path_leads_to_a_file(server: ViewServer, name: str) -> None:
    answer = ask(server, f"/{server.token}/{name}")
    assert answer.status == 404
    assert b"import" not in answer.read()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9000", 200),  # through a tunnel
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("evil.example:127.0.0.1", 421),
    ],
)
def test_a_name_that_was_made_to_lead_here_gets_nothing(
    server: ViewServer, host: str, status: int
) -> None:
    assert ask(server, Host=host).status == status


def test_two_hosts_are_none(server: ViewServer) -> None:
    with connected(server) as connection:
        lines = f"GET /{server.token}/ HTTP/1.0\r\nHost: localhost\r\nHost: evil\r\n\r\n"
        connection.sendall(lines.encode())
        assert b" 421 " in connection.recv(100)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ANYTHING"])
def test_other_methods_are_refused(server: ViewServer, method: str) -> None:
    answer = ask(server, method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_has_no_body(server: ViewServer) -> None:
    answer = ask(server, method="HEAD")
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) > 100
    assert answer.read() == b""


def test_too_many_fields_and_odd_bytes_are_answered(server: ViewServer) -> None:
    many = "&".join(f"a{number}=1" for number in range(100))
    assert ask(server, f"/{server.token}/?{many}").status == 400
    assert ask(server, f"/{server.token}/?q=%ff%fe%00").status == 200


def test_a_browser_that_goes_away_leaves_the_server_standing(server: ViewServer) -> None:
    for _ in range(3):
        with connected(server) as connection:
            connection.sendall(f"GET /{server.token}/ HTTP/1.0\r\nHost: localhost\r\n".encode())
    assert ask(server).status == 200


def test_each_start_has_another_secret(server: ViewServer, site: Site) -> None:
    with ViewServer(site) as other:
        assert other.token != server.token
        assert len(other.token) >= 20


def test_a_port_that_is_taken_says_what_to_try(server: ViewServer, site: Site) -> None:
    with pytest.raises(ConfigError, match="--port"):
        ViewServer(site, server.server_address[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_the_address_and_a_signal_ends_it(hostile: Path, number: int) -> None:
    command = [sys.executable, "-m", "sofdata", "view", str(hostile), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("view: ").strip()
    assert process.stdout.readline() == "Ctrl-C ends it\n"
    port = int(address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", address.split(str(port), 1)[1] + "picture/frames?row=0")
    assert connection.getresponse().status == 200
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_what_cannot_be_viewed_says_why(tmp_path: Path) -> None:
    done = sofdata("view", tmp_path, "--no-open")
    assert done.returncode == 2
    assert "no dataset.json" in done.stderr


def test_the_first_page_is_asked_of_no_proxy(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy of a company reaches no address of this machine's loopback."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert "<html" in first_page(Tree(str(hostile)))
