/* Loading: carries out the steps before an engine gets a model.
 *
 * model file hashed -> draft hashed -> packed weights (derived.h) -> engine
 *
 * files of a release for a runtime hashed -> proxy
 *
 * A file that was staged or derived since the agent started is not hashed
 * again, until an engine is lost. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/derived/hashing.h"
#include "agent/shell/serving/serving.h"

#define BEAT_S 30 /* period of the sign of progress: a quarter of LOAD_MS_MAX of the core */

struct flo_shell_loading {
    struct flo_shell *shell;
    uint32_t model;
    enum flo_agent_role role;
    /* model to load; its descriptor is owned here until the engine starts */
    struct flo_serve_model source;
    char *chat_template; /* text of the model's chat template */
    struct flo_shell_digests digests;
    struct flo_hashing *hashing;
    struct event *beat; /* timer that reports the progress of the load to the core */
    struct flo_deriving *deriving;
    /* names of the runtime and of its entry file, from the release */
    char *runtime, *entry;
    struct flo_digest *files; /* SHA-256 digests that the files of a runtime's release must have */
    uint32_t n_files, next_file;
    int file_fd; /* descriptor of the file being hashed; -1: none */
};

/* ---- the end of it ---- */

static void loading_free(struct flo_shell_loading *loading)
{
    flo_shell_derive_cancel(loading->deriving);
    flo_hashing_cancel(loading->hashing);
    flo_event_drop(&loading->beat);
    flo_serve_model_close(&loading->source);
    flo_fd_cleanup(&loading->file_fd);
    free(loading->chat_template);
    free(loading->runtime);
    free(loading->entry);
    free(loading->files);
    free(loading);
}

void flo_shell_load_cancel(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    struct flo_shell_loading **loading = &shell->models[model].loading[role];

    if (*loading != NULL) {
        loading_free(*loading);
        *loading = NULL;
    }
}

/* Reports to the core that the load makes progress, so that the core's time
 * limit begins again. */
static void tell(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_LOADING, .model = model, .role = role};

    flo_queue_post(&shell->queue, &event);
}

/* Ends the load, because a file has wrong bytes or cannot be read. */
static void lose(struct flo_shell_loading *loading, const struct flo_err *why)
{
    struct flo_shell *shell = loading->shell;
    enum flo_agent_role role = loading->role;
    uint32_t index = loading->model;
    struct flo_err err = *why;

    flo_shell_load_cancel(shell, index, role);
    flo_log_err(FLO_LOG_ERROR, "serve", &err);
    flo_shell_lost(shell, index, role, &err);
}

/* Starts the engine with the packed weights in this descriptor (taken); 0:
 * without packed weights. */
static void start_engine(struct flo_shell_loading *loading, int packed_fd)
{
    struct flo_shell *shell = loading->shell;
    enum flo_agent_role role = loading->role;
    uint32_t index = loading->model;
    struct flo_serve_model model = loading->source;
    struct flo_err err = {0};

    if (model.runtime == NULL) {
        model.packed_fd = packed_fd;
        model.lacks_packed =
            packed_fd == 0 && flo_shell_packed_is_lacking(shell, &loading->digests.model);
        /* Only requests without an adapter use cached prefixes. */
        model.prefix_fd = model.n_adapters > 0 ? 0 : flo_shell_prefix_open(shell, &model.release);
    }
    loading->source.fd = -1; /* the engine owns the descriptors from here on */
    loading->source.draft_fd = 0;
    loading->source.n_adapters = 0;
    int rv = flo_serve_load(shell->serve, index,
                            role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT : FLO_ROLE_CANDIDATE,
                            &model, &err);
    /* The chat template and the other texts of the load were needed until
     * here. */
    flo_shell_load_cancel(shell, index, role);
    if (rv < 0) {
        flo_shell_lost(shell, index, role, &err);
    } else {
        tell(shell, index, role);
    }
}

/* ---- hashing ---- */

static void on_beat(evutil_socket_t fd, short events, void *context)
{
    const struct flo_shell_loading *loading = context;

    (void)fd, (void)events;
    tell(loading->shell, loading->model, loading->role);
}

