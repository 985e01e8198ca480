"""The changes that cases are drawn from: each is one key, or one object, of one file.

A change is (slot, names, must, note, make): two changes of one case have other slots; a
refusal has to say one of `names`; `must` is "apply" (the library's answer), "either" (that,
or a refusal) or "refuse"; make(files) changes the files of a base.  BASES lists them by
base."""
MARK = "▁"
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
NEMO = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}"
        r"\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}"
        r"]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BEHAVIOURS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def change(slot, names, must, note, make):
    return {"slot": slot, "names": names.split(), "must": must, "note": note, "make": make}


def put(file, **values):
    """A change that sets keys of a file."""
    def make(files):
        files.setdefault(file, {}).update(values)
    return make


def tokenizer(**values):
    return put("tokenizer.json", **values)


# ---- tokenizer.json ----

def replace(pattern, content, is_text=True):
    return {"type": "Replace", "pattern": {"String" if is_text else "Regex": pattern},
            "content": content}


NORMALIZERS = [
    ("NFC", "apply", {"type": "NFC"}), ("NFD", "apply", {"type": "NFD"}),
    ("NFKC", "apply", {"type": "NFKC"}), ("NFKD", "apply", {"type": "NFKD"}),
    ("Nmt", "apply", {"type": "Nmt"}), ("Lowercase", "apply", {"type": "Lowercase"}),
    ("StripAccents", "apply", {"type": "StripAccents"}),
    ("Strip", "apply", {"type": "Strip", "strip_left": True, "strip_right": True}),
    ("Strip", "apply", {"type": "Strip", "strip_left": True, "strip_right": False}),
    ("Strip", "apply", {"type": "Strip", "strip_left": False, "strip_right": True}),
    ("Prepend", "apply", {"type": "Prepend", "prepend": " "}),
    ("Prepend", "apply", {"type": "Prepend", "prepend": "the"}),
    ("Replace", "apply", replace("-", " ")), ("Replace", "apply", replace("l", "")),
    ("Replace", "apply", replace("``", '"')), ("Replace", "apply", replace("a.", "o")),
    ("Replace", "apply", replace(" {2,}", " ", False)),
    ("Replace", "apply", replace(r"\s+", " ", False)),
    ("Replace", "apply", replace(r"\p{N}", "0", False)),
    ("Replace", "apply", replace(r"[\n\r\t]", " ", False)),
    ("Replace", "apply", replace(r"(\p{L})\.", "x", False)),
    ("Replace", "either", replace(r"(a+)+b", "x", False)),
    ("BertNormalizer", "apply", {"type": "BertNormalizer", "clean_text": True, "lowercase": True,
                                 "handle_chinese_chars": True, "strip_accents": None}),
    ("BertNormalizer", "apply", {"type": "BertNormalizer", "clean_text": False,
                                 "handle_chinese_chars": False, "strip_accents": True,
                                 "lowercase": False}),
    ("Unheard", "refuse", {"type": "Unheard"}),
]


def joined(name, kind, list_name, part, is_before):
    """Puts a part before or behind what a section has."""
    def make(files):
        now = files["tokenizer.json"][name]
        parts = [] if now is None else now[list_name] if now["type"] == "Sequence" else [now]
        parts = [part] + parts if is_before else parts + [part]
        files["tokenizer.json"][name] = parts[0] if kind == "one" else {
            "type": "Sequence", list_name: parts}
    return make


def normalizers(has_marks):
    out = [change("normalizer", "normalizer", "apply", "no normalizer", tokenizer(normalizer=None))]
    for name, must, part in NORMALIZERS:
        for is_before in (True, False):
            out.append(change("normalizer", "normalizer " + name, must, "%s %s" % (
                name, "first" if is_before else "last"),
                joined("normalizer", "list", "normalizers", part, is_before)))
        if not has_marks:
            out.append(change("normalizer", "normalizer " + name, must, name + " alone",
                              tokenizer(normalizer=part)))
    for names in (["NFD", "StripAccents", "NFC"], ["NFKD", "StripAccents", "Lowercase"],
                  ["NFD", "Lowercase", "StripAccents"], ["NFC", "Lowercase"], ["Nmt", "NFKC"]):
        parts = [{"type": name} for name in names]
        if has_marks:
            parts.append(replace(" ", MARK))
        out.append(change("normalizer", "normalizer Sequence " + " ".join(names), "apply",
                          ", ".join(names), tokenizer(normalizer={
                              "type": "Sequence", "normalizers": parts})))
    return out


