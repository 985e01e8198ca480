/* Equal: compares JSON values. */
#include <stddef.h>

#include "engine/grammar/form/form.h"

#define EXPONENT_MAX 1000000000000000

/* ---- numbers ---- */

/* A number as digits.  The value is 0.d1d2d3... times 10 to the exponent, where
 * neither the first nor the last digit is 0. */
struct decimal {
    bool is_negative;
    const char *first, *end; /* its digits, with a point perhaps; empty for 0 */
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
