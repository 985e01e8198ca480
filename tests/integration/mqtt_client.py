"""A small MQTT 3.1.1 client for tests: TLS, QoS 0 and 1, a reading thread."""
import itertools
import select
import socket
import ssl
import struct
import sys
import threading

import waits


KEEPALIVE_S = 3000  # stories set the clock an hour on; less than the broker allows


def _text(value):
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


class Refused(Exception):
    """The broker said no, or closed the connection."""


class Client:
    def __init__(self, host, port, ca, cert=None, key=None, name="x",
                 will=None, prover=None, source="0.0.0.0"):
        self.prover = prover  # of a device's messages (proof_parts.py)
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(cert, key)
        plain = socket.create_connection((host, port), waits.HANG_S, (source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        # OpenSSL's object may not be read and written at the same time.
        self.io = threading.Lock()
        self.messages = []
        self.acks = {}
        self.lock = threading.Condition()
        self.numbers = itertools.count(2)
        self.closed, self.why = False, None
        self.reads = threading.Event()  # cleared: it takes no more in
        self.reads.set()
        flags, payload = 0x02, _text(name)
        if will:
            flags |= 0x04 | 0x08 | 0x20
            payload += _text(will[0]) + _text(will[1])
        try:  # with TLS 1.3 the refusal of a certificate comes after all this
            self._send(0x10, _text("MQTT") + bytes([4, flags]) +
                       struct.pack(">H", KEEPALIVE_S) + payload)
            kind, body = self._read()
        except (OSError, ssl.SSLError) as error:
            raise Refused(str(error)) from error
        if kind != 0x20 or body[1] != 0:
            raise Refused("connack %r" % (body,))
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _send(self, kind, body):
        length, head = len(body), bytearray([kind])
        while True:
            digit, length = length % 128, length // 128
            head.append(digit | (0x80 if length else 0))
            if not length:
                break
        with self.io:
            self.socket.sendall(bytes(head) + body)

    def _exact(self, count):
        data = b""
        while len(data) < count:
            with self.io:
                waiting = self.socket.pending()
            if not waiting:
                select.select([self.socket], [], [])
            with self.io:
                self.socket.setblocking(False)
                try:
                    piece = self.socket.recv(count - len(data))
                except ssl.SSLWantReadError:
                    continue
                finally:
                    self.socket.setblocking(True)
            if not piece:
                raise Refused("closed")
            data += piece
        return data

    def _read(self):
        kind, length, shift = self._exact(1)[0], 0, 0
        while True:
            digit = self._exact(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                return kind, self._exact(length) if length else b""

    def _loop(self):
        try:
            while True:
                self.reads.wait()
                kind, body = self._read()
                self._take(kind, body)
        except (OSError, Refused, ValueError) as error:
            self.why = error
            print("mqtt: connection ended: %r" % error, file=sys.stderr)
            with self.lock:
                self.closed = True
                self.lock.notify_all()

    def _take(self, kind, body):
        if kind & 0xF0 == 0x30:
            chars = struct.unpack(">H", body[:2])[0]
            topic, rest = body[2:2 + chars].decode(), body[2 + chars:]
            if kind & 0x06:
                self._send(0x40, rest[:2])
                rest = rest[2:]
            with self.lock:
                self.messages.append((topic, rest, bool(kind & 1)))
                self.lock.notify_all()
        elif kind & 0xF0 in (0x40, 0x90):
            with self.lock:
                self.acks[struct.unpack(">H", body[:2])[0]] = body[2:]
                self.lock.notify_all()

    def _await_ack(self, number):
        with self.lock:
            waits.notified(self.lock, "the broker's answer %d" % number,
                           lambda: number in self.acks or self.closed)
            if number not in self.acks:
                raise Refused("no answer: %r" % (self.why,))
            return self.acks.pop(number)

    def subscribe(self, topic):
        """Granted QoS, or 0x80."""
        number = next(self.numbers)
        self._send(0x82, struct.pack(">H", number) + _text(topic) + b"\x01")
        return self._await_ack(number)[0]

    def publish(self, topic, payload, retain=False, wait=True):
        number = next(self.numbers)
        raw = payload if isinstance(payload, bytes) else payload.encode()
        if self.prover is not None and "/d/" in topic:
            raw = self.prover.prove(topic, raw)
        self._send(0x32 | (1 if retain else 0),
                   _text(topic) + struct.pack(">H", number) + raw)
        if wait:
            self._await_ack(number)

    def wait(self, test):
        """First message (topic, payload, retained) that passes; None: the
        connection ended without it."""
        seen = 0

        def passes():
            nonlocal seen
            fresh, seen = self.messages[seen:], len(self.messages)
            return next((m for m in fresh if test(m)), None)

        with self.lock:
            found = waits.notified(self.lock, "a message that passes",
                                   lambda: passes() or self.closed,
                                   lambda: self.messages[-3:])
            return found if found is not True else None

    def wait_closed(self):
        with self.lock:
            return waits.notified(self.lock, "the broker hangs up",
                                  lambda: self.closed)

    def kill(self):
        """Vanish without goodbye: the last will is sent."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def close(self):
        try:
            self._send(0xE0, b"")
            self.socket.close()
        except OSError:
            pass
