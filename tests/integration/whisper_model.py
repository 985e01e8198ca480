"""A model for whisper.cpp that is made, not trained: it hears whether a tone is
low or high, and has a few words for each.

python3 whisper_model.py OUT LOW HIGH

LOW and HIGH are texts of at most 8 words.  The file has whisper.cpp's own
format with the least of everything: one layer, 32 numbers for each moment.
The encoder's convolutions compare the lower half of the spectrum with the
upper one.  The decoder's attention to it takes the mean of that, its
positions count the words, and all other weights are 0."""
import math
import struct
import sys

STATE, MELS, VOCAB, AUDIO, TEXT = 32, 80, 51864, 1500, 64
END, BINS = 50256, 201
WORDS, LOW, HIGH = 8, 16, 17  # dimensions: positions, then what was heard


def floats(values):
    return 0, struct.pack("<%df" % len(values), *values)


def halves(size, cells):
    """A matrix of zeros but in some places."""
    data = bytearray(2 * size)
    for place, value in cells.items():
        struct.pack_into("<e", data, 2 * place, value)
    return 1, bytes(data)


def tensors(low, high):
    def matrix(name, cells=None, columns=STATE, rows=STATE):
        yield name, (columns, rows), halves(rows * columns, cells or {})

    def row(name, values=None, size=STATE):
        yield name, (size,), floats(values or [0.0] * size)

    def norm(name, gain=1.0):
        yield from row(name + ".weight", [gain] * STATE)
        yield from row(name + ".bias")

    def attention(name, value=None, out=None):
        for part in "query", "key", "value", "out":
            yield from matrix("%s.%s.weight" % (name, part),
                              {"value": value, "out": out}.get(part))
            if part != "key":
                yield from row("%s.%s.bias" % (name, part))

    def block(name, has_cross):
        yield from norm(name + ".attn_ln")
        yield from attention(name + ".attn")
        if has_cross:
            yield from norm(name + ".cross_attn_ln")
            # The sound: the difference of channels 0 and 1, and its
            # opposite.
            yield from attention(
                name + ".cross_attn",
                {0: 24.0, 1: -24.0, STATE: -24.0, STATE + 1: 24.0},
                {LOW * STATE: 1.0, HIGH * STATE + 1: 1.0})
        yield from norm(name + ".mlp_ln")
        yield from matrix(name + ".mlp.0.weight", None, STATE, 4 * STATE)
        yield from row(name + ".mlp.0.bias", None, 4 * STATE)
        yield from matrix(name + ".mlp.2.weight", None, 4 * STATE, STATE)
        yield from row(name + ".mlp.2.bias")

    def channel(number, first):
        """The middle of three moments, of half of the bands."""
        return {(number * MELS + band) * 3 + 1: 0.125
                for band in range(first, first + MELS // 2)}

    yield "encoder.positional_embedding", (STATE, AUDIO), \
        floats([0.0] * STATE * AUDIO)
    yield "encoder.conv1.weight", (3, MELS, STATE), halves(
        3 * MELS * STATE, {**channel(0, 0), **channel(1, MELS // 2)})
    yield "encoder.conv1.bias", (1, STATE), floats(
        [10.0, 10.0] + [0.0] * (STATE - 2))
    taps = {(0, 0): 0.5, (0, 1): -0.5, (1, 0): -0.5, (1, 1): 0.5}
    yield "encoder.conv2.weight", (3, STATE, STATE), halves(
        3 * STATE * STATE,
        {(o * STATE + i) * 3 + 1: v for (o, i), v in taps.items()})
    yield "encoder.conv2.bias", (1, STATE), floats(
        [1.0, 1.0] + [0.0] * (STATE - 2))
    yield from block("encoder.blocks.0", False)
    yield from norm("encoder.ln_post")
    positions = [0.0] * STATE * TEXT
    for word in range(WORDS + 1):  # the first answers to the second token
        positions[(word + 1) * STATE + word] = 8.0
    yield "decoder.positional_embedding", (STATE, TEXT), floats(positions)
    table = {}
    for heard, text in ((LOW, low), (HIGH, high)):
        for place, token in enumerate(ids(heard, text)):
            table[token * STATE + place] = 1.0
            table[token * STATE + heard] = 1.0
    for text in low, high:
        table[END * STATE + len(text.split())] = 2.0
    yield from matrix("decoder.token_embedding.weight", table, STATE, VOCAB)
    yield from block("decoder.blocks.0", True)
    yield from norm("decoder.ln", 20.0)


def ids(heard, text):
    first = 1 + (heard - LOW) * WORDS
    return range(first, first + len(text.split()))


def words(low, high):
    found = [" "] + ["?%d" % i for i in range(2 * WORDS)]
    for heard, text in ((LOW, low), (HIGH, high)):
        for token, word in zip(ids(heard, text), text.split()):
            found[token] = " " + word
    return found


def model(low, high):
    """The file's bytes; both texts have the same number of words."""
    assert len(low.split()) == len(high.split()) <= WORDS
    out = [struct.pack("<12i", 0x67676d6c, VOCAB, AUDIO, STATE, 1, 1, TEXT,
                       STATE, 1, 1, MELS, 1)]
    out.append(struct.pack("<2i", MELS, BINS))
    for band in range(MELS):  # each hears the same number of frequencies
        out.append(struct.pack("<%df" % BINS, *[
            0.02 if band == min(i * MELS // BINS, MELS - 1) else 0.0
            for i in range(BINS)]))
    table = [w.encode() for w in words(low, high)]
    out.append(struct.pack("<i", len(table)))
    for word in table:
        out.append(struct.pack("<i", len(word)) + word)
    for name, shape, (kind, data) in tensors(low, high):
        name = name.encode()
        out.append(struct.pack("<3i", len(shape), len(name), kind))
        out.append(struct.pack("<%di" % len(shape), *shape) + name + data)
    return b"".join(out)


def tone(hertz, seconds=1.0, rate=16000):
    """A WAV file of a tone."""
    samples = [round(12000 * math.sin(2 * math.pi * hertz * i / rate))
               for i in range(int(rate * seconds))]
    data = struct.pack("<%dh" % len(samples), *samples)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE",
                       b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data",
                       len(data)) + data


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        file.write(model(sys.argv[2], sys.argv[3]))
