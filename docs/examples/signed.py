"""For device.py: strict JSON, signed envelopes, patches, HTTPS to a controller
that is known by the fingerprint of its authority.  Numbers in brackets are
sections of docs/internals/contracts.md."""
import base64
import bz2
import datetime
import hashlib
import hmac
import json
import os
import platform
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BUCKETS, LEAP, JUMP, DAY_MS = 1_000_000_000, 10_000, 1 << 32, 86_400_000
SUBJECT = {"freeze": "freeze", "unfreeze": "freeze", "config": "config", "groups": "groups",
           "prompts": "prompts",
           "deploy": "model", "rollback": "model", "remove": "model", "logs": "report",
           "doctor": "report", "pause": "rollout", "resume": "rollout", "abort": "rollout"}
ENDS = ("succeeded", "already-installed", "rejected", "failed", "cancelled", "superseded",
        "rolled-back")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,3}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HALF_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2  # of P-256
SIGNED = ec.ECDSA(hashes.SHA256())


class Refused(Exception):
    """The id of an error and a sentence."""
    def told(self):
        return dict(zip(("id", "what"), self.args))


# Errors that bad bytes of others raise.
WRONG = (Refused, ValueError, KeyError, TypeError, AttributeError, OverflowError, EOFError)


def known(error):
    return error if isinstance(error, Refused) else Refused("meta.schema", repr(error))


def now_ms():
    return time.time_ns() // 1_000_000


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def contents(path, how="r"):
    with open(path, how) as file:
        return file.read()


def checked(data, digest):
    if digest_of(data) != digest:
        raise Refused("target.hash", "other bytes than %s" % digest)
    return data


def parsed(text):
    """Strict JSON: a key stands once, and `crit_` begins what a reader must know."""
    def members(pairs):
        if len(dict(pairs)) != len(pairs) or any(key.startswith("crit_") for key, _ in pairs):
            raise Refused("meta.schema", "a key that stands twice or is not known")
        return dict(pairs)
    return json.loads(text, object_pairs_hook=members)


def write(path, data):
    """Whole or not at all, and for this user alone."""
    with open(path + ".new", "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as out:
        out.write(data if isinstance(data, bytes) else data.encode())
        os.fsync(out.flush() or out.fileno())
    os.replace(path + ".new", path)


def key_id(key):
    return digest_of(key.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo))[7:]


def keys_of(pems):
    return {key_id(key): key for key in (ser.load_pem_public_key(pem.encode()) for pem in pems)}


def opened(envelope, kind, keys, need=1, revoked=()):
    """The body of a DSSE envelope that so many of these keys signed (2).  The
    signature covers the kind, so a document of another kind fails here."""
    kind, good = b"application/vnd.flotilla.%s+json" % kind.encode(), set()
    body = base64.b64decode(envelope["payload"], validate=True)
    text = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    for one in envelope["signatures"]:
        raw, name = base64.b64decode(one["sig"], validate=True), one["keyid"]
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        if len(raw) != 64 or s > HALF_N:
            raise Refused("sig.format", "a signature has not its one right form")
        if name in revoked:
            raise Refused("sig.revoked_key", "key %.8s is revoked" % name)
        try:
            if name in keys:
                keys[name].verify(utils.encode_dss_signature(r, s), text, SIGNED)
                good.add(name)
        except InvalidSignature:
            raise Refused("sig.bad", "key %.8s did not sign this" % name) from None
    if len(good) < need:
        raise Refused("sig.unknown_key" if need == 1 else "trust.threshold",
                      "%d of %d keys signed" % (len(good), need))
    return body


