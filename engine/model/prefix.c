/* Prefix: writes the beginning of a session to a file, and reads it back.
 *
 *   head, 144 bytes
 *    0 "FLOPREF\n"
 *    8 u32 format of this file
 *   12 u32 tokens
 *   16 u64 bytes of this file
 *   24 u32 crc32c of all behind the head
 *   28 u32 crc32c of the head, with zero here
 *   32 the model's file: u64 inode, u64 bytes, u64 seconds and u32 nanoseconds
 *      of its mtime, u32 nanoseconds and u64 seconds of its ctime
 *   72 u32 each: cache's type, layers, key heads, values of a head,
 *      vocabulary, crc32c of the rotation's rates, packed weights or not, 0
 *  104 kernel[16], version[16]: zeros after the names
 *  136 u64 owner, a number of the caller's
 * Then the tokens, u32 each, and for each layer its heads' keys, then values:
 * the first blocks of each, as the kernel laid them out.  A layer with a
 * window has only the blocks that the next token needs.  The state of recurrent
 * layers follows, if there are any.
 *
 * Everything from 32 on is computed from the engine and must be equal byte by
 * byte.  The number of tokens and the owner are the only values that are used
 * from the file. */
#include <flotilla/errors/infer.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/model.h>
#include <flotilla/prefix.h>

#include <string.h>
#include <sys/mman.h>

#include "engine/memory/mapped.h"
#include "engine/model/compute.h"

#define FORMAT 3u
#define HEAD_BYTES 144u
#define OWNER_AT 136u
#define MODEL_AT 32u
#define SETTINGS_AT 72u
#define WINDOW_BYTES (1u << 20)

static const char magic[8] = {'F', 'L', 'O', 'P', 'R', 'E', 'F', '\n'};

_Static_assert(FLO_PREFIX_TOKENS == FLO_KV_BLOCK, "blocks of the cache");

/* ---- sizes and the head ---- */

static int add_row(void *context, const struct flo_cache_row *row, struct flo_err *err)
{
    uint64_t *bytes = context;

    (void)err;
    *bytes += row->bytes;
    return 0;
}

uint64_t flo_prefix_bytes(const struct flo_engine *engine, uint32_t count)
{
    uint64_t bytes = 0;

    count -= count % FLO_PREFIX_TOKENS;
    flo_cache_rows(&engine->sizes, engine->hparams.n_layer, flo_window_first(&engine->sizes, count),
                   count, add_row, &bytes, NULL);
    return count == 0 ? 0 : HEAD_BYTES + (uint64_t)count * 4 + bytes + engine->sizes.state_bytes;
}

static int need_prefix(const struct flo_engine *e, struct flo_err *err)
{
    return (e->info.properties & FLO_COMPUTE_PREFIX) != 0
               ? 0
               : flo_fail(err, FLO_E_NOT_BUILT, "%s writes no caches to files", e->compute->name);
}

static uint32_t crc_of_rates(const struct flo_engine *e)
{
    size_t bytes = e->hparams.n_rope / 2 * sizeof(double);
    uint32_t crc = flo_crc32c(0, e->scratch.global.rates, bytes);

    return flo_crc32c(crc, e->scratch.local.rates, e->hparams.n_rope_local / 2 * sizeof(double));
}

/* Makes the file's head for `count` tokens; `payload_crc` is the checksum of
 * the rest. */
