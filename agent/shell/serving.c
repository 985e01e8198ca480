/* Serving: the core's engine actions as calls of agent/serve, and back.
 *
 * A release that was staged in this life of the agent was hashed by the
 * updater a moment ago; everything else is hashed before it is loaded, and so
 * is everything once an engine was lost. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/golden.h>

#include "agent/shell/shell.h"

#define ENGINE_BYTES_EXTRA                                                     \
    (16u << 20) /* what a model needs beside its file                          \
                 */

void flo_shell_lost(struct flo_shell *shell, enum flo_agent_role role,
                    const struct flo_err *err)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST, .role = role};

    /* Perhaps of bytes that are no longer those that were hashed. */
    memset(&shell->fresh, 0, sizeof(shell->fresh));
    memset(&shell->packed_fresh, 0, sizeof(shell->packed_fresh));
    /* An engine that ended while the core was busy has its event already;
     * what fails for its absence in between is the same loss. */
    for (size_t i = 0; i < shell->queue_count; i++) {
        const struct flo_agent_event *waiting =
            &shell->queue[(shell->queue_first + i) % FLO_COUNT(shell->queue)];
        if (waiting->kind == FLO_AGENT_LOST && waiting->role == role) {
            return;
        }
    }
    event.error.code = err->code == 0 ? FLO_E_ENGINE_CRASH : err->code;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", err->what);
    flo_shell_event(shell, &event);
}

static enum flo_agent_role agent_role(enum flo_serve_role role)
{
    return role == FLO_ROLE_CURRENT ? FLO_AGENT_CURRENT : FLO_AGENT_BESIDE;
}

/* ---- releases
 * ------------------------------------------------------------------------ */

static void release_free(struct flo_release **release)
{
    if (*release != NULL) {
        flo_release_deinit(*release);
        free(*release);
    }
}

static int release_get(struct flo_shell *shell, const struct flo_digest *digest,
                       struct flo_release **out, struct flo_err *err)
{
    struct flo_release *release = calloc(1, sizeof(*release));
    int rv;

    if (release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "release");
    }
    rv = flo_store_release_load(shell->store, digest, release, err);
    if (rv < 0) {
        free(release);
        return rv;
    }
    *out = release;
    return 0;
}

void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out)
{
    FLO_CLEANUP(release_free) struct flo_release *release = NULL;

    memset(out, 0, sizeof(*out));
    out->digest = *digest;
    if (!flo_digest_is_zero(digest) &&
        release_get(shell, digest, &release, NULL) == 0) {
        memcpy(out->model, release->model, sizeof(out->model));
        memcpy(out->version, release->version, sizeof(out->version));
    }
}

/* Model file of the variant that is on this device. */
static const struct flo_release_file *
model_file(struct flo_shell *shell, const struct flo_release *release,
           const struct flo_release_variant **variant)
{
    int index = flo_store_release_variant(shell->store, release);

    if (index < 0) {
        return NULL;
    }
    *variant = &release->variants[index];
    return flo_release_variant_file(release, *variant, "model");
}

