/* OIDC: reads the texts of an identity provider.  Pure.
 *
 * These texts are untrusted: each has a maximum size, and unknown members are
 * ignored.  OpenID Connect Core 1.0 §3.1.3.7, RFC 7515, RFC 7517. */
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
#define FLO_OIDC_SKEW_MS 60000 /* tolerated clock difference to the provider */
#define FLO_OIDC_AGE_MS 600000 /* maximum age of a token at login */

/* ---- forms ---- */

/* Appends "name=value", percent-encoded, to a form.  An "&" comes before it,
 * except at the start. */
void flo_form_add(struct flo_buf *out, const char *name, const char *value);
/* Appends a percent-encoded value, without a name. */
void flo_form_encode(struct flo_buf *out, const char *value);

/* ---- a token ---- */

struct flo_jwt {
    /* borrowed text of the token; the signature is over its first
     * signed_bytes bytes */
    const char *text;
    size_t signed_bytes;
    enum flo_jws_algorithm algorithm;
    char kid[FLO_JWT_KID]; /* "": none */
    uint8_t signature[FLO_JWS_RSA_BYTES_MAX];
    size_t signature_bytes;
    json_t *claims;
};
/* Splits a signed token; nothing in it is verified yet.
 *
 * FLO_E_LOGIN_TOKEN  the token has not three parts, its algorithm is neither
 * RS256 nor ES256, it has a critical header, or a part is no JSON */
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
/* Reads a key set; keys of other kinds and uses are skipped.
 * FLO_E_LOGIN_PROVIDER: the text is no key set, or has more than FLO_JWKS_MAX
 * usable keys. */
FLO_MUST_USE int flo_jwks_parse(const char *text, size_t bytes, struct flo_jwks *out,
                                struct flo_err *err);
/* Finds the key that the token names, or, when it names none, the only key of
 * its algorithm.  Returns NULL when no key fits, or several do. */
const struct flo_jwk *flo_jwks_find(const struct flo_jwks *keys, const struct flo_jwt *jwt);

/* ---- the provider's description (OpenID Connect Discovery 1.0) ---- */

struct flo_oidc_provider {
    char authorize[FLO_OIDC_URL];
    char token[FLO_OIDC_URL];
    char jwks[FLO_OIDC_URL];
    bool takes_post;   /* the provider takes the client's secret in the body; false: by Basic
                          authentication */
    bool names_itself; /* the provider returns `iss` with the code (RFC 9207) */
};
/* Reads the provider's metadata.  FLO_E_LOGIN_PROVIDER: the issuer is another
 * one, an address has no https, or the provider supports neither RS256 nor
 * ES256, or not S256. */
FLO_MUST_USE int flo_oidc_provider_parse(const char *text, size_t bytes, const char *issuer,
                                         struct flo_oidc_provider *out, struct flo_err *err);
/* Tells whether the text is https with a host, printable, and at most
 * FLO_OIDC_URL - 1 characters. */
bool flo_oidc_url_is_valid(const char *url);

/* ---- claims ---- */

struct flo_oidc_expect {
    const char *issuer;
    const char *client_id;
    const char *nonce;
    uint64_t now_ms; /* wall clock */
};
/* Checks the claims of an ID token.  FLO_E_LOGIN_TOKEN: the error names the
 * claim that is wrong. */
FLO_MUST_USE int flo_oidc_claims_check(const json_t *claims, const struct flo_oidc_expect *expect,
                                       struct flo_err *err);

/* ---- who it is, and what it may ---- */

#define FLO_OIDC_ROWS_MAX 64
struct flo_oidc_row {
    const char *group; /* value that the claim must have */
    const char *role;  /* grants: core/access/grants.h */
};
struct flo_oidc_roles {
    const char *claim; /* "groups", "realm_access.roles" */
    /* The person must be in one of these groups; NULL: no restriction. */
    const char *const *needed;
    size_t needed_count;
    size_t count;
    const struct flo_oidc_row *rows;
};
/* Gets the roles of all rows that match, without duplicates; `out` holds
 * FLO_GRANTS_TEXT bytes.  FLO_E_LOGIN_ROLE: no row matches, or the person would
 * have more than FLO_GRANTS_MAX grants. */
FLO_MUST_USE int flo_oidc_roles_of(const struct flo_oidc_roles *roles, const json_t *claims,
                                   char *out, struct flo_err *err);
/* Makes a name for people and the audit, from the claim, else from the subject:
 * lower case, and - for other characters.  Two people may share a name, but not
 * an account. */
void flo_oidc_name(const json_t *claims, const char *claim, char out[FLO_NAME_MAX + 1]);
/* Size of a person's account name.  The name is always the same, and never that
 * of a local user: "oidc:" and 32 hex digits over issuer and subject. */
#define FLO_OIDC_ACCOUNT 38
void flo_oidc_account(const char *issuer, const char *subject, char *out);
bool flo_oidc_is_account(const char *person);

#endif
