/* A mirror for tests: serves /v1/blobs/sha256:<hex> from sha256-<hex> of a
 * folder and /v1/envelopes/sha256:<hex> from envelope-<hex>, on a
 * thread of its own, and misbehaves on request. */
#ifndef TESTS_MIRROR_H
#define TESTS_MIRROR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mirror {
    char dir[128];
    char url[64]; /* "http://127.0.0.1:<port>" */

    /* Behaviour; set between requests. */
    int status;       /* 0: serve; else this status for the next ... */
    int status_count; /* ... requests; -1: for ever */
    bool is_portal;   /* 200 and a page for everything */
    const char *raw;  /* these bytes instead of any answer */
    size_t raw_bytes;
    size_t raw_times;      /* over and over */
    bool is_without_range; /* always the whole file with 200 */
    bool is_without_length;
    int64_t cut_after; /* close after so many body bytes; 0: do not */
    bool is_holding;   /* such a cut sends nothing more, and the connection stays */
    int64_t cut_later; /* each of these cuts is so much later */
    int cut_count;     /* for so many requests; -1: for ever */
    int64_t flip_at;   /* this byte of the file is wrong; -1: none */
    int extra_bytes;   /* after the end */

    /* Counts of requests. */
    atomic_ulong requests;
    atomic_ullong sent_bytes; /* bodies */
    char last_range[96];
    char last_if_range[128];

    int listen_fd;
    atomic_bool is_closing;
    pthread_t thread;
};

void mirror_open(struct mirror *mirror, const char *dir);
void mirror_close(struct mirror *mirror);

#endif
