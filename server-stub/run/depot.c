/* Depot: the threads that copy artifacts, and their requests to the store. */
#include "server-stub/run/depot.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/lead.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/process.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/host/http_client.h"
#include "base/host/steady.h"
#include "base/host/wake.h"

#define THREADS 3 /* number of the depot's threads; the first one only uploads */
#define JOBS_MAX 1024
/* largest number of waiting downloads; the other places are reserved for
 * uploads */
#define GETS_MAX 768
#define TRIES 3
#define PAUSE_MS 1000       /* first pause after a failure; it doubles with each further failure */
#define LOOK_PAUSE_MS 60000 /* longest pause between checks of the store while it fails */
#define LOOK_AGAIN_MS 3600000
#define ROOM_KEPT (UINT64_C(256) << 20) /* bytes of disk space that downloads leave free */
/* number of bytes after which the disk's free space is checked again */
#define ROOM_BYTES (UINT64_C(8) << 20)
#define PROBE "flotilla keeps artifacts here\n"
#define BYTES_MAX (UINT64_C(64) << 30) /* size limit of a download if no release states a size */
#define GET_STALLED_MS 10000           /* longest pause of a client that reads a download */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Bits for the kinds of requests to the store.  A bit is set when a request of
 * its kind failed, and cleared when one succeeded. */
enum kind { A_PUT = 1, A_GET = 2, A_LOOK = 4 };

struct hand {
    struct flo_depot_threads *threads;
    struct flo_http *http;
    struct flo_depot_job *job; /* job that this thread works on; guarded by the mutex */
    int queue;                 /* index of the queue that this thread serves first */
    bool is_final;             /* the store's last answer was final, so no retry helps */
};

struct flo_depot_threads {
    struct flo_depot depot;
    atomic_uint failing; /* a bit for each kind of job whose last try failed; 0: none */
    atomic_bool has_all; /* the store had all files of DIR/blobs at the last check */
    char url[512], ca_file[4096], folder[4096];
    struct flo_depot_keys keys;
    pthread_t threads[THREADS + 1];
    struct hand hands[THREADS + 1];
    size_t thread_count;
    struct event *event;
    int wake_fd;
    pthread_mutex_t mutex; /* guards the members that follow it */
    pthread_cond_t work;
    struct flo_depot_job *first[2], **last[2]; /* queues of jobs: uploads, then downloads */
    struct flo_depot_job *done;
    size_t count[2]; /* number of unfinished jobs of each queue */
    bool ends;
};

/* ---- keys ---- */

int flo_depot_keys_read(const char *path, struct flo_depot_keys *out, struct flo_err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    int end = -1;
    int rv = flo_secret_read(path, 2048, &text, &bytes, err);

    *out = (struct flo_depot_keys){.bearer = ""};
    if (rv < 0) {
        return flo_wrap(err, rv, "--blobs-keys");
    }
    if (sscanf(text, "s3 %64s %128s %256s %n", out->region, out->access_key, out->secret_key,
               &end) != 3) {
        out->region[0] = '\0';
        (void)sscanf(text, "bearer %1024s %n", out->bearer, &end);
    }
    if (end < 0 || text[end] != '\0' || strlen(text) != bytes) {
        rv = flo_fail(err, FLO_E_CFG_RANGE,
                      "--blobs-keys %s: `bearer TOKEN` or `s3 REGION "
                      "ACCESS-KEY SECRET-KEY` belongs there",
                      path);
    }
    flo_secret_wipe(text, bytes);
    free(text);
    return rv;
}

/* Tells whether the text is a port, perhaps with a path, so that the URL cannot
 * mean another host. */
static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 5 && (text[digits] == '\0' || text[digits] == '/');
}

/* Checks the URL of a depot.  A refused URL is not shown, because it may have a
 * password. */
int flo_depot_url_check(const char *url, struct flo_err *err)
{
    static const char *const near[] = {"http://127.0.0.1:", "http://localhost:", "http://[::1]:"};
    bool is_good = strncmp(url, "https://", 8) == 0 && strcspn(url + 8, "/@\\") > 0;

    for (size_t i = 0; i < FLO_COUNT(near) && !is_good; i++) {
        is_good = strncmp(url, near[i], strlen(near[i])) == 0 && is_port(url + strlen(near[i]));
    }
    if (is_good && strlen(url) <= 400 && strpbrk(url, "?#@\\ ") == NULL) {
        return 0;
    }
    return flo_fail(err, FLO_E_USAGE,
                    "--blobs-store is no https:// address of at most 400 "
                    "characters without a name, a password or a query, nor "
                    "http:// with a port of this machine");
}

