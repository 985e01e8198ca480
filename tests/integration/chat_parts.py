"""A device's chat page in front of a model that says what the test wants.

The page and the list of models are those of a real `flotilla-agent serve`;
answers are the test's, in the stream that OpenAI's API has."""
import http.client
import http.server
import json
import threading

from waits import HANG_S, joined


class Double:
    """say: a function from the request to the parts of the answer.  A part is
    the delta of an event, an error's body, None for a cut, or a
    threading.Event that the rest waits for.  models: instead of the server's;
    None: those."""

    def __init__(self, port):
        outer = self
        self.port, self.asked = port, []
        self.say, self.models = None, None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.forward(self)

            def do_POST(self):
                outer.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.daemon_threads = True
        self.address = "http://127.0.0.1:%d/" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def forward(self, client):
        if client.path == "/v1/models" and self.models is not None:
            body = json.dumps({"object": "list", "data": self.models}).encode()
            client.send_response(200)
            client.send_header("Content-Length", str(len(body)))
            client.end_headers()
            client.wfile.write(body)
            return
        one = http.client.HTTPConnection("127.0.0.1", self.port,
                                         timeout=HANG_S)
        one.request("GET", client.path, headers={
            key: client.headers[key] for key in ("Accept", "Authorization")
            if client.headers[key]})
        answer = one.getresponse()
        body = answer.read()
        one.close()
        client.send_response(answer.status)
        for key, value in answer.getheaders():
            if key not in ("Connection", "Date"):
                client.send_header(key, value)
        client.end_headers()
        client.wfile.write(body)

    def answer(self, client):
        request = json.loads(client.rfile.read(
            int(client.headers["Content-Length"])))
        self.asked.append(request)
        client.send_response(200)
        client.send_header("Content-Type", "text/event-stream")
        client.send_header("Connection", "close")
        client.end_headers()
        client.close_connection = True
        try:
            self.stream(client, request)
        except OSError:
            pass  # the page has stopped it

    def stream(self, client, request):
        def event(data):
            client.wfile.write(b"data: " + data.encode() + b"\n\n")

        for part in self.say(request):
            if part is None:
                return
            if isinstance(part, threading.Event):
                part.wait(HANG_S)
            elif "error" in part:
                return event(json.dumps(part))
            else:
                event(json.dumps({"model": "tiny@1", "choices": [
                    {"index": 0, "delta": part}]}))
        event(json.dumps({"choices": [{"index": 0, "delta": {},
                                       "finish_reason": "stop"}]}))
        event(json.dumps({"choices": [], "usage": {"completion_tokens": 40},
                          "timings": {"per_token_ms": 25.0}}))
        event("[DONE]")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        joined(self.thread)
