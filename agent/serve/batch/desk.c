/* Desk: runs the thread that owns the folder of batches, and handles the calls
 * that need that folder.  Two queues connect the thread with the serving
 * thread. */
#include "agent/serve/batch/desk.h"

#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/event.h"
#include "base/host/steady.h"
#include "base/host/wake.h"

/* Bytes of an upload that may wait to be written before its client must
 * pause. */
#define WAITING_BYTES_MAX (1u << 20)
#define LIST_BYTES_MAX (8u << 20)
#define EXPIRE_MS 60000
#define SYNC_MS 200         /* longest time that answers wait for a common sync */
#define OPEN_BATCHES_MAX 64 /* largest number of batches of an app that have not ended */

enum note_kind {
    NOTE_ASK,
    NOTE_JOB,
    NOTE_PIECE,
    NOTE_DROP,  /* drop an upload */
    NOTE_GO_ON, /* out */
    NOTE_ENDED, /* out */
};
struct piece {
    struct flo_batch_note note;
    struct flo_batch_upload *upload;
    struct flo_buf bytes;
};
struct queue {
    struct flo_batch_note *first, **last;
};

struct flo_batch_desk {
    struct flo_batch_store store;
    struct flo_batch_work work;
    struct flo_batch_desk_out out_calls;
    uint64_t expired_ms;
    pthread_t thread;
    bool is_running;
    struct event *wake;
    int wake_fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* queues of notes to the desk's thread and from it; the lock protects
     * both */
    struct queue in, out;
    bool is_to_end; /* the same */
};

/* ---- queues ---- */

static void put(struct flo_batch_desk *desk, struct queue *queue, struct flo_batch_note *note,
                enum note_kind kind, void *thing)
{
    *note = (struct flo_batch_note){NULL, (int)kind, thing};
    pthread_mutex_lock(&desk->lock);
    *queue->last = note;
    queue->last = &note->next;
    pthread_cond_signal(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
    if (queue == &desk->out) {
        flo_wake_poke(desk->wake_fd);
    }
}

static struct flo_batch_note *take_all(struct queue *queue)
{
    struct flo_batch_note *first = queue->first;

    queue->first = NULL;
    queue->last = &queue->first;
    return first;
}

void flo_batch_ask_free(struct flo_batch_ask *ask)
{
    flo_buf_deinit(&ask->body);
    flo_buf_deinit(&ask->out);
    flo_fd_cleanup(&ask->fd);
    free(ask);
}

void flo_batch_desk_ask(struct flo_batch_desk *desk, struct flo_batch_ask *ask)
{
    put(desk, &desk->in, &ask->note, NOTE_ASK, ask);
}

void flo_batch_desk_answer(struct flo_batch_desk *desk, struct flo_batch_job *job)
{
    put(desk, &desk->in, &job->note, NOTE_JOB, job);
}

void flo_batch_desk_drop(struct flo_batch_desk *desk, struct flo_batch_upload *upload)
{
    put(desk, &desk->in, &upload->note, NOTE_DROP, upload);
}

int flo_batch_desk_piece(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                         const char *data, size_t bytes, bool *is_enough, struct flo_err *err)
{
    struct piece *piece = calloc(1, sizeof(*piece));

    if (piece != NULL) {
        piece->upload = upload;
        flo_buf_add(&piece->bytes, data, bytes);
    }
    if (piece == NULL || piece->bytes.failed) {
        free(piece);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a file");
    }
    pthread_mutex_lock(&desk->lock);
    int rv = upload->failure.code;
    *err = upload->failure;
    upload->waiting_bytes += bytes;
    *is_enough = upload->waiting_bytes > WAITING_BYTES_MAX;
    upload->is_held = upload->is_held || *is_enough;
    pthread_mutex_unlock(&desk->lock);
    put(desk, &desk->in, &piece->note, NOTE_PIECE, piece);
    return rv;
}

/* ---- uploads ---- */

static int write_piece(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                       const struct flo_buf *piece, struct flo_err *err)
{
    FLO_TRY(flo_batch_store_room(&desk->store, upload->coming.app, piece->bytes, err));
    if (upload->fd < 0) {
        FLO_TRY(flo_batch_store_places(&desk->store, upload->coming.app, 1, err));
        flo_object_id_make("upload-", upload->id);
        FLO_TRY(flo_batch_store_file(&desk->store, upload->id, "", O_WRONLY | O_CREAT | O_EXCL,
                                     &upload->fd, err));
        upload->coming.next = desk->store.coming;
        desk->store.coming = &upload->coming;
    }
    FLO_TRY(flo_fd_write_all(upload->fd, piece->data, piece->bytes, err));
    upload->coming.bytes += piece->bytes;
    return 0;
}

static void free_piece(struct piece *piece)
{
    flo_buf_deinit(&piece->bytes);
    free(piece);
}

static void take_piece(struct flo_batch_desk *desk, struct piece *piece)
{
    struct flo_batch_upload *upload = piece->upload;
    struct flo_err err = {0};

    pthread_mutex_lock(&desk->lock);
    int rv = upload->failure.code;
    pthread_mutex_unlock(&desk->lock);
    if (rv == 0) {
        rv = write_piece(desk, upload, &piece->bytes, &err);
    }
    pthread_mutex_lock(&desk->lock);
    if (rv < 0 && upload->failure.code == 0) {
        upload->failure = err;
    }
    upload->waiting_bytes -= piece->bytes.bytes;
    bool goes_on =
        upload->is_held && !upload->is_going_on && upload->waiting_bytes <= WAITING_BYTES_MAX / 2;
    upload->is_held = upload->is_held && !goes_on;
    upload->is_going_on = upload->is_going_on || goes_on;
    pthread_mutex_unlock(&desk->lock);
    if (goes_on) {
        put(desk, &desk->out, &upload->go_on_note, NOTE_GO_ON, upload);
    }
    free_piece(piece);
}

/* Ends an upload.  Its bytes have become a file, or they are deleted. */
static void end_upload(struct flo_batch_desk *desk, struct flo_batch_upload *upload)
{
    struct flo_batch_coming **at = &desk->store.coming;
    char path[4096];

    while (*at != NULL && *at != &upload->coming) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = upload->coming.next;
    }
    if (upload->fd >= 0) {
        flo_fd_cleanup(&upload->fd);
        flo_batch_store_path(&desk->store, upload->id, "", path);
        /* deletes bytes that became no file; those of a stored file have
         * another name by now */
        (void)unlink(path);
    }
    put(desk, &desk->out, &upload->note, NOTE_ENDED, upload);
}

