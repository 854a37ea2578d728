"""A server on this machine that takes uploads like the Hugging Face Hub, as far as huggingface_hub's client needs."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants


@contextlib.contextmanager
def local_hub(monkeypatch, refuses: bool = False) -> Iterator[dict]:
    """Points huggingface_hub here and yields what it receives: the created repositories, and path → content of each file."""
    received = {"created": [], "commits": [], "files": {}}

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if refuses:
                return self.answer({"error": "you may not write here"}, 403)
            if self.path == "/api/repos/create":
                received["created"].append(json.loads(body) | {"token": self.headers["Authorization"]})
                self.answer({"url": f"{constants.ENDPOINT}/me/{json.loads(body)['name']}"})
            elif "/preupload/" in self.path:
                paths = [file["path"] for file in json.loads(body)["files"]]
                self.answer({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]})
            elif "/commit/" in self.path:
                received["commits"].append(self.path)
                lines = [json.loads(line) for line in body.splitlines()]
                files = [line["value"] for line in lines if line["key"] == "file"]
                received["files"] |= {file["path"]: base64.b64decode(file["content"]) for file in files}
                self.answer({"commitUrl": f"{constants.ENDPOINT}/me/x/commit/1", "commitOid": "1"})
            else:
                self.answer({})

        def answer(self, value: dict, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer({}, 403 if refuses else 200)

        def log_message(self, *_) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
