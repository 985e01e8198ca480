/* Who: finds the party of a request by its token, by the kernel, by its
 * certificate, or by its address; see who.h. */
#include "agent/serve/api/who.h"

#include "base/host/httpd.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- apps ---- */

bool flo_who_is_secret(const char *given, const char *wanted)
{
    size_t n_given = strlen(given), n = strlen(wanted);
    unsigned differs = n_given != n;
    for (size_t i = 0; i < n; i++) {
        differs |= (unsigned char)wanted[i] ^ (unsigned char)(i < n_given ? given[i] : 0);
    }
    return differs == 0;
}

const char *flo_who_token(const struct flo_httpd_request *http)
{
    const char *token = flo_httpd_bearer(http);

    return token != NULL ? token : flo_httpd_header(http, "x-api-key");
}

/* Returns the index in serve->tokens of a token; -1: it is no app's.  All entries
 * are compared, so that the duration reveals nothing. */
static int find_app(const struct flo_serve *serve, const char *token)
{
    int found = -1;
    for (uint32_t i = 0; token != NULL && i < serve->n_tokens; i++) {
        if (flo_who_is_secret(token, serve->tokens[i].secret)) {
            found = (int)i;
        }
    }
    return found;
}

/* ---- the kernel's table ---- */

void flo_who_open(struct flo_serve *serve)
{
    serve->kernel_fd =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (serve->kernel_fd < 0) {
        flo_log(FLO_LOG_WARN, "serve",
                "the kernel does not tell who owns a port (%s): clients over TCP without an app's "
                "token are known by their address alone",
                strerror(errno));
    }
}

/* Writes an end of a connection as the kernel's table has it. */
static bool read_end(const struct sockaddr_storage *end, __be16 *port, __be32 out[4])
{
    const struct sockaddr_in *four = (const void *)end;
    const struct sockaddr_in6 *six = (const void *)end;

    if (end->ss_family == AF_INET) {
        *port = four->sin_port;
        out[0] = four->sin_addr.s_addr;
    } else if (end->ss_family == AF_INET6) {
        *port = six->sin6_port;
        memcpy(out, &six->sin6_addr, sizeof(six->sin6_addr));
    }
    return end->ss_family == AF_INET || end->ss_family == AF_INET6;
}

/* Asks the kernel who owns the client's end of a connection; a client of another
 * machine has none in its table.  Returns false if nobody does any more: then
 * the kernel says root. */
static bool ask_kernel(int kernel_fd, int fd, uint32_t *user)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 ask;
    } out = {.head = {sizeof(out), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
             .ask = {.sdiag_protocol = IPPROTO_TCP, .idiag_states = UINT32_MAX}};
    struct {
        struct nlmsghdr head;
        struct inet_diag_msg told;
        char more[1024];
    } in;
    struct inet_diag_sockid *id = &out.ask.id;
    struct sockaddr_storage ends[2];
    socklen_t bytes[2] = {sizeof(ends[0]), sizeof(ends[1])};

    if (getpeername(fd, (struct sockaddr *)&ends[0], &bytes[0]) < 0 ||
        getsockname(fd, (struct sockaddr *)&ends[1], &bytes[1]) < 0 ||
        !read_end(&ends[0], &id->idiag_sport, id->idiag_src) ||
        !read_end(&ends[1], &id->idiag_dport, id->idiag_dst)) {
        return false;
    }
    out.ask.sdiag_family = (uint8_t)ends[0].ss_family;
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(kernel_fd, &out, sizeof(out), 0) != (ssize_t)sizeof(out)) {
        return false;
    }
    ssize_t got = recv(kernel_fd, &in, sizeof(in), 0);
    *user = in.told.idiag_uid;
    return got >= (ssize_t)offsetof(__typeof__(in), more) &&
           in.head.nlmsg_type == SOCK_DIAG_BY_FAMILY && in.told.idiag_inode != 0 &&
           in.told.idiag_state != TCP_LISTEN;
}

/* ---- parties ---- */

/* Returns what is known of a TCP connection.  The kernel's number of a socket is
 * never used again. */
static const struct serve_known *known_of(struct flo_serve *serve, int fd, uint64_t client)
{
    uint64_t cookie = 0;
    socklen_t bytes = sizeof(cookie);
    uint32_t user;

    (void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes);
    struct serve_known *known = &serve->known[cookie % FLO_COUNT(serve->known)];
    if (cookie == 0 || known->cookie != cookie) {
        known->cookie = cookie;
        known->number =
            ask_kernel(serve->kernel_fd, fd, &user) ? flo_party_of(FLO_PARTY_USER, user) : client;
        known->prefixes = flo_party_prefixes(known->number);
    }
    return known;
}

struct flo_party flo_who_asks(struct flo_serve *serve, const struct flo_httpd_request *http)
{
    int tag = flo_httpd_listener_tag(http);
    struct flo_party party = {.token = tag == TAG_SITE ? -1 : find_app(serve, flo_who_token(http))};

    if (party.token >= 0) {
        party.number = party.prefixes = serve->tokens[party.token].number;
    } else if (tag == TAG_SITE) {
        party.number = party.prefixes =
            flo_party_number(FLO_PARTY_DEVICE, flo_httpd_peer_name(http));
    } else if (tag == TAG_UNIX) {
        party.number = party.prefixes = flo_httpd_peer_client(http);
    } else {
        const struct serve_known *known =
            known_of(serve, flo_httpd_descriptor(http), flo_httpd_peer_client(http));
        party.number = known->number;
        party.prefixes = known->prefixes;
    }
    return party;
}
