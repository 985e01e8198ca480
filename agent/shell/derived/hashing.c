/* Hashing: hashes one slice of a file in each turn of the event loop; see
 * hashing.h. */
#include "agent/shell/derived/hashing.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/host/digest.h"
#include "base/host/event.h"

#define SLICE_MS 4
#define READ_BYTES (128u << 10)

struct flo_hashing {
    int fd;
    uint64_t bytes, hashed;
    struct flo_sha256 sha;
    struct event *slice;
    flo_hashing_done *done;
    void *context;
};

void flo_hashing_cancel(struct flo_hashing *hashing)
{
    if (hashing == NULL) {
        return;
    }
    flo_event_drop(&hashing->slice);
    flo_sha256_deinit(&hashing->sha);
    free(hashing);
}

static int hash_piece(struct flo_hashing *hashing, struct flo_err *err)
{
    static uint8_t piece[READ_BYTES];
    uint64_t left = hashing->bytes - hashing->hashed;
    size_t count = left < READ_BYTES ? (size_t)left : READ_BYTES;

    FLO_TRY(flo_fd_pread_all(hashing->fd, piece, count, hashing->hashed, err));
    flo_sha256_update(&hashing->sha, piece, count);
    hashing->hashed += count;
    return 0;
}

static void end(struct flo_hashing *hashing, const struct flo_err *err)
{
    flo_hashing_done *done = hashing->done;
    void *context = hashing->context;
    struct flo_digest digest;

    flo_sha256_final(&hashing->sha, &digest);
    flo_hashing_cancel(hashing);
    done(context, err == NULL ? &digest : NULL, err);
}

static void on_slice(evutil_socket_t fd, short events, void *context)
{
    const struct timeval at_once = {0};
    struct flo_hashing *hashing = context;
    uint64_t end_ms = flo_now_ms() + SLICE_MS;
    struct flo_err err = {0};

    (void)fd, (void)events;
    while (hashing->hashed < hashing->bytes) {
        if (hash_piece(hashing, &err) < 0) {
            end(hashing, &err);
            return;
        }
        if (flo_now_ms() >= end_ms) {
            evtimer_add(hashing->slice, &at_once);
            return;
        }
    }
    end(hashing, NULL);
}

static int open_hashing(struct flo_hashing *hashing, struct event_base *base, struct flo_err *err)
{
    const struct timeval at_once = {0};
    struct stat st;

    if (fstat(hashing->fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "length of a file");
    }
    hashing->bytes = (uint64_t)st.st_size;
    hashing->slice = evtimer_new(base, on_slice, hashing);
    if (hashing->slice == NULL || evtimer_add(hashing->slice, &at_once) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    return flo_sha256_init(&hashing->sha, err);
}

int flo_hashing_start(struct event_base *base, int fd, flo_hashing_done *done, void *context,
                      struct flo_hashing **out, struct flo_err *err)
{
    struct flo_hashing *hashing = calloc(1, sizeof(*hashing));

    if (hashing == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "hashing");
    }
    hashing->fd = fd;
    hashing->done = done;
    hashing->context = context;
    int rv = open_hashing(hashing, base, err);
    if (rv < 0) {
        flo_hashing_cancel(hashing);
        return rv;
    }
    *out = hashing;
    return 0;
}