def split(pattern, behaviour, invert=False, is_text=False):
    return {"type": "Split", "pattern": {"String" if is_text else "Regex": pattern},
            "behavior": behaviour, "invert": invert}


PARTS = [("Split", "apply", split(pattern, behaviour, invert, is_text))
         for behaviour in BEHAVIOURS for invert in (False, True)
         for pattern, is_text in ((r"\s+", False), (r"\p{N}", False), (r"[A-Z]?[a-z]+", False),
                                  ("e", True), (".", True))]
PARTS += [
    ("Digits", "apply", {"type": "Digits", "individual_digits": True}),
    ("Digits", "apply", {"type": "Digits", "individual_digits": False}),
    ("Whitespace", "apply", {"type": "Whitespace"}),
    ("WhitespaceSplit", "apply", {"type": "WhitespaceSplit"}),
    ("BertPreTokenizer", "apply", {"type": "BertPreTokenizer"}),
    ("CharDelimiterSplit", "apply", {"type": "CharDelimiterSplit", "delimiter": "-"}),
    ("UnicodeScripts", "either", {"type": "UnicodeScripts"}),
    ("FixedLength", "either", {"type": "FixedLength", "length": 3}),
    ("Unheard", "refuse", {"type": "Unheard"})]
PARTS += [("Punctuation", "apply", {"type": "Punctuation", "behavior": behaviour})
          for behaviour in BEHAVIOURS]


def with_bytes(*parts, **more):
    return {"type": "Sequence", "pretokenizers": [*parts, {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
        **more}]}


def byte_splits():
    out = []

    def add(note, must, names, value):
        out.append(change("pre_tokenizer", "pre_tokenizer " + names, must, note,
                          tokenizer(pre_tokenizer=value)))

    for name, must, part in PARTS:
        add(name + " then bytes", must, name + " behavior", with_bytes(part))
    for name, pattern in (("GPT-4", GPT4), ("Nemo", NEMO), ("digits by three", r"\p{N}{1,3}"),
                          ("words", r"\w+|\W"), ("lookahead", r" ?\p{L}+|\s+(?!\S)|.")):
        add(name, "apply", "Split pattern", with_bytes(split(pattern, "Isolated")))
    add("two splits", "apply", "Split", with_bytes(
        split(r"\p{N}{1,3}", "Isolated"), split(r"[一-龥]+", "Isolated"), split(QWEN, "Isolated")))
    add("digits, then bytes with their own split", "apply", "Digits", with_bytes(
        {"type": "Digits", "individual_digits": True}, use_regex=True))
    add("a blank in front", "apply", "add_prefix_space", with_bytes(
        split(QWEN, "Isolated"), add_prefix_space=True))
    for prefix in (False, True):
        for regex in (False, True):
            add("ByteLevel alone", "apply", "ByteLevel add_prefix_space use_regex", {
                "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True,
                "use_regex": regex})
    add("an unknown key", "either", "ByteLevel half", with_bytes(split(QWEN, "Isolated"), half=1))
    return out


def metaspaces(also_parts):
    out = []

    def add(note, must, names, value):
        out.append(change("pre_tokenizer", "pre_tokenizer " + names, must, note,
                          tokenizer(pre_tokenizer=value, normalizer=None)))

    for scheme in ("never", "first", "always"):
        for splits in (False, True):
            add("Metaspace %s, split %s" % (scheme, splits), "apply",
                "Metaspace prepend_scheme split",
                {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme,
                 "split": splits})
    add("Metaspace as older files have it", "apply", "Metaspace add_prefix_space",
        {"type": "Metaspace", "replacement": MARK, "str_rep": MARK, "add_prefix_space": True})
    add("another mark", "apply", "Metaspace replacement",
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True})
    add("two that contradict", "either", "Metaspace prepend_scheme add_prefix_space",
        {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first",
         "add_prefix_space": False})
    for name, must, part in PARTS if also_parts else ():
        add(name + " then Metaspace", must, name + " behavior",
            {"type": "Sequence", "pretokenizers": [part, {
                "type": "Metaspace", "replacement": MARK, "prepend_scheme": "always",
                "split": True}]})
    return out


def word_splits():
    out = []
    for name, must, part in PARTS:
        out.append(change("pre_tokenizer", "pre_tokenizer behavior " + name, must, name,
                          tokenizer(pre_tokenizer=part)))
    for name, must, part in PARTS[-9:]:
        out.append(change("pre_tokenizer", "pre_tokenizer behavior " + name, must,
                          "BERT, then " + name, tokenizer(pre_tokenizer={
                              "type": "Sequence", "pretokenizers": [
                                  {"type": "BertPreTokenizer"}, part]})))
    return out


