"""A model that recites: one that calls a tool where it has one, and answers in
words behind the result.

Each token is a direction of its own and attention adds nothing, so the next
token depends on the last one alone.  The text around a call comes from the
grammar of its tool; this model begins the call, chooses among what the grammar
allows, and ends.  So any client's loop runs on the real engine, while a model
that must understand the question would decide whether it does.
"""
import struct

WORD = "Paris"  # the value of every text that may be free
SAYS = ("The tool", " has", " answered.")
CONTEXT = 16384
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
END, CALL, SPEAK = "<|im_end|>", "<tool_call>", "<|speak|>"

# A turn that may call begins behind a line end, one that speaks behind a mark.
TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{% for tool in tools %}"
    "{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content or '' }}"
    "{%- for call in message.tool_calls or [] %}<tool_call>\n"
    "{\"name\": {{ call.function.name | tojson }}, \"arguments\": "
    "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant"
    "{{ '\n' if tools and messages[-1].role != 'tool' else '<|speak|>' }}"
    "{% endif %}")

# Characters that a grammar may allow, most wanted first.
WANTED = '"}],{[2-tfn'


def letters():
    """The characters that stand for the 256 bytes in such a vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others))
            for byte in range(256)]


def rules(ids, wishes):
    """(token, next token, how much): -1 is any token."""
    yield from ((-1, ord(letter), 40.0 - 2 * place)
                for place, letter in enumerate(WANTED))
    yield from ((ord(first), ord(second), 45.0)
                for wish in wishes for first, second in zip(wish, wish[1:]))
    spoken = [SPEAK, *SAYS, END]
    yield from ((ids[first], ids[second], 60.0)
                for first, second in zip(spoken, spoken[1:]))
    yield ord("\n"), ids[CALL], 60.0
    yield ord('"'), ids[WORD], 60.0
    yield ord(">"), ids[END], 60.0
    yield ids[CALL], ids[END], 60.0  # where no call is allowed


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(name, kind, data):
    return text(name) + struct.pack("<I", kind) + data


def u32(name, value):
    return pair(name, 4, struct.pack("<I", value))


def listed(name, kind, values):
    return pair(name, 9, struct.pack("<IQ", kind, len(values)) + b"".join(
        values))


def write(path, wishes=()):
    """The file at `path`; of several names of tools, one of `wishes`."""
    table = letters()
    extra = [("<|im_start|>", CONTROL), (END, CONTROL), (SPEAK, CONTROL),
             (CALL, USER_DEFINED), (WORD, NORMAL),
             *((says, NORMAL) for says in SAYS)]
    tokens = table + ["".join(table[byte] for byte in name.encode())
                      if kind == NORMAL else name for name, kind in extra]
    kinds = [NORMAL] * len(table) + [kind for _, kind in extra]
    ids = {name: len(table) + place for place, (name, _) in enumerate(extra)}
    width, count = 288, len(tokens)

    def matrix(rows, columns, cells=()):
        data = bytearray(4 * rows * columns)
        for row, column, value in cells:
            struct.pack_into("<f", data, 4 * (row * columns + column), value)
        return (columns, rows), bytes(data)
    ones = (width,), struct.pack("<%df" % width, *[1.0] * width)
    wanted = {}
    for first, second, much in rules(ids, wishes):
        for one in range(count) if first < 0 else (first,):
            wanted[second, one] = much
    tensors = [
        ("token_embd.weight", matrix(count, width,
                                     ((i, i, 1.0) for i in range(count)))),
        ("output_norm.weight", ones),
        ("output.weight", matrix(count, width, (
            (*place, much) for place, much in wanted.items()))),
        ("blk.0.attn_norm.weight", ones), ("blk.0.ffn_norm.weight", ones),
        ("blk.0.attn_q.weight", matrix(width, width)),
        ("blk.0.attn_k.weight", matrix(32, width)),
        ("blk.0.attn_v.weight", matrix(32, width)),
        ("blk.0.attn_output.weight", matrix(width, width)),
        ("blk.0.ffn_gate.weight", matrix(32, width)),
        ("blk.0.ffn_up.weight", matrix(32, width)),
        ("blk.0.ffn_down.weight", matrix(width, 32))]
    pairs = [
        pair("general.architecture", 8, text("llama")),
        pair("general.name", 8, text("reciter")),
        u32("llama.context_length", CONTEXT),
        u32("llama.embedding_length", width), u32("llama.block_count", 1),
        u32("llama.feed_forward_length", 32),
        u32("llama.attention.head_count", width // 32),
        u32("llama.attention.head_count_kv", 1),
        pair("llama.attention.layer_norm_rms_epsilon", 6,
             struct.pack("<f", 1e-5)),
        u32("llama.rope.dimension_count", 32),
        u32("llama.vocab_size", count),
        pair("tokenizer.ggml.model", 8, text("gpt2")),
        pair("tokenizer.ggml.pre", 8, text("smollm")),
        listed("tokenizer.ggml.tokens", 8, [text(one) for one in tokens]),
        listed("tokenizer.ggml.token_type", 5,
               [struct.pack("<i", kind) for kind in kinds]),
        listed("tokenizer.ggml.merges", 8, []),
        u32("tokenizer.ggml.bos_token_id", ids["<|im_start|>"]),
        u32("tokenizer.ggml.eos_token_id", ids[END]),
        pair("tokenizer.ggml.add_bos_token", 7, b"\0"),
        pair("tokenizer.chat_template", 8, text(TEMPLATE))]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs))
    head += b"".join(pairs)
    offset = 0
    for name, (shape, data) in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(shape), len(shape),
                                         *shape, 0, offset)
        offset += len(data) + -len(data) % 32
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for _, (_, data) in tensors:
            file.write(data + bytes(-len(data) % 32))
