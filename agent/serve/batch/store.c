/* Store: reads the folder of batches once, when it is opened.  Later changes
 * are made in memory and in the folder. */
#include "agent/serve/batch/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/state.h>

#define AREA "batch"
#define FILE_PREFIX "file-"
#define BATCH_PREFIX "batch-"
#define UPLOAD_PREFIX "upload-"
/* change of the wall clock from which it counts as set; smaller changes are
 * corrections */
#define SET_MS_MIN 60000

void flo_batch_store_path(const struct flo_batch_store *store, const char *id, const char *end,
                          char out[4096])
{
    snprintf(out, 4096, "%s/%s%s", store->folder, id, end);
}

int flo_batch_store_file(const struct flo_batch_store *store, const char *id, const char *end,
                         int flags, int *fd, struct flo_err *err)
{
    char path[4096];

    flo_batch_store_path(store, id, end, path);
    *fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *fd >= 0 ? 0 : flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
}

static void unlink_of(const struct flo_batch_store *store, const char *id, const char *end)
{
    char path[4096];

    flo_batch_store_path(store, id, end, path);
    if (unlink(path) < 0 && errno != ENOENT) {
        flo_log(FLO_LOG_WARN, AREA, "%s: %s", path, strerror(errno));
    }
}

static int write_text(const struct flo_batch_store *store, const char *id, struct flo_buf *text,
                      struct flo_err *err)
{
    char path[4096];

    flo_batch_store_path(store, id, ".json", path);
    int rv = text->failed ? flo_fail(err, FLO_E_MEMORY, "no memory for %s", id)
                          : flo_file_write(path, text->data, text->bytes, 0600, err);
    flo_buf_deinit(text);
    return rv;
}

/* ---- room ---- */

bool flo_batch_store_may_see(const char *app, const char *other)
{
    return app[0] == '\0' || strcmp(app, other) == 0;
}

/* Things of an app, or for the owner those of all. */
struct has {
    uint64_t bytes, files, batches;
};

static struct has has_of(const struct flo_batch_store *store, const char *app)
{
    struct has has = {0};

    for (const struct flo_batch_coming *c = store->coming; c != NULL; c = c->next) {
        has.bytes += flo_batch_store_may_see(app, c->app) ? c->bytes : 0;
        has.files += flo_batch_store_may_see(app, c->app);
    }
    for (size_t i = 0; i < store->n_files; i++) {
        if (flo_batch_store_may_see(app, store->files[i]->app)) {
            has.bytes += store->files[i]->bytes;
            has.files++;
        }
    }
    for (size_t i = 0; i < store->n_batches; i++) {
        const struct flo_batch *batch = store->batches[i];
        if (flo_batch_store_may_see(app, batch->app)) {
            has.bytes += batch->answer_bytes;
            has.files += flo_batch_status_is_end(batch->status) ? 0 : 2;
            has.batches++;
        }
    }
    return has;
}

int flo_batch_store_room(const struct flo_batch_store *store, const char *app, uint64_t bytes,
                         struct flo_err *err)
{
    uint64_t used = has_of(store, "").bytes, own = app[0] == '\0' ? 0 : has_of(store, app).bytes;
    bool has_room = used <= store->bytes_max && bytes <= store->bytes_max - used;

    if (has_room && (app[0] == '\0' || flo_party_may_take(own, bytes, used, store->bytes_max))) {
        return 0;
    }
    flo_fail(err, FLO_E_DISK_FULL,
             "files of batches have %llu bytes, %llu more are over "
             "batch_limit, %llu",
             (unsigned long long)used, (unsigned long long)bytes,
             (unsigned long long)store->bytes_max);
    if (has_room) {
        flo_err_why(err, "%s has %llu of them, and as many must stay free for others", app,
                    (unsigned long long)own);
    }
    return flo_err_fix(err, "delete files that are not needed any more, or "
                            "raise batch_limit");
}

int flo_batch_store_places(const struct flo_batch_store *store, const char *app, uint64_t more,
                           struct flo_err *err)
{
    struct has all = has_of(store, ""), own = has_of(store, app);

