/* Relay: forwards pairs of connections, on libevent. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include <flotilla/errors/net.h>

#include "base/host/relay.h"

#define PAIRS_MAX 4096
/* most bytes read but not yet written to the other side */
#define BYTES_AHEAD (256u << 10)
#define ADDRESS_MAX 320
/* pause between two probes, and the longest wait for one */
#define PROBE_MS 500

struct pair {
    struct flo_relay *relay;
    struct pair *next;
    struct pair **link;
    struct bufferevent *sides[2]; /* the client's side and the target's side */
    bool is_connected;
    bool is_otherwise; /* true: the target is the fallback */
    bool ends;         /* true: one side has closed, and the rest is still written to the other */
};
struct flo_relay {
    struct event_base *base;
    struct event *resume; /* timer that accepts connections again after an error */
    struct evconnlistener *listener;
    struct pair *pairs;
    size_t count;
    struct bufferevent *probe; /* the relay's own connection to the target; NULL: none */
    uint64_t probed_ms;        /* time at which the probe was opened last */
    bool reaches;              /* the newest probe was accepted */
    char target[ADDRESS_MAX];
    char otherwise[ADDRESS_MAX]; /* address of the fallback; "": none */
};

/* ---- addresses ---- */

static int resolve(const char *text, bool passive, struct addrinfo **out, struct flo_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV};
    const char *colon = strrchr(text, ':');
    char host[ADDRESS_MAX];

    if (colon == NULL || colon == text || strlen(text) >= sizeof(host)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "`%.200s` is no HOST:PORT", text);
    }
    bool bracket = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - (bracket ? 2 : 0),
             text + (bracket ? 1 : 0));
    int rv = getaddrinfo(host, colon + 1, &hints, out);
    return rv == 0 ? 0
                   : flo_fail(err, FLO_E_CFG_RANGE, "address %.200s: %s", text, gai_strerror(rv));
}

/* ---- pairs ---- */

static void pair_free(struct pair *pair)
{
    *pair->link = pair->next;
    if (pair->next != NULL) {
        pair->next->link = pair->link;
    }
    pair->relay->count--;
    for (size_t i = 0; i < 2; i++) {
        if (pair->sides[i] != NULL) {
            bufferevent_free(pair->sides[i]);
        }
    }
    free(pair);
}

static struct bufferevent *other_of(const struct pair *pair, const struct bufferevent *side)
{
    return pair->sides[side == pair->sides[0]];
}

static void on_read(struct bufferevent *side, void *context)
{
    struct pair *pair = context;
    struct bufferevent *other = other_of(pair, side);
    struct evbuffer *to = bufferevent_get_output(other);

    if (pair->ends) {
        return;
    }
    evbuffer_add_buffer(to, bufferevent_get_input(side));
    if (evbuffer_get_length(to) > BYTES_AHEAD) {
        bufferevent_disable(side, EV_READ);
    }
}

/* Resumes reading from one side when all its data was written to the other
 * side, or ends the pair. */
static void on_written(struct bufferevent *side, void *context)
{
    struct pair *pair = context;

    if (pair->ends) {
        pair_free(pair);
        return;
    }
    bufferevent_enable(other_of(pair, side), EV_READ);
}

static bool is_dialled_otherwise(struct pair *pair);

/* The kernel ends a connection that takes no byte for a minute: it sees each, also
 * while a socket of megabytes is not writable. */
static void mind(const struct bufferevent *side)
{
    static const int unread_ms = 60000;
    setsockopt(bufferevent_getfd(side), IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms, sizeof(int));
}

static void on_event(struct bufferevent *side, short what, void *context)
{
    struct pair *pair = context;

    if ((what & BEV_EVENT_CONNECTED) != 0) {
        pair->is_connected = true;
        return;
    }
    if (side == pair->sides[1] && !pair->is_connected && !pair->ends &&
        is_dialled_otherwise(pair)) {
        return;
    }
    struct bufferevent *other = other_of(pair, side);
    bool had_ended = pair->ends;
    pair->ends = true;
    evbuffer_add_buffer(bufferevent_get_output(other), bufferevent_get_input(side));
    bufferevent_disable(other, EV_READ);
    if (had_ended || evbuffer_get_length(bufferevent_get_output(other)) == 0) {
        pair_free(pair);
    } else {
        bufferevent_disable(side, EV_READ | EV_WRITE);
    }
}