def added(contents, must="apply", note="", first=False, **flags):
    def make(files):
        document = files["tokenizer.json"]
        vocabulary = document["model"]["vocab"]
        known = vocabulary if isinstance(vocabulary, dict) else {
            text: place for place, (text, _) in enumerate(vocabulary)}
        tokens = document["added_tokens"]
        place = max([len(known) - 1] + [token["id"] for token in tokens]) + 1
        for text in contents:
            token = {"id": known.get(text, place), "content": text, "single_word": False,
                     "lstrip": False, "rstrip": False, "normalized": False, "special": False}
            place += 0 if text in known else 1
            token.update(flags)
            tokens.insert(0, token) if first else tokens.append(token)
        wanted = max(place, files["config.json"]["vocab_size"])
        for tensor in files["tensors"]:
            if tensor[1][0] == files["config.json"]["vocab_size"]:
                tensor[1][0] = wanted
        files["config.json"]["vocab_size"] = wanted
    return change("added_tokens", "added_tokens " + " ".join(flags), must,
                  "tokens %s %s" % (contents, flags or note), make)


def added_tokens(is_unigram=False):
    out = []
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
                  {"single_word": True}, {"normalized": True},
                  {"single_word": True, "lstrip": True}, {"normalized": True, "rstrip": True}):
        for special in (False, True):
            for contents in (["new york"], ["<|sep|>"], ["<|a|>", "<|a|>b"], ["the"]):
                is_odd = is_unigram and special and flags.keys() & {"single_word", "normalized"}
                out.append(added(contents, "either" if is_odd else "apply", special=special,
                                 **flags))
    for contents in (["  "], ["\n"], ["lo wo", "world"], ["model", "models"], ["\u00e9"],
                     ["cafe\u0301"], ["😀", "中"], ["NEW", "York"], ["12"], [" y", "y "]):
        for normalized in (False, True):
            out.append(added(contents, normalized=normalized))
    out.append(added(["big"], "either", flavour=3))
    return out


def edited(names, must, note, make_document):
    def make(files):
        make_document(files["tokenizer.json"])
    return change(names.split()[0], names, must, note, make)


def processor(front, back, ids, between=None):
    """TemplateProcessing with these tokens around a text, and between two."""
    def tokens(texts, segment=0):
        return [{"SpecialToken": {"id": text, "type_id": segment}} for text in texts]
    one, two = ({"Sequence": {"id": name, "type_id": place}} for place, name in enumerate("AB"))
    named = {*front, *back, *(between or [])}
    return {"type": "TemplateProcessing", "single": tokens(front) + [one] + tokens(back),
            "pair": tokens(front) + [one] + tokens(back if between is None else between) +
            [two] + tokens(back, 1),
            "special_tokens": {text: {"id": text, "ids": [ids[text]], "tokens": [text]}
                               for text in sorted(named)}}


def processors(marks, has_pair, has_segments=False):
    """marks: texts of tokens that the tokenizer has.  Segments of a pair that stand otherwise
    than BERT's may be refused."""
    out = [change("post_processor", "post_processor", "apply", "no post processor",
                  tokenizer(post_processor=None))]

    def ids_of(files):
        document = files["tokenizer.json"]
        vocabulary = document["model"]["vocab"]
        known = dict(vocabulary) if isinstance(vocabulary, dict) else {
            text: place for place, (text, _) in enumerate(vocabulary)}
        return {**known, **{token["content"]: token["id"] for token in document["added_tokens"]}}

    def add(front, back, between=None, in_sequence=False):
        def make(files):
            value = processor(front, back, ids_of(files), between)
            files["tokenizer.json"]["post_processor"] = {
                "type": "Sequence", "processors": [
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                     "use_regex": True}, value]} if in_sequence else value
        must = "either" if has_segments else "apply"
        out.append(change("post_processor", "post_processor TemplateProcessing", must,
                          "%s text %s%s" % (front, back, "" if between is None else
                                            " between %s" % between), make))

    first, second, third = marks
    for front, back in (([first], []), ([], [second]), ([first], [second]), ([], []),
                        ([first, second], []), ([], [second, third]), ([first, second], [third]),
                        ([first], [second, first]), ([first, first], [third, third])):
        for in_sequence in (False, True):
            add(front, back, in_sequence=in_sequence)
        for between in ([second], [second, second], [second, third], []) if has_pair else ():
            add(front, back, between)
    for kind in ("BertProcessing", "RobertaProcessing"):
        for cls, sep in ((first, second), (second, third)):
            def make(files, kind=kind, cls=cls, sep=sep):
                ids = ids_of(files)
                value = {"type": kind, "sep": [sep, ids[sep]], "cls": [cls, ids[cls]]}
                if kind == "RobertaProcessing":
                    value.update(trim_offsets=True, add_prefix_space=False)
                files["tokenizer.json"]["post_processor"] = value
            out.append(change("post_processor", "post_processor " + kind,
                              "either" if has_segments else "apply",
                              "%s %s %s" % (kind, cls, sep), make))
    out.append(change("post_processor", "post_processor Unheard", "refuse", "an unknown one",
                      tokenizer(post_processor={"type": "Unheard"})))
    return out


