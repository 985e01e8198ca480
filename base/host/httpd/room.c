/* HTTP room: who has a place, and who gives way when there is none. */
#include "base/host/httpd/connection.h"

/* least age of an idle connection before it is closed for a new one */
#define FRESH_MS 100

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

/* Returns the connection that has waited longest without a complete request,
 * or NULL when all are busy. */
static struct httpd_connection *oldest_idle(const struct flo_httpd *httpd)
{
    struct httpd_connection *oldest = NULL;
    for (struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        if ((c->state == HTTPD_HEAD || c->state == HTTPD_LINGER) && !has_unread(c) &&
            (oldest == NULL || c->since_ms <= oldest->since_ms)) {
            oldest = c;
        }
    }
    return oldest;
}

bool flo_httpd_is_over(const struct httpd_connection *connection)
{
    const struct flo_httpd *httpd = connection->httpd;
    size_t busy = 0;
    if (httpd->n_connections <= httpd->options.connections_max) {
        return connection->is_spare;
    }
    for (const struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        busy += c != connection && c->state != HTTPD_HEAD && c->state != HTTPD_LINGER;
    }
    return connection->is_spare || busy >= httpd->options.connections_max;
}

void flo_httpd_room_mind(struct flo_httpd *httpd)
{
    const struct httpd_connection *oldest = flo_httpd_is_full(httpd) ? oldest_idle(httpd) : NULL;
    uint64_t age_ms = oldest == NULL ? FRESH_MS : flo_now_ms() - oldest->since_ms;
    if (age_ms >= FRESH_MS) {
        flo_httpd_resume(httpd);
        return;
    }
    struct timeval left = {.tv_usec = (suseconds_t)(FRESH_MS - age_ms) * 1000};
    flo_httpd_pause(httpd);
    event_add(httpd->room, &left);
}

struct httpd_connection *flo_httpd_room_yields(const struct flo_httpd *httpd)
{
    struct httpd_connection *oldest = oldest_idle(httpd);
    return oldest != NULL && flo_now_ms() - oldest->since_ms >= FRESH_MS ? oldest : NULL;
}
