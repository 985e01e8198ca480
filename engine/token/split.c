/* Split: finds and compiles pre-tokenizers, and splits texts with them. */
#include "engine/token/split.h"

#include <string.h>

#include <flotilla/errors/gguf.h>

/* ---- parts that several expressions share ---- */

#define SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define LAST_BLANKS "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+|" LAST_BLANKS
/* Words by case: capital letters, then small ones. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED_WORD(tail)                                                                           \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER    \
    "*" tail
#define SIGNS_AND_SLASHES " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define HAN_LESS(letters) "[" letters "&&[^\\p{Han}]]"
#define KIMI_UPPER HAN_LESS("\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}")
#define KIMI_LOWER HAN_LESS("\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}")

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" LAST_BLANKS
#define LLAMA3 SHORT_FORMS "|" WORD "|\\p{N}{1,3}|" SIGNS "|" LINES
#define QWEN2 SHORT_FORMS "|" WORD "|\\p{N}|" SIGNS "|" LINES
#define O200K CASED_WORD(SHORT_FORMS "?") "|\\p{N}{1,3}|" SIGNS_AND_SLASHES "|" LINES
#define SIGN_WORDS                                                                                 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                        \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define KANJI_AND_KANA                                                                             \
    "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+"
#define BLOOM                                                                                      \
    " ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c)]+"
#define IDEOGRAPHS "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+"
#define LINES_APART "[^\\n]+|[\\n]+"
/* Letters that deepseek-llm counts as such. */
#define DEEPSEEK_LETTERS                                                                           \
    "A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf\\u01c4-\\u0293"     \
    "\\u0295-\\u02af\\u0370-\\u0373\\u0376-\\u0377\\u037b-\\u037d\\u037f\\u0386\\u0388-\\u038a"    \
    "\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5\\u03f7-\\u0481\\u048a-\\u052f\\u0531-\\u0556"           \
    "\\u10a0-\\u10c5\\u13a0-\\u13f5\\u13f8-\\u13fd\\u1c90-\\u1cba\\u1cbd-\\u1cbf\\u1d00-\\u1d2b"   \
    "\\u1d6b-\\u1d77\\u1d79-\\u1d9a\\u1e00-\\u1f15\\u1f18-\\u1f1d\\u1f20-\\u1f45\\u1f48-\\u1f4d"   \
    "\\u1f50-\\u1f57\\u1f59\\u1f5b\\u1f5d\\u1f5f-\\u1f7d\\u1f80-\\u1fb4\\u1fb6-\\u1fbc\\u1fbe"     \
    "\\u1fc2-\\u1fc4\\u1fc6-\\u1fcc\\u1fd0-\\u1fd3\\u1fd6-\\u1fdb\\u1fe0-\\u1fec\\u1ff2-\\u1ff4"   \
    "\\u1ff6-\\u1ffc\\u2102\\u2107\\u210a-\\u2113\\u2115\\u2119-\\u211d\\u2124\\u2126\\u2128"      \
    "\\u212a-\\u212d\\u212f-\\u2134\\u2139\\u213c-\\u213f\\u2145-\\u2149\\u214e\\u2183-\\u2184"    \
    "\\u2c00-\\u2c7b\\u2c7e-\\u2ce4\\u2ceb-\\u2cee\\u2cf2-\\u2cf3\\ua640-\\ua66d\\ua680-\\ua69b"   \
    "\\ua722-\\ua76f\\ua771-\\ua787\\ua78b-\\ua78e\\uab70-\\uabbf\\ufb00-\\ufb06\\ufb13-\\ufb17"   \
    "\\uff21-\\uff3a\\uff41-\\uff5a\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                     \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"         \
    "\\x{1e900}-\\x{1e943}"
/* Scripts that afmoe writes without blanks. */
#define AFMOE_SCRIPTS                                                                              \
    "[\\u4e00-\\u9fff\\u3400-\\u4dbf\\uf900-\\ufaff\\u3040-\\u309f\\u30a0-\\u30ff\\uff65-\\uff9f"  \
    "\\u2f00-\\u2fdf\\u0e00-\\u0e7f\\u0e80-\\u0eff\\u1780-\\u17ff\\u1000-\\u109f\\uaa60-\\uaa7f"   \
    "\\ua9e0-\\ua9ff\\uac00-\\ud7af\\u1100-\\u11ff]+"
#define YOUTU_SCRIPTS                                                                              \
    "[\\uac00-\\ud7a3\\u3131-\\u318e]+|[\\uff01\\u2026\\u201c\\u201d\\u2018\\u2019\\u2014\\uff1a"  \
    "\\uff1b\\uff0c\\u3001-\\u303f\\ufe30-\\ufe4f]+|[\\u3105-\\u312f]+|" KANJI_AND_KANA

/* ---- the pre-tokenizers ---- */

/* Pre-tokenizers with their names, as other engines assign them.  A file that
 * names none has "default". */
static const struct flo_split_kind kinds[] = {
#include "engine/token/split.def"
};

const struct flo_split_kind *flo_split_find(const char *name, size_t bytes, const char **found)
{
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        for (const char *const *n = kinds[i].names; *n != NULL; n++) {
            if (strlen(*n) == bytes && memcmp(*n, name, bytes) == 0) {
                *found = *n;
                return &kinds[i];
            }
        }
    }
    return NULL;
}

/* ---- compiling ---- */

int flo_splitter_add(struct flo_splitter *splitter, const char *text, size_t bytes,
                     struct flo_err *err)
{
    if (splitter->count == FLO_SPLIT_EXPRESSIONS_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "a pre-tokenizer of more than %d expressions",
                        FLO_SPLIT_EXPRESSIONS_MAX);
    }
    int rv = flo_expression_open(text, bytes, &splitter->expressions[splitter->count], err);
    if (rv < 0) {
        return flo_wrap(err, rv, "split %zu ('%.*s')", splitter->count + 1,
                        bytes < 64 ? (int)bytes : 64, text);
    }
    splitter->count++;
    return 0;
}

int flo_splitter_open(struct flo_splitter *splitter, const struct flo_split_kind *kind,
                      struct flo_err *err)
{
    for (size_t i = 0; i < FLO_SPLIT_EXPRESSIONS_MAX && kind->expressions[i] != NULL; i++) {
        FLO_TRY(
            flo_splitter_add(splitter, kind->expressions[i], strlen(kind->expressions[i]), err));
    }
    return 0;
}

void flo_splitter_close(struct flo_splitter *splitter)
{
    while (splitter->count > 0) {
        flo_expression_close(splitter->expressions[--splitter->count]);
    }
}

/* ---- splitting ---- */

void flo_split_init(struct flo_split *split, const struct flo_splitter *splitter, const char *text,
                    size_t bytes)
{
    *split = (struct flo_split){.splitter = splitter, .text = text, .bytes = bytes};
}

bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes)
{
    size_t start = split->position;
    size_t end = split->bytes;
    if (start >= end) {
        return false;
    }
    for (size_t i = 0; i < split->splitter->count; i++) {
        if (split->ends[i] <= start) {
            split->ends[i] = flo_expression_piece(split->splitter->expressions[i], split->text,
                                                  start, end, &split->memos[i]);
            split->failed = split->failed || split->memos[i].failed;
        }
        end = split->ends[i];
    }
    *word = split->text + start;
    *word_bytes = end - start;
    split->position = end;
    return !split->failed;
}

void flo_split_deinit(struct flo_split *split)
{
    for (size_t i = 0; i < FLO_SPLIT_EXPRESSIONS_MAX; i++) {
        flo_expression_memo_deinit(&split->memos[i]);
    }
}
