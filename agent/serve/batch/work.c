/* Work: checks the input of a batch, sends its requests, writes their answers,
 * and ends it. */
#include "agent/serve/batch/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>

#define AREA "batch"
/* largest number of lines that are checked before other work is done */
#define LINES_AT_ONCE 2048
#define ANSWER_BYTES_MAX (32u << 20)
#define DISK_PAUSE_MS 10000
#define PAUSE_MS_MAX 60000

void flo_batch_job_free(struct flo_batch_job *job)
{
    if (job != NULL) {
        flo_buf_deinit(&job->body);
        flo_buf_deinit(&job->answer.body);
        free(job);
    }
}

static struct flo_batch_slot *slot_at(struct flo_batch_work *work, size_t i)
{
    return &work->slots[(work->first + i) % FLO_BATCH_AHEAD];
}

/* ---- open and close a batch ---- */

/* Closes the batch and forgets what is not on the disk.  The answers of its
 * running requests will be ignored. */
static void leave(struct flo_batch_work *work)
{
    for (size_t i = 0; i < FLO_BATCH_AHEAD; i++) {
        flo_batch_job_free(work->slots[i].job);
        flo_buf_deinit(&work->slots[i].text);
        work->slots[i] = (struct flo_batch_slot){.state = SLOT_FREE};
    }
    flo_batch_check_deinit(&work->check);
    flo_batch_in_deinit(&work->in);
    flo_fd_cleanup(&work->in_fd);
    flo_fd_cleanup(&work->output_fd);
    flo_fd_cleanup(&work->error_fd);
    flo_fd_cleanup(&work->progress_fd);
    work->in_fd = work->output_fd = work->error_fd = work->progress_fd = -1;
    work->batch = NULL;
    work->run++;
    work->first = work->count = 0;
    work->is_dirty = work->is_ended = work->is_late = false;
}

/* Shows clients that the batch waits for the disk. */
static void tell_disk(struct flo_batch *batch, const struct flo_err *err)
{
    snprintf(batch->waits, sizeof(batch->waits), "%.60s: %s", flo_error_id(err->code), err->what);
}

/* Closes the batch after a disk error.  It is opened again later, from what is
 * on the disk. */
static void recover(struct flo_batch_work *work, const struct flo_err *err)
{
    struct flo_batch *batch = work->batch;

    flo_log_err(FLO_LOG_WARN, AREA, err);
    tell_disk(batch, err);
    batch->next_ms = flo_now_ms() + DISK_PAUSE_MS;
    leave(work);
}

static void unlink_of(const struct flo_batch_work *work, const char *id, const char *end)
{
    char path[4096];

    flo_batch_store_path(work->store, id, end, path);
    if (id[0] != '\0') {
        unlink(path); /* if this fails, the next open of the folder deletes the file */
    }
}

static int set_status(struct flo_batch_work *work, struct flo_batch *batch,
                      enum flo_batch_status status, struct flo_err *err)
{
    struct flo_batch next = *batch;

    next.status = status;
    next.at_s[status] = flo_batch_store_now_s(work->store);
    FLO_TRY(flo_batch_store_save(work->store, &next, err));
    *batch = next;
    return 0;
}

/* Ends the batch as failed, for the reason `why`. */
static int fail(struct flo_batch_work *work, const struct flo_err *why, struct flo_err *err)
{
    struct flo_batch next = *work->batch;

    next.code = why->code;
    snprintf(next.what, sizeof(next.what), "%s", why->what);
    next.output[0] = next.error[0] = '\0';
    next.answer_bytes = 0;
    next.waits[0] = '\0';
    FLO_TRY(set_status(work, &next, FLO_BATCH_FAILED, err));
    unlink_of(work, work->batch->output, "");
    unlink_of(work, work->batch->error, "");
    unlink_of(work, work->batch->id, ".progress");
    *work->batch = next;
    leave(work);
    return 0;
}

/* Opens a file of answers and cuts it to the bytes that the progress counts. */
static int open_answers(struct flo_batch_work *work, const char *id, int *fd, uint64_t bytes,
                        struct flo_err *err)
{
    struct stat st;

    FLO_TRY(flo_batch_store_file(work->store, id, "", O_RDWR | O_CREAT, fd, err));
    if (fstat(*fd, &st) < 0 || (uint64_t)st.st_size < bytes) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s has less than the %llu bytes that were written",
                        id, (unsigned long long)bytes);
    }
    return ftruncate(*fd, (off_t)bytes) == 0 ? 0 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", id);
}