def model_key(must, note, **values):
    return edited("model " + " ".join(values), must, note + " %s" % values,
                  lambda document: document["model"].update(values))


def suffixed(document):
    """end_of_word_suffix, as CLIP and GPT-1 have it: the ends of words are other tokens."""
    document["pre_tokenizer"] = with_bytes(split(QWEN, "Removed", True))
    document["model"]["end_of_word_suffix"] = "</w>"
    table, merges = document["model"]["vocab"], document["model"]["merges"]
    singles = [text for text in table if len(text) == 1]
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in merges]
    keep = 40
    texts = singles + [text + "</w>" for text in singles[:60]] + [
        "".join(pair) for pair in pairs[:keep]] + ["".join(pair) + "</w>" for pair in pairs[:24]]
    ends = {text + "</w>" for text in singles[:60]}
    room = len(table)
    texts = list(dict.fromkeys(texts))[:room]
    texts += ["~%d" % i for i in range(room - len(texts))]
    document["model"]["vocab"] = {text: place for place, text in enumerate(texts)}
    listed = [pair for pair in pairs[:keep]] + [
        [a, b + "</w>"] for a, b in pairs[:24] if b + "</w>" in ends]
    document["model"]["merges"] = [pair for pair in listed if pair[0] in texts and
                                   pair[1] in texts and "".join(pair) in texts]


def merges_as_texts(document):
    document["model"]["merges"] = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in document["model"]["merges"]]