/* ---- a call ---- */

struct transfer {
    struct flo_depot_threads *threads;
    struct flo_sha256 sha;
    uint64_t bytes;
    uint64_t bytes_max; /* largest number of bytes of an answer; the rest is cut off */
    uint64_t looked;    /* number of bytes transferred at the last check of the
                           disk's free space */
    int fd;             /* file that is sent or written; -1: only the digest is wanted */
    bool is_stated;     /* bytes_max is a size that a release states; false: it is BYTES_MAX */
    bool is_too_large;
    struct flo_err *err;
};

static uint64_t bytes_to_come(const struct transfer *transfer)
{
    return transfer->is_stated ? transfer->bytes_max - transfer->bytes : 0;
}

/* Refuses to begin a file if the disk has too little room for it. */
static int check_room(struct transfer *transfer)
{
    uint64_t left = flo_fd_disk_free(transfer->fd);
    uint64_t needed = ROOM_KEPT + bytes_to_come(transfer);

    transfer->looked = transfer->bytes;
    return left >= needed
               ? 0
               : flo_fail(transfer->err, FLO_E_DISK_FULL,
                          "%llu bytes are free for copies of artifacts; %llu "
                          "are to come, and %llu are kept",
                          (unsigned long long)left, (unsigned long long)bytes_to_come(transfer),
                          (unsigned long long)ROOM_KEPT);
}

static bool ends(struct flo_depot_threads *threads)
{
    pthread_mutex_lock(&threads->mutex);
    bool ends = threads->ends;
    pthread_mutex_unlock(&threads->mutex);
    return ends;
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct transfer *transfer = context;

    (void)done, (void)total;
    return ends(transfer->threads) ? FLO_E_STATE : 0;
}

static int on_data(void *context, const void *data, size_t bytes)
{
    struct transfer *transfer = context;

    if (bytes > transfer->bytes_max - transfer->bytes) {
        transfer->is_too_large = true;
        return FLO_E_NET_CONTENT;
    }
    transfer->bytes += bytes;
    flo_sha256_update(&transfer->sha, data, bytes);
    if (transfer->fd < 0) {
        return 0;
    }
    FLO_TRY(transfer->looked == 0 || transfer->bytes - transfer->looked >= ROOM_BYTES
                ? check_room(transfer)
                : 0);
    return flo_fd_write_all(transfer->fd, data, bytes, transfer->err);
}

/* Writes an error of a request for people and devices, without the store's
 * address. */
static int fail_call(const struct transfer *transfer, int rv, struct flo_err *err)
{
    const struct flo_depot_threads *threads = transfer->threads;
    struct flo_err cause = *err;

    if (rv == FLO_E_DISK_FULL || rv == FLO_E_IO_WRITE) {
        return rv;
    }
    if (transfer->is_too_large) {
        *err = (struct flo_err){0};
        return flo_fail(err, FLO_E_NET_CONTENT,
                        "the store of artifacts gave more than the %llu bytes "
                        "of that artifact",
                        (unsigned long long)transfer->bytes_max);
    }
    flo_log(FLO_LOG_WARN, "blobs", "%s: %s", threads->url, cause.what);
    *err = (struct flo_err){0};
    return flo_fail(err, rv,
                    "the store of artifacts could not be asked; the "
                    "controller's log has the cause");
}

/* Makes a request to the store.  `fd` has the data that a PUT sends, or
 * receives those that a GET fetches. */
