/* Hook options: reads from a runtime's file which hook to run, and how to check
 * the health of its program. */
#ifndef FLOTILLA_AGENT_DEVICE_HOOK_H
#define FLOTILLA_AGENT_DEVICE_HOOK_H

#include <flotilla/base.h>

/* Returns the number of a signal that a hook may send; 0: the name is not
 * allowed. */
int flo_hook_signal(const char *word);

struct flo_health_address {
    char host[64]; /* numeric IPv4 or IPv6 address */
    uint16_t port;
    char path[512];
};
/* Reads http://ADDRESS:PORT/PATH.  ADDRESS is numeric or localhost, because the
 * resolution of another name could block. */
bool flo_health_address_read(const char *url, struct flo_health_address *out);

#endif
