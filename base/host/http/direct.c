/* Direct calls of the HTTP client: decides to which addresses they may
 * connect. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/host/http_client.h"

struct range {
    uint32_t from;
    int bits;
    bool is_private; /* true: a private network; false: never allowed */
};

static bool may_connect_v4(uint32_t address, bool takes_private)
{
    static const struct range ranges[] = {
        {0x00000000, 8, false},  {0x0a000000, 8, true},   /* "this", 10/8 */
        {0x64400000, 10, true},  {0x7f000000, 8, true},   /* shared, loopback */
        {0xa9fe0000, 16, false}, {0xac100000, 12, true},  /* link-local */
        {0xc0000000, 24, false}, {0xc0a80000, 16, true},  /* 192.168/16 */
        {0xc6120000, 15, true},  {0xe0000000, 3, false}}; /* multicast on */

    for (size_t i = 0; i < FLO_COUNT(ranges); i++) {
        if ((address ^ ranges[i].from) >> (32 - ranges[i].bits) == 0) {
            return ranges[i].is_private && takes_private;
        }
    }
    return true;
}

static bool may_connect_v6(const uint8_t *bytes, bool takes_private)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t loopback[16] = {[15] = 1};

    if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0) {
        return may_connect_v4((uint32_t)bytes[12] << 24 | (uint32_t)bytes[13] << 16 |
                                  (uint32_t)bytes[14] << 8 | bytes[15],
                              takes_private);
    }
    if (memcmp(bytes, loopback, 16) == 0 || (bytes[0] & 0xfe) == 0xfc) {
        return takes_private; /* fc00::/7 */
    }
    return (bytes[0] & 0xe0) == 0x20; /* all public IPv6 addresses are in 2000::/3 */
}

bool flo_http_may_connect(const void *address, bool takes_private)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    sa_family_t family;

    memcpy(&family, (const char *)address + offsetof(struct sockaddr, sa_family), sizeof(family));
    if (family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        return may_connect_v4(ntohl(v4.sin_addr.s_addr), takes_private);
    }
    if (family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        return may_connect_v6(v6.sin6_addr.s6_addr, takes_private);
    }
    return false;
}