static int call(struct transfer *transfer, struct hand *hand, const char *method,
                const struct flo_digest *digest, int fd, struct flo_http_answer *answer,
                struct flo_err *err)
{
    struct flo_depot_threads *threads = transfer->threads;
    bool is_put = strcmp(method, "PUT") == 0;
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char url[640], sum[128];
    const char *headers[] = {threads->keys.region[0] != '\0' ? sum : NULL, NULL};

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    snprintf(url, sizeof(url), "%s%ssha256-%s", threads->url,
             threads->url[strlen(threads->url) - 1] == '/' ? "" : "/", hex);
    snprintf(sum, sizeof(sum), "x-amz-content-sha256: %s", is_put ? hex : EMPTY_SHA256);
    transfer->err = err;
    const struct flo_http_request request = {.method = method,
                                             .url = url,
                                             .headers = headers,
                                             .body_fd = is_put ? fd : 0,
                                             .content_type = "application/octet-stream",
                                             .low_speed_ms = is_put ? 0 : GET_STALLED_MS,
                                             .on_data = is_put ? NULL : on_data,
                                             .on_progress = on_progress,
                                             .context = transfer};
    int rv = flo_http_call(hand->http, &request, answer, err);
    hand->is_final = transfer->is_too_large ||
                     (rv == 0 && answer->status >= 300 && !flo_http_is_passing(0, answer));
    if (rv < 0) {
        rv = fail_call(transfer, rv, err);
    } else if (answer->status == 404 && !is_put) {
        rv = flo_fail(err, FLO_E_BLOB_ABSENT, "the store of artifacts has no sha256:%s", hex);
    } else if (answer->status < 200 || answer->status > 299) {
        rv =
            flo_fail(err, FLO_E_NET_STATUS, "the store of artifacts answered %d to %s of sha256:%s",
                     answer->status, method, hex);
    }
    flo_buf_deinit(&answer->body);
    return rv;
}

static int open_client(struct flo_depot_threads *threads, struct flo_http **out,
                       struct flo_err *err)
{
    const struct flo_depot_keys *keys = &threads->keys;
    const struct flo_http_options options = {
        .ca_file = threads->ca_file[0] != '\0' ? threads->ca_file : NULL,
        .bearer = keys->bearer[0] != '\0' ? keys->bearer : NULL,
        .s3_region = keys->region[0] != '\0' ? keys->region : NULL,
        .s3_access_key = keys->access_key,
        .s3_secret_key = keys->secret_key};

    return flo_http_open(&options, out, err);
}

/* Downloads a blob and compares it with its digest.  `bytes_max` is 0 if no
 * release states a size. */
static int read_back(struct hand *hand, const struct flo_digest *digest, uint64_t bytes_max, int fd,
                     struct flo_err *err)
{
    struct transfer transfer = {.threads = hand->threads,
                                .bytes_max = bytes_max != 0 ? bytes_max : BYTES_MAX,
                                .is_stated = bytes_max != 0,
                                .fd = fd};
    struct flo_http_answer answer = {0};
    struct flo_digest found;

    FLO_TRY(flo_sha256_init(&transfer.sha, err));
    int rv = call(&transfer, hand, "GET", digest, fd, &answer, err);
    flo_sha256_final(&transfer.sha, &found);
    flo_sha256_deinit(&transfer.sha);
    FLO_TRY(rv);
    return flo_digest_equal(&found, digest)
               ? rv
               : flo_fail(err, FLO_E_NET_CONTENT,
                          "the store of artifacts gave %llu other bytes under "
                          "that name",
                          (unsigned long long)transfer.bytes);
}

/* ---- there ---- */

/* Finds out whether the store has a blob of that length.  Its bytes are not
 * compared, because that was done at the upload. */
static int is_there(struct hand *hand, const struct flo_digest *digest, uint64_t bytes, bool *out,
                    struct flo_err *err)
{
    struct transfer transfer = {.threads = hand->threads, .fd = -1};
    struct flo_http_answer answer = {0};
    int rv = call(&transfer, hand, "HEAD", digest, -1, &answer, err);

    *out = rv == 0 && answer.content_bytes == bytes;
    return rv == FLO_E_BLOB_ABSENT ? 0 : rv;
}

static int put(struct hand *hand, const struct flo_digest *digest, int fd, struct flo_err *err)
{
    struct transfer transfer = {.threads = hand->threads, .fd = -1};
    struct flo_http_answer answer = {0};
    struct stat st;
    int rv = call(&transfer, hand, "PUT", digest, fd, &answer, err);

    if (rv == 0 && fstat(fd, &st) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_READ, "artifact");
    }
    FLO_TRY(rv);
    return read_back(hand, digest, (uint64_t)st.st_size, -1, err);
}

