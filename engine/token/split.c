/* Pre-tokenizers as scanners.
 *
 * GPT-2:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 *         |\s+(?!\S)|\s+
 * Llama 3 and Qwen 2 (\p{N}{1,3} and \p{N}):
 *         (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *         | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * Tekken: as Llama 3, but its words are
 *         [^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*
 *         (U: letters but a-z, L: letters but A-Z), digits one by one, and
 *         [\r\n/]* behind others.
 * The first alternative that matches wins, as in the expressions. */
#include "engine/token/split.h"

#include <string.h>

#include "engine/token/unicode.h"

#define END UINT32_MAX /* behind the last code point */

static const struct flo_split_name names[] = {
    {"gpt-2", FLO_SPLIT_GPT2, false, false},
    {"phi-2", FLO_SPLIT_GPT2, false, false},
    {"mpt", FLO_SPLIT_GPT2, false, false},
    {"olmo", FLO_SPLIT_GPT2, false, false},
    {"smollm", FLO_SPLIT_DIGITS, false, false},
    {"starcoder", FLO_SPLIT_DIGITS, false, false},
    {"refact", FLO_SPLIT_DIGITS, false, false},
    {"command-r", FLO_SPLIT_DIGITS, false, false},
    {"codeshell", FLO_SPLIT_DIGITS, false, false},
    {"exaone", FLO_SPLIT_DIGITS, false, false},
    {"llama-bpe", FLO_SPLIT_LLAMA3, true, true},
    {"llama3", FLO_SPLIT_LLAMA3, true, true},
    {"llama-v3", FLO_SPLIT_LLAMA3, true, true},
    {"qwen2", FLO_SPLIT_QWEN2, false, false},
    {"tekken", FLO_SPLIT_TEKKEN, true, true},
    {"deepseek-llm", FLO_SPLIT_DEEPSEEK, false, false},
    {"stablelm2", FLO_SPLIT_QWEN2, false, false},
    {"deepseek-r1-qwen", FLO_SPLIT_QWEN2, false, false},
};

const struct flo_split_name *flo_split_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i].name) == bytes &&
            memcmp(names[i].name, name, bytes) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

/* A place in a text: the code point there, its class and its end. */
struct place {
    const char *text;
    size_t bytes;
    size_t at;
    size_t next;
    uint32_t code; /* or END */
    enum flo_unicode_class is;
};

static struct place place_at(const char *text, size_t bytes, size_t at)
{
    struct place p = {text, bytes, at, at, END, FLO_UNICODE_OTHER};
    if (at < bytes) {
        size_t taken;
        p.code = flo_utf8_next(text + at, bytes - at, &taken);
        p.next = at + taken;
        p.is = flo_unicode_class(p.code);
    }
    return p;
}

static struct place after(const struct place *p)
{
    return place_at(p->text, p->bytes, p->next);
}

static bool is_other(const struct place *p)
{
    return p->code != END && p->is == FLO_UNICODE_OTHER;
}

static struct place skip_class(struct place p, enum flo_unicode_class is)
{
    while (p.code != END && p.is == is) {
        p = after(&p);
    }
    return p;
}

static bool is_newline(const struct place *p)
{
    return p->code == '\r' || p->code == '\n';
}

/* End of 's 't 'm 'd 're 've 'll at an apostrophe, else 0. */
static size_t contraction(const struct place *start, bool any_case)
{
    static const char *const tails[] = {"s", "t", "m", "d", "re", "ve", "ll"};
    char fold = any_case ? 32 : 0;
    if (start->code != '\'') {
        return 0;
    }
    const char *tail = start->text + start->next;
    size_t left = start->bytes - start->next;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        size_t bytes = strlen(tails[i]);
        if (left >= bytes && (tail[0] | fold) == tails[i][0] &&
            (bytes == 1 || (tail[1] | fold) == tails[i][1])) {
            return start->next + bytes;
        }
    }
    return 0;
}

/* A run of blanks: `\s+(?!\S)|\s+`; the last blank before a word is left to
 * the word when there are more. */
static size_t blanks(const struct place *start)
{
    size_t last = start->at;
    struct place p = *start;
    while (p.code != END && p.is == FLO_UNICODE_BLANK) {
        last = p.at;
        p = after(&p);
    }
    return p.code != END && last > start->at ? last : p.at;
}

static size_t word_gpt2(const char *text, size_t bytes, size_t at)
{
    struct place start = place_at(text, bytes, at);
    size_t end = contraction(&start, false);
    if (end != 0) {
        return end;
    }
    struct place p = start.code == ' ' ? after(&start) : start;
    if (p.code != END && p.is != FLO_UNICODE_BLANK) {
        return skip_class(p, p.is).at;
    }
    return blanks(&start);
}

/* `\s*[\r\n]+`: the end behind the last newline of a run of blanks, or 0. */
static size_t blanks_to_newline(const struct place *start)
{
    size_t end = 0;
    struct place p = *start;
    while (p.code != END && p.is == FLO_UNICODE_BLANK) {
        if (is_newline(&p)) {
            end = p.next;
        }
        p = after(&p);
    }
    return end;
}

