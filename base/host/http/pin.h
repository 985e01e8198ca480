/* TLS peers that are not a named server with a CA file: a server pinned by its
 * CA's fingerprint (for enrolment), and a device.  Used by setup.c alone. */
#ifndef FLOTILLA_HOST_HTTP_CLIENT_TLS_H
#define FLOTILLA_HOST_HTTP_CLIENT_TLS_H

#include <stdbool.h>

/* Tells whether `hex` has 32 to 64 lower-case hex digits and no other
 * characters. */
bool flo_http_fingerprint_is_valid(const char *hex);

/* Makes the easy handle `curl` trust exactly the CA certificate with that
 * SHA-256, which the server must send in its chain.  Chain, dates and host name
 * are checked as usual.  `hex` must live as long as the handle. */
void flo_http_pin(void *curl, const char *hex);

/* Makes the easy handle `curl` accept a device as the peer: its certificate is
 * a client certificate, and it has no host name. */
void flo_http_meet_device(void *curl);

#endif
