#!/usr/bin/env python3
"""Rights of devices and controllers at a RabbitMQ node: the answers that
rabbitmq_auth_backend_http asks for.

usage: rights.py FLEET [PORT]

The node has checked the certificate; its common name is the user.  A user may
do what the table of docs/install.md says, so nothing is kept here, and each
node has a copy of its own on loopback.
"""
import http.server
import re
import sys
import urllib.parse

DEVICE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# MQTT's letters in the names that the node asks about.
LETTERS = str.maketrans("./*", "/.+")

# user: what it publishes, what it subscribes to, below flotilla/v1/FLEET/
RIGHTS = {
    "device": (r"d/{me}/(reported|event|ack|tele|presence)",
               r"d/{me}/(desired|cmd)|g/[^/#]+/order|c/[^/#]+"),
    "controller": (r".*", r".*"),
    "controller-telemetry": (None, r"d/\+/tele"),
    "emergency": (r"c/emergency", r"c/emergency"),
}


def kind(user):
    """Whose rights it has; None: nobody's."""
    if DEVICE.fullmatch(user):
        return "device"
    return user if user in RIGHTS and user != "device" else None


def may_topic(fleet, user, permission, name):
    writes, reads = RIGHTS[kind(user)]
    rule = writes if permission == "write" else reads
    return rule is not None and re.fullmatch(
        "flotilla/v1/%s/(?:%s)" % (re.escape(fleet), rule.format(me=user)),
        name) is not None


def may_resource(user, resource, name):
    """Its own queue, and the exchange of all topics."""
    if resource == "queue":
        return re.fullmatch("mqtt-(subscription|will)-%s(qos[01])?"
                            % re.escape(user), name) is not None
    return resource == "exchange" and name == "amq.topic"


def allows(fleet, path, asked):
    """`asked`: the fields that the node sent."""
    user = asked.get("username", "")
    # Under another's client id it would end the other's connection.
    if kind(user) is None or asked.get("client_id", user) != user:
        return False
    if path == "/topic":
        return asked.get("name") == "amq.topic" and may_topic(
            fleet, user, asked.get("permission"),
            asked.get("routing_key", "").translate(LETTERS))
    if path == "/resource":
        return may_resource(user, asked.get("resource"), asked.get("name", ""))
    return path in ("/user", "/vhost")


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        text = b"allow" if allows(self.server.fleet, self.path, asked) \
            else b"deny"
        if text == b"deny":
            print("denied", self.path, asked, file=sys.stderr, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def main():
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8885
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers)
    server.daemon_threads = True
    server.request_queue_size = 512
    server.fleet = sys.argv[1]
    server.serve_forever()


if __name__ == "__main__":
    main()