static size_t word_llama3(const char *text, size_t bytes, size_t at,
                          int digits_max)
{
    struct place start = place_at(text, bytes, at);
    struct place second = after(&start);
    size_t end = contraction(&start, true);
    if (end != 0) {
        return end;
    }
    if (start.is == FLO_UNICODE_LETTER) {
        return skip_class(start, FLO_UNICODE_LETTER).at;
    }
    if (start.is != FLO_UNICODE_NUMBER && !is_newline(&start) &&
        second.code != END && second.is == FLO_UNICODE_LETTER) {
        return skip_class(second, FLO_UNICODE_LETTER).at;
    }
    if (start.is == FLO_UNICODE_NUMBER) {
        struct place p = start;
        for (int i = 0;
             i < digits_max && p.code != END && p.is == FLO_UNICODE_NUMBER;
             i++) {
            p = after(&p);
        }
        return p.at;
    }
    struct place p = start.code == ' ' ? second : start;
    if (is_other(&p)) {
        p = skip_class(p, FLO_UNICODE_OTHER);
        while (is_newline(&p)) {
            p = after(&p);
        }
        return p.at;
    }
    end = blanks_to_newline(&start);
    return end != 0 ? end : blanks(&start);
}

static bool is_upper(const struct place *p)
{
    return p->is == FLO_UNICODE_LETTER && !(p->code >= 'a' && p->code <= 'z');
}

static bool is_lower(const struct place *p)
{
    return p->is == FLO_UNICODE_LETTER && !(p->code >= 'A' && p->code <= 'Z');
}

/* `U*L+|U+L*` at a letter.  Letters without ASCII case are both: U takes them
 * first and gives back the last one for L to begin with. */
static size_t word_by_case(struct place p)
{
    struct place lower = p; /* where L+ may begin last within U's run */
    bool has_lower = false;
    while (is_upper(&p)) {
        if (is_lower(&p)) {
            lower = p;
            has_lower = true;
        }
        p = after(&p);
    }
    if (is_lower(&p)) {
        lower = p;
        has_lower = true;
    }
    if (!has_lower) {
        return p.at;
    }
    while (is_lower(&lower)) {
        lower = after(&lower);
    }
    return lower.at;
}

static size_t word_tekken(const char *text, size_t bytes, size_t at)
{
    struct place start = place_at(text, bytes, at);
    struct place second = after(&start);
    if (start.is == FLO_UNICODE_LETTER) {
        return word_by_case(start);
    }
    if (start.is == FLO_UNICODE_NUMBER) {
        return start.next;
    }
    if (!is_newline(&start) && second.is == FLO_UNICODE_LETTER) {
        return word_by_case(second);
    }
    struct place p = start.code == ' ' ? second : start;
    if (is_other(&p)) {
        p = skip_class(p, FLO_UNICODE_OTHER);
        while (is_newline(&p) || p.code == '/') {
            p = after(&p);
        }
        return p.at;
    }
    size_t end = blanks_to_newline(&start);
    return end != 0 ? end : blanks(&start);
}

/* Numbers stand alone; what lies between them is cut by itself. */
static size_t word_digits(struct flo_split *split)
{
    struct place p = place_at(split->text, split->bytes, split->position);
    if (split->position >= split->segment_end) {
        if (p.is == FLO_UNICODE_NUMBER) {
            return p.next;
        }
        while (p.code != END && p.is != FLO_UNICODE_NUMBER) {
            p = after(&p);
        }
        split->segment_end = p.at;
    }
    return word_gpt2(split->text, split->segment_end, split->position);
}

void flo_split_init(struct flo_split *split, enum flo_split_kind kind,
                    const char *text, size_t bytes)
{
    memset(split, 0, sizeof(*split));
    split->kind = kind;
    split->text = text;
    split->bytes = bytes;
}

bool flo_split_next(struct flo_split *split, const char **word,
                    size_t *word_bytes)
{
    size_t start = split->position;
    size_t end = start;
    if (start >= split->bytes) {
        return false;
    }
    switch (split->kind) {
    case FLO_SPLIT_GPT2:
        end = word_gpt2(split->text, split->bytes, start);
        break;
    case FLO_SPLIT_DIGITS:
        end = word_digits(split);
        break;
    case FLO_SPLIT_LLAMA3:
        end = word_llama3(split->text, split->bytes, start, 3);
        break;
    case FLO_SPLIT_QWEN2:
        end = word_llama3(split->text, split->bytes, start, 1);
        break;
    case FLO_SPLIT_TEKKEN:
        end = word_tekken(split->text, split->bytes, start);
        break;
    case FLO_SPLIT_DEEPSEEK:
        end = flo_split_deepseek(split);
        break;
    case FLO_SPLIT_WHOLE:
        end = split->bytes;
        break;
    }
    *word = split->text + start;
    *word_bytes = end - start;
    split->position = end;
    return true;
}
