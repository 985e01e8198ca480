/* Golden cases: checks an answer against the matchers of a case.  Pure, with
 * bounded work. */
#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/tree/tree.h"

#define ANSWER_JSON_MAX (1u << 20)
#define NORM_SLACK 0.001

struct text {
    const char *data;
    size_t bytes;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static struct text text_of(const struct flo_golden_case *c, const struct flo_golden_answer *answer)
{
    struct text text = {answer->text != NULL ? answer->text : "",
                        answer->text != NULL ? answer->bytes : 0};
    while (c->trims && text.bytes > 0 && is_blank(text.data[0])) {
        text.data++;
        text.bytes--;
    }
    while (c->trims && text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    return text;
}

static bool has(struct text text, const char *part)
{
    return memmem(text.data, text.bytes, part, strlen(part)) != NULL;
}

/* ---- patterns ---- */

/* Returns the bytes of the character at `p`: its first byte and the
 * continuation bytes (10xxxxxx) that follow.  The text may be invalid UTF-8. */
static size_t character(const char *p, size_t bytes)
{
    size_t n = 1;
    while (n < bytes && ((unsigned char)p[n] & 0xc0) == 0x80) {
        n++;
    }
    return n;
}

/* Matches one pattern element other than a star at the front of the text.
 * Returns the bytes of text that match, or 0 for no match.  Sets *next past the
 * element. */
static size_t element(const char *pattern, const char **next, struct text text)
{
    if (text.bytes == 0) {
        return 0;
    }
    if (*pattern == '?') {
        *next = pattern + 1;
        return character(text.data, text.bytes);
    }
    if (*pattern == '#') {
        *next = pattern + 1;
        return text.data[0] >= '0' && text.data[0] <= '9' ? 1 : 0;
    }
    pattern += *pattern == '\\' ? 1 : 0;
    *next = pattern + 1;
    return *pattern == text.data[0] ? 1 : 0;
}

/* Matches a pattern. Only the last star is retried, so the work is at most the
 * text's bytes times the pattern's. */
static bool fits(const char *pattern, struct text text)
{
    const char *star = NULL;
    struct text at_star = text;
    while (text.bytes > 0 || *pattern != '\0') {
        const char *next = pattern;
        size_t n;
        if (*pattern == '*') {
            star = ++pattern;
            at_star = text;
            continue;
        }
        n = *pattern == '\0' ? 0 : element(pattern, &next, text);
        if (n > 0) {
            pattern = next;
            text.data += n;
            text.bytes -= n;
            continue;
        }
        if (star == NULL || at_star.bytes == 0) {
            return false;
        }
        at_star.data++;
        at_star.bytes--;
        text = at_star;
        pattern = star;
    }
    return true;
}

/* ---- JSON ---- */

/* Reads a number that an integer of 64 bits holds. */
static bool read_whole(const struct flo_tree_node *node, long long *out)
{
    char text[24];
    char *end;

    if (node->bytes >= sizeof(text)) {
        return false;
    }
    memcpy(text, node->text, node->bytes);
    text[node->bytes] = '\0';
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool same_number(const struct flo_tree_node *a, const struct flo_tree_node *b)
{
    long long whole_a, whole_b;
    double x, y;

    if (read_whole(a, &whole_a) && read_whole(b, &whole_b)) {
        return whole_a == whole_b;
    }
    return flo_tree_number(a, &x) && flo_tree_number(b, &y) && !(x < y) && !(x > y);
}

/* Compares JSON values.  The tree's reader bounds their depth, and the reader
 * of cases the members of an object. */
static bool same(const struct flo_tree_node *a, const struct flo_tree_node *b)
{
    if (a->kind != b->kind || a->kind == FLO_TREE_ODD) {
        return false;
    }
    if (a->kind == FLO_TREE_NUMBER) {
        return same_number(a, b);
    }
    if (a->kind != FLO_TREE_ARRAY && a->kind != FLO_TREE_OBJECT) {
        return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
    }
    bool is_same = flo_tree_count(a) == flo_tree_count(b);
    const struct flo_tree_node *other = flo_tree_first(b);
    for (const struct flo_tree_node *n = flo_tree_first(a); is_same && n != NULL; n = n->next) {
        other = a->kind == FLO_TREE_OBJECT ? flo_tree_member(b, n->key) : other;
        is_same = other != NULL && same(n, other);
        other = other != NULL ? other->next : NULL;
    }
    return is_same;
}

/* Decodes a JSON pointer (RFC 6901) up to the next slash. */
static bool part_of(const char **pointer, char *out, size_t out_bytes)
{
    const char *p = *pointer;
    size_t n = 0;
    for (; *p != '\0' && *p != '/' && n + 1 < out_bytes; p++) {
        char c = *p;
        if (c == '~') {
            p++;
            c = *p == '0' ? '~' : '/';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *pointer = p;
    return *p == '\0' || *p == '/';
}

static const struct flo_tree_node *element_of(const struct flo_tree_node *array, const char *part)
{
    char *end;
    bool is_index = part[0] >= '0' && part[0] <= '9' && (part[0] != '0' || part[1] == '\0') &&
                    strlen(part) < 10;
    if (!is_index) {
        return NULL;
    }
    unsigned long index = strtoul(part, &end, 10);
    const struct flo_tree_node *found = *end == '\0' ? flo_tree_first(array) : NULL;
    for (; found != NULL && index > 0; index--) {
        found = found->next;
    }
    return found;
}

static const struct flo_tree_node *at(const struct flo_tree_node *json, const char *pointer)
{
    char part[FLO_GOLDEN_MATCH_BYTES_MAX + 1];
    while (json != NULL && *pointer == '/') {
        pointer++;
        if (!part_of(&pointer, part, sizeof(part))) {
            return NULL;
        }
        json = json->kind == FLO_TREE_ARRAY    ? element_of(json, part)
               : json->kind == FLO_TREE_OBJECT ? flo_tree_member(json, part)
                                               : NULL;
    }
    return json;
}

static int judge_value(const struct flo_golden_match *match, const struct flo_tree_node *value,
                       struct flo_err *err)
{
    double number;

    if (value == NULL) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "the answer has nothing at %.100s", match->text);
    }
    if (match->kind == FLO_GOLDEN_EQUALS) {
        return same(match->value, value)
                   ? 0
                   : flo_fail(err, FLO_E_PROBE_GOLDEN, "the answer has another value at %.100s",
                              match->text);
    }
    if (!flo_tree_number(value, &number)) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "%.100s is no number", match->text);
    }
    return number >= match->low && number <= match->high
               ? 0
               : flo_fail(err, FLO_E_PROBE_GOLDEN, "%.100s is %.9g, not from %.9g to %.9g",
                          match->text, number, match->low, match->high);
}

static int judge_json(const struct flo_golden_match *match, struct text text, struct flo_err *err)
{
    struct flo_tree tree = {0};
    FLO_CLEANUP(flo_free_cleanup) char *copy = NULL;

    if (text.bytes > ANSWER_JSON_MAX || (copy = malloc(text.bytes + 1)) == NULL) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "the answer is no JSON object or array");
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    int rv = flo_tree_read(&tree, copy, text.bytes, 0, 0, NULL, err);
    bool is_json =
        rv == 0 && (tree.nodes->kind == FLO_TREE_OBJECT || tree.nodes->kind == FLO_TREE_ARRAY);
    rv = is_json ? judge_value(match, at(tree.nodes, match->text), err)
                 : flo_fail(err, FLO_E_PROBE_GOLDEN, "the answer is no JSON object or array");
    flo_tree_deinit(&tree);
    return rv;
}