enum dialled {
    DIALLED,
    /* the attempt failed at once; on_event() handles the pair, and may have
     * freed it */
    DIALLED_ENDED,
    DIALLED_NOT
};

/* Connects to the target.  Data that the client sends meanwhile is not read
 * yet. */
static enum dialled dial(struct pair *pair, const char *address)
{
    struct bufferevent *side = bufferevent_socket_new(pair->relay->base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct addrinfo *to = NULL;

    if (side == NULL || resolve(address, false, &to, NULL) < 0) {
        if (side != NULL) {
            bufferevent_free(side);
        }
        return DIALLED_NOT;
    }
    if (pair->sides[1] != NULL) {
        struct evbuffer *unsent = bufferevent_get_output(pair->sides[1]);
        evbuffer_unfreeze(unsent, 1);
        evbuffer_add_buffer(bufferevent_get_output(side), unsent);
        bufferevent_free(pair->sides[1]);
    }
    pair->sides[1] = side;
    bufferevent_setcb(side, on_read, on_written, on_event, pair);
    int rv = bufferevent_socket_connect(side, to->ai_addr, (int)to->ai_addrlen);
    freeaddrinfo(to);
    if (rv < 0) {
        return DIALLED_ENDED;
    }
    mind(side);
    bufferevent_enable(side, EV_READ | EV_WRITE);
    bufferevent_enable(pair->sides[0], EV_READ | EV_WRITE);
    return DIALLED;
}

/* Connects to the fallback.  Returns true when the pair continues, or was
 * freed. */
static bool is_dialled_otherwise(struct pair *pair)
{
    if (pair->is_otherwise || pair->relay->otherwise[0] == '\0') {
        return false;
    }
    pair->is_otherwise = true;
    if (dial(pair, pair->relay->otherwise) == DIALLED_NOT) {
        pair_free(pair);
    }
    return true;
}

static void pair_open(struct flo_relay *relay, evutil_socket_t fd)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    if (pair == NULL) {
        evutil_closesocket(fd);
        return;
    }
    pair->relay = relay;
    pair->next = relay->pairs;
    pair->link = &relay->pairs;
    if (pair->next != NULL) {
        pair->next->link = &pair->next;
    }
    relay->pairs = pair;
    relay->count++;
    pair->is_otherwise = relay->target[0] == '\0';
    pair->sides[0] = bufferevent_socket_new(relay->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (pair->sides[0] == NULL) {
        evutil_closesocket(fd);
        pair_free(pair);
        return;
    }
    bufferevent_setcb(pair->sides[0], on_read, on_written, on_event, pair);
    mind(pair->sides[0]);
    if (dial(pair, pair->is_otherwise ? relay->otherwise : relay->target) == DIALLED_NOT &&
        !is_dialled_otherwise(pair)) {
        pair_free(pair);
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int bytes, void *context)
{
    struct flo_relay *relay = context;
    bool is_nobody = relay->target[0] == '\0' && relay->otherwise[0] == '\0';

    (void)listener, (void)from, (void)bytes;
    if (is_nobody || relay->count >= PAIRS_MAX) {
        evutil_closesocket(fd);
        return;
    }
    pair_open(relay, fd);
}

/* ---- whether the target is there ---- */

static void probe_end(struct flo_relay *relay)
{
    if (relay->probe != NULL) {
        bufferevent_free(relay->probe);
        relay->probe = NULL;
    }
}

/* A probe that ends after it was accepted says nothing yet; the next one
 * does. */
static void on_probe(struct bufferevent *side, short what, void *context)
{
    struct flo_relay *relay = context;
    bool is_there = (what & BEV_EVENT_CONNECTED) != 0;

    if (is_there) {
        bufferevent_set_timeouts(side, NULL, NULL);
        bufferevent_disable(side, EV_WRITE);
        bufferevent_enable(side, EV_READ);
        relay->reaches = true;
    } else {
        relay->reaches = relay->reaches && (what & BEV_EVENT_EOF) != 0;
        probe_end(relay);
    }
}

static void probe(struct flo_relay *relay)
{
    static const struct timeval limit = {.tv_usec = PROBE_MS * 1000};
    struct addrinfo *to = NULL;
    bool is_found = resolve(relay->target, false, &to, NULL) == 0;

    relay->probed_ms = flo_now_ms();
    relay->probe = is_found ? bufferevent_socket_new(relay->base, -1, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (relay->probe == NULL) {
        relay->reaches = false;
    } else {
        bufferevent_setcb(relay->probe, NULL, NULL, on_probe, relay);
        bufferevent_set_timeouts(relay->probe, NULL, &limit);
        bufferevent_enable(relay->probe, EV_WRITE);
        /* A failure at once is told to on_probe(). */
        (void)bufferevent_socket_connect(relay->probe, to->ai_addr, (int)to->ai_addrlen);
    }
    if (to != NULL) {
        freeaddrinfo(to);
    }
}

bool flo_relay_reaches(struct flo_relay *relay)
{
    bool is_due = relay->probe == NULL && flo_now_ms() - relay->probed_ms >= PROBE_MS;

    if (is_due && relay->target[0] != '\0') {
        probe(relay);
    }
    return relay->reaches;
}

/* ---- the whole ---- */

void flo_relay_to(struct flo_relay *relay, const char *address)
{
    if (strcmp(relay->target, address) != 0) {
        probe_end(relay);
        relay->reaches = false;
        relay->probed_ms = 0;
        while (relay->pairs != NULL) {
            pair_free(relay->pairs);
        }
        snprintf(relay->target, sizeof(relay->target), "%s", address);
    }
}

void flo_relay_otherwise(struct flo_relay *relay, const char *address)
{
    snprintf(relay->otherwise, sizeof(relay->otherwise), "%s", address);
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    struct flo_relay *relay = context;

    (void)fd, (void)what;
    evconnlistener_enable(relay->listener);
}

/* Without a descriptor, the loop would spin on the error. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    static const struct timeval retry = {.tv_usec = 100000};
    struct flo_relay *relay = context;

    evconnlistener_disable(listener);
    event_add(relay->resume, &retry);
}

static uint16_t port_of(struct evconnlistener *listener)
{
    struct sockaddr_storage name;
    socklen_t bytes = sizeof(name);
    char text[8] = "0";

    if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&name, &bytes) == 0) {
        (void)getnameinfo((struct sockaddr *)&name, bytes, NULL, 0, text, sizeof(text),
                          NI_NUMERICSERV);
    }
    return (uint16_t)strtoul(text, NULL, 10);
}

int flo_relay_open(struct event_base *base, const char *address, struct flo_relay **out,
                   uint16_t *port, struct flo_err *err)
{
    struct addrinfo *at = NULL;
    int rv = resolve(address, true, &at, err);
    struct flo_relay *relay = rv < 0 ? NULL : calloc(1, sizeof(*relay));

    if (rv == 0 && relay == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "relay");
    }
    if (rv == 0) {
        relay->base = base;
        relay->resume = evtimer_new(base, on_resume, relay);
        relay->listener = evconnlistener_new_bind(base, on_accept, relay,
                                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
                                                      LEV_OPT_REUSEABLE,
                                                  1024, at->ai_addr, (int)at->ai_addrlen);
        if (relay->listener == NULL) {
            rv = errno == EADDRINUSE ? flo_fail(err, FLO_E_PORT_IN_USE, "%s is in use", address)
                                     : flo_fail_errno(err, FLO_E_IO_OPEN, "listen on %s", address);
        }
    }
    if (at != NULL) {
        freeaddrinfo(at);
    }
    if (rv < 0) {
        if (relay != NULL && relay->resume != NULL) {
            event_free(relay->resume);
        }
        free(relay);
        return rv;
    }
    evconnlistener_set_error_cb(relay->listener, on_accept_error);
    *port = port_of(relay->listener);
    *out = relay;
    return 0;
}

void flo_relay_close(struct flo_relay *relay)
{
    if (relay != NULL) {
        flo_relay_to(relay, "");
        while (relay->pairs != NULL) {
            pair_free(relay->pairs);
        }
        evconnlistener_free(relay->listener);
        event_free(relay->resume);
        free(relay);
    }
}
