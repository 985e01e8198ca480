#!/usr/bin/env python3
"""Write split.txt: how pre-tokenizers cut texts, by the package `regex`.

  make_split.py [--random COUNT SEED] > split.txt

The expressions are those of the published tokenizer.json files.  With
--random, texts are made of characters that expressions tell apart."""
import pathlib
import random
import sys

import regex

GPT2 = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?!\S)|\s+")
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD, SIGNS = r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"
TAIL = r"\s+(?!\S)|\s+"
LINES = r"\s*[\r\n]+|" + TAIL
UP, LOW = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
HAN_KANA = "[一-龥぀-ゟ゠-ヿ]+"
SIGN_WORDS = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
              r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+")
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


def cased(tail, up=f"[{UP}]", low=f"[{LOW}]"):
    lead = r"[^\r\n\p{L}\p{N}]?"
    return f"{lead}{up}*{low}+{tail}|{lead}{up}+{low}*{tail}"


def llama3(numbers=r"\p{N}{1,3}"):
    return f"{SHORT}|{WORD}|{numbers}|{SIGNS}|{LINES}"


O200K = f"{cased(SHORT + '?')}|\\p{{N}}{{1,3}}|{SLASHES}|{LINES}"
BLANK_RUNS = "|".join(rf"\s{{{n}}}(?!\S)" for n in
                      (512, 256, 128, 64, 32, 16, 8, 4)) + r"|\s{1,2}(?!\S)|\s"
DEEPSEEK_V3 = [r"\p{N}{1,3}", HAN_KANA,
               SIGN_WORDS + r"| ?[\p{P}\p{S}]+[\r\n]*|" + LINES]
NEW = {
    "tekken": [f"{cased('')}|\\p{{N}}|{SLASHES}|{LINES}"],
    "gpt-4o": [O200K],
    "qwen35": [SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + LINES],
    "hunyuan-dense": DEEPSEEK_V3,
    "exaone-moe": [SHORT + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)"
                   r"*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|" + TAIL],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
                   r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|" + TAIL],
    "jais-2": [f"{SHORT}|{WORD}|\\p{{N}}{{1,3}}|{SIGNS}|\\s*[\\r\\n]+|"
               + BLANK_RUNS],
    "minicpm5": [r"\p{N}{1,3}", llama3(r"\p{N}+")],
    "laguna": [r"[^\n]+|[\n]+", llama3(r"\p{N}")],
    "seed-coder": [f"{SHORT}|{WORD}|\\p{{N}}{{1}}"
                   r"| ?[^\s\p{L}\p{N}\r\n]+|" + LINES],
    "ufakzeka": [f"{WORD}|\\p{{N}}|{SIGNS}|{LINES}"],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + HAN_KANA,
              f"{cased(SHORT + '?')}|\\p{{N}}|{SLASHES}|{LINES}"],
    "kimi-k2": [r"[\p{Han}]+|" + cased(
        SHORT + "?", f"[{UP}&&[^\\p{{Han}}]]", f"[{LOW}&&[^\\p{{Han}}]]") +
        f"|\\p{{N}}{{1,3}}|{SIGNS}|{LINES}"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+",
                       "[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"],
    "spark2_5": [r"\p{N}{1,3}", HAN_KANA,
                 SIGN_WORDS + r"| ?[\p{P}\p{S}]+|[\r\n]|" + TAIL, r"\p{N}"],
    "afmoe": [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
              "[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+"
              .replace("เ", "\u0e00"),
              SIGN_WORDS + r"| ?[\p{P}\p{S}]+[\r\n]*|" + LINES],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", O200K],
    "chameleon": ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                  r"([\t\n]|    |  )", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "gemma4": [r"[^\n]+|[\n]+"],
}
OLD = {"gpt-2": [GPT2], "smollm": [r"\p{N}", GPT2], "llama-bpe": [llama3()],
       "qwen2": [llama3(r"\p{N}")],
       "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]}
TEXTS = [
    "Hello WORLD helloWorld HTTPServer don't CAN'T we'LL it'ſ", "a\n\n  b\r\n\t c  \n",
    "123 1234567 12ab345 ½12 1,000,000.50", "ÉDer ǅ ʰh Ünïcode e\u0301x \u0301a",
    "你好，世界 カタカナ ひらがな 々", "안녕하세요 세계 ㄱㄴ สวัสดี", "नमस्ते दुनिया १२३४",
    "x=1;y[2]->z://a/b/\n/c \\d\t_e", "🙂👩\u200d👩 \u00a0\u2003 \u3000end",
    "<sentinel:12>IMGIMGABZ     four    2  one …—“q” ‘r’", "a b c  d\u0300 e\u0300 f",
    "\n \n \n  \n", "    " * 20 + "x" + " " * 9,
]
PARTS = list("aAzéÉ'sStTlLrRdD019½²_/-.,!<|$+ \t\n\r\u00a0\u3000\u0301\u0ab0漢々あカ한ㄱก") \
    + ["'s", "'LL", "  ", "\n\n", "123", "🙂", "ǅ", "ʰ", "ª", "…", "”"]


def pieces(expressions, text):
    parts = [text]
    for expression in expressions:
        compiled = regex.compile(expression, regex.V1)
        made = []
        for part in parts:
            at = 0
            for hit in compiled.finditer(part):
                made += [part[at:hit.start()], hit.group()]
                at = hit.end()
            made.append(part[at:])
        parts = [part for part in made if part]
    return parts


def main():
    texts, kinds = TEXTS, NEW
    if "--random" in sys.argv:
        count, seed = map(int, sys.argv[-2:])
        chance, kinds = random.Random(seed), NEW | OLD
        texts = ["".join(chance.choices(PARTS, k=chance.randint(1, 24)))
                 for _ in range(count)]
    else:
        path = pathlib.Path(__file__).parent / "split.txt"
        for line in path.read_text().splitlines():
            if line.split()[0] not in NEW:
                print(line)
    for text in texts:
        for name, expressions in kinds.items():
            lengths = [len(part.encode()) for part in pieces(expressions, text)]
            print(name, text.encode().hex(), ",".join(map(str, lengths)))


if __name__ == "__main__":
    main()
