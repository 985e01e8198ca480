/* Strict JSON (RFC 8259) in a buffer of one's own, without an allocation:
 * checked first, then walked and decoded in place. */
#ifndef FLOTILLA_ENGINE_JSON_TEXT_H
#define FLOTILLA_ENGINE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Is `text` one JSON value with white space around, and nothing else?  When
 * not, *bad (may be NULL) is where it goes wrong.  UTF-8 is not looked at. */
bool flo_json_text_check(const char *text, size_t bytes, const char **bad);

/* Walks the members of an object or the elements of an array that passed the
 * check.  A member's key is decoded; a value only by flo_json_string(). */
struct flo_json_walk {
    char *at, *limit;
    bool is_object;
};
struct flo_json_item {
    const char *key; /* of a member, else NULL */
    char *value;     /* its first byte */
    char *end;       /* behind its last */
};
/* `limit` is anywhere behind the value.  false: it is neither an object nor an
 * array. */
bool flo_json_walk_begin(struct flo_json_walk *walk, char *value, char *limit);
bool flo_json_walk_next(struct flo_json_walk *walk, struct flo_json_item *item);

/* Decode the string at `value` in place, with a NUL behind.  NULL: it is no
 * string, holds U+0000, or a half of a surrogate pair. */
char *flo_json_string(char *value, size_t *bytes);
/* A whole number from 0 to `max`; false: it is none. */
bool flo_json_count(const struct flo_json_item *item, unsigned long max,
                    unsigned long *out);

#endif