/* Digest of the model's file; false: it is not here. */
static bool model_digest(struct flo_shell *shell,
                         const struct flo_digest *release_digest,
                         struct flo_digest *out)
{
    FLO_CLEANUP(release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file = NULL;

    if (release_get(shell, release_digest, &release, NULL) == 0) {
        file = model_file(shell, release, &variant);
    }
    if (file != NULL) {
        *out = file->digest;
    }
    return file != NULL;
}

/* ---- what serve tells
 * ---------------------------------------------------------- */

/* The engine does not take the packed weights that it was given. */
static void load_again(struct flo_shell *shell, enum flo_agent_role role,
                       const struct flo_err *err)
{
    struct flo_agent_action again = {.kind = FLO_DO_LOAD,
                                     .role = role,
                                     .release =
                                         shell->agent.engines[role].release};
    struct flo_digest model;

    flo_log_err(FLO_LOG_WARN, "serve", err);
    if (model_digest(shell, &again.release.digest, &model)) {
        flo_shell_packed_refused(shell, &model);
        flo_shell_load(shell, &again);
    } else {
        flo_shell_lost(shell, role, err);
    }
}

static void on_loaded(void *context, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {.kind = FLO_AGENT_LOADED,
                                    .role = agent_role(role)};
    struct flo_serve_status status;

    if (err != NULL && err->code == FLO_E_PACKED) {
        load_again(shell, agent_role(role), err);
        return;
    }
    if (err != NULL) {
        flo_shell_lost(shell, agent_role(role), err);
        return;
    }
    flo_serve_get_status(shell->serve, &status);
    if (status.roles[role].is_packed) {
        memset(&shell->packed_again, 0, sizeof(shell->packed_again));
    }
    flo_log(FLO_LOG_INFO, "serve", "engine %s ready after %llu ms%s",
            role == FLO_ROLE_CURRENT ? "current" : "beside",
            (unsigned long long)load_ms,
            status.roles[role].is_packed ? ", weights packed" : "");
    flo_shell_event(shell, &event);
}

static void on_lost(void *context, enum flo_serve_role role,
                    const struct flo_err *err)
{
    struct flo_shell *shell = context;

    flo_measure_count(&shell->telemetry.measures,
                      FLO_METRIC_NAME_ENGINE_RESTARTS, 1);
    flo_shell_lost(shell, agent_role(role), err);
}

static void on_request(void *context,
                       const struct flo_serve_request_stats *stats)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {.kind = FLO_AGENT_REQUEST,
                                    .release = stats->release};

    flo_telemetry_request(&shell->telemetry.measures, stats);
    event.error.code = stats->error;
    flo_shell_event(shell, &event);
}

static void on_first_answer(void *context, const struct flo_digest *release,
                            uint64_t since_flip_ms)
{
    struct flo_shell *shell = context;
    struct flo_release_ref ref;
    char digest[FLO_DIGEST_TEXT];

    flo_shell_ref(shell, release, &ref);
    flo_digest_text(release, digest);
    flo_notes_serving(
        shell->db, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "type",
                             "serving", "serving", "ready", "model", ref.model,
                             "release", digest, "version", ref.version,
                             "first_answer_ms", (json_int_t)since_flip_ms));
    flo_shell_link_flush(shell);
}

static void on_drained(void *context, const struct flo_digest *release)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DRAINED,
                                    .release = *release};

    flo_shell_event(context, &event);
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
    struct flo_serve_options options = {
        .engine_path = engine,
        .listen = shell->is_local ? nowhere : shell->settings.listen,
        .token = shell->settings.token,
        .hold_ms_max = flo_config_u64(config, "hold"),
        .hang_ms_max = flo_config_u64(config, "hang"),
        .sandbox = shell->settings.sandbox,
    };

    if (!flo_process_sibling("flotilla-engine", engine, sizeof(engine))) {
        return flo_fail(err, FLO_E_ABSENT,
                        "the program flotilla-engine is not installed");
    }
    return flo_serve_open(shell->base, &options, &handlers, &shell->serve, err);
}

/* ---- memory and loading
 * ------------------------------------------------------------------------ */