/* Writes a file as the client sees it.  The device's owner sees whose it is. */
static void write_file(struct flo_batch_ask *ask, const struct flo_batch_file *file)
{
    flo_batch_file_write(file, strcmp(ask->app, file->app) != 0, &ask->out);
}

/* Renames the uploaded bytes to the file's id, then writes the file's
 * document. */
static int keep_upload(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                       struct flo_batch_file *file, struct flo_err *err)
{
    char from[4096], to[4096];

    flo_batch_store_path(&desk->store, upload->id, "", from);
    flo_batch_store_path(&desk->store, file->id, "", to);
    if (fdatasync(upload->fd) < 0 || rename(from, to) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", file->id);
    }
    int rv = flo_batch_store_add(&desk->store, file, err);
    if (rv < 0) {
        (void)unlink(to);
    }
    return rv;
}

static int make_file(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch_upload *upload = ask->upload;
    uint64_t now_s = flo_batch_store_now_s(&desk->store);
    struct flo_batch_file file = {.bytes = upload->coming.bytes, .created_s = now_s};
    /* error of the upload, which has ended, so no more of its bytes arrive */
    int rv = upload->failure.code;

    *err = upload->failure;
    flo_object_id_make("file-", file.id);
    strcpy(file.app, ask->app);
    strcpy(file.name, upload->name);
    file.expires_s = now_s + (upload->lifetime_s > 0 ? upload->lifetime_s : desk->store.keep_s);
    if (rv == 0 && upload->coming.bytes == 0) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "file is empty");
    }
    if (rv == 0) {
        rv = keep_upload(desk, upload, &file, err);
    }
    if (rv == 0) {
        write_file(ask, &file);
    }
    end_upload(desk, upload);
    ask->upload = NULL;
    return rv;
}

/* ---- files ---- */

/* Fails in the same way for an unknown id and for an id of another app. */
static int absent(const char *what, const char *id, struct flo_err *err)
{
    return flo_fail(err, FLO_E_ABSENT, "no %s \"%.40s\"", what, id);
}

static struct flo_batch_file *file_of(const struct flo_batch_desk *desk,
                                      const struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch_file *file = flo_batch_store_find(&desk->store, ask->app, ask->id);

    if (file == NULL) {
        absent("file", ask->id, err);
    }
    return file;
}

