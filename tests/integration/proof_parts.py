"""A device's proof of its messages (proto/proof.h), made without our code."""
import hashlib
import hmac
import itertools
import subprocess
import tempfile

import waits

NUMBERS = itertools.count(waits.wall_ms() << 10)  # grows from run to run


def key_id(public):
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"],
                         input=public.encode(), check=True,
                         capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


class Prover:
    """The device with this key file proves to the controller with this order
    key, PEM."""

    def __init__(self, key_file, order_key):
        public = subprocess.run(["openssl", "pkey", "-in", key_file, "-pubout"],
                                check=True, capture_output=True).stdout.decode()
        with tempfile.NamedTemporaryFile("w") as other:
            other.write(order_key)
            other.flush()
            shared = subprocess.run(
                ["openssl", "pkeyutl", "-derive", "-inkey", key_file,
                 "-peerkey", other.name], check=True,
                capture_output=True).stdout
        controller, device = key_id(order_key), key_id(public)
        drawn = hmac.new(bytes(32), shared, hashlib.sha256).digest()
        purpose = "flotilla proof 1 %s %s" % (controller, device)
        self.secret = hmac.new(drawn, purpose.encode() + b"\1",
                               hashlib.sha256).digest()
        self.ids = "%s.%s." % (controller[:8], device[:16])

    def prove(self, topic, payload, number=None):
        """The message with its proof; what is no JSON object stays."""
        raw = payload if isinstance(payload, bytes) else payload.encode()
        if not raw.endswith(b"}") or len(raw) < 3:
            return raw
        head = self.ids + "%014x." % (number or next(NUMBERS))
        code = hmac.new(self.secret, topic.encode() + b"\n" + head.encode() +
                        b"\n" + raw[:-1], hashlib.sha256).hexdigest()[:32]
        return raw[:-1] + b',"proof":"%s%s"}' % (head.encode(), code.encode())
