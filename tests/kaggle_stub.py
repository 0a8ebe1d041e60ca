"""A stand-in for Kaggle's server on loopback that records what the real client sends.

The client is told to speak plain http to "localhost" through a proxy, and the stub is that proxy, on any free port. The
proxy for https is the stub, too, and it opens no tunnel: no request can leave the machine.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

UPLOAD = "http://localhost/upload/"  # where blobs are put
OUTPUT = "http://localhost/output/"  # where a run's outputs are fetched


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str  # with host, as a proxy sees it
    body: bytes
    authorised: bool  # whether it carried credentials

    @property
    def name(self) -> str:
        """The last part of the path: which call of the API."""
        return self.path.rstrip("/").rpartition("/")[2]

    def json(self) -> dict[str, Any]:
        """The body."""
        return json.loads(self.body)


@dataclass
class Run:
    """How one version runs: what each question after its status is answered, then its log and its outputs."""

    statuses: list[str]
    log: str = ""
    failure: str = ""
    outputs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Stub:
    """What was asked, and what is to be answered."""

    requests: list[Request] = field(default_factory=list)
    kernel_answer: dict[str, Any] = field(
        default_factory=lambda: {"versionNumber": 1, "url": "https://www.kaggle.com/x"}
    )
    dataset_answer: dict[str, Any] = field(default_factory=lambda: {"status": "ok", "url": "https://www.kaggle.com/y"})
    versions: dict[str, int] = field(default_factory=dict)  # owner/slug -> newest
    polls_until_ready: int = 0
    port: int = 0
    runs: list["Run"] = field(default_factory=list)  # one for each push, the last one for all further ones
    pushes: int = 0
    submission_answer: dict[str, Any] = field(
        default_factory=lambda: {"message": "Successfully submitted to a contest", "ref": 77}
    )
    submissions: list[dict[str, Any]] = field(default_factory=list)  # as listed, each call one entry further

    def named(self, name: str) -> list[Request]:
        """The requests of one call of the API."""
        return [request for request in self.requests if request.name == name]

    def environment(self, home: Path) -> dict[str, str]:
        """For a client that can reach nothing but this stub, with made-up credentials and an empty home."""
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and "KAGGLE" not in key}
        proxy = f"http://127.0.0.1:{self.port}"
        proxies = {name: proxy for kind in ("http_proxy", "https_proxy", "all_proxy") for name in (kind, kind.upper())}
        return {
            **kept,
            **proxies,
            "HOME": str(home),
            "KAGGLE_CONFIG_DIR": str(home),
            "KAGGLE_USERNAME": "somebody",
            "KAGGLE_KEY": "made-up",
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        }

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Status and body, by the call."""
        body = request.json() if request.method == "POST" else {}
        match request.name:
            case "SaveKernel":
                self.pushes += 1
                return self.kernel_answer.get("code", 200), self.kernel_answer
            case "GetDatasetStatus":
                name = f"{body['ownerSlug']}/{body['datasetSlug']}"
                if name not in self.versions:
                    return 404, {"code": 404, "message": "Not found"}
                self.polls_until_ready -= self.polls_until_ready > 0
                return 200, {"status": "BLOBS_RECEIVED" if self.polls_until_ready else "READY"}
            case "GetDataset":
                return 200, {"currentVersionNumber": self.versions[f"{body['ownerSlug']}/{body['datasetSlug']}"]}
            case "StartBlobUpload":
                return 200, {"token": f"token of {body['name']}", "createUrl": UPLOAD + body["name"]}
            case "CreateDataset" | "CreateDatasetVersion":
                if self.dataset_answer["status"] == "ok":
                    name = f"{body['ownerSlug']}/{body.get('slug') or body.get('datasetSlug')}"
                    self.versions[name] = self.versions.get(name, 0) + 1
                return 200, self.dataset_answer
            case _:
                return (200, {}) if request.path.startswith(UPLOAD) else self._after_the_push(request.name)

    def _after_the_push(self, name: str) -> tuple[int, dict[str, Any]]:
        """What is told of runs and submissions."""
        match name:
            case "GetKernelSessionStatus":
                run = self._run()
                status = run.statuses.pop(0) if len(run.statuses) > 1 else run.statuses[0]
                return 200, {"status": status, **({"failureMessage": run.failure} if status == "ERROR" else {})}
            case "ListKernelSessionOutput":
                run = self._run()
                files = [{"fileName": name, "url": OUTPUT + name} for name in run.outputs]
                return 200, {"log": run.log, "files": files}
            case "CreateCodeSubmission":
                return self.submission_answer.get("code", 200), self.submission_answer
            case "GetSubmissionLimits":
                return 200, {"numAllowedNow": 4}
            case "ListSubmissions":
                now = self.submissions.pop(0) if len(self.submissions) > 1 else self.submissions[0]
                return 200, {"submissions": [now] if now else []}
            case _:
                return 404, {"code": 404, "message": "Not found"}

    def fetched(self, request: Request) -> bytes | None:
        """The bytes of an output, if that is what was asked for."""
        if request.method != "GET" or not request.path.startswith(OUTPUT):
            return None
        return self._run().outputs[request.path.removeprefix(OUTPUT)]

    def _run(self) -> Run:
        return self.runs[min(max(self.pushes, 1), len(self.runs)) - 1]


@contextmanager
def stub() -> Iterator[Stub]:
    """A stub that listens until the block ends."""
    this = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                body = b"".join(chunks)
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, body, "Authorization" in self.headers)
            this.requests.append(request)
            fetched = this.fetched(request)
            status, answer = (502, {}) if self.command == "CONNECT" else this.answer(request)
            data = json.dumps(answer).encode() if fetched is None else fetched
            status = status if fetched is None else 200
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_CONNECT = _take

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: what came is recorded."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    this.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield this
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
