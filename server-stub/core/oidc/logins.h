/* Logins under way: between the way to the provider and the way back.  Pure.
 *
 * `state` comes back through the browser, `secret` stays with who began: a
 * link of somebody else cannot end a login here.  Nonce and PKCE's verifier
 * never leave the controller.  Nothing is kept of a login that began, so nobody
 * can begin too many: state and time make all other words by a key that lives
 * in memory.  A restart ends the logins under way. */
#ifndef FLOTILLA_SERVER_OIDC_LOGINS_H
#define FLOTILLA_SERVER_OIDC_LOGINS_H

#include <flotilla/base.h>

#define FLO_LOGINS_MAX 256 /* that have come back, and are remembered */
#define FLO_LOGIN_MS 600000
#define FLO_LOGIN_WORD 44 /* base64url of 32 bytes */
#define FLO_LOGIN_REDIRECT 256
#define FLO_LOGIN_SECRET (FLO_LOGIN_WORD + FLO_LOGIN_REDIRECT)

struct flo_login {
    char state[FLO_LOGIN_WORD];    /* random, and when it began */
    char secret[FLO_LOGIN_SECRET]; /* signature over state and redirect, ".",
                                      redirect */
    char nonce[FLO_LOGIN_WORD];
    char verifier[FLO_LOGIN_WORD];
    char redirect[FLO_LOGIN_REDIRECT];
};
struct flo_logins {
    uint8_t key[32];                            /* the caller's, random */
    char taken[FLO_LOGINS_MAX][FLO_LOGIN_WORD]; /* states, the oldest at next */
    size_t next;
};

/* With 24 random bytes; it takes no room. */
void flo_login_begin(const struct flo_logins *logins, const uint8_t random[24],
                     const char *redirect, uint64_t now_ms, struct flo_login *out);
/* The login of this state, once.  After FLO_LOGINS_MAX others it is forgotten
 * that it was taken; its code is the provider's, who takes it once.
 * FLO_E_LOGIN_STATE: unknown, over, or begun by another. */
FLO_MUST_USE int flo_login_take(struct flo_logins *logins, const char *state, const char *secret,
                                uint64_t now_ms, struct flo_login *out, struct flo_err *err);
/* PKCE's challenge of a verifier (RFC 7636 §4.2); `out` has FLO_LOGIN_WORD. */
void flo_login_challenge(const char *verifier, char *out);
/* May the provider send a browser there?  The page at an origin under which we
 * are served (`host` of the request; http only where we are), or a program on
 * the person's own machine (RFC 8252 §7.3). */
bool flo_login_may_return(const char *redirect, const char *host, bool is_plain);

#endif
