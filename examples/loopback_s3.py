"""Run a command against an S3 API on loopback: python loopback_s3.py BUCKET -- COMMAND ...

moto_server keeps the bucket in memory, honours conditional puts, and goes away with the command.
"""

import os
import socket
import subprocess
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(endpoint: str, bucket: str, seconds: float = 60.0) -> None:
    """Create the bucket as soon as the server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=bucket)
            return
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def main(bucket: str, command: list[str]) -> int:
    """Start the server, run the command in its environment, stop the server."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(endpoint, bucket)
        return subprocess.call(command)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        sys.exit("usage: python loopback_s3.py BUCKET -- COMMAND ...")
    sys.exit(main(sys.argv[1], sys.argv[3:]))
