"""Damaged files made from good ones: models, patches, bundles, documents.

Each maker changes one thing, so that the error that comes back must be about
that thing.  Standard library only; signatures by openssl.
"""
import bz2
import io
import struct
import tarfile


class Gguf:
    """Where the fields of a GGUF v3 file lie, to overwrite one of them."""

    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8,
             12: 8}

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 8
        self.keys, self.tensors = {}, {}
        tensors, pairs = self.u64(), self.u64()
        for _ in range(pairs):
            begin = self.at
            name = self.text()
            kind_at = self.at
            kind = self.u32()
            self.keys[name] = (begin, kind_at, self.at)
            self.skip(kind)
        for _ in range(tensors):
            begin = self.at
            name = self.text()
            dims_at = self.at
            dims = self.u32()
            shape_at = self.at
            self.at += 8 * dims
            self.tensors[name] = {"name": begin, "dims": dims_at,
                                  "shape": shape_at, "type": self.at,
                                  "offset": self.at + 4}
            self.at += 12
        self.head = self.at

    def u32(self):
        self.at += 4
        return struct.unpack_from("<I", self.data, self.at - 4)[0]

    def u64(self):
        self.at += 8
        return struct.unpack_from("<Q", self.data, self.at - 8)[0]

    def text(self):
        chars = self.u64()
        self.at += chars
        return self.data[self.at - chars:self.at].decode("utf-8", "replace")

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            kind, count = self.u32(), self.u64()
            if kind == 8:
                for _ in range(count):
                    self.text()
            else:
                self.at += self.SIZES[kind] * count
        else:
            self.at += self.SIZES[kind]

    def put(self, at, form, *values):
        """The file with these bytes at `at`."""
        new = form if isinstance(form, bytes) else struct.pack(form, *values)
        return self.data[:at] + new + self.data[at + len(new):]

    def value(self, key, form, value):
        return self.put(self.keys[key][2], form, value)

    def kind(self, key, kind):
        return self.put(self.keys[key][1], "<I", kind)

    def shape(self, tensor, index, value):
        return self.put(self.tensors[tensor]["shape"] + 8 * index, "<Q", value)

    def field(self, tensor, field, form, value):
        return self.put(self.tensors[tensor][field], form, value)

    def rename(self, table, old, new):
        at = table[old]["name"] if isinstance(table[old], dict) \
            else table[old][0]
        assert len(old) == len(new)
        return self.put(at + 8, new if isinstance(new, bytes)
                        else new.encode())


