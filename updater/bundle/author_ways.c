/* Downloads of one file: makes them in several forms (raw, compressed, deltas)
 * and measures them, keeps the useful ones, and hashes the file's chunks. */
#include "updater/bundle/author.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host/digest.h"

#define PIECE_BYTES (256u << 10)
#define CHUNK_BYTES_MIN (1u << 20)
#define CHUNK_BYTES_MAX (8u << 20)
/* Most chunk hashes of a file.  The chunks of a larger file become larger, so
 * that there are no more of them. */
#define CHUNKS_WANTED_MAX 400
/* Bytes of memory that a delta needs per byte of the old file, if it needs a
 * suffix array (beyond 2 GiB). */
#define DELTA_MEMORY 9

/* ---- files ---- */

static int open_nameless(const char *dir, int *fd, struct flo_err *err)
{
    int opened = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);

    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", dir);
    }
    *fd = opened;
    return 0;
}

/* Gives a nameless file the name "sha256-<digest>".  A file that has this name
 * already has the same bytes, which is no error. */
static int name_blob(const char *dir, int fd, const struct flo_digest *digest, struct flo_err *err)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char name[80];
    char path[PATH_MAX];
    char source[64];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    (void)snprintf(name, sizeof name, "sha256-%s", hex);
    (void)snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (!flo_path_join(path, sizeof path, dir, name)) {
        return flo_fail(err, FLO_E_IO_WRITE, "a path is too long");
    }
    if (fdatasync(fd) != 0 ||
        (linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0 && errno != EEXIST)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return 0;
}

/* ---- the result ---- */

/* Adds a blob that belongs to a file.  Returns NULL when memory is out. */
static struct flo_author_blob *add_blob(struct author_build *build,
                                        const struct flo_release_file *file, struct flo_err *err)
{
    struct flo_author_result *out = build->out;

    if (out->blob_count == out->blob_room) {
        size_t room = 2 * out->blob_room + 16;
        struct flo_author_blob *grown = realloc(out->blobs, room * sizeof *grown);
        if (grown == NULL) {
            flo_fail(err, FLO_E_MEMORY, "no memory for %zu blobs", room);
            return NULL;
        }
        out->blobs = grown;
        out->blob_room = room;
    }
    struct flo_author_blob *blob = &out->blobs[out->blob_count++];
    *blob = (struct flo_author_blob){.codec = FLO_CODEC_RAW};
    (void)snprintf(blob->file, sizeof blob->file, "%s", file->name);
    return blob;
}

/* ---- chunk hashes ---- */

static uint64_t choose_chunk_bytes(uint64_t bytes)
{
    uint64_t chunk_bytes = CHUNK_BYTES_MIN;

    while (bytes / chunk_bytes > CHUNKS_WANTED_MAX && chunk_bytes < CHUNK_BYTES_MAX) {
        chunk_bytes *= 2;
    }
    return bytes / chunk_bytes >= FLO_RELEASE_CHUNKS_MAX ? 0 : chunk_bytes;
}

static int hash_chunk(int fd, uint64_t offset, uint64_t bytes, struct flo_digest *out,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(PIECE_BYTES);
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};

    FLO_TRY(flo_sha256_init(&sha, err));
    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to hash");
    }
    while (bytes > 0) {
        size_t count = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(fd, piece, count, offset, err));
        flo_sha256_update(&sha, piece, count);
        offset += count;
        bytes -= count;
    }
    flo_sha256_final(&sha, out);
    return 0;
}

static int hash_chunks(int fd, const struct flo_release_file *file, struct flo_digest *out,
                       struct flo_err *err)
{
    int rv = 0;

    for (uint64_t offset = 0; rv == 0 && offset < file->bytes; offset += file->chunk_bytes) {
        uint64_t left = file->bytes - offset;
        rv =
            hash_chunk(fd, offset, left < file->chunk_bytes ? left : file->chunk_bytes, out++, err);
    }
    return rv;
}

