/* Packing: before a model is loaded, its weights are packed once, if engines
 * of this machine read them faster so.
 *
 * A sandboxed engine process writes the file, this one hashes it, a piece at a
 * time so that answers go on, and gives it its name in the store.  It is a
 * luxury: whatever fails, the model is served from its own rows, and it is not
 * tried again in this life of the agent. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/shell.h"
#include "base/host/digest.h"

#define PACK_MS_MAX 60000 /* half of what loading may take */
#define SLICE_BYTES (4u << 20)
#define READ_BYTES 65536u

struct flo_shell_loading {
    struct flo_shell *shell;
    enum flo_agent_role role;
    struct flo_serve_model model; /* its descriptor waits here */
    struct flo_digest digest;     /* of the model's file */
    struct serve_packer *packer;
    int fd; /* of the file that is made */
    uint64_t bytes, hashed;
    uint64_t started_ms;
    struct flo_sha256 sha;
    struct event *slice;
};

/* ---- what is known ------------------------------------------------ */

static bool is_noted(const struct flo_packing_notes *notes,
                     const struct flo_digest *model)
{
    for (size_t i = 0; i < FLO_COUNT(notes->models); i++) {
        if (flo_digest_equal(&notes->models[i], model)) {
            return true;
        }
    }
    return false;
}

static void note(struct flo_packing_notes *notes,
                 const struct flo_digest *model)
{
    if (!is_noted(notes, model)) {
        notes->models[notes->count++ % FLO_COUNT(notes->models)] = *model;
    }
}

static bool is_wanted(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "packed_weights"),
                  "auto") == 0;
}

bool flo_shell_packs(const struct flo_shell *shell)
{
    return is_wanted(shell) &&
           (shell->unpackable.count == 0 || shell->has_packed);
}

/* ---- the end of it ------------------------------------------------ */

static void loading_free(struct flo_shell_loading *loading)
{
    flo_serve_pack_cancel(loading->packer);
    flo_sha256_deinit(&loading->sha);
    if (loading->slice != NULL) {
        event_free(loading->slice);
    }
    flo_fd_cleanup(&loading->fd);
    flo_fd_cleanup(&loading->model.fd);
    free(loading);
}

void flo_shell_load_cancel(struct flo_shell *shell, enum flo_agent_role role)
{
    if (shell->loading[role] != NULL) {
        loading_free(shell->loading[role]);
        shell->loading[role] = NULL;
    }
}

bool flo_shell_keeps_prefixes(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "prefix_cache"),
                  "on") == 0;
}

/* 0: none is wanted, or none can be had: a luxury, too.  No new one while an
 * updater works: its plan of the disk stands. */
