"""A classifier of a factory gate, as a program without an API of ours.

  linked_program.py check TREE FILE       the probe: numbers as JSON
  linked_program.py serve LINK PIDFILE [PORT]   reads LINK/weights.json,
                          serves /health, reads again at SIGHUP
Without PORT a free one; it is written next to PIDFILE.
"""
import http.server
import json
import os
import signal
import sys


def load(tree):
    with open(os.path.join(tree, "weights.json"), encoding="utf-8") as file:
        return json.load(file)


def score(weights, sample):
    return sum(w * x for w, x in zip(weights["w"], sample))


def check(tree, path):
    with open(path, encoding="utf-8") as file:
        sample = json.load(file)
    weights = load(tree)
    print(json.dumps({"score": score(weights, sample), "classes": 2}))
    return 0 if len(weights["w"]) == len(sample) else 3


class Gate(http.server.BaseHTTPRequestHandler):
    weights = {}
    readings = 0

    def do_GET(self):
        is_well = self.weights.get("is_well", True)
        body = json.dumps({"version": self.weights.get("version"),
                           "readings": Gate.readings}).encode()
        self.send_response(200 if is_well else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def read_again(link):
    Gate.readings += 1
    try:
        Gate.weights = load(link)
    except OSError:
        Gate.weights = {"is_well": False}


def serve(link, pid_file, port="0"):
    read_again(link)
    signal.signal(signal.SIGHUP, lambda *_: read_again(link))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Gate)
    for name, text in ((pid_file + ".port", server.server_port),
                       (pid_file, os.getpid())):
        with open(name + ".new", "w", encoding="utf-8") as out:
            out.write("%d\n" % text)
        os.rename(name + ".new", name)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit({"check": check, "serve": serve}[sys.argv[1]](*sys.argv[2:]))
