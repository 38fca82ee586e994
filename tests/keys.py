"""A bucket on loopback that keeps every key as it is; SeaweedFS makes paths of them.

Only what a source is asked for: listing, HEAD and GET, with ranges. Real stores (AWS, MinIO, R2)
hold keys such as `a//b`, `../c` and `d/` next to `d`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote

BUCKET = "odd"


class Keys(BaseHTTPRequestHandler):
    """Answers for one bucket."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[Mapping[str, bytes]] = {}

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        bucket, _, key = path[1:].partition("/")
        if unquote(bucket) != BUCKET:
            self._send(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif not key and self.command == "HEAD":
            self._send(200, b"")
        elif not key:
            self._send(200, self._listing(parse_qs(query, keep_blank_values=True)))
        elif unquote(key) not in self.files:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send_file(self.files[unquote(key)])

    def _send_file(self, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._send(200, data)
            return
        start, end = int(asked[1]), min(len(data) - 1, int(asked[2] or len(data) - 1))
        if start >= len(data):
            self._send(416, b"<Error><Code>InvalidRange</Code></Error>")
            return
        self._send(206, data[start : end + 1], f"bytes {start}-{end}/{len(data)}")

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        files, folders = dict[str, int](), set[str]()
        for key in sorted(self.files):
            if not key.startswith(prefix):
                continue
            inner = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if delimiter and inner[1]:
                folders.add(prefix + inner[0] + delimiter)
            else:
                files[key] = len(self.files[key])
        found = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{size}</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
            for key, size in files.items()
        )
        found += "".join(
            f"<CommonPrefixes><Prefix>{quote(each)}</Prefix></CommonPrefixes>"
            for each in sorted(folders)
        )
        head = f"<Name>{BUCKET}</Name><EncodingType>url</EncodingType>"
        head += f"<KeyCount>{len(files) + len(folders)}</KeyCount><IsTruncated>false</IsTruncated>"
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return f'<ListBucketResult xmlns="{space}">{head}{found}</ListBucketResult>'.encode()

    def _send(self, status: int, data: bytes, ranged: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if ranged:
            self.send_header("Content-Range", ranged)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def bucket_of(files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a server whose bucket holds these files, by their keys."""
    kind = type("Filled", (Keys,), {"files": dict(files)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def variables(endpoint: str) -> dict[str, str]:
    """What botocore needs to know of such a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "t3st-s3cr3t",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