static void reckon_head(const struct flo_engine *e, uint32_t count, uint64_t owner,
                        uint32_t payload_crc, uint8_t *head)
{
    const struct stat *file = &e->file;
    const struct flo_hparams *h = &e->hparams;
    const uint32_t settings[] = {
        (uint32_t)e->sizes.cache,
        h->n_layer,
        h->n_head_kv,
        h->head_size,
        h->n_vocab,
        crc_of_rates(e),
        e->weights.are_packed,
    };

    memset(head, 0, HEAD_BYTES);
    memcpy(head, magic, sizeof(magic));
    flo_put_u32(head + 8, FORMAT);
    flo_put_u32(head + 12, count);
    flo_put_u64(head + 16, flo_prefix_bytes(e, count));
    flo_put_u32(head + 24, payload_crc);
    flo_put_u64(head + 32, (uint64_t)file->st_ino);
    flo_put_u64(head + 40, (uint64_t)file->st_size);
    flo_put_u64(head + 48, (uint64_t)file->st_mtim.tv_sec);
    flo_put_u32(head + 56, (uint32_t)file->st_mtim.tv_nsec);
    flo_put_u32(head + 60, (uint32_t)file->st_ctim.tv_nsec);
    flo_put_u64(head + 64, (uint64_t)file->st_ctim.tv_sec);
    for (size_t i = 0; i < FLO_COUNT(settings); i++) {
        flo_put_u32(head + SETTINGS_AT + 4 * i, settings[i]);
    }
    memcpy(head + 104, e->info.kernel, sizeof(e->info.kernel));
    memcpy(head + 120, FLO_VERSION, sizeof(FLO_VERSION));
    flo_put_u64(head + OWNER_AT, owner);
    flo_put_u32(head + 28, flo_crc32c(0, head, HEAD_BYTES));
}

/* ---- writing ---- */

struct writer {
    int fd;
    uint64_t bytes; /* size of the whole file in bytes */
    uint64_t at;
    /* mapped part of the file, in which `at` lies; NULL: none.  It begins at a
     * multiple of WINDOW_BYTES. */
    uint8_t *window;
    size_t window_bytes;
    uint32_t crc;
    flo_stops_fn *stops;
    void *context;
};

static void close_window(struct writer *w)
{
    if (w->window != NULL) {
        munmap(w->window, w->window_bytes);
        w->window = NULL;
    }
}

static int open_window(struct writer *w, struct flo_err *err)
{
    uint64_t first = w->at / WINDOW_BYTES * WINDOW_BYTES;
    uint64_t left = w->bytes - first;
    void *p;

    if (w->stops != NULL && w->stops(w->context)) {
        return flo_fail(err, FLO_E_INFER_CANCELLED, "ended at byte %llu of %llu",
                        (unsigned long long)w->at, (unsigned long long)w->bytes);
    }
    w->window_bytes = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
    p = mmap(NULL, w->window_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, (off_t)first);
    if (p == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_IO_MAPPING, "a prefix of %llu bytes",
                              (unsigned long long)w->bytes);
    }
    w->window = p;
    /* Without this check, a full or failed disk would kill the process at the
     * first byte. */
    int rv = flo_mapped_claim(p, w->window_bytes, err);

    if (rv < 0) {
        close_window(w);
    }
    return rv;
}

static int put(struct writer *w, const void *data, size_t bytes, struct flo_err *err)
{
    const uint8_t *from = data;

    w->crc = flo_crc32c(w->crc, data, bytes);
    while (bytes > 0) {
        size_t inside = (size_t)(w->at % WINDOW_BYTES);
        size_t here = bytes < WINDOW_BYTES - inside ? bytes : WINDOW_BYTES - inside;

        FLO_TRY(w->window == NULL ? open_window(w, err) : 0);
        memcpy(w->window + inside, from, here);
        from += here;
        bytes -= here;
        w->at += here;
        if (w->at % WINDOW_BYTES == 0) {
            close_window(w);
        }
    }
    return 0;
}

struct putting {
    struct writer *writer;
    const uint8_t *kv;
};

static int put_row(void *context, const struct flo_cache_row *row, struct flo_err *err)
{
    const struct putting *putting = context;

    return put(putting->writer, putting->kv + row->at, (size_t)row->bytes, err);
}

static int put_session(struct writer *w, const struct flo_session *session, uint32_t count,
                       struct flo_err *err)
{
    const struct flo_engine *e = session->engine;
    struct putting putting = {w, session->kv};
    int rv = 0;

