#include "updater/run/make.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_BYTES (256u << 10)

struct flo_make {
    struct flo_make_job job;
    int base_fd;
    int fd; /* descriptor of the file that is being made */
    uint64_t done;
    bool was_told; /* true: the agent was told that decoding resumes */

    /* true: a thread decodes the patch during its download */
    bool has_thread;
    pthread_t thread;
    int rv; /* result of the thread; valid after it has ended */
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    /* The members below are protected by the mutex. */
    int patch_fd; /* the thread's descriptor of the patch; -1: not open yet */
    uint64_t kept;
    bool is_cancelled;
};

bool flo_make_goes_on(const struct flo_way *way)
{
    return way->codec == FLO_CODEC_TENSOR1;
}

/* ---- one pass over the patch ---- */

/* Continues after the bytes that an earlier run has made. */
static int on_resume(void *context, uint64_t kept, struct flo_err *err)
{
    struct flo_make *make = context;

    if (lseek(make->fd, (off_t)kept, SEEK_SET) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "the file under way");
    }
    if (kept > 0 && !make->was_told) {
        flo_event_resumed(make->job.event_fd, kept, make->job.file->bytes);
    }
    make->was_told = true;
    return 0;
}

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    const struct flo_make *make = context;

    return flo_fd_write_all(make->fd, data, bytes, err);
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct flo_make *make = context;

    (void)done, (void)total;
    return flo_fetch_is_stopped(make->job.fetch) ? FLO_E_INTERRUPTED : 0;
}

static int open_files(struct flo_make *make, struct flo_err *err)
{
    const struct flo_make_job *job = &make->job;
    int rv = 0;

    if (make->base_fd < 0 && !flo_digest_is_zero(&job->way->base)) {
        rv = flo_store_blob_open(job->store, &job->way->base, &make->base_fd, NULL, err);
    }
    flo_fd_cleanup(&make->fd);
    make->fd = -1;
    make->done = 0;
    FLO_TRY(rv);
    return flo_make_goes_on(job->way)
               ? flo_store_made_open(job->store, &job->file->digest, job->file->bytes, &make->fd,
                                     &make->done, err)
               : flo_store_blob_create(job->store, job->file->bytes, &make->fd, err);
}

static struct flo_delta_job delta_job(struct flo_make *make, int patch_fd)
{
    const struct flo_make_job *job = &make->job;

    return (struct flo_delta_job){
        .codec = job->way->codec,
        .patch_fd = patch_fd,
        .base_fd = make->base_fd,
        .base_digest = flo_digest_is_zero(&job->way->base) ? NULL : &job->way->base,
        .new_bytes = job->file->bytes,
        .new_digest = &job->file->digest,
        .done_fd = make->fd,
        .done_bytes = make->done,
        .on_resume = on_resume,
        .on_data = on_data,
        .on_progress = on_progress,
        .context = make,
    };
}

/* ---- ahead ---- */

/* Waits until the patch's bytes before `end` are in the file, or the job is
 * cancelled. */
static int on_need(void *context, uint64_t end, struct flo_err *err)
{
    struct flo_make *make = context;

    pthread_mutex_lock(&make->mutex);
    while (make->kept < end && !make->is_cancelled) {
        pthread_cond_wait(&make->moved, &make->mutex);
    }
    bool is_cancelled = make->is_cancelled;
    pthread_mutex_unlock(&make->mutex);
    return is_cancelled ? flo_fail(err, FLO_E_INTERRUPTED, "the patch did not come to its end") : 0;
}

static int open_patch(const struct flo_make *make, int *fd)
{
    const struct flo_store *store = make->job.store;
    char name[FLO_PART_NAME];

    flo_store_part_name(&make->job.way->digest, ".part", name);
    return flo_file_open_beneath(store->partial_fd, name, O_RDONLY | O_CLOEXEC, 0, fd, NULL);
}

/* Notes how much of the patch is on disk.  Called on the thread of the
 * download. */
static void on_kept(void *context, uint64_t kept)
{
    struct flo_make *make = context;

    pthread_mutex_lock(&make->mutex);
    if (make->patch_fd < 0 && open_patch(make, &make->patch_fd) < 0) {
        make->is_cancelled = true;
    }
    make->kept = kept > make->kept ? kept : make->kept;
    pthread_cond_signal(&make->moved);
    pthread_mutex_unlock(&make->mutex);
}

