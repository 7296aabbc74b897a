"""A bucket that is absent, closed, down or silent: one line within seconds, no long silence."""

import http.server
import re
import socket
import threading
import time

import pytest

from smcloud.core import objects
from smcloud.simulate.samples import SAMPLE_START, write_sample

pytestmark = pytest.mark.usefixtures("no_cluster")


class _Bucket(http.server.BaseHTTPRequestHandler):
    """Answers every request as S3 does for a bucket that is absent or refuses."""

    status, error = 404, "NoSuchBucket"

    def _answer(self) -> None:
        body = f"<Error><Code>{self.error}</Code><Message>no</Message></Error>".encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = _answer

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def endpoint(monkeypatch):
    """Return a function that makes the next S3 endpoint of this process."""
    objects._bucket.cache_clear()

    def at(port: int) -> None:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)

    yield at
    objects._bucket.cache_clear()


@pytest.mark.parametrize(
    ("status", "error", "line"),
    [
        (404, "NoSuchBucket", r"the bucket of s3://nowhere/.* does not exist: create it or mend"),
        (403, "AccessDenied", r"access to s3://nowhere/.* was refused: check the credentials"),
    ],
)
def test_an_absent_or_closed_bucket_is_one_line(endpoint, smcloud, tmp_path, status, error, line):
    (tmp_path / "in").mkdir()
    write_sample("glass_lai", tmp_path / "in")
    handler = type("_Closed", (_Bucket,), {"status": status, "error": error})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint(server.server_port)
    try:
        for ways in (
            ("--from", "s3://nowhere/in", "--to", tmp_path / "new"),
            ("--from", tmp_path / "in", "--to", "s3://nowhere/out"),
        ):
            code, _, lines = smcloud("ingest", "glass_lai", *ways, "--year", SAMPLE_START.year)
            assert (code, len(lines)) == (4, 1), lines
            assert re.search(line, lines[0]), lines[0]
    finally:
        server.shutdown()
        server.server_close()


def test_an_endpoint_that_is_down_or_silent_is_one_line_within_seconds(
    endpoint, smcloud, tmp_path, monkeypatch
):
    monkeypatch.setattr(objects, "FIRST_ANSWER_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            endpoint(port)
            started = time.monotonic()
            code, _, lines = smcloud("ingest", "terrain", "--from", "s3://b/in", "--to", tmp_path)
            assert (code, len(lines)) == (4, 1)
            assert re.search(rf"s3://b at http://127.0.0.1:{port} does not answer: check", lines[0])
            assert time.monotonic() - started < 10
