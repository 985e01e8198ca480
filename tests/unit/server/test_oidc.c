/* Words of an identity provider: each way in which one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/login.h>
#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "unit/damage.h"

#include "server-stub/core/oidc/logins.h"
#include "server-stub/core/oidc/oidc.h"

#define ISSUER "https://id.example.com"
#define NOW_S 1800000000

/* 2048 bits; made by openssl once, the private half is gone. */
#define RSA_N                                                                                      \
    "wefaE0qGi1S8_BfbURuFCc0lYaOTq_JhTur9BnfV5Ue0pWsxtVzy26peers4l-8m57"                           \
    "IByE70CPhuC4xjWGDfqibNYEgjLiwmjwa1XfZCDCpptBpT8PtMvYqevcrn4a06wrqT"                           \
    "hoU5GMYVE-wuMUXvTlSELwfdqI8aEIi8FmArpTM7c5etscK2WHSo_w7GpbmVVBQtaY"                           \
    "s3O_1xU9ozLgvUTnoAKctDbgYS7bdAxWYhkKGUMbBJlhRSujjyF_Ki1CFf855z8I5F"                           \
    "00BYIfpk7AO9g9mpMvJR95ojiozai0Et5gLj-iqiPAd1EyZH8VX2wlBRlHfNnGF9Df"                           \
    "JWRuH-TGBN9Q"
#define RSA_TOKEN                                                                                  \
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.eyJpc3MiOiJodHRwczovL2lkLm"                           \
    "V4YW1wbGUuY29tIiwic3ViIjoidS0xIn0.YDz_E3IER1odbw5Feref1pQCNCF1HaI-"                           \
    "yLBikZGbWT6M5YclTCnYx3TF-WyOhL63cDOrOHMq2Z-wO7y7xf2nKiVWvkU7KthQn0"                           \
    "YGF8p570yK3jH2eH4CeN4T9u_uiclh2mfhOKq_zR1IOQdEKJ9qAwGWXG_MNf-ie29E"                           \
    "0oKr4O80sYLl8GsGGhGZQRkqb6KOlEg-dQbqGZbZUhLamwOPhVbHANHNlIE9r1GEtV"                           \
    "N59V3JQvomICrGD9qh1D4Um8Qce7qHVHr7A1kJCfUKUDPJ8tI5EpKPNNVNKLONgaDa"                           \
    "vZgybGOdim5WyKiZfwZdVQfBXp9AvkJRxfKq1m8j_n05Ng"
#define RSA_KEYS                                                                                   \
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"rsa-1\",\"use\":\"sig\","                               \
    "\"alg\":\"RS256\",\"e\":\"AQAB\",\"n\":\"" RSA_N "\"}]}"

/* ---- a provider of our own ---- */

static struct flo_key *key;

static int open_key(void **state)
{
    (void)state;
    return flo_key_generate(&key, NULL);
}

static int close_key(void **state)
{
    (void)state;
    flo_key_free(key);
    return 0;
}

static void add_part(struct flo_buf *out, const char *json)
{
    char text[4096];

    flo_base64url_encode(json, strlen(json), text);
    flo_buf_text(out, text);
}

/* A token with this header and these claims, signed by the key. */
static void make_token(const char *header, const char *claims, struct flo_buf *out)
{
    uint8_t signature[FLO_SIGNATURE_BYTES];
    char text[100];

    add_part(out, header);
    flo_buf_text(out, ".");
    add_part(out, claims);
    assert_int_equal(flo_sign(key, out->data, out->bytes, signature, NULL), 0);
    flo_base64url_encode(signature, sizeof(signature), text);
    flo_buf_printf(out, ".%s", text);
}

static void keys_of(const struct flo_key *one, const char *more, char *out, size_t bytes)
{
    const uint8_t *point = flo_key_public(one)->point;
    char x[48];
    char y[48];

    flo_base64url_encode(point + 1, 32, x);
    flo_base64url_encode(point + 33, 32, y);
    snprintf(out, bytes,
             "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k1\","
             "\"x\":\"%s\",\"y\":\"%s\"%s}]}",
             x, y, more);
}

static void parse_keys(const char *text, struct flo_jwks *keys)
{
    assert_int_equal(flo_jwks_parse(text, strlen(text), keys, NULL), 0);
}

static int parse(const char *text, struct flo_jwt *jwt)
{
    return flo_jwt_parse(text, strlen(text), jwt, NULL);
}

static int verify(const struct flo_jwk *by, const struct flo_jwt *jwt)
{
    return flo_jws_verify(&by->key, jwt->text, jwt->signed_bytes, jwt->signature,
                          jwt->signature_bytes, NULL);
}

/* ---- signatures ---- */