/* ---- vectors ---- */

/* Tells whether a vector is finite and has length 1. */
static bool has_length_1(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i] * (double)v[i];
    }
    return isfinite(sum) && fabs(sqrt(sum) - 1) <= NORM_SLACK;
}

static int judge_cosine(const struct flo_golden_match *match,
                        const struct flo_golden_answer *answer, struct flo_err *err)
{
    double dot = 0;
    if (answer->n_vector == 0 || match->vector == NULL) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "there is no vector");
    }
    if (answer->n_vector != match->n_vector) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "the vector has %u numbers, that of %.100s %u",
                        answer->n_vector, match->text, match->n_vector);
    }
    if (!has_length_1(answer->vector, answer->n_vector)) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "the vector of %u numbers is not of length 1",
                        answer->n_vector);
    }
    for (uint32_t i = 0; i < match->n_vector; i++) {
        dot += (double)answer->vector[i] * (double)match->vector[i];
    }
    return dot >= match->low ? 0
                             : flo_fail(err, FLO_E_PROBE_GOLDEN,
                                        "the cosine with %.100s is %.6f, at least %.6f is "
                                        "expected",
                                        match->text, dot, match->low);
}

int flo_golden_set_vector(struct flo_golden_match *match, const void *data, size_t bytes,
                          struct flo_err *err)
{
    size_t count = bytes / 4;
    if (bytes % 4 != 0 || count == 0 || count > FLO_GOLDEN_VECTOR_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "%.100s: %zu bytes are not 1 to %d numbers of 4 bytes", match->text, bytes,
                        FLO_GOLDEN_VECTOR_MAX);
    }
    free(match->vector);
    match->n_vector = 0;
    match->vector = malloc(bytes);
    if (match->vector == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a golden vector");
    }
    for (size_t i = 0; i < count; i++) {
        match->vector[i] = flo_get_f32((const char *)data + 4 * i);
    }
    match->n_vector = (uint32_t)count;
    return has_length_1(match->vector, count)
               ? 0
               : flo_fail(err, FLO_E_META_SCHEMA, "%.100s: its %zu numbers are not of length 1",
                          match->text, count);
}