/* Writes the list of chunk hashes as a blob. */
static int write_list(struct author_build *build, struct flo_release_file *file,
                      const struct flo_digest *chunks, size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_author_blob *blob = add_blob(build, file, err);

    if (blob == NULL) {
        return FLO_E_MEMORY;
    }
    flo_sha256(chunks, bytes, &file->chunk_list);
    blob->digest = file->chunk_list;
    blob->bytes = bytes;
    blob->is_chunk_list = true;
    blob->kept = true;
    FLO_TRY(open_nameless(build->out_dir, &fd, err));
    FLO_TRY(flo_fd_write_all(fd, chunks, bytes, err));
    return name_blob(build->out_dir, fd, &blob->digest, err);
}

int flo_author_add_chunks(struct author_build *build, struct flo_release_file *file, int fd,
                          struct flo_err *err)
{
    uint64_t chunk_bytes = choose_chunk_bytes(file->bytes);

    if (chunk_bytes == 0 || file->bytes <= chunk_bytes) {
        return 0; /* one chunk: the file's own digest is enough */
    }
    file->chunk_bytes = chunk_bytes;
    size_t count = flo_release_chunks(file);
    FLO_CLEANUP(flo_free_cleanup)
    struct flo_digest *chunks = malloc(count * sizeof *chunks);
    if (chunks == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the chunks");
    }
    FLO_TRY(hash_chunks(fd, file, chunks, err));
    return write_list(build, file, chunks, count * sizeof *chunks, err);
}

/* ---- ways ---- */

static struct flo_author_blob *add_made(struct author_build *build,
                                        const struct flo_release_file *file,
                                        const struct flo_delta_made *made, struct flo_err *err)
{
    struct flo_author_blob *blob = add_blob(build, file, err);

    if (blob != NULL) {
        blob->digest = made->digest;
        blob->bytes = made->bytes;
        blob->codec = made->codec;
        blob->create_ms = made->create_ms;
    }
    return blob;
}

static void add_way(struct flo_release_file *file, const struct flo_author_blob *blob,
                    const struct flo_delta_facts *facts)
{
    file->ways[file->way_count++] = (struct flo_way){.codec = blob->codec,
                                                     .digest = blob->digest,
                                                     .bytes = blob->bytes,
                                                     .base = blob->base,
                                                     .memory_bytes = facts->memory_bytes,
                                                     .head = facts->head};
}

static uint64_t best_full_bytes(const struct flo_release_file *file)
{
    uint64_t best = UINT64_MAX;

    for (uint32_t i = 0; i < file->way_count; i++) {
        if (flo_digest_is_zero(&file->ways[i].base) && file->ways[i].bytes < best) {
            best = file->ways[i].bytes;
        }
    }
    return best;
}

/* Tells whether a download is small enough to be kept.  zstd must save 3 % of
 * the file, a typed delta 10 % of the best full download.  A bsdiff40 patch
 * must save half of it, because devices apply it slowly. */
static bool is_worth(const struct flo_release_file *file, const struct flo_author_blob *blob)
{
    if (blob->codec == FLO_CODEC_RAW) {
        return true;
    }
    if (blob->codec == FLO_CODEC_ZSTD) {
        return blob->bytes <= file->bytes - file->bytes * 3 / 100;
    }
    uint64_t best = best_full_bytes(file);
    return blob->codec == FLO_CODEC_TENSOR1 ? blob->bytes <= best - best / 10
                                            : blob->bytes <= best / 2;
}

/* ---- making them ---- */

/* A task that makes one download, on a thread of its own. */
struct task {
    const struct author_build *build;
    int fd;             /* descriptor of the file, shared by all tasks */
    const char *choice; /* codec word for flo_delta_create */
    bool is_optional;   /* true: the download is left out if it cannot be made */
    int base_fd;        /* file that the delta starts from; -1: the download is no delta */
    uint64_t base_bytes;
    struct flo_digest base;
    const char *base_path;
    int patch_fd;
    struct flo_delta_made made;
    struct flo_err err;
    int rv;
    atomic_uint percent;
    uint64_t began_ms;
    atomic_bool is_done;
};

struct tasks {
    struct task list[2 + FLO_AUTHOR_BASES_MAX];
    size_t count;
    atomic_size_t next;
};

static void note_progress(void *context, uint64_t done, uint64_t total)
{
    struct task *task = context;

    atomic_store(&task->percent, (unsigned)(done * 100 / (total | 1)));
}