static int read_progress(struct flo_batch_work *work, struct flo_err *err)
{
    uint8_t data[FLO_BATCH_PROGRESS_SLOTS * FLO_BATCH_PROGRESS_BYTES];

    work->progress = (struct flo_batch_progress){0};
    FLO_TRY(flo_batch_store_file(work->store, work->batch->id, ".progress", O_RDWR | O_CREAT,
                                 &work->progress_fd, err));
    ssize_t got = pread(work->progress_fd, data, sizeof(data), 0);
    if (got < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", work->batch->id);
    }
    (void)flo_batch_progress_read(data, (size_t)got, &work->progress);
    return 0;
}

static int open_files(struct flo_batch_work *work, struct flo_err *err)
{
    const struct flo_batch *batch = work->batch;

    FLO_TRY(flo_batch_store_file(work->store, batch->input, "", O_RDONLY, &work->in_fd, err));
    work->in.fd = work->in_fd;
    work->in.reader.bytes_max = FLO_BATCH_LINE_BYTES_MAX;
    if (batch->status == FLO_BATCH_VALIDATING) {
        return flo_batch_check_open(&work->check, &work->in, err);
    }
    FLO_TRY(read_progress(work, err));
    FLO_TRY(open_answers(work, batch->output, &work->output_fd, work->progress.output_bytes, err));
    FLO_TRY(open_answers(work, batch->error, &work->error_fd, work->progress.error_bytes, err));
    /* The files' names must be as durable as their contents. */
    FLO_TRY(flo_dir_sync(work->store->folder, err));
    flo_batch_in_go(&work->in, work->progress.line, work->progress.input_bytes);
    return 0;
}

static void show_progress(struct flo_batch_work *work)
{
    work->batch->completed = work->progress.completed;
    work->batch->failed = work->progress.failed;
    work->batch->answer_bytes = work->progress.output_bytes + work->progress.error_bytes;
}

/* Chooses the oldest batch that may run now.  If there is none, returns the
 * time at which one may run; UINT64_MAX: there is no batch. */
static uint64_t choose(struct flo_batch_work *work, struct flo_batch **out)
{
    uint64_t now_ms = flo_now_ms(), next_ms = UINT64_MAX;

    *out = NULL;
    for (size_t i = 0; i < work->store->n_batches && *out == NULL; i++) {
        struct flo_batch *batch = work->store->batches[i];
        if (flo_batch_status_is_end(batch->status)) {
            continue;
        }
        if (batch->next_ms <= now_ms) {
            *out = batch;
        } else if (batch->next_ms < next_ms) {
            next_ms = batch->next_ms;
        }
    }
    return *out != NULL ? 0 : next_ms;
}

/* Tells whether the input file was deleted.  If it cannot be opened for another
 * reason, it may come back. */
static bool is_input_gone(const struct flo_batch_work *work)
{
    char path[4096];

    flo_batch_store_path(work->store, work->batch->input, "", path);
    return access(path, F_OK) < 0 && errno == ENOENT;
}

static int begin(struct flo_batch_work *work, struct flo_err *err)
{
    struct flo_err why = {0};

    work->pause_ms = 0;
    memset(&work->in, 0, sizeof(work->in));
    int rv = open_files(work, &why);
    if (rv == FLO_E_META_SCHEMA ||
        (rv == FLO_E_IO_OPEN && work->in_fd < 0 && is_input_gone(work))) {
        /* the batch fails, because its input or some answers are lost */
        return fail(work, &why, err);
    }
    if (rv == 0 && work->batch->status != FLO_BATCH_VALIDATING) {
        show_progress(work);
    }
    *err = why;
    return rv;
}

/* ---- look through ---- */

static int look_through(struct flo_batch_work *work, struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = flo_batch_check_step(&work->check, &work->in, LINES_AT_ONCE, &why);

    if (rv == 1 && work->check.count == 0) {
        rv = flo_fail(&why, FLO_E_INFER_PARAM, "the file has no line");
    }
    if (rv == FLO_E_IO_READ) {
        *err = why;
        return rv;
    }
    if (rv < 0) {
        return fail(work, &why, err);
    }
    if (rv == 0) {
        return 0;
    }
    struct flo_batch next = *work->batch;
    next.total = work->check.count;
    flo_object_id_make("file-", next.output);
    flo_object_id_make("file-", next.error);
    FLO_TRY(set_status(work, &next, FLO_BATCH_IN_PROGRESS, err));
    *work->batch = next;
    leave(work); /* the batch is opened again, at its first line */

    return 0;
}

