/* Engines: turns the reports of agent/serve into events of the core. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>
#include <flotilla/metrics.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/report/request.h"
#include "agent/shell/serving/serving.h"

static enum flo_agent_role agent_role(enum flo_serve_role role)
{
    return role == FLO_ROLE_CURRENT ? FLO_AGENT_CURRENT : FLO_AGENT_BESIDE;
}

/* ---- what serve tells ---- */

/* Loads the release again without the packed weights, which its engine
 * refused. */
static void load_again(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                       const struct flo_err *err)
{
    struct flo_agent_action again = {.kind = FLO_DO_LOAD,
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

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err)
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
    if (!status.roles[role].is_loaded) {
        return; /* the engine has ended meanwhile, and its end is reported next */
    }
    event.is_linked = status.roles[role].is_silent;
    if (status.roles[role].is_packed) {
        flo_shell_packed_accepted(shell);
    }
    flo_log(FLO_LOG_INFO, "serve", "engine %s ready after %llu ms: %s%s",
            role == FLO_ROLE_CURRENT ? "current" : "beside", (unsigned long long)load_ms,
            shell->models[model].slots.model,
            status.roles[role].is_packed ? ", weights packed" : "");
    flo_queue_post(&shell->queue, &event);
}

static void on_lost(void *context, unsigned model, enum flo_serve_role role,
                    const struct flo_err *err)
{
    struct flo_shell *shell = context;

    flo_measure_count(&shell->models[model].telemetry.measures, FLO_METRIC_NAME_ENGINE_RESTARTS, 1);
    flo_shell_lost(shell, model, agent_role(role), err);
}

static void on_request(void *context, unsigned model, const struct flo_serve_request_stats *stats)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {
        .kind = FLO_AGENT_REQUEST, .model = model, .release = stats->release};

    flo_telemetry_request(&shell->models[model].telemetry.measures, stats);
    flo_telemetry_recent(&shell->models[model], stats);
    if (flo_trouble_is_read(stats->error)) {
        struct flo_err err = {0};
        flo_fail(&err, stats->error,
                 "requests to %s failed: the disk does not give the bytes of "
                 "its files",
                 shell->models[model].slots.model);
        flo_shell_unread(shell, &err, false);
    }
    event.error.code = stats->error;
    if (!flo_queue_offer_request(&shell->queue, &event)) {
        flo_log(FLO_LOG_ERROR, "core", "too many events wait, a request's end is left out");
    }
}

static void on_feedback(void *context, unsigned model, bool is_good)
{
    struct flo_shell *shell = context;
    struct flo_measures *measures = &shell->models[model].telemetry.measures;

    if (is_good) {
        flo_measure_count(measures, FLO_METRIC_NAME_FEEDBACK_GOOD, 1);
    } else {
        flo_measure_count(measures, FLO_METRIC_NAME_FEEDBACK_BAD, 1);
    }
}

/* Counts a request that another device or a server answered, by its reason. */
static void count_away(struct flo_measures *measures, enum flo_fallback_reason reason)
{
    static const int metrics[FLO_FALLBACK_REASONS] = {
        [FLO_FALLBACK_DOWN] = FLO_METRIC_NAME_AWAY_DOWN,
        [FLO_FALLBACK_LOADING] = FLO_METRIC_NAME_AWAY_LOADING,
        [FLO_FALLBACK_QUEUE] = FLO_METRIC_NAME_AWAY_QUEUE,
        [FLO_FALLBACK_LONG] = FLO_METRIC_NAME_AWAY_LONG,
        [FLO_FALLBACK_FORM] = FLO_METRIC_NAME_AWAY_FORM,
        [FLO_FALLBACK_APP] = FLO_METRIC_NAME_AWAY_APP,
    };

    if (reason < FLO_FALLBACK_REASONS) {
        flo_measure_count(measures, metrics[reason], 1);
    }
}

/* Counts the result of a request that left its model.  A model of this device as
 * the target counts nothing here, because no prompt left: it counts the request
 * as its own.  A route whose name is no model has no model to count for. */
static void on_fallback(void *context, unsigned model, enum flo_fallback_kind kind,
                        enum flo_fallback_reason reason, bool has_failed)
{
    struct flo_shell *shell = context;

