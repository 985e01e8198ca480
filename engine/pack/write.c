/* Write: fills the file of a sidecar.  All threads take pieces of it and pack
 * their strips. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <flotilla/errors/io.h>

#include "engine/kernel/pack.h"
#include "engine/pack/rows.h"

#define PIECE_STRIPS 16 /* number of strips in a piece, which one thread packs */
#define THREADS_MAX 64

struct packing {
    const struct flo_sidecar *sidecar;
    uint8_t *out;
    uint64_t total; /* strips */
    atomic_uint_fast64_t next, done;
};

static void pack_one(const struct packing *p, const struct flo_sidecar_row *row, uint64_t strip)
{
    uint64_t first = strip * FLO_STRIP_ROWS;
    uint64_t left = row->rows - first;

    flo_pack_strip(row->tensor->type, row->source + first * row->row_bytes, row->row_bytes,
                   left < FLO_STRIP_ROWS ? (size_t)left : FLO_STRIP_ROWS,
                   (size_t)row->tensor->dims[0], p->out + row->offset + strip * row->strip_bytes);
}

/* Packs the strips of a piece, which begins at strip `first` of the whole file.
 * *row is the row of the table in which this thread's last piece ended, and
 * *before the number of strips before that row. */
static void pack_piece(struct packing *p, uint64_t first, size_t *row, uint64_t *before)
{
    uint64_t end = first + PIECE_STRIPS < p->total ? first + PIECE_STRIPS : p->total;

    for (uint64_t i = first; i < end; i++) {
        while (i - *before >= flo_sidecar_strips(&p->sidecar->rows[*row])) {
            *before += flo_sidecar_strips(&p->sidecar->rows[*row]);
            ++*row;
        }
        pack_one(p, &p->sidecar->rows[*row], i - *before);
    }
    atomic_fetch_add(&p->done, end - first);
}

static void work(struct packing *p, flo_sidecar_progress *progress, void *context)
{
    uint64_t first, before = 0;
    size_t row = 0;

    while ((first = atomic_fetch_add(&p->next, PIECE_STRIPS)) < p->total) {
        pack_piece(p, first, &row, &before);
        if (progress != NULL) {
            progress(context, atomic_load(&p->done), p->total);
        }
    }
}

static void *work_as_helper(void *context)
{
    work(context, NULL, NULL);
    return NULL;
}

static void run(struct packing *p, uint32_t threads, flo_sidecar_progress *progress, void *context)
{
    pthread_t others[THREADS_MAX];
    size_t count = 0;

    while (count + 1 < threads && count < THREADS_MAX &&
           pthread_create(&others[count], NULL, work_as_helper, p) == 0) {
        count++;
    }
    work(p, progress, context);
    for (size_t i = 0; i < count; i++) {
        pthread_join(others[i], NULL);
    }
}

int flo_sidecar_write(const struct flo_sidecar *s, int fd, uint32_t threads,
                      flo_sidecar_progress *progress, void *context, struct flo_err *err)
{
    size_t bytes = (size_t)s->bytes;
    struct packing p = {.sidecar = s};
    int rv = 0;

    rv = flo_sidecar_check_size(s, fd, err);
    FLO_TRY(rv);
    p.out = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p.out == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_IO_MAPPING, "%zu packed bytes", bytes);
    }
    /* The file's pages in memory then have 2 MiB, if the file system supports
     * that.  Packing is 1.5 times as fast as with pages of 4 KiB. */
    (void)madvise(p.out, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < s->count; i++) {
        p.total += flo_sidecar_strips(&s->rows[i]);
    }
    run(&p, threads, progress, context);
    if (msync(p.out, bytes, MS_SYNC) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "sync of packed weights");
    } else {
        memcpy(p.out, s->head, s->head_bytes);
        if (msync(p.out, s->head_bytes, MS_SYNC) < 0) {
            rv = flo_fail_errno(err, FLO_E_IO_WRITE, "sync of packed weights");
        }
    }
    munmap(p.out, bytes);
    return rv;
}