    for (uint32_t i = 0; rv == 0 && i < count; i++) {
        uint8_t id[4];

        flo_put_u32(id, (uint32_t)session->tokens[i]);
        rv = put(w, id, sizeof(id), err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_cache_rows(&e->sizes, e->hparams.n_layer, flo_window_first(&e->sizes, count), count,
                           put_row, &putting, err));
    return put(w, flo_state_at(session, count), (size_t)e->sizes.state_bytes, err);
}

int flo_prefix_write(const struct flo_session *session, uint32_t count, uint64_t owner, int fd,
                     flo_stops_fn *stops, void *stops_context, struct flo_err *err)
{
    struct writer w = {.fd = fd, .stops = stops, .context = stops_context};
    uint8_t head[HEAD_BYTES] = {0};
    int rv;

    FLO_TRY(need_prefix(session->engine, err));
    if (session->adapter != NULL) {
        return flo_fail(err, FLO_E_STATE,
                        "the prefix was computed with an "
                        "adapter");
    }
    if (count > session->position || count < FLO_PREFIX_TOKENS) {
        return flo_fail(err, FLO_E_INFER_PARAM, "a prefix of %u tokens, the session holds %u",
                        count, session->position);
    }
    count -= count % FLO_PREFIX_TOKENS;
    if (flo_state_held(session, count) < count) {
        return flo_fail(err, FLO_E_STATE, "the session holds no state or window of %u tokens",
                        count);
    }
    w.bytes = flo_prefix_bytes(session->engine, count);
    rv = put(&w, head, sizeof(head), err);
    w.crc = 0;
    if (rv == 0) {
        rv = put_session(&w, session, count, err);
    }
    close_window(&w);
    if (rv == 0) {
        reckon_head(session->engine, count, owner, w.crc, head);
        w.at = 0;
        w.stops = NULL;
        rv = put(&w, head, sizeof(head), err);
        close_window(&w);
    }
    return rv;
}

/* ---- reading ---- */

static int check_session(const struct flo_session *session, struct flo_err *err)
{
    if (session->position > 0) {
        return flo_fail(err, FLO_E_STATE, "the session holds %u tokens", session->position);
    }
    return session->adapter == NULL ? 0 : flo_fail(err, FLO_E_STATE, "the session has an adapter");
}

static bool is_zero(const uint8_t *data, size_t bytes)
{
    uint8_t any = 0;

    for (size_t i = 0; i < bytes; i++) {
        any |= data[i];
    }
    return any == 0;
}

/* Reads and checks the file's head.  FLO_E_ABSENT: the file is empty, or its
 * writing was interrupted. */
static int read_head(const struct flo_engine *e, int fd, uint8_t *head, struct flo_err *err)
{
    struct stat st;
    uint64_t bytes;

    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a kept prefix");
    }
    bytes = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
    if (!S_ISREG(st.st_mode) || (bytes > 0 && bytes < HEAD_BYTES)) {
        return flo_fail(err, FLO_E_USAGE, "the file holds no kept prefix");
    }
    FLO_TRY(bytes == 0 ? 0 : flo_fd_pread_all(fd, head, HEAD_BYTES, 0, err));
    if (bytes == 0 || is_zero(head, HEAD_BYTES)) {
        return flo_fail(err, FLO_E_ABSENT, "no prefix is kept there yet");
    }
    if (memcmp(head, magic, sizeof(magic)) != 0) {
        return flo_fail(err, FLO_E_USAGE, "the file holds no kept prefix");
    }
    uint32_t count = flo_get_u32(head + 12);
    if (count < FLO_PREFIX_TOKENS || count % FLO_PREFIX_TOKENS != 0 ||
        count > FLO_ENGINE_CONTEXT_MAX || bytes < flo_prefix_bytes(e, count)) {
        return flo_fail(err, FLO_E_PREFIX, "the kept prefix is damaged");
    }
    return 0;
}

