/* Loading: the steps before an engine gets a model.
 *
 *   the model's file hashed -> what is derived of it (derived.h) -> the engine
 *
 * Files that were staged or packed in this life of the agent need no new hash,
 * until an engine is lost. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/serving/derived.h"
#include "agent/shell/serving/hashing.h"
#include "agent/shell/serving/serving.h"

#define BEAT_S 30 /* a quarter of the core's wait for a sign of life */

struct flo_shell_loading {
    struct flo_shell *shell;
    enum flo_agent_role role;
    struct flo_serve_model model; /* its descriptor waits here */
    char *chat_template;          /* ... and its template's text */
    struct flo_digest digest;     /* of the model's file */
    struct flo_hashing *hashing;
    struct event *beat; /* tells the core that it gets on */
    struct flo_deriving *deriving;
};

/* ---- the end of it ------------------------------------------------ */

static void loading_free(struct flo_shell_loading *loading)
{
    flo_shell_derive_cancel(loading->deriving);
    flo_hashing_cancel(loading->hashing);
    if (loading->beat != NULL) {
        event_free(loading->beat);
    }
    flo_fd_cleanup(&loading->model.fd);
    free(loading->chat_template);
    free(loading);
}

void flo_shell_load_cancel(struct flo_shell *shell, enum flo_agent_role role)
{
    if (shell->models[0].loading[role] != NULL) {
        loading_free(shell->models[0].loading[role]);
        shell->models[0].loading[role] = NULL;
    }
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
        flo_derived_is_lacking(&shell->derived, &loading->digest);
    model.prefix_fd = flo_shell_prefix_open(shell, &model.release);
    loading->model.fd = -1; /* the engine's from here on */
    flo_shell_load_cancel(shell, role);
    if (flo_serve_load(shell->serve, 0,
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
static void hash(struct flo_shell_loading *loading, flo_hashing_done *done)
{
    struct flo_err err = {0};

    if (flo_hashing_start(loading->shell->base, loading->model.fd, done,
                          loading, &loading->hashing, &err) < 0) {
        done(loading, NULL, &err);
    } else {
        tell(loading->shell, loading->role);
    }
}

/* ---- what is derived of the model --------------------------------- */

static void on_gets_on(void *context)
{
    const struct flo_shell_loading *loading = context;

    tell(loading->shell, loading->role);
}

static void on_derived(void *context, int packed_fd)
{
    struct flo_shell_loading *loading = context;

    loading->deriving = NULL;
    start_engine(loading, packed_fd);
}

static void derive(struct flo_shell_loading *loading)
{
    struct flo_derived_wish wish = {.fd = loading->model.fd,
                                    .model = loading->digest,
                                    .context = loading,
                                    .gets_on = on_gets_on,
                                    .done = on_derived};
    struct flo_err err = {0};

    snprintf(wish.name, sizeof(wish.name), "%s@%s", loading->model.model,
             loading->model.version);
    if (flo_shell_derive(loading->shell, &wish, &loading->deriving, &err) < 0) {
        lose(loading, &err);
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
        derive(loading);
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
    *loading = (struct flo_shell_loading){
        .shell = shell, .role = role, .model = *model, .digest = *digest};
    if (model->chat_template != NULL) {
        loading->chat_template = strdup(model->chat_template);
        loading->model.chat_template = loading->chat_template;
    }
    shell->models[0].loading[role] = loading;
    if (start_beat(loading, &err) < 0) {
        lose(loading, &err);
    } else if (is_fresh) {
        derive(loading);
    } else {
        hash(loading, model_hashed);
    }
}
