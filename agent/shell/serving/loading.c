/* Loading: what comes before an engine gets a model.
 *
 *   the model's file hashed -> packed weights hashed, or made -> the engine
 *
 * Files that were staged or packed in this life of the agent need no new hash,
 * until an engine is lost.
 * Packing is done once, if engines of this machine read packed weights faster:
 * a sandboxed engine process writes the file, this one hashes it and gives it
 * its name in the store.  It is a luxury: whatever fails, the model is served
 * from its own rows, and it is not tried again in this life of the agent; where
 * that wrote to the disk or took its time twice, not by this version either. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shell/queue/timers.h"
#include "agent/shell/serving/hashing.h"
#include "agent/shell/serving/serving.h"

/* Packing may take so long, and a second for every 5 MB of the model (a slow
 * processor that others use, too), but not more than a minute, beside the time
 * in which a slow disk takes what was packed. */
#define PACK_MS_MIN 10000
#define PACK_BYTES_PER_MS 5000
#define PACK_MS_MAX 60000
#define PACK_TOTAL_MS_MAX 900000
#define PACK_IDLE_MS_MAX 5000
#define AGAIN_MS 100
#define PACK_TRIES_MAX 2 /* the first may have met a busy moment */
#define BEAT_S 30 /* a quarter of what the core waits for a sign of life */

struct flo_shell_loading {
    struct flo_shell *shell;
    enum flo_agent_role role;
    struct flo_serve_model model; /* its descriptor waits here */
    char *chat_template;          /* ... and its template's text */
    struct flo_digest digest;     /* of the model's file */
    struct flo_hashing *hashing;
    struct event *beat;  /* tells the core that it gets on */
    struct event *again; /* tries to pack, when a killed process has ended */
    struct serve_packer *packer;
    int packed_fd; /* that is hashed or made; -1: none */
    uint64_t packed_bytes;
    uint64_t started_ms; /* of packing */
};

/* ---- the end of it ------------------------------------------------ */

static void loading_free(struct flo_shell_loading *loading)
{
    flo_serve_pack_cancel(loading->packer);
    flo_hashing_cancel(loading->hashing);
    if (loading->beat != NULL) {
        event_free(loading->beat);
    }
    if (loading->again != NULL) {
        event_free(loading->again);
    }
    flo_fd_cleanup(&loading->packed_fd);
    flo_fd_cleanup(&loading->model.fd);
    free(loading->chat_template);
    free(loading);
}

void flo_shell_load_cancel(struct flo_shell *shell, enum flo_agent_role role)
{
    if (shell->loading[role] != NULL) {
        loading_free(shell->loading[role]);
        shell->loading[role] = NULL;
    }
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

/* A step begins, or gets on: the core's limit counts from here. */
static void tell(struct flo_shell *shell, enum flo_agent_role role)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_LOADING,
                                          .role = role};

    flo_queue_post(&shell->queue, &event);
}

/* The model's bytes are wrong, or cannot be read. */
static void lose(struct flo_shell_loading *loading, const struct flo_err *why)
{
    struct flo_shell *shell = loading->shell;
    enum flo_agent_role role = loading->role;
    struct flo_err err = *why;

    flo_shell_load_cancel(shell, role);
    flo_log_err(FLO_LOG_ERROR, "serve", &err);
    flo_shell_lost(shell, role, &err);
}

/* With the packed weights of this descriptor (taken), or without: 0. */
static void start_engine(struct flo_shell_loading *loading, int packed_fd)
{
    struct flo_shell *shell = loading->shell;
    enum flo_agent_role role = loading->role;
    struct flo_serve_model model = loading->model;
    struct flo_err err = {0};

    model.packed_fd = packed_fd;
    model.lacks_packed =
        packed_fd == 0 &&
        flo_packing_is_noted(&shell->unpacked, &loading->digest);
    model.prefix_fd = open_prefix(shell, &model.release);
    loading->model.fd = -1; /* the engine's from here on */
    flo_shell_load_cancel(shell, role);
    if (flo_serve_load(shell->serve,
                       role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT
                                                 : FLO_ROLE_CANDIDATE,
                       &model, &err) < 0) {
        flo_shell_lost(shell, role, &err);
    } else {
        tell(shell, role);
    }
}

/* ---- hashing ------------------------------------------------------ */

static void on_beat(evutil_socket_t fd, short events, void *context)
{
    const struct flo_shell_loading *loading = context;

    (void)fd, (void)events;
    tell(loading->shell, loading->role);
}