static int check_head(const struct flo_engine *e, const uint8_t *head, struct flo_err *err)
{
    uint8_t right[HEAD_BYTES];

    reckon_head(e, flo_get_u32(head + 12), flo_get_u64(head + OWNER_AT), flo_get_u32(head + 24),
                right);
    if (memcmp(head, right, HEAD_BYTES) == 0) {
        return 0;
    }
    if (memcmp(head + MODEL_AT, right + MODEL_AT, SETTINGS_AT - MODEL_AT) != 0) {
        return flo_fail(err, FLO_E_PREFIX, "the kept prefix is of another model's file");
    }
    if (memcmp(head + SETTINGS_AT, right + SETTINGS_AT, HEAD_BYTES - SETTINGS_AT) != 0) {
        return flo_fail(err, FLO_E_PREFIX,
                        "the kept prefix was computed with another kernel, "
                        "cache or version");
    }
    return flo_fail(err, FLO_E_PREFIX, "the kept prefix is damaged");
}

/* Reads bytes at *at, adds them to the checksum and advances *at. */
static int take(int fd, void *out, size_t bytes, uint64_t *at, uint32_t *crc, struct flo_err *err)
{
    int rv = flo_fd_pread_all(fd, out, bytes, *at, err);

    *at += bytes;
    *crc = rv == 0 ? flo_crc32c(*crc, out, bytes) : 0;
    return rv;
}

struct taking {
    uint8_t *kv;
    int fd;
    uint64_t *at;
    uint32_t *crc;
};

static int take_row(void *context, const struct flo_cache_row *row, struct flo_err *err)
{
    const struct taking *t = context;

    return take(t->fd, t->kv + row->at, (size_t)row->bytes, t->at, t->crc, err);
}

/* Reads the tokens and the cache of a prefix into a session.  After an error
 * the content of the cache is undefined, and position 0 marks it as empty. */
static int read_session(struct flo_session *session, int fd, uint32_t count, uint32_t right_crc,
                        struct flo_err *err)
{
    const struct flo_engine *e = session->engine;
    uint64_t from = HEAD_BYTES;
    uint32_t crc = 0;
    struct taking taking = {session->kv, fd, &from, &crc};
    uint8_t *state = flo_state_replace(session);
    int rv = take(fd, session->tokens, count * sizeof(*session->tokens), &from, &crc, err);

    if (rv == 0) {
        rv = flo_cache_rows(&e->sizes, e->hparams.n_layer, flo_window_first(&e->sizes, count),
                            count, take_row, &taking, err);
    }
    if (rv == 0) {
        rv = take(fd, state, (size_t)e->sizes.state_bytes, &from, &crc, err);
    }
    bool is_right = crc == right_crc;
    for (uint32_t i = 0; rv == 0 && i < count; i++) {
        uint32_t id = flo_get_u32(&session->tokens[i]);

        is_right = is_right && id < e->hparams.n_vocab;
        session->tokens[i] = (int32_t)id;
    }
    FLO_TRY(rv);
    return is_right ? rv : flo_fail(err, FLO_E_PREFIX, "the kept prefix is damaged");
}

int flo_prefix_read(struct flo_session *session, int fd, uint64_t *owner, struct flo_err *err)
{
    uint32_t count;
    uint8_t head[HEAD_BYTES] = {0};

    FLO_TRY(need_prefix(session->engine, err));
    FLO_TRY(check_session(session, err));
    FLO_TRY(read_head(session->engine, fd, head, err));
    FLO_TRY(check_head(session->engine, head, err));
    count = flo_get_u32(head + 12);
    if (count > session->engine->sizes.context) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "a kept prefix of %u tokens, context is %u",
                        count, session->engine->sizes.context);
    }
    FLO_TRY(read_session(session, fd, count, flo_get_u32(head + 24), err));
    flo_state_replaced(session, count);
    session->position = count;
    session->has_logits = false;
    if (owner != NULL) {
        *owner = flo_get_u64(head + OWNER_AT);
    }
    return 0;
}