/* ---- ask ---- */

static void finish(struct flo_batch_work *work, struct flo_batch_slot *slot,
                   struct flo_batch_answer *answer)
{
    answer->batch = work->batch->id;
    answer->number = slot->number;
    answer->custom_id = slot->custom_id;
    slot->text.bytes_max = 2 * ANSWER_BYTES_MAX;
    flo_batch_answer_add(answer, &slot->text);
    slot->has_failed = answer->code != NULL || answer->status != 200;
    slot->state = SLOT_DONE;
    flo_batch_job_free(slot->job);
    slot->job = NULL;
}

static void finish_error(struct flo_batch_work *work, struct flo_batch_slot *slot, const char *code,
                         const char *what)
{
    finish(work, slot, &(struct flo_batch_answer){.code = code, .what = what});
}

/* Writes the answer of a request that is not sent any more. */
static void finish_unsent(struct flo_batch_work *work, struct flo_batch_slot *slot)
{
    bool is_late = work->is_late;

    finish_error(work, slot, is_late ? "batch_expired" : "batch_cancelled",
                 is_late ? "the batch's 24 hours are over" : "the batch was cancelled");
}

static bool is_ending(const struct flo_batch_work *work)
{
    return work->is_late || work->batch->status == FLO_BATCH_CANCELLING;
}

static void send(struct flo_batch_work *work, struct flo_batch_slot *slot)
{
    struct flo_batch_job *job = slot->job;

    slot->job = NULL;
    slot->state = SLOT_SENT;
    slot->tries++;
    work->submit(work->context, job);
}

/* Reads a line of the input into slot `at` (there is one slot for each request
 * that may run at once), and sends its request.  If the line is wrong, its
 * answer is an error. */
static void take_line(struct flo_batch_work *work, size_t at)
{
    struct flo_batch_slot *slot = &work->slots[at];
    struct flo_batch_line line;
    struct flo_err err = {0};
    int rv = flo_batch_line_read(&work->in.reader, work->batch->endpoint, &line, &err);

    slot->number = work->in.reader.number;
    slot->end_bytes = work->in.reader.offset;
    slot->tries = 0;
    strcpy(slot->custom_id, line.custom_id);
    if (rv == 0 && work->is_late) {
        flo_batch_line_deinit(&line);
        finish_unsent(work, slot);
        return;
    }
    slot->job = rv < 0 ? NULL : calloc(1, sizeof(*slot->job));
    if (slot->job == NULL) {
        flo_batch_line_deinit(&line);
        finish_error(work, slot, flo_error_id(rv < 0 ? err.code : FLO_E_MEMORY),
                     rv < 0 ? err.what : "no memory for the request");
        return;
    }
    slot->job->run = work->run;
    slot->job->slot = at;
    slot->job->endpoint = line.endpoint;
    strcpy(slot->job->app, work->batch->app);
    slot->job->body = line.body; /* moved */
    send(work, slot);
}

/* Tells whether another line may be read now, because fewer than
 * FLO_BATCH_AHEAD requests run and no pause is in force. */
static bool has_next(const struct flo_batch_work *work)
{
    return !work->is_ended && work->count < FLO_BATCH_AHEAD &&
           (work->is_late || flo_now_ms() >= work->pause_ms);
}

/* Reads lines of the input until FLO_BATCH_AHEAD requests run. */
static int take_lines(struct flo_batch_work *work, struct flo_err *err)
{
    while (has_next(work)) {
        int rv = flo_batch_in_next(&work->in, err);
        FLO_TRY(rv);
        if (rv == 0) {
            work->is_ended = true;
            return 0;
        }
        take_line(work, (work->first + work->count) % FLO_BATCH_AHEAD);
        work->count++;
    }
    return 0;
}

static void send_again(struct flo_batch_work *work)
{
    uint64_t now_ms = flo_now_ms();

    for (size_t i = 0; i < work->count; i++) {
        struct flo_batch_slot *slot = slot_at(work, i);
        if (slot->state == SLOT_WAITS && is_ending(work)) {
            finish_unsent(work, slot);
        } else if (slot->state == SLOT_WAITS && slot->again_ms <= now_ms) {
            send(work, slot);
        }
    }
}