def patched(base, patch, size):
    """The file that a patch of bsdiff 4.3 makes: three streams behind a head of
    32 bytes (10)."""
    def number(raw):
        value = int.from_bytes(raw, "little")
        return value if value < 1 << 63 else (1 << 63) - value
    first, second = 32 + number(patch[8:16]), number(patch[16:24])
    steps, diff, extra = (bz2.decompress(part) for part in (
        patch[32:first], patch[first:first + second], patch[first + second:]))
    out, at, used, taken = bytearray(), 0, 0, 0
    for place in range(0, len(steps), 24):
        add, copy, seek = (number(steps[place + k:place + k + 8]) for k in (0, 8, 16))
        if min(add, copy, at) < 0 or at + add > len(base) or len(out) + add + copy > size:
            raise Refused("patch.bounds", "step %d" % (place // 24))
        out += bytes((a + b) & 255 for a, b in zip(diff[used:used + add], base[at:at + add]))
        out += extra[taken:taken + copy]
        used, taken, at = used + add, taken + copy, at + add + seek
    return bytes(out)


def request(url, context, path, body=None):
    """The answer of the controller, or its problem document as an error (8)."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url + path, body and compact(
            body).encode(), {"Content-Type": "application/json"}), timeout=60, context=context)
    except urllib.error.HTTPError as error:
        raise Refused(parsed(error.read())["code"], path) from None


def pems_of(text):
    return ["-----BEGIN" + part for part in text.split("-----BEGIN")[1:]]


def certified(url, context, path, body, device=None, believed=""):
    """A new key, and the answer with its certificate; the answer and both in one
    text (7.1).  With `believed`, PEMs, one of these must have signed it."""
    pems = pems_of(believed)
    if pems:
        body["authorities"] = [digest_of(ssl.PEM_cert_to_DER_cert(pem))[7:23] for pem in pems]
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    given = parsed(request(url, context, path, {
        **body, "csr": csr.public_bytes(ser.Encoding.PEM).decode()}).read())
    cert = x509.load_pem_x509_certificate(given["certificate"].encode())
    if key_id(cert.public_key()) != key_id(key.public_key()) or cert.subject.rfc4514_string() != "CN=" + (
            device or given["device"]):
        raise Refused("net.tls", "a certificate of another device or key")
    for issuer in (x509.load_pem_x509_certificate(pem.encode()) for pem in pems):
        if issuer.subject == cert.issuer:
            issuer.public_key().verify(cert.signature, cert.tbs_certificate_bytes, SIGNED)
            break
    else:
        if pems:
            raise Refused("net.tls", "a certificate of an authority that is not known")
    return given, given["certificate"] + key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()).decode()


def pinned(url, fingerprint):
    """The authority in the server's chain that the token names (7)."""
    where, blind = urllib.parse.urlsplit(url), ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with blind.wrap_socket(socket.create_connection((where.hostname, where.port), 60)) as tls:
        chain = getattr(tls, "_sslobj", tls).get_unverified_chain()  # public since Python 3.13
    for one in chain:
        pem = ssl.DER_cert_to_PEM_cert(one) if isinstance(one, bytes) else one.public_bytes()
        if digest_of(ssl.PEM_cert_to_DER_cert(pem))[7:39] == fingerprint:
            return pem
    raise Refused("net.tls", "nobody in the chain has the token's fingerprint")


def identity(text):
    """Key, serial number, begin and end, from the text of certificate and key."""
    cert = x509.load_pem_x509_certificate(text.encode())
    key = ser.load_pem_private_key(text[text.index("-----BEGIN EC"):].encode(), None)
    return key, "%x" % cert.serial_number, *(
        int(at.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
        for at in (cert.not_valid_before, cert.not_valid_after))


def prover(key, order_key):
    """A function that ends a message with its proof (3): by this key of a device,
    to the controller with this order key."""
    controller, device = key_id(order_key), key_id(key.public_key())
    secret = HKDF(hashes.SHA256(), 32, None, b"flotilla proof 1 %s %s" % (
        controller.encode(), device.encode())).derive(key.exchange(ec.ECDH(), order_key))

    def prove(topic, message, number):
        text, head = message[:-1], "%.8s.%.16s.%014x." % (controller, device, number)
        code = hmac.new(secret, "\n".join((topic, head, text)).encode(), "sha256")
        return '%s,"proof":"%s%s"}' % (text, head, code.hexdigest()[:32])
    return prove


def bucket_of(salt, device):
    """Where a phase looks for a device (1)."""
    return int(digest_of(("%s\0%s" % (salt, device)).encode())[7:23], 16) % BUCKETS


def covers(scope, device, groups):
    """Is an order for this device (2.2)?"""
    if "device" in scope:
        return scope["device"] == device
    first, end = scope.get("buckets", (0, BUCKETS))
    return scope["group"] in ["all", *groups] and \
        first <= bucket_of(scope.get("salt", ""), device) < end


def first_statement(envelope, fleet):
    """The trust statement of an enrolment, which is believed, and its body (2.3)."""
    body = base64.b64decode(envelope["payload"])
    new = parsed(body)
    opened(envelope, "trust.v1", keys_of(new["root"]["keys"]), new["root"]["threshold"])
    if new["fleet"] != fleet:
        raise Refused("meta.schema", "trust of the fleet %s" % new["fleet"])
    return new, body


def successor(envelope, held, held_digest):
    """Trust statement N + 1, signed by the root keys of N and by its own (2.3);
    None when another one is to come first, or came."""
    body = base64.b64decode(envelope["payload"])
    new = parsed(body)
    if new["number"] == held["number"] and digest_of(body) != held_digest:
        raise Refused("meta.equivocation", "two statements %d" % new["number"])
    if new["number"] != held["number"] + 1:
        return None
    for one in (held, new):
        opened(envelope, "trust.v1", keys_of(one["root"]["keys"]), one["root"]["threshold"])
    old, kept = ({k["pem"] for k in one["keys"] if k["role"] in ("order", "emergency")}
                 for one in (held, new))
    steps = (1,) if old - kept else (0, 1)
    if new["fleet"] != held["fleet"] or new["epoch"] - held["epoch"] not in steps:
        raise Refused("trust.epoch", "epoch %d after %d" % (new["epoch"], held["epoch"]))
    return new


def release_of(text, order, fleet, keys, revoked):
    """The signed document of the release that an order names (2.1)."""
    body = opened(parsed(text), "release.v2", keys, 1, revoked)
    told = parsed(body)
    if digest_of(body) != order["release"] or told["fleet"] != fleet or any(
            told[word] != order[word] for word in ("model", "version", "number")):
        raise Refused("meta.schema", "the document is not the release of the order")
    return told


def files_for(told, runtime):
    """The files of a release's first variant that fits here (2.1)."""
    arch = platform.machine()
    for variant in told["variants"]:
        needs = variant.get("needs", {})
        if needs.get("runtime", "native") == runtime and arch in needs.get("arch", [arch]) \
                and not needs.get("accelerator"):
            files = [f for f in told["files"] if f["name"] in variant["files"]]
            if any(not FILE.fullmatch(f["name"]) or not DIGEST.fullmatch(f["digest"]) for f in files):
                raise Refused("meta.name", "a name that would lead out of the folder")
            return files
    raise Refused("target.incompatible", "no variant fits this device")


def ways_to(file, is_here):
    """Deltas of files that are here, then the whole file; other codecs are passed over."""
    usable = [w for w in file["get"] if DIGEST.fullmatch(w["digest"]) and (
        w["codec"] == "raw" or w["codec"] == "bsdiff40" and is_here(w["base"]))]
    return sorted(usable, key=lambda way: "base" not in way)


def refusal(order, top, epoch, now):
    """Why an order that a trusted key signed is not looked at (2.2), or None."""
    return "cmd.format" if order["op"] not in SUBJECT or order["seq"] > top + JUMP or \
        not NAME.fullmatch(order["args"].get("model", "none")) else \
        "cmd.epoch" if order["epoch"] != epoch else \
        "cmd.expired" if order["expires_at_ms"] < now else \
        "cmd.future" if order["issued_at_ms"] > now + DAY_MS else None