static void a_token_signed_by_rs256_holds_and_a_changed_one_does_not(void **state)
{
    static struct flo_jwks keys;
    char text[] = RSA_TOKEN;
    struct flo_jwt jwt;

    (void)state;
    parse_keys(RSA_KEYS, &keys);
    assert_int_equal(keys.count, 1);
    assert_int_equal(parse(text, &jwt), 0);
    const struct flo_jwk *by = flo_jwks_find(&keys, &jwt);
    assert_non_null(by);
    assert_int_equal(verify(by, &jwt), 0);
    text[2] ^= 1; /* of the header */
    assert_int_equal(verify(by, &jwt), FLO_E_SIG_BAD);
    text[2] ^= 1;
    jwt.signature[100] ^= 1;
    assert_int_equal(verify(by, &jwt), FLO_E_SIG_BAD);
    jwt.signature_bytes--;
    assert_int_equal(verify(by, &jwt), FLO_E_SIG_FORMAT);
    flo_jwt_deinit(&jwt);
}

static void a_token_signed_by_es256_holds_and_another_key_does_not(void **state)
{
    static struct flo_jwks keys;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) token = {0};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    char text[1024];
    struct flo_jwt jwt;

    (void)state;
    make_token("{\"alg\":\"ES256\",\"kid\":\"k1\"}", "{}", &token);
    assert_int_equal(parse(token.data, &jwt), 0);
    keys_of(key, "", text, sizeof(text));
    parse_keys(text, &keys);
    assert_int_equal(verify(flo_jwks_find(&keys, &jwt), &jwt), 0);
    assert_int_equal(flo_key_generate(&other, NULL), 0);
    keys_of(other, "", text, sizeof(text));
    parse_keys(text, &keys);
    assert_int_equal(verify(flo_jwks_find(&keys, &jwt), &jwt), FLO_E_SIG_BAD);
    keys.items[0].key.y[31] ^= 1; /* off the curve */
    assert_int_equal(verify(&keys.items[0], &jwt), FLO_E_SIG_FORMAT);
    flo_jwt_deinit(&jwt);
}

static void refused_header(const char *header)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) token = {0};
    struct flo_jwt jwt;

    make_token(header, "{}", &token);
    assert_int_equal(parse(token.data, &jwt), FLO_E_LOGIN_TOKEN);
}

static void no_algorithm_and_a_shared_secret_are_refused(void **state)
{
    (void)state;
    refused_header("{\"alg\":\"none\"}");
    refused_header("{\"alg\":\"None\"}");
    refused_header("{\"alg\":\"HS256\"}");
    refused_header("{\"alg\":\"HS512\"}");
    refused_header("{\"alg\":\"PS256\"}");
    refused_header("{\"alg\":256}");
    refused_header("{}");
    refused_header("[]");
    refused_header("{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}");
    refused_header("{\"alg\":\"ES256\",\"kid\":7}");
    refused_header("{\"alg\":\"ES256\",\"alg\":\"none\"}");
}

