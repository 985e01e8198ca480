/* Logins under way. */
#include <string.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#include "server-stub/core/oidc/logins.h"
#include "server-stub/core/oidc/oidc.h"

static bool is_over(const struct flo_login *login, uint64_t now_ms)
{
    return login->state[0] == '\0' || now_ms < login->begun_ms ||
           now_ms - login->begun_ms >= FLO_LOGIN_MS;
}

const struct flo_login *flo_login_begin(struct flo_logins *logins,
                                        const uint8_t random[128],
                                        const char *redirect, uint64_t now_ms)
{
    struct flo_login *place = &logins->items[0];

    for (size_t i = 0; i < FLO_LOGINS_MAX && !is_over(place, now_ms); i++) {
        struct flo_login *login = &logins->items[i];
        if (is_over(login, now_ms) || login->begun_ms < place->begun_ms) {
            place = login;
        }
    }
    *place = (struct flo_login){.begun_ms = now_ms};
    flo_base64url_encode(random, 32, place->state);
    flo_base64url_encode(random + 32, 32, place->secret);
    flo_base64url_encode(random + 64, 32, place->nonce);
    flo_base64url_encode(random + 96, 32, place->verifier);
    snprintf(place->redirect, sizeof(place->redirect), "%s", redirect);
    return place;
}

static bool is_word(const char *given, const char *known)
{
    return strlen(given) == FLO_LOGIN_WORD - 1 &&
           flo_secret_equal((const uint8_t *)given, (const uint8_t *)known,
                            FLO_LOGIN_WORD - 1);
}

int flo_login_take(struct flo_logins *logins, const char *state,
                   const char *secret, uint64_t now_ms, struct flo_login *out,
                   struct flo_err *err)
{
    for (size_t i = 0; i < FLO_LOGINS_MAX; i++) {
        struct flo_login *login = &logins->items[i];
        if (is_over(login, now_ms) || !is_word(state, login->state)) {
            continue;
        }
        bool fits = is_word(secret, login->secret);
        *out = *login;
        *login = (struct flo_login){.state = ""};
        return fits ? 0
                    : flo_fail(err, FLO_E_LOGIN_STATE,
                               "the login was begun by another");
    }
    return flo_fail(err, FLO_E_LOGIN_STATE,
                    "the login is unknown, over, or was finished already");
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

    return digits >= 1 && digits <= 5 && text[digits] == '/';
}

static bool is_plain_text(const char *url)
{
    size_t chars = 0;

    while (url[chars] > ' ' && url[chars] <= '~' &&
           strchr("\"<>\\^`{|}#?@", url[chars]) == NULL) {
        chars++;
    }
    return url[chars] == '\0' && chars < FLO_LOGIN_REDIRECT;
}

bool flo_login_may_return(const char *redirect, const char *host, bool is_plain)
{
    static const char *const loopback[] = {"http://127.0.0.1:",
                                           "http://[::1]:"};
    static const char *const schemes[] = {"https", "http"};
    char page[FLO_LOGIN_REDIRECT];

    if (!is_plain_text(redirect)) {
        return false;
    }
    for (size_t i = 0; i < FLO_COUNT(loopback); i++) {
        size_t most = strlen(loopback[i]);
        if (strncmp(redirect, loopback[i], most) == 0 &&
            is_port_and_path(redirect + most)) {
            return true;
        }
    }
    for (size_t i = 0; i < (is_plain ? 2 : 1); i++) {
        int chars = snprintf(page, sizeof(page), "%s://%s/", schemes[i], host);
        if (chars > 0 && (size_t)chars < sizeof(page) && host[0] != '\0' &&
            strcmp(redirect, page) == 0) {
            return true;
        }
    }
    return false;
}
