/* Logins: begins a login and completes it. */
#include <string.h>

#include <flotilla/errors/login.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#include "server-stub/core/oidc/logins.h"
#include "server-stub/core/oidc/oidc.h"

#define RANDOM_BYTES 24

/* Computes base64url of HMAC(key, "name state redirect"). */
static void word_of(const struct flo_logins *logins, const char *name, const char *state,
                    const char *redirect, char *out)
{
    char text[16 + FLO_LOGIN_WORD + FLO_LOGIN_REDIRECT];
    struct flo_digest digest;
    int chars = snprintf(text, sizeof(text), "%s %s %s", name, state, redirect);

    flo_hmac_sha256(logins->key, sizeof(logins->key), &(struct flo_hmac_piece){text, (size_t)chars},
                    1, &digest);
    flo_base64url_encode(digest.bytes, FLO_DIGEST_BYTES, out);
}

static void fill(const struct flo_logins *logins, struct flo_login *login)
{
    char sign[FLO_LOGIN_WORD];

    word_of(logins, "secret", login->state, login->redirect, sign);
    snprintf(login->secret, sizeof(login->secret), "%s.%s", sign, login->redirect);
    word_of(logins, "nonce", login->state, login->redirect, login->nonce);
    word_of(logins, "verifier", login->state, login->redirect, login->verifier);
}

void flo_login_begin(const struct flo_logins *logins, const uint8_t random[RANDOM_BYTES],
                     const char *redirect, uint64_t now_ms, struct flo_login *out)
{
    uint8_t state[RANDOM_BYTES + 8];

    *out = (struct flo_login){.state = ""};
    memcpy(state, random, RANDOM_BYTES);
    for (size_t i = 0; i < 8; i++) {
        state[RANDOM_BYTES + i] = (uint8_t)(now_ms >> (8 * i));
    }
    flo_base64url_encode(state, sizeof(state), out->state);
    snprintf(out->redirect, sizeof(out->redirect), "%s", redirect);
    fill(logins, out);
}

/* Returns the time at which the login with this state began. UINT64_MAX: the
 * text has not the form of a state. */
static uint64_t begun_ms(const char *state)
{
    uint8_t bytes[RANDOM_BYTES + 8 + 2];
    uint64_t ms = 0;

    if (strlen(state) != FLO_LOGIN_WORD - 1 ||
        flo_base64url_decode(state, FLO_LOGIN_WORD - 1, bytes) != RANDOM_BYTES + 8) {
        return UINT64_MAX;
    }
    for (size_t i = 8; i-- > 0;) {
        ms = ms << 8 | bytes[RANDOM_BYTES + i];
    }
    return ms;
}

static bool is_taken(const struct flo_logins *logins, const char *state)
{
    for (size_t i = 0; i < FLO_LOGINS_MAX; i++) {
        if (strcmp(logins->taken[i], state) == 0) {
            return true;
        }
    }
    return false;
}

int flo_login_take(struct flo_logins *logins, const char *state, const char *secret,
                   uint64_t now_ms, struct flo_login *out, struct flo_err *err)
{
    struct flo_login login = {.state = ""};
    uint64_t begun = begun_ms(state);
    size_t chars = strlen(secret);

    if (begun > now_ms || now_ms - begun >= FLO_LOGIN_MS || is_taken(logins, state)) {
        return flo_fail(err, FLO_E_LOGIN_STATE,
                        "the login is unknown, over, or was finished already");
    }
    snprintf(login.state, sizeof(login.state), "%s", state);
    if (chars >= FLO_LOGIN_WORD && chars < sizeof(login.secret)) {
        snprintf(login.redirect, sizeof(login.redirect), "%s", secret + FLO_LOGIN_WORD);
    }
    fill(logins, &login);
    if (chars != strlen(login.secret) ||
        !flo_secret_equal((const uint8_t *)secret, (const uint8_t *)login.secret, chars)) {
        return flo_fail(err, FLO_E_LOGIN_STATE, "the login was begun by another");
    }
    memcpy(logins->taken[logins->next], login.state, sizeof(login.state));
    logins->next = (logins->next + 1) % FLO_LOGINS_MAX;
    *out = login;
    return 0;
}

void flo_login_challenge(const char *verifier, char *out)
{
    struct flo_digest digest;

    flo_sha256(verifier, strlen(verifier), &digest);
    flo_base64url_encode(digest.bytes, FLO_DIGEST_BYTES, out);
}

/* "PORT/path" after "http://127.0.0.1:". */
static bool is_port_and_path(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits >= 1 && digits <= 5 && atoi(text) >= 1 && atoi(text) <= 65535 &&
           text[digits] == '/';
}

static bool is_plain_text(const char *url)
{
    size_t chars = 0;

    while (url[chars] > ' ' && url[chars] <= '~' && strchr("\"<>\\^`{|}#?@", url[chars]) == NULL) {
        chars++;
    }
    return url[chars] == '\0' && chars < FLO_LOGIN_REDIRECT;
}

bool flo_login_may_return(const char *redirect, const char *host, bool is_plain)
{
    static const char *const loopback[] = {"http://127.0.0.1:", "http://[::1]:"};
    static const char *const schemes[] = {"https", "http"};
    char page[FLO_LOGIN_REDIRECT];

    if (!is_plain_text(redirect)) {
        return false;
    }
    for (size_t i = 0; i < FLO_COUNT(loopback); i++) {
        size_t most = strlen(loopback[i]);
        if (strncmp(redirect, loopback[i], most) == 0 && is_port_and_path(redirect + most)) {
            return true;
        }
    }
    for (size_t i = 0; i < (is_plain ? 2 : 1); i++) {
        size_t chars = (size_t)snprintf(page, sizeof(page), "%s://%s/", schemes[i], host);
        if (chars < sizeof(page) && host[0] != '\0' && strcmp(redirect, page) == 0) {
            return true;
        }
    }
    return false;
}
