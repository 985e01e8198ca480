/* Provider: reads the metadata and keys of an identity provider. */
#include <string.h>

#include <flotilla/errors/login.h>

#include "server-stub/core/oidc/oidc.h"

static int refuse(struct flo_err *err, const char *what, const char *why)
{
    return flo_fail(err, FLO_E_LOGIN_PROVIDER, "the provider's %s %s", what, why);
}

static int read_object(const char *text, size_t bytes, const char *what, json_t **out,
                       struct flo_err *err)
{
    json_t *json = NULL;

    if (flo_json_parse(text, bytes, FLO_OIDC_DOCUMENT_BYTES_MAX, &json, NULL) < 0) {
        return refuse(err, what, "is no JSON of at most 64 KiB");
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return refuse(err, what, "is no object");
    }
    *out = json;
    return 0;
}

/* ---- keys ---- */

/* Reads a number of at most `most` bytes.  Returns false if it is no number or
 * is larger.  Some providers add leading zeros, which RFC 7518 does not
 * allow. */
static bool read_number(const json_t *json, const char *name, size_t most, uint8_t *out,
                        size_t *bytes)
{
    const char *text = flo_json_text(json, name, "");
    size_t chars = strlen(text);
    uint8_t data[FLO_JWS_RSA_BYTES_MAX + 8];
    size_t zeros = 0;

    if (chars > 4 * (most + 3) / 3) {
        return false;
    }
    ptrdiff_t got = flo_base64url_decode(text, chars, data);
    while (got > 0 && zeros < (size_t)got && data[zeros] == 0) {
        zeros++;
    }
    if (got <= 0 || zeros == (size_t)got || (size_t)got - zeros > most) {
        return false;
    }
    *bytes = (size_t)got - zeros;
    memcpy(out, data + zeros, *bytes);
    return true;
}

static bool read_coordinate(const json_t *json, const char *name, uint8_t out[32])
{
    uint8_t number[32];
    size_t bytes = 0;

    if (!read_number(json, name, sizeof(number), number, &bytes)) {
        return false;
    }
    memset(out, 0, 32);
    memcpy(out + 32 - bytes, number, bytes);
    return true;
}

static bool read_rsa(const json_t *json, struct flo_jws_key *out)
{
    uint8_t exponent[4];
    size_t bytes = 0;

    out->algorithm = FLO_JWS_RS256;
    if (!read_number(json, "n", FLO_JWS_RSA_BYTES_MAX, out->modulus, &out->modulus_bytes) ||
        out->modulus_bytes < FLO_JWS_RSA_BYTES_MIN ||
        !read_number(json, "e", sizeof(exponent), exponent, &bytes)) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        out->exponent = out->exponent << 8 | exponent[i];
    }
    return out->exponent >= 3 && out->exponent % 2 == 1 &&
           out->modulus[out->modulus_bytes - 1] % 2 == 1;
}

static bool read_ec(const json_t *json, struct flo_jws_key *out)
{
    out->algorithm = FLO_JWS_ES256;
    return flo_json_says(json, "crv", "P-256") && read_coordinate(json, "x", out->x) &&
           read_coordinate(json, "y", out->y);
}

/* Reads a key.  Returns false if it has another kind or use than ours. */
static bool read_key(const json_t *json, struct flo_jwk *out)
{
    const char *kind = flo_json_text(json, "kty", "");
    const char *use = flo_json_text(json, "use", "");
    const char *algorithm = flo_json_text(json, "alg", "");
    const char *kid = flo_json_text(json, "kid", "");
    bool is_rsa = strcmp(kind, "RSA") == 0;

    *out = (struct flo_jwk){.kid = ""};
    if ((!is_rsa && strcmp(kind, "EC") != 0) || (use[0] != '\0' && strcmp(use, "sig") != 0) ||
        (algorithm[0] != '\0' && strcmp(algorithm, is_rsa ? "RS256" : "ES256") != 0) ||
        strlen(kid) >= sizeof(out->kid)) {
        return false;
    }
    snprintf(out->kid, sizeof(out->kid), "%s", kid);
    return is_rsa ? read_rsa(json, &out->key) : read_ec(json, &out->key);
}

