"""Histograms as devices send them."""
import base64


def histogram(values):
    """base/histogram.c: pairs of (gap, count), 0, the sum, as varints."""
    def bucket(value):
        if value < 64:
            return value
        octave = value.bit_length() - 1
        return 64 + (octave - 6) * 32 + (value >> (octave - 5)) - 32
    counts, out, last = {}, b"", -1
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    numbers = []
    for index in sorted(counts):
        numbers += [index - last, counts[index]]
        last = index
    for number in numbers + [0, sum(values)]:
        while number > 127:
            out += bytes([(number & 127) | 128])
            number >>= 7
        out += bytes([number])
    return base64.b64encode(out).decode()