/* Copies the message of an error in OpenAI's form. */
static void take_sentence(const struct flo_buf *body, char *out, size_t out_bytes)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *what = NULL;

    if (flo_json_parse(body->data, body->bytes, 65536, &json, NULL) == 0) {
        what = json_string_value(json_object_get(json_object_get(json, "error"), "message"));
    }
    snprintf(out, out_bytes, "%s", what != NULL ? what : "the device is busy");
}

static void wait_again(struct flo_batch_work *work, struct flo_batch_slot *slot,
                       struct flo_batch_job *job)
{
    uint64_t ms = 1000 * (uint64_t)job->answer.retry_after_s;

    take_sentence(&job->answer.body, work->batch->waits, sizeof(work->batch->waits));
    slot->is_patient = flo_batch_comes_again(job->answer.status, job->answer.body.data,
                                             job->answer.body.bytes, FLO_BATCH_TRIES_MAX);
    ms = ms == 0 ? 1000 : ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX;
    slot->again_ms = flo_now_ms() + ms;
    work->pause_ms = slot->again_ms > work->pause_ms ? slot->again_ms : work->pause_ms;
    flo_buf_deinit(&job->answer.body);
    job->answer = (struct serve_memory){0};
    slot->job = job;
    slot->state = SLOT_WAITS;
}

static bool has_waiting(const struct flo_batch_work *work)
{
    for (size_t i = 0; i < FLO_BATCH_AHEAD; i++) {
        if (work->slots[i].state == SLOT_WAITS) {
            return true;
        }
    }
    return false;
}

void flo_batch_work_answer(struct flo_batch_work *work, struct flo_batch_job *job)
{
    struct flo_batch_slot *slot = &work->slots[job->slot];
    const struct serve_memory *answer = &job->answer;

    if (work->batch == NULL || job->run != work->run || slot->state != SLOT_SENT) {
        flo_batch_job_free(job);
        return;
    }
    if (answer->body.failed || answer->is_broken) {
        finish_error(work, slot, flo_error_id(FLO_E_REST_TOO_LARGE),
                     "the answer is longer than 32 MiB");
    } else if (flo_batch_comes_again(answer->status, answer->body.data, answer->body.bytes,
                                     slot->tries)) {
        wait_again(work, slot, job);
        return;
    } else {
        finish(work, slot,
               &(struct flo_batch_answer){.status = answer->status,
                                          .body = answer->body.data,
                                          .bytes = answer->body.bytes});
    }
    if (!has_waiting(work)) {
        work->batch->waits[0] = '\0';
    }
    flo_batch_job_free(job);
}

/* Tells whether a change to another batch would lose an answer, or the number
 * of tries of a request. */
static bool is_under_way(const struct flo_batch_work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        const struct flo_batch_slot *slot = &work->slots[(work->first + i) % FLO_BATCH_AHEAD];
        if (slot->state != SLOT_WAITS || !slot->is_patient) {
            return true;
        }
    }
    return false;
}

/* ---- write ---- */

static int write_slot(struct flo_batch_work *work, const struct flo_batch_slot *slot,
                      struct flo_err *err)
{
    struct flo_batch_progress *progress = &work->progress;
    uint64_t *bytes = slot->has_failed ? &progress->error_bytes : &progress->output_bytes;
    int fd = slot->has_failed ? work->error_fd : work->output_fd;

    if (slot->text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for an answer");
    }
    FLO_TRY(flo_batch_store_room(work->store, work->batch->app, slot->text.bytes, err));
    FLO_TRY(flo_fd_pwrite_all(fd, slot->text.data, slot->text.bytes, *bytes, err));
    *bytes += slot->text.bytes;
    progress->line = slot->number;
    progress->input_bytes = slot->end_bytes;
    progress->completed += !slot->has_failed;
    progress->failed += slot->has_failed;
    work->is_dirty = true;
    show_progress(work);
    return 0;
}

/* Writes the answers that are next in the order of the requests. */
static int write_ready(struct flo_batch_work *work, struct flo_err *err)
{
    while (work->count > 0 && slot_at(work, 0)->state == SLOT_DONE) {
        struct flo_batch_slot *slot = slot_at(work, 0);
        FLO_TRY(write_slot(work, slot, err));
        flo_buf_deinit(&slot->text);
        *slot = (struct flo_batch_slot){.state = SLOT_FREE};
        work->first = (work->first + 1) % FLO_BATCH_AHEAD;
        work->count--;
    }
    return 0;
}

