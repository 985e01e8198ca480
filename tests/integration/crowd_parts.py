"""A crowd of connections to the broker that never become sessions: one device
tries many, in each state that there is before CONNECT is whole."""
import os
import select
import signal
import socket
import ssl
import struct

from waits import HANG_S, stopped

HALF_CONNECT = b"\x10\xe0\x07\0\4MQTT\4\2"  # 992 bytes, of which some come
STATES = ("silent", "half-hello", "hello", "handshake", "half-connect")


def inside(controller, source):
    """How many connections of an address the broker's process has, all at one time:
    it stands still meanwhile, as the list changes while it is read."""
    port, pid = controller.broker()[1], controller.mosquitto()
    of = "%08X:" % struct.unpack("=I", socket.inet_aton(source))
    stopped(pid)
    try:
        with open("/proc/net/tcp") as file:
            rows = [line.split() for line in file][1:]
    finally:
        os.kill(pid, signal.SIGCONT)
    return len({row[2] for row in rows if row[1].endswith(":%04X" % port) and
                row[2].startswith(of) and row[3] == "01" and row[9] != "0"})


class Crowd:
    """Connections of one device, from one address."""

    def __init__(self, device, state, source="127.0.0.1"):
        self.device, self.state, self.source = device, state, source
        self.context = ssl.create_default_context(cafile=device.controller.ca)
        self.context.load_cert_chain(device.cert, device.key)
        self.open = []
        self.tried = self.held = 0

    def hello(self):
        out = ssl.MemoryBIO()
        client = self.context.wrap_bio(
            ssl.MemoryBIO(), out, server_hostname=self.device.controller.broker()[0])
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return out.read()

    def try_one(self):
        """One more connection; the broker may refuse it."""
        host, port = self.device.controller.broker()
        self.tried += 1
        plain = socket.socket()
        try:
            plain.settimeout(HANG_S)
            plain.bind((self.source, 0))
            plain.connect((host, port))
            if self.state in ("hello", "half-hello"):
                plain.sendall(self.hello()[:None if self.state == "hello" else 40])
            elif self.state != "silent":
                plain = self.context.wrap_socket(plain, server_hostname=host)
                if self.state == "half-connect":
                    plain.sendall(HALF_CONNECT)
        except OSError:
            plain.close()
        else:
            self.open.append(plain)
        if self.tried % 50 == 0 or len(self.open) < 20:
            self.held = self.alive()
        return self

    def alive(self):
        """How many the broker still holds."""
        there = []
        for one in self.open:
            if self._is_there(one):
                there.append(one)
            else:
                one.close()
        self.open = there
        return len(there)

    @staticmethod
    def _is_there(one):
        looks = select.poll()  # select() knows no descriptor above 1023
        looks.register(one, select.POLLIN)
        while looks.poll(0):
            try:
                one.settimeout(0)
                if not one.recv(65536):
                    return False
            except (ssl.SSLWantReadError, BlockingIOError):
                return True
            except OSError:
                return False
        return True

    def close(self):
        for one in self.open:
            one.close()
        self.open = []
