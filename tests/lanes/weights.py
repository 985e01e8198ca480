#!/usr/bin/env python3
"""Damaged models whose files are valid: a scale, a layer or a fact is wrong.

usage: weights.py MODEL OUT scale TENSOR FACTOR | swap LAYER LAYER | rope FACTOR | template
Signatures, formats and the search for NaN pass such a file; golden prompts must not."""
import os
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from bad_files import Gguf  # noqa: E402

# type: bytes and values of a block, and the scales in it: offset and form
BLOCKS = {0: (4, 1, ((0, "f"),)), 1: (2, 1, ((0, "e"),)),  # F32, F16
          2: (18, 32, ((0, "e"),)), 3: (20, 32, ((0, "e"), (2, "e"))),  # Q4_0, Q4_1
          6: (22, 32, ((0, "e"),)), 7: (24, 32, ((0, "e"), (2, "e"))),  # Q5_0, Q5_1
          8: (34, 32, ((0, "e"),)),  # Q8_0
          12: (144, 256, ((0, "e"), (2, "e"))),  # Q4_K
          13: (176, 256, ((0, "e"), (2, "e"))),  # Q5_K
          14: (210, 256, ((208, "e"),))}  # Q6_K
TEMPLATE = ("{% for message in messages %}### {{ message['role'] }}:\n{{ message['content'] }}\n"
            "{% endfor %}### answer:\n")


class Model:
    def __init__(self, path):
        self.file = Gguf(path)
        alignment = self.file.keys.get("general.alignment")
        self.alignment = 32 if alignment is None else self.number(alignment[2], "<I")
        self.begin = self.aligned(self.file.head)
        self.layers = 1 + max(int(name.split(".")[1]) for name in self.file.tensors
                              if name.startswith("blk."))

    def number(self, at, form):
        return struct.unpack_from(form, self.file.data, at)[0]

    def aligned(self, at):
        return -(-at // self.alignment) * self.alignment

    def scaled(self, name, factor):
        """The bytes with all values of a tensor times `factor`."""
        fields = self.file.tensors[name]
        values = 1
        for i in range(self.number(fields["dims"], "<I")):
            values *= self.number(fields["shape"] + 8 * i, "<Q")
        size, per_block, scales = BLOCKS[self.number(fields["type"], "<I")]
        begin = self.begin + self.number(fields["offset"], "<Q")
        data = bytearray(self.file.data)
        for at, form in scales:
            form = "<" + form
            for block in range(begin + at, begin + values // per_block * size, size):
                struct.pack_into(form, data, block, struct.unpack_from(form, data, block)[0] * factor)
        return bytes(data)

    def swapped(self, one, other):
        """The bytes with the weights of two layers exchanged."""
        data = bytearray(self.file.data)
        tensors = self.file.tensors
        for name in tensors:
            if name.startswith("blk.%d." % one):
                twin = name.replace("blk.%d." % one, "blk.%d." % other)
                for field, bytes_ in (("type", 4), ("offset", 8)):
                    a, b = tensors[name][field], tensors[twin][field]
                    data[a:a + bytes_], data[b:b + bytes_] = data[b:b + bytes_], data[a:a + bytes_]
        return bytes(data)

    def with_value(self, key, kind, value):
        """The bytes with this value of a key, which is added if it is not there."""
        data, pairs = self.file.data, self.number(16, "<Q")
        new = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value
        if key in self.file.keys:
            begin, kind_at, at = self.file.keys[key]
            self.file.at = at
            self.file.skip(self.number(kind_at, "<I"))
            end = self.file.at
        else:
            begin = end = min(fields["name"] for fields in self.file.tensors.values())
            pairs += 1
        head = data[:16] + struct.pack("<Q", pairs) + data[24:begin] + new + data[end:self.file.head]
        return head + bytes(self.aligned(len(head)) - len(head)) + data[self.begin:]

    def roped(self, factor):
        """The bytes with another base of the rotation."""
        key = next((k for k in self.file.keys if k.endswith(".rope.freq_base")), None)
        base = 10000.0 if key is None else self.number(self.file.keys[key][2], "<f")
        return self.with_value(key or "llama.rope.freq_base", 6, struct.pack("<f", base * factor))

    def templated(self):
        """The bytes with the chat template of another model."""
        text = TEMPLATE.encode()
        return self.with_value("tokenizer.chat_template", 8, struct.pack("<Q", len(text)) + text)


def main():
    model, out, what, words = Model(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    make = {"scale": lambda: model.scaled(words[0], float(words[1])),
            "swap": lambda: model.swapped(int(words[0]), int(words[1])),
            "rope": lambda: model.roped(float(words[0])), "template": model.templated}[what]
    with open(out, "wb") as file:
        file.write(make())


if __name__ == "__main__":
    main()