static uint64_t memory_of(struct flo_shell *shell,
                          const struct flo_digest *digest)
{
    FLO_CLEANUP(release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file;

    if (flo_digest_is_zero(digest) ||
        release_get(shell, digest, &release, NULL) < 0) {
        return 0;
    }
    file = model_file(shell, release, &variant);
    if (file == NULL) {
        return 0;
    }
    return variant->memory_bytes != 0 ? variant->memory_bytes
                                      : file->bytes + ENGINE_BYTES_EXTRA;
}

bool flo_shell_fits_both(struct flo_shell *shell, const struct flo_digest *a,
                         const struct flo_digest *b)
{
    uint64_t needed = memory_of(shell, a) + memory_of(shell, b);

    if (flo_config_u64(shell->settings.config, "memory_budget") != 0) {
        return needed <= shell->machine.memory_bytes;
    }
    return needed <= shell->machine.memory_bytes &&
           memory_of(shell, b) <= flo_machine_memory_free();
}

static void text_free(char **text)
{
    free(*text);
}

/* What agent.yaml names for the model; NULL: nothing.  When its file cannot be
 * read the engine gets the file's name, knows no such template, and refuses to
 * chat: never another form than the one that was wished for. */
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

static int load(struct flo_shell *shell, const struct flo_agent_action *action,
                struct flo_err *err)
{
    FLO_CLEANUP(release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file;
    const struct flo_config *config = shell->settings.config;
    struct flo_serve_model model = {.release = action->release.digest};
    FLO_CLEANUP(text_free) char *chat_template = NULL;
    bool is_fresh = flo_digest_equal(&shell->fresh, &action->release.digest);
    int rv = release_get(shell, &action->release.digest, &release, err);

    if (rv < 0) {
        return rv;
    }
    file = model_file(shell, release, &variant);
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
    model.context = (uint32_t)flo_config_u64(config, "context");
    if (model.context == 0) {
        model.context = variant->context;
    }
    model.threads = (uint32_t)flo_config_u64(config, "threads");
    model.sessions = (uint32_t)flo_config_u64(config, "sessions");
    model.chat_template = chat_template = template_of(config, model.model);
    model.memory_bytes_max = flo_config_u64(config, "memory_budget");
    flo_shell_load_model(shell, action->role, &model, &file->digest, is_fresh);
    return 0;
}

void flo_shell_load(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    struct flo_err err = {0};

    if (load(shell, action, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
        flo_shell_lost(shell, action->role, &err);
    }
}

/* ---- probe
 * --------------------------------------------------------------------------------
 */

static void probed(void *context, const struct flo_probe_result *result)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_PROBED};

    event.detail.cases = result->cases;
    event.detail.passed = result->passed;
    event.detail.memory_bytes = result->memory_bytes;
    if (result->token_us_current > 0) {
        event.detail.ratio =
            result->token_us_candidate / result->token_us_current;
    }
    event.error.code = result->error;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s",
             result->what);
    flo_shell_event(context, &event);
}

static double smaller(double a, double b)
{
    if (a <= 0 || b <= 0) {
        return a > b ? a : b;
    }
    return a < b ? a : b;
}

static int golden_read(struct flo_shell *shell,
                       const struct flo_release *release, char **text,
                       size_t *bytes, struct flo_err *err)
{
    const struct flo_release_file *file =
        release->probe_golden[0] == '\0'
            ? NULL
            : flo_release_find(release, release->probe_golden);
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t size;
    int rv;

    if (file == NULL) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN,
                        "%s@%s brings no golden prompts", release->model,
                        release->version);
    }
    if (file->bytes > FLO_GOLDEN_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "golden prompts of %llu bytes, at most %u",
                        (unsigned long long)file->bytes, FLO_GOLDEN_BYTES_MAX);
    }
    rv = flo_store_blob_open_verified(shell->store, &file->digest, &fd, &size,
                                      err);
    if (rv < 0) {
        return rv;
    }
    *text = malloc((size_t)size + 1);
    if (*text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden prompts");
    }
    (*text)[size] = '\0';
    *bytes = (size_t)size;
    return flo_fd_pread_all(fd, *text, (size_t)size, 0, err);
}

void flo_shell_probe(struct flo_shell *shell,
                     const struct flo_agent_action *action)
{
    FLO_CLEANUP(release_free) struct flo_release *release = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    const struct flo_policy *policy = &shell->agent.execution.policy;
    struct flo_probe_limits limits = {.timeout_ms = policy->probe_timeout_ms};
    struct flo_err err = {0};
    size_t bytes = 0;
    int rv = release_get(shell, &action->release.digest, &release, &err);

    if (rv == 0) {
        rv = golden_read(shell, release, &text, &bytes, &err);
    }
    if (rv == 0) {
        limits.speed_ratio_max = smaller(policy->probe_speed_ratio_max,
                                         release->probe_speed_ratio_max);
        limits.memory_bytes_max = release->probe_memory_bytes_max;
        rv = flo_serve_probe(shell->serve, text, bytes, &limits, probed, shell,
                             &err);
    }
    if (rv < 0) {
        struct flo_probe_result result = {.error = err.code};
        snprintf(result.what, sizeof(result.what), "%.255s", err.what);
        probed(shell, &result);
    }
}
