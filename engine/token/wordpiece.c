/* WordPiece: makes BERT's tokens of a text (`tokenizer.ggml.model` = bert).
 *
 * Control characters are dropped, accents and case if the vocabulary has none.
 * Words end at blanks; signs and ideographs are words of their own.  A word is
 * cut into the longest tokens from its beginning; if that fails, or the word is
 * too long, it is one unknown token.  Tokens at a word's beginning start with
 * U+2581, as llama.cpp's converter writes them. */
#include "engine/token/normalize.h"
#include "engine/token/unicode.h"
#include "engine/token/vocab/vocab.h"

/* Most characters of a word that is not unknown. */
#define CHARACTERS_MAX FLO_WORD_CHARACTERS_MAX
#define WORD_BYTES_MAX (4u * (CHARACTERS_MAX + 1))

struct words {
    const struct flo_vocab *vocab;
    struct flo_tokens *tokens;
    char word[WORD_BYTES_MAX]; /* U+2581 and the word */
    size_t bytes;
    size_t characters; /* characters of the word, also those that have no room */
};

bool flo_bert_is_ideograph(uint32_t code)
{
    return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
           (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
           (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b920 && code <= 0x2ceaf) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

static bool is_sign(uint32_t code, enum flo_unicode_category category)
{
    return flo_unicode_is_punctuation(category) ||
           (code < 0x7f && category >= FLO_UNICODE_SC && category <= FLO_UNICODE_SO);
}

/* Returns how many bytes the longest token has that the word begins with from
 * `at` on; 0 if there is none. */
static size_t longest(const struct words *w, size_t at, int32_t *id)
{
    const struct flo_prefix *prefix = &w->vocab->prefix;
    struct flo_prefix_walk walk = {0};
    size_t bytes = 0, end = w->bytes;
    /* inside a word U+2581 is a character, and begins no longer token */
    if (at > 0 && w->bytes - at >= sizeof(FLO_SPM_BLANK) - 1 &&
        memcmp(w->word + at, FLO_SPM_BLANK, sizeof(FLO_SPM_BLANK) - 1) == 0) {
        end = at + sizeof(FLO_SPM_BLANK) - 1;
    }
    for (size_t i = at; i < end && flo_prefix_step(prefix, &walk, (uint8_t)w->word[i]); i++) {
        int32_t hit = flo_prefix_hit(prefix, &walk);
        if (hit >= 0) {
            *id = hit;
            bytes = i + 1 - at;
        }
    }
    return bytes;
}

static void end_word(struct words *w)
{
    size_t count = w->tokens->count, at = 0;
    bool is_known = w->characters <= w->vocab->word_characters_max;
    if (w->characters == 0) {
        return;
    }
    while (is_known && at < w->bytes && !w->tokens->failed) {
        int32_t id = -1;
        size_t bytes = longest(w, at, &id);
        is_known = bytes > 0;
        if (is_known) {
            flo_tokens_add(w->tokens, id);
        }
        at += bytes;
    }
    if (!is_known) {
        w->tokens->count = count;
        if (w->vocab->facts.unknown >= 0) {
            flo_tokens_add(w->tokens, w->vocab->facts.unknown);
        }
    }
    w->characters = 0;
}

static void add_character(struct words *w, uint32_t code)
{
    if (w->characters == 0) {
        memcpy(w->word, FLO_SPM_BLANK, sizeof(FLO_SPM_BLANK) - 1);
        w->bytes = sizeof(FLO_SPM_BLANK) - 1;
    }
    if (w->characters < CHARACTERS_MAX) {
        w->bytes += flo_utf8_put(code, w->word + w->bytes);
    }
    w->characters++;
}

/* Adds a character after normalisation. */
static void add_code(struct words *w, uint32_t code)
{
    enum flo_unicode_category category = flo_unicode_category(code);
    if (w->vocab->strips_accents && category == FLO_UNICODE_MN) {
        return;
    }
    if (w->vocab->lowers && code == 0x130) { /* the one letter whose small form is two */
        add_character(w, 'i');
        add_character(w, 0x307);
        return;
    }
    bool stands_alone = is_sign(code, category) || flo_bert_is_ideograph(code);
    if (stands_alone) {
        end_word(w);
    }
    add_character(w, w->vocab->lowers ? flo_unicode_to_lower(code) : code);
    if (stands_alone) {
        end_word(w);
    }
}

bool flo_bert_drops(uint32_t code)
{
    enum flo_unicode_category category = flo_unicode_category(code);
    bool is_kept = code == '\t' || code == '\n' || code == '\r';
    return code == 0xfffd ||
           (!is_kept && (category == FLO_UNICODE_CC || category == FLO_UNICODE_CF ||
                         category == FLO_UNICODE_CO));
}

void flo_wordpiece_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                        struct flo_tokens *tokens)
{
    struct words w = {.vocab = vocab, .tokens = tokens};
    uint32_t codes[FLO_DECOMPOSED_MAX];
    for (size_t at = 0, taken; at < bytes && !tokens->failed; at += taken) {
        codes[0] = flo_utf8_next(text + at, bytes - at, &taken);
        if (flo_bert_drops(codes[0])) {
            continue;
        }
        if (flo_unicode_is_blank(codes[0])) {
            end_word(&w);
            continue;
        }
        size_t count = vocab->strips_accents ? flo_unicode_decompose(codes[0], codes) : 1;
        for (size_t i = 0; i < count; i++) {
            add_code(&w, codes[i]);
        }
    }
    end_word(&w);
}

void flo_wordpiece_word(const struct flo_vocab *vocab, const char *word, size_t bytes,
                        struct flo_tokens *tokens)
{
    struct words w = {.vocab = vocab, .tokens = tokens};
    for (size_t at = 0, taken; at < bytes; at += taken) {
        add_character(&w, flo_utf8_next(word + at, bytes - at, &taken));
    }
    end_word(&w);
}
