"""Servers, certificates and clients for the stories of flotilla-relay."""
import http.client
import http.server
import itertools
import os
import socket
import ssl
import subprocess
import threading

from conftest import BIN
from waits import HANG_S, until

PATH = "/v1/chat/completions"


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """An authority that issues certificates of servers and of devices."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.file, self.key = self.path(name + ".pem"), self.path(name + ".key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", self.key,
                "-out", self.file)

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, kind):
        """A file with certificate and key; kind: serverAuth or clientAuth."""
        key, request, pair = [self.path(name + end) for end in (".k", ".csr", ".pair")]
        more = self.path(name + ".ext")
        with open(more, "w", encoding="ascii") as file:
            file.write("extendedKeyUsage=%s\n" % kind)
            if kind == "serverAuth":
                file.write("subjectAltName=IP:127.0.0.1,IP:127.0.0.2\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", "/CN=" + name, "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key,
                "-CAcreateserial", "-days", "2", "-extfile", more, "-out", pair)
        with open(pair, "a", encoding="ascii") as file, open(key, encoding="ascii") as part:
            file.write(part.read())
        os.chmod(pair, 0o600)
        return pair


class Server(threading.Thread):
    """A TLS server whose answers are those of a function, which may change."""

    def __init__(self, pair, client_ca=None):
        super().__init__(daemon=True)
        self.asked = []  # path, headers, body
        self.peers = []  # names in clients' certificates
        self.connections = 0
        self.answer = plain
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = HANG_S
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                certificate = self.connection.getpeercert() or {}
                this.peers += [value for row in certificate.get("subject", ())
                               for name, value in row if name == "commonName"]
                this.asked.append((self.path, self.headers, body))
                this.answer(self)

            do_GET = do_POST

            def log_message(self, *unused):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, address):
                this.connections += 1
                try:
                    super().finish_request(request, address)
                except OSError:
                    pass  # a client that leaves, or believes nothing

            def handle_error(self, request, address):
                pass

        self.server = Listener(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.at = "https://127.0.0.1:%d" % self.server.server_address[1]
        self.start()

    def run(self):
        self.server.serve_forever(0.02)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def plain(handler, status=200, body=b'{"ok":true}', **headers):
    """A complete answer of JSON; a header's underscore is a hyphen."""
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def begin_events(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Set-Cookie", "a=b")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def piece(handler, data):
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


class Tunnel(threading.Thread):
    """A proxy for HTTPS: every name is this machine.  It keeps what it was
    asked for."""

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.at = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.asked.append(head.decode())
        port = int(head.split()[1].rsplit(b":", 1)[1])
        server = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"HTTP/1.1 200 Made\r\nX-Tunnel: yes\r\n\r\n")
        back = threading.Thread(target=pour, args=(server, client), daemon=True)
        back.start()
        pour(client, server)

    def close(self):
        self.listener.close()


def pour(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone


class Client(http.client.HTTPConnection):
    """One connection to the relay's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=HANG_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


NUMBERS = itertools.count()


class Relay:
    """A process of flotilla-relay, with its socket and what it says."""

    def __init__(self, folder, to, *more, **environment):
        self.socket = os.path.join(folder, "relay-%d" % next(NUMBERS))
        self.log = self.socket + ".log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(BIN, "flotilla-relay"), "--listen", "unix:" + self.socket,
                 "--to", to, "--sandbox", "preferred", *more], stderr=log,
                env={**os.environ, **environment})
        until("the relay listens", self.listens)

    def listens(self):
        assert self.process.poll() is None, self.said()
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def client(self):
        return Client(self.socket)

    def ask(self, method="POST", path=PATH, body=b'{"messages":[]}', **headers):
        """Status, headers and body of one request."""
        client = self.client()
        try:
            client.request(method, path, body if method == "POST" else None,
                           {name.replace("_", "-"): value for name, value in
                            {"Content-Type": "application/json", **headers}.items()})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def memory(self):
        """Bytes that are resident now."""
        with open("/proc/%d/statm" % self.process.pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        self.process.kill()
        self.process.wait()