/* Writes and reads a small object, so that the store is tested even without
 * artifacts. */
static int put_probe(struct hand *hand, struct flo_err *err)
{
    struct flo_digest digest;
    int fd = memfd_create("probe", MFD_CLOEXEC);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "memory for a probe");
    }
    flo_sha256(PROBE, strlen(PROBE), &digest);
    int rv = flo_fd_write_all(fd, PROBE, strlen(PROBE), err);
    if (rv == 0) {
        rv = put(hand, &digest, fd, err);
    }
    close(fd);
    return rv;
}

/* ---- and back ---- */

static int get(struct hand *hand, const struct flo_digest *digest, uint64_t bytes_max,
               const char *path, struct flo_err *err)
{
    const char *folder = hand->threads->folder;
    char temporary[4096 + 64];

    snprintf(temporary, sizeof(temporary), "%s/.upload-XXXXXX", folder);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", temporary);
    }
    int rv = read_back(hand, digest, bytes_max, fd, err);
    if (rv == 0 && (fchmod(fd, 0644) < 0 || fdatasync(fd) < 0 || rename(temporary, path) < 0)) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    close(fd);
    if (rv < 0) {
        (void)unlink(temporary);
    }
    FLO_TRY(rv);
    return flo_dir_sync(folder, err);
}

/* ---- the threads ---- */

/* Pauses for `ms`.  Returns false when this process ends. */
static bool pause_for(struct flo_depot_threads *threads, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    pthread_mutex_lock(&threads->mutex);
    int rv = 0;
    while (!threads->ends && rv == 0) {
        rv = pthread_cond_timedwait(&threads->work, &threads->mutex, &until);
    }
    bool goes_on = !threads->ends;
    pthread_mutex_unlock(&threads->mutex);
    return goes_on;
}

static void note(struct flo_depot_threads *threads, enum kind kind, int rv,
                 const struct flo_err *err)
{
    bool is_absent = kind == A_GET && rv == FLO_E_BLOB_ABSENT;
    unsigned bit = (unsigned)kind;

    if (rv < 0 && !is_absent) {
        flo_log(FLO_LOG_WARN, "blobs", "%s", err->what);
    }
    if (rv < 0 && !is_absent && rv != FLO_E_DISK_FULL) {
        (void)atomic_fetch_or(&threads->failing, bit);
    } else if (rv == 0 && atomic_fetch_and(&threads->failing, ~bit) == bit) {
        flo_log(FLO_LOG_INFO, "blobs", "%s answers again", threads->url);
    }
}

/* Uploads a file and checks it.  A file with that name in the store proves
 * nothing, so the upload is always made. */
static int take_in(struct hand *hand, const struct flo_depot_job *job, struct flo_err *err)
{
    int fd = open(job->from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", job->from);
    }
    int rv = put(hand, &job->digest, fd, err);
    close(fd);
    if (rv == 0 && rename(job->from, job->path) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", job->path);
    }
    FLO_TRY(rv);
    return flo_dir_sync(hand->threads->folder, err);
}

/* Tells whether nobody waits any more for a download, nor for a later job of
 * its digest.  The mutex is taken, because such jobs may arrive until the
 * download is done. */
static bool is_left(struct flo_depot_threads *threads, const struct flo_depot_job *job)
{
    bool is_left = job->what == FLO_DEPOT_GET;

    pthread_mutex_lock(&threads->mutex);
    for (const struct flo_depot_job *one = job; one != NULL; one = one->same) {
        is_left = is_left && atomic_load(&one->is_left);
    }
    pthread_mutex_unlock(&threads->mutex);
    return is_left;
}

static int try_once(struct hand *hand, struct flo_depot_job *job, struct flo_err *err)
{
    struct flo_depot_threads *threads = hand->threads;
    bool is_put = job->what == FLO_DEPOT_PUT;

    hand->is_final = false;
    if (!is_put && access(job->path, F_OK) == 0) {
        return 0; /* Another job stored the file already. */
    }
    int rv =
        is_put ? take_in(hand, job, err) : get(hand, &job->digest, job->bytes_max, job->path, err);
    note(threads, is_put ? A_PUT : A_GET, rv, err);
    return rv;
}