    if (app[0] == '\0' ||
        (flo_party_may_take(own.files, more, all.files, FLO_BATCH_FILES_MAX) &&
         (more == 1 || flo_party_may_take(own.batches, 1, all.batches, FLO_BATCHES_MAX)))) {
        return 0;
    }
    flo_fail(
        err, FLO_E_REST_LIMIT,
        "of %d files %s has %llu, all have %llu, and of %d batches %llu and %llu; as many must "
        "stay free for others",
        FLO_BATCH_FILES_MAX, app, (unsigned long long)own.files, (unsigned long long)all.files,
        FLO_BATCHES_MAX, (unsigned long long)own.batches, (unsigned long long)all.batches);
    return flo_err_fix(err, "delete files that are not needed any more");
}

/* ---- files ---- */

struct flo_batch_file *flo_batch_store_find(const struct flo_batch_store *store, const char *app,
                                            const char *id)
{
    for (size_t i = 0; i < store->n_files; i++) {
        if (strcmp(store->files[i]->id, id) == 0 &&
            flo_batch_store_may_see(app, store->files[i]->app)) {
            return store->files[i];
        }
    }
    return NULL;
}

/* Adds a file to the list, which is ordered by creation time. */
static int take_file(struct flo_batch_store *store, const struct flo_batch_file *file,
                     struct flo_err *err)
{
    struct flo_batch_file *own = malloc(sizeof(*own));
    size_t at = store->n_files;

    if (at == FLO_BATCH_FILES_MAX || own == NULL) {
        free(own);
        return flo_fail(err, FLO_E_REST_LIMIT, "there are %zu files, at most %d are kept", at,
                        FLO_BATCH_FILES_MAX);
    }
    *own = *file;
    while (at > 0 && store->files[at - 1]->created_s > file->created_s) {
        store->files[at] = store->files[at - 1];
        at--;
    }
    store->files[at] = own;
    store->n_files++;
    return 0;
}

static int keep(const struct flo_batch_store *store, const struct flo_batch_file *file,
                struct flo_err *err)
{
    struct flo_buf text = {.bytes_max = FLO_OBJECT_BYTES_MAX};

    flo_batch_file_write(file, true, &text);
    return write_text(store, file->id, &text, err);
}

int flo_batch_store_add(struct flo_batch_store *store, const struct flo_batch_file *file,
                        struct flo_err *err)
{
    if (flo_batch_store_find(store, file->app, file->id) != NULL) {
        /* the file was already added by a batch that ended twice, because of a
         * power cut */
        return 0;
    }
    FLO_TRY(take_file(store, file, err));
    int rv = keep(store, file, err);
    if (rv < 0) {
        struct flo_batch_file *own = flo_batch_store_find(store, file->app, file->id);
        flo_batch_store_remove(store, own);
    }
    return rv;
}

void flo_batch_store_remove(struct flo_batch_store *store, struct flo_batch_file *file)
{
    size_t at = 0;

    while (store->files[at] != file) {
        at++;
    }
    /* If one of these files cannot be deleted, it is deleted when the folder is
     * next opened. */
    unlink_of(store, file->id, ".json");
    unlink_of(store, file->id, "");
    free(file);
    store->n_files--;
    memmove(&store->files[at], &store->files[at + 1],
            (store->n_files - at) * sizeof(store->files[0]));
}

/* ---- batches ---- */

struct flo_batch *flo_batch_store_batch(const struct flo_batch_store *store, const char *app,
                                        const char *id)
{
    for (size_t i = 0; i < store->n_batches; i++) {
        if (strcmp(store->batches[i]->id, id) == 0 &&
            flo_batch_store_may_see(app, store->batches[i]->app)) {
            return store->batches[i];
        }
    }
    return NULL;
}

static uint64_t created_of(const struct flo_batch *batch)
{
    return batch->at_s[FLO_BATCH_VALIDATING];
}

static int take_batch(struct flo_batch_store *store, const struct flo_batch *batch,
                      struct flo_err *err)
{
    struct flo_batch *own = malloc(sizeof(*own));
    size_t at = store->n_batches;

