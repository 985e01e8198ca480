/* HTTP peers: who a client is, and which host its request may name. */
#include "base/host/httpd/connection.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

bool flo_httpd_host_is(const char *const *hosts, const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    size_t bytes = end != NULL ? (size_t)(end + 1 - host) : strcspn(host, ":");
    const char *rest = host + bytes; /* nothing, or a port */
    if (*rest != '\0' && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")] != '\0')) {
        return false;
    }
    for (; *hosts != NULL; hosts++) {
        if (strlen(*hosts) == bytes && strncasecmp(*hosts, host, bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Tells whether a host is an address: "192.0.2.1", "192.0.2.1:80",
 * "[2001:db8::1]:80". */
static bool is_address(const char *host)
{
    char text[INET6_ADDRSTRLEN] = "";
    struct in6_addr six;
    struct in_addr four;
    bool is_six = host[0] == '[';
    const char *start = host + (is_six ? 1 : 0);
    size_t bytes = strcspn(start, is_six ? "]" : ":");

    if (bytes >= sizeof(text) || (is_six && start[bytes] != ']')) {
        return false;
    }
    memcpy(text, start, bytes);
    return is_six ? inet_pton(AF_INET6, text, &six) == 1 : inet_pton(AF_INET, text, &four) == 1;
}

bool flo_httpd_host_is_allowed(const struct httpd_connection *connection)
{
    const char *const *hosts = connection->httpd->options.hosts;
    const char *host = flo_httpd_head_find(&connection->request->head, "host");
    if (hosts == NULL || connection->listener->unix_path != NULL ||
        connection->listener->files.client_cert_required) {
        return true;
    }
    return host != NULL && (flo_httpd_host_is(hosts, host) ||
                            (connection->httpd->options.admits_addresses && is_address(host)));
}

/* Kinds of client numbers, in the top byte, which addresses do not use. */
#define CLIENT_OF_USER ((uint64_t)1 << 56)
#define CLIENT_OF_ADDRESS ((uint64_t)2 << 56)

void flo_httpd_peer_describe(struct httpd_connection *connection, int fd,
                             const struct sockaddr *address)
{
    if (address->sa_family == AF_UNIX) {
        struct ucred peer = {.uid = UINT32_MAX};
        socklen_t bytes = sizeof(peer);
        strcpy(connection->peer_address, "unix");
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) {
            peer.uid = UINT32_MAX; /* the user is unknown; all such clients count as one */
        }
        connection->peer_client = CLIENT_OF_USER | peer.uid;
        return;
    }
    const void *ip =
        address->sa_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    evutil_inet_ntop(address->sa_family, ip, connection->peer_address,
                     sizeof(connection->peer_address));
    /* An IPv6 client counts by its /56 network, because one client owns all
     * addresses in it. */
    size_t bytes = address->sa_family == AF_INET ? 4 : 7;
    connection->peer_client = CLIENT_OF_ADDRESS;
    for (size_t i = 0; i < bytes; i++) {
        connection->peer_client |= (uint64_t)((const uint8_t *)ip)[i] << (8 * i);
    }
    /* Level, name and value.  The kernel tells of a client whose machine or network
     * is gone. */
    static const int sets[][3] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                                  {SOL_SOCKET, SO_KEEPALIVE, 1},
                                  {IPPROTO_TCP, TCP_KEEPIDLE, 60},
                                  {IPPROTO_TCP, TCP_KEEPINTVL, 15},
                                  {IPPROTO_TCP, TCP_USER_TIMEOUT, 120000}};
    for (size_t i = 0; i < FLO_COUNT(sets); i++) {
        setsockopt(fd, sets[i][0], sets[i][1], &sets[i][2], sizeof(int));
    }
}
