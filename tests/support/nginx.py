"""nginx before a registry, as people put it there."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.registry import Registry, free_port, wait_for_port
from tests.support.tools import require

_CONFIGURATION = """
daemon off;
user {user};
pid {directory}/pid;
error_log {directory}/log;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/1;
    uwsgi_temp_path {directory}/2;
    scgi_temp_path {directory}/3;
    server {{
        listen 127.0.0.1:{port};
        {settings}
        location / {{
            proxy_pass http://{upstream};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx_before(registry: Registry, directory: Path, settings: str) -> Iterator[str]:
    """HOST:PORT of an nginx with these settings of its server."""
    port = free_port()
    user = getpass.getuser()  # else root's workers are nobody, who may not write here
    text = _CONFIGURATION.format(directory=directory, port=port, settings=settings, upstream=registry.host, user=user)
    (directory / "nginx.conf").write_text(text)
    log = directory / "log"
    command = [require("nginx"), "-e", str(log), "-c", str(directory / "nginx.conf")]
    process = subprocess.Popen(command)
    try:
        wait_for_port(port, process, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
