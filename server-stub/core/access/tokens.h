/* Tokens: forms of personal tokens and enrolment tokens.  Pure.
 *
 * The controller stores only the SHA-256 of a token.  Its secret is random, so
 * no slow hash is needed. */
#ifndef FLOTILLA_SERVER_ACCESS_TOKENS_H
#define FLOTILLA_SERVER_ACCESS_TOKENS_H

#include <flotilla/base.h>

#define FLO_TOKEN_ID_TEXT 13 /* 12 hex digits and a NUL */
#define FLO_TOKEN_TEXT 128

/* Writes a personal token, "flt_pat_<id>_<64 hex>", from 6 + 32 random bytes.
 * `id` holds FLO_TOKEN_ID_TEXT bytes, `out` FLO_TOKEN_TEXT. */
void flo_access_token_text(const uint8_t random[38], char *id, char *out);
/* Copies the id of a personal token to `id`, which holds FLO_TOKEN_ID_TEXT
 * bytes.  Returns false when the text has not the form of such a token. */
bool flo_access_token_parse(const char *token, char *id);
/* Writes an enrolment token, "flt1.<26 base32>.<32 hex of the authority's
 * fingerprint>". */
void flo_enrol_token_text(const uint8_t random[17], const struct flo_digest *authority, char *out);
bool flo_enrol_token_is_valid(const char *token);

#endif