static void a_token_that_is_no_three_parts_is_refused(void **state)
{
    static char much[FLO_JWT_BYTES_MAX + 2];
    struct flo_jwt jwt;

    (void)state;
    assert_int_equal(parse("", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("e30", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("e30.e30", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("e30.e30.", &jwt), FLO_E_LOGIN_TOKEN);
    /* no signature, one part too many, padding, bits left over */
    assert_int_equal(parse("eyJhbGciOiJFUzI1NiJ9.e30.", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("eyJhbGciOiJFUzI1NiJ9.e30.AA.AA", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("eyJhbGciOiJFUzI1NiJ9.e30.AA==", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("eyJhbGciOiJFUzI1NiJ9.e30.AB", &jwt), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse("eyJhbGciOiJFUzI1NiJ9.e30.AA", &jwt), 0);
    flo_jwt_deinit(&jwt);
    memset(much, 'A', sizeof(much) - 1);
    assert_int_equal(parse(much, &jwt), FLO_E_LOGIN_TOKEN);
}

/* A token of these parts; the first is the header's text. */
static int parse_parts(const char *header, const char *claims, size_t signature_chars)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) token = {0};
    struct flo_jwt jwt;

    add_part(&token, header);
    flo_buf_printf(&token, ".%s.", claims);
    for (size_t i = 0; i < signature_chars; i++) {
        flo_buf_text(&token, "A");
    }
    FLO_TRY(parse(token.data, &jwt));
    flo_jwt_deinit(&jwt);
    return 0;
}

static void a_token_whose_parts_are_too_long_or_in_another_alphabet_is_refused(void **state)
{
    static const char header[] = "{\"alg\":\"ES256\"}";
    char long_kid[300];

    (void)state;
    assert_int_equal(parse_parts(header, "e30", 86), 0);
    assert_int_equal(parse_parts(header, "e{0", 86), FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse_parts(header, "W10", 86), FLO_E_LOGIN_TOKEN); /* [] */
    assert_int_equal(parse_parts(header, "e30", 4 * FLO_JWS_RSA_BYTES_MAX / 3 + 2),
                     FLO_E_LOGIN_TOKEN);
    assert_int_equal(parse_parts(header, "e30", 2 * FLO_JWS_RSA_BYTES_MAX), FLO_E_LOGIN_TOKEN);
    snprintf(long_kid, sizeof(long_kid), "{\"alg\":\"ES256\",\"kid\":\"%0200d\"}", 7);
    assert_int_equal(parse_parts(long_kid, "e30", 86), FLO_E_LOGIN_TOKEN);
}

static void keys_of_other_kinds_and_short_ones_are_left_out(void **state)
{
    static struct flo_jwks keys;
    char text[1024];

    (void)state;
    parse_keys("{\"keys\":[]}", &keys);
    assert_int_equal(keys.count, 0);
    keys_of(key, ",\"use\":\"enc\"", text, sizeof(text));
    parse_keys(text, &keys);
    assert_int_equal(keys.count, 0);
    keys_of(key, ",\"alg\":\"ES384\"", text, sizeof(text));
    parse_keys(text, &keys);
    assert_int_equal(keys.count, 0);
    parse_keys("{\"keys\":[7,{\"kty\":\"oct\",\"k\":\"AAAA\"},"
               "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"xQAB\"},"
               "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
               &keys);
    assert_int_equal(keys.count, 0);
    parse_keys(RSA_KEYS, &keys);
    assert_int_equal(keys.items[0].key.exponent, 65537);
    assert_int_equal(flo_jwks_parse("{}", 2, &keys, NULL), FLO_E_LOGIN_PROVIDER);
    assert_int_equal(flo_jwks_parse("[]", 2, &keys, NULL), FLO_E_LOGIN_PROVIDER);
}

/* The RSA key with another exponent, or with its last digits of `n` changed. */
static size_t rsa_keys(const char *exponent, const char *last)
{
    static struct flo_jwks keys;
    char text[1024];

    snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"%s\",\"n\":\"%.*s%s\"}]}",
             exponent, (int)(strlen(RSA_N) - strlen(last)), RSA_N, last);
    parse_keys(text, &keys);
    return keys.count;
}

static void an_rsa_key_that_no_generator_makes_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(rsa_keys("AQAB", ""), 1);
    assert_int_equal(rsa_keys("AQ", ""), 0);    /* 1: each text would be its own signature */
    assert_int_equal(rsa_keys("BA", ""), 0);    /* even */
    assert_int_equal(rsa_keys("AAAA", ""), 0);  /* 0 */
    assert_int_equal(rsa_keys("AQAB", "g"), 0); /* an even modulus */
}

static void a_key_on_another_curve_or_without_a_coordinate_is_left_out(void **state)
{
    static struct flo_jwks keys;
    static const char long_x[] = /* 33 bytes */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"AQ\",\"x\":"
        "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\"}]}";
    char text[1024];

    (void)state;
    keys_of(key, "", text, sizeof(text));
    memcpy(strstr(text, "P-256"), "P-384", 5);
    parse_keys(text, &keys);
    assert_int_equal(keys.count, 0);
    keys_of(key, "", text, sizeof(text));
    memcpy(strstr(text, "\"y\""), "\"z\"", 3);
    parse_keys(text, &keys);
    assert_int_equal(keys.count, 0);
    parse_keys(long_x, &keys);
    assert_int_equal(keys.count, 0);
}

static void more_keys_than_are_kept_are_refused_and_not_cut_off(void **state)
{
    static struct flo_jwks keys;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_object();
    json_t *list = json_array();
    char text[1024];

    (void)state;
    keys_of(key, "", text, sizeof(text));
    FLO_CLEANUP(flo_json_cleanup) json_t *one = json_loads(text, 0, NULL);
    json_object_set_new(json, "keys", list);
    for (int i = 0; i <= FLO_JWKS_MAX; i++) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
        json_array_append(list, json_array_get(json_object_get(one, "keys"), 0));
        flo_json_dump(json, &all);
        assert_int_equal(flo_jwks_parse(all.data, all.bytes, &keys, NULL),
                         i < FLO_JWKS_MAX ? 0 : FLO_E_LOGIN_PROVIDER);
    }
}

static void numbers_may_have_zeros_in_front(void **state)
{
    static struct flo_jwks plain;
    static struct flo_jwks padded;
    char text[1024];
    char with_zero[1024];
    const uint8_t *point = flo_key_public(key)->point;
    uint8_t x[33] = {0};
    char digits[48];

    (void)state;
    keys_of(key, "", text, sizeof(text));
    parse_keys(text, &plain);
    memcpy(x + 1, point + 1, 32);
    flo_base64url_encode(x, sizeof(x), digits);
    char *at = strstr(text, "\"x\":\"") + 5;
    snprintf(with_zero, sizeof(with_zero), "%.*s%s%s", (int)(at - text), text, digits, at + 43);
    parse_keys(with_zero, &padded);
    assert_int_equal(padded.count, 1);
    assert_memory_equal(padded.items[0].key.x, plain.items[0].key.x, 32);
}

static void a_token_without_a_keys_name_fits_the_only_one_of_its_kind(void **state)
{
    static struct flo_jwks keys;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) token = {0};
    char text[1024];
    struct flo_jwt jwt;

    (void)state;
    make_token("{\"alg\":\"ES256\"}", "{}", &token);
    assert_int_equal(parse(token.data, &jwt), 0);
    keys_of(key, "", text, sizeof(text));
    parse_keys(text, &keys);
    assert_ptr_equal(flo_jwks_find(&keys, &jwt), &keys.items[0]);
    keys.items[1] = keys.items[0];
    keys.count = 2;
    assert_null(flo_jwks_find(&keys, &jwt));
    snprintf(jwt.kid, sizeof(jwt.kid), "k2");
    assert_null(flo_jwks_find(&keys, &jwt));
    snprintf(keys.items[1].kid, sizeof(keys.items[1].kid), "k2");
    assert_ptr_equal(flo_jwks_find(&keys, &jwt), &keys.items[1]);
    jwt.algorithm = FLO_JWS_RS256;
    assert_null(flo_jwks_find(&keys, &jwt));
    flo_jwt_deinit(&jwt);
}