static void carry_out(struct hand *hand, struct flo_depot_job *job)
{
    struct flo_depot_threads *threads = hand->threads;
    uint64_t pause_ms = PAUSE_MS;
    struct flo_err err = {0};

    for (int i = 0; i < TRIES; i++) {
        err = (struct flo_err){0};
        if (is_left(threads, job)) {
            flo_fail(&err, FLO_E_REST_LIMIT, "nobody waited for it: ask again");
            break;
        }
        int rv = try_once(hand, job, &err);
        if (rv == 0 || rv == FLO_E_DISK_FULL || hand->is_final || i + 1 == TRIES ||
            !pause_for(threads, pause_ms)) {
            break;
        }
        pause_ms *= 2;
    }
    job->err = err;
    if (job->what == FLO_DEPOT_PUT) {
        (void)unlink(job->from);
    }
}

/* Finishes all jobs with the digest of this job.  Called with the mutex. */
static void tell(struct flo_depot_threads *threads, struct flo_depot_job *job)
{
    const struct flo_err err = job->err;

    while (job != NULL) {
        struct flo_depot_job *same = job->same;
        job->err = err;
        job->next = threads->done;
        threads->done = job;
        job = same;
    }
    flo_wake_poke(threads->wake_fd);
}

/* Takes the first job of a queue; NULL: the queue is empty.  Called with the
 * mutex. */
static struct flo_depot_job *take_job(struct flo_depot_threads *threads, int queue)
{
    struct flo_depot_job *job = threads->first[queue];

    if (job != NULL) {
        threads->first[queue] = job->next;
        if (job->next == NULL) {
            threads->last[queue] = &threads->first[queue];
        }
    }
    return job;
}

static void *work(void *context)
{
    struct hand *hand = context;
    struct flo_depot_threads *threads = hand->threads;
    struct flo_err err = {0};

    if (open_client(threads, &hand->http, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
        return NULL;
    }
    pthread_mutex_lock(&threads->mutex);
    while (!threads->ends) {
        hand->job = take_job(threads, hand->queue);
        if (hand->job == NULL && hand->queue == FLO_DEPOT_GET) {
            hand->job = take_job(threads, FLO_DEPOT_PUT);
        }
        if (hand->job == NULL) {
            pthread_cond_wait(&threads->work, &threads->mutex);
            continue;
        }
        pthread_mutex_unlock(&threads->mutex);
        carry_out(hand, hand->job);
        pthread_mutex_lock(&threads->mutex);
        tell(threads, hand->job);
        hand->job = NULL;
    }
    pthread_mutex_unlock(&threads->mutex);
    flo_http_close(hand->http);
    return NULL;
}

/* Compares a local copy with its digest, because a damaged copy must not
 * replace a good one. */
static int check_copy(const char *name, const char *path, int fd, const struct flo_digest *digest,
                      bool *is_whole, struct flo_err *err)
{
    char aside[4096 + 300];
    struct flo_digest found;
    int rv = flo_sha256_fd(fd, &found, NULL, err);

    *is_whole = rv == 0 && flo_digest_equal(&found, digest);
    FLO_TRY(rv);
    if (*is_whole) {
        return rv;
    }
    snprintf(aside, sizeof(aside), "%.*sdamaged-%s", (int)(strlen(path) - strlen(name)), path,
             name);
    flo_log(FLO_LOG_ERROR, "blobs", "%s has other bytes than its name says: it is %s from now on",
            path, aside);
    return rename(path, aside) == 0 ? 0 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", aside);
}

static int bring(struct hand *hand, const char *name, struct flo_err *err)
{
    char path[4096 + 256];
    struct flo_digest digest;
    struct stat st;
    bool is_done = false;
    bool is_whole = false;

    if (strncmp(name, "sha256-", 7) != 0 || strlen(name) != 7 + 2 * FLO_DIGEST_BYTES ||
        !flo_hex_decode(name + 7, digest.bytes, FLO_DIGEST_BYTES)) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s/%s", hand->threads->folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        flo_fd_cleanup(&fd); /* The file was deleted meanwhile, or is no regular file. */
        return 0;
    }
    int rv = is_there(hand, &digest, (uint64_t)st.st_size, &is_done, err);
    if (rv == 0 && !is_done) {
        rv = check_copy(name, path, fd, &digest, &is_whole, err);
    }
    if (rv == 0 && is_whole) {
        rv = put(hand, &digest, fd, err);
    }
    close(fd);
    return rv;
}