static int show_content(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch_file *file = file_of(desk, ask, err);

    FLO_TRY(file == NULL
                ? err->code
                : flo_batch_store_file(&desk->store, file->id, "", O_RDONLY, &ask->fd, err));
    if (!ask->is_head) {
        flo_batch_store_delivered(&desk->store, file, flo_batch_store_now_s(&desk->store));
    }
    return 0;
}

static int delete_file(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch_file *file = file_of(desk, ask, err);

    if (file == NULL) {
        return err->code;
    }
    if (flo_batch_store_is_read(&desk->store, file->id)) {
        flo_fail(err, FLO_E_STATE, "a batch reads file \"%s\"", file->id);
        return flo_err_fix(err, "wait for the batch, or cancel it");
    }
    flo_buf_printf(&ask->out, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", file->id);
    flo_batch_store_remove(&desk->store, file);
    return flo_dir_sync(desk->store.folder, err);
}

/* ---- batches ---- */

static int make_batch(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch batch;
    size_t open = 0;
    int rv = flo_batch_ask(ask->body.data == NULL ? "" : ask->body.data, ask->body.bytes,
                           flo_batch_store_now_s(&desk->store), &batch, err);

    FLO_TRY(rv);
    const struct flo_batch_file *file = flo_batch_store_find(&desk->store, ask->app, batch.input);
    for (size_t i = 0; i < desk->store.n_batches; i++) {
        const struct flo_batch *other = desk->store.batches[i];
        open += !flo_batch_status_is_end(other->status) && strcmp(other->app, ask->app) == 0;
    }
    if (file == NULL) {
        rv = absent("file", batch.input, err);
    } else if (file->is_output) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "input_file_id must be a file of purpose batch");
    } else if (open >= OPEN_BATCHES_MAX) {
        rv = flo_fail(err, FLO_E_REST_LIMIT, "%zu batches are under way, at most %d", open,
                      OPEN_BATCHES_MAX);
    } else {
        rv = flo_batch_store_places(&desk->store, ask->app, 2, err);
    }
    if (rv < 0) {
        flo_batch_deinit(&batch);
        return rv;
    }
    flo_object_id_make("batch-", batch.id);
    strcpy(batch.app, ask->app);
    FLO_TRY(flo_batch_store_begin(&desk->store, &batch, err));
    flo_batch_write(&batch, false, &ask->out);
    return 0;
}

static int show_batch(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    struct flo_batch *batch = flo_batch_store_batch(&desk->store, ask->app, ask->id);

    FLO_TRY(batch == NULL                   ? absent("batch", ask->id, err)
            : ask->kind == ASK_BATCH_CANCEL ? flo_batch_work_cancel(&desk->work, batch, err)
                                            : 0);
    flo_batch_write(batch, false, &ask->out);
    return 0;
}

/* ---- lists ---- */

/* Returns the id of object i for a list; NULL: it is another app's, or has
 * another purpose. */
static const char *listed(const struct flo_batch_desk *desk, const struct flo_batch_ask *ask,
                          size_t i)
{
    if (ask->kind == ASK_BATCHES) {
        const struct flo_batch *batch = desk->store.batches[i];
        return flo_batch_store_may_see(ask->app, batch->app) ? batch->id : NULL;
    }
    const struct flo_batch_file *file = desk->store.files[i];
    const char *purpose = file->is_output ? "batch_output" : "batch";
    return flo_batch_store_may_see(ask->app, file->app) &&
                   (ask->purpose[0] == '\0' || strcmp(ask->purpose, purpose) == 0)
               ? file->id
               : NULL;
}

static void show_list(struct flo_batch_desk *desk, struct flo_batch_ask *ask)
{
    size_t count = ask->kind == ASK_BATCHES ? desk->store.n_batches : desk->store.n_files;
    const char *first = NULL, *last = NULL;
    bool is_behind = ask->after[0] == '\0', has_more = false;
    uint64_t shown = 0;

    flo_buf_text(&ask->out, "{\"object\":\"list\",\"data\":[");
    for (size_t k = 0; k < count && !has_more; k++) {
        size_t i = ask->is_upwards ? k : count - 1 - k;
        const char *id = listed(desk, ask, i);
        if (id == NULL || !is_behind) {
            is_behind = is_behind || (id != NULL && !strcmp(id, ask->after));
            continue;
        }
        has_more = shown == ask->limit;
        if (has_more) {
            break;
        }
        flo_buf_text(&ask->out, shown++ > 0 ? "," : "");
        first = first == NULL ? id : first;
        last = id;
        if (ask->kind == ASK_BATCHES) {
            flo_batch_write(desk->store.batches[i], false, &ask->out);
        } else {
            write_file(ask, desk->store.files[i]);
        }
    }
    flo_buf_printf(&ask->out, "],\"first_id\":%s%s%s,\"last_id\":%s%s%s,", shown > 0 ? "\"" : "",
                   shown > 0 ? first : "null", shown > 0 ? "\"" : "", shown > 0 ? "\"" : "",
                   shown > 0 ? last : "null", shown > 0 ? "\"" : "");
    flo_buf_printf(&ask->out, "\"has_more\":%s}", has_more ? "true" : "false");
}

