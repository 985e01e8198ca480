/* Words of a runtime's file about its hook and the health of its program. */
#ifndef FLOTILLA_AGENT_DEVICE_HOOK_H
#define FLOTILLA_AGENT_DEVICE_HOOK_H

#include <flotilla/base.h>

/* The number of a signal that a hook may send; 0: no such word. */
int flo_hook_signal(const char *word);

struct flo_health_address {
    char host[64]; /* a number, IPv4 or IPv6 */
    uint16_t port;
    char path[512];
};
/* http://ADDRESS:PORT/PATH; a name could wait for a resolver, so none is taken
 * but localhost. */
bool flo_health_address_read(const char *url, struct flo_health_address *out);

#endif
