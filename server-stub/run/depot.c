/* Depot: its threads, and what they ask the store. */
#include "server-stub/run/depot.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/host/http_client.h"
#include "base/host/wake.h"

#define THREADS 2
#define JOBS_MAX 1024
#define TRIES 3
#define PAUSE_MS 1000       /* twice as long each time */
#define LOOK_PAUSE_MS 60000 /* between two looks through the folder */
#define BYTES_MAX (UINT64_C(64) << 30)
#define EMPTY_SHA256                                                           \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct flo_depot_threads {
    struct flo_depot depot;
    char url[512], ca_file[4096], folder[4096];
    struct flo_depot_keys keys;
    pthread_t threads[THREADS + 1];
    size_t thread_count;
    struct event *event;
    int wake_fd;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t work;
    struct flo_depot_job *first, **last;
    struct flo_depot_job *done;
    size_t count; /* of all that are not told yet */
    bool ends;
};

/* ---- keys ---- */

int flo_depot_keys_read(const char *path, struct flo_depot_keys *out,
                        struct flo_err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    int end = -1;
    int rv = flo_secret_read(path, 2048, &text, &bytes, err);

    *out = (struct flo_depot_keys){.bearer = ""};
    if (rv < 0) {
        return flo_wrap(err, rv, "--blobs-keys");
    }
    if (sscanf(text, "s3 %64s %128s %256s %n", out->region, out->access_key,
               out->secret_key, &end) != 3) {
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

int flo_depot_url_check(const char *url, struct flo_err *err)
{
    static const char *const good[] = {
        "https://", "http://127.0.0.1:", "http://localhost:", "http://[::1]:"};

    for (size_t i = 0; i < FLO_COUNT(good) && strlen(url) <= 400; i++) {
        if (strncmp(url, good[i], strlen(good[i])) == 0 &&
            strchr(url, '?') == NULL && strchr(url, '#') == NULL) {
            return 0;
        }
    }
    return flo_fail(err, FLO_E_USAGE,
                    "--blobs-store `%.100s` is no https:// address of at most "
                    "400 characters, nor http:// with a port of this machine",
                    url);
}

/* ---- a call ---- */

struct transfer {
    struct flo_depot_threads *threads;
    struct flo_sha256 sha;
    uint64_t bytes;
    int fd; /* -1: only the digest is of interest */
    struct flo_err *err;
};

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

    transfer->bytes += bytes;
    if (transfer->bytes > BYTES_MAX) {
        return FLO_E_REST_TOO_LARGE;
    }
    flo_sha256_update(&transfer->sha, data, bytes);
    return transfer->fd < 0
               ? 0
               : flo_fd_write_all(transfer->fd, data, bytes, transfer->err);
}

/* `fd` of a PUT is what is sent; of a GET, where it goes. */
static int call(struct transfer *transfer, struct flo_http *http,
                const char *method, const struct flo_digest *digest, int fd,
                struct flo_http_answer *answer, struct flo_err *err)
{
    struct flo_depot_threads *threads = transfer->threads;
    bool is_put = strcmp(method, "PUT") == 0;
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char url[640], sum[128];
    const char *headers[] = {threads->keys.region[0] != '\0' ? sum : NULL,
                             NULL};

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    snprintf(url, sizeof(url), "%s%ssha256-%s", threads->url,
             threads->url[strlen(threads->url) - 1] == '/' ? "" : "/", hex);
    snprintf(sum, sizeof(sum), "x-amz-content-sha256: %s",
             is_put ? hex : EMPTY_SHA256);
    transfer->err = err;
    const struct flo_http_request request = {.method = method,
                                             .url = url,
                                             .headers = headers,
                                             .body_fd = is_put ? fd : 0,
                                             .content_type =
                                                 "application/octet-stream",
                                             .on_data = is_put ? NULL : on_data,
                                             .on_progress = on_progress,
                                             .context = transfer};
    int rv = flo_http_call(http, &request, answer, err);
    if (rv == 0 && answer->status == 404) {
        rv = flo_fail(err, FLO_E_BLOB_ABSENT, "%s has no sha256:%s",
                      threads->url, hex);
    } else if (rv == 0 && (answer->status < 200 || answer->status > 299)) {
        rv = flo_fail(err, FLO_E_NET_STATUS,
                      "%s answered %d to %s of "
                      "sha256:%s",
                      threads->url, answer->status, method, hex);
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

/* Read it, and compare what came with its name. */
static int read_back(struct flo_depot_threads *threads, struct flo_http *http,
                     const struct flo_digest *digest, int fd,
                     struct flo_err *err)
{
    struct transfer transfer = {.threads = threads, .fd = fd};
    struct flo_http_answer answer = {0};
    struct flo_digest found;
    int rv = flo_sha256_init(&transfer.sha, err);

    if (rv < 0) {
        return rv;
    }
    rv = call(&transfer, http, "GET", digest, fd, &answer, err);
    flo_sha256_final(&transfer.sha, &found);
    flo_sha256_deinit(&transfer.sha);
    return rv < 0 || flo_digest_equal(&found, digest)
               ? rv
               : flo_fail(err, FLO_E_NET_CONTENT,
                          "%s gave %llu other bytes under that name",
                          threads->url, (unsigned long long)transfer.bytes);
}

/* ---- there ---- */

/* A whole one of that length; its bytes were compared when they came. */
static bool is_there(struct flo_depot_threads *threads, struct flo_http *http,
                     const struct flo_digest *digest, uint64_t bytes)
{
    struct transfer transfer = {.threads = threads, .fd = -1};
    struct flo_http_answer answer = {0};
    struct flo_err err = {0};

    return call(&transfer, http, "HEAD", digest, -1, &answer, &err) == 0 &&
           answer.content_bytes == bytes;
}

static int put(struct flo_depot_threads *threads, struct flo_http *http,
               const struct flo_digest *digest, const char *path,
               struct flo_err *err)
{
    struct transfer transfer = {.threads = threads, .fd = -1};
    struct flo_http_answer answer = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
    }
    int rv = call(&transfer, http, "PUT", digest, fd, &answer, err);
    close(fd);
    return rv < 0 ? rv : read_back(threads, http, digest, -1, err);
}

/* ---- and back ---- */

static int get(struct flo_depot_threads *threads, struct flo_http *http,
               const struct flo_digest *digest, const char *path,
               struct flo_err *err)
{
    char temporary[4096 + 64];

    if (access(path, F_OK) == 0) {
        return 0; /* another job brought it */
    }
    snprintf(temporary, sizeof(temporary), "%s/.upload-XXXXXX",
             threads->folder);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", temporary);
    }
    int rv = read_back(threads, http, digest, fd, err);
    if (rv == 0 && (fchmod(fd, 0644) < 0 || fdatasync(fd) < 0 ||
                    rename(temporary, path) < 0)) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    close(fd);
    if (rv < 0) {
        (void)unlink(temporary);
    }
    return rv < 0 ? rv : flo_dir_sync(threads->folder, err);
}

/* ---- the threads ---- */

/* false: this process ends. */
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

static void note(struct flo_depot_threads *threads, int rv,
                 const struct flo_err *err)
{
    bool is_failing = rv < 0 && rv != FLO_E_BLOB_ABSENT;

    if (is_failing) {
        flo_log(FLO_LOG_WARN, "blobs", "%s", err->what);
    }
    if (atomic_exchange(&threads->depot.is_failing, is_failing) &&
        !is_failing) {
        flo_log(FLO_LOG_INFO, "blobs", "%s answers again", threads->url);
    }
}

/* Nobody meets a file here that is not there. */
static int take_in(struct flo_depot_threads *threads, struct flo_http *http,
                   const struct flo_depot_job *job, struct flo_err *err)
{
    if (access(job->path, F_OK) == 0) {
        return 0; /* it came before, or twice at once */
    }
    int rv = put(threads, http, &job->digest, job->from, err);
    if (rv == 0 && rename(job->from, job->path) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", job->path);
    }
    return rv < 0 ? rv : flo_dir_sync(threads->folder, err);
}

static void carry_out(struct flo_depot_threads *threads, struct flo_http *http,
                      struct flo_depot_job *job)
{
    uint64_t pause_ms = PAUSE_MS;
    int rv = -1;

    for (int i = 0; i < TRIES && rv < 0; i++) {
        job->err = (struct flo_err){0};
        rv = job->what == FLO_DEPOT_PUT
                 ? take_in(threads, http, job, &job->err)
                 : get(threads, http, &job->digest, job->path, &job->err);
        note(threads, rv, &job->err);
        if (rv == 0 || rv == FLO_E_BLOB_ABSENT || i + 1 == TRIES ||
            !pause_for(threads, pause_ms)) {
            break;
        }
        pause_ms *= 2;
    }
    if (job->what == FLO_DEPOT_PUT) {
        (void)unlink(job->from);
    }
}

static void tell(struct flo_depot_threads *threads, struct flo_depot_job *job)
{
    job->next = threads->done;
    threads->done = job;
    flo_wake_poke(threads->wake_fd);
}

static void *work(void *context)
{
    struct flo_depot_threads *threads = context;
    struct flo_http *http = NULL;
    struct flo_err err = {0};

    if (open_client(threads, &http, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
        return NULL;
    }
    pthread_mutex_lock(&threads->mutex);
    while (!threads->ends) {
        struct flo_depot_job *job = threads->first;
        if (job == NULL) {
            pthread_cond_wait(&threads->work, &threads->mutex);
            continue;
        }
        threads->first = job->next;
        threads->last =
            threads->first == NULL ? &threads->first : threads->last;
        pthread_mutex_unlock(&threads->mutex);
        carry_out(threads, http, job);
        pthread_mutex_lock(&threads->mutex);
        tell(threads, job);
    }
    pthread_mutex_unlock(&threads->mutex);
    flo_http_close(http);
    return NULL;
}

static int bring(struct flo_depot_threads *threads, struct flo_http *http,
                 const char *name, struct flo_err *err)
{
    char path[4096 + 256];
    struct flo_digest digest;
    struct stat st;

    if (strncmp(name, "sha256-", 7) != 0 ||
        strlen(name) != 7 + 2 * FLO_DIGEST_BYTES ||
        !flo_hex_decode(name + 7, digest.bytes, FLO_DIGEST_BYTES)) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s/%s", threads->folder, name);
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        is_there(threads, http, &digest, (uint64_t)st.st_size)) {
        return 0;
    }
    return put(threads, http, &digest, path, err);
}

/* Files that came before there was a depot, or while it was away. */
static int look_through(struct flo_depot_threads *threads,
                        struct flo_http *http)
{
    struct flo_err err = {0};
    const struct dirent *entry;
    int rv = 0;
    DIR *dir = opendir(threads->folder);

    while (rv == 0 && dir != NULL && !ends(threads) &&
           (entry = readdir(dir)) != NULL) {
        rv = bring(threads, http, entry->d_name, &err);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    note(threads, rv, &err);
    return rv;
}

static void *look(void *context)
{
    struct flo_depot_threads *threads = context;
    struct flo_http *http = NULL;
    struct flo_err err = {0};
    bool is_due = true;

    if (open_client(threads, &http, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
        return NULL;
    }
    do {
        if (is_due || atomic_load(&threads->depot.is_failing)) {
            is_due = look_through(threads, http) < 0;
        }
    } while (pause_for(threads, LOOK_PAUSE_MS));
    flo_http_close(http);
    return NULL;
}

/* ---- for the state's thread ---- */

static int ask(void *self, struct flo_depot_job *job, struct flo_err *err)
{
    struct flo_depot_threads *threads = self;

    pthread_mutex_lock(&threads->mutex);
    bool fits = threads->count < JOBS_MAX;
    if (fits) {
        threads->count++;
        job->next = NULL;
        *threads->last = job;
        threads->last = &job->next;
        pthread_cond_broadcast(&threads->work); /* look() waits there, too */
    }
    pthread_mutex_unlock(&threads->mutex);
    if (fits) {
        return 0;
    }
    free(job);
    flo_fail(err, FLO_E_REST_LIMIT, "%d artifacts wait for their store already",
             JOBS_MAX);
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
        if (job->context != NULL) {
            job->done(job->context, job, &job->err);
        }
        free(job);
        pthread_mutex_lock(&threads->mutex);
        threads->count--;
        pthread_mutex_unlock(&threads->mutex);
        job = next;
    }
}

struct flo_depot *flo_depot_of(struct flo_depot_threads *threads)
{
    return &threads->depot;
}

/* ---- opening ---- */

static int start(struct flo_depot_threads *threads, struct event_base *base,
                 struct flo_err *err)
{
    threads->event = threads->wake_fd < 0
                         ? NULL
                         : event_new(base, threads->wake_fd,
                                     EV_READ | EV_PERSIST, on_done, threads);
    if (threads->event == NULL || event_add(threads->event, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "depot");
    }
    for (size_t i = 0; i <= THREADS; i++) {
        if (pthread_create(&threads->threads[i], NULL,
                           i < THREADS ? work : look, threads) != 0) {
            return flo_fail(err, FLO_E_PROCESS, "the depot's thread");
        }
        threads->thread_count++;
    }
    return 0;
}

int flo_depot_open(const struct flo_depot_options *options,
                   struct event_base *base, struct flo_depot_threads **out,
                   struct flo_err *err)
{
    struct flo_depot_threads *threads = calloc(1, sizeof(*threads));
    pthread_condattr_t attributes;

    if (threads == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "depot");
    }
    threads->depot.ask = ask;
    threads->depot.self = threads;
    threads->last = &threads->first;
    pthread_mutex_init(&threads->mutex, NULL);
    pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&threads->work, &attributes);
    pthread_condattr_destroy(&attributes);
    threads->wake_fd = flo_wake_open();
    snprintf(threads->url, sizeof(threads->url), "%s", options->url);
    snprintf(threads->ca_file, sizeof(threads->ca_file), "%s",
             options->ca_file != NULL ? options->ca_file : "");
    int rv = flo_path_join(threads->folder, sizeof(threads->folder),
                           options->dir, "blobs")
                 ? 0
                 : flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    if (rv == 0 && options->keys_or_null != NULL) {
        rv = flo_depot_keys_read(options->keys_or_null, &threads->keys, err);
    }
    rv = rv < 0 ? rv : start(threads, base, err);
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
    while (threads->first != NULL) {
        struct flo_depot_job *job = threads->first;
        threads->first = job->next;
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
