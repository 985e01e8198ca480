/* Hosted: serves a release with the engine of another release that has the same
 * base model.
 *
 * A request names the adapter with which its engine computes, so one engine
 * serves releases that differ only in an adapter.  A candidate is probed in its
 * own process, so that a bad adapter crashes only that process.  When the
 * candidate serves, its adapter is loaded into the current engine and the
 * process ends.  A rollback loads the former adapter, or none.  If another base
 * or a lack of memory prevents this, two engines are exchanged as for any other
 * release.
 *
 * The core does not know of this: for it the two roles have an engine each. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/serving/serving.h"

static struct flo_hosting *hosting_of(struct flo_shell *shell, uint32_t model)
{
    return &shell->models[model].hosting;
}

static bool is_same_draft(const struct flo_release_file *one, const struct flo_release_file *other)
{
    return one == NULL || other == NULL ? one == other
                                        : flo_digest_equal(&one->digest, &other->digest);
}

/* Tells whether an engine is opened with the same numbers and the same draft for
 * both releases. */
static bool opens_alike(const struct flo_shell *shell, const struct flo_shell_files *one,
                        const struct flo_shell_files *other)
{
    struct flo_shell_asked a = flo_shell_asked(shell, one->release, one->variant);
    struct flo_shell_asked b = flo_shell_asked(shell, other->release, other->variant);

    return a.context == b.context && a.sessions == b.sessions && a.cache == b.cache &&
           is_same_draft(one->draft, other->draft);
}

/* Tells whether the current engine has opened the base model of this release,
 * with the same context, sessions, cache and draft. */
static bool has_base(struct flo_shell *shell, uint32_t model, const struct flo_shell_files *files)
{
    const struct flo_agent_engine *current = &shell->agent.models[model].engines[FLO_AGENT_CURRENT];
    struct flo_shell_files own;
    bool is_same = false;

    if (current->state == FLO_ENGINE_READY &&
        flo_shell_files_get(shell, &current->release.digest, &own, NULL) == 0) {
        is_same = flo_release_is_native(own.variant) && flo_release_is_native(files->variant) &&
                  flo_digest_equal(&own.model->digest, &files->model->digest) &&
                  opens_alike(shell, &own, files);
        flo_shell_files_free(&own);
    }
    return is_same;
}

