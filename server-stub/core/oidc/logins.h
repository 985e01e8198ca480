/* Logins under way: between the way to the provider and the way back.  Pure.
 *
 * `state` comes back through the browser, `secret` stays with who began: a
 * link of somebody else cannot end a login here.  Nonce and PKCE's verifier
 * never leave the controller.  They live in memory: a restart ends them. */
#ifndef FLOTILLA_SERVER_OIDC_LOGINS_H
#define FLOTILLA_SERVER_OIDC_LOGINS_H

#include <flotilla/base.h>

#define FLO_LOGINS_MAX 256
#define FLO_LOGIN_MS 600000
#define FLO_LOGIN_WORD 44 /* base64url of 32 bytes */
#define FLO_LOGIN_REDIRECT 256

struct flo_login {
    char state[FLO_LOGIN_WORD]; /* "": free */
    char secret[FLO_LOGIN_WORD];
    char nonce[FLO_LOGIN_WORD];
    char verifier[FLO_LOGIN_WORD];
    char redirect[FLO_LOGIN_REDIRECT];
    uint64_t begun_ms;
};
struct flo_logins {
    struct flo_login items[FLO_LOGINS_MAX];
};

/* With 128 random bytes; among too many the oldest one ends. */
const struct flo_login *flo_login_begin(struct flo_logins *logins,
                                        const uint8_t random[128],
                                        const char *redirect, uint64_t now_ms);
/* The login of this state, once: it is gone then, also when the secret is
 * another.  FLO_E_LOGIN_STATE: unknown, over, or begun by another. */
FLO_MUST_USE int flo_login_take(struct flo_logins *logins, const char *state,
                                const char *secret, uint64_t now_ms,
                                struct flo_login *out, struct flo_err *err);
/* PKCE's challenge of a verifier (RFC 7636 §4.2); `out` has FLO_LOGIN_WORD. */
void flo_login_challenge(const char *verifier, char *out);
/* May the provider send a browser there?  The page at an origin under which we
 * are served (`host` of the request; http only where we are), or a program on
 * the person's own machine (RFC 8252 §7.3). */
bool flo_login_may_return(const char *redirect, const char *host,
                          bool is_plain);

#endif
