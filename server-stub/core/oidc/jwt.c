/* Tokens: encodes forms, and parses the three parts of a signed
 * token. */
#include <string.h>

#include <flotilla/errors/login.h>

#include "server-stub/core/oidc/oidc.h"

void flo_form_encode(struct flo_buf *out, const char *value)
{
    for (; *value != '\0'; value++) {
        char c = *value;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
        flo_buf_printf(out, is_plain ? "%c" : "%%%02X", (unsigned char)c);
    }
}

void flo_form_add(struct flo_buf *out, const char *name, const char *value)
{
    flo_buf_printf(out, "%s%s=", out->bytes > 0 ? "&" : "", name);
    flo_form_encode(out, value);
}

static int refuse(struct flo_err *err, const char *why)
{
    return flo_fail(err, FLO_E_LOGIN_TOKEN, "the ID token %s", why);
}

/* Reads a part of the token, which has to be a JSON object. */
static int read_part(const char *text, size_t chars, json_t **out, struct flo_err *err)
{
    uint8_t data[FLO_JWT_BYTES_MAX];
    ptrdiff_t bytes = flo_base64url_decode(text, chars, data);
    json_t *json = NULL;

    if (bytes < 0 ||
        flo_json_parse((const char *)data, (size_t)bytes, sizeof(data), &json, NULL) < 0) {
        return refuse(err, "has a part that is no JSON");
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return refuse(err, "has a part that is no object");
    }
    *out = json;
    return 0;
}

static int read_header(const json_t *header, struct flo_jwt *out, struct flo_err *err)
{
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");

    if (algorithm == NULL || (strcmp(algorithm, "RS256") != 0 && strcmp(algorithm, "ES256") != 0)) {
        return flo_fail(err, FLO_E_LOGIN_TOKEN,
                        "the ID token is signed by `%.32s`: RS256 or ES256 is "
                        "needed",
                        algorithm != NULL ? algorithm : "");
    }
    out->algorithm = algorithm[0] == 'R' ? FLO_JWS_RS256 : FLO_JWS_ES256;
    if (json_object_get(header, "crit") != NULL) {
        return refuse(err, "has a header that we do not understand");
    }
    if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) >= sizeof(out->kid))) {
        return refuse(err, "names a key by no short text");
    }
    snprintf(out->kid, sizeof(out->kid), "%s", kid != NULL ? json_string_value(kid) : "");
    return 0;
}

int flo_jwt_parse(const char *text, size_t bytes, struct flo_jwt *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *header = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *claims = NULL;
    uint8_t signature[FLO_JWS_RSA_BYTES_MAX + 2];
    const char *first = memchr(text, '.', bytes);
    const char *end = text + bytes;
    struct flo_jwt jwt = {.text = text};

    if (bytes > FLO_JWT_BYTES_MAX) {
        return flo_fail(err, FLO_E_LOGIN_TOKEN, "an ID token of %zu bytes, limit %d", bytes,
                        FLO_JWT_BYTES_MAX);
    }
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL) {
        return refuse(err, "has no three parts");
    }
    jwt.signed_bytes = (size_t)(second - text);
    FLO_TRY(read_part(text, (size_t)(first - text), &header, err));
    FLO_TRY(read_header(header, &jwt, err));
    FLO_TRY(read_part(first + 1, (size_t)(second - first - 1), &claims, err));
    size_t chars = (size_t)(end - second - 1);
    ptrdiff_t got = chars <= 4 * ((size_t)FLO_JWS_RSA_BYTES_MAX + 2) / 3
                        ? flo_base64url_decode(second + 1, chars, signature)
                        : -1;
    if (got <= 0 || got > FLO_JWS_RSA_BYTES_MAX) {
        return refuse(err, "has no signature");
    }
    memcpy(jwt.signature, signature, (size_t)got);
    jwt.signature_bytes = (size_t)got;
    jwt.claims = json_incref(claims);
    *out = jwt;
    return 0;
}

void flo_jwt_deinit(struct flo_jwt *jwt)
{
    json_decref(jwt->claims);
    jwt->claims = NULL;
}
