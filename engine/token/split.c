/* Split: splits texts as pre-tokenizers do, whose regular expressions are
 * tables here. */
#include "engine/token/split.h"

#include <string.h>

#include "engine/token/unicode.h"

enum {
    UPPER = FLO_UNICODE_UPPER,
    LOWER = FLO_UNICODE_LOWER,
    LETTER = FLO_UNICODE_LETTER,
    NUMBER = FLO_UNICODE_NUMBER,
    NEWLINE = FLO_UNICODE_NEWLINE,
    BLANK = FLO_UNICODE_BLANK,
    SPACE = FLO_UNICODE_SPACE,
    SIGN = FLO_UNICODE_SIGN,
    BEFORE_WORD = FLO_UNICODE_INLINE | SIGN, /* [^\r\n\p{L}\p{N}] */
};

struct text {
    const char *data;
    size_t bytes;
};

/* A position in a text, with the character sets to which the character there
 * belongs (none at the text's end). */
struct place {
    size_t at;
    size_t next;
    unsigned is;
};

enum form {
    NONE,                 /* ends the list of rules */
    RUN,                  /* lead?body+tail* */
    FULL_RUN,             /* exactly `most` characters */
    RUN_BY_CASE,          /* lead?U*L+|lead?U+L* */
    CONTRACTION,          /* 's|'t|'m|'d|'re|'ve|'ll */
    CONTRACTION_ANY_CASE, /* as CONTRACTION, with capital letters too */
    BLANKS,               /* \s+(?!\S)|\s+ */
    LINES_OR_BLANKS,      /* \s*[\r\n]+|\s+(?!\S)|\s+ */
    BLANKS_AT_END,        /* \s+$ */
};

struct rule {
    enum form form;
    uint16_t lead; /* character sets of the first character, which may be absent */
    /* character sets of the characters in the middle, of which there must be
     * one or more */
    uint16_t body;
    uint16_t most; /* 0: any number */
    uint16_t tail; /* character sets of any number of characters at the end */
};

/* Alternatives of one regular expression.  The first one that matches
 * counts. */
struct flo_split_expression {
    struct rule rules[6];
};

static inline struct place place_at(const struct text *text, size_t at)
{
    size_t taken = 1;
    if (at >= text->bytes) {
        return (struct place){at, at, 0};
    }
    uint32_t code = (uint8_t)text->data[at];
    if (code >= 0x80) {
        code = flo_utf8_next(text->data + at, text->bytes - at, &taken);
    }
    return (struct place){at, at + taken, flo_unicode_sets(code)};
}

static inline struct place skip(const struct text *text, struct place p, unsigned set)
{
    while ((p.is & set) != 0) {
        p = place_at(text, p.next);
    }
    return p;
}

/* ---- what matches: the end of it, or 0 ---- */

static size_t run(const struct text *text, const struct rule *rule, struct place p)
{
    int i = 0;
    for (; (p.is & rule->body) != 0 && (i == 0 || i != rule->most); i++) {
        p = place_at(text, p.next);
    }
    if (rule->form == FULL_RUN && i < rule->most) {
        return 0;
    }
    return skip(text, p, rule->tail).at;
}

/* Matches U*L+ or U+L*.  Letters without ASCII case are in both sets.  So U
 * takes as many as it can, and gives the last one back if L would get none. */
static size_t run_by_case(const struct text *text, struct place p)
{
    struct place lower = p; /* last place where a run of letters of the set LOWER (L+) may begin */
    for (; (p.is & UPPER) != 0; p = place_at(text, p.next)) {
        lower = (p.is & LOWER) != 0 ? p : lower;
    }
    lower = (p.is & LOWER) != 0 ? p : lower;
    return (lower.is & LOWER) != 0 ? skip(text, lower, LOWER).at : p.at;
}

/* Matches a contraction.  If case is ignored, `fold` is the bit that differs
 * between S and s; otherwise it is 0. */
