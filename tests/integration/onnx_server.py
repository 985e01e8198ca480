#!/usr/bin/env python3
"""A classifier of ONNX Runtime for tests: a list of numbers to /, JSON back.

onnx_server.py MODEL.onnx SOCKET"""
import http.server
import json
import socket
import socketserver
import sys

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options,
                                       providers=["CPUExecutionProvider"])


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def address_string(self):
        return "local"

    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(b"good")

    def do_POST(self):
        values = json.loads(self.rfile.read(
            int(self.headers["Content-Length"])))
        scores = session.run(None, {
            "x": numpy.array([values], dtype=numpy.float32)})[0][0]
        best = int(scores.argmax())
        self.say(json.dumps({"class": best,
                             "score": float(scores[best])}).encode())


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True
    request_queue_size = 64


Server(sys.argv[2], Handler).serve_forever()