/* ---- claims ---- */

/* The claims of a good token with one of them changed; value NULL: without it.
 */
static int claims_with(const char *name, const char *value)
{
    static const struct flo_oidc_expect expect = {ISSUER, "flotilla", "n-1",
                                                  NOW_S * UINT64_C(1000)};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *claims =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "iss", ISSUER, "sub", "u-1", "aud", "flotilla",
                  "exp", (json_int_t)NOW_S + 300, "iat", (json_int_t)NOW_S, "nonce", "n-1");

    if (value != NULL) {
        json_object_set_new(claims, name, json_loads(value, JSON_DECODE_ANY, NULL));
    } else if (name != NULL) {
        json_object_del(claims, name);
    }
    return flo_oidc_claims_check(claims, &expect, NULL);
}

static void good_claims_are_taken(void **state)
{
    (void)state;
    assert_int_equal(claims_with(NULL, NULL), 0);
    assert_int_equal(claims_with("aud", "[\"flotilla\"]"), 0);
    assert_int_equal(claims_with("azp", "\"flotilla\""), 0);
    assert_int_equal(claims_with("exp", "1799999941"), 0); /* skew */
    assert_int_equal(claims_with("iat", "1800000060"), 0);
    assert_int_equal(claims_with("iat", "1799999340"), 0);
    assert_int_equal(claims_with("nbf", "1800000000.5"), 0);
    assert_int_equal(claims_with("nbf", "1800000060"), 0);
    assert_int_equal(claims_with("exp", "253402300799"), 0); /* of the year 9999 */
}

static void each_claim_that_is_missing_or_does_not_fit_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"iss", NULL},
        {"iss", "\"https://id.example.com/\""},
        {"iss", "[\"https://id.example.com\"]"},
        {"sub", NULL},
        {"sub", "\"\""},
        {"sub", "7"},
        {"aud", NULL},
        {"aud", "\"another\""},
        {"aud", "[]"},
        {"aud", "[\"flotilla\",\"another\"]"}, /* and no azp */
        {"azp", "\"another\""},
        {"azp", "7"},
        {"exp", NULL},
        {"exp", "1799999940"},
        {"exp", "\"1800000300\""},
        {"exp", "-1"},
        {"exp", "1e300"},
        {"exp", "253402300800"},
        {"iat", NULL},
        {"iat", "1800000061"},
        {"iat", "1799999339"},
        {"nbf", "1800000061"},
        {"nbf", "\"now\""},
        {"nonce", NULL},
        {"nonce", "\"n-2\""},
        {"nonce", "\"n-10\""},
        {"nonce", "\"\""},
    };
    char subject[FLO_OIDC_SUBJECT + 3];

    (void)state;
    snprintf(subject, sizeof(subject), "\"%0*d\"", FLO_OIDC_SUBJECT - 1, 0);
    assert_int_equal(claims_with("sub", subject), 0);
    snprintf(subject, sizeof(subject), "\"%0*d\"", FLO_OIDC_SUBJECT, 0);
    assert_int_equal(claims_with("sub", subject), FLO_E_LOGIN_TOKEN);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (claims_with(bad[i][0], bad[i][1]) != FLO_E_LOGIN_TOKEN) {
            fail_msg("%s %s was taken", bad[i][0], bad[i][1]);
        }
    }
}

/* ---- roles ---- */

static int roles_of(const char *claims_text, const char *claim, const char *const *needed,
                    size_t needed_count, char *out)
{
    static const struct flo_oidc_row rows[] = {
        {"lyon", "operator:lyon,viewer"}, {"sre", "operator,viewer"}, {"boss", "admin"}};
    struct flo_oidc_roles roles = {.claim = claim,
                                   .needed = needed,
                                   .needed_count = needed_count,
                                   .count = FLO_COUNT(rows),
                                   .rows = rows};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *claims = json_loads(claims_text, 0, NULL);

    return flo_oidc_roles_of(&roles, claims, out, NULL);
}

