/* OIDC: what the controller takes from an identity provider.  Pure.
 *
 * Texts of the provider are outside bytes: each has a bound, and what is not
 * asked for is ignored.  OpenID Connect Core 1.0 §3.1.3.7, RFC 7515, RFC 7517.
 */
#ifndef FLOTILLA_SERVER_OIDC_H
#define FLOTILLA_SERVER_OIDC_H

#include "base/host/json.h"
#include "base/host/jws.h"

#include "server-stub/core/access/grants.h"

#define FLO_OIDC_URL 512
#define FLO_OIDC_SUBJECT 256
#define FLO_OIDC_DOCUMENT_BYTES_MAX 65536
#define FLO_JWT_BYTES_MAX 16384
#define FLO_JWT_KID 129
#define FLO_JWKS_MAX 16
#define FLO_OIDC_SKEW_MS 60000 /* between the provider's clock and ours */
#define FLO_OIDC_AGE_MS 600000 /* since the token was made */

/* ---- base64url, without padding (RFC 7515 §2) ---- */

/* `out` holds a character for each six bits, and the end. */
void flo_base64url_encode(const void *data, size_t bytes, char *out);
/* Strict: -1 for padding, foreign characters and bits left over; `out` holds
 * 3 * (chars / 4) + 2. */
ptrdiff_t flo_base64url_decode(const char *text, size_t chars, uint8_t *out);

/* ---- forms ---- */

/* Append "name=value", encoded, behind a & unless it is the first. */
void flo_form_add(struct flo_buf *out, const char *name, const char *value);
/* The value alone. */
void flo_form_encode(struct flo_buf *out, const char *value);

/* ---- a token ---- */

struct flo_jwt {
    const char *text; /* borrowed; its first signed_bytes are signed */
    size_t signed_bytes;
    enum flo_jws_algorithm algorithm;
    char kid[FLO_JWT_KID]; /* "" none */
    uint8_t signature[FLO_JWS_RSA_BYTES_MAX];
    size_t signature_bytes;
    json_t *claims;
};
/* Take a signed token apart; nothing of it is believed yet.
 * FLO_E_LOGIN_TOKEN: no three parts, another algorithm (none and shared
 * secrets too), a header that must be understood, no JSON. */
FLO_MUST_USE int flo_jwt_parse(const char *text, size_t bytes, struct flo_jwt *out,
                               struct flo_err *err);
void flo_jwt_deinit(struct flo_jwt *jwt);

/* ---- the provider's keys ---- */

struct flo_jwk {
    char kid[FLO_JWT_KID];
    struct flo_jws_key key;
};
struct flo_jwks {
    size_t count;
    struct flo_jwk items[FLO_JWKS_MAX];
};
/* Keys of other kinds and uses are left out.  FLO_E_LOGIN_PROVIDER: no set of
 * keys, or one of more than FLO_JWKS_MAX that would do. */
FLO_MUST_USE int flo_jwks_parse(const char *text, size_t bytes, struct flo_jwks *out,
                                struct flo_err *err);
/* The key that the token names; without a name the only one of its kind. */
const struct flo_jwk *flo_jwks_find(const struct flo_jwks *keys, const struct flo_jwt *jwt);

/* ---- the provider's description (OpenID Connect Discovery 1.0) ---- */

struct flo_oidc_provider {
    char authorize[FLO_OIDC_URL];
    char token[FLO_OIDC_URL];
    char jwks[FLO_OIDC_URL];
    bool takes_post;   /* the client's secret in the body; else by Basic */
    bool names_itself; /* RFC 9207: `iss` comes back with the code */
};
/* FLO_E_LOGIN_PROVIDER: another issuer, an address that is not https, no
 * RS256 and no ES256, no S256. */
FLO_MUST_USE int flo_oidc_provider_parse(const char *text, size_t bytes, const char *issuer,
                                         struct flo_oidc_provider *out, struct flo_err *err);
/* https, a host, printable, at most FLO_OIDC_URL - 1 characters. */
bool flo_oidc_url_is_valid(const char *url);

/* ---- claims ---- */

struct flo_oidc_expect {
    const char *issuer;
    const char *client_id;
    const char *nonce;
    uint64_t now_ms; /* wall clock */
};
/* FLO_E_LOGIN_TOKEN names the claim that does not fit. */
FLO_MUST_USE int flo_oidc_claims_check(const json_t *claims, const struct flo_oidc_expect *expect,
                                       struct flo_err *err);

/* ---- who it is, and what it may ---- */

#define FLO_OIDC_ROWS_MAX 64
struct flo_oidc_row {
    const char *group; /* a value of the claim */
    const char *role;  /* grants: core/access/grants.h */
};
struct flo_oidc_roles {
    const char *claim; /* "groups", "realm_access.roles" */
    /* One of these groups is needed; NULL: no matter. */
    const char *const *needed;
    size_t needed_count;
    size_t count;
    const struct flo_oidc_row *rows;
};
/* The roles of all rows that fit, once each; `out` has FLO_GRANTS_TEXT.
 * FLO_E_LOGIN_ROLE: none fits, or more than FLO_GRANTS_MAX. */
FLO_MUST_USE int flo_oidc_roles_of(const struct flo_oidc_roles *roles, const json_t *claims,
                                   char *out, struct flo_err *err);
/* A name for people and the audit, from the claim, else the subject: small
 * letters, and - for what no name has.  Two people may have the same; accounts
 * differ. */
void flo_oidc_name(const json_t *claims, const char *claim, char out[FLO_NAME_MAX + 1]);
/* The same person always has the same account, and no local user has it:
 * "oidc:" and 32 hex digits over issuer and subject. */
#define FLO_OIDC_ACCOUNT 38
void flo_oidc_account(const char *issuer, const char *subject, char *out);
bool flo_oidc_is_account(const char *person);

#endif
