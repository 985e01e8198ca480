/* Equal: compares JSON values, and finds members that stand in an object
 * twice. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/form/form.h"
#include "engine/grammar/schema/schema.h"

#define EXPONENT_MAX 1000000000000000

/* ---- numbers ---- */

/* A number as digits.  The value is 0.d1d2d3... times 10 to the exponent, where
 * neither the first nor the last digit is 0. */
struct decimal {
    bool is_negative;
    const char *first, *end; /* digits, with a point perhaps; empty for 0 */
    size_t count;            /* digits */
    int64_t exponent;
};

/* Reads the exponent behind its letter.  A larger one than EXPONENT_MAX counts
 * as that. */
static int64_t read_exponent(const char *at, const char *end)
{
    bool is_negative = at < end && *at == '-';
    int64_t value = 0;

    for (at += at < end && (*at == '-' || *at == '+'); at < end && value < EXPONENT_MAX; at++) {
        value = 10 * value + (*at - '0');
    }
    value = value < EXPONENT_MAX ? value : EXPONENT_MAX;
    return is_negative ? -value : value;
}

static struct decimal read_decimal(const struct flo_tree_node *number)
{
    const char *at = number->text, *end = at + number->bytes, *mantissa_end = at;
    struct decimal out = {.is_negative = number->bytes > 0 && *at == '-'};
    bool is_behind_point = false;

    while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E') {
        mantissa_end++;
    }
    for (at += out.is_negative; at < mantissa_end; at++) {
        if (*at == '.') {
            is_behind_point = true;
            continue;
        }
        if (*at != '0') {
            out.first = out.first == NULL ? at : out.first;
            out.end = at + 1;
        }
        if (out.first != NULL) {
            out.exponent += !is_behind_point;
        } else {
            out.exponent -= is_behind_point;
        }
    }
    for (at = out.first; at < out.end; at++) {
        out.count += *at != '.';
    }
    if (mantissa_end < end) {
        out.exponent += read_exponent(mantissa_end + 1, end);
    }
    return out;
}

/* Compares absolute values that are not 0. */
static int compare_sizes(const struct decimal *a, const struct decimal *b)
{
    const char *x = a->first, *y = b->first;

    if (a->exponent != b->exponent) {
        return a->exponent > b->exponent ? 1 : -1;
    }
    for (;;) {
        x += x < a->end && *x == '.';
        y += y < b->end && *y == '.';
        if (x == a->end || y == b->end) {
            return (x < a->end) - (y < b->end);
        }
        if (*x != *y) {
            return *x > *y ? 1 : -1;
        }
        x++;
        y++;
    }
}

/* Returns -1, 0 or 1. */
static int sign_of(const struct decimal *number)
{
    return number->count == 0 ? 0 : number->is_negative ? -1 : 1;
}

int flo_form_compare(const struct flo_tree_node *a, const struct flo_tree_node *b)
{
    struct decimal x = read_decimal(a), y = read_decimal(b);
    int sign = sign_of(&x);

    if (sign != sign_of(&y)) {
        return sign - sign_of(&y);
    }
    return sign == 0 ? 0 : sign * compare_sizes(&x, &y);
}

bool flo_form_is_whole(const struct flo_tree_node *number)
{
    struct decimal value = read_decimal(number);

    return value.count == 0 || value.exponent >= (int64_t)value.count;
}

/* ---- values ---- */

static bool same_members(struct flo_schema *s, const struct flo_tree_node *a,
                         const struct flo_tree_node *b)
{
    const struct flo_tree_node *n = a->first;

    if (flo_schema_count(s, a) != flo_schema_count(s, b)) {
        return false;
    }
    for (; s->rv == 0 && n != NULL; n = n->next) {
        const struct flo_tree_node *other = flo_schema_get(s, b, n->key, n->key_bytes);
        if (other == NULL || !flo_form_same(s, n, other)) {
            return false;
        }
    }
    return true;
}

bool flo_form_same(struct flo_schema *s, const struct flo_tree_node *a,
                   const struct flo_tree_node *b)
{
    const struct flo_tree_node *x = a->first, *y = b->first;

    if (a->kind != b->kind || !flo_schema_walk(s, 1 + (a->bytes + b->bytes) / 16)) {
        return false;
    }
    switch (a->kind) {
    case FLO_TREE_NUMBER:
        return flo_form_compare(a, b) == 0;
    case FLO_TREE_OBJECT:
        return same_members(s, a, b);
    case FLO_TREE_ARRAY:
        while (x != NULL && y != NULL && flo_form_same(s, x, y)) {
            x = x->next;
            y = y->next;
        }
        return x == NULL && y == NULL;
    default:
        return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
    }
}

/* ---- members twice ---- */

static int by_name(const void *a, const void *b)
{
    const struct flo_tree_node *x = *(const struct flo_tree_node *const *)a;
    const struct flo_tree_node *y = *(const struct flo_tree_node *const *)b;
    size_t least = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    int order = memcmp(x->key, y->key, least);

    return order != 0                     ? order
           : x->key_bytes != y->key_bytes ? (x->key_bytes > y->key_bytes ? 1 : -1)
                                          : (x > y) - (x < y);
}

static bool has_same_name(const struct flo_tree_node *a, const struct flo_tree_node *b)
{
    return a->key_bytes == b->key_bytes && memcmp(a->key, b->key, a->key_bytes) == 0;
}

/* Finds a member of this object that stands in it twice.  `sorted` has room for
 * all members. */
static const struct flo_tree_node *find_in(const struct flo_tree_node *object,
                                           const struct flo_tree_node **sorted)
{
    size_t count = 0;

    for (const struct flo_tree_node *n = object->first; n != NULL; n = n->next) {
        sorted[count++] = n;
    }
    qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 1; i < count; i++) {
        if (has_same_name(sorted[i - 1], sorted[i])) {
            return sorted[i];
        }
    }
    return NULL;
}

int flo_form_find_twice(const struct flo_tree *tree, const struct flo_tree_node **out,
                        struct flo_err *err)
{
    const struct flo_tree_node **sorted = malloc((tree->count + 1) * sizeof(*sorted));

    if (sorted == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the names of %u values", tree->count);
    }
    *out = NULL;
    for (uint32_t i = 0; i < tree->count && *out == NULL; i++) {
        if (tree->nodes[i].kind == FLO_TREE_OBJECT) {
            *out = find_in(&tree->nodes[i], sorted);
        }
    }
    free(sorted);
    return 0;
}