static void roles_are_those_of_all_rows_that_fit_once_each(void **state)
{
    char out[FLO_GRANTS_TEXT];

    (void)state;
    assert_int_equal(roles_of("{\"groups\":[\"sre\",\"lyon\",7]}", "groups", NULL, 0, out), 0);
    assert_string_equal(out, "operator:lyon,viewer,operator");
    assert_int_equal(roles_of("{\"groups\":\"boss\"}", "groups", NULL, 0, out), 0);
    assert_string_equal(out, "admin");
    assert_int_equal(
        roles_of("{\"realm_access\":{\"roles\":[\"boss\"]}}", "realm_access.roles", NULL, 0, out),
        0);
    assert_int_equal(roles_of("{\"https://x.org/g\":[\"boss\"]}", "https://x.org/g", NULL, 0, out),
                     0);
}

static void a_person_of_no_row_or_of_no_allowed_group_has_no_role(void **state)
{
    static const char *const staff[] = {"staff", "guests"};
    char out[FLO_GRANTS_TEXT];

    (void)state;
    assert_int_equal(roles_of("{}", "groups", NULL, 0, out), FLO_E_LOGIN_ROLE);
    assert_int_equal(roles_of("{\"groups\":[\"SRE\",\"sre \"]}", "groups", NULL, 0, out),
                     FLO_E_LOGIN_ROLE);
    assert_int_equal(roles_of("{\"groups\":{\"sre\":true}}", "groups", NULL, 0, out),
                     FLO_E_LOGIN_ROLE);
    assert_int_equal(roles_of("{\"groups\":[\"sre\"]}", "groups", staff, 2, out), FLO_E_LOGIN_ROLE);
    assert_int_equal(roles_of("{\"groups\":[\"sre\",\"staff\"]}", "groups", staff, 2, out), 0);
}

static void more_roles_than_a_person_can_have_are_refused(void **state)
{
    char parts[FLO_GRANTS_MAX + 2][16 + FLO_NAME_MAX];
    struct flo_oidc_row rows[FLO_GRANTS_MAX + 2];
    char out[FLO_GRANTS_TEXT];
    FLO_CLEANUP(flo_json_cleanup) json_t *claims = json_pack("{s:s}", "groups", "all");
    struct flo_oidc_roles roles = {.claim = "groups", .rows = rows};

    (void)state;
    for (int chars = 1; chars <= FLO_NAME_MAX; chars += FLO_NAME_MAX - 1) {
        for (int i = 0; i < (int)FLO_COUNT(rows); i++) {
            snprintf(parts[i], sizeof(parts[i]), "operator:%0*d", chars, i);
            rows[i] = (struct flo_oidc_row){"all", parts[i]};
        }
        roles.count = FLO_GRANTS_MAX;
        assert_int_equal(flo_oidc_roles_of(&roles, claims, out, NULL), 0);
        assert_non_null(strstr(out, parts[FLO_GRANTS_MAX - 1]));
        roles.count = FLO_COUNT(rows); /* by number, and with long names by bytes as well */
        assert_int_equal(flo_oidc_roles_of(&roles, claims, out, NULL), FLO_E_LOGIN_ROLE);
    }
}

static void a_claims_path_with_a_name_that_is_too_long_leads_nowhere(void **state)
{
    char path[FLO_NAME_MAX + 10], text[FLO_NAME_MAX + 32];
    char out[FLO_GRANTS_TEXT];

    (void)state;
    snprintf(path, sizeof(path), "%0*d.roles", FLO_NAME_MAX + 1, 0);
    assert_int_equal(roles_of("{\"roles\":\"boss\"}", path, NULL, 0, out), FLO_E_LOGIN_ROLE);
    for (int chars = FLO_NAME_MAX; chars <= FLO_NAME_MAX + 1; chars++) {
        snprintf(path, sizeof(path), "%0*d.roles", chars, 0);
        snprintf(text, sizeof(text), "{\"%0*d\":{\"roles\":\"boss\"}}", chars, 0);
        assert_int_equal(roles_of(text, path, NULL, 0, out),
                         chars <= FLO_NAME_MAX ? 0 : FLO_E_LOGIN_ROLE);
    }
}

static void a_persons_name_is_a_name_and_its_account_is_its_own(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *claims = json_pack("{s:s,s:s}", "sub", "u-1", "email", "@Mira <x>\n@example.com");
    char name[65];
    char one[FLO_OIDC_ACCOUNT];
    char two[FLO_OIDC_ACCOUNT];

    (void)state;
    flo_oidc_name(claims, "email", name);
    assert_string_equal(name, "mira--x---example.com");
    flo_oidc_name(claims, "preferred_username", name);
    assert_string_equal(name, "u-1");
    json_object_set_new(claims, "email", json_string("mira_o.k"));
    flo_oidc_name(claims, "email", name);
    assert_string_equal(name, "mira_o.k");
    json_object_clear(claims);
    flo_oidc_name(claims, "email", name);
    assert_string_equal(name, "person");
    flo_oidc_account(ISSUER, "u-1", one);
    flo_oidc_account(ISSUER "/", "u-1", two);
    assert_string_not_equal(one, two);
    assert_int_equal(strlen(one), FLO_OIDC_ACCOUNT - 1);
    assert_true(flo_oidc_is_account(one));
    assert_false(flo_name_is_valid(one)); /* so no local user has it */
}

