#!/usr/bin/env python3
"""whisper.cpp (`pywhispercpp`) as a runtime: OpenAI's way to write speech down.

whisper_server.py MODEL SOCKET
"""
import email
import http.server
import io
import json
import socket
import socketserver
import sys
import wave

import numpy
from pywhispercpp.model import Model

model = Model(sys.argv[1], n_threads=1, print_progress=False,
              print_realtime=False, no_timestamps=True, single_segment=True,
              temperature_inc=0.0, no_context=True)


def hear(data):
    with wave.open(io.BytesIO(data)) as file:
        if (file.getnchannels(), file.getsampwidth(),
                file.getframerate()) != (1, 2, 16000):
            raise ValueError("no mono of 16 bits at 16 kHz")
        samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2")
    parts = model.transcribe(samples.astype(numpy.float32) / 32768)
    return " ".join(part.text.strip() for part in parts)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def address_string(self):
        return "local"

    def say(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(200, {"status": "ok"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = email.message_from_bytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() +
            b"\r\n\r\n" + body)
        parts = {part.get_param("name", header="content-disposition"):
                 part.get_payload(decode=True) for part in form.get_payload()}
        try:
            self.say(200, {"text": hear(parts["file"])})
        except (KeyError, ValueError, EOFError, wave.Error) as error:
            self.say(400, {"error": {"message": str(error)}})


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True


Server(sys.argv[2], Handler).serve_forever()