int flo_jwks_parse(const char *text, size_t bytes, struct flo_jwks *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_jwk key;
    const json_t *item;
    size_t i;

    FLO_TRY(read_object(text, bytes, "set of keys", &json, err));
    const json_t *keys = json_object_get(json, "keys");
    if (!json_is_array(keys)) {
        return refuse(err, "set of keys", "has no `keys`");
    }
    memset(out, 0, sizeof(*out));
    json_array_foreach(keys, i, item)
    {
        if (!read_key(item, &key)) {
            continue;
        }
        if (out->count == FLO_JWKS_MAX) {
            return refuse(err, "set of keys", "has more than 16 for us");
        }
        out->items[out->count++] = key;
    }
    return 0;
}

const struct flo_jwk *flo_jwks_find(const struct flo_jwks *keys, const struct flo_jwt *jwt)
{
    const struct flo_jwk *found = NULL;

    for (size_t i = 0; i < keys->count; i++) {
        const struct flo_jwk *key = &keys->items[i];
        if (key->key.algorithm != jwt->algorithm ||
            (jwt->kid[0] != '\0' && strcmp(jwt->kid, key->kid) != 0)) {
            continue;
        }
        if (found != NULL) {
            /* the token names no key and two keys fit, so neither is sure */
            return NULL;
        }
        found = key;
    }
    return found;
}

/* ---- description ---- */

bool flo_oidc_url_is_valid(const char *url)
{
    size_t chars = strlen(url);

    if (chars >= FLO_OIDC_URL || strncmp(url, "https://", 8) != 0 || url[8] == '/' ||
        url[8] == '\0') {
        return false;
    }
    for (size_t i = 0; i < chars; i++) {
        if (url[i] <= ' ' || url[i] > '~' || strchr("\"<>\\^`{|}#", url[i])) {
            return false;
        }
    }
    return true;
}

static int read_url(const json_t *json, const char *name, char *out, struct flo_err *err)
{
    const char *url = flo_json_text(json, name, "");

    if (!flo_oidc_url_is_valid(url)) {
        return flo_fail(err, FLO_E_LOGIN_PROVIDER,
                        "the provider's %s is `%.100s`: https:// is needed", name, url);
    }
    snprintf(out, FLO_OIDC_URL, "%s", url);
    return 0;
}

/* Tells whether a list has the word.  Without the list the result is `absent`,
 * the standard's default. */
static bool lists(const json_t *json, const char *name, const char *word, bool absent)
{
    const json_t *list = json_object_get(json, name);
    const json_t *item;
    size_t i;

    if (!json_is_array(list)) {
        return absent;
    }
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), word) == 0) {
            return true;
        }
    }
    return false;
}

int flo_oidc_provider_parse(const char *text, size_t bytes, const char *issuer,
                            struct flo_oidc_provider *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_oidc_provider provider = {.authorize = ""};

    FLO_TRY(read_object(text, bytes, "description", &json, err));
    if (!flo_json_says(json, "issuer", issuer)) {
        return flo_fail(err, FLO_E_LOGIN_PROVIDER,
                        "the provider calls itself `%.100s`, and `issuer` is "
                        "`%.100s`",
                        flo_json_text(json, "issuer", ""), issuer);
    }
    FLO_TRY(read_url(json, "authorization_endpoint", provider.authorize, err));
    FLO_TRY(read_url(json, "token_endpoint", provider.token, err));
    FLO_TRY(read_url(json, "jwks_uri", provider.jwks, err));
    const char *signs = "id_token_signing_alg_values_supported";
    if (!lists(json, signs, "RS256", true) && !lists(json, signs, "ES256", true)) {
        return refuse(err, "description", "has neither RS256 nor ES256");
    }
    if (!lists(json, "code_challenge_methods_supported", "S256", true)) {
        return refuse(err, "description", "has no PKCE by S256");
    }
    const char *methods = "token_endpoint_auth_methods_supported";
    provider.takes_post = !lists(json, methods, "client_secret_basic", true) &&
                          lists(json, methods, "client_secret_post", false);
    provider.names_itself =
        json_is_true(json_object_get(json, "authorization_response_iss_parameter_supported"));
    *out = provider;
    return 0;
}
