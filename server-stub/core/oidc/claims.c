/* Claims: checks that an ID token is for this login, and gets the person's
 * roles. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/login.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#include "server-stub/core/oidc/oidc.h"

static int refuse(struct flo_err *err, const char *claim, const char *why)
{
    return flo_fail(err, FLO_E_LOGIN_TOKEN, "the ID token's `%s` %s", claim, why);
}

static bool is_text(const json_t *claims, const char *name, const char *text)
{
    const json_t *claim = json_object_get(claims, name);

    return json_is_string(claim) && json_string_length(claim) == strlen(text) &&
           flo_secret_equal((const uint8_t *)json_string_value(claim), (const uint8_t *)text,
                            strlen(text));
}

/* ---- for us ---- */

static bool is_audience(const json_t *audience, const char *client)
{
    const json_t *item;
    size_t i;

    if (json_is_string(audience)) {
        return strcmp(json_string_value(audience), client) == 0;
    }
    json_array_foreach(audience, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), client) == 0) {
            return true;
        }
    }
    return false;
}

static int check_audience(const json_t *claims, const char *client, struct flo_err *err)
{
    const json_t *audience = json_object_get(claims, "aud");

    if (!is_audience(audience, client)) {
        return refuse(err, "aud", "does not name this client");
    }
    bool needs_party = json_array_size(audience) > 1;
    if ((needs_party || json_object_get(claims, "azp") != NULL) &&
        !is_text(claims, "azp", client)) {
        return refuse(err, "azp", "is not this client");
    }
    return 0;
}

/* ---- now ---- */

/* Reads seconds since 1970, with or without a fraction, until the year 9999. */
static bool read_time(const json_t *claims, const char *name, uint64_t *ms)
{
    const json_t *time = json_object_get(claims, name);
    double seconds = json_is_number(time) ? json_number_value(time) : -1;

    if (!(seconds >= 0 && seconds < 253402300800.0)) {
        return false;
    }
    *ms = (uint64_t)(seconds * 1000);
    return true;
}

static int check_times(const json_t *claims, uint64_t now_ms, struct flo_err *err)
{
    uint64_t ends_ms = 0;
    uint64_t made_ms = 0;
    uint64_t begins_ms = 0;

    if (!read_time(claims, "exp", &ends_ms) || ends_ms + FLO_OIDC_SKEW_MS <= now_ms) {
        return refuse(err, "exp", "is over, or no time");
    }
    if (!read_time(claims, "iat", &made_ms) || made_ms > now_ms + FLO_OIDC_SKEW_MS) {
        return refuse(err, "iat", "is in the future, or no time");
    }
    if (made_ms + FLO_OIDC_AGE_MS + FLO_OIDC_SKEW_MS < now_ms) {
        return refuse(err, "iat", "is more than ten minutes ago");
    }
    if (json_object_get(claims, "nbf") != NULL &&
        (!read_time(claims, "nbf", &begins_ms) || begins_ms > now_ms + FLO_OIDC_SKEW_MS)) {
        return refuse(err, "nbf", "is in the future, or no time");
    }
    return 0;
}

int flo_oidc_claims_check(const json_t *claims, const struct flo_oidc_expect *expect,
                          struct flo_err *err)
{
    const json_t *subject = json_object_get(claims, "sub");
    size_t chars = json_string_length(subject);

    assert(expect->nonce[0] != '\0' && expect->client_id[0] != '\0');
    if (!is_text(claims, "iss", expect->issuer)) {
        return refuse(err, "iss", "is not the provider");
    }
    if (chars == 0 || chars >= FLO_OIDC_SUBJECT) {
        return refuse(err, "sub", "is no text of 1 to 255 bytes");
    }
    FLO_TRY(check_audience(claims, expect->client_id, err));
    FLO_TRY(check_times(claims, expect->now_ms, err));
    if (!is_text(claims, "nonce", expect->nonce)) {
        return refuse(err, "nonce", "is not the one of this login");
    }
    return 0;
}

/* ---- roles ---- */

/* Finds the claim at a path such as "realm.roles".  A claim whose name itself
 * has dots is found first. */