/* Waits until the download has begun: the patch's file exists, with all its
 * space reserved. */
static int wait_for_patch(struct flo_make *make)
{
    pthread_mutex_lock(&make->mutex);
    while (make->patch_fd < 0 && make->kept == 0 && !make->is_cancelled) {
        pthread_cond_wait(&make->moved, &make->mutex);
    }
    int fd = make->patch_fd;
    pthread_mutex_unlock(&make->mutex);
    return fd;
}

static void *run(void *context)
{
    struct flo_make *make = context;
    struct flo_err err = {0};
    int patch_fd = wait_for_patch(make);

    make->rv = FLO_E_INTERRUPTED;
    if (patch_fd >= 0) {
        struct flo_delta_job job = delta_job(make, patch_fd);
        job.head = &make->job.way->head;
        job.on_need = on_need;
        make->rv = flo_delta_apply(&job, NULL, &err);
    }
    if (make->rv < 0 && make->rv != FLO_E_INTERRUPTED) {
        flo_log_err(FLO_LOG_INFO, "ahead of the patch", &err);
    }
    return NULL;
}

/* Starts the decoding thread.  If that fails, the patch is applied when it is
 * complete. */
static void go_ahead(struct flo_make *make)
{
    pthread_attr_t small;

    if (make->job.way->codec != FLO_CODEC_TENSOR1 || flo_digest_is_zero(&make->job.way->head) ||
        open_files(make, NULL) < 0 || pthread_attr_init(&small) != 0) {
        return;
    }
    make->was_told = make->done == 0;
    pthread_attr_setstacksize(&small, STACK_BYTES);
    make->has_thread = pthread_create(&make->thread, &small, run, make) == 0;
    pthread_attr_destroy(&small);
    if (make->has_thread) {
        make->job.fetch->on_kept = on_kept;
        make->job.fetch->kept_context = make;
    }
}

/* Waits for the decoding thread to end.  Returns false when the file is not
 * complete. */
static bool join(struct flo_make *make, bool is_cancelled)
{
    if (!make->has_thread) {
        return false;
    }
    make->job.fetch->on_kept = NULL;
    pthread_mutex_lock(&make->mutex);
    make->is_cancelled = make->is_cancelled || is_cancelled;
    make->kept = UINT64_MAX;
    pthread_cond_signal(&make->moved);
    pthread_mutex_unlock(&make->mutex);
    pthread_join(make->thread, NULL);
    make->has_thread = false;
    return make->rv == 0;
}

/* ---- the job ---- */

int flo_make_begin(const struct flo_make_job *job, struct flo_make **out, struct flo_err *err)
{
    struct flo_make *make = calloc(1, sizeof(*make));

    if (make == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to make a file");
    }
    make->job = *job;
    make->base_fd = make->fd = make->patch_fd = -1;
    pthread_mutex_init(&make->mutex, NULL);
    pthread_cond_init(&make->moved, NULL);
    go_ahead(make);
    *out = make;
    return 0;
}

int flo_make_end(struct flo_make *make, int patch_fd, int *fd, struct flo_err *err)
{
    int rv = 0;

    if (!join(make, false)) {
        rv = open_files(make, err);
        if (rv == 0) {
            const struct flo_delta_job job = delta_job(make, patch_fd);
            rv = flo_delta_apply(&job, NULL, err);
        }
    }
    *fd = make->fd;
    return rv;
}

int flo_make_publish(struct flo_make *make, struct flo_err *err)
{
    const struct flo_make_job *job = &make->job;

    return flo_make_goes_on(job->way)
               ? flo_store_made_publish(job->store, make->fd, &job->file->digest, err)
               : flo_store_blob_publish(job->store, make->fd, &job->file->digest, err);
}

void flo_make_free(struct flo_make *make)
{
    if (make == NULL) {
        return;
    }
    (void)join(make, true);
    flo_fd_cleanup(&make->base_fd);
    flo_fd_cleanup(&make->fd);
    flo_fd_cleanup(&make->patch_fd);
    pthread_cond_destroy(&make->moved);
    pthread_mutex_destroy(&make->mutex);
    free(make);
}