/* Uploads all files that the store lacks.  The failure of one file does not
 * stop the others. */
static int bring_all(struct hand *hand, struct flo_err *err)
{
    const struct dirent *entry;
    int rv = 0;
    DIR *dir = opendir(hand->threads->folder);

    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", hand->threads->folder);
    }
    while (!ends(hand->threads) && (entry = readdir(dir)) != NULL) {
        struct flo_err failed = {0};
        if (bring(hand, entry->d_name, &failed) < 0 && rv == 0) {
            *err = failed;
            rv = failed.code;
        }
    }
    closedir(dir);
    return rv;
}

/* Uploads files that are older than the depot, or that arrived while the store
 * failed. */
static int look_through(struct hand *hand)
{
    struct flo_depot_threads *threads = hand->threads;
    struct flo_err err = {0};
    int rv = put_probe(hand, &err);

    if (rv == 0) {
        note(threads, A_PUT, 0, NULL);
        note(threads, A_GET, 0, NULL);
        rv = bring_all(hand, &err);
    }
    if (ends(threads)) {
        return rv;
    }
    note(threads, A_LOOK, rv, &err);
    atomic_store(&threads->has_all, rv == 0);
    return rv;
}

static void *look(void *context)
{
    struct hand *hand = context;
    struct flo_depot_threads *threads = hand->threads;
    struct flo_err err = {0};
    uint64_t last_ms = 0, pause_ms = 0;
    bool is_due = true;

    if (open_client(threads, &hand->http, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
        return NULL;
    }
    do {
        uint64_t passed_ms = flo_now_ms() - last_ms;
        bool is_failing = atomic_load(&threads->failing) != 0;
        if (!is_due && passed_ms < (is_failing ? pause_ms : LOOK_AGAIN_MS)) {
            continue;
        }
        pause_ms = is_due || passed_ms > LOOK_PAUSE_MS ? PAUSE_MS
                   : 2 * pause_ms > LOOK_PAUSE_MS      ? LOOK_PAUSE_MS
                                                       : 2 * pause_ms;
        (void)!look_through(hand);
        is_due = false;
        last_ms = flo_now_ms();
    } while (pause_for(threads, PAUSE_MS));
    flo_http_close(hand->http);
    return NULL;
}

/* ---- for the state's thread ---- */

/* Finds a waiting or running job with this digest.  Called with the mutex. */
static struct flo_depot_job *find_same(struct flo_depot_threads *threads,
                                       const struct flo_depot_job *job)
{
    if (job->what != FLO_DEPOT_GET) {
        return NULL;
    }
    for (size_t i = 0; i < THREADS; i++) {
        struct flo_depot_job *at = threads->hands[i].job;
        if (at != NULL && at->what == job->what && flo_digest_equal(&at->digest, &job->digest)) {
            return at;
        }
    }
    struct flo_depot_job *at = threads->first[job->what];
    while (at != NULL && !flo_digest_equal(&at->digest, &job->digest)) {
        at = at->next;
    }
    return at;
}

static int ask(void *self, struct flo_depot_job *job, struct flo_err *err)
{
    struct flo_depot_threads *threads = self;
    int most = job->what == FLO_DEPOT_GET ? GETS_MAX : JOBS_MAX - GETS_MAX;

    pthread_mutex_lock(&threads->mutex);
    bool fits = threads->count[job->what] < (size_t)most;
    struct flo_depot_job *same = fits ? find_same(threads, job) : NULL;
    job->next = NULL;
    threads->count[job->what] += fits;
    if (same != NULL) {
        job->same = same->same;
        same->same = job;
    } else if (fits) {
        *threads->last[job->what] = job;
        threads->last[job->what] = &job->next;
        /* all threads are woken, because the one that only checks the store
         * waits for this condition, too */
        pthread_cond_broadcast(&threads->work);
    }
    pthread_mutex_unlock(&threads->mutex);
    if (fits) {
        return 0;
    }
    free(job);
    flo_fail(err, FLO_E_REST_LIMIT, "%d artifacts wait for their store already", most);
    return flo_err_fix(err, "ask again soon");
}

static void on_done(evutil_socket_t fd, short what, void *context)
{
    struct flo_depot_threads *threads = context;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&threads->mutex);
    struct flo_depot_job *job = threads->done;
    threads->done = NULL;
    pthread_mutex_unlock(&threads->mutex);
    while (job != NULL) {
        struct flo_depot_job *next = job->next;
        enum flo_depot_what kind = job->what;
        if (job->context != NULL) {
            job->done(job->context, job, &job->err);
        }
        free(job);
        pthread_mutex_lock(&threads->mutex);
        threads->count[kind]--;
        pthread_mutex_unlock(&threads->mutex);
        job = next;
    }
}

