/* Logins in progress: between the redirect to the provider and the return.
 * Pure.
 *
 * `state` returns through the browser; `secret` stays with the client that
 * began, so another person's link cannot complete a login.  Nonce and PKCE's
 * verifier never leave the controller.  A login in progress takes no memory, so
 * many logins cannot exhaust it.  All its values are derived from state and
 * time with a key in memory.  A restart ends the logins in progress. */
#ifndef FLOTILLA_SERVER_OIDC_LOGINS_H
#define FLOTILLA_SERVER_OIDC_LOGINS_H

#include <flotilla/base.h>

#define FLO_LOGINS_MAX 256 /* number of completed logins that are remembered */
#define FLO_LOGIN_MS 600000
#define FLO_LOGIN_WORD 44 /* size of base64url text of 32 bytes, with NUL */
#define FLO_LOGIN_REDIRECT 256
#define FLO_LOGIN_SECRET (FLO_LOGIN_WORD + FLO_LOGIN_REDIRECT)

struct flo_login {
    char state[FLO_LOGIN_WORD];    /* random bytes and the start time */
    char secret[FLO_LOGIN_SECRET]; /* text: signature over state and redirect, ".", redirect */
    char nonce[FLO_LOGIN_WORD];
    char verifier[FLO_LOGIN_WORD];
    char redirect[FLO_LOGIN_REDIRECT];
};
struct flo_logins {
    uint8_t key[32];                            /* the caller's, random */
    char taken[FLO_LOGINS_MAX][FLO_LOGIN_WORD]; /* used states; `next` is the index of the oldest */
    size_t next;
};

/* Begins a login from 24 random bytes; stores nothing. */
void flo_login_begin(const struct flo_logins *logins, const uint8_t random[24],
                     const char *redirect, uint64_t now_ms, struct flo_login *out);
/* Completes the login of this state, once.  A used state is forgotten after
 * FLO_LOGINS_MAX others; then only the provider refuses its code the second
 * time.  FLO_E_LOGIN_STATE: unknown, expired, or begun by another client. */
FLO_MUST_USE int flo_login_take(struct flo_logins *logins, const char *state, const char *secret,
                                uint64_t now_ms, struct flo_login *out, struct flo_err *err);
/* Derives PKCE's challenge from a verifier (RFC 7636 §4.2); `out` holds
 * FLO_LOGIN_WORD bytes. */
void flo_login_challenge(const char *verifier, char *out);
/* Tells whether the provider may redirect a browser to this address.  Allowed
 * is our page at the origin of the request's `host`; http only if we serve
 * http.  A program on the person's own machine is allowed too (RFC 8252
 * §7.3). */
bool flo_login_may_return(const char *redirect, const char *host, bool is_plain);

#endif
