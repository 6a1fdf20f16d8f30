"""A Hugging Face hub of directories, as far as huggingface_hub asks for it, on a port of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "secret"


class _Handler(BaseHTTPRequestHandler):
    """`server.models` maps owner/name to a directory; owner `gated` answers those with TOKEN alone."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(head=True)

    def do_GET(self):
        self._answer(head=False)

    def _answer(self, head):
        self.server.asked.append((self.command, self.path))
        parts = self.path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        if name not in self.server.models:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if name.startswith("gated/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        revision = (parts[5:6] if api else parts[3:4]) or ["main"]
        if revision[0] not in ("main", "v1", COMMIT):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        home = self.server.models[name]
        if api:
            files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
            about = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files], "private": False}
            return self._send(200, json.dumps({**about, "downloads": 0, "likes": 0, "tags": []}).encode())
        path = home / "/".join(parts[4:])
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = path.read_bytes()
        about = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        return self._send(200, content, about, head)

    def _send(self, status, content, headers=None, head=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(content)


@contextlib.contextmanager
def hub(models):
    """(the environment of a process that is to ask this hub, without its cache; what was asked so far)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.models, server.asked = models, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}, server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