def half_merges(document):
    del document["model"]["merges"][len(document["model"]["merges"]) // 2:]


def sections():
    return [
        change("truncation", "truncation", "apply", "truncation", tokenizer(truncation={
            "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0})),
        change("padding", "padding", "apply", "padding", tokenizer(padding={
            "strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>"})),
        change("section", "surprise", "either", "an unknown section", tokenizer(surprise=1))]


def byte_model():
    return [
        model_key("apply", "", ignore_merges=True), model_key("apply", "", ignore_merges=False),
        model_key("refuse", "", dropout=0.1), model_key("apply", "", dropout=0.0),
        model_key("apply", "", fuse_unk=True), model_key("either", "", byte_fallback=True),
        model_key("either", "", continuing_subword_prefix="@@"),
        model_key("apply", "empty", continuing_subword_prefix="", end_of_word_suffix=""),
        model_key("either", "", unk_token="<|pad|>"), model_key("either", "", merge_limit=9),
        edited("model end_of_word_suffix", "apply", "ends of words", suffixed),
        edited("model merges", "apply", "merges as texts", merges_as_texts),
        edited("model merges", "apply", "half of the merges", half_merges),
        edited("model type", "apply", "no type", lambda document: document["model"].pop("type"))]


def piece_model():
    return [
        model_key("either", "", byte_fallback=False), model_key("apply", "", fuse_unk=False),
        model_key("either", "", byte_fallback=False, fuse_unk=False),
        model_key("apply", "", ignore_merges=True), model_key("refuse", "", dropout=0.3),
        model_key("either", "", unk_token="</s>"), model_key("either", "", unk_token=None),
        edited("model merges", "apply", "half of the merges", half_merges),
        edited("model merges", "apply", "merges as texts", merges_as_texts)]


def word_model():
    return [
        model_key("either", "", continuing_subword_prefix="@@"),
        model_key("apply", "", max_input_chars_per_word=5),
        model_key("apply", "", max_input_chars_per_word=1),
        model_key("apply", "", max_input_chars_per_word=30),
        model_key("apply", "", unk_token="[MASK]"), model_key("apply", "", unk_token="the"),
        *[edited("normalizer BertNormalizer " + key, "apply", "%s %s" % (key, value),
                 lambda document, key=key, value=value: document["normalizer"].update({key: value}))
          for key in ("lowercase", "strip_accents", "handle_chinese_chars", "clean_text")
          for value in (False, True)]]


def gram_model():
    return [model_key("apply", "", unk_id=0), model_key("apply", "", unk_id=2),
            model_key("either", "", byte_fallback=True)]


def decoder(must, note, value):
    return change("decoder", "decoder " + note, must, note, tokenizer(decoder=value))


def decoders(is_bytes):
    fallback, fuse = {"type": "ByteFallback"}, {"type": "Fuse"}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    byte = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if is_bytes:
        return [decoder("apply", "ByteLevel", dict(byte, add_prefix_space=False)),
                decoder("apply", "Sequence", {"type": "Sequence", "decoders": [byte]}),
                decoder("either", "Replace", {"type": "Sequence", "decoders": [
                    byte, replace("e", "E")]}),
                decoder("either", "CTC", {"type": "CTC", "pad_token": "<|pad|>", "cleanup": True,
                                          "word_delimiter_token": "|"}),
                decoder("either", "Fuse", fuse), decoder("refuse", "Unheard", {"type": "Unheard"})]
    return [decoder("apply", "Replace ByteFallback Fuse", {"type": "Sequence", "decoders": [
                replace(MARK, " "), fallback, fuse]}),
            decoder("apply", "Metaspace", {"type": "Metaspace", "replacement": MARK,
                                           "prepend_scheme": "always", "split": False}),
            decoder("either", "Replace", {"type": "Sequence", "decoders": [
                replace(MARK, "_"), fallback, fuse, strip]}),
            decoder("either", "Strip", {"type": "Sequence", "decoders": [
                replace(MARK, " "), fallback, fuse, dict(strip, start=2)]}),
            decoder("either", "WordPiece", {"type": "WordPiece", "prefix": "##", "cleanup": True}),
            decoder("either", "BPEDecoder", {"type": "BPEDecoder", "suffix": "</w>"}),
            decoder("either", "ByteLevel", byte)]


# ---- tokenizer_config.json and its relatives ----

def setting(must, note="", **values):
    return change("settings", " ".join(values) or note, must, note or "settings %s" % values,
                  put("tokenizer_config.json", **values))


def settings():
    return [
        setting("apply", clean_up_tokenization_spaces=True), setting("apply", legacy=True),
        setting("apply", legacy=False), setting("apply", model_max_length=16),
        setting("apply", padding_side="left"), setting("apply", truncation_side="left"),
        setting("apply", errors="replace"), setting("apply", use_default_system_prompt=False),
        setting("either", split_special_tokens=True), setting("either", flux_capacity=9),
        setting("apply", additional_special_tokens=[]), setting("apply", sp_model_kwargs={}),
        setting("either", add_prefix_space=True), setting("either", add_bos_token=True),
        setting("either", add_eos_token=True), setting("either", add_bos_token=False),
        setting("either", do_lower_case=True), setting("apply", name_or_path="someone/thing"),
        setting("apply", is_local=True), setting("apply", processor_class="AProcessor")]


def template(must, note, names, make):
    made = change("template", names, must, note, make)
    made["names"].append("the chat template")
    return made


TOOLS = ("{% if tools %}TOOLS {{ tools | tojson }}\n{% endif %}{% for m in messages %}{{ m.role }}: "
         "{{ m.content | trim }}\n{% endfor %}")
TEMPLATES = [
    TOOLS, "{% for m in messages %}{{ loop.index0 }}{{ m['content'] | upper }}{{ eos_token }}"
    "{% endfor %}", "{{- bos_token }}\n{%- for m in messages %}\n{{- m.role ~ '|' ~ m.content }}\n"
    "{%- endfor %}\n", "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'user' "
    "%}{% set ns.n = ns.n + 1 %}{% endif %}{% endfor %}{{ ns.n }} {{ messages[-1].content[:4] }}",
    "{% macro say(m) %}<{{ m.role }}>{{ m.content }}{% endmacro %}{% for m in messages if m.role != "
    "'system' %}{{ say(m) }}{% else %}none{% endfor %}{{ pad_token }}{{ unk_token }}"]


def templates():
    out = []

    def in_settings(value):
        def make(files):
            files.pop("chat_template.jinja")
            files["tokenizer_config.json"]["chat_template"] = value
        return make

    for place, text in enumerate(TEMPLATES):
        # Letters beyond ASCII in upper case are refused where a text has them.
        must = "either" if "upper" in TEMPLATES[place - 1] + text else "apply"
        out.append(template(must, "file %d" % place, "chat_template",
                            lambda files, text=text: files.update({"chat_template.jinja": text})))
        out.append(template(must, "setting %d" % place, "chat_template", in_settings(text)))
        out.append(template(must, "file and setting %d" % place, "chat_template", put(
            "tokenizer_config.json", chat_template=text)))
        out.append(template(must, "named %d" % place, "chat_template tool_use", in_settings([
            {"name": "default", "template": TEMPLATES[place - 1]},
            {"name": "tool_use", "template": text}])))
        out.append(template("either", "named rag %d" % place, "chat_template rag", in_settings([
            {"name": "default", "template": text}, {"name": "rag", "template": TEMPLATES[1]}])))
        out.append(template(must, "beside %d" % place, "additional_chat_templates tool_use",
                            lambda files, text=text: files.update(
                                {"additional_chat_templates/tool_use.jinja": text})))
    for name in ("bos_token", "eos_token"):
        out.append(template("apply", name + " as an object", name, lambda files, name=name: files[
            "tokenizer_config.json"].update({name: {
                "content": files["tokenizer_config.json"][name], "lstrip": False, "rstrip": False,
                "normalized": False, "single_word": False, "__type": "AddedToken"}})))
    return out


# ---- ends ----

def ends(ids):
    out = []
    for value in (ids[0], ids[:1], ids[1:3], ids, ids[::-1]):
        out.append(change("ends", "eos_token_id", "apply", "ends %s" % value,
                          put("generation_config.json", eos_token_id=value)))

        def in_config(files, value=value):
            files.pop("generation_config.json")
            files["config.json"]["eos_token_id"] = value
        out.append(change("ends", "eos_token_id", "apply", "ends in config.json %s" % value,
                          in_config))
    out.append(change("ends", "eos_token_id", "apply", "both say it", lambda files: (
        files["generation_config.json"].update(eos_token_id=ids[1]),
        files["config.json"].update(eos_token_id=ids[0]))))
    out.append(change("ends", "eos_token_id", "refuse", "beyond the vocabulary", put(
        "generation_config.json", eos_token_id=[ids[0], 99999])))
    for key, value in (("temperature", 0.2), ("top_p", 0.5), ("do_sample", False),
                       ("transformers_version", "5.1.0"), ("cache_implementation", "dynamic"),
                       ("max_length", 4000), ("pad_token_id", 0)):
        out.append(change("generation", key, "apply", "%s %s" % (key, value), put(
            "generation_config.json", **{key: value})))
    out.append(change("generation", "wish", "either", "an unknown key", put(
        "generation_config.json", wish=1)))
    return out


# ---- config.json ----

def key(must, note="", slot="", **values):
    names = " ".join(values)
    return change(slot or "config." + next(iter(values)), names, must,
                  note or "config %s" % values, put("config.json", **values))


def harmless():
    return [key("apply", **{name: value}) for name, value in (
        ("attention_dropout", 0.3), ("initializer_range", 0.5), ("use_cache", False),
        ("pretraining_tp", 2), ("_name_or_path", "a/b"), ("unsloth_version", "2025.1"),
        ("transformers_version", "5.0.0"), ("output_attentions", False), ("dtype", "float32"),
        ("id2label", {"0": "A"}), ("problem_type", None), ("return_dict", True),
        ("auto_map", {"AutoConfig": "configuration_x.X"}))] + [
            key("either", **{name: value}) for name, value in (
                ("residual_gain", 2.0), ("my_note", "x"), ("attn_temperature", 0.5),
                ("value_scale", [1, 2]), ("rope_flavour", "mild"), ("is_decoder", True),
                ("layer_drop", 0.1))]


def activation(must, name="hidden_act", also=()):
    return [key(must, slot="act", **{name: value})
            for value in ("gelu", "relu", "gelu_pytorch_tanh", "gelu_new", "relu2", *also)] + [
                key("refuse", slot="act", **{name: "unheard"})]


def rope(musts, theta=("10000.0", 50000.0)):
    """musts: kinds that must apply; the others may be refused."""
    kinds = {
        "linear": {"factor": 3.0}, "dynamic": {"factor": 2.0},
        "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
        "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 64},
        "unheard": {"factor": 2.0}}
    out = [key("apply", slot="theta", rope_theta=value) for value in (777.0, 500000.0)]
    for name, values in kinds.items():
        must = "refuse" if name == "unheard" else "apply" if name in musts else "either"
        for word in ("rope_type", "type"):
            out.append(key(must, slot="rope", rope_scaling={word: name, **values}))
        if name in musts:
            out.append(change("rope", "rope_parameters", must, name + " as version 5 has it",
                              lambda files, name=name, values=values: (
                                  files["config.json"].pop("rope_scaling", None),
                                  files["config.json"].update(rope_parameters={
                                      "rope_type": name, "rope_theta": files[
                                          "config.json"].pop("rope_theta"), **values}))))
    if "yarn" in musts:
        for more in ({"beta_fast": 16.0, "beta_slow": 2.0}, {"attention_factor": 1.3}):
            out.append(key("apply", slot="rope", rope_scaling={
                "rope_type": "yarn", **kinds["yarn"], **more}))
        out.append(key("either", slot="rope", rope_scaling={
            "rope_type": "yarn", **kinds["yarn"], "mscale": 0.7, "mscale_all_dim": 0.9}))
        out.append(key("either", slot="rope", rope_scaling={
            "rope_type": "yarn", **kinds["yarn"], "truncate": False}))
    return out


def norms():
    return [key("apply", rms_norm_eps=value) for value in (1e-2, 0.1)]


def own_head(files):
    size = files["config.json"]["vocab_size"]
    files["tensors"].append(["lm_head.weight", [size, 64], 0.3])


def biases(must, parts, flag):
    def make(files):
        files["config.json"][flag] = True
        for name, shape, _ in list(files["tensors"]):
            if name.split(".")[-2] in parts:
                files["tensors"].append([name.replace(".weight", ".bias"), shape[:1], 0.3])
    return change("bias", flag + " bias", must, flag + " with its tensors", make)


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED = ("gate_proj", "up_proj", "down_proj")


def windows(*layer_types):
    out = [key("apply", slot="window", use_sliding_window=True, sliding_window=width,
               max_window_layers=layers) for width in (4, 9) for layers in (0, 1)]
    out.append(key("apply", slot="window", use_sliding_window=False, sliding_window=4))
    return out + [key("apply", slot="window", layer_types=list(kinds), sliding_window=5,
                      use_sliding_window=True) for kinds in layer_types]


FULL, SLIDING = "full_attention", "sliding_attention"
GRANITE = [key("apply", **{name: value}) for name, value in (
    ("attention_multiplier", 0.4), ("embedding_multiplier", 3.0), ("logits_scaling", 2.0),
    ("residual_multiplier", 0.7))]
GEMMA = [key("apply", sliding_window=value) for value in (3, 5)] + [
    key("apply", query_pre_attn_scalar=value) for value in (16, 100)]
CAPS = [key("apply", final_logit_softcapping=value) for value in (2.0, None)] + [
    key("apply", attn_logit_softcapping=value) for value in (1.0, None)]

# ---- adapters ----

def field(must, note="", **values):
    slot = "adapter.rank" if "use_rslora" in values else "adapter." + next(iter(values))
    return change(slot, " ".join(values), must,
                  note or "adapter %s" % values, put("adapter/adapter_config.json", **values))


def ranked(files):
    files["adapter/adapter_config.json"]["rank_pattern"] = {"v_proj": 2}
    for tensor in files["adapter/tensors"]:
        if ".v_proj." in tensor[0]:
            tensor[1][0 if "lora_A" in tensor[0] else 1] = 2


def first_only(files):
    files["adapter/adapter_config.json"]["layers_to_transform"] = [0]
    files["adapter/tensors"] = [tensor for tensor in files["adapter/tensors"]
                                if ".layers.0." in tensor[0]]


def adapters():
    out = [field("apply", **{name: value}) for name, value in (
        ("lora_alpha", 3), ("lora_alpha", 2.5), ("use_rslora", True), ("lora_dropout", 0.4),
        ("inference_mode", False), ("revision", "main"), ("peft_version", "0.17.0"),
        ("task_type", None), ("exclude_modules", ["gate_proj"]), ("init_lora_weights", "gaussian"),
        ("init_lora_weights", False), ("base_model_name_or_path", "other/name"),
        ("auto_mapping", None), ("megatron_core", "megatron.core"),
        ("target_modules", r".*\.(q_proj|v_proj)"))]
    out += [field("either", **{name: value}) for name, value in (
        ("alpha_pattern", {"v_proj": 32}), ("alpha_pattern", {"q_proj": 1, "v_proj": 20}),
        ("init_lora_weights", "orthogonal"), ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"), ("fan_in_fan_out", True), ("bias", "all"),
        ("alora_invocation_tokens", [5, 6]), ("use_dora", True), ("lora_bias", True),
        ("target_modules", ["nothing_here"]), ("use_qalora", True), ("surprise", 3),
        ("trainable_token_indices", [1, 2]), ("layer_replication", [[0, 1], [0, 2]]))]
    out += [field("refuse", peft_type=kind) for kind in ("LOHA", "IA3", "VERA", "UNHEARD")]
    out.append(change("adapter.rank", "rank_pattern", "apply", "another rank of values", ranked))
    out.append(change("adapter.layers", "layers_to_transform", "apply", "the first layer",
                      first_only))
    return out


# ---- by base ----

TEXT_MARKS = ("<|endoftext|>", "<|im_end|>", "<|pad|>")
PIECE_MARKS = ("<s>", "</s>", "<unk>")


def byte_tokens():
    return (normalizers(False) + byte_splits() + added_tokens() + processors(TEXT_MARKS, False) +
            sections() + byte_model() + settings())


def piece_tokens():
    return (normalizers(True) + metaspaces(False) + added_tokens() +
            processors(PIECE_MARKS, False) + sections() + piece_model() + settings())


def llama_like(rope_kinds, must_act="either"):
    return rope(rope_kinds) + norms() + activation(must_act) + harmless()


TIED = [change("tied", "tie_word_embeddings lm_head", "either", "an own head beside ties",
               own_head)]

BASES = {
    "qwen3": lambda: byte_tokens() + llama_like(("linear", "yarn")) + TIED + adapters() + windows(
        [FULL, SLIDING], [SLIDING, FULL], [SLIDING, SLIDING]) + [
            biases("either", ATTENTION, "attention_bias")],
    "qwen2": lambda: llama_like(("linear", "yarn")) + TIED + windows(
        [FULL, SLIDING], [SLIDING, FULL]),
    "llama3": lambda: byte_tokens() + llama_like(("linear", "yarn", "llama3")) + TIED + [
        biases("either", ATTENTION, "attention_bias"), biases("either", FEED, "mlp_bias")],
    "smollm3": lambda: llama_like(("linear", "yarn")) + TIED + [
        key("apply", no_rope_layers=value) for value in ([1, 0, 1, 0], [0, 0, 0, 1], [1] * 4)] +
    windows([FULL, SLIDING, FULL, SLIDING]),
    "granite": lambda: llama_like(("linear",)) + TIED + GRANITE,
    "llama2": lambda: piece_tokens() + llama_like(("linear", "yarn", "llama3")) + adapters() +
    settings(),
    "mistral": lambda: metaspaces(True) + added_tokens() + piece_model() + llama_like(
        ("linear", "yarn")) + [key("apply", sliding_window=value) for value in (3, 7)],
    "phi3": lambda: llama_like(()) + [key("apply", sliding_window=value) for value in (3, 6)] + [
        key("apply", slot="rope", rope_scaling={
            "type": "longrope", "short_factor": [1.0 + i / 9 for i in range(8)],
            "long_factor": [2.0 + i for i in range(8)]}, original_max_position_embeddings=size)
        for size in (4096, 16)] + [key("apply", partial_rotary_factor=0.5)],
    "gemma2": lambda: piece_tokens() + rope(()) + norms() + harmless() + GEMMA + CAPS + activation(
        "either", "hidden_activation", ("silu",)) + [
            key("either", layer_types=[FULL, SLIDING]), key("apply", hidden_act="gelu")],
    "gemma3": lambda: rope(("linear",)) + norms() + harmless() + GEMMA + activation(
        "either", "hidden_activation") + [
            key("apply", rope_local_base_freq=300.0), key("apply", sliding_window_pattern=2),
            key("apply", layer_types=[FULL, SLIDING, SLIDING]),
            key("either", final_logit_softcapping=3.0), key("either", attn_logit_softcapping=3.0)],
    "chain": lambda: decoders(True) + templates() + ends([20, 40, 60]) + byte_tokens()[::9],
    "chain-pieces": lambda: decoders(False) + templates() + ends([290, 310, 330]) +
    piece_tokens()[::9],
    "bert": lambda: normalizers(False) + word_splits() + added_tokens() + word_model() +
    processors(("[CLS]", "[SEP]", "[MASK]"), True, True) + sections() + settings()[:10],
    "xlmr": lambda: normalizers(False) + metaspaces(True) + added_tokens(True) + gram_model() +
    processors(("<s>", "</s>", "<mask>"), True) + sections() + settings()[:10],
}