def bad_models(path):
    """(row of bad-inputs.csv, id or its beginning, bytes) of each model."""
    g = Gguf(path)
    norm, gate = "blk.0.attn_norm.weight", "blk.0.ffn_gate.weight"
    tokens = g.keys["tokenizer.ggml.tokens"][2]
    yield "GG01 magic", "gguf.magic", g.put(0, b"GGML")
    for version in (0, 1, 4):
        yield "GG02 version %d" % version, "gguf.version", \
            g.put(4, "<I", version)
    yield "GG02 big-endian", "gguf.version", g.put(4, ">I", 3)
    yield "GG03 tensors", "gguf.limit", g.put(8, "<Q", 2 ** 63 - 1)
    yield "GG03 pairs", "gguf.limit", g.put(16, "<Q", 2 ** 64 - 1)
    yield "GG05 array wraps", "gguf.bounds", g.put(tokens + 4, "<Q", 2 ** 61 + 1)
    yield "GG06 5 dims", "gguf.tensor_shape", g.field(gate, "dims", "<I", 5)
    yield "GG06 2^31 dims", "gguf.tensor_shape", \
        g.field(gate, "dims", "<I", 2 ** 31)
    yield "GG08 size wraps", "gguf.tensor_shape", \
        g.shape(norm, 0, 2 ** 62 - 1)
    yield "GG09 half a block", "gguf.tensor_shape", g.shape(gate, 0, 250)
    yield "GG11 offset beyond", "gguf.bounds", \
        g.field(gate, "offset", "<Q", 2 ** 40)
    yield "GG11 offset overlaps", "gguf.bounds", \
        g.field(gate, "offset", "<Q", 0)
    yield "GG11 offset not aligned", "gguf.bounds", \
        g.field(norm, "offset", "<Q", 1)
    yield "GG12 zero dimension", "gguf.tensor_shape", g.shape(gate, 1, 0)
    yield "GG12 negative dimension", "gguf.tensor_shape", \
        g.shape(gate, 1, 2 ** 64 - 1)
    for kind in (255, 4):
        yield "GG14 type %d" % kind, "gguf.type", \
            g.field(gate, "type", "<I", kind)
    yield "GG15 value type 13", "gguf.type", g.kind("general.name", 13)
    yield "GG15 array of arrays", "gguf.type", g.put(tokens, "<I", 9)
    for value in (2, 7, 255):
        yield "a bool of %d" % value, "gguf.type", \
            g.value("tokenizer.ggml.add_bos_token", "<B", value)
    yield "GG17 two tensors", "gguf.dup", \
        g.rename(g.tensors, "blk.1.attn_norm.weight", norm)
    yield "GG17 two keys", "gguf.dup", two_keys(g)
    yield "GG18 NUL in a name", "gguf.name", g.rename(
        g.tensors, norm, norm[:3] + "\0" + norm[4:])
    yield "GG18 long name", "gguf.name", \
        g.put(g.tensors[norm]["name"], "<Q", 200)
    yield "GG20 token of 100 MiB", "gguf.bounds", \
        g.put(tokens + 12, "<Q", 100 << 20)
    yield "GG20 BOS -1", "gguf.vocab", \
        g.value("tokenizer.ggml.bos_token_id", "<I", 2 ** 32 - 1)
    for value in (0.0, -1.0, float("nan"), float("inf")):
        yield "GG24 eps %r" % value, "gguf.hparam", \
            g.value("llama.attention.layer_norm_rms_epsilon", "<f", value)
    if "llama.rope.freq_base" in g.keys:
        for value in (0.0, float("inf")):
            yield "GG24 rope base %r" % value, "gguf.hparam", \
                g.value("llama.rope.freq_base", "<f", value)
    yield "GG26 other shape", "gguf.tensor_shape", g.shape(norm, 0, 128)
    yield "GG26 heads", "gguf.", \
        g.value("llama.attention.head_count", "<I", 7)
    yield "GG27 missing tensor", "gguf.missing", \
        g.rename(g.tensors, "output_norm.weight", "xutput_norm.weight")


def two_keys(g):
    """Two keys of equal length get one name."""
    names = list(g.keys)
    for one in names:
        for two in names:
            if one < two and len(one) == len(two):
                return g.rename(g.keys, two, one)
    raise AssertionError("no two keys of one length")


# ---- patches ----

def offset(value):
    """bsdiff's number: little-endian magnitude, sign in the last bit."""
    return struct.pack("<Q", abs(value) | ((1 << 63) if value < 0 else 0))


def bsdiff(triples, diff, extra, new_bytes, claimed=None):
    """A BSDIFF40 file; `claimed` are other lengths for its head."""
    control = bz2.compress(b"".join(offset(n) for t in triples for n in t))
    diff = bz2.compress(diff)
    head = [len(control), len(diff), new_bytes]
    for i, value in enumerate(claimed or ()):
        head[i] = head[i] if value is None else value
    return (b"BSDIFF40" + b"".join(offset(n) for n in head) + control + diff +
            bz2.compress(extra))