static int open_prefix(struct flo_shell *shell,
                       const struct flo_digest *release)
{
    const struct flo_settings *settings = &shell->settings;
    struct flo_err err = {0};
    char dir[sizeof(settings->state_dir) + 8];
    int fd = 0;

    if (flo_shell_keeps_prefixes(shell) &&
        (shell->job == NULL || flo_store_prefix_has(shell->store, release)) &&
        flo_path_join(dir, sizeof(dir), settings->state_dir, "prefix") &&
        flo_serve_prefix_open(dir, release, &fd, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
    return fd;
}

static void start_engine(struct flo_shell *shell, enum flo_agent_role role,
                         const struct flo_serve_model *packed)
{
    struct flo_serve_model with_prefix = *packed, *model = &with_prefix;
    struct flo_err err = {0};

    model->prefix_fd = open_prefix(shell, &model->release);
    if (flo_serve_load(shell->serve,
                       role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT
                                                 : FLO_ROLE_CANDIDATE,
                       model, &err) < 0) {
        flo_shell_lost(shell, role, &err);
    }
}

/* Load what waited: with the packed file that is in the store now, or
 * without. */
static void go_on(struct flo_shell_loading *loading, const struct flo_err *err)
{
    struct flo_shell *shell = loading->shell;
    enum flo_agent_role role = loading->role;
    struct flo_serve_model model = loading->model;

    if (err == NULL) {
        flo_log(FLO_LOG_INFO, "packing",
                "%s@%s: %llu bytes packed after %llu ms", model.model,
                model.version, (unsigned long long)loading->bytes,
                (unsigned long long)(flo_now_ms() - loading->started_ms));
        shell->has_packed = true;
        shell->packed_fresh = loading->digest;
        if (flo_store_packed_open(shell->store, &loading->digest, false,
                                  &model.packed_fd, NULL) < 0) {
            model.packed_fd = 0;
        }
    } else if (err->code == FLO_E_NOT_BUILT) {
        flo_log(FLO_LOG_INFO, "packing", "%s@%s: not packed: %s", model.model,
                model.version, err->what);
        note(&shell->unpackable, &loading->digest);
    } else {
        flo_shell_note(shell, "note", err);
        note(&shell->unpacked, &loading->digest);
    }
    model.lacks_packed = is_noted(&shell->unpacked, &loading->digest);
    loading->model.fd = -1; /* the engine's from here on */
    flo_shell_load_cancel(shell, role);
    start_engine(shell, role, &model);
}

static void fail(struct flo_shell_loading *loading, struct flo_err *err)
{
    flo_wrap(err, err->code, "packing %s@%s", loading->model.model,
             loading->model.version);
    go_on(loading, err);
}

/* ---- hashing ------------------------------------------------------ */

static int publish(struct flo_shell_loading *loading, struct flo_err *err)
{
    struct flo_digest digest;

    flo_sha256_final(&loading->sha, &digest);
    return flo_store_packed_publish(loading->shell->store, loading->fd,
                                    &loading->digest, &digest, err);
}

static void on_slice(evutil_socket_t fd, short events, void *context)
{
    static uint8_t piece[READ_BYTES];
    struct flo_shell_loading *loading = context;
    uint64_t end = loading->hashed + SLICE_BYTES;
    struct flo_err err = {0};
    int rv = 0;

    (void)fd, (void)events;
    while (loading->hashed < loading->bytes && loading->hashed < end) {
        uint64_t left = loading->bytes - loading->hashed;
        size_t count = left < READ_BYTES ? (size_t)left : READ_BYTES;

        rv = flo_fd_pread_all(loading->fd, piece, count, loading->hashed, &err);
        if (rv < 0) {
            fail(loading, &err);
            return;
        }
        flo_sha256_update(&loading->sha, piece, count);
        loading->hashed += count;
    }
    if (loading->hashed < loading->bytes) {
        flo_shell_later(loading->slice, 0);
        return;
    }
    rv = publish(loading, &err);
    if (rv < 0) {
        fail(loading, &err);
    } else {
        go_on(loading, NULL);
    }
}

/* ---- what the packer says ----------------------------------------- */

static int reserve(void *context, uint64_t bytes, int *fd, struct flo_err *err)
{
    struct flo_shell_loading *loading = context;
    int rv = flo_store_packed_create(loading->shell->store, bytes, &loading->fd,
                                     err);

    loading->bytes = bytes;
    *fd = loading->fd;
    return rv;
}

static void packed(void *context, const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;
    struct flo_err err = {0};

    loading->packer = NULL;
    if (failure != NULL && failure->code == FLO_E_NOT_BUILT) {
        go_on(loading, failure);
        return;
    }
    if (failure != NULL) {
        err = *failure;
    } else if (flo_sha256_init(&loading->sha, &err) == 0) {
        flo_shell_later(loading->slice, 0);
        return;
    }
    fail(loading, &err);
}

/* ---- start -------------------------------------------------------- */

static int begin(struct flo_shell *shell, enum flo_agent_role role,
                 const struct flo_serve_model *model,
                 const struct flo_digest *digest, struct flo_err *err)
{
    struct flo_shell_loading *loading = calloc(1, sizeof(*loading));
    struct flo_serve_packing request = {
        .timeout_ms = PACK_MS_MAX, .reserve = reserve, .done = packed};
    int rv;

    if (loading == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "packing");
    }
    *loading = (struct flo_shell_loading){.shell = shell,
                                          .role = role,
                                          .model = *model,
                                          .digest = *digest,
                                          .fd = -1,
                                          .started_ms = flo_now_ms()};
    loading->model.fd = -1; /* the caller's until all went well */
    loading->slice = evtimer_new(shell->base, on_slice, loading);
    request.context = loading;
    request.fd = dup(model->fd);
    if (loading->slice == NULL || request.fd < 0) {
        rv = flo_fail_errno(err, FLO_E_MEMORY, "packing");
        flo_fd_cleanup(&request.fd);
    } else {
        rv = flo_serve_pack(shell->serve, &request, &loading->packer, err);
    }
    if (rv < 0) {
        loading_free(loading);
        return rv;
    }
    loading->model.fd = model->fd;
    shell->loading[role] = loading;
    return 0;
}

void flo_shell_load_model(struct flo_shell *shell, enum flo_agent_role role,
                          const struct flo_serve_model *wanted,
                          const struct flo_digest *digest)
{
    struct flo_serve_model model = *wanted;
    bool is_fresh = flo_digest_equal(&shell->packed_fresh, digest);
    struct flo_err err = {0};
    int rv;

    flo_shell_load_cancel(shell, role);
    if (!is_wanted(shell) || is_noted(&shell->unpackable, digest)) {
        start_engine(shell, role, &model);
        return;
    }
    rv = is_noted(&shell->unpacked, digest)
             ? FLO_E_BLOB_ABSENT
             : flo_store_packed_open(shell->store, digest, !is_fresh,
                                     &model.packed_fd, &err);
    if (rv < 0 && rv != FLO_E_BLOB_ABSENT) {
        flo_shell_note(shell, "note", &err); /* removed; made anew */
    }
    if (rv < 0 && !is_noted(&shell->unpacked, digest)) {
        if (begin(shell, role, &model, digest, &err) == 0) {
            return;
        }
        flo_shell_note(shell, "note", &err);
        note(&shell->unpacked, digest);
    }
    model.packed_fd = rv < 0 ? 0 : model.packed_fd;
    model.lacks_packed = rv < 0;
    start_engine(shell, role, &model);
}

void flo_shell_packed_refused(struct flo_shell *shell,
                              const struct flo_digest *digest)
{
    bool is_again = flo_digest_equal(&shell->packed_again, digest);

    flo_store_packed_remove(shell->store, digest);
    memset(&shell->packed_fresh, 0, sizeof(shell->packed_fresh));
    shell->packed_again = *digest;
    if (is_again) {
        note(&shell->unpacked, digest);
    }
}
