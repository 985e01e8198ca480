/* Expression: opens regular expressions, and cuts texts with them. */
#include "engine/token/expression/expression.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/expression/automaton.h"
#include "engine/token/unicode.h"
#include "engine/token/vocab/vocab.h"

/* ---- opening ---- */

/* Expressions that look ahead at all threes of digits that follow. */
static const struct {
    const char *text;
    enum flo_threes threes;
} known[] = {
    {"\\d{1,3}(?=(?:\\d{3})*\\b)", FLO_THREES_OF_WORDS},
    {"(?=(\\d{3})+(?!\\d))", FLO_THREES_BEFORE},
    {"(?=(?:\\d{3})+(?!\\d))", FLO_THREES_BEFORE},
    {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))", FLO_THREES_OF_NUMBERS},
};

static bool is_known(const char *text, size_t bytes, enum flo_threes *out)
{
    for (size_t i = 0; i < FLO_COUNT(known); i++) {
        if (strlen(known[i].text) == bytes && memcmp(known[i].text, text, bytes) == 0) {
            *out = known[i].threes;
            return true;
        }
    }
    return false;
}

/* Makes the automaton of a syntax tree. */
static int make(const struct flo_regex *regular, struct flo_expression *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_regex_act *program = NULL;
    uint32_t count = 0;
    FLO_TRY(flo_classes_make(regular, &out->classes, err));
    FLO_TRY(flo_program_make(regular, &out->classes, &program, &count, err));
    FLO_TRY(flo_automaton_make(program, count, out->classes.count, &out->automaton, err));
    for (uint32_t byte = 0; byte < 256; byte++) {
        out->byte_classes[byte] =
            (uint8_t)flo_classes_of(&out->classes, flo_byte_to_code((uint8_t)byte));
    }
    return 0;
}

static int compile(const char *text, size_t bytes, struct flo_expression *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_regex *regular = calloc(1, sizeof(*regular));
    if (regular == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an expression");
    }
    int rv = flo_regex_read(text, bytes, regular, err);
    if (rv == 0) {
        rv = make(regular, out, err);
    }
    flo_regex_deinit(regular);
    return rv;
}

int flo_expression_open(const char *text, size_t bytes, struct flo_expression **out,
                        struct flo_err *err)
{
    static const char mark[] = "(?#bytes)";
    struct flo_expression *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an expression");
    }
    if (bytes >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0) {
        made->reads_bytes = true;
        text += sizeof(mark) - 1;
        bytes -= sizeof(mark) - 1;
    }
    int rv = is_known(text, bytes, &made->threes) && !made->reads_bytes
                 ? 0
                 : compile(text, bytes, made, err);
    if (rv < 0) {
        flo_expression_close(made);
        return rv;
    }
    *out = made;
    return 0;
}

void flo_expression_close(struct flo_expression *expression)
{
    if (expression != NULL) {
        free(expression->classes.changes);
        free(expression->automaton.table);
        free(expression);
    }
}

/* ---- the memory of what failed ---- */

#define LONG_BYTES 256u /* a search that goes on so long without a match is remembered */

/* Returns how many bytes of text share a place in the memo.  With more states
 * they are more, so that the memo has at most two bits for each byte. */
static size_t place_bytes(const struct flo_automaton *automaton)
{
    size_t bytes = automaton->state_count / 2;
    return bytes > 16 ? bytes : 16;
}

static void forget(struct flo_expression_memo *memo, size_t from, size_t end)
{
    memo->from = from;
    memo->end = end;
    memo->bytes = 0;
    memo->run_from = memo->run_end = memo->run_count = 0;
}

static bool reserve(struct flo_expression_memo *memo, size_t bytes)
{
    if (memo->bytes != 0) {
        return true;
    }
    if (bytes > memo->capacity) {
        uint8_t *failures = realloc(memo->failures, bytes);
        if (failures == NULL) {
            memo->failed = true;
            return false;
        }
        memo->failures = failures;
        memo->capacity = bytes;
    }
    memset(memo->failures, 0, bytes);
    memo->bytes = bytes;
    return true;
}

