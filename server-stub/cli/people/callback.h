/* Callback: reads the parameters with which a browser returns from an identity
 * provider.  The function has no side effects. */
#ifndef FLOTILLA_CLI_CALLBACK_H
#define FLOTILLA_CLI_CALLBACK_H

#include <flotilla/base.h>

#define FLO_CALLBACK_HEAD_MAX 8192
#define FLO_CALLBACK_PATH "/callback"

struct flo_callback {
    char code[2049];
    char state[65];
    char error[257];
    char issuer[512]; /* issuer that the provider names (RFC 9207); "": none */
};

/* Reads the parameters of a login's return from text.  The text is the first
 * line of a browser's request ("GET /callback?code=… HTTP/1.1"), or the address
 * that a person pastes.  Returns false for any other text, without a state,
 * without both code and error, or when a parameter is repeated or too long. */
bool flo_callback_read(const char *text, struct flo_callback *out);

#endif
