/* Hook words: reads, from a runtime's file, its hook and the health check of
 * its program. */
#ifndef FLOTILLA_AGENT_DEVICE_HOOK_H
#define FLOTILLA_AGENT_DEVICE_HOOK_H

#include <flotilla/base.h>

/* Returns the number of a signal that a hook may send; 0: the word is not
 * known. */
int flo_hook_signal(const char *word);

struct flo_health_address {
    char host[64]; /* numeric address, IPv4 or IPv6 */
    uint16_t port;
    char path[512];
};
/* Reads http://ADDRESS:PORT/PATH.  Names other than localhost are refused,
 * because resolving them could block. */
bool flo_health_address_read(const char *url, struct flo_health_address *out);

#endif
