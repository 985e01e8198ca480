/* Other sides than a server with a name and a CA file: one that is pinned by
 * the fingerprint of its CA, for enrolment, and a device.  Used by client.c
 * alone. */
#ifndef FLOTILLA_HOST_HTTP_CLIENT_TLS_H
#define FLOTILLA_HOST_HTTP_CLIENT_TLS_H

#include <stdbool.h>

/* 32 to 64 lower-case hex digits. */
bool flo_http_fingerprint_is_valid(const char *hex);

/* Make the easy handle `curl` trust exactly the CA certificate with that
 * SHA-256, which the server must send in its chain.  Chain, dates and host
 * name are checked as ever.  `hex` must live as long as the handle. */
void flo_http_pin(void *curl, const char *hex);

/* Let the easy handle meet a device: its certificate is a client's, and it
 * has no host name. */
void flo_http_meet_device(void *curl);

#endif