/* Syncs the answers, then writes the record that counts them.  While requests
 * are running or lines are left, several answers share a sync. */
static int commit(struct flo_batch_work *work, struct flo_err *err)
{
    uint8_t record[FLO_BATCH_PROGRESS_BYTES];
    uint64_t now_ms = flo_now_ms();

    if (!work->is_dirty ||
        ((is_under_way(work) || has_next(work)) && now_ms - work->committed_ms < work->sync_ms)) {
        return 0;
    }
    work->committed_ms = now_ms;
    if (fdatasync(work->output_fd) < 0 || fdatasync(work->error_fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", work->batch->id);
    }
    work->progress.sequence++;
    flo_batch_progress_write(&work->progress, record);
    int rv = flo_fd_pwrite_all(work->progress_fd, record, sizeof(record),
                               flo_batch_progress_offset(&work->progress), err);
    if (rv == 0 && fdatasync(work->progress_fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", work->batch->id);
    }
    work->is_dirty = rv < 0;
    return rv;
}

/* ---- end ---- */

/* Makes a file of answers visible to the client. */
static int give(struct flo_batch_work *work, const char *id, const char *kind, uint64_t bytes,
                struct flo_err *err)
{
    const struct flo_batch *batch = work->batch;
    uint64_t now_s = flo_batch_store_now_s(work->store);
    struct flo_batch_file file = {
        .is_output = true,
        .bytes = bytes,
        .created_s = now_s,
        .expires_s =
            now_s + (batch->output_expires_s > 0 ? batch->output_expires_s : work->store->keep_s),
    };

    strcpy(file.id, id);
    strcpy(file.app, batch->app);
    snprintf(file.name, sizeof(file.name), "%s_%s.jsonl", batch->id, kind);
    return flo_batch_store_add(work->store, &file, err);
}

/* Cuts the file to complete answers, because a full disk may have torn the last
 * one.
 * FLO_E_IO_WRITE  the file was deleted; the batch fails when it is opened
 * again */
static int cut(int fd, uint64_t bytes, struct flo_err *err)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && st.st_nlink == 0) {
        return flo_fail(err, FLO_E_IO_WRITE, "a file of answers was removed");
    }
    return ftruncate(fd, (off_t)bytes) == 0
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "a file of answers");
}

static int end(struct flo_batch_work *work, struct flo_err *err)
{
    struct flo_batch next = *work->batch;
    const struct flo_batch_progress *progress = &work->progress;

    FLO_TRY(cut(work->output_fd, progress->output_bytes, err));
    FLO_TRY(cut(work->error_fd, progress->error_bytes, err));
    if (progress->output_bytes > 0) {
        FLO_TRY(give(work, next.output, "output", progress->output_bytes, err));
    }
    if (progress->error_bytes > 0) {
        FLO_TRY(give(work, next.error, "error", progress->error_bytes, err));
    }
    const struct flo_batch before = next;
    if (progress->output_bytes == 0) {
        next.output[0] = '\0';
    }
    if (progress->error_bytes == 0) {
        next.error[0] = '\0';
    }
    next.answer_bytes = 0;
    next.waits[0] = '\0';
    FLO_TRY(set_status(work, &next,
                       next.at_s[FLO_BATCH_CANCELLING] != 0                ? FLO_BATCH_CANCELLED
                       : next.at_s[FLO_BATCH_FINALIZING] >= next.expires_s ? FLO_BATCH_EXPIRED
                                                                           : FLO_BATCH_COMPLETED,
                       err));
    *work->batch = next;
    unlink_of(work, next.output[0] == '\0' ? before.output : "", "");
    unlink_of(work, next.error[0] == '\0' ? before.error : "", "");
    unlink_of(work, next.id, ".progress");
    leave(work);
    return 0;
}

/* ---- steps ---- */

/* Returns the time at which the batch can continue.  If all of its requests
 * wait for an app's limit or for a model, the batch is closed, so that another
 * one can run. */
