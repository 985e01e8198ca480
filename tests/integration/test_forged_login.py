"""Whose word logs somebody in: a provider of our own, which signs with its key
or with another."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.parse

import pytest

from controller_parts import Controller
from waits import Seen, until, wall_s

BACK = "http://127.0.0.1:4321/callback"


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, capture_output=True,
                          check=True).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """It gives one ID token, whatever the code is."""
    def __init__(self, folder):
        self.dir = folder
        self.ca = os.path.join(folder, "ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=id",
                "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                "-keyout", os.path.join(folder, "tls.pem"), "-out", self.ca)
        for name in ("own", "other"):
            openssl("genrsa", "-out", self.key(name), "2048")
        self.token = ""
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(provider.documents[self.path])

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer({"id_token": provider.token})

            def answer(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, os.path.join(folder, "tls.pem"))
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)
        self.issuer = "https://127.0.0.1:%d" % self.server.server_address[1]
        modulus = openssl("rsa", "-in", self.key("own"), "-noout", "-modulus")
        number = bytes.fromhex(modulus.decode().strip().split("=")[1])
        self.documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token",
                "jwks_uri": self.issuer + "/keys"},
            "/keys": {"keys": [{"kty": "RSA", "kid": "own", "n":
                                base64url(number), "e": "AQAB"}]}}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def key(self, name):
        return os.path.join(self.dir, name + ".pem")

    def sign(self, claims, name):
        head = {"alg": "RS256", "kid": "own"}
        text = ".".join(base64url(json.dumps(one).encode())
                        for one in (head, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.key(name),
                            data=text.encode())
        self.token = text + "." + base64url(signature)


@pytest.fixture(scope="module")
def provider(folder):
    os.mkdir(os.path.join(folder, "id"))
    one = Provider(os.path.join(folder, "id"))
    yield one
    one.server.shutdown()


@pytest.fixture(scope="module")
def controller(provider, folder):
    path = os.path.join(folder, "oidc.yaml")
    with open(path, "w") as out:
        out.write("issuer: %s\nclient_id: flotilla\nca_file: %s\nname: it\n"
                  "scopes: openid\nroles:\n  - group: sre\n    role: viewer\n"
                  % (provider.issuer, provider.ca))
    one = Controller(folder).start("--oidc", path)
    yield one
    one.stop()


def log_in(controller, provider, key):
    """A provider that answers late, on a slow machine, is asked again."""
    def answered():
        answer = tries_to_log_in(controller, provider, key)
        return answer if answer.json["code" if answer.status != 200 else "role"
                                     ] != "login.provider" else Seen(answer)
    return until("the provider's answer", answered)


def tries_to_log_in(controller, provider, key):
    login = controller.ask("POST", "/v1/login/start", {"redirect": BACK},
                           token="")
    assert login.status == 200, login.body
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(
        login.json["url"]).query)
    now = int(wall_s())
    provider.sign({"iss": provider.issuer, "sub": "mira", "aud": "flotilla",
                   "iat": now, "exp": now + 300, "nonce": asked["nonce"][0],
                   "groups": ["sre"]}, key)
    return controller.ask("POST", "/v1/login/finish", {
        "state": login.json["state"], "secret": login.json["secret"],
        "code": "any"}, token="")


def test_a_token_that_the_provider_did_not_sign_logs_nobody_in(
        controller, provider):
    answer = log_in(controller, provider, "own")
    assert answer.status == 200 and answer.json["role"] == "viewer", answer.body
    answer = log_in(controller, provider, "other")
    assert answer.status == 403, answer.body
    assert answer.json["code"] == "login.token"
    assert "not signed" in answer.json["detail"]
