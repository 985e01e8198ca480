#!/usr/bin/env python3
"""A runtime for tests of `flotilla-engine proxy`: OpenAI's way over HTTP.

fake_runtime.py --tree DIR --entry FILE (--socket PATH | --port N)
                [--fault F[:N]] [--answers PATH]

The file at DIR/FILE, or at PATH, is JSON: {"answers": {"<prompt>": "<answer>"}}; a prompt
that is not there is answered "?", or as it was understood where images stand in
it: texts, and type and digest of each image.  An answer may be {"thought": "...",
"text": "...", "calls": [["name", "arguments"], ...]}; calls need tools in the
request.  Where a form is asked for, the answer is that form.  Faults:
  no-health   the health check answers 503 for ever
  unwell:N    it does so after N answers
  lies        health is good, each answer is 500
  die:N       the process ends in the answer after N others
  garbage     a stream that is no JSON
  refuse      it does not start: exit 3
  hang:N      the answer after N others never comes
  leak:MB     each answer keeps so much memory
  fork        a grandchild in a session of its own stays
  pieces:N    N pieces whatever was asked for
  slow:MS     a pause before each piece
  cut         the connection ends inside a chunk
  form:N      N answers have no form that was asked for, and later ones are those
              of the table
"""
import argparse
import base64
import email
import hashlib
import http.server
import json
import os
import random
import socket
import socketserver
import sys
import threading



def words_of(content):
    """A prompt as it is, or its parts."""
    if isinstance(content, str):
        return content
    return " | ".join(part["text"] if part["type"] == "text" else
                      seen(part["image_url"]) for part in content)


def seen(image):
    head, data = image["url"].split(",")
    digest = hashlib.sha256(base64.b64decode(data, validate=True)).hexdigest()
    return " ".join([head, digest[:8]] + sorted(
        value for key, value in image.items() if key != "url"))


parser = argparse.ArgumentParser()
for name in ("tree", "entry", "socket", "fault", "answers"):
    parser.add_argument("--" + name, default="")
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()
fault, _, amount = options.fault.partition(":")
amount = int(amount or 0)
state = {"answers": 0, "forms": 0, "kept": []}
if fault == "slow":  # a test may copy this file alone
    from waits import pace

if fault == "refuse":
    sys.exit("the configuration does not please me" if not amount else amount)
entry = os.path.join(options.tree, options.entry)
assert os.path.exists(entry), entry
with open(options.answers or entry) as file:
    answers = json.load(file)["answers"]
if fault == "fork" and os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    import waits
    threading.Event().wait(waits.HANG_S)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "local"

    def say(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        is_bad = fault == "no-health" or (
            fault == "unwell" and state["answers"] > amount)
        self.say(503 if is_bad else 200, b'{"status":"ok"}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        state["answers"] += 1
        count = state["answers"]
        if fault == "lies":
            return self.say(500, b'{"error":{"message":"no"}}')
        if fault == "garbage":
            return self.say(200, b"data: {not json\n\n", "text/event-stream")
        if fault == "die" and count > amount:
            os._exit(1)
        if fault == "hang" and count > amount:
            threading.Event().wait()
        if fault == "leak":
            piece = random.Random("leak").randbytes(1 << 20)
            state["kept"].append(bytearray(piece * amount))
        if self.path == "/":
            return self.say(200, answers.get(body.decode(), "?").encode(),
                            "text/plain")
        if self.path == "/v1/audio/transcriptions":
            return self.hear(body)
        body = json.loads(body)
        if self.path.endswith("/embeddings"):
            return self.vectors(body)
        return self.stream(body)

    def hear(self, body):
        form = email.message_from_bytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() +
            b"\r\n\r\n" + body)
        fields = {part.get_param("name", header="content-disposition"):
                  part.get_payload(decode=True)
                  for part in form.get_payload()}
        text = "%d bytes in %s" % (
            len(fields["file"]), fields.get("language", b"?").decode())
        self.say(200, json.dumps({"text": answers.get(text, text)}).encode())

    def vectors(self, body):
        data = [{"index": i, "embedding": [float(len(text)), 1.0, 2.0]}
                for i, text in enumerate(body["input"])]
        self.say(200, json.dumps({"data": data, "usage": {
            "prompt_tokens": 3}}).encode())

    def stream(self, body):
        is_chat = "messages" in body
        asked = body["messages"][-1]["content"] if is_chat else body["prompt"]
        prompt = words_of(asked)
        answer = answers.get(prompt, "?" if prompt == asked else prompt)
        if isinstance(answer, dict):
            return self.parts(answer) if "tools" in body or \
                "calls" not in answer else self.say(
                    400, b'{"error":{"message":"without tools"}}')
        words = answer.split(" ")
        if prompt == "show":
            words = [json.dumps(body)]
        if prompt == "where":
            words = [self.path]
        if "response_format" in body and fault == "form":
            state["forms"] += 1
            words = words if state["forms"] > amount else ["Sure: ", "low"]
        elif "response_format" in body:
            words = [json.dumps(body["response_format"])]
        likes = {k: body[k] for k in ("presence_penalty", "frequency_penalty",
                                      "logit_bias") if k in body}
        if likes:
            words = [json.dumps(likes)]
        pieces = [w + " " for w in words[:-1]] + words[-1:]
        cut = pieces[:body.get("max_tokens", 256)]
        if fault == "pieces":
            cut = ["x"] * amount
        self.begin()
        for piece in cut:
            if fault == "slow":
                pace(amount / 1000)
            self.event(is_chat, piece, None)
        if fault == "cut":
            self.wfile.write(b"40\r\ndata: ")
            self.close_connection = True
            return
        self.event(is_chat, None, "stop" if cut == pieces else "length")
        self.chunk(b"data: " + json.dumps({"choices": [], "usage": {
            "prompt_tokens": len(prompt.split()),
            "completion_tokens": len(cut)}}).encode() + b"\n\n")
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def begin(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def parts(self, answer):
        """As servers stream them: a thought, a text, and of each call a name,
        then arguments in pieces."""
        self.begin()
        for word in answer.get("thought", "").split(" "):
            self.delta({"reasoning_content": word})
        if "text" in answer:
            self.delta({"content": answer["text"]})
        for entry in answer.get("calls", []):
            name, arguments = entry[:2]
            index = entry[2] if len(entry) > 2 else answer["calls"].index(
                entry)
            self.delta({"tool_calls": [{
                "index": index, "id": "x%d" % index, "type": "function",
                "function": {"name": name, "arguments": ""}}]})
            for part in (arguments[:3], arguments[3:]):
                self.delta({"tool_calls": [{
                    "index": index, "function": {"arguments": part}}]})
        self.delta({}, answer.get(
            "finish", "tool_calls" if "calls" in answer else "stop"))
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def delta(self, delta, finish=None):
        self.chunk(b"data: " + json.dumps({"choices": [{
            "index": 0, "delta": delta, "finish_reason": finish}]}).encode() +
            b"\n\n")

    def event(self, is_chat, piece, finish):
        part = {} if piece is None else {"content": piece}
        choice = {"index": 0, "finish_reason": finish}
        choice.update({"delta": part} if is_chat else {"text": piece or ""})
        self.chunk(b"data: " + json.dumps({"choices": [choice]}).encode() +
                   b"\n\n")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


if options.socket:
    Server.address_family = socket.AF_UNIX
    Server(options.socket, Handler).serve_forever()
else:
    Server(("127.0.0.1", options.port), Handler).serve_forever()
