/* HTTP room: who has a place, and who gives way when there is none. */
#include "base/host/httpd/connection.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* least age of an idle connection before it is closed for a new one */
#define FRESH_MS 100
/* least time without a byte before a body or an answer is closed for a new one */
#define STILL_MS 1000
/* clients are counted by a hash of their numbers */
#define BUCKETS 256

/* Returns the places of a listener: on a unix socket they are more. */
static size_t places_of(const struct httpd_listener *listener)
{
    return listener->httpd->options.connections_max +
           (listener->unix_path != NULL ? HTTPD_SOCKET : 0);
}

bool flo_httpd_is_full(const struct flo_httpd *httpd)
{
    return httpd->n_connections >= httpd->options.connections_max;
}

/* Tells whether the start of a request has arrived that the event loop will
 * read in this turn. */
static bool has_unread(const struct httpd_connection *connection)
{
    return connection->state == HTTPD_HEAD && !connection->head_begun &&
           evbuffer_get_length(bufferevent_get_input(connection->bev)) > 0;
}

static bool is_idle(const struct httpd_connection *connection)
{
    return connection->state == HTTPD_HEAD || connection->state == HTTPD_LINGER;
}

/* Returns the connection that has waited longest without a complete request,
 * or NULL when all are busy. */
static struct httpd_connection *oldest_idle(const struct flo_httpd *httpd)
{
    struct httpd_connection *oldest = NULL;
    for (struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        if (is_idle(c) && !has_unread(c) && (oldest == NULL || c->since_ms <= oldest->since_ms)) {
            oldest = c;
        }
    }
    return oldest;
}

bool flo_httpd_is_over(const struct httpd_connection *connection)
{
    const struct flo_httpd *httpd = connection->httpd;
    size_t places = places_of(connection->listener);
    size_t busy = 0;
    if (httpd->n_connections <= places) {
        return connection->is_spare;
    }
    for (const struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        busy += c != connection && !is_idle(c);
    }
    return connection->is_spare || busy >= places;
}

/* Tells whether a new client would take a descriptor of those kept for handlers.
 * The first one that does shows how many clients there may be. */
static bool takes_kept(struct flo_httpd *httpd, int fd)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)fd + 1 + HTTPD_KEPT) {
        httpd->most = httpd->n_connections < httpd->most ? httpd->n_connections : httpd->most;
    } else if (httpd->n_connections <= httpd->most / 2) {
        httpd->most = SIZE_MAX;
    }
    return httpd->n_connections >= httpd->most;
}

struct httpd_room flo_httpd_room_for(const struct httpd_listener *listener, int fd)
{
    struct flo_httpd *httpd = listener->httpd;
    struct httpd_room room = {.is_short = takes_kept(httpd, fd) && !httpd->has_yielded};
    size_t spare = 0;
    httpd->has_yielded = false;
    room.is_free = !room.is_short && !flo_httpd_is_full(httpd);
    const struct httpd_connection *c = room.is_free ? NULL : httpd->connections;
    for (; c != NULL; c = c->next) {
        spare += c->is_spare;
    }
    room.has_spare =
        spare < HTTPD_SPARE && httpd->n_connections < places_of(listener) + HTTPD_SPARE;
    return room;
}

void flo_httpd_room_wait(struct flo_httpd *httpd, uint64_t ms)
{
    struct timeval left = {.tv_usec = (suseconds_t)ms * 1000};
    flo_httpd_pause(httpd);
    event_add(httpd->room, &left);
}

void flo_httpd_room_mind(struct flo_httpd *httpd)
{
    const struct httpd_connection *oldest = flo_httpd_is_full(httpd) ? oldest_idle(httpd) : NULL;
    uint64_t age_ms = oldest == NULL ? FRESH_MS : flo_now_ms() - oldest->since_ms;
    if (age_ms >= FRESH_MS) {
        flo_httpd_resume(httpd);
        return;
    }
    flo_httpd_room_wait(httpd, FRESH_MS - age_ms);
}

/* TCP tells what has arrived: a socket of some megabytes is writable again only
 * when a third of it is free.  A unix socket tells what is not read. */
uint64_t flo_httpd_still_ms(struct httpd_connection *connection)
{
    int fd = bufferevent_getfd(connection->bev);
    struct tcp_info info = {0};
    socklen_t bytes = sizeof(info);
    int unread = 0;
    uint64_t unsent =
        connection->file_left + evbuffer_get_length(bufferevent_get_output(connection->bev));
    bool is_tcp =
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 && info.tcpi_bytes_acked > 0;
    if (!is_tcp && ioctl(fd, SIOCOUTQ, &unread) < 0) {
        unread = 0;
    }
    uint64_t moved = is_tcp ? info.tcpi_bytes_acked : unsent + (uint64_t)unread;
    if (connection->state != HTTPD_BODY && (unsent == 0 || moved != connection->moved)) {
        connection->moved = moved;
        connection->moved_at_ms = flo_now_ms();
    }
    return flo_now_ms() - connection->moved_at_ms;
}

/* Tells whether a connection waits for its client, with a body or an answer.  Under
 * a rate limit, answers may wait for us. */
static bool is_clients(const struct httpd_connection *connection)
{
    return !is_idle(connection) && !connection->is_held &&
           (connection->state != HTTPD_FLUSH || connection->httpd->all == NULL) &&
           flo_httpd_does(connection->state, HTTPD_AT_NO_DESCRIPTORS) == HTTPD_YIELDS;
}

static size_t bucket_of(const struct httpd_connection *connection)
{
    return (size_t)(connection->peer_client * 0x9e3779b97f4a7c15u >> 56);
}

/* Returns the connection of the client with most of these that has stood still
 * longest. */
static struct httpd_connection *worst(const struct flo_httpd *httpd,
                                      const struct httpd_connection *newcomer)
{
    struct httpd_connection *found = NULL;
    size_t counts[BUCKETS] = {0};
    size_t most = 0, of_newcomer = 1;
    uint64_t still_ms = 0;
    for (const struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        size_t count = is_clients(c) ? ++counts[bucket_of(c)] : 0;
        most = count > most ? count : most;
        of_newcomer += newcomer != NULL && c->peer_client == newcomer->peer_client;
    }
    for (struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        bool is_worst = is_clients(c) && counts[bucket_of(c)] == most;
        uint64_t ms = is_worst ? flo_httpd_still_ms(c) : 0;
        if (is_worst && ms >= still_ms) {
            found = c;
            still_ms = ms;
        }
    }
    return still_ms >= STILL_MS || (newcomer != NULL && most > of_newcomer) ? found : NULL;
}

struct httpd_connection *flo_httpd_room_yields(const struct flo_httpd *httpd,
                                               const struct httpd_connection *newcomer)
{
    struct httpd_connection *oldest = oldest_idle(httpd);
    return oldest != NULL && flo_now_ms() - oldest->since_ms >= FRESH_MS ? oldest
                                                                         : worst(httpd, newcomer);
}