    if (at == FLO_BATCHES_MAX || own == NULL) {
        free(own);
        return flo_fail(err, FLO_E_REST_LIMIT, "there are %zu batches, at most %d are kept", at,
                        FLO_BATCHES_MAX);
    }
    *own = *batch;
    while (at > 0 && created_of(store->batches[at - 1]) > created_of(batch)) {
        store->batches[at] = store->batches[at - 1];
        at--;
    }
    store->batches[at] = own;
    store->n_batches++;
    return 0;
}

int flo_batch_store_save(const struct flo_batch_store *store, const struct flo_batch *batch,
                         struct flo_err *err)
{
    struct flo_buf text = {.bytes_max = FLO_OBJECT_BYTES_MAX};

    flo_batch_write(batch, true, &text);
    return write_text(store, batch->id, &text, err);
}

static void forget_batch(struct flo_batch_store *store, size_t at)
{
    struct flo_batch *batch = store->batches[at];

    flo_batch_deinit(batch);
    free(batch);
    store->n_batches--;
    memmove(&store->batches[at], &store->batches[at + 1],
            (store->n_batches - at) * sizeof(store->batches[0]));
}

int flo_batch_store_begin(struct flo_batch_store *store, struct flo_batch *batch,
                          struct flo_err *err)
{
    int rv = flo_batch_store_save(store, batch, err);

    if (rv == 0) {
        rv = take_batch(store, batch, err);
    }
    if (rv < 0) {
        unlink_of(store, batch->id, ".json");
        flo_batch_deinit(batch);
    }
    return rv;
}

/* ---- time ---- */

bool flo_batch_store_is_read(const struct flo_batch_store *store, const char *id)
{
    for (size_t i = 0; i < store->n_batches; i++) {
        const struct flo_batch *batch = store->batches[i];
        if (!flo_batch_status_is_end(batch->status) && strcmp(batch->input, id) == 0) {
            return true;
        }
    }
    return false;
}

static void shorten(struct flo_batch_store *store, const char *app, const char *id,
                    uint64_t until_s)
{
    struct flo_batch_file *file = flo_batch_store_find(store, app, id);
    struct flo_err err = {0};

    if (file == NULL || (file->expires_s != 0 && file->expires_s <= until_s)) {
        return;
    }
    file->expires_s = until_s;
    if (keep(store, file, &err) < 0) {
        /* A failed write is only logged.  The shorter lifetime is then in
         * memory, and on the disk after the next write of this document. */
        flo_log_err(FLO_LOG_WARN, AREA, &err);
    }
}

void flo_batch_store_delivered(struct flo_batch_store *store, struct flo_batch_file *file,
                               uint64_t now_s)
{
    uint64_t until_s = now_s + store->delivered_s;

    for (size_t i = 0; file->is_output && i < store->n_batches; i++) {
        const struct flo_batch *batch = store->batches[i];
        if (strcmp(batch->output, file->id) == 0) {
            shorten(store, batch->app, batch->input, until_s);
            shorten(store, batch->app, batch->error, until_s);
        }
        if (strcmp(batch->output, file->id) == 0 || strcmp(batch->error, file->id) == 0) {
            shorten(store, batch->app, file->id, until_s);
        }
    }
}

void flo_batch_store_expire(struct flo_batch_store *store, uint64_t now_s)
{
    for (size_t i = store->n_files; i-- > 0;) {
        struct flo_batch_file *file = store->files[i];
        if (file->expires_s != 0 && file->expires_s <= now_s &&
            !flo_batch_store_is_read(store, file->id)) {
            flo_batch_store_remove(store, file);
        }
    }
    for (size_t i = store->n_batches; i-- > 0;) {
        const struct flo_batch *batch = store->batches[i];
        if (flo_batch_status_is_end(batch->status) &&
            batch->at_s[batch->status] + store->keep_s <= now_s) {
            unlink_of(store, batch->id, ".json");
            forget_batch(store, i);
        }
    }
}

/* ---- a clock that is set ---- */

static int64_t clock_ms(void)
{
    return (int64_t)flo_wall_ms() - (int64_t)flo_now_ms();
}