/* ---- description ---- */

static int describe(const char *name, json_t *value, struct flo_oidc_provider *out)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:s}", "issuer", ISSUER, "authorization_endpoint", ISSUER "/auth",
                  "token_endpoint", ISSUER "/token", "jwks_uri", ISSUER "/jwks");
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (name != NULL) {
        json_object_set_new(json, name, value);
    }
    flo_json_dump(json, &text);
    return flo_oidc_provider_parse(text.data, text.bytes, ISSUER, out, NULL);
}

static void a_description_that_is_anothers_or_unsafe_is_refused(void **state)
{
    struct flo_oidc_provider out;
    const int no = FLO_E_LOGIN_PROVIDER;

    (void)state;
    assert_int_equal(describe(NULL, NULL, &out), 0);
    assert_string_equal(out.token, ISSUER "/token");
    assert_false(out.takes_post);
    assert_int_equal(describe("issuer", json_string(ISSUER "/"), &out), no);
    assert_int_equal(describe("issuer", json_null(), &out), no);
    assert_int_equal(describe("token_endpoint", json_string("http://id.example.com/"), &out), no);
    assert_int_equal(describe("jwks_uri", json_string("file:///etc"), &out), no);
    assert_int_equal(describe("authorization_endpoint", json_string("https://a\"onload=x"), &out),
                     no);
    assert_int_equal(describe("id_token_signing_alg_values_supported",
                              json_pack("[s,s]", "none", "HS256"), &out),
                     no);
    assert_int_equal(describe("code_challenge_methods_supported", json_pack("[s]", "plain"), &out),
                     no);
    assert_int_equal(describe("token_endpoint_auth_methods_supported",
                              json_pack("[s]", "client_secret_post"), &out),
                     0);
    assert_true(out.takes_post);
    assert_true(flo_oidc_url_is_valid("https://id.example.com/a?b=c"));
    assert_false(flo_oidc_url_is_valid("https:///a"));
    assert_false(flo_oidc_url_is_valid("https://"));
    assert_false(flo_oidc_url_is_valid("https://id.example.com/a b"));
    assert_false(flo_oidc_url_is_valid("https://id.example.com/\x7f"));
    assert_int_equal(flo_oidc_provider_parse("{", 1, ISSUER, &out, NULL), no);
    assert_false(flo_oidc_url_is_valid("https://id.example.com/#a"));
}

/* ---- logins under way ---- */

static struct flo_login begin(const struct flo_logins *logins, uint8_t seed, uint64_t now_ms)
{
    uint8_t random[24];
    struct flo_login login;

    memset(random, seed, sizeof(random));
    flo_login_begin(logins, random, "http://127.0.0.1:7/", now_ms, &login);
    return login;
}

static bool takes(struct flo_logins *logins, const char *state, const char *secret, uint64_t now_ms,
                  struct flo_login *out)
{
    int rv = flo_login_take(logins, state, secret, now_ms, out, NULL);

    assert_true(rv == 0 || rv == FLO_E_LOGIN_STATE);
    return rv == 0;
}

static void a_login_is_finished_once_by_who_began_it_and_in_time(void **state)
{
    static struct flo_logins logins = {.key = {7}};
    static struct flo_logins restarted = {.key = {8}};
    struct flo_login one = begin(&logins, 1, 1000);
    struct flo_login two = begin(&logins, 2, 1000);
    struct flo_login out;
    char much[FLO_LOGIN_SECRET + 2] = "";

    (void)state;
    assert_false(takes(&logins, "", "", 1000, &out));
    assert_false(takes(&logins, one.state, one.nonce, 1000, &out));
    assert_false(takes(&logins, one.state, two.secret, 1000, &out));
    assert_false(takes(&logins, two.state, one.secret, 1000, &out));
    assert_false(takes(&restarted, one.state, one.secret, 1000, &out));
    memset(much, 'a', sizeof(much) - 1);
    assert_false(takes(&logins, one.state, much, 1000, &out));
    assert_true(takes(&logins, one.state, one.secret, 2000, &out));
    assert_string_equal(out.verifier, one.verifier);
    assert_string_equal(out.nonce, one.nonce);
    assert_string_equal(out.redirect, "http://127.0.0.1:7/");
    assert_false(takes(&logins, one.state, one.secret, 2000, &out));
    assert_false(takes(&logins, two.state, two.secret, 999, &out));
    assert_false(takes(&logins, two.state, two.secret, 1000 + FLO_LOGIN_MS, &out));
}

