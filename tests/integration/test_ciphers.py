"""TLS 1.2 without CBC: each listener refuses who offers nothing else, and a
client of ours offers none."""
import os
import socket
import ssl
import subprocess
import threading

import pytest

from controller_parts import BIN, Device, run
from waits import HANG_S

CBC = "ECDHE+AES:!AESGCM:!AESCCM:AES:!AESGCM:!AESCCM:@SECLEVEL=0"
KEPT = "ECDHE-ECDSA-AES128-GCM-SHA256"


def offers(address, device, suites):
    """The suite that the listener takes of these; None: it refuses."""
    context = ssl.create_default_context(cafile=device.controller.ca)
    context.load_cert_chain(device.cert, device.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    with socket.create_connection(address, HANG_S) as plain:
        try:
            return context.wrap_socket(plain, server_hostname=address[0]).cipher()[0]
        except ssl.SSLError as error:
            assert "HANDSHAKE_FAILURE" in str(error), error
            return None


@pytest.fixture(scope="module")
def device(controller, folder):
    return Device(controller, folder, "gw", controller.enrol_token())


@pytest.mark.parametrize("listener", ["devices", "broker"])
def test_a_listener_refuses_who_offers_cbc_alone(controller, device, listener):
    host, port = controller.facts[listener].split("://")[1].rsplit(":", 1)
    assert offers((host, int(port)), device, KEPT) == KEPT
    assert offers((host, int(port)), device, CBC) is None


@pytest.mark.parametrize("suites,is_met", [(KEPT, True), (CBC, False)])
def test_a_client_offers_no_cbc(folder, suites, is_met):
    key, cert = os.path.join(folder, "s.key"), os.path.join(folder, "s.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    listening = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        try:
            plain, _ = listening.accept()
            with context.wrap_socket(plain, server_side=True) as one:
                seen.append(one.cipher()[0])
        except ssl.SSLError as error:
            seen.append(error.reason)
    server = threading.Thread(target=serve)
    server.start()
    token = os.path.join(folder, "token")
    with open(token, "w") as file:
        file.write("flo_x")
    os.chmod(token, 0o600)
    subprocess.run([os.path.join(BIN, "flotilla"), "device", "list", "--controller",
                    "https://127.0.0.1:%d" % listening.getsockname()[1], "--ca", cert,
                    "--token-file", token], capture_output=True, timeout=HANG_S)
    server.join()
    listening.close()
    assert seen == [KEPT if is_met else "NO_SHARED_CIPHER"]