/* ---- all ---- */

static int judge(const struct flo_golden_case *c, const struct flo_golden_match *match,
                 const struct flo_golden_answer *answer, struct flo_err *err)
{
    struct text text = text_of(c, answer);
    const char *fault = NULL;
    switch (match->kind) {
    case FLO_GOLDEN_IS:
        fault = text.bytes == strlen(match->text) && memcmp(text.data, match->text, text.bytes) == 0
                    ? NULL
                    : "the answer is another";
        break;
    case FLO_GOLDEN_CONTAINS:
        fault = has(text, match->text) ? NULL : "the answer lacks the text";
        break;
    case FLO_GOLDEN_LACKS:
        fault = has(text, match->text) ? "the answer has the text" : NULL;
        break;
    case FLO_GOLDEN_PATTERN:
        fault = fits(match->text, text) ? NULL : "the pattern does not fit";
        break;
    case FLO_GOLDEN_EQUALS:
    case FLO_GOLDEN_WITHIN:
        return judge_json(match, text, err);
    case FLO_GOLDEN_COSINE:
        return judge_cosine(match, answer, err);
    case FLO_GOLDEN_TOKENS:
        fault = answer->n_tokens == match->n_tokens &&
                        memcmp(answer->tokens, match->tokens,
                               match->n_tokens * sizeof(*match->tokens)) == 0
                    ? NULL
                    : "the token ids are others";
        break;
    case FLO_GOLDEN_LOSSES:
        return flo_golden_judge_losses(match, answer->follow, err);
    case FLO_GOLDEN_RIVALS: /* judged over all cases */
        break;
    case FLO_GOLDEN_EXIT:
        fault = answer->exit_status == match->exit_status ? NULL : "the exit status is another";
        break;
    }
    return fault == NULL ? 0 : flo_fail(err, FLO_E_PROBE_GOLDEN, "%s", fault);
}

static bool is_left(const struct flo_golden_match *match, unsigned without)
{
    return (without >> match->kind & 1u) == 0;
}

int flo_golden_judge(const struct flo_golden_case *golden_case, unsigned without,
                     const struct flo_golden_answer *answer, struct flo_err *err)
{
    for (uint32_t i = 0; i < golden_case->n_expect; i++) {
        const struct flo_golden_match *match = &golden_case->expect[i];
        int rv = is_left(match, without) ? judge(golden_case, match, answer, err) : 0;
        if (rv < 0) {
            return flo_wrap(err, rv, "case %s, expect[%u]", golden_case->id, i);
        }
    }
    return 0;
}

uint32_t flo_golden_count(const struct flo_golden_case *golden_case, unsigned without)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < golden_case->n_expect; i++) {
        count += is_left(&golden_case->expect[i], without);
    }
    return count;
}