uint64_t flo_batch_store_now_s(const struct flo_batch_store *store)
{
    return (uint64_t)((int64_t)flo_now_ms() + store->clock_ms) / 1000;
}

static void move(uint64_t *at_s, int64_t by_s)
{
    int64_t to_s = (int64_t)*at_s + by_s;

    if (*at_s != 0) {
        *at_s = to_s < 1 ? 1 : to_s > FLO_OBJECT_TIME_MAX ? FLO_OBJECT_TIME_MAX : (uint64_t)to_s;
    }
}

static void move_file(const struct flo_batch_store *store, struct flo_batch_file *file,
                      int64_t by_s)
{
    struct flo_err err = {0};

    move(&file->created_s, by_s);
    move(&file->expires_s, by_s);
    if (keep(store, file, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, AREA, &err);
    }
}

static void move_batch(const struct flo_batch_store *store, struct flo_batch *batch, int64_t by_s)
{
    struct flo_err err = {0};

    for (int i = 0; i < FLO_BATCH_STATUSES; i++) {
        move(&batch->at_s[i], by_s);
    }
    move(&batch->expires_s, by_s);
    if (flo_batch_store_save(store, batch, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, AREA, &err);
    }
}

void flo_batch_store_follow_clock(struct flo_batch_store *store)
{
    int64_t set_ms = clock_ms() - store->clock_ms;

    if (set_ms > -SET_MS_MIN && set_ms < SET_MS_MIN) {
        return;
    }
    store->clock_ms += set_ms;
    for (size_t i = 0; i < store->n_files; i++) {
        move_file(store, store->files[i], set_ms / 1000);
    }
    for (size_t i = 0; i < store->n_batches; i++) {
        move_batch(store, store->batches[i], set_ms / 1000);
    }
}

/* ---- opening ---- */

static int check_folder(const struct flo_batch_store *store, struct flo_err *err)
{
    struct stat st;

    if (stat(store->folder, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", store->folder);
    }
    if ((st.st_mode & 077) != 0 || st.st_uid != geteuid()) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "batch_folder %s has mode %04o and user %u: requests and "
                 "answers would lie open",
                 store->folder, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
        return flo_err_fix(err, "give it mode 0700 and the agent's user, or "
                                "name a folder that is not there");
    }
    return 0;
}

static int lock_folder(struct flo_batch_store *store, struct flo_err *err)
{
    FLO_TRY(flo_batch_store_file(store, "lock", "", O_RDWR | O_CREAT, &store->lock_fd, err));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return flo_fail(err, FLO_E_STATE_LOCKED, "another process uses batch_folder %s",
                        store->folder);
    }
    return 0;
}

/* Tells whether a name is "ID.json", where ID has this prefix.  `id` gets the
 * ID. */
static bool is_document(const char *name, const char *prefix, char id[FLO_OBJECT_ID])
{
    size_t chars = strlen(name);

    if (chars <= 5 || chars - 5 >= FLO_OBJECT_ID || strcmp(name + chars - 5, ".json") != 0) {
        return false;
    }
    memcpy(id, name, chars - 5);
    id[chars - 5] = '\0';
    return flo_object_id_is(prefix, id);
}

static int read_file(struct flo_batch_store *store, const char *id, const char *text, size_t bytes,
                     struct flo_err *err)
{
    struct flo_batch_file file;
    char path[4096];
    struct stat st;

    FLO_TRY(flo_batch_file_read(text, bytes, &file, err));
    flo_batch_store_path(store, id, "", path);
    if (strcmp(file.id, id) != 0 || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != file.bytes) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s: its bytes are not there", id);
    }
    return take_file(store, &file, err);
}

static int read_batch(struct flo_batch_store *store, const char *id, const char *text, size_t bytes,
                      struct flo_err *err)
{
    struct flo_batch batch;
    int rv = flo_batch_read(text, bytes, &batch, err);

    if (rv == 0 && strcmp(batch.id, id) != 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "%s is another batch", id);
    }
    if (rv == 0) {
        rv = take_batch(store, &batch, err);
    }
    if (rv < 0) {
        flo_batch_deinit(&batch);
    }
    return rv;
}

/* Reads a document of the folder.  An invalid document has no owner, so it is
 * deleted, and so are its bytes. */