    if (model >= FLO_AGENT_MODELS_MAX || kind == FLO_TARGET_MODEL) {
        return;
    }
    struct flo_measures *measures = &shell->models[model].telemetry.measures;
    if (has_failed) {
        flo_measure_count(measures, FLO_METRIC_NAME_AWAY_FAILED, 1);
    } else {
        count_away(measures, reason);
    }
}

static void on_first_answer(void *context, unsigned model, const struct flo_digest *release,
                            uint64_t since_flip_ms)
{
    struct flo_shell *shell = context;
    struct flo_release_ref ref;
    char digest[FLO_DIGEST_TEXT];

    (void)model;
    flo_shell_ref(shell, release, &ref);
    flo_digest_text(release, digest);
    flo_notes_serving(shell->db,
                      json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "type", "serving", "serving",
                                "ready", "model", ref.model, "release", digest, "version",
                                ref.version, "first_answer_ms", (json_int_t)since_flip_ms));
    flo_queue_wake(&shell->queue);
}

static void on_drained(void *context, unsigned model, const struct flo_digest *release)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DRAINED, .model = model, .release = *release};
    struct flo_shell *shell = context;

    flo_queue_post(&shell->queue, &event);
}

static void on_adapter(void *context, unsigned model, enum flo_serve_role role, const char *name,
                       const struct flo_err *err)
{
    (void)role; /* only the current role loads adapters */
    flo_shell_host_adapter(context, model, name, err);
}

static void on_wanted(void *context, unsigned model)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_WANTED, .model = model};
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
        .on_adapter = on_adapter,
        .on_engine_lost = on_lost,
        .on_request = on_request,
        .on_feedback = on_feedback,
        .on_fallback = on_fallback,
        .on_first_answer = on_first_answer,
        .on_drained = on_drained,
        .on_wanted = on_wanted,
    };
    char engine[4096], spent_file[4200];
    const struct flo_api_rules *rules = &shell->settings.rules;
    struct flo_serve_options options = {
        .engine_path = engine,
        .accepts_inexact = flo_config_bool(config, "accept_inexact"),
        .backend = flo_config_text(config, "backend"),
        .listen = shell->is_local ? nowhere : shell->settings.listen,
        .token = shell->settings.token,
        .origins = shell->settings.origins,
        .shared_prefixes = rules->shared_prefixes,
        .has_no_page = !flo_config_bool(config, "page"),
        .has_no_ollama = !flo_config_bool(config, "ollama"),
        .has_no_anthropic = !flo_config_bool(config, "anthropic"),
        .batch_folder = shell->is_local ? NULL : flo_config_text(config, "batch_folder"),
        /* a batch folder that cannot be used does not stop the device from
         * serving */
        .batch_may_fail = true,
        .batch_bytes_max = flo_config_u64(config, "batch_limit"),
        .batch_keep_ms = flo_config_u64(config, "batch_keep"),
        .batch_delivered_ms = flo_config_u64(config, "batch_keep_fetched"),
        .tokens = rules->tokens,
        .n_tokens = rules->n_tokens,
        .guards = rules->guards,
        .n_guards = rules->n_guards,
        .endpoints = rules->endpoints,
        /* the engines of a command answer no client, so nothing leaves */
        .n_endpoints = shell->is_local ? 0 : rules->n_endpoints,
        .fallbacks = rules->fallbacks,
        .n_fallbacks = shell->is_local ? 0 : rules->n_fallbacks,
        .spent_file = spent_file,
        .keeps_prompts = flo_shell_prompts_stay(shell),
        .pipelines = shell->settings.pipelines,
        .n_pipelines = (uint32_t)shell->settings.pipeline_count,
        .hold_ms_max = flo_config_u64(config, "hold"),
        .hang_ms_max = flo_config_u64(config, "hang"),
        .sandbox = shell->settings.sandbox,
        .is_apart = !shell->is_local,
    };

    if (!flo_path_join(spent_file, sizeof(spent_file), shell->settings.state_dir, "routes.json")) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    FLO_TRY(flo_serve_engine_find(flo_config_text(config, "backend"), engine, sizeof(engine), err));
    return flo_serve_open(shell->base, &options, &handlers, &shell->serve, err);
}
