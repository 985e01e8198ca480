/* Serving: the core's engine actions as calls of agent/serve, and back.
 *
 * The updater has just hashed a release that was staged in this life of the
 * agent.  Any other release is hashed before it is loaded, and so is every one
 * once an engine was lost. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/device/runtimes.h"
#include "agent/shell/serving/derived.h"
#include "agent/shell/serving/serving.h"

static enum flo_agent_role agent_role(enum flo_serve_role role)
{
    return role == FLO_ROLE_CURRENT ? FLO_AGENT_CURRENT : FLO_AGENT_BESIDE;
}

/* ---- what serve tells --------------------------------------------------- */

/* The engine does not take the packed weights that it was given. */
static void load_again(struct flo_shell *shell, uint32_t model,
                       enum flo_agent_role role, const struct flo_err *err)
{
    struct flo_agent_action again = {
        .kind = FLO_DO_LOAD,
        .model = model,
        .role = role,
        .release = shell->agent.models[model].engines[role].release};
    struct flo_digest file;

    flo_log_err(FLO_LOG_WARN, "serve", err);
    if (flo_shell_model_digest(shell, &again.release.digest, &file)) {
        flo_shell_packed_refused(shell, &file);
        flo_shell_load(shell, &again);
    } else {
        flo_shell_lost(shell, model, role, err);
    }
}

static void on_loaded(void *context, unsigned model, enum flo_serve_role role,
                      uint64_t load_ms, const struct flo_err *err)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOADED, .model = model, .role = agent_role(role)};
    struct flo_serve_status status;

    if (err != NULL && err->code == FLO_E_PACKED) {
        load_again(shell, model, agent_role(role), err);
        return;
    }
    if (err != NULL) {
        flo_shell_lost(shell, model, agent_role(role), err);
        return;
    }
    flo_serve_get_status(shell->serve, model, &status);
    if (status.roles[role].is_packed) {
        flo_derived_accepted(&shell->derived);
    }
    flo_log(FLO_LOG_INFO, "serve", "engine %s ready after %llu ms: %s%s",
            role == FLO_ROLE_CURRENT ? "current" : "beside",
            (unsigned long long)load_ms, shell->models[model].slots.model,
            status.roles[role].is_packed ? ", weights packed" : "");
    flo_queue_post(&shell->queue, &event);
}

static void on_lost(void *context, unsigned model, enum flo_serve_role role,
                    const struct flo_err *err)
{
    struct flo_shell *shell = context;

    flo_measure_count(&shell->models[model].telemetry.measures,
                      FLO_METRIC_NAME_ENGINE_RESTARTS, 1);
    flo_shell_lost(shell, model, agent_role(role), err);
}

static void on_request(void *context, unsigned model,
                       const struct flo_serve_request_stats *stats)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {
        .kind = FLO_AGENT_REQUEST, .model = model, .release = stats->release};

    flo_telemetry_request(&shell->models[model].telemetry.measures, stats);
    flo_telemetry_recent(&shell->models[model], stats);
    event.error.code = stats->error;
    if (!flo_queue_offer(&shell->queue, &event)) {
        flo_log(FLO_LOG_ERROR, "core",
                "too many events wait, a request's end is left out");
    }
}

static void on_first_answer(void *context, unsigned model,
                            const struct flo_digest *release,
                            uint64_t since_flip_ms)
{
    struct flo_shell *shell = context;
    struct flo_release_ref ref;
    char digest[FLO_DIGEST_TEXT];

    (void)model;
    flo_shell_ref(shell, release, &ref);
    flo_digest_text(release, digest);
    flo_notes_serving(
        shell->db, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "type",
                             "serving", "serving", "ready", "model", ref.model,
                             "release", digest, "version", ref.version,
                             "first_answer_ms", (json_int_t)since_flip_ms));
    flo_queue_wake(&shell->queue);
}

static void on_drained(void *context, unsigned model,
                       const struct flo_digest *release)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_DRAINED, .model = model, .release = *release};
    struct flo_shell *shell = context;

    flo_queue_post(&shell->queue, &event);
}

