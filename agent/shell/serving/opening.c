/* Opening: opens a release as its document and agent.yaml say.
 *
 * The updater has just hashed a release that was staged since the agent
 * started.  Any other release is hashed before it is loaded, and so is every
 * release after the loss of an engine. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/device/runtimes.h"
#include "agent/shell/serving/serving.h"

static void text_free(char **text)
{
    free(*text);
}

/* Reads the chat template that agent.yaml names for the model; NULL: none is
 * named.  If the file is unreadable, its name is returned as the template,
 * which the engine refuses.  So no other template than the configured one is
 * used. */
static char *template_of(const struct flo_config *config, const char *model)
{
    const json_t *tree = flo_config_tree(config, "templates");
    const char *value = json_string_value(json_object_get(tree, model));
    struct flo_err err = {0};
    char *text = NULL;

    if (value != NULL && flo_serve_template_read(value, &text, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
        text = strdup(value);
    }
    return text;
}

/* Starts the runtime that the variant names, with the folder of the variant's
 * files. */
static int load_runtime(struct flo_shell *shell, const struct flo_agent_action *action,
                        const struct flo_release *release,
                        const struct flo_release_variant *variant, bool is_fresh,
                        struct flo_err *err)
{
    const struct flo_release_file *entry = flo_release_entry(release, variant);
    struct flo_digest files[FLO_RELEASE_FILES_MAX];
    struct flo_device_runtime runtime;
    struct flo_serve_model model = {.release = action->release.digest};
    int rv = flo_runtimes_read(&shell->settings, variant->runtime, &runtime, err);

    if (rv == 0) {
        rv = flo_runtimes_plan(&runtime, release, variant, err);
    }
    if (rv == 0) {
        rv = flo_store_tree_open(shell->store, &action->release.digest, release, variant, &model.fd,
                                 err);
    }
    if (rv < 0) {
        flo_runtimes_deinit(&runtime);
        return rv;
    }
    for (uint32_t i = 0; i < variant->file_count; i++) {
        files[i] = release->files[variant->files[i]].digest;
    }
    memcpy(model.model, release->model, sizeof(model.model));
    memcpy(model.version, release->version, sizeof(model.version));
    model.created_s = release->created_at_ms / 1000;
    model.context = flo_shell_context_asked(release, variant);
    model.threads = (uint32_t)flo_config_u64(shell->settings.config, "threads");
    model.runtime = runtime.json;
    model.entry = entry == NULL ? "" : entry->name;
    model.ready_ms = runtime.ready_ms;
    model.stop_ms = runtime.stop_ms;
    model.is_silent = runtime.is_linked;
    flo_shell_load_runtime(shell, action->model, action->role, &model, files,
                           is_fresh ? 0 : variant->file_count);
    flo_runtimes_deinit(&runtime);
    return 0;
}

/* Applies the reductions that the device's sensors have caused: fewer threads
 * for heat and battery, a smaller cache for memory. */
static void step_down(const struct flo_watch *watch, uint32_t place, struct flo_serve_model *model)
{
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    uint32_t rung = watch->rungs[place];

    model->threads_max = watch->limits.is_halved ? watch->limits.threads_max : 0;
    if (rung == 0 || rung >= FLO_MEMORY_RUNGS) {
        return;
    }
    flo_memory_rungs(model->context == 0 ? 2048 : model->context,
                     model->sessions == 0 ? 4 : model->sessions, rungs);
    model->context = rungs[rung].context;
    model->sessions = rungs[rung].sessions;
    model->cache =
        rungs[rung].cache == FLO_MEMORY_CACHE_Q8_0 ? FLO_SERVE_CACHE_Q8_0 : FLO_SERVE_CACHE_F16;
}

/* Returns the reason why a release is loaded without its draft; NULL: none. */
static const char *reason_against_draft(const struct flo_shell *shell,
                                        const struct flo_agent_action *action)
{
    const struct flo_shell_model *model = &shell->models[action->model];

    if (model->pending[action->role].rung > 0 || shell->watch->rungs[action->model] > 0) {
        return "memory is short";
    }
    return flo_digest_equal(&model->lost_release, &action->release.digest)
               ? "an engine that had it ended, or could not load the release"
               : NULL;
}

static int load(struct flo_shell *shell, const struct flo_agent_action *action, struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    const struct flo_release *release;
    const struct flo_config *config = shell->settings.config;
    struct flo_serve_model model = {.release = action->release.digest};
    FLO_CLEANUP(text_free) char *chat_template = NULL;
    bool is_fresh = flo_digest_equal(&shell->models[action->model].fresh, &action->release.digest);

    FLO_TRY(flo_shell_files_of(shell, action, &files, err));
    release = files.release;
    if (!flo_release_is_native(files.variant)) {
        return load_runtime(shell, action, release, files.variant, is_fresh, err);
    }
    FLO_TRY(flo_store_blob_open(shell->store, &files.model->digest, &model.fd, NULL, err));
    int rv = flo_shell_adapter_add(shell, &files, &model, err);
    if (rv < 0) {
        close(model.fd);
        return rv;
    }
    memcpy(model.model, release->model, sizeof(model.model));
    memcpy(model.version, release->version, sizeof(model.version));
    model.created_s = release->created_at_ms / 1000;
    const struct flo_shell_asked asked = flo_shell_asked(shell, release, files.variant);
    model.context = asked.context;
    model.sessions = asked.sessions;
    model.cache = asked.cache;
    model.threads = (uint32_t)flo_config_u64(config, "threads");
    model.chat_template = chat_template = template_of(config, model.model);
    model.memory_bytes_max = flo_config_u64(config, "memory_budget");
    flo_shell_rung_set(shell, action->model, action->role, &model);
    step_down(shell->watch, action->model, &model);
    flo_shell_draft_add(shell, &files, reason_against_draft(shell, action), &model);
    struct flo_shell_digests digests = {.model = files.model->digest};
    if (files.draft != NULL) {
        digests.draft = files.draft->digest;
    }
    flo_shell_load_model(shell, action->model, action->role, &model, &digests, is_fresh);
    return 0;
}

void flo_shell_load_alone(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_err err = {0};

    if (load(shell, action, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
        flo_shell_lost(shell, action->model, action->role, &err);
    }
}