static bool is_failing(const void *self)
{
    const struct flo_depot_threads *threads = self;

    return atomic_load(&threads->failing) != 0;
}

static bool has_all(const void *self)
{
    const struct flo_depot_threads *threads = self;

    return atomic_load(&threads->has_all);
}

struct flo_depot *flo_depot_of(struct flo_depot_threads *threads)
{
    return &threads->depot;
}

/* ---- opening ---- */

static int start(struct flo_depot_threads *threads, struct event_base *base, struct flo_err *err)
{
    threads->event = threads->wake_fd < 0 ? NULL
                                          : event_new(base, threads->wake_fd, EV_READ | EV_PERSIST,
                                                      on_done, threads);
    if (threads->event == NULL || event_add(threads->event, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "depot");
    }
    for (size_t i = 0; i <= THREADS; i++) {
        threads->hands[i] =
            (struct hand){.threads = threads, .queue = i == 0 ? FLO_DEPOT_PUT : FLO_DEPOT_GET};
        if (pthread_create(&threads->threads[i], NULL, i < THREADS ? work : look,
                           &threads->hands[i]) != 0) {
            return flo_fail(err, FLO_E_PROCESS, "the depot's thread");
        }
        threads->thread_count++;
    }
    return 0;
}

int flo_depot_open(const struct flo_depot_options *options, struct event_base *base,
                   struct flo_depot_threads **out, struct flo_err *err)
{
    struct flo_depot_threads *threads = calloc(1, sizeof(*threads));

    if (threads == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "depot");
    }
    threads->depot = (struct flo_depot){
        .ask = ask, .is_failing = is_failing, .has_all = has_all, .self = threads};
    threads->last[0] = &threads->first[0];
    threads->last[1] = &threads->first[1];
    pthread_mutex_init(&threads->mutex, NULL);
    flo_steady_init(&threads->work);
    threads->wake_fd = flo_wake_open();
    snprintf(threads->url, sizeof(threads->url), "%s", options->url);
    snprintf(threads->ca_file, sizeof(threads->ca_file), "%s",
             options->ca_file != NULL ? options->ca_file : "");
    int rv = flo_path_join(threads->folder, sizeof(threads->folder), options->dir, "blobs")
                 ? 0
                 : flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    if (rv == 0 && options->keys_or_null != NULL) {
        rv = flo_depot_keys_read(options->keys_or_null, &threads->keys, err);
    }
    if (rv == 0) {
        rv = start(threads, base, err);
    }
    if (rv < 0) {
        flo_depot_close(threads);
        return rv;
    }
    *out = threads;
    return 0;
}

void flo_depot_close(struct flo_depot_threads *threads)
{
    if (threads == NULL) {
        return;
    }
    pthread_mutex_lock(&threads->mutex);
    threads->ends = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->mutex);
    for (size_t i = 0; i < threads->thread_count; i++) {
        pthread_join(threads->threads[i], NULL);
    }
    struct flo_depot_job *job;
    while ((job = take_job(threads, FLO_DEPOT_PUT)) != NULL ||
           (job = take_job(threads, FLO_DEPOT_GET)) != NULL) {
        flo_fail(&job->err, FLO_E_LEAD_NONE, "this controller ends");
        tell(threads, job);
    }
    if (threads->event != NULL) {
        on_done(threads->wake_fd, 0, threads);
        event_free(threads->event);
    }
    flo_fd_cleanup(&threads->wake_fd);
    pthread_cond_destroy(&threads->work);
    pthread_mutex_destroy(&threads->mutex);
    flo_secret_wipe(&threads->keys, sizeof(threads->keys));
    free(threads);
}