static size_t contraction(const struct text *text, struct place start, char fold)
{
    static const char *const tails[] = {"s", "t", "m", "d", "re", "ve", "ll"};
    const char *tail = text->data + start.next;
    size_t left = text->bytes - start.next;
    if (text->data[start.at] != '\'') {
        return 0;
    }
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        size_t bytes = strlen(tails[i]);
        if (left >= bytes && (tail[0] | fold) == tails[i][0] &&
            (bytes == 1 || (tail[1] | fold) == tails[i][1])) {
            return start.next + bytes;
        }
    }
    return 0;
}

/* Matches blanks.  The last of several blanks before a word is left for the
 * word. */
static size_t blanks(const struct text *text, enum form form, struct place p)
{
    size_t first = p.at;
    size_t last = first;
    size_t line_end = 0;
    for (; (p.is & BLANK) != 0; p = place_at(text, p.next)) {
        last = p.at;
        line_end = (p.is & NEWLINE) != 0 ? p.next : line_end;
    }
    if (form == BLANKS_AT_END) {
        return p.is == 0 ? p.at : 0;
    }
    if (form == LINES_OR_BLANKS && line_end != 0) {
        return line_end;
    }
    return p.is != 0 && last > first ? last : p.at;
}

static size_t match_rule(const struct text *text, const struct rule *rule, struct place start,
                         struct place second)
{
    struct place body = (start.is & rule->lead) != 0 ? second : start;
    if (rule->body != 0 && (body.is & rule->body) == 0) {
        return 0;
    }
    switch (rule->form) {
    case RUN:
    case FULL_RUN:
        return run(text, rule, body);
    case RUN_BY_CASE:
        return run_by_case(text, body);
    case CONTRACTION:
        return contraction(text, start, 0);
    case CONTRACTION_ANY_CASE:
        return contraction(text, start, 'S' ^ 's');
    case BLANKS:
    case LINES_OR_BLANKS:
    case BLANKS_AT_END:
        return blanks(text, rule->form, start);
    case NONE:
        break;
    }
    return 0;
}

/* Returns the end of the piece that begins at `at`.  If a match begins there,
 * the piece is the match.  Otherwise it ends where the next match begins. */
static size_t piece_end(const struct text *text, const struct rule *rules, size_t at)
{
    struct place p = place_at(text, at);
    while (p.is != 0) {
        struct place second = place_at(text, p.next);
        size_t end = 0;
        for (const struct rule *r = rules; end == 0 && r->form != NONE; r++) {
            end = match_rule(text, r, p, second);
        }
        if (end != 0) {
            return p.at > at ? p.at : end;
        }
        /* If no match begins at a character of a run of `body` characters, none
         * begins later in this run. */
        p = (p.is & rules->body) != 0 ? skip(text, p, rules->body) : second;
    }
    return p.at;
}

/* ---- the expressions ---- */

/* Expressions of smollm: \p{N}, then between numbers the one of gpt-2:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 * |\s+(?!\S)|\s+ */
static const struct flo_split_expression smollm[] = {
    {{{RUN, 0, NUMBER, 1, 0}}},
    {{{CONTRACTION, 0, 0, 0, 0},
      {RUN, SPACE, LETTER, 0, 0},
      {RUN, SPACE, NUMBER, 0, 0},
      {RUN, SPACE, SIGN, 0, 0},
      {BLANKS, 0, BLANK, 0, 0}}},
};
#define GPT2 (&smollm[1])

/* Expressions of a file that names no pre-tokenizer: [\p{P}$+<=>^~|]+, then the
 * one of gpt-2, then \p{N}+, then [0-9][0-9][0-9] */
static const struct flo_split_expression unnamed[] = {
    {{{RUN, 0, FLO_UNICODE_PUNCTUATION, 0, 0}}},
    {{{CONTRACTION, 0, 0, 0, 0},
      {RUN, SPACE, LETTER, 0, 0},
      {RUN, SPACE, NUMBER, 0, 0},
      {RUN, SPACE, SIGN, 0, 0},
      {BLANKS, 0, BLANK, 0, 0}}},
    {{{RUN, 0, NUMBER, 0, 0}}},
    {{{FULL_RUN, 0, FLO_UNICODE_DIGIT, 3, 0}}},
};