def bad_patches(old, good):
    """(row, id or its beginning, bytes); `good` fits `old`."""
    yield "PA02 seek below zero", "patch.bounds", bsdiff(
        [(8, 0, -100), (8, 0, 0)], b"\0" * 16, b"", 16)
    yield "PA02 read behind the base", "patch.bounds", bsdiff(
        [(8, 0, len(old)), (8, 0, 0)], b"\0" * 16, b"", 16)
    yield "PA02 negative length", "patch.bounds", bsdiff(
        [(-8, 16, 0)], b"", b"x" * 16, 16)
    big = 2 ** 63 - 1
    yield "PA03 sums overflow", "patch.bounds", bsdiff(
        [(big, big, big), (1, 1, big)], b"\0" * 16, b"x" * 16, 16)
    yield "PA03 lengths of the head overflow", "patch.bounds", bsdiff(
        [(16, 0, 0)], b"\0" * 16, b"", 16, (big, big, None))
    yield "PA05 new size 2^62", "patch.", bsdiff(
        [(16, 0, 0)], b"\0" * 16, b"", 2 ** 62)
    yield "PA05 new size negative", "patch.", bsdiff(
        [(16, 0, 0)], b"\0" * 16, b"", -5)
    yield "PA06 nothing to write, blocks full", "patch.bounds", bsdiff(
        [(16, 0, 0)], b"\0" * 16, b"", 0)
    yield "more than declared", "patch.", bsdiff(
        [(16, 16, 0)], b"\0" * 16, b"x" * 16, 20)
    yield "bytes behind the end", "patch.", good + b"x"
    half = len(good) // 2
    yield "PA11 stream damaged", "patch.", \
        good[:half] + bytes(b ^ 0x55 for b in good[half:half + 64]) + \
        good[half + 64:]
    yield "no patch", "patch.format", b"GGUF" + good[4:]
    for cut in list(range(32)):
        yield "PA12 %d bytes" % cut, ("patch.truncated", "patch.format"), \
            good[:cut]
    for part in range(1, 12):
        yield "truncated %d/12" % part, "patch.", \
            good[:max(33, len(good) * part // 12)]


# ---- bundles ----

def entries(path):
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar]


def tar_of(parts):
    """parts: (name, bytes) or a TarInfo with its bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in parts:
            info = name
            if not isinstance(name, tarfile.TarInfo):
                info = tarfile.TarInfo(name)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def bad_bundles(path):
    good = [entry for entry in entries(path) if entry[0] != "trust.json"]
    (first, document), blobs = good[0], good[1:]
    name, data = blobs[0]
    raw = tar_of(good)
    yield "BU01 parent folder", "bundle.path", tar_of(
        good + [("../../outside", b"x")])
    yield "BU02 absolute path", "bundle.path", tar_of(
        good + [("/tmp/flotilla-bad-input", b"x")])
    yield "BU03 symlink", "bundle.entry_type", tar_of(
        good[:1] + [(special(name, tarfile.SYMTYPE, "/tmp"), b"")] + good[1:])
    yield "BU03 hard link", "bundle.entry_type", tar_of(
        good[:1] + [(special(name, tarfile.LNKTYPE, "/etc/passwd"), b"")])
    for what, kind in (("fifo", tarfile.FIFOTYPE), ("device", tarfile.CHRTYPE),
                       ("folder", tarfile.DIRTYPE)):
        yield "BU05 " + what, "bundle.entry_type", tar_of(
            good[:1] + [(special(name, kind), b"")] + good[1:])
    setuid = tarfile.TarInfo(name)
    setuid.size, setuid.mode = len(data), 0o4755
    yield "BU05 setuid", "bundle.", tar_of(
        good[:1] + [(setuid, data)] + blobs[1:])
    yield "BU06 one name twice", "bundle.duplicate", tar_of(
        good + [(name, b"y" * len(data))])
    yield "BU08 a file is absent", "bundle.missing", tar_of(good[:-1])
    yield "BU08 empty", "bundle.", tar_of([])
    yield "BU09 document later", "bundle.order", tar_of(blobs + good[:1])
    yield "BU11 an entry larger than signed", "bundle.", tar_of(
        good[:1] + [(name, data + b"z" * 4096)] + blobs[1:])
    yield "entry smaller than signed", ("bundle.", "target.hash"), tar_of(
        good[:1] + [(name, data[:-512])] + blobs[1:])
    for part in (3, 5, 7):
        yield "BU14 cut %d/8" % part, "bundle.truncated", \
            raw[:len(raw) * part // 8]
    huge = bytearray(raw)
    at = 512 + (len(document) + 511) // 512 * 512 + 124
    huge[at:at + 12] = b"\xff" * 12
    yield "BU15 size 2^63", "bundle.", bytes(huge)
    for what, bad in (("escape", "blobs/\x1b[31mred"),
                      ("newline", "blobs/a\nb"), ("rtl", "blobs/\u202eexe")):
        yield "BU17 " + what, "bundle.path", tar_of(good + [(bad, b"x")])
    yield "BU18 many entries", ("bundle.limit", "bundle.path"), tar_of(
        good + [("blobs/sha256-%064x" % i, b"") for i in range(400)])
    flipped = bytearray(data)
    flipped[len(flipped) // 2] ^= 1
    yield "a bit of an artifact", "target.hash", tar_of(
        good[:1] + [(name, bytes(flipped))] + blobs[1:])
    yield "not a tar", "bundle.format", b"GGUF" * 1000
    yield "nothing", "bundle.", b""
    assert first == "release.json"