/* ---- the thread ---- */

static int answer(struct flo_batch_desk *desk, struct flo_batch_ask *ask, struct flo_err *err)
{
    const struct flo_batch_file *file;

    ask->out.bytes_max = LIST_BYTES_MAX;
    switch (ask->kind) {
    case ASK_FILES:
    case ASK_BATCHES:
        show_list(desk, ask);
        return 0;
    case ASK_FILE:
        file = file_of(desk, ask, err);
        if (file != NULL) {
            write_file(ask, file);
        }
        return err->code;
    case ASK_CONTENT:
        return show_content(desk, ask, err);
    case ASK_FILE_MAKE:
        return make_file(desk, ask, err);
    case ASK_FILE_DELETE:
        return delete_file(desk, ask, err);
    case ASK_BATCH_MAKE:
        return make_batch(desk, ask, err);
    default:
        return show_batch(desk, ask, err);
    }
}

static void take_note(struct flo_batch_desk *desk, const struct flo_batch_note *note)
{
    struct flo_batch_ask *ask;

    switch ((enum note_kind)note->kind) {
    case NOTE_ASK:
        ask = note->thing;
        flo_batch_store_expire(&desk->store, flo_batch_store_now_s(&desk->store));
        (void)answer(desk, ask, &ask->err);
        put(desk, &desk->out, &ask->note, NOTE_ASK, ask);
        break;
    case NOTE_JOB:
        flo_batch_work_answer(&desk->work, note->thing);
        break;
    case NOTE_PIECE:
        take_piece(desk, note->thing);
        break;
    default:
        end_upload(desk, note->thing);
        break;
    }
}

/* Frees the object that a queued note points to, when the desk closes before
 * the note is handled. */
static void free_thing(struct flo_batch_desk *desk, const struct flo_batch_note *note)
{
    const struct flo_batch_desk_out *out = &desk->out_calls;
    struct flo_batch_ask *ask;

    switch ((enum note_kind)note->kind) {
    case NOTE_ASK:
        ask = note->thing;
        if (ask->upload != NULL) {
            out->ended(out->context, ask->upload);
        }
        flo_batch_ask_free(ask);
        break;
    case NOTE_JOB:
        flo_batch_job_free(note->thing);
        break;
    case NOTE_PIECE:
        free_piece(note->thing);
        break;
    case NOTE_GO_ON:
        break;
    default:
        out->ended(out->context, note->thing);
        break;
    }
}

/* Waits for notes, which the serving thread sends to the desk's thread, until
 * `until_ms` (a time of flo_now_ms()).  Returns false when the desk's thread
 * must end. */
static bool next_notes(struct flo_batch_desk *desk, uint64_t until_ms,
                       struct flo_batch_note **notes)
{
    uint64_t now_ms = flo_now_ms();
    uint64_t ms = until_ms <= now_ms ? 0 : until_ms - now_ms;

    pthread_mutex_lock(&desk->lock);
    while (ms > 0 && desk->in.first == NULL && !desk->is_to_end &&
           flo_steady_wait(&desk->changed, &desk->lock, ms < EXPIRE_MS ? ms : EXPIRE_MS) == 0) {
    }
    bool goes_on = !desk->is_to_end;
    /* at the end no more notes are taken; the desk frees them when it closes */
    *notes = goes_on ? take_all(&desk->in) : NULL;
    pthread_mutex_unlock(&desk->lock);
    return goes_on;
}

static void *run(void *context)
{
    struct flo_batch_desk *desk = context;
    struct flo_batch_note *notes;
    uint64_t until_ms = 0;

    while (next_notes(desk, until_ms, &notes)) {
        while (notes != NULL) {
            struct flo_batch_note *next = notes->next;
            take_note(desk, notes);
            notes = next;
        }
        if (flo_now_ms() - desk->expired_ms > EXPIRE_MS) {
            desk->expired_ms = flo_now_ms();
            flo_batch_store_expire(&desk->store, flo_batch_store_now_s(&desk->store));
        }
        flo_batch_store_follow_clock(&desk->store);
        until_ms = flo_batch_work_step(&desk->work);
    }
    return NULL;
}

