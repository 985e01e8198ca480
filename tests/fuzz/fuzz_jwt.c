/* Bytes of an identity provider: a token, its keys, its description, by the
 * first byte.  Each that is taken keeps to its bounds, and no key of a
 * stranger's bytes makes a signature hold. */
#include <string.h>

#include "server-stub/core/oidc/oidc.h"
#include "tests/fuzz/must.h"

#define ISSUER "https://id.example.com"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void token(const char *text, size_t bytes)
{
    static const struct flo_oidc_row rows[] = {{"sre", "operator"}, {"boss", "admin"}};
    struct flo_oidc_roles roles = {.claim = "realm.groups", .count = 2, .rows = rows};
    struct flo_oidc_expect expect = {ISSUER, "flotilla", "n-1", UINT64_C(1800000000000)};
    struct flo_jwt jwt = {.text = NULL};
    char role[FLO_GRANTS_TEXT];
    struct flo_grants grants;
    char name[65];

    if (flo_jwt_parse(text, bytes, &jwt, NULL) < 0) {
        return;
    }
    must(json_is_object(jwt.claims) && jwt.signed_bytes < bytes);
    must(jwt.signature_bytes > 0 && jwt.signature_bytes <= sizeof(jwt.signature));
    if (flo_oidc_claims_check(jwt.claims, &expect, NULL) == 0) {
        const json_t *issuer = json_object_get(jwt.claims, "iss");
        must(strcmp(json_string_value(issuer), ISSUER) == 0);
    }
    if (flo_oidc_roles_of(&roles, jwt.claims, role, NULL) == 0) {
        must(flo_grants_parse(role, &grants));
    }
    flo_oidc_name(jwt.claims, "email", name);
    must(flo_name_is_valid(name));
    flo_jwt_deinit(&jwt);
}

static void keys(const char *text, size_t bytes)
{
    static const uint8_t zeros[FLO_JWS_RSA_BYTES_MAX];
    static struct flo_jwks keys;

    if (flo_jwks_parse(text, bytes, &keys, NULL) < 0) {
        return;
    }
    must(keys.count <= FLO_JWKS_MAX);
    for (size_t i = 0; i < keys.count; i++) {
        const struct flo_jws_key *key = &keys.items[i].key;
        bool is_rsa = key->algorithm == FLO_JWS_RS256;
        must(flo_jws_verify(key, "text", 4, zeros, is_rsa ? key->modulus_bytes : 64, NULL) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_oidc_provider provider;
    const char *text = (const char *)data + 1;

    if (bytes == 0) {
        return 0;
    }
    switch (data[0]) {
    case 'T':
        token(text, bytes - 1);
        break;
    case 'K':
        keys(text, bytes - 1);
        break;
    default:
        if (flo_oidc_provider_parse(text, bytes - 1, ISSUER, &provider, NULL) == 0) {
            must(flo_oidc_url_is_valid(provider.token));
            must(flo_oidc_url_is_valid(provider.jwks));
        }
    }
    return 0;
}
