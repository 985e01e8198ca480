#!/usr/bin/env python3
"""A decoder of tensor1 patches, by docs/internals/delta.md.

  tensor1.py OLD PATCH NEW"""
import ctypes
import hashlib
import struct
import sys
from coder import Broken
from blocks import TYPES
from group import Group

MIB = 1 << 20


ZSTD = ctypes.CDLL("libzstd.so.1")
ZSTD.ZSTD_createDCtx.restype = ctypes.c_void_p
ZSTD.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
ZSTD.ZSTD_DCtx_refPrefix.argtypes = [ctypes.c_void_p, ctypes.c_char_p,
                                     ctypes.c_size_t]
ZSTD.ZSTD_DCtx_refPrefix.restype = ctypes.c_size_t
ZSTD.ZSTD_decompressDCtx.argtypes = [ctypes.c_void_p, ctypes.c_char_p,
                                     ctypes.c_size_t, ctypes.c_char_p,
                                     ctypes.c_size_t]
ZSTD.ZSTD_decompressDCtx.restype = ctypes.c_size_t
ZSTD.ZSTD_isError.argtypes = [ctypes.c_size_t]


def unzstd(frame, most, prefix=None):
    """One frame of at most so many bytes, by libzstd."""
    out = ctypes.create_string_buffer(max(most, 1))
    context = ZSTD.ZSTD_createDCtx()
    try:
        if prefix:
            ZSTD.ZSTD_DCtx_refPrefix(context, prefix, len(prefix))
        got = ZSTD.ZSTD_decompressDCtx(context, out, most, frame, len(frame))
    finally:
        ZSTD.ZSTD_freeDCtx(context)
    if ZSTD.ZSTD_isError(got):
        raise Broken("a zstd frame is damaged")
    return out.raw[:got]


class Index:
    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        if self.at >= len(self.data):
            raise Broken("the index ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value = 0
        for i in range(9):
            byte = self.byte()
            value |= (byte & 127) << 7 * i
            if byte < 128:
                return value
        raise Broken("a number of more than nine bytes")

    def move(self):
        n = self.number()
        return n >> 1 ^ -(n & 1)


def part_of(index):
    part = {"op": index.byte(), "payload": 0, "old": 0}
    op = part["op"]
    if op in (0, 1, 2, 3):
        part["new"] = index.number()
        if op == 0:
            part["old"], part["move"] = part["new"], index.move()
        if op == 2:
            part["payload"] = part["new"]
        if op == 3:
            part["move"] = index.move()
            part["old"], part["payload"] = index.number(), index.number()
    elif op in (4, 5, 6):
        part["types"] = index.byte(), index.byte()
        part["columns"], part["values"] = index.number(), index.number()
        part["move"] = index.move()
        if op != 5:
            part["payload"] = index.number()
        if any(t not in TYPES for t in part["types"]):
            raise Broken("an unknown type")
        a, b = (TYPES[t] for t in part["types"])
        if part["values"] % a.values or part["values"] % b.values:
            raise Broken("values that are no blocks")
        if 1 in (a.size, b.size) and a is not b:
            raise Broken("integers of another type")
        part["old"] = part["values"] // a.values * a.size
        part["new"] = part["values"] // b.values * b.size
    else:
        raise Broken("an unknown op")
    return part


def short(data):
    return hashlib.sha256(data).digest()[:16]


def decode(old, patch, seen=None):
    """The new bytes; counts typed parts in seen by op and types."""
    head = struct.unpack_from("<8sHHIQQ32s32sIIII32s16s", patch)
    (magic, form, predictor, flags, old_bytes, new_bytes, old_sum, new_sum,
     _, count, index_bytes, packed_bytes, index_sum, own) = head
    if magic != b"FLTPD\r\n\x1a" or (form, flags) != (1, 0) or \
            predictor not in (1, 2, 3) or own != short(patch[:144]):
        raise Broken("the head")
    if len(old) != old_bytes or hashlib.sha256(old).digest() != old_sum:
        raise Broken("another old file")
    packed = patch[160:160 + packed_bytes]
    if hashlib.sha256(packed).digest() != index_sum or index_bytes > MIB:
        raise Broken("the index")
    plain = packed if packed_bytes == index_bytes else unzstd(packed, MIB)
    if len(plain) != index_bytes:
        raise Broken("the index's length")
    index = Index(plain)
    parts = [part_of(index) for _ in range(count)]
    at, payload_at, new, group = 0, 160 + packed_bytes, [], None
    for number, part in enumerate(parts):
        op = part["op"]
        hashed = op >= 2
        if hashed:
            result_sum = plain[index.at:index.at + 16]
            index.at += 16
        if op in (3, 4, 6):
            payload_sum = plain[index.at:index.at + 16]
            index.at += 16
        source = b""
        if part["old"]:
            at += part["move"]
            source = old[at:at + part["old"]]
            if at < 0 or len(source) != part["old"]:
                raise Broken("old bytes outside the file")
            at += part["old"]
        payload = patch[payload_at:payload_at + part["payload"]]
        payload_at += part["payload"]
        if op in (3, 4, 6) and short(payload) != payload_sum:
            raise Broken("a payload's hash")
        if op in (2, 3, 4, 6) and group:
            group.coder.end()
            group = None
        if op == 0:
            data = source
        elif op == 1:
            data = bytes(part["new"])
        elif op == 2:
            data = payload
        elif op == 3:
            data = unzstd(payload, part["new"], source)
        else:
            if op != 5:
                group = Group(payload)
                group.followed = op == 6
            if group is None:
                raise Broken("a part goes on in no group")
            if seen is not None:
                seen[(op, *part["types"])] += 1
            data = group.part(*part["types"], part["columns"], part["values"],
                              source, group.followed)
        if hashed and short(data) != result_sum:
            raise Broken("part %d of op %d %s: not the bytes" % (
                number, op, part.get("types")))
        new.append(data)
    if group:
        group.coder.end()
    new = b"".join(new)
    if index.at != len(plain) or payload_at != len(patch):
        raise Broken("bytes that nothing reads")
    if len(new) != new_bytes or hashlib.sha256(new).digest() != new_sum:
        raise Broken("another new file")
    return new


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    with open(sys.argv[1], "rb") as old, open(sys.argv[2], "rb") as patch:
        new = decode(old.read(), patch.read())
    with open(sys.argv[3], "wb") as out:
        out.write(new)


if __name__ == "__main__":
    main()
