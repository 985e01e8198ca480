"""A llama model (F32 and Q4_0) as a qwen2 model that gives the same answers.

llama turns values 2i and 2i + 1 of a head, qwen2 i and i + n / 2: the rows of
queries and keys change places.  qwen2 also has biases; here they are zero.
"""
import re
import struct

from bad_files import Gguf

F32, Q4_0 = 0, 2


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def padded(data):
    return data + bytes(-len(data) % 32)


def turned(data, head_size, row_bytes):
    """Rows 0 2 4 … 1 3 5 … of each head."""
    rows = [data[at:at + row_bytes] for at in range(0, len(data), row_bytes)]
    return b"".join(
        b"".join(rows[at:at + head_size:2] + rows[at + 1:at + head_size:2])
        for at in range(0, len(rows), head_size))


def keys_of(gguf):
    ends = sorted(begin for begin, _, _ in gguf.keys.values())[1:]
    ends.append(min(t["name"] for t in gguf.tensors.values()))
    for (name, (begin, kind_at, _)), end in zip(gguf.keys.items(), ends):
        value = gguf.data[kind_at:end]
        if name == "general.architecture":
            value = struct.pack("<I", 8) + text("qwen2")
        yield text(re.sub("^llama", "qwen2", name)) + value


def tensors_of(gguf):
    """name, shape, type, bytes"""
    first = gguf.head + -gguf.head % 32
    rope_at = gguf.keys["llama.rope.dimension_count"][2]
    head_size = struct.unpack_from("<I", gguf.data, rope_at)[0]
    for name, at in gguf.tensors.items():
        dims = struct.unpack_from("<I", gguf.data, at["dims"])[0]
        shape = struct.unpack_from("<%dQ" % dims, gguf.data, at["shape"])
        kind, offset = struct.unpack_from("<IQ", gguf.data, at["type"])
        row_bytes = {F32: shape[0] * 4, Q4_0: shape[0] // 32 * 18}[kind]
        rows = shape[1] if dims > 1 else 1
        data = gguf.data[first + offset:first + offset + rows * row_bytes]
        found = re.match(r"(.*attn_([qkv]))\.weight", name)
        if found and found.group(2) != "v":
            data = turned(data, head_size, row_bytes)
        yield name, shape, kind, data
        if found:
            yield found.group(1) + ".bias", (rows,), F32, bytes(4 * rows)


def qwen2(path):
    gguf = Gguf(path)
    keys, tensors = list(keys_of(gguf)), list(tensors_of(gguf))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(keys)
    body = b""
    for name, shape, kind, data in tensors:
        head += text(name) + struct.pack(
            "<I%dQIQ" % len(shape), len(shape), *shape, kind, len(body))
        body += padded(data)
    return padded(head) + body
