/* REST: artifacts by digest: uploads with a check, downloads with Range.  Also
 * the envelopes of releases, which devices may fetch under the same rules.
 *
 * A blob's file gets its name only after its bytes match the digest; until then
 * it is a temporary file that the next start removes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>

#include "base/host/digest.h"

#include "server-stub/core/orders/offer.h"
#include "server-stub/rest/files/offers.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/artifacts/depot.h"
#include "server-stub/state/audit/audit.h"

#define BLOB_BYTES_MAX (UINT64_C(64) << 30)
/* bytes that are synced in one step, because the event loop waits meanwhile */
#define SYNC_BYTES (UINT64_C(8) << 20)
#define BRINGERS_MAX 16 /* number of releases in which the size of an artifact is looked up */
#define TEMPORARY ".upload-"

static int digest_of(struct flo_httpd_request *request, struct flo_digest *out, struct flo_err *err)
{
    const char *text = flo_httpd_param(request, "digest");

    return text != NULL && flo_digest_parse(text, out)
               ? 0
               : flo_fail(err, FLO_E_REST_SCHEMA, "`%.80s` is no sha256:<64 hex digits>",
                          text != NULL ? text : "");
}

/* ---- out ---- */

/* Checks who may read artifacts: devices by certificate on their listener,
 * people by token on theirs. */
int flo_rest_may_read(struct flo_controller *controller, struct flo_httpd_request *request,
                      struct flo_err *err)
{
    struct flo_rest_call call = {0};
    const char *device = flo_httpd_peer_name(request);
    bool active = false;

    if (flo_httpd_listener_tag(request) == FLO_TAG_PEOPLE) {
        return flo_rest_authenticate(controller, request, FLO_ACCESS_VIEWER, &call, err);
    }
    if (device == NULL) {
        return flo_fail(err, FLO_E_REST_AUTH,
                        "a device's certificate is "
                        "needed");
    }
    FLO_TRY(flo_fleet_device_is_active(controller->store, device, &active, err));
    return active ? 0
                  : flo_fail(err, FLO_E_REST_ROLE, "device %.36s is retired or unknown", device);
}

/* Redirects a device to the store of --blobs-url, after access was checked
 * here. */
static void answer_elsewhere(const struct flo_controller *controller,
                             struct flo_httpd_request *request, const struct flo_digest *digest)
{
    const char *url = controller->options.blobs_url;
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char to[512];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    snprintf(to, sizeof(to), "%.400s%ssha256-%s", url, url[strlen(url) - 1] == '/' ? "" : "/", hex);
    flo_httpd_add_header(request, "Location", to);
    flo_httpd_answer(request, 307, "text/plain", "", 0);
}

static void answer_file(struct flo_httpd_request *request, int fd, const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    /* The answer is private: shared caches must not serve it, because access
     * was checked here. */
    flo_httpd_add_header(request, "Cache-Control", "private, max-age=31536000, immutable");
    flo_httpd_answer_file(request, fd, "application/octet-stream", text);
}

/* ---- out of the depot ---- */

static void on_fetched(void *context, const struct flo_depot_job *job, const struct flo_err *err)
{
    struct flo_httpd_request *request = context;
    struct flo_err failed = *err;
    int fd = -1;

    flo_httpd_set_user(request, NULL, NULL);
    if (failed.code == 0 && (fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0) {
        flo_fail_errno(&failed, FLO_E_BLOB_ABSENT, "%s", job->path);
    }
    if (fd < 0) {
        flo_httpd_answer_err(request, &failed);
        return;
    }
    answer_file(request, fd, &job->digest);
}

/* The client disconnected. */
static void on_gone(void *user)
{
    struct flo_depot_job *job = user;

    job->context = NULL;
    atomic_store(&job->is_left, true);
}

static struct flo_depot_job *job_of(enum flo_depot_what what, const struct flo_digest *digest,
                                    const char *path, struct flo_err *err)
{
    struct flo_depot_job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        flo_fail(err, FLO_E_MEMORY, "artifact");
        return NULL;
    }
    job->what = what;
    job->digest = *digest;
    snprintf(job->path, sizeof(job->path), "%s", path);
    return job;
}

static int fetch(struct flo_depot *depot, struct flo_httpd_request *request,
                 const struct flo_digest *digest, uint64_t bytes_max, const char *path,
                 struct flo_err *err)
{
    struct flo_depot_job *job = job_of(FLO_DEPOT_GET, digest, path, err);