static uint64_t rest(struct flo_batch_work *work)
{
    struct flo_batch *batch = work->batch;
    uint64_t next_ms = work->pause_ms > flo_now_ms() ? work->pause_ms : UINT64_MAX;

    if (work->is_dirty && next_ms > work->committed_ms + work->sync_ms) {
        next_ms = work->committed_ms + work->sync_ms;
    }
    for (size_t i = 0; i < work->count; i++) {
        const struct flo_batch_slot *slot = slot_at(work, i);
        if (slot->state == SLOT_WAITS && slot->again_ms < next_ms) {
            next_ms = slot->again_ms;
        }
    }
    if (work->count == 0 || is_under_way(work)) {
        return next_ms;
    }
    batch->next_ms = next_ms;
    leave(work);
    return 0;
}

/* Handles a full disk: answers wait in memory, and no more requests are sent.
 * If the batch must end, the answers on the disk are all that it has. */
static int bear_full(struct flo_batch_work *work, const struct flo_err *err)
{
    struct flo_batch *batch = work->batch;

    if (is_ending(work)) {
        work->is_ended = true;
        work->count = 0;
        return 0;
    }
    if (batch->waits[0] == '\0') {
        flo_log_err(FLO_LOG_WARN, AREA, err);
    }
    tell_disk(batch, err);
    work->pause_ms = flo_now_ms() + DISK_PAUSE_MS;
    return 0;
}

static int write_all(struct flo_batch_work *work, struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = write_ready(work, &why);

    if (rv == FLO_E_DISK_FULL) {
        rv = bear_full(work, &why);
    } else if (rv < 0) {
        *err = why;
    }
    FLO_TRY(rv);
    return commit(work, err);
}

static int ask(struct flo_batch_work *work, uint64_t *next_ms, struct flo_err *err)
{
    struct flo_batch *batch = work->batch;

    work->is_late = work->is_late || flo_batch_store_now_s(work->store) >= batch->expires_s;
    if (batch->status == FLO_BATCH_CANCELLING) {
        work->is_ended = true;
    }
    send_again(work);
    int rv = take_lines(work, err);
    if (rv == 0) {
        rv = write_all(work, err);
    }
    if (rv == 0 && work->is_ended && work->count == 0) {
        if (batch->status != FLO_BATCH_CANCELLING) {
            FLO_TRY(set_status(work, batch, FLO_BATCH_FINALIZING, err));
        }
        return end(work, err);
    }
    *next_ms = rv == 0 && has_next(work) ? 0 : rest(work);
    return rv;
}

static int step(struct flo_batch_work *work, uint64_t *next_ms, struct flo_err *err)
{
    switch (work->batch->status) {
    case FLO_BATCH_VALIDATING:
        return look_through(work, err);
    case FLO_BATCH_IN_PROGRESS:
    case FLO_BATCH_CANCELLING:
        return ask(work, next_ms, err);
    default:
        return end(work, err);
    }
}

uint64_t flo_batch_work_step(struct flo_batch_work *work)
{
    struct flo_err err = {0};
    uint64_t next_ms = 0;
    int rv = 0;

    if (work->batch == NULL) {
        next_ms = choose(work, &work->batch);
        if (work->batch == NULL) {
            return next_ms;
        }
        rv = begin(work, &err);
    }
    if (rv == 0 && work->batch != NULL) {
        rv = step(work, &next_ms, &err);
    }
    if (rv < 0) {
        recover(work, &err);
    }
    return work->batch == NULL ? 0 : next_ms;
}

int flo_batch_work_cancel(struct flo_batch_work *work, struct flo_batch *batch, struct flo_err *err)
{
    if (flo_batch_status_is_end(batch->status) || batch->status == FLO_BATCH_FINALIZING) {
        return flo_fail(err, FLO_E_STATE, "the batch is %s already",
                        flo_batch_status_word(batch->status));
    }
    if (batch->status == FLO_BATCH_CANCELLING) {
        return 0;
    }
    batch->next_ms = 0;
    if (batch->status == FLO_BATCH_VALIDATING) {
        FLO_TRY(set_status(work, batch, FLO_BATCH_CANCELLED, err));
        if (work->batch == batch) {
            leave(work);
        }
        return 0;
    }
    return set_status(work, batch, FLO_BATCH_CANCELLING, err);
}

void flo_batch_work_open(struct flo_batch_work *work)
{
    work->in_fd = work->output_fd = work->error_fd = work->progress_fd = -1;
}

void flo_batch_work_close(struct flo_batch_work *work)
{
    leave(work);
}
