/* An HTTP server for tests, with a folder, certificates and routes of its own,
 * and a client that blocks. */
#ifndef FLOTILLA_TESTS_HTTPD_WORLD_H
#define FLOTILLA_TESTS_HTTPD_WORLD_H

#include <pthread.h>

#include "base/host/httpd.h"

#define FILE_BYTES 300000      /* of GET /file: 'a' + i % 23 */
#define LARGE_BYTES (16 << 20) /* of GET /large: more than sockets hold */

/* The server, on its own thread. */
struct world {
    struct event_base *base;
    struct flo_httpd *httpd;
    struct event *stop;
    int control[2]; /* a byte: 'e' ends the answer that is kept, 'b' begins
                       the beats, 's' shortens the heads' time, else stop */
    int beaten[2];  /* a byte behind the last beat, and when it is short */
    int beats;
    pthread_t thread;
    char folder[64]; /* of the file, the socket, NAME.pem and NAME.key */
    uint16_t port;
    uint16_t tls_port;      /* client certificate required */
    uint16_t optional_port; /* ... or not; out of date too */
    struct flo_httpd_request *kept;
    int closed;  /* on_closed calls */
    int streams; /* chunks that stream_chunk took */
    uint64_t uploaded;
};
extern struct world world;

/* cmocka's set-up and tear-down of a group. */
int world_open(void **state);
int world_close(void **state);

/* Until a client that sends no more was looked at again and again: the server
 * does it every 20 ms, and its timers come in their order. */
void world_await_looks(void);

/* The time for a head is a hang's.  A connection has it until its first byte
 * is there; from then on, for good, it is a short one.  Call it after dial(),
 * and before anything is said: the server has accepted then. */
void world_shorten_heads(void);

/* Authorities that the optional listener knows after GET /again; NULL: none. */
void world_trust(const char *one, const char *two);

/* Behind the first line and the headers of a request. */
#define END "Host: localhost\r\nConnection: close\r\n\r\n"

int dial(uint16_t port);
int dial_path(const char *path);
int dial_unix(void);
void say(int fd, const char *text);
/* Everything until the server closes, and the descriptor with it; *bytes may
 * be NULL.  The caller frees. */
char *hear(int fd, size_t *bytes);
/* One request on a connection of its own. */
char *ask(const char *request);
void expect(const char *request, const char *begins, const char *contains);
/* The same of an answer that was heard; frees it. */
void expect_of(char *text, const char *request, const char *begins, const char *contains);
/* It still answers. */
void alive(void);

#endif