static void no_word_of_a_login_can_be_another(void **state)
{
    static struct flo_logins logins = {.key = {7}};
    struct flo_login one = begin(&logins, 1, 1000);
    struct flo_login out;

    (void)state;
    for (size_t i = 0; i < strlen(one.secret); i++) {
        struct flo_login other = one;
        other.secret[i] ^= 1;
        assert_false(takes(&logins, other.state, other.secret, 1000, &out));
    }
    for (size_t i = 0; i < strlen(one.state); i++) {
        struct flo_login other = one;
        other.state[i] = other.state[i] == 'A' ? 'B' : 'A';
        assert_false(takes(&logins, other.state, other.secret, 1000, &out));
    }
    assert_true(strcmp(one.nonce, one.verifier) != 0);
    assert_true(strncmp(one.nonce, one.secret, FLO_LOGIN_WORD - 1) != 0);
    assert_true(takes(&logins, one.state, one.secret, 1000, &out));
}

static void nobody_can_begin_so_many_that_another_one_ends(void **state)
{
    static struct flo_logins logins = {.key = {7}};
    struct flo_login first = begin(&logins, 0, 1000);
    struct flo_login out;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        (void)begin(&logins, (uint8_t)i, 1001 + i / 256);
    }
    assert_true(takes(&logins, first.state, first.secret, 2000, &out));
}