/* Expression of llama3:
 * (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 * | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const struct flo_split_expression llama3 = {
    {{CONTRACTION_ANY_CASE, 0, 0, 0, 0},
     {RUN, BEFORE_WORD, LETTER, 0, 0},
     {RUN, 0, NUMBER, 3, 0},
     {RUN, SPACE, SIGN, 0, NEWLINE},
     {LINES_OR_BLANKS, 0, BLANK, 0, 0}},
};

/* Expression of qwen2: that of llama3, but with \p{N}. */
static const struct flo_split_expression qwen2 = {
    {{CONTRACTION_ANY_CASE, 0, 0, 0, 0},
     {RUN, BEFORE_WORD, LETTER, 0, 0},
     {RUN, 0, NUMBER, 1, 0},
     {RUN, SPACE, SIGN, 0, NEWLINE},
     {LINES_OR_BLANKS, 0, BLANK, 0, 0}},
};

/* Expression of tekken (U: letters but a-z, L: letters but A-Z):
 * [^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*|\p{N}
 * | ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const struct flo_split_expression tekken = {
    {{RUN_BY_CASE, BEFORE_WORD, LETTER, 0, 0},
     {RUN, 0, NUMBER, 1, 0},
     {RUN, SPACE, SIGN, 0, NEWLINE | FLO_UNICODE_SLASH},
     {LINES_OR_BLANKS, 0, BLANK, 0, 0}},
};

/* Expressions of deepseek: [\r\n], then \s?[cased letters]+, then \s?[marks]+,
 * then \s+$, then [ideographs]+, then \p{N}+ */
static const struct flo_split_expression deepseek[] = {
    {{{RUN, 0, NEWLINE, 1, 0}}},
    {{{RUN, BLANK, FLO_UNICODE_CASED, 0, 0}}},
    {{{RUN, BLANK, FLO_UNICODE_MARK, 0, 0}}},
    {{{BLANKS_AT_END, 0, BLANK, 0, 0}}},
    {{{RUN, 0, FLO_UNICODE_IDEOGRAPH, 0, 0}}},
    {{{RUN, 0, NUMBER, 0, 0}}},
};

/* Pre-tokenizers with their names, as other engines assign them.  A file that
 * names none has "default". */
static const struct flo_split_kind kinds[] = {
    {unnamed, 4, .names = {"default"}},
    {GPT2, 1,
     .names = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "a.x-4.0", "mellum", "exaone4",
               "trillion", "granite-docling"}},
    {smollm, 2,
     .names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
               "mellum2"}},
    {&llama3, 1, .prefers_whole = true, .adds_bos = true,
     .names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
               "lfm2", "jina-v5-nano"}},
    {&llama3, 1, .prefers_whole = true, .names = {"glm4", "glm5"}},
    {&llama3, 1, .names = {"chatglm-bpe", "dbrx", "smaug-bpe"}},
    {&qwen2, 1,
     .names = {"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2", "hunyuan",
               "solar-open", "grok-2"}},
    {&tekken, 1, .prefers_whole = true, .adds_bos = true, .names = {"tekken"}},
    {deepseek, 6, .names = {"deepseek-llm"}},
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

void flo_split_init(struct flo_split *split, const struct flo_split_kind *kind, const char *text,
                    size_t bytes)
{
    *split = (struct flo_split){.kind = kind, .text = text, .bytes = bytes};
}

bool flo_split_next(struct flo_split *split, const char **word, size_t *word_bytes)
{
    size_t start = split->position;
    struct text piece = {split->text, split->bytes};
    if (start >= piece.bytes) {
        return false;
    }
    for (size_t i = 0; i < split->kind->expression_count; i++) {
        if (split->ends[i] <= start) {
            split->ends[i] = piece_end(&piece, split->kind->expressions[i].rules, start);
        }
        piece.bytes = split->ends[i];
    }
    *word = split->text + start;
    *word_bytes = piece.bytes - start;
    split->position = piece.bytes;
    return true;
}