int flo_shell_serve_open(struct flo_shell *shell, struct flo_err *err)
{
    static const char *const nowhere[] = {NULL};
    const struct flo_config *config = shell->settings.config;
    struct flo_serve_handlers handlers = {
        .context = shell,
        .on_loaded = on_loaded,
        .on_engine_lost = on_lost,
        .on_request = on_request,
        .on_first_answer = on_first_answer,
        .on_drained = on_drained,
    };
    char engine[4096];
    struct flo_serve_token tokens[FLO_SERVE_TOKENS_MAX];
    struct flo_serve_options options = {
        .engine_path = engine,
        .listen = shell->is_local ? nowhere : shell->settings.listen,
        .token = shell->settings.token,
        .tokens = tokens,
        .n_tokens = (uint32_t)shell->settings.token_count,
        .hold_ms_max = flo_config_u64(config, "hold"),
        .hang_ms_max = flo_config_u64(config, "hang"),
        .sandbox = shell->settings.sandbox,
    };

    for (size_t i = 0; i < shell->settings.token_count; i++) {
        tokens[i] = (struct flo_serve_token){shell->settings.tokens[i].name,
                                             shell->settings.tokens[i].secret};
    }
    if (!flo_process_sibling("flotilla-engine", engine, sizeof(engine))) {
        return flo_fail(err, FLO_E_ABSENT,
                        "the program flotilla-engine is not installed");
    }
    return flo_serve_open(shell->base, &options, &handlers, &shell->serve, err);
}

/* ---- memory and loading ------------------------------------------------- */

static void text_free(char **text)
{
    free(*text);
}

/* The chat template that agent.yaml names for the model; NULL: nothing.  When
 * its file cannot be read, the engine gets the file's name, knows no such
 * template and refuses to chat.  It never uses another form than the one that
 * was wished for. */
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

/* The runtime that the variant names, on the tree of its files. */
static int load_runtime(struct flo_shell *shell,
                        const struct flo_agent_action *action,
                        const struct flo_release *release,
                        const struct flo_release_variant *variant,
                        bool is_fresh, struct flo_err *err)
{
    const struct flo_release_file *entry = flo_release_entry(release, variant);
    struct flo_digest files[FLO_RELEASE_FILES_MAX];
    struct flo_device_runtime runtime;
    struct flo_serve_model model = {.release = action->release.digest};
    int rv =
        flo_runtimes_read(&shell->settings, variant->runtime, &runtime, err);

    rv = rv < 0 ? rv
                : flo_store_tree_open(shell->store, &action->release.digest,
                                      release, variant, &model.fd, err);
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
    model.context = variant->context;
    model.threads = (uint32_t)flo_config_u64(shell->settings.config, "threads");
    model.runtime = runtime.json;
    model.entry = entry == NULL ? "" : entry->name;
    model.ready_ms = runtime.ready_ms;
    model.stop_ms = runtime.stop_ms;
    flo_shell_load_runtime(shell, action->model, action->role, &model, files,
                           is_fresh ? 0 : variant->file_count);
    flo_runtimes_deinit(&runtime);
    return 0;
}

static int load(struct flo_shell *shell, const struct flo_agent_action *action,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file;
    const struct flo_config *config = shell->settings.config;
    struct flo_serve_model model = {.release = action->release.digest};
    FLO_CLEANUP(text_free) char *chat_template = NULL;
    bool is_fresh = flo_digest_equal(&shell->models[action->model].fresh,
                                     &action->release.digest);
    int rv =
        flo_shell_release_get(shell, &action->release.digest, &release, err);

    if (rv < 0) {
        return rv;
    }
    file = flo_shell_model_file(shell, release, &variant);
    if (variant != NULL && !flo_release_is_native(variant)) {
        return load_runtime(shell, action, release, variant, is_fresh, err);
    }
    if (file == NULL) {
        return flo_fail(err, FLO_E_BLOB_ABSENT,
                        "%s@%s: a file of it is not on this device",
                        release->model, release->version);
    }
    rv = flo_store_blob_open(shell->store, &file->digest, &model.fd, NULL, err);
    if (rv < 0) {
        return rv;
    }
    memcpy(model.model, release->model, sizeof(model.model));
    memcpy(model.version, release->version, sizeof(model.version));
    model.created_s = release->created_at_ms / 1000;
    model.context = (uint32_t)flo_config_u64(config, "context");
    if (model.context == 0) {
        model.context = variant->context;
    }
    model.threads = (uint32_t)flo_config_u64(config, "threads");
    model.sessions = (uint32_t)flo_config_u64(config, "sessions");
    model.chat_template = chat_template = template_of(config, model.model);
    model.memory_bytes_max = flo_config_u64(config, "memory_budget");
    flo_shell_load_model(shell, action->model, action->role, &model,
                         &file->digest, is_fresh);
    return 0;
}

void flo_shell_load(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    struct flo_err err = {0};

    if (load(shell, action, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
        flo_shell_lost(shell, action->model, action->role, &err);
    }
}