static void *make_some(void *context)
{
    struct tasks *tasks = context;
    size_t i;

    while ((i = atomic_fetch_add(&tasks->next, 1)) < tasks->count) {
        struct task *task = &tasks->list[i];
        struct flo_delta_making making = {.on_progress = note_progress, .context = task};
        task->began_ms = flo_now_ms();
        task->rv = open_nameless(task->build->out_dir, &task->patch_fd, &task->err);
        if (task->rv == 0) {
            task->rv = flo_delta_create(task->choice, task->base_fd < 0 ? task->fd : task->base_fd,
                                        task->fd, task->patch_fd, &making, &task->made, &task->err);
        }
        atomic_store(&task->is_done, true);
    }
    return NULL;
}

/* Tells whether all downloads are made.  Writes to `left` those that are not,
 * for people: "zstd, delta 45 % (about 12 s left)". */
static bool is_done(struct tasks *tasks, char *left, size_t bytes)
{
    size_t chars = 0;

    left[0] = '\0';
    for (size_t i = 0; i < tasks->count; i++) {
        struct task *task = &tasks->list[i];
        unsigned percent = atomic_load(&task->percent);
        if (atomic_load(&task->is_done) || chars >= bytes) {
            continue;
        }
        chars += (size_t)snprintf(left + chars, bytes - chars, "%s%s", chars == 0 ? "" : ", ",
                                  task->choice);
        if (percent > 0 && percent < 100 && chars < bytes) {
            uint64_t took_ms = flo_now_ms() - task->began_ms;
            chars +=
                (size_t)snprintf(left + chars, bytes - chars, " %u %% (about %" PRIu64 " s left)",
                                 percent, took_ms * (100 - percent) / percent / 1000);
        }
    }
    return left[0] == '\0';
}

/* Waits until a thread has ended, and meanwhile reports the unfinished
 * downloads each second. */
static void wait_for(const struct author_build *build, const char *file, struct tasks *tasks,
                     pthread_t thread, uint64_t began_ms)
{
    const struct flo_author *author = build->author;
    struct timespec until;
    char left[192], what[512];

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT) {
        until.tv_sec++;
        if (author->progress != NULL && !is_done(tasks, left, sizeof left)) {
            (void)snprintf(what, sizeof what, "%s: %s", file, left);
            author->progress(author->progress_context, what, (flo_now_ms() - began_ms) / 1000);
        }
    }
}

static uint64_t memory_available(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL &&
           sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return (uint64_t)kib << 10;
}

/* Returns the number of threads: one for each download, or a single one when
 * memory is too small to index all old files at once. */
static size_t threads_for(const struct tasks *tasks)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < tasks->count; i++) {
        bytes += tasks->list[i].base_bytes * DELTA_MEMORY;
    }
    return bytes <= memory_available() / 2 ? tasks->count : 1;
}

static int make_all(const struct author_build *build, const char *file, struct tasks *tasks,
                    struct flo_err *err)
{
    pthread_t threads[FLO_COUNT(tasks->list)];
    uint64_t began_ms = flo_now_ms();
    size_t wanted = threads_for(tasks), count = 0;

    while (count < wanted && pthread_create(&threads[count], NULL, make_some, tasks) == 0) {
        count++;
    }
    if (count == 0) {
        return flo_fail(err, FLO_E_MEMORY, "no thread to make the ways");
    }
    for (size_t i = 0; i < count; i++) {
        wait_for(build, file, tasks, threads[i], began_ms);
    }
    return 0;
}

/* ---- taking them ---- */

static int take_way(struct author_build *build, struct flo_release_file *file, struct task *task,
                    struct flo_err *err)
{
    /* Facts about the download; zeros for a raw file.  A raw file is not
     * inspected, because it may happen to begin as a patch does. */
    struct flo_delta_facts facts = {0};
    int rv = task->rv;