static void read_entry(struct flo_batch_store *store, const char *name)
{
    char id[FLO_OBJECT_ID], path[4096];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_err err = {0};
    size_t bytes;
    bool is_file = is_document(name, FILE_PREFIX, id);

    if (!is_file && !is_document(name, BATCH_PREFIX, id)) {
        return;
    }
    flo_batch_store_path(store, id, ".json", path);
    int rv = flo_file_read(path, FLO_OBJECT_BYTES_MAX, &text, &bytes, &err);
    if (rv == 0) {
        rv = is_file ? read_file(store, id, text, bytes, &err)
                     : read_batch(store, id, text, bytes, &err);
    }
    if (rv < 0) {
        flo_wrap(&err, rv, "%s", name);
        flo_log_err(FLO_LOG_WARN, AREA, &err);
    }
    if (rv == FLO_E_META_SCHEMA || rv == FLO_E_META_JSON) {
        unlink_of(store, id, ".json");
    }
}

/* Tells whether a batch that has not ended writes its answers to this file. */
static bool is_written(const struct flo_batch_store *store, const char *id)
{
    for (size_t i = 0; i < store->n_batches; i++) {
        const struct flo_batch *batch = store->batches[i];
        if (!flo_batch_status_is_end(batch->status) &&
            (strcmp(batch->output, id) == 0 || strcmp(batch->error, id) == 0)) {
            return true;
        }
    }
    return false;
}

static bool has_document(const struct flo_batch_store *store, const char *id)
{
    char path[4096];

    flo_batch_store_path(store, id, ".json", path);
    return access(path, F_OK) == 0;
}

static bool has_ended(const struct flo_batch_store *store, const char *id)
{
    for (size_t i = 0; i < store->n_batches; i++) {
        if (strcmp(store->batches[i]->id, id) == 0) {
            return flo_batch_status_is_end(store->batches[i]->status);
        }
    }
    return !has_document(store, id);
}

/* Deletes a file that has no document, because its upload was interrupted or
 * its document was deleted.  If the document exists but cannot be read at the
 * moment, the file stays. */
static void sweep_entry(const struct flo_batch_store *store, const char *name)
{
    char id[FLO_OBJECT_ID] = "";
    size_t chars = strlen(name);
    bool is_progress = chars > 9 && strcmp(name + chars - 9, ".progress") == 0;

    if (is_progress && chars - 9 < FLO_OBJECT_ID) {
        memcpy(id, name, chars - 9);
        id[chars - 9] = '\0';
    }
    if (flo_object_id_is(UPLOAD_PREFIX, name) || strstr(name, ".json.tmp-") != NULL ||
        (flo_object_id_is(FILE_PREFIX, name) && !has_document(store, name) &&
         !is_written(store, name)) ||
        (flo_object_id_is(BATCH_PREFIX, id) && has_ended(store, id))) {
        unlink_of(store, name, "");
    }
}

static int each_entry(struct flo_batch_store *store, bool is_sweep, struct flo_err *err)
{
    DIR *folder = opendir(store->folder);
    const struct dirent *entry;

    if (folder == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", store->folder);
    }
    while ((entry = readdir(folder)) != NULL) {
        if (is_sweep) {
            sweep_entry(store, entry->d_name);
        } else {
            read_entry(store, entry->d_name);
        }
    }
    closedir(folder);
    return 0;
}

int flo_batch_store_open(struct flo_batch_store *store, struct flo_err *err)
{
    store->lock_fd = -1;
    store->clock_ms = clock_ms();
    FLO_TRY(flo_dir_make(store->folder, 0700, err));
    FLO_TRY(check_folder(store, err));
    FLO_TRY(lock_folder(store, err));
    FLO_TRY(each_entry(store, false, err));
    return each_entry(store, true, err);
}

void flo_batch_store_close(struct flo_batch_store *store)
{
    while (store->n_files > 0) {
        free(store->files[--store->n_files]);
    }
    while (store->n_batches > 0) {
        forget_batch(store, store->n_batches - 1);
    }
    flo_fd_cleanup(&store->lock_fd);
}