    if (job == NULL) {
        return FLO_E_MEMORY;
    }
    job->bytes_max = bytes_max;
    job->context = request;
    job->done = on_fetched;
    FLO_TRY(flo_depot_ask(depot, job, err));
    flo_httpd_set_user(request, job, on_gone);
    return 0;
}

struct bringers {
    const struct flo_digest *digest;
    uint64_t bytes_max; /* largest size that one of the releases states for the artifact */
    size_t count;
    char releases[BRINGERS_MAX][FLO_DIGEST_TEXT];
};

static int note_bringer(void *context, const char *release)
{
    struct bringers *bringers = context;

    snprintf(bringers->releases[bringers->count++], FLO_DIGEST_TEXT, "%s", release);
    return 0;
}

/* Notes the size that a release states for the artifact.  An unreadable
 * document states none. */
static int note_bytes(void *context, const struct flo_fleet_release *found)
{
    struct bringers *bringers = context;
    struct flo_release *release = NULL;

    if (flo_release_new(found->body, strlen(found->body), NULL, &release, NULL) == 0) {
        uint64_t bytes = flo_offer_bytes(release, bringers->digest);
        if (bytes > bringers->bytes_max) {
            bringers->bytes_max = bytes;
        }
    }
    flo_release_free(release);
    return 0;
}

/* Fetches a file from the depot if a release contains it, and at most the
 * stated size, so that requests for random names cause no work. */
static int fetch_named(struct flo_controller *controller, struct flo_httpd_request *request,
                       const struct flo_digest *digest, const char *path, struct flo_err *err)
{
    char text[FLO_DIGEST_TEXT];
    struct bringers bringers = {.digest = digest};

    flo_digest_text(digest, text);
    FLO_TRY(
        flo_fleet_bringers(controller->store, text, BRINGERS_MAX, note_bringer, &bringers, err));
    if (bringers.count == 0) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "no release brings %s", text);
    }
    for (size_t i = 0; i < bringers.count; i++) {
        FLO_TRY(flo_fleet_release_get(controller->store, NULL, bringers.releases[i], note_bytes,
                                      &bringers, err));
    }
    return fetch(controller->depot, request, digest, bringers.bytes_max, path, err);
}

/* Handles a request for a file that is not local.  Returns true if the depot
 * has the file, or is asked for it. */
static bool is_elsewhere(struct flo_controller *controller, struct flo_httpd_request *request,
                         const struct flo_digest *digest, const char *path, struct flo_err *err)
{
    if (controller->depot == NULL || flo_artifact_was_collected(controller, digest)) {
        return false;
    }
    if (controller->options.blobs_url != NULL &&
        flo_httpd_listener_tag(request) == FLO_TAG_DEVICES) {
        answer_elsewhere(controller, request, digest);
        return true;
    }
    return fetch_named(controller, request, digest, path, err) == 0;
}