static void drop(struct flo_shell *shell, uint32_t model, const char *name)
{
    struct flo_err err = {0};

    if (name[0] != '\0' &&
        flo_serve_adapter_drop(shell->serve, model, FLO_ROLE_CURRENT, name, &err) < 0) {
        /* If the engine cannot drop the adapter, only that adapter's memory is
         * lost. */
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
}

static bool load_adapter(struct flo_shell *shell, uint32_t model,
                         const struct flo_shell_files *files)
{
    struct flo_serve_adapter adapter = {.is_private = true};
    struct flo_err err = {0};
    int rv = flo_store_blob_open_verified(shell->store, &files->adapter->digest, &adapter.fd, NULL,
                                          &err);

    if (rv == 0) {
        memcpy(adapter.name, files->adapter_name, sizeof(files->adapter_name));
        rv = flo_serve_adapter_load(shell->serve, model, FLO_ROLE_CURRENT, &adapter, &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    } else {
        snprintf(hosting_of(shell, model)->awaited, sizeof(hosting_of(shell, model)->awaited), "%s",
                 files->adapter_name);
    }
    return rv == 0;
}

/* Makes the second role use the current engine with the adapter `guest`. */
static bool share(struct flo_shell *shell, uint32_t model, const char *guest)
{
    struct flo_hosting *hosting = hosting_of(shell, model);
    struct flo_err err = {0};

    if (flo_serve_share(shell->serve, model, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
        return false;
    }
    hosting->is_shared = true;
    snprintf(hosting->guest, sizeof(hosting->guest), "%s", guest);
    return true;
}

static void tell_loaded(struct flo_shell *shell, uint32_t model)
{
    const struct flo_agent_event event = {
        .kind = FLO_AGENT_LOADED, .model = model, .role = FLO_AGENT_BESIDE};

    flo_queue_post(&shell->queue, &event);
}

/* Loads a release for a rollback into the current engine, if that engine has
 * its base model.  Returns true when the event FLO_AGENT_LOADED follows. */
static bool host_load(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_hosting *hosting = hosting_of(shell, action->model);
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    bool is_begun;

    if (action->role != FLO_AGENT_BESIDE ||
        !shell->agent.models[action->model].going_back.is_active ||
        flo_shell_files_get(shell, &action->release.digest, &files, NULL) < 0 ||
        !has_base(shell, action->model, &files)) {
        return false;
    }
    if (files.adapter == NULL || strcmp(hosting->own, files.adapter_name) == 0) {
        is_begun = share(shell, action->model, files.adapter_name);
        if (is_begun) {
            tell_loaded(shell, action->model);
        }
        return is_begun;
    }
    is_begun = load_adapter(shell, action->model, &files);
    if (is_begun) {
        hosting->step = FLO_HOSTING_BACK;
        hosting->release = action->release;
    }
    return is_begun;
}

void flo_shell_host_flipped(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_hosting *hosting = hosting_of(shell, action->model);
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};

    if (shell->agent.models[action->model].live == FLO_AGENT_BESIDE &&
        action->role == FLO_AGENT_BESIDE && !hosting->is_shared &&
        hosting->step == FLO_HOSTING_NOTHING &&
        flo_shell_files_get(shell, &action->release.digest, &files, NULL) == 0 &&
        files.adapter != NULL && has_base(shell, action->model, &files) &&
        load_adapter(shell, action->model, &files)) {
        hosting->step = FLO_HOSTING_MOVE;
        hosting->release = action->release;
    }
}

/* Tells whether the adapter that is being loaded is still needed. */
static bool is_wanted(const struct flo_shell *shell, uint32_t model,
                      const struct flo_hosting *hosting)
{
    const struct flo_agent_model *core = &shell->agent.models[model];
    const struct flo_agent_engine *beside = &core->engines[FLO_AGENT_BESIDE];

    return flo_digest_equal(&beside->release.digest, &hosting->release.digest) &&
           (hosting->step == FLO_HOSTING_BACK
                ? beside->state == FLO_ENGINE_LOADING
                : beside->state == FLO_ENGINE_READY && core->live == FLO_AGENT_BESIDE);
}

void flo_shell_host_adapter(struct flo_shell *shell, uint32_t model, const char *name,
                            const struct flo_err *err)
{
    struct flo_hosting *hosting = hosting_of(shell, model);
    const struct flo_hosting was = *hosting;

    if (was.step == FLO_HOSTING_NOTHING || strcmp(name, was.awaited) != 0) {
        return; /* the answer is about a drop, or about an engine that has ended */
    }
    hosting->step = FLO_HOSTING_NOTHING;
    if (err != NULL) {
        flo_log(FLO_LOG_INFO, "serve", "%s stays out of the current engine: %s", name, err->what);
    } else if (!is_wanted(shell, model, &was)) {
        drop(shell, model, strcmp(name, was.own) == 0 ? "" : name);
        return;
    } else if (share(shell, model, name)) {
        flo_log(FLO_LOG_INFO, "serve", "%s@%s is in the current engine", was.release.model,
                was.release.version);
        if (was.step == FLO_HOSTING_BACK) {
            tell_loaded(shell, model);
        }
        return;
    }
    if (was.step == FLO_HOSTING_BACK && is_wanted(shell, model, &was)) {
        const struct flo_agent_action alone = {
            .kind = FLO_DO_LOAD, .model = model, .role = FLO_AGENT_BESIDE, .release = was.release};
        flo_shell_load_alone(shell, &alone);
    }
}

/* Clears the state of hosting, and sets the current engine's adapter to that of
 * `release`.  The caller calls it when an engine is loaded or removed, and when
 * the candidate's engine becomes the current one. */
static void host_loads(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                       const struct flo_digest *release)
{
    struct flo_hosting *hosting = hosting_of(shell, model);
    struct flo_shell_files files;

    if (role != FLO_AGENT_CURRENT) {
        return;
    }
    memset(hosting, 0, sizeof(*hosting));
    if (flo_shell_files_get(shell, release, &files, NULL) == 0) {
        memcpy(hosting->own, files.adapter_name, sizeof(files.adapter_name));
        flo_shell_files_free(&files);
    }
}

void flo_shell_host_unloaded(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    struct flo_hosting *hosting = hosting_of(shell, model);

    if (role == FLO_AGENT_BESIDE && hosting->is_shared &&
        strcmp(hosting->guest, hosting->own) != 0) {
        drop(shell, model, hosting->guest);
    }
    hosting->is_shared = false;
    hosting->guest[0] = '\0';
}

void flo_shell_host_promoted(struct flo_shell *shell, uint32_t model)
{
    struct flo_hosting *hosting = hosting_of(shell, model);
    const struct flo_digest *release =
        &shell->agent.models[model].engines[FLO_AGENT_CURRENT].release.digest;
    const struct flo_hosting was = *hosting;

    /* An adapter that was being loaded into the old engine is lost with it. */
    host_loads(shell, model, FLO_AGENT_CURRENT, release);
    if (was.is_shared && strcmp(was.own, was.guest) != 0) {
        drop(shell, model, was.own);
    }
}

void flo_shell_load(struct flo_shell *shell, const struct flo_agent_action *action)
{
    if (!host_load(shell, action)) {
        host_loads(shell, action->model, action->role, &action->release.digest);
        flo_shell_load_alone(shell, action);
    }
}
