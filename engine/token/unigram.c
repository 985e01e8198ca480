/* Unigram: makes the most likely tokens of a text (`tokenizer.ggml.model` =
 * t5), by the scores of SentencePiece's unigram models.
 *
 * Method: Viterbi's, with the best way to each place.  Ways are kept for as
 * many places as the longest token has bytes, so that a text takes two bytes of
 * memory for each byte. */
#include <float.h>
#include <stdlib.h>

#include "engine/token/unicode.h"
#include "engine/token/vocab/vocab.h"

#define WINDOW 1024u /* more places than a token has bytes; a power of two */
_Static_assert(WINDOW > FLO_PREFIX_BYTES_MAX + 4 && FLO_PREFIX_BYTES_MAX < 0x8000, "tokens fit");
#define UNKNOWN_BIT 0x8000u
#define UNKNOWN_PENALTY 10.0
#define SCORE_MAX 1e9 /* most that a score counts, so that sums stay finite */
/* Most bytes that a normalised text may have for each byte, and more. */
#define GROWTH_MAX 16u
#define GROWTH_MORE 4096u
#define CLUSTER_BYTES 6u /* a cluster with fewer bytes is replaced as a whole */

/* ---- normalisation ---- */

struct normal {
    const struct flo_vocab *vocab;
    struct flo_buf *out;
    bool has_prefix, is_in_word;
    bool is_plain; /* blanks stay as they are */
};

static void add_blank(struct normal *n)
{
    n->is_in_word = false;
    if (!n->vocab->merges_blanks) {
        flo_buf_text(n->out, FLO_SPM_BLANK);
    }
}

static void add_characters(struct normal *n, const char *text, size_t bytes)
{
    if (n->is_plain) {
        flo_buf_add(n->out, text, bytes);
        return;
    }
    for (size_t at = 0, taken; at < bytes; at += taken) {
        if (flo_unicode_is_blank(flo_utf8_next(text + at, bytes - at, &taken))) {
            add_blank(n);
            continue;
        }
        if (!n->is_in_word &&
            (n->vocab->merges_blanks || (n->vocab->adds_space && !n->has_prefix))) {
            flo_buf_text(n->out, FLO_SPM_BLANK);
            n->has_prefix = true;
        }
        n->is_in_word = true;
        flo_buf_add(n->out, text + at, taken);
    }
}

/* Returns how many bytes the character has together with the marks after
 * it. */
static size_t cluster_bytes(const char *text, size_t bytes)
{
    size_t at, taken;
    enum flo_unicode_category first = flo_unicode_category(flo_utf8_next(text, bytes, &at));
    if (bytes >= 2 && text[0] == '\r' && text[1] == '\n') {
        return 2;
    }
    bool takes_marks = first != FLO_UNICODE_CC && first != FLO_UNICODE_CF &&
                       first != FLO_UNICODE_ZL && first != FLO_UNICODE_ZP;
    while (takes_marks && at < bytes) {
        uint32_t code = flo_utf8_next(text + at, bytes - at, &taken);
        enum flo_unicode_category category = flo_unicode_category(code);
        bool is_mark = (category >= FLO_UNICODE_MC && category <= FLO_UNICODE_MN) ||
                       (code >= 0x200c && code <= 0x200d) || (code >= 0xff9e && code <= 0xff9f) ||
                       (code >= 0x1f3fb && code <= 0x1f3ff);
        if (!is_mark) {
            break;
        }
        at += taken;
    }
    return at;
}

/* Adds a text, or what it is replaced by if that is for its beginning. */
static bool add_replaced(struct normal *n, const char *text, size_t bytes)
{
    const char *replacement;
    if (flo_charsmap_find(&n->vocab->charsmap, text, bytes, &replacement) == 0) {
        return false;
    }
    size_t length = strlen(replacement);
    add_characters(n, replacement, flo_utf8_valid(replacement, length));
    return true;
}

/* Replaces short clusters as a whole, and the characters of others one by one,
 * as the tokenizers do that publish such vocabularies. */
static void normalize(struct normal n, const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes && !n.out->failed;) {
        size_t end = at + cluster_bytes(text + at, bytes - at), taken;
        if (end - at < CLUSTER_BYTES && add_replaced(&n, text + at, end - at)) {
            at = end;
        }
        for (; at < end; at += taken) {
            (void)flo_utf8_next(text + at, end - at, &taken);
            if (!add_replaced(&n, text + at, taken)) {
                add_characters(&n, text + at, taken);
            }
        }
    }
}

void flo_unigram_map(const struct flo_vocab *vocab, const char *text, size_t bytes,
                     struct flo_buf *out)
{
    normalize((struct normal){.vocab = vocab, .out = out, .is_plain = true}, text, bytes);
}