static void on_get(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct flo_controller *controller = rest->controller;
    struct flo_digest digest;
    struct flo_err err = {0};
    char path[4096];
    char text[FLO_DIGEST_TEXT];
    int fd = -1;

    rest->requests++;
    if (flo_rest_may_read(controller, request, &err) == 0 &&
        flo_rest_query_check(request, "", &err) == 0 && digest_of(request, &digest, &err) == 0 &&
        flo_rest_may_fetch(rest, request, &digest, false, &err) == 0) {
        flo_digest_text(&digest, text);
        bool fits = flo_artifact_path(controller, &digest, path);
        fd = fits ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (fits && fd < 0 && is_elsewhere(controller, request, &digest, path, &err)) {
            return;
        }
        if (fd < 0 && err.code == 0) {
            flo_fail(&err, FLO_E_BLOB_ABSENT, "no artifact %s%s", text,
                     flo_artifact_was_collected(controller, &digest)
                         ? ": it was collected, for no device had the file "
                           "that it begins with"
                         : "");
        }
    }
    if (fd < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    /* A local file is served from here until the depot has all files. */
    if (controller->options.blobs_url != NULL &&
        flo_httpd_listener_tag(request) == FLO_TAG_DEVICES &&
        flo_depot_has_all(controller->depot)) {
        close(fd);
        answer_elsewhere(controller, request, &digest);
        return;
    }
    answer_file(request, fd, &digest);
}

static int answer_envelope(void *context, const char *text)
{
    struct flo_httpd_request *request = context;

    /* The release may be signed again, so its envelope is not immutable. */
    flo_httpd_add_header(request, "Cache-Control", "no-cache");
    flo_httpd_answer(request, 200, "application/json", text, strlen(text));
    return 0;
}

static void on_envelope(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct flo_controller *controller = rest->controller;
    struct flo_digest digest;
    struct flo_err err = {0};
    char text[FLO_DIGEST_TEXT];

    rest->requests++;
    int rv = flo_rest_may_read(controller, request, &err);
    if (rv == 0) {
        rv = flo_rest_query_check(request, "", &err);
    }
    if (rv == 0) {
        rv = digest_of(request, &digest, &err);
    }
    if (rv == 0) {
        rv = flo_rest_may_fetch(rest, request, &digest, true, &err);
    }
    if (rv == 0) {
        flo_digest_text(&digest, text);
        rv = flo_fleet_envelope_get(controller->store, text, answer_envelope, request, &err);
    }
    if (rv < 0) {
        flo_httpd_answer_err(request, &err);
    }
}

/* ---- in ---- */

struct upload {
    struct flo_sha256 sha;
    struct flo_digest wanted;
    uint64_t bytes;
    uint64_t synced; /* number of bytes of the upload that are synced */
    int fd;
    char path[4096];
    char who[96];
    struct flo_rest *rest; /* REST state, which the steps after the last byte use */
    struct flo_httpd_request *request;
    struct flo_depot_job *job;
    int status;
};

static void upload_free(struct upload *upload)
{
    if (upload->fd >= 0) {
        close(upload->fd);
        unlink(upload->path);
    }
    flo_sha256_deinit(&upload->sha);
    free(upload);
}

static void on_closed(void *user)
{
    upload_free(user);
}

static int open_temporary(struct flo_controller *controller, struct upload *upload,
                          struct flo_err *err)
{
    if (!flo_path_join(upload->path, sizeof(upload->path), controller->dir,
                       "blobs/" TEMPORARY "XXXXXX")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    }
    upload->fd = mkostemp(upload->path, O_CLOEXEC);
    return upload->fd < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", upload->path) : 0;
}

static int on_start(void *context, struct flo_httpd_request *request, struct flo_err *err)
{
    struct flo_rest *rest = context;
    struct flo_controller *controller = rest->controller;
    struct flo_rest_call call = {.controller = controller};
    struct upload *upload;
    int rv = flo_httpd_listener_tag(request) == FLO_TAG_PEOPLE
                 ? flo_rest_authenticate(controller, request, FLO_ACCESS_RELEASER, &call, err)
                 : flo_fail(err, FLO_E_REST_NOT_FOUND, "this path is not on the devices' listener");

    rest->requests++;
    if (rv == 0) {
        rv = flo_rest_query_check(request, "", err);
    }
    FLO_TRY(rv);
    upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "upload");
    }
    upload->fd = -1;
    snprintf(upload->who, sizeof(upload->who), "%s", call.who);
    rv = digest_of(request, &upload->wanted, err);
    if (rv == 0) {
        rv = flo_sha256_init(&upload->sha, err);
    }
    if (rv == 0) {
        rv = open_temporary(controller, upload, err);
    }
    if (rv < 0) {
        upload_free(upload);
        return rv;
    }
    flo_httpd_set_user(request, upload, on_closed);
    return 0;
}

static int on_body(void *context, struct flo_httpd_request *request, const void *data, size_t bytes,
                   struct flo_err *err)
{
    struct upload *upload = flo_httpd_user(request);

    FLO_TRY(flo_fd_write_all(upload->fd, data, bytes, err));
    (void)context;
    flo_sha256_update(&upload->sha, data, bytes);
    upload->bytes += bytes;
    if (upload->bytes - upload->synced < SYNC_BYTES) {
        return 0;
    }
    upload->synced = upload->bytes;
    return fdatasync(upload->fd) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", upload->path) : 0;
}

/* Gives an uploaded file its final name. */
static int upload_finish(struct flo_controller *controller, struct upload *upload, int *status,
                         struct flo_err *err)
{
    struct flo_digest digest;
    char text[FLO_DIGEST_TEXT];
    char path[4096];
    char folder[4096];