static int start_beat(struct flo_shell_loading *loading, struct flo_err *err)
{
    const struct timeval period = {.tv_sec = BEAT_S};

    loading->beat =
        event_new(loading->shell->base, -1, EV_PERSIST, on_beat, loading);
    if (loading->beat == NULL || event_add(loading->beat, &period) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    return 0;
}

/* `done` is told in any case: at once where hashing cannot begin. */
static void hash(struct flo_shell_loading *loading, int fd,
                 flo_hashing_done *done)
{
    struct flo_err err = {0};

    if (flo_hashing_start(loading->shell->base, fd, done, loading,
                          &loading->hashing, &err) < 0) {
        done(loading, NULL, &err);
    } else {
        tell(loading->shell, loading->role);
    }
}

/* ---- packing ------------------------------------------------------ */

/* Nothing came of it: the model's own rows serve. */
static void go_unpacked(struct flo_shell_loading *loading,
                        const struct flo_err *why)
{
    struct flo_shell *shell = loading->shell;
    const struct flo_serve_model *model = &loading->model;
    struct flo_err err = *why;

    if (err.code == FLO_E_NOT_BUILT) {
        flo_log(FLO_LOG_INFO, "packing", "%s@%s: not packed: %s", model->model,
                model->version, err.what);
        flo_packing_note(&shell->unpackable, &loading->digest);
    } else {
        flo_wrap(&err, err.code, "packing %s@%s", model->model, model->version);
        flo_shell_note(shell, "note", &err);
        flo_packing_note(&shell->unpacked, &loading->digest);
        if (loading->packed_fd >= 0 || err.code == FLO_E_ENGINE_HANG) {
            flo_packing_keep_failures(
                shell, &loading->digest,
                flo_packing_failures(shell, &loading->digest) + 1);
        }
    }
    start_engine(loading, 0);
}

static void made_hashed(void *context, const struct flo_digest *digest,
                        const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;
    struct flo_shell *shell = loading->shell;
    const struct flo_serve_model *model = &loading->model;
    struct flo_err err = {0};
    int packed_fd = 0;

    loading->hashing = NULL;
    if (failure != NULL ||
        flo_store_packed_publish(shell->store, loading->packed_fd,
                                 &loading->digest, digest, &err) < 0) {
        go_unpacked(loading, failure != NULL ? failure : &err);
        return;
    }
    flo_log(FLO_LOG_INFO, "packing", "%s@%s: %llu bytes packed after %llu ms",
            model->model, model->version,
            (unsigned long long)loading->packed_bytes,
            (unsigned long long)(flo_now_ms() - loading->started_ms));
    flo_packing_forget_failures(shell, &loading->digest);
    shell->has_packed = true;
    shell->packed_fresh = loading->digest;
    if (flo_store_packed_open(shell->store, &loading->digest, &packed_fd,
                              NULL) < 0) {
        packed_fd = 0;
    }
    start_engine(loading, packed_fd);
}

static int reserve(void *context, uint64_t bytes, int *fd, struct flo_err *err)
{
    struct flo_shell_loading *loading = context;
    int rv = flo_store_packed_create(loading->shell->store, bytes,
                                     &loading->packed_fd, err);

    loading->packed_bytes = bytes;
    *fd = loading->packed_fd;
    return rv;
}

static void packed(void *context, const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;

    loading->packer = NULL;
    if (failure != NULL) {
        go_unpacked(loading, failure);
    } else {
        hash(loading, loading->packed_fd, made_hashed);
    }
}

static uint64_t pack_ms_max(int model_fd)
{
    struct stat st;
    uint64_t ms = PACK_MS_MAX;

    if (fstat(model_fd, &st) == 0) {
        ms = PACK_MS_MIN + (uint64_t)st.st_size / PACK_BYTES_PER_MS;
    }
    return ms < PACK_MS_MAX ? ms : PACK_MS_MAX;
}

static void pack(struct flo_shell_loading *loading)
{
    struct flo_serve_packing request = {.fd = dup(loading->model.fd),
                                        .timeout_ms =
                                            pack_ms_max(loading->model.fd),
                                        .total_ms_max = PACK_TOTAL_MS_MAX,
                                        .idle_ms_max = PACK_IDLE_MS_MAX,
                                        .context = loading,
                                        .reserve = reserve,
                                        .done = packed};
    struct flo_err err = {0};

    if (request.fd < 0) {
        flo_fail_errno(&err, FLO_E_MEMORY, "descriptor");
        go_unpacked(loading, &err);
    } else if (flo_serve_pack(loading->shell->serve, &request, &loading->packer,
                              &err) < 0) {
        go_unpacked(loading, &err);
    } else {
        tell(loading->shell, loading->role);
    }
}

static void on_again(evutil_socket_t fd, short events, void *context);

/* A packer that was killed and still syncs holds the room on the disk.  One
 * that does so for a minute is not waited for. */
static bool waits_for_room(struct flo_shell_loading *loading)
{
    struct flo_shell *shell = loading->shell;

    if (flo_serve_killed_pid(shell->serve) == 0 ||
        flo_now_ms() - loading->started_ms >= PACK_MS_MAX) {
        return false;
    }
    if (loading->again == NULL) {
        loading->again = evtimer_new(shell->base, on_again, loading);
    }
    if (loading->again != NULL) {
        flo_shell_later(loading->again, AGAIN_MS);
    }
    return loading->again != NULL;
}

static void on_again(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell_loading *loading = context;

    (void)fd, (void)events;
    if (!waits_for_room(loading)) {
        pack(loading);
    }
}

static void begin_packing(struct flo_shell_loading *loading)
{
    struct flo_shell *shell = loading->shell;

    loading->started_ms = flo_now_ms();
    if (flo_packing_failures(shell, &loading->digest) >= PACK_TRIES_MAX) {
        flo_packing_note(&shell->unpacked, &loading->digest);
        start_engine(loading, 0);
    } else if (!waits_for_room(loading)) {
        pack(loading);
    }
}

/* ---- packed weights that are here --------------------------------- */

/* They are gone or wrong, and made anew. */
static void pack_again(struct flo_shell_loading *loading,
                       const struct flo_err *why)
{
    flo_shell_note(loading->shell, "note", why);
    flo_store_packed_remove(loading->shell->store, &loading->digest);
    flo_fd_cleanup(&loading->packed_fd);
    begin_packing(loading);
}

/* The descriptor goes to the engine. */
static void take_packed(struct flo_shell_loading *loading)
{
    int packed_fd = loading->packed_fd;

    loading->packed_fd = -1;
    start_engine(loading, packed_fd);
}

static void packed_hashed(void *context, const struct flo_digest *digest,
                          const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;
    struct flo_err err = {0};

    loading->hashing = NULL;
    if (failure != NULL) {
        pack_again(loading, failure);
    } else if (flo_store_packed_check(loading->shell->store, &loading->digest,
                                      digest, &err) < 0) {
        pack_again(loading, &err);
    } else {
        take_packed(loading);
    }
}

static void find_packed(struct flo_shell_loading *loading)
{
    struct flo_shell *shell = loading->shell;
    const struct flo_digest *digest = &loading->digest;
    struct flo_err err = {0};
    int rv;

    if (!flo_packing_is_wanted(shell)) {
        flo_packing_forget_failures(shell, digest);
    }
    if (!flo_packing_is_wanted(shell) ||
        flo_packing_is_noted(&shell->unpackable, digest) ||
        flo_packing_is_noted(&shell->unpacked, digest)) {
        start_engine(loading, 0);
        return;
    }
    rv = flo_store_packed_open(shell->store, digest, &loading->packed_fd, &err);
    if (rv == FLO_E_BLOB_ABSENT) {
        begin_packing(loading);
    } else if (rv < 0) {
        pack_again(loading, &err);
    } else if (flo_digest_equal(&shell->packed_fresh, digest)) {
        take_packed(loading);
    } else {
        hash(loading, loading->packed_fd, packed_hashed);
    }
}

/* ---- the model's file --------------------------------------------- */

static void model_hashed(void *context, const struct flo_digest *digest,
                         const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;
    struct flo_err err = {0};

    loading->hashing = NULL;
    if (failure != NULL) {
        lose(loading, failure);
    } else if (flo_store_blob_check(loading->shell->store, &loading->digest,
                                    digest, &err) < 0) {
        lose(loading, &err);
    } else {
        find_packed(loading);
    }
}

void flo_shell_load_model(struct flo_shell *shell, enum flo_agent_role role,
                          const struct flo_serve_model *model,
                          const struct flo_digest *digest, bool is_fresh)
{
    struct flo_shell_loading *loading = calloc(1, sizeof(*loading));
    struct flo_err err = {0};

    flo_shell_load_cancel(shell, role);
    if (loading == NULL) {
        close(model->fd);
        flo_fail(&err, FLO_E_MEMORY, "loading");
        flo_shell_lost(shell, role, &err);
        return;
    }
    *loading = (struct flo_shell_loading){.shell = shell,
                                          .role = role,
                                          .model = *model,
                                          .digest = *digest,
                                          .packed_fd = -1};
    if (model->chat_template != NULL) {
        loading->chat_template = strdup(model->chat_template);
        loading->model.chat_template = loading->chat_template;
    }
    shell->loading[role] = loading;
    if (start_beat(loading, &err) < 0) {
        lose(loading, &err);
    } else if (is_fresh) {
        find_packed(loading);
    } else {
        hash(loading, loading->model.fd, model_hashed);
    }
}

void flo_shell_packed_refused(struct flo_shell *shell,
                              const struct flo_digest *digest)
{
    bool is_again = flo_digest_equal(&shell->packed_again, digest);

    flo_store_packed_remove(shell->store, digest);
    memset(&shell->packed_fresh, 0, sizeof(shell->packed_fresh));
    shell->packed_again = *digest;
    if (is_again) {
        flo_packing_note(&shell->unpacked, digest);
        flo_packing_keep_failures(shell, digest, PACK_TRIES_MAX);
    }
}