/* ---- the most likely tokens ---- */

struct ways {
    const struct flo_vocab *vocab;
    const char *text;
    size_t bytes;
    uint16_t *steps;     /* [bytes + 1]: bytes of the last token of the best way to a place */
    double best[WINDOW]; /* score of the best way to the places ahead */
};

static double score_of(const struct flo_vocab *vocab, int32_t id)
{
    float score = flo_get_f32(vocab->scores + 4 * (size_t)id);
    if (vocab->tokens[id].type == FLO_TOKEN_USER) {
        return 0;
    }
    return score < -SCORE_MAX ? -SCORE_MAX : score < SCORE_MAX ? (double)score : -SCORE_MAX;
}

static void offer(struct ways *w, size_t from, size_t to, double score, uint32_t step)
{
    double sum = w->best[from % WINDOW] + score;
    if (sum > w->best[to % WINDOW]) {
        w->best[to % WINDOW] = sum;
        w->steps[to] = (uint16_t)step;
    }
}

/* Offers the tokens that begin at a place, and an unknown character. */
static void go_on(struct ways *w, size_t from, size_t character_bytes)
{
    const struct flo_prefix *prefix = &w->vocab->prefix;
    struct flo_prefix_walk walk = {0};
    bool is_known = false;
    for (size_t at = from; at < w->bytes && flo_prefix_step(prefix, &walk, (uint8_t)w->text[at]);
         at++) {
        int32_t id = flo_prefix_hit(prefix, &walk);
        if (id >= 0) {
            is_known = is_known || walk.depth == character_bytes;
            offer(w, from, at + 1, score_of(w->vocab, id), walk.depth);
        }
    }
    if (!is_known) {
        offer(w, from, from + character_bytes, w->vocab->unknown_score,
              (uint32_t)character_bytes | UNKNOWN_BIT);
    }
}

static void find_ways(struct ways *w)
{
    size_t cleared = 0; /* places before it have a score, or none */
    for (size_t at = 0, taken; at < w->bytes; at += taken) {
        for (; cleared < at + WINDOW && cleared <= w->bytes; cleared++) {
            w->best[cleared % WINDOW] = cleared == 0 ? 0 : -DBL_MAX;
        }
        (void)flo_utf8_next(w->text + at, w->bytes - at, &taken);
        go_on(w, at, taken);
    }
}

/* Turns the steps around, so that each place of the best way has the step that
 * leaves it. */
static void turn(struct ways *w)
{
    uint16_t step = w->steps[w->bytes];
    for (size_t at = w->bytes; at > 0;) {
        size_t before = at - (step & ~UNKNOWN_BIT);
        uint16_t earlier = w->steps[before];
        w->steps[before] = step;
        step = earlier;
        at = before;
    }
}

static void add_ids(const struct ways *w, struct flo_tokens *tokens)
{
    bool was_unknown = false;
    for (size_t at = 0; at < w->bytes && !tokens->failed;) {
        uint32_t step = w->steps[at], bytes = step & ~UNKNOWN_BIT;
        bool is_unknown = (step & UNKNOWN_BIT) != 0;
        int32_t id =
            is_unknown ? w->vocab->facts.unknown : flo_vocab_find(w->vocab, w->text + at, bytes);
        if (id >= 0 && !(is_unknown && was_unknown)) {
            flo_tokens_add(tokens, id);
        }
        was_unknown = is_unknown;
        at += bytes;
    }
}

double flo_unigram_unknown_score(const struct flo_vocab *vocab)
{
    double least = 0;
    for (int32_t id = 0; id < vocab->facts.count; id++) {
        double score = vocab->tokens[id].type == FLO_TOKEN_NORMAL ? score_of(vocab, id) : 0;
        least = score < least ? score : least;
    }
    return least - UNKNOWN_PENALTY;
}

bool flo_unigram_word(const struct flo_vocab *vocab, const char *word, size_t bytes,
                      struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_free_cleanup) struct ways *ways = calloc(1, sizeof(*ways));
    if (ways == NULL) {
        return false;
    }
    *ways = (struct ways){.vocab = vocab, .text = word, .bytes = bytes};
    ways->steps = calloc(bytes + 1, sizeof(*ways->steps));
    if (ways->steps == NULL) {
        return false;
    }
    find_ways(ways);
    turn(ways);
    add_ids(ways, tokens);
    free(ways->steps);
    return true;
}

bool flo_unigram_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                      struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf normal = {.bytes_max = bytes * GROWTH_MAX + GROWTH_MORE};
    normalize((struct normal){.vocab = vocab, .out = &normal}, text, bytes);
    return !normal.failed &&
           (normal.bytes == 0 || flo_unigram_word(vocab, normal.data, normal.bytes, tokens));
}
