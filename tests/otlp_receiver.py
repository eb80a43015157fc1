"""
A strict receiver of OTLP over HTTP, as a process of its own: what OpenTelemetry's Collector would keep, and why not.

It takes protobuf, which OpenTelemetry's Python SDK sends, and JSON, which Triton 24.10 sends. What it refuses is
answered by 400 and kept as a complaint, which fails the test that had it sent.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from threading import Lock

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


class Receiver:
    """The process, while a test runs."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def spans(self):
        """Every span that came so far; AssertionError where anything came that should not have."""
        spans, complaints = self._get("/spans")
        assert complaints == []
        return spans

    def trace(self, trace_id, enough, *, patience_s=30):
        """The spans of one trace, as soon as they are *enough*."""
        deadline = time.monotonic() + patience_s
        while not enough(spans := [span for span in self.spans() if span["trace_id"] == trace_id]):
            assert time.monotonic() < deadline, [span["name"] for span in spans]
            time.sleep(0.05)
        return spans

    def _get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return json.load(reply)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own, until the ``with`` block ends."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Receiver(int(process.stdout.readline()))
        finally:
            process.kill()


class RefusedError(Exception):
    """What came is no OTLP, or no trace that anybody could read."""


class Kept:
    """What came and was good, and what was said of the rest."""

    def __init__(self):
        self.spans, self.complaints, self._seen, self._lock = [], [], set(), Lock()

    def take(self, path, kind, body):
        """Keep the spans in *body*, all or none."""
        if path != PATH:
            raise RefusedError(f"expected {PATH}, got {path}")
        spans = list(flat(parsed(kind, body)))
        for span in spans:
            check(span)
        with self._lock:
            for span in spans:
                if (span["trace_id"], span["span_id"]) in self._seen:
                    raise RefusedError(f"expected each span once, got {span['span_id']} again")
                self._seen.add((span["trace_id"], span["span_id"]))
            self.spans += spans


def parsed(kind, body):
    """The message in *body*; fields that OTLP does not have are refused."""
    if kind == "application/x-protobuf":
        return ExportTraceServiceRequest.FromString(body)
    if kind != "application/json":
        raise RefusedError(f"expected protobuf or JSON, got {kind}")
    return Parse(json.dumps(with_bytes(json.loads(body))), ExportTraceServiceRequest())


def with_bytes(value):
    """OTLP's JSON, whose ids are hexadecimal and whose keys are camel case, as protobuf's, whose bytes are base64."""
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    if snakes := [key for key in value if "_" in key]:
        raise RefusedError(f"expected keys in camel case, got {snakes}")
    return {key: base64_of(key, item) if key in IDS else with_bytes(item) for key, item in value.items()}


def base64_of(key, text):
    if text and len(text) != 2 * IDS[key]:
        raise RefusedError(f"{key}: expected {2 * IDS[key]} hexadecimal digits, got {text!r}")
    return base64.b64encode(bytes.fromhex(text)).decode()


def flat(message):
    """Each span with the resource and the scope that it stands under, ids as hexadecimal text, times in nanoseconds."""
    for resource in message.resource_spans:
        facts = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": facts.get("service.name"),
                    "language": facts.get("telemetry.sdk.language"),
                    "scope": scope.scope.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "begin": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "said": span.status.message,
                    "attributes": attributes(span.attributes),
                    "events": {event.name: event.time_unix_nano for event in span.events},
                    "links": [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    "dropped": span.dropped_attributes_count + span.dropped_events_count + span.dropped_links_count,
                }


def attributes(pairs):
    """The pairs as a dict; a name twice, or one without a value, is refused."""
    facts = {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "", None) for pair in pairs}
    if len(facts) != len(pairs) or None in facts.values() or "" in facts:
        raise RefusedError(f"expected attributes with names and values, got {pairs}")
    return facts


def check(span):
    """Refuse a *span* that OpenTelemetry's specification forbids, or that lost a part of itself."""
    ids = [(span["trace_id"], 32), (span["span_id"], 16), *([(span["parent_id"], 16)] if span["parent_id"] else [])]
    linked = [(text, 32 if place == 0 else 16) for link in span["links"] for place, text in enumerate(link)]
    for text, digits in chain(ids, linked):
        if len(text) != digits or not int(text, 16):
            raise RefusedError(f"expected {digits // 2} bytes, not all zero, got {text!r}")
    if span["parent_id"] == span["span_id"]:
        raise RefusedError(f"expected another span's id for a parent, got {span['span_id']}'s own")
    if not 0 < span["begin"] <= span["end"]:
        raise RefusedError(f"expected a begin before the end, got {span['begin']} and {span['end']}")
    if not span["name"] or not span["kind"] or not span["service"] or not span["scope"]:
        raise RefusedError(f"expected a name, a kind, a scope and a service, got {span}")
    if span["dropped"]:
        raise RefusedError(f"expected nothing to be dropped, got {span['dropped']} attributes, events or links less")


class Door(BaseHTTPRequestHandler):
    """Spans in by POST; what was kept, and what was said of the rest, by GET."""

    protocol_version = "HTTP/1.1"
    kept = Kept()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        try:
            self.kept.take(self.path, self.headers["Content-Type"], body)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it is a complaint
            self.kept.complaints.append(f"{type(error).__name__}: {error}")
            self._answer(400, "text/plain", str(error).encode())
        else:  # an empty message, in the form of the request
            kind = self.headers["Content-Type"]
            self._answer(200, kind, b"{}" if kind == "application/json" else b"")

    def do_GET(self):
        self._answer(200, "application/json", json.dumps([self.kept.spans, self.kept.complaints]).encode())

    def _answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: what matters is kept."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