static const json_t *claim_at(const json_t *claims, const char *path)
{
    const json_t *whole = json_object_get(claims, path);
    char name[FLO_NAME_MAX + 1];

    while (whole == NULL && claims != NULL) {
        size_t chars = strcspn(path, ".");
        if (chars > FLO_NAME_MAX) {
            return NULL;
        }
        memcpy(name, path, chars);
        name[chars] = '\0';
        claims = json_object_get(claims, name);
        if (path[chars] == '\0') {
            return claims;
        }
        path += chars + 1;
    }
    return whole;
}

/* Tells whether the claim, a text or a list of texts, has this group. */
static bool has_group(const json_t *claim, const char *group)
{
    return is_audience(claim, group);
}

static bool is_needed(const struct flo_oidc_roles *roles, const json_t *claim)
{
    bool has = roles->needed_count == 0;

    for (size_t i = 0; i < roles->needed_count && !has; i++) {
        has = has_group(claim, roles->needed[i]);
    }
    return has;
}

/* Tells whether the comma-separated list has the word. */
static bool has_word(const char *list, const char *word, size_t chars)
{
    for (;;) {
        size_t here = strcspn(list, ",");
        if (here == chars && memcmp(list, word, chars) == 0) {
            return true;
        }
        if (list[here] == '\0') {
            return false;
        }
        list += here + 1;
    }
}

/* Adds the grants of `role` that are missing.  Returns false without room. */
static bool add_role(char *out, const char *role)
{
    for (;;) {
        size_t chars = strcspn(role, ",");
        size_t has = strlen(out);
        if (!has_word(out, role, chars)) {
            if (has + chars + 2 > FLO_GRANTS_TEXT) {
                return false;
            }
            if (has > 0) {
                out[has++] = ',';
            }
            memcpy(out + has, role, chars);
            out[has + chars] = '\0';
        }
        if (role[chars] == '\0') {
            return true;
        }
        role += chars + 1;
    }
}

int flo_oidc_roles_of(const struct flo_oidc_roles *roles, const json_t *claims, char *out,
                      struct flo_err *err)
{
    const json_t *claim = claim_at(claims, roles->claim);
    struct flo_grants grants;
    char text[FLO_GRANTS_TEXT] = "";
    bool fits = true;

    for (size_t i = 0; i < roles->count && is_needed(roles, claim); i++) {
        if (has_group(claim, roles->rows[i].group)) {
            fits = fits && add_role(text, roles->rows[i].role);
        }
    }
    if (text[0] == '\0') {
        return flo_fail(err, FLO_E_LOGIN_ROLE, "no row of `roles` fits the person's `%.64s`",
                        roles->claim);
    }
    if (!fits || !flo_grants_parse(text, &grants)) {
        return flo_fail(err, FLO_E_LOGIN_ROLE, "the person's `%.64s` give more than %d roles",
                        roles->claim, FLO_GRANTS_MAX);
    }
    memcpy(out, text, sizeof(text));
    return 0;
}

/* ---- who ---- */

void flo_oidc_name(const json_t *claims, const char *claim, char out[FLO_NAME_MAX + 1])
{
    const char *text = json_string_value(claim_at(claims, claim));
    size_t chars = 0;

    if (text == NULL || text[0] == '\0') {
        text = json_string_value(json_object_get(claims, "sub"));
    }
    for (; text != NULL && *text != '\0' && chars < FLO_NAME_MAX; text++) {
        char c = (char)(*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_letter || chars > 0) {
            out[chars++] = (char)(is_letter || c == '.' || c == '_' ? c : '-');
        }
    }
    out[chars] = '\0';
    if (chars == 0) {
        memcpy(out, "person", 7);
    }
}

void flo_oidc_account(const char *issuer, const char *subject, char *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_digest digest;

    flo_buf_printf(&text, "%s\n%s", issuer, subject);
    flo_sha256(text.data, text.bytes, &digest);
    memcpy(out, "oidc:", 5);
    flo_hex_encode(digest.bytes, 16, out + 5);
}

bool flo_oidc_is_account(const char *person)
{
    return strncmp(person, "oidc:", 5) == 0;
}
