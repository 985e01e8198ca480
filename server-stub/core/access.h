/* Access: roles and the tokens that carry them.  Pure.
 *
 * A role includes those before it.  The controller keeps only the SHA-256 of a
 * token: its secret is 256 random bits, which need no slow hash. */
#ifndef FLOTILLA_SERVER_ACCESS_H
#define FLOTILLA_SERVER_ACCESS_H

#include <flotilla/base.h>

enum flo_access {
    FLO_ACCESS_NONE,
    FLO_ACCESS_VIEWER,
    FLO_ACCESS_OPERATOR,
    FLO_ACCESS_RELEASER,
    FLO_ACCESS_ADMIN
};
const char *flo_access_word(enum flo_access access);
/* viewer, operator, releaser, admin. */
bool flo_access_parse(const char *word, enum flo_access *out);
bool flo_access_holds(enum flo_access has, enum flo_access needs);

#define FLO_TOKEN_ID_TEXT 13 /* 12 hex digits and a NUL */
#define FLO_TOKEN_TEXT 128

/* "flt_pat_<id>_<64 hex>" of 6 + 32 random bytes; `out` FLO_TOKEN_TEXT. */
void flo_access_token_text(const uint8_t random[38], char *id, char *out);
/* The id inside, when the form is right; `id` holds FLO_TOKEN_ID_TEXT. */
bool flo_access_token_parse(const char *token, char *id);
/* "flt1.<26 base32>.<32 hex of the authority's fingerprint>". */
void flo_enrol_token_text(const uint8_t random[17],
                          const struct flo_digest *authority, char *out);
bool flo_enrol_token_is_valid(const char *token);

#endif
