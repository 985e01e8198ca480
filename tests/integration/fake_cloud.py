"""A server in OpenAI's way outside the device, for tests of routes: it keeps
each byte that it got, and misbehaves as it is told."""
import http.server
import json
import threading

ANSWER = "the cloud says so"


class Cloud:
    def __init__(self, fault=None, usage=(11, 5), answer=ANSWER):
        self.fault, self.usage, self.answer = fault, usage, answer
        self.requests = []  # (path, headers, body)
        self.hangs = threading.Event()
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, status, body, kind="application/json", more=()):
                body = body if isinstance(body, bytes) else body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in more:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                cloud.requests.append((self.path, dict(self.headers), None))
                self.send(404, "{}")

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(data)
                cloud.requests.append((self.path, dict(self.headers), body))
                fault = cloud.fault
                if fault == "busy":
                    self.send(429, "{}", more=[("Retry-After", "7")])
                elif isinstance(fault, int):
                    self.send(fault, '{"error":{"message":"no"}}')
                elif fault == "redirect":
                    self.send(307, "{}", more=[("Location", cloud.elsewhere)])
                elif fault == "garbage":
                    self.send(200, b"\x00\xffno JSON")
                elif fault == "error":
                    self.send(500, "{}")
                elif fault == "hang":
                    cloud.hangs.wait()
                elif body.get("stream"):
                    self.stream()
                else:
                    self.send(200, json.dumps(cloud.whole()))

            def stream(self):
                middle = len(cloud.answer) // 2
                chunks = [{"choices": [{"index": 0, "delta": {"content": w}}]}
                          for w in (cloud.answer[:middle],
                                    cloud.answer[middle:])]
                chunks.append({"choices": [{"index": 0, "delta": {},
                                            "finish_reason": "stop"}]})
                if cloud.usage:
                    chunks.append({"choices": [], "usage": cloud.counts()})
                text = "".join("data: %s\n\n" % json.dumps(chunk)
                               for chunk in chunks) + "data: [DONE]\n\n"
                self.send(200, text, "text/event-stream")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/v1" % self.server.server_address[1]

    def counts(self):
        return {"prompt_tokens": self.usage[0],
                "completion_tokens": self.usage[1]}

    def whole(self):
        answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": self.answer}}]}
        if self.usage:
            answer["usage"] = self.counts()
        return answer

    def close(self):
        self.hangs.set()
        self.server.shutdown()
        self.server.server_close()