static void the_challenge_is_that_of_the_standards_example(void **state)
{
    char out[FLO_LOGIN_WORD];

    (void)state; /* RFC 7636, appendix B */
    flo_login_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", out);
    assert_string_equal(out, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

static void a_browser_is_sent_back_to_us_or_to_its_own_machine(void **state)
{
    static const char *const bad[] = {
        "https://evil.example.com/",     "http://127.0.0.1/",
        "http://127.0.0.1:80.evil.com/", "http://127.0.0.1:7@evil.com/",
        "http://localhost:7/",           "https://fleet.example.com.evil.com/",
        "http://fleet.example.com/",     "https://fleet.example.com/app/",
        "http://127.0.0.1:7/#",          "http://127.0.0.1:/",
        "http://127.0.0.1:490000/",      "http://127.0.0.1:7/\x7f",
        "http://127.0.0.1:65536/",       "http://127.0.0.1:0/",
        "http://127.0.0.1:000080/",      "http://127.0.0.1:65535",
        "javascript:alert(1)",           "",
    };

    (void)state;
    assert_true(flo_login_may_return("https://fleet.example.com/", "fleet.example.com", false));
    assert_true(
        flo_login_may_return("http://127.0.0.1:49152/callback", "fleet.example.com", false));
    assert_true(flo_login_may_return("http://[::1]:7/", "fleet.example.com", false));
    assert_true(flo_login_may_return("http://[::1]:1/", "fleet.example.com", false));
    assert_true(flo_login_may_return("http://[::1]:65535/", "fleet.example.com", false));
    assert_true(flo_login_may_return("http://127.0.0.1:8080/", "127.0.0.1:8080", true));
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_login_may_return(bad[i], "fleet.example.com", false)) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void nobody_is_sent_back_to_an_address_that_is_none_or_too_long(void **state)
{
    char redirect[2 * FLO_LOGIN_REDIRECT + 16];
    char host[2 * FLO_LOGIN_REDIRECT];

    (void)state;
    assert_false(flo_login_may_return("https:///", "", false));
    assert_false(flo_login_may_return("http://fleet.example.com:8443/", "fleet.example.com", true));
    for (int chars = 200; chars < FLO_LOGIN_REDIRECT + 20; chars++) {
        snprintf(host, sizeof(host), "%0*d", chars, 0);
        snprintf(redirect, sizeof(redirect), "https://%s/", host);
        assert_int_equal(flo_login_may_return(redirect, host, false),
                         strlen(redirect) < FLO_LOGIN_REDIRECT);
        assert_false(flo_login_may_return("https://fleet.example.com/", host, false));
    }
}

/* ---- texts of which one value is damaged ---- */

static int read_damaged_keys(const json_t *json, struct flo_err *err)
{
    static struct flo_jwks keys;
    char *text = json_dumps(json, 0);
    int rv = flo_jwks_parse(text, strlen(text), &keys, err);

    assert_true(rv < 0 || keys.count <= FLO_JWKS_MAX);
    free(text);
    return rv;
}

static int read_damaged_description(const json_t *json, struct flo_err *err)
{
    struct flo_oidc_provider provider;
    char *text = json_dumps(json, 0);
    int rv = flo_oidc_provider_parse(text, strlen(text), ISSUER, &provider, err);

    assert_true(rv < 0 || strncmp(provider.token, "https://", 8) == 0);
    free(text);
    return rv;
}

static int read_damaged_claims(const json_t *json, struct flo_err *err)
{
    static const char *const needed[] = {"ops"};
    static const struct flo_oidc_row rows[] = {{"ops", "viewer"}, {"team", "operator:all"}};
    static const struct flo_oidc_roles roles = {
        .claim = "realm.groups", .needed = needed, .needed_count = 1, .count = 2, .rows = rows};
    static const struct flo_oidc_expect expect = {ISSUER, "flotilla", "n-1",
                                                  UINT64_C(1000) * NOW_S};
    char grants[FLO_GRANTS_TEXT];
    char name[FLO_NAME_MAX + 1];

    flo_oidc_name(json, "name", name);
    assert_true(flo_name_is_valid(name));
    FLO_TRY(flo_oidc_claims_check(json, &expect, err));
    return flo_oidc_roles_of(&roles, json, grants, err);
}

static void each_damaged_value_of_a_providers_texts_is_refused_or_left_out(void **state)
{
    static const char description[] =
        "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"" ISSUER "/a\","
        "\"token_endpoint\":\"" ISSUER "/t\",\"jwks_uri\":\"" ISSUER "/k\","
        "\"id_token_signing_alg_values_supported\":[\"ES256\",\"RS256\"],"
        "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
        "\"token_endpoint_auth_methods_supported\":[\"client_secret_post\"],"
        "\"authorization_response_iss_parameter_supported\":true}";
    char claims[400];

    (void)state;
    snprintf(claims, sizeof(claims),
             "{\"iss\":\"" ISSUER "\",\"sub\":\"u-1\",\"aud\":[\"flotilla\"],"
             "\"azp\":\"flotilla\",\"exp\":%lld,\"iat\":%lld,\"nonce\":\"n-1\","
             "\"name\":\"A B\",\"realm\":{\"groups\":[\"ops\",\"team\"]}}",
             (long long)NOW_S + 60, (long long)NOW_S);
    assert_true(damage_all(RSA_KEYS, read_damaged_keys, "*") > 10);
    assert_true(damage_all(description, read_damaged_description, "*") > 60);
    assert_true(damage_all(claims, read_damaged_claims, "name [] aud groups") > 100);
}

static void a_form_has_its_letters_and_all_else_in_hex(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) form = {0};

    (void)state;
    flo_form_add(&form, "code", "aZ09-._~");
    flo_form_add(&form, "next", "a b/@[`{\xc3\xa4");
    flo_buf_add(&form, "", 1);
    assert_string_equal(form.data, "code=aZ09-._~&next=a%20b%2F%40%5B%60%7B%C3%A4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_signed_by_rs256_holds_and_a_changed_one_does_not),
        cmocka_unit_test(a_token_signed_by_es256_holds_and_another_key_does_not),
        cmocka_unit_test(no_algorithm_and_a_shared_secret_are_refused),
        cmocka_unit_test(a_token_that_is_no_three_parts_is_refused),
        cmocka_unit_test(a_token_whose_parts_are_too_long_or_in_another_alphabet_is_refused),
        cmocka_unit_test(keys_of_other_kinds_and_short_ones_are_left_out),
        cmocka_unit_test(an_rsa_key_that_no_generator_makes_is_left_out),
        cmocka_unit_test(a_key_on_another_curve_or_without_a_coordinate_is_left_out),
        cmocka_unit_test(more_keys_than_are_kept_are_refused_and_not_cut_off),
        cmocka_unit_test(numbers_may_have_zeros_in_front),
        cmocka_unit_test(a_token_without_a_keys_name_fits_the_only_one_of_its_kind),
        cmocka_unit_test(good_claims_are_taken),
        cmocka_unit_test(each_claim_that_is_missing_or_does_not_fit_is_refused),
        cmocka_unit_test(roles_are_those_of_all_rows_that_fit_once_each),
        cmocka_unit_test(a_person_of_no_row_or_of_no_allowed_group_has_no_role),
        cmocka_unit_test(more_roles_than_a_person_can_have_are_refused),
        cmocka_unit_test(a_claims_path_with_a_name_that_is_too_long_leads_nowhere),
        cmocka_unit_test(a_persons_name_is_a_name_and_its_account_is_its_own),
        cmocka_unit_test(a_description_that_is_anothers_or_unsafe_is_refused),
        cmocka_unit_test(a_login_is_finished_once_by_who_began_it_and_in_time),
        cmocka_unit_test(no_word_of_a_login_can_be_another),
        cmocka_unit_test(nobody_can_begin_so_many_that_another_one_ends),
        cmocka_unit_test(the_challenge_is_that_of_the_standards_example),
        cmocka_unit_test(a_browser_is_sent_back_to_us_or_to_its_own_machine),
        cmocka_unit_test(nobody_is_sent_back_to_an_address_that_is_none_or_too_long),
        cmocka_unit_test(each_damaged_value_of_a_providers_texts_is_refused_or_left_out),
        cmocka_unit_test(a_form_has_its_letters_and_all_else_in_hex),
    };

    return cmocka_run_group_tests(tests, open_key, close_key);
}