static int start_beat(struct flo_shell_loading *loading, struct flo_err *err)
{
    const struct timeval period = {.tv_sec = BEAT_S};

    loading->beat = event_new(loading->shell->base, -1, EV_PERSIST, on_beat, loading);
    if (loading->beat == NULL || event_add(loading->beat, &period) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    return 0;
}

/* Begins a load, and cancels the load in progress of the same role; NULL:
 * memory is lacking.  The source is then closed and the load reported as
 * lost. */
static struct flo_shell_loading *begin(struct flo_shell *shell, uint32_t model,
                                       enum flo_agent_role role,
                                       const struct flo_serve_model *source)
{
    struct flo_shell_loading *loading = calloc(1, sizeof(*loading));
    struct flo_err err = {0};

    flo_shell_load_cancel(shell, model, role);
    if (loading == NULL) {
        flo_serve_model_close(source);
        flo_fail(&err, FLO_E_MEMORY, "loading");
        flo_shell_lost(shell, model, role, &err);
        return NULL;
    }
    *loading = (struct flo_shell_loading){
        .shell = shell, .model = model, .role = role, .source = *source, .file_fd = -1};
    shell->models[model].loading[role] = loading;
    return loading;
}

/* Compares the digest of a file with the `wanted` one.  Returns false when they
 * differ or the file could not be hashed; the load has then ended. */
static bool is_right(struct flo_shell_loading *loading, const struct flo_digest *wanted,
                     const struct flo_digest *digest, const struct flo_err *failure)
{
    struct flo_err err = {0};

    if (failure == NULL && flo_store_blob_check(loading->shell->store, wanted, digest, &err) == 0) {
        return true;
    }
    lose(loading, failure != NULL ? failure : &err);
    return false;
}

/* Starts to hash a file of the model.  `done` is always called: at once, if
 * hashing cannot begin. */
static void hash(struct flo_shell_loading *loading, int fd, flo_hashing_done *done)
{
    struct flo_err err = {0};

    if (flo_hashing_start(loading->shell->base, fd, done, loading, &loading->hashing, &err) < 0) {
        done(loading, NULL, &err);
    } else {
        tell(loading->shell, loading->model, loading->role);
    }
}

/* ---- what is derived of the model ---- */

static void on_gets_on(void *context)
{
    const struct flo_shell_loading *loading = context;

    tell(loading->shell, loading->model, loading->role);
}

static void on_derived(void *context, int packed_fd)
{
    struct flo_shell_loading *loading = context;

    loading->deriving = NULL;
    start_engine(loading, packed_fd);
}

static void derive(struct flo_shell_loading *loading)
{
    struct flo_derived_spec spec = {.fd = loading->source.fd,
                                    .model = loading->digests.model,
                                    .context = loading,
                                    .gets_on = on_gets_on,
                                    .done = on_derived};
    struct flo_err err = {0};

    snprintf(spec.name, sizeof(spec.name), "%s@%s", loading->source.model, loading->source.version);
    if (flo_shell_derive(loading->shell, &spec, &loading->deriving, &err) < 0) {
        lose(loading, &err);
    }
}

/* ---- the model's file, and its draft ---- */

/* Leaves a draft with wrong bytes out, and goes on with the load. */
static void draft_hashed(void *context, const struct flo_digest *digest,
                         const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;
    struct flo_err err = {0};

    loading->hashing = NULL;
    if (failure != NULL) {
        flo_shell_draft_leave(&loading->source, failure->what);
    } else if (flo_store_blob_check(loading->shell->store, &loading->digests.draft, digest, &err) <
               0) {
        flo_shell_draft_leave(&loading->source, err.what);
    }
    derive(loading);
}

static void model_hashed(void *context, const struct flo_digest *digest,
                         const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;

    loading->hashing = NULL;
    if (!is_right(loading, &loading->digests.model, digest, failure)) {
        return;
    }
    if (loading->source.draft_fd > 0) {
        hash(loading, loading->source.draft_fd, draft_hashed);
    } else {
        derive(loading);
    }
}

void flo_shell_load_model(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                          const struct flo_serve_model *source,
                          const struct flo_shell_digests *digests, bool is_fresh)
{
    struct flo_shell_loading *loading = begin(shell, model, role, source);
    struct flo_err err = {0};

    if (loading == NULL) {
        return;
    }
    loading->digests = *digests;
    if (source->chat_template != NULL) {
        loading->chat_template = strdup(source->chat_template);
        loading->source.chat_template = loading->chat_template;
    }
    if (start_beat(loading, &err) < 0) {
        lose(loading, &err);
    } else if (is_fresh) {
        derive(loading);
    } else {
        hash(loading, loading->source.fd, model_hashed);
    }
}

/* ---- files of a release for a runtime ---- */

static void hash_next(struct flo_shell_loading *loading);

static void file_hashed(void *context, const struct flo_digest *digest,
                        const struct flo_err *failure)
{
    struct flo_shell_loading *loading = context;

    loading->hashing = NULL;
    flo_fd_cleanup(&loading->file_fd);
    if (is_right(loading, &loading->files[loading->next_file], digest, failure)) {
        loading->next_file++;
        hash_next(loading);
    }
}

static void hash_next(struct flo_shell_loading *loading)
{
    struct flo_err err = {0};

    if (loading->next_file == loading->n_files) {
        start_engine(loading, 0);
        return;
    }
    int rv = flo_store_blob_open(loading->shell->store, &loading->files[loading->next_file],
                                 &loading->file_fd, NULL, &err);
    if (rv == 0) {
        rv = flo_hashing_start(loading->shell->base, loading->file_fd, file_hashed, loading,
                               &loading->hashing, &err);
    }
    if (rv < 0) {
        lose(loading, &err);
    }
}

void flo_shell_load_runtime(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                            const struct flo_serve_model *source, const struct flo_digest *files,
                            uint32_t n_files)
{
    struct flo_shell_loading *loading = begin(shell, model, role, source);
    struct flo_err err = {0};

    if (loading == NULL) {
        return;
    }
    loading->n_files = n_files;
    loading->source.runtime = loading->runtime = strdup(source->runtime);
    loading->source.entry = loading->entry = strdup(source->entry);
    loading->files = calloc(n_files + 1, sizeof(*files));
    if (loading->runtime == NULL || loading->entry == NULL || loading->files == NULL) {
        flo_fail(&err, FLO_E_MEMORY, "loading");
        lose(loading, &err);
        return;
    }
    memcpy(loading->files, files, n_files * sizeof(*files));
    if (start_beat(loading, &err) < 0) {
        lose(loading, &err);
    } else {
        tell(shell, model, role);
        hash_next(loading);
    }
}