    if (rv < 0 && task->is_optional) {
        return 0;
    }
    if (rv < 0) {
        *err = task->err;
        return task->base_path == NULL ? rv : flo_wrap(err, rv, "delta from %s", task->base_path);
    }
    struct flo_author_blob *blob = add_made(build, file, &task->made, err);
    if (blob == NULL) {
        return FLO_E_MEMORY;
    }
    blob->base = task->base;
    if (!is_worth(file, blob)) {
        return 0;
    }
    if (blob->codec != FLO_CODEC_RAW) {
        FLO_TRY(flo_delta_inspect(task->patch_fd, &facts, err));
    }
    FLO_TRY(name_blob(build->out_dir, task->patch_fd, &blob->digest, err));
    blob->kept = true;
    add_way(file, blob, &facts);
    return 0;
}

static bool has_base(const struct tasks *tasks, const struct flo_release_file *file,
                     const struct flo_digest *base)
{
    for (size_t i = 0; i < tasks->count; i++) {
        if (flo_digest_equal(&tasks->list[i].base, base)) {
            return true;
        }
    }
    return flo_digest_equal(&file->digest, base); /* an equal file needs no delta */
}

/* Adds a delta from the file `base_path`, unless it equals the new file or the
 * base of another delta. */
static int add_delta(struct tasks *tasks, const struct flo_release_file *file,
                     const struct task *standard, const char *base_path, struct flo_err *err)
{
    struct task *task = &tasks->list[tasks->count];
    int rv;

    *task = *standard;
    task->base_path = base_path;
    rv = flo_file_open(base_path, &task->base_fd, err);
    if (rv == 0) {
        rv = flo_sha256_fd(task->base_fd, &task->base, &task->base_bytes, err);
    }
    if (rv < 0 || has_base(tasks, file, &task->base)) {
        flo_fd_cleanup(&task->base_fd);
        task->base_fd = -1;
        return rv;
    }
    tasks->count++;
    return 0;
}

/* Returns the nearest file of role `model` after `from`, or before it with a
 * `step` of -1, that is on this disk and not published yet.  Returns NULL when
 * there is none. */
static const struct flo_author_file *next_model(const struct flo_author *author, size_t from,
                                                int step)
{
    for (size_t i = from + (size_t)step; i < author->file_count; i += (size_t)step) {
        const struct flo_author_file *file = &author->files[i];
        if (strcmp(file->role, "model") == 0 && file->published == NULL && file->path[0] != '\0') {
            return file;
        }
    }
    return NULL;
}

/* Adds deltas from the models before and after this one in the list, for
 * devices that switch from another variant. */
static int add_variants(struct tasks *tasks, struct author_build *build,
                        const struct flo_author_file *source, const struct flo_release_file *file,
                        const struct task *standard, struct flo_err *err)
{
    const struct flo_author *author = build->author;
    size_t at = (size_t)(source - author->files);
    struct task optional = *standard;
    int rv = 0;

    optional.choice = "tensor1";
    optional.is_optional = true;
    for (int step = -1; rv == 0 && step <= 1; step += 2) {
        const struct flo_author_file *other = next_model(author, at, step);
        if (other != NULL && strcmp(source->role, "model") == 0 &&
            tasks->count < FLO_COUNT(tasks->list)) {
            rv = add_delta(tasks, file, &optional, other->path, err);
        }
    }
    return rv;
}

int flo_author_make_ways(struct author_build *build, const struct flo_author_file *source,
                         struct flo_release_file *file, int fd, struct flo_err *err)
{
    struct tasks tasks = {.count = 2};
    const struct task standard = {
        .build = build, .fd = fd, .choice = "delta", .base_fd = -1, .patch_fd = -1};
    int rv = 0;

    tasks.list[0] = tasks.list[1] = standard;
    tasks.list[0].choice = "raw";
    tasks.list[1].choice = "zstd";
    for (size_t i = 0; rv == 0 && i < source->base_count; i++) {
        rv = add_delta(&tasks, file, &standard, source->base_paths[i], err);
    }
    if (rv == 0) {
        rv = add_variants(&tasks, build, source, file, &standard, err);
    }
    if (rv == 0) {
        rv = make_all(build, file->name, &tasks, err);
    }
    for (size_t i = 0; rv == 0 && i < tasks.count; i++) {
        rv = take_way(build, file, &tasks.list[i], err);
    }
    for (size_t i = 0; i < tasks.count; i++) {
        flo_fd_cleanup(&tasks.list[i].patch_fd);
        flo_fd_cleanup(&tasks.list[i].base_fd);
    }
    return rv;
}
