"""A stand-in of the Hugging Face Hub on loopback: what `huggingface_hub` asks to send a dataset.

Repositories are in memory. It refuses other tokens, cards with a licence that it does not know, and
commits of too many files; takes large files by the protocol of Git LFS ("basic"); says of a file
what it has of it already; and can be told to fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "t0ken" * 7
LARGE = re.compile(r"\.(tar|mp4|parquet)$")
LICENCE = re.compile(r"^license: (?!(?:mit|cc-by-4\.0|other)$)(.*)$", re.MULTILINE)


@dataclass
class Repo:
    """A dataset repository."""

    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    tags: list[str] = field(default_factory=list)
    commits: list[list[str]] = field(default_factory=list)


@dataclass
class Hub:
    """The stand-in.

    fails_after: commits of a repository that it takes before it answers with `fails_with`, None for
        no end. most_files: that a commit may have.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    fails_after: int | None = None
    fails_with: int = 500
    most_files: int = 100
    uploads: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """How a process finds it, and nothing else."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "no_proxy": "127.0.0.1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def running() -> Iterator[Hub]:
    """Serve on a free port of loopback."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else self._chunks()
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        if path.startswith("/objects/"):  # a signed URL: no token goes there
            self.hub.objects[path.removeprefix("/objects/")] = body
            self.hub.uploads += 1
            return self._send(200, b"")
        if self.headers.get("Authorization", "").rpartition(" ")[2] not in (TOKEN, self._basic()):
            return self._json(401, {"error": "Invalid user token."})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        found = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+?)(?:\.git)?(/.*)?", path)
        repo = self.hub.repos.get(found[1]) if found else None
        if found is None or repo is None:
            headers = {"X-Error-Code": "RepoNotFound"}
            return self._json(404, {"error": "Repository not found"}, headers)
        return self._of(repo, found[1], found[2] or "", body)

    def _basic(self) -> str:
        return base64.b64encode(f"user:{TOKEN}".encode()).decode()

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}" if "organization" in asked else ""
        name = name or asked["name"]
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.repos.setdefault(name, Repo(bool(private)))
        self._json(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name})

    def _of(self, repo: Repo, name: str, rest: str, body: bytes) -> None:
        if rest in ("", "/revision/main"):
            siblings = [{"rfilename": rel} for rel in sorted(repo.files)]
            info = {"id": name, "sha": "0" * 40, "private": repo.private, "siblings": siblings}
            return self._json(200, info)
        if rest == "/preupload/main":
            return self._preupload(repo, json.loads(body))
        if rest == "/info/lfs/objects/batch":
            return self._batch(json.loads(body))
        if rest == "/commit/main":
            return self._commit(repo, name, body)
        if rest.startswith("/tag/"):
            repo.tags.append(json.loads(body)["tag"])
            return self._json(200, {})
        if rest.startswith("/resolve/main/"):
            return self._file(repo, rest.removeprefix("/resolve/main/"))
        return self._json(404, {"error": f"no {rest}"}, {"X-Error-Code": "EntryNotFound"})

    def _validate(self, card: str) -> None:
        if (found := LICENCE.search(card)) is None:
            return self._json(200, {"errors": [], "warnings": []})
        error = {"message": f'"license" must be one of [mit, cc-by-4.0, other], not {found[1]}'}
        return self._json(400, {"errors": [error], "warnings": [], "error": "invalid"})

    def _preupload(self, repo: Repo, asked: dict[str, Any]) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if LARGE.search(each["path"]) else "regular",
                "shouldIgnore": False,
                "oid": _oid(each["path"], repo.files.get(each["path"])),
            }
            for each in asked["files"]
        ]
        self._json(200, {"files": files})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for each in asked["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.objects:
                href = f"{self.hub.url}/objects/{each['oid']}"
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(answer)
        self._json(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, name: str, body: bytes) -> None:
        if self.hub.fails_after is not None and len(repo.commits) >= self.hub.fails_after:
            return self._json(self.hub.fails_with, {"error": f"broken, said {TOKEN}"})
        lines = [*map(json.loads, body.splitlines())]
        if sum("path" in line["value"] for line in lines) > self.hub.most_files:
            return self._json(504, {"error": "Gateway Time-out"})
        changed = []
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.hub.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                repo.files[value["path"]] = data
            changed += [value["path"]] if "path" in value else []
        repo.commits.append(sorted(changed))
        url = f"{self.hub.url}/datasets/{name}/commit/{'1' * 40}"
        return self._json(200, {"commitUrl": url, "commitOid": "1" * 40, "success": True})

    def _file(self, repo: Repo, rel: str) -> None:
        if rel not in repo.files:
            return self._json(404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound"})
        data = repo.files[rel]
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return self._send(200, data, {"ETag": f'"{sha1}"', "X-Repo-Commit": "1" * 40})

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        told = {"Content-Type": "application/json", **(headers or {})}
        self._send(status, json.dumps(value).encode(), told)

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(path: str, data: bytes | None) -> str | None:
    """What a repository says of a file: its sha256 if it is large, else what git calls it."""
    if data is None:
        return None
    if LARGE.search(path):
        return hashlib.sha256(data).hexdigest()
    blob = b"blob %d\0%s" % (len(data), data)
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest()