    flo_sha256_final(&upload->sha, &digest);
    if (!flo_digest_equal(&digest, &upload->wanted)) {
        flo_digest_text(&digest, text);
        return flo_fail(err, FLO_E_TARGET_HASH, "%llu bytes came with the digest %s",
                        (unsigned long long)upload->bytes, text);
    }
    if (!flo_artifact_path(controller, &digest, path) ||
        !flo_path_join(folder, sizeof(folder), controller->dir, "blobs")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    }
    *status = access(path, F_OK) == 0 ? 200 : 201;
    if (fchmod(upload->fd, 0644) < 0 || fdatasync(upload->fd) < 0 ||
        (controller->depot == NULL && rename(upload->path, path) < 0)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    flo_artifact_is_wanted(controller, &digest);
    if (controller->depot != NULL) {
        return 0; /* the file is renamed, and the request answered, when the
                     depot has the file */
    }
    close(upload->fd);
    upload->fd = -1;
    return flo_dir_sync(folder, err);
}

static void upload_audit(struct flo_controller *controller, const struct upload *upload,
                         const char *digest)
{
    struct flo_err err = {0};
    char detail[64];

    snprintf(detail, sizeof(detail), "%llu bytes", (unsigned long long)upload->bytes);
    if (flo_controller_begin(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
        return;
    }
    if (flo_controller_audit(controller, upload->who, "blob.put", digest, "ok", detail, &err) < 0 ||
        flo_controller_commit(controller, &err) < 0) {
        flo_controller_cancel(controller);
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
    }
}

/* Ends an upload, and answers whether storing the file succeeded. */
static void end_put(struct upload *upload, const struct flo_err *err)
{
    struct flo_httpd_request *request = upload->request;
    struct flo_rest *rest = upload->rest;
    char digest[FLO_DIGEST_TEXT];
    char text[256];
    int status = upload->status;

    flo_digest_text(&upload->wanted, digest);
    snprintf(text, sizeof(text), "{\"digest\":\"%s\",\"bytes\":%llu}", digest,
             (unsigned long long)upload->bytes);
    if (err->code == 0) {
        upload_audit(rest->controller, upload, digest);
    }
    flo_httpd_set_user(request, NULL, NULL);
    upload_free(upload);
    if (err->code != 0) {
        flo_httpd_answer_err(request, err);
    } else {
        flo_rest_answer(rest, request, status, text, strlen(text));
    }
}

static void on_kept(void *context, const struct flo_depot_job *job, const struct flo_err *err)
{
    (void)job;
    end_put(context, err);
}

/* Called when the client disconnects; the depot still gets the file. */
static void on_left(void *user)
{
    struct upload *upload = user;

    upload->job->context = NULL;
    upload_free(upload);
}

static int keep(struct flo_depot *depot, struct upload *upload, struct flo_err *err)
{
    char path[4096];

    if (!flo_artifact_path(upload->rest->controller, &upload->wanted, path)) {
        return flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    }
    upload->job = job_of(FLO_DEPOT_PUT, &upload->wanted, path, err);
    if (upload->job == NULL) {
        return FLO_E_MEMORY;
    }
    snprintf(upload->job->from, sizeof(upload->job->from), "%s", upload->path);
    upload->job->context = upload;
    upload->job->done = on_kept;
    FLO_TRY(flo_depot_ask(depot, upload->job, err));
    close(upload->fd); /* The job owns the file at its path from now on, so the
                          descriptor is closed here. */
    upload->fd = -1;
    flo_httpd_set_user(upload->request, upload, on_left);
    return 0;
}

static void on_put(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct flo_controller *controller = rest->controller;
    struct upload *upload = flo_httpd_user(request);
    struct flo_err err = {0};
    int rv = upload_finish(controller, upload, &upload->status, &err);

    upload->rest = rest;
    upload->request = request;
    if (rv == 0 && controller->depot != NULL && keep(controller->depot, upload, &err) == 0) {
        return;
    }
    end_put(upload, &err);
}

/* ---- opening ---- */

static void remove_temporaries(const struct flo_controller *controller)
{
    char folder[4096];
    char path[4096];
    struct dirent *entry;

    if (!flo_path_join(folder, sizeof(folder), controller->dir, "blobs")) {
        return;
    }
    DIR *dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, TEMPORARY, sizeof(TEMPORARY) - 1) == 0 &&
            flo_path_join(path, sizeof(path), folder, entry->d_name)) {
            unlink(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int flo_blobs_open(struct flo_rest *rest, struct flo_err *err)
{
    static const struct flo_httpd_upload upload = {
        .on_start = on_start,
        .on_body = on_body,
        .body_bytes_max = BLOB_BYTES_MAX,
    };

    FLO_TRY(flo_rest_stream_open(rest, FLO_STREAM_BLOB, on_get, err));
    remove_temporaries(rest->controller);
    FLO_TRY(flo_rest_stream_open(rest, FLO_STREAM_ENVELOPE, on_envelope, err));
    return flo_rest_upload_open(rest, FLO_STREAM_BLOB_PUT, &upload, on_put, err);
}
