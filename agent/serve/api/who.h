/* Who: decides which party sent a request (agent/serve/party.h).  No other file
 * of serving does. */
#ifndef FLOTILLA_SERVE_API_WHO_H
#define FLOTILLA_SERVE_API_WHO_H

#include "agent/serve/state.h"

struct flo_httpd_request;

/* Tags of the listeners. */
enum { TAG_UNIX, TAG_TCP, TAG_SITE };

/* Opens serve->kernel_fd, by which the kernel is asked who owns a port.  Without it,
 * which is logged, clients over TCP are known by their app or address. */
void flo_who_open(struct flo_serve *serve);

/* Returns the token that the client sent; NULL: none.  Anthropic's clients send
 * it in a header of their own. */
const char *flo_who_token(const struct flo_httpd_request *http);
/* Compares two secrets.  The time it takes does not depend on where they
 * differ. */
bool flo_who_is_secret(const char *given, const char *wanted);
/* Decides which party sent the request: the app of its token, else the user,
 * else the device of the fleet, else the address.  The kernel is asked
 * once for each connection. */
struct flo_party flo_who_asks(struct flo_serve *serve, const struct flo_httpd_request *http);

#endif