void flo_expression_memo_deinit(struct flo_expression_memo *memo)
{
    free(memo->failures);
    *memo = (struct flo_expression_memo){0};
}

/* ---- matching ---- */

struct search {
    const struct flo_expression *expression;
    const char *text;
    size_t end;
    struct flo_expression_memo *memo;
};

/* Returns the class of the character at `at`, and the place after it. */
static inline uint32_t class_at(const struct search *s, size_t at, size_t *next)
{
    const struct flo_expression *e = s->expression;
    uint8_t byte = (uint8_t)s->text[at];
    size_t taken = 1;
    uint32_t class;
    if (e->reads_bytes) {
        class = e->byte_classes[byte];
    } else if (byte < 0x80) {
        class = e->classes.ascii[byte];
    } else {
        class =
            flo_classes_beyond_ascii(&e->classes, flo_utf8_next(s->text + at, s->end - at, &taken));
    }
    *next = at + taken;
    return class;
}

/* Walks on from a state that is remembered to have failed, or marks it so. */
static void mark_failures(const struct search *s, size_t at, uint32_t state, size_t until)
{
    const struct flo_automaton *a = &s->expression->automaton;
    struct flo_expression_memo *memo = s->memo;
    size_t row = s->expression->classes.count + 1, unit = place_bytes(a);
    size_t places = (memo->end - memo->from) / unit + 1;
    if (!reserve(memo, (places * a->state_count + 7) / 8)) {
        return;
    }
    size_t place = (at - memo->from) / unit;
    while (at < until) {
        size_t next;
        uint32_t class = class_at(s, at, &next);
        state = a->table[state * row + class] >> 1;
        at = next;
        if ((at - memo->from) / unit != place) {
            place = (at - memo->from) / unit;
            size_t bit = place * a->state_count + state;
            memo->failures[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
}

static bool has_failed(const struct search *s, size_t at, uint32_t state, size_t *place)
{
    const struct flo_automaton *a = &s->expression->automaton;
    size_t now = (at - s->memo->from) / place_bytes(a);
    if (now == *place) {
        return false;
    }
    *place = now;
    size_t bit = now * a->state_count + state;
    return (s->memo->failures[bit / 8] >> bit % 8 & 1) != 0;
}

/* Returns the end of the match that begins at `from`; 0 if there is none. */
static size_t match(const struct search *s, size_t from)
{
    const struct flo_automaton *a = &s->expression->automaton;
    size_t row = s->expression->classes.count + 1;
    uint32_t state = a->start, matched_state = state;
    size_t at = from, matched = from;
    size_t place = (from - s->memo->from) / place_bytes(a);
    while (state != 0) {
        size_t next = at;
        uint32_t class = at < s->end ? class_at(s, at, &next) : (uint32_t)row - 1;
        uint16_t to = a->table[state * row + class];
        if ((to & 1) != 0) {
            matched = at;
            matched_state = state;
        }
        if (at == s->end) {
            break;
        }
        state = to >> 1;
        at = next;
        if (s->memo->bytes != 0 && has_failed(s, at, state, &place)) {
            break;
        }
    }
    if (at - matched > LONG_BYTES) {
        mark_failures(s, matched, matched_state, at);
    }
    return matched > from ? matched : 0;
}

/* ---- threes of digits ---- */

static bool is_digit(enum flo_threes threes, uint32_t code)
{
    enum flo_unicode_category category = flo_unicode_category(code);
    return category == FLO_UNICODE_ND ||
           (threes == FLO_THREES_OF_NUMBERS &&
            (category == FLO_UNICODE_NL || category == FLO_UNICODE_NO));
}

/* Tells whether a word goes on after digits: a letter, a mark or a low line. */
static bool goes_on(const struct search *s, size_t at)
{
    size_t taken;
    if (at == s->end) {
        return false;
    }
    enum flo_unicode_category category =
        flo_unicode_category(flo_utf8_next(s->text + at, s->end - at, &taken));
    return (category >= FLO_UNICODE_LL && category <= FLO_UNICODE_MN) || category == FLO_UNICODE_PC;
}

/* Returns the number of digits from `at` on, and where they end. */
static size_t count_digits(const struct search *s, size_t at, size_t *end)
{
    size_t count = 0, taken;
    for (; at < s->end; at += taken, count++) {
        if (!is_digit(s->expression->threes, flo_utf8_next(s->text + at, s->end - at, &taken))) {
            break;
        }
    }
    *end = at;
    return count;
}

static size_t skip_characters(const struct search *s, size_t at, size_t count)
{
    size_t taken;
    for (; count > 0 && at < s->end; count--, at += taken) {
        flo_utf8_next(s->text + at, s->end - at, &taken);
    }
    return at;
}

/* Finds the next run of digits that is cut.  Returns false if there is none. */
static bool find_run(const struct search *s, size_t at)
{
    enum flo_threes threes = s->expression->threes;
    struct flo_expression_memo *memo = s->memo;
    while (at < s->end) {
        size_t end, count = count_digits(s, at, &end);
        if (count > 0 && (threes != FLO_THREES_OF_WORDS || !goes_on(s, end))) {
            memo->run_from = at;
            memo->run_end = end;
            memo->run_count = count;
            return true;
        }
        at = skip_characters(s, end, 1);
    }
    return false;
}

/* Cuts runs of digits into threes from the right.  The memo has the run that
 * was found last, so each run is counted once. */
static size_t piece_of_threes(const struct search *s, size_t from)
{
    const struct flo_expression_memo *memo = s->memo;
    bool before = s->expression->threes == FLO_THREES_BEFORE;
    for (size_t at = from;;) {
        if ((at < memo->run_from || at >= memo->run_end) && !find_run(s, at)) {
            return s->end;
        }
        if (at <= memo->run_from) {
            size_t cut = skip_characters(s, memo->run_from, memo->run_count % 3);
            if (!before && memo->run_from > from) {
                return memo->run_from;
            }
            if (cut > from && (!before || memo->run_count >= 3)) {
                return cut;
            }
            at = cut;
        }
        if (at < memo->run_end && (!before || memo->run_count >= 3)) {
            size_t end = skip_characters(s, at, 3); /* a three begins at `at` */
            if (!before || end < memo->run_end) {
                return end;
            }
        }
        at = memo->run_end;
    }
}

size_t flo_expression_next(const struct flo_expression *expression, const char *text, size_t from,
                           size_t end, struct flo_expression_memo *memo, bool *is_match)
{
    const struct search s = {expression, text, end, memo};
    *is_match = false;
    if (from < memo->from || from >= memo->end || end != memo->end) {
        forget(memo, from, end);
    }
    if (expression->threes != FLO_THREES_NONE) {
        return piece_of_threes(&s, from);
    }
    size_t row = expression->classes.count + 1;
    const uint16_t *first = &expression->automaton.table[expression->automaton.start * row];
    for (size_t at = from; at < end;) {
        size_t next;
        uint32_t class = class_at(&s, at, &next);
        size_t match_end = first[class] >> 1 != 0 ? match(&s, at) : 0;
        if (memo->failed) {
            return end;
        }
        if (match_end != 0) {
            *is_match = at == from;
            return at > from ? at : match_end;
        }
        at = next;
    }
    return end;
}

size_t flo_expression_piece(const struct flo_expression *expression, const char *text, size_t from,
                            size_t end, struct flo_expression_memo *memo)
{
    bool is_match;
    return flo_expression_next(expression, text, from, end, memo, &is_match);
}

bool flo_expression_matches(const struct flo_expression *expression)
{
    return expression->threes == FLO_THREES_NONE;
}
