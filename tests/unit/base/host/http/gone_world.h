/* A server in the test's own thread, for tests of clients that go: nothing
 * happens between two turns of its loop.  Its clients do not block. */
#ifndef FLOTILLA_TESTS_GONE_WORLD_H
#define FLOTILLA_TESTS_GONE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <sys/types.h>

#include "base/host/httpd/connection.h"
#include "tests/unit/base/host/http/httpd_world.h"
#include "tests/unit/waits.h"

enum { SHORT_MS = 40, CLIENTS_MAX = 480, WAITING_MAX = 64, PLACES = 4, PIECE_BYTES = 65536 };

enum way { CLOSES, RESETS, SENDS_NO_MORE, STANDS_STILL, WAYS };
enum transport { UNIX, TCP, TLS, TRANSPORTS };
enum { SITE = 4 }; /* tag of the listener that requires certificates */

extern struct gone {
    struct event_base *base;
    struct flo_httpd *httpd;
    SSL_CTX *context;
    char folder[64];
    uint16_t port, tls_port, site_port;             /* site: clients need a certificate */
    struct flo_httpd_request *waiting[WAITING_MAX]; /* requests without an answer so far */
    size_t waiting_count;
} gone;

struct client {
    int fd;
    SSL *ssl;
};

/* Deadlines that a test must not meet; and how often a client is looked at. */
enum { HEAD_MS = 3600000, IDLE_MS = 7200000, WRITE_MS = 1800000, LOOK_MS = 1000 };

/* Behind the path of a request. */
#define WITH(more) " HTTP/1.1\r\nHost: localhost\r\n" more "\r\n"

int gone_open(void **state);
int gone_close(void **state);
/* A turn of the loop, after which each connection has a deadline. */
void turn(void);
/* Handlers that wait have their answer at last. */
void answer_waiting(void);
size_t descriptors(void);

struct client client_open(enum transport transport);
/* Shakes hands with the certificate of that name; NULL: with none. */
void client_greet(struct client *client, const char *name);
ssize_t client_send(struct client *client, const char *data, size_t bytes);
ssize_t client_take(struct client *client, char *data, size_t bytes);
/* Tells whether a call would block: it is made again after a turn. */
bool would_block(const struct client *client, ssize_t n);
/* Sends, and then reads so many bytes of the answer.  It is over sooner if the
 * server closes, as at a deadline that a slow machine lets pass. */
void converse(struct client *client, const char *text, size_t send_bytes, size_t take_bytes);
/* The client gets this first line, however long it takes. */
void gets_line(struct client *client, const char *status);
void client_close(struct client *client);
void client_go(struct client *client, enum way way);

/* The server has the deadlines above, and no connection of before. */
void hold_deadlines(uint64_t write_ms);
void release_deadlines(void);

#endif