static void submit(void *context, struct flo_batch_job *job)
{
    struct flo_batch_desk *desk = context;

    put(desk, &desk->out, &job->note, NOTE_JOB, job);
}

/* ---- the serving thread ---- */

static void give(struct flo_batch_desk *desk, const struct flo_batch_note *note)
{
    const struct flo_batch_desk_out *out = &desk->out_calls;
    struct flo_batch_upload *upload;

    switch ((enum note_kind)note->kind) {
    case NOTE_ASK:
        out->answered(out->context, note->thing);
        break;
    case NOTE_JOB:
        out->submit(out->context, note->thing);
        break;
    case NOTE_GO_ON:
        upload = note->thing;
        pthread_mutex_lock(&desk->lock);
        upload->is_going_on = false;
        pthread_mutex_unlock(&desk->lock);
        out->go_on(out->context, upload);
        break;
    default:
        out->ended(out->context, note->thing);
        break;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct flo_batch_desk *desk = context;
    struct flo_batch_note *notes;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&desk->lock);
    notes = take_all(&desk->out);
    pthread_mutex_unlock(&desk->lock);
    while (notes != NULL) {
        struct flo_batch_note *next = notes->next;
        give(desk, notes);
        notes = next;
    }
}

/* ---- life ---- */

static int start(struct flo_batch_desk *desk, struct event_base *base, struct flo_err *err)
{
    sigset_t all, before;

    desk->wake_fd = flo_wake_open();
    if (desk->wake_fd >= 0) {
        desk->wake = event_new(base, desk->wake_fd, EV_READ | EV_PERSIST, on_wake, desk);
    }
    if (desk->wake == NULL || event_add(desk->wake, NULL) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event for batches");
    }
    /* all signals are blocked in the new thread, because the caller's thread
     * handles them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    desk->is_running = pthread_create(&desk->thread, NULL, run, desk) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return desk->is_running ? 0 : flo_fail(err, FLO_E_MEMORY, "no thread for batches");
}

int flo_batch_desk_open(struct event_base *base, const struct flo_batch_desk_options *options,
                        const struct flo_batch_desk_out *out, struct flo_batch_desk **result,
                        struct flo_err *err)
{
    struct flo_batch_desk *desk = calloc(1, sizeof(*desk));

    if (desk == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for batches");
    }
    snprintf(desk->store.folder, sizeof(desk->store.folder), "%s", options->folder);
    desk->store.bytes_max = options->bytes_max;
    desk->store.keep_s = options->keep_s;
    desk->store.delivered_s = options->delivered_s;
    desk->out_calls = *out;
    desk->wake_fd = -1;
    desk->work.store = &desk->store;
    desk->work.sync_ms = SYNC_MS;
    desk->work.submit = submit;
    desk->work.context = desk;
    flo_batch_work_open(&desk->work);
    pthread_mutex_init(&desk->lock, NULL);
    flo_steady_init(&desk->changed);
    (void)take_all(&desk->in);
    (void)take_all(&desk->out);
    int rv = flo_batch_store_open(&desk->store, err);
    if (rv == 0) {
        rv = start(desk, base, err);
    }
    if (rv < 0) {
        flo_batch_desk_close(desk);
        return flo_wrap(err, rv, "batch");
    }
    *result = desk;
    return 0;
}

void flo_batch_desk_stop(struct flo_batch_desk *desk)
{
    if (desk == NULL || !desk->is_running) {
        return;
    }
    pthread_mutex_lock(&desk->lock);
    desk->is_to_end = true;
    pthread_cond_signal(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
    pthread_join(desk->thread, NULL);
    desk->is_running = false;
    event_free(desk->wake);
    desk->wake = NULL;
}

static void free_notes(struct flo_batch_desk *desk, struct queue *queue)
{
    struct flo_batch_note *notes = take_all(queue);

    while (notes != NULL) {
        struct flo_batch_note *next = notes->next;
        free_thing(desk, notes);
        notes = next;
    }
}

void flo_batch_desk_close(struct flo_batch_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    flo_batch_desk_stop(desk);
    free_notes(desk, &desk->out);
    free_notes(desk, &desk->in);
    flo_batch_work_close(&desk->work);
    flo_batch_store_close(&desk->store);
    flo_event_drop(&desk->wake);
    flo_fd_cleanup(&desk->wake_fd);
    pthread_cond_destroy(&desk->changed);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}
