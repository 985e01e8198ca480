"""Texts of the cases: fixed ones, and drawn ones of awkward characters."""
FIXED = [
    "hello world", "  two  leading", "new york is big", "I LOVE New York!", "workers new",
    "x <|sep|> y  <|sep|>z", "  <|sep|>  ", "a<|rs|>   b", "<|a|>b <|a|> <|a|>bc",
    "café cafe\u0301 naïve Ångström", "½ cup ① ﬁne ＡＢＣ Å ﷺ ｶﾞ Ⅷ ²", "ÄÖÜ ß STRASSE ŉ İi",
    "tab\tnew\nline\r\ncrlf\x0b\x0c", "\xa0nbsp\u2009thin\u3000ideo\u200bzero", "\ufeffmark\u2028end",
    "👩\u200d👩\u200d👧 family 🇩🇪 flag 👍🏽", "שלום عربي नमस्ते", "日本語テキスト 中文 한국어",
    "12345 1,234.56 3rd 0x1F ٣٤", "don't we'll I'M", "!!!???...###", "https://a.example/b?c=d&e",
    "e\u0301\u0300 a\u0300\u0301b", "<|im_start|>user\nhi<|im_end|>\n", "", "\n", " ", "   ", "\n\n\n  \n",
    "end space ", "<s>hello</s> a", " <s> b", "a</s>  b<s>", "▁▁x ▁", "Ġhello Ċ",
    "[CLS] a [MASK] b[SEP]c", "foo_bar fooBar FOO-BAR", "a.b.c–—‘’“”", "€£¥ $5 +3=8 ^~`",
    "    four\n        eight", "under▁score", "the quick brown fox jumps over 13 lazy dogs",
    "<mask> x <mask>", "a-b-c, d", "aaa aaaa", "control\x01\x7f end", "x" * 101, "a b" * 3,
    "lo world hello", "<pad><unk>", "the device, the server", "model models MODEL remodel"]
CLASSES = [
    "abcdefgh", "ABCÄÖÜß", "     ", "\t\n\r", "0123456789", ".,;:!?-_'\"", "éèêåñçü",
    "e\u0301\u0300\u0323o\u0308", "日本語中文한국", "אבגשלום", "😀👩\u200d👧🇩🇪", "\u200b\u200d\ufeff\u00ad",
    "½①ﬁＡＢⅧ²㎏", "\u2028\u3000\xa0\u2009", "+=<>|^~`$", "αβγДжИ", "ｶﾞ㌔ﷺ"]


def drawn(dice, count):
    out = []
    for _ in range(count):
        parts = [dice.choice(["the", "device", "mod", "er", "", "", "", ""])]
        for _ in range(dice.randint(2, 7)):
            kind = dice.choice(CLASSES)
            parts.append("".join(dice.choice(kind) for _ in range(dice.randint(1, 4))))
            parts.append(dice.choice(["", "", " ", "ing", "s"]))
        out.append("".join(parts))
    return out
