/* Metrics: writes the numbers of serving in Prometheus' text format. */
#include "agent/serve/api/api.h"
#include "agent/serve/engines/engines.h"
#include "agent/serve/fallback/fallback.h"
#include "agent/serve/guard/guard.h"

#include <stddef.h>

static void add_number(struct flo_buf *out, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                   (unsigned long long)value);
}

/* Writes the memory of a model's processes.  `is_pss`: a page that several
 * processes use counts in parts. */
static void add_memory(const struct serve_place *place, bool is_pss, struct flo_buf *out)
{
    static const char *const names[FLO_ROLE_COUNT] = {"current", "candidate"};
    for (int i = 0; i < FLO_ROLE_COUNT; i++) {
        const struct serve_engine *engine = place->roles[i];
        uint64_t bytes = 0;
        if (engine != NULL && (is_pss ? flo_process_pss(engine->pid, &bytes)
                                      : flo_serve_engine_memory(engine, &bytes, NULL))) {
            flo_buf_printf(out,
                           "flotilla_engine_%s_bytes{role=\"%s\",model=\"%s\","
                           "version=\"%s\"} %llu\n",
                           is_pss ? "pss" : "rss", names[i], engine->model, engine->version,
                           (unsigned long long)bytes);
        }
    }
}

static void add_serving(const struct serve_place *place, struct flo_buf *out)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    char digest[FLO_DIGEST_TEXT];
    if (live != NULL) {
        const struct flo_serve_route *route = &place->route;
        flo_digest_text(place->has_route ? &route->release : &live->release, digest);
        flo_buf_printf(out,
                       "flotilla_serving_info{model=\"%s\",version=\"%s\","
                       "release=\"%s\",kernel=\"%s\"} 1\n",
                       place->has_route ? route->model : live->model,
                       place->has_route ? route->version : live->version, digest, live->kernel);
    }
}

static const char *name_of(const struct serve_place *place)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    return place->has_route ? place->route.model : live != NULL ? live->model : NULL;
}

/* Writes one metric with a line for each model. */
static void add_per_model(const struct flo_serve *serve, const char *name, const char *type,
                          const char *help, size_t offset, struct flo_buf *out)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *place = &serve->places[i];
        const char *model = name_of(place);
        if (model != NULL) {
            flo_buf_printf(out, "%s{model=\"%s\"} %llu\n", name, model,
                           (unsigned long long)*(
                               const uint64_t *)(const void *)((const char *)place + offset));
        }
    }
}

/* Writes one timing for all models together. */
static void add_timing(const struct serve_timing *timing, const char *name, const char *help,
                       struct flo_buf *out)
{
    flo_timing_head(name, help, out);
    flo_timing_rows(timing, name, NULL, out);
}

/* Writes one timing with lines for each model. */
static void add_timings(const struct flo_serve *serve, const char *name, const char *help,
                        size_t offset, struct flo_buf *out)
{
    flo_timing_head(name, help, out);
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *place = &serve->places[i];
        const void *timing = (const char *)place + offset;
        if (name_of(place) != NULL) {
            flo_timing_rows(timing, name, name_of(place), out);
        }
    }
}

static void add_models(const struct flo_serve *serve, struct flo_buf *out)
{
#define COUNTER(member, name, help)                                                                \
    add_per_model(serve, name, "counter", help, offsetof(struct serve_place, numbers.member), out)
    COUNTER(requests, "flotilla_model_requests_total", "inference requests of a model that ended");
    COUNTER(errors, "flotilla_model_request_errors_total",
            "requests of a model that ended with an error");
    COUNTER(tokens_in, "flotilla_model_tokens_in_total",
            "prompt tokens of a model's finished requests");
    COUNTER(tokens_out, "flotilla_model_tokens_out_total", "tokens that a model generated");
    COUNTER(guessed, "flotilla_model_tokens_guessed_total",
            "tokens that were guessed for a model's answers");
    COUNTER(guessed_right, "flotilla_model_tokens_guessed_right_total",
            "guessed tokens that the model itself would have generated");
    COUNTER(loads, "flotilla_model_loads_total", "engines of a model that got ready");
    add_per_model(serve, "flotilla_model_requests_held", "gauge", "requests that wait for a model",
                  offsetof(struct serve_place, n_held), out);
#undef COUNTER
    add_timings(serve, "flotilla_model_ttft_seconds",
                "from interactive request to first token, of a model",
                offsetof(struct serve_place, numbers.ttft), out);
    add_timings(serve, "flotilla_model_token_seconds",
                "from one token of an interactive request to the next, of a model",
                offsetof(struct serve_place, numbers.token), out);
    add_timings(serve, "flotilla_model_request_seconds", "whole interactive requests of a model",
                offsetof(struct serve_place, numbers.request), out);
}

static void add_engines(const struct flo_serve *serve, struct flo_buf *out)
{
    flo_buf_text(out, "# HELP flotilla_engine_rss_bytes resident memory of an "
                      "engine process\n"
                      "# TYPE flotilla_engine_rss_bytes gauge\n");
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        add_memory(&serve->places[i], false, out);
    }
    flo_buf_text(out, "# HELP flotilla_engine_pss_bytes the same, pages that "
                      "several share in parts; where it may be read\n"
                      "# TYPE flotilla_engine_pss_bytes gauge\n");
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        add_memory(&serve->places[i], true, out);
    }
    flo_buf_text(out, "# HELP flotilla_serving_info the release that takes new "
                      "requests\n# TYPE flotilla_serving_info gauge\n");
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        add_serving(&serve->places[i], out);
    }
}

static void add_celsius(struct flo_buf *out, const char *name, const char *help, int64_t value_mc)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.1f\n", name, help, name, name,
                   (double)value_mc / 1000);
}

static void add_power(const struct flo_serve_limits *limits, struct flo_buf *out)
{
    if (limits->has_zone) {
        add_celsius(out, "flotilla_temperature_celsius", "of the zone nearest to its trip point",
                    limits->zone_mc);
    }
    if (limits->has_zone && limits->trip_mc > 0) {
        add_celsius(out, "flotilla_trip_celsius", "that trip point", limits->trip_mc);
    }
    if (limits->has_battery) {
        add_number(out, "flotilla_battery_percent", "gauge", "charge",
                   (uint64_t)limits->battery_pct);
        add_number(out, "flotilla_mains", "gauge", "1: the device does not run on battery",
                   limits->is_discharging ? 0 : 1);
    }
    flo_buf_printf(out,
                   "# HELP flotilla_limited_info limits that hold for lack of memory, heat or "
                   "charge\n# TYPE flotilla_limited_info gauge\n"
                   "flotilla_limited_info{limits=\"%s\"} %d\n",
                   limits->text, limits->text[0] != '\0');
}

/* Writes one metric with a line for each app, which the name of its token
 * identifies. */
static void add_per_app(const struct flo_serve *serve, const char *name, const char *help,
                        size_t offset, struct flo_buf *out)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (uint32_t i = 0; i < serve->n_tokens; i++) {
        const struct serve_token *app = &serve->tokens[i];
        const void *value = (const char *)app + offset;
        flo_buf_printf(out, "%s{app=\"%s\"} %llu\n", name, app->name,
                       (unsigned long long)*(const uint64_t *)value);
    }
}

static void add_apps(const struct flo_serve *serve, struct flo_buf *out)
{
#define COUNTER(member, name, help)                                                                \
    add_per_app(serve, name, help, offsetof(struct serve_token, member), out)
    if (serve->n_tokens == 0) {
        return;
    }
    COUNTER(requests, "flotilla_app_requests_total", "requests of an app that were taken");
    COUNTER(refused, "flotilla_app_refused_total", "requests of an app beyond its limits");
    COUNTER(tokens_in, "flotilla_app_tokens_in_total",
            "prompt tokens of an app's finished requests");
    COUNTER(tokens_out, "flotilla_app_tokens_out_total", "tokens that were generated for an app");
#undef COUNTER
}

void flo_api_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    const struct serve_counters *c = &serve->counters;
    add_number(out, "flotilla_requests_total", "counter", "inference requests that ended",
               c->requests);
    add_number(out, "flotilla_request_errors_total", "counter", "requests that ended with an error",
               c->errors);
    add_number(out, "flotilla_requests_cancelled_total", "counter",
               "requests whose client went away", c->cancelled);
    add_number(out, "flotilla_requests_lost_total", "counter",
               "requests that an engine took down with it", c->lost);
    add_number(out, "flotilla_tokens_in_total", "counter", "prompt tokens of finished requests",
               c->tokens_in);
    add_number(out, "flotilla_tokens_out_total", "counter", "generated tokens", c->tokens_out);
    add_number(out, "flotilla_engines_lost_total", "counter",
               "engine processes that died or were killed for a hang", c->engines_lost);
    add_number(out, "flotilla_requests_running", "gauge", "requests on an engine",
               serve->n_running);
    add_number(out, "flotilla_requests_held", "gauge", "requests that wait for a model",
               serve->n_held);
    add_timing(&c->queue, "flotilla_queue_seconds",
               "wait of interactive requests for a model and for a session of "
               "its engine",
               out);
    add_timing(&c->prompt, "flotilla_prompt_seconds", "computing of the prompt", out);
    add_timing(&c->ttft, "flotilla_ttft_seconds", "from an interactive request to its first token",
               out);
    add_timing(&c->token, "flotilla_token_seconds",
               "from one token of an interactive request to the next, each", out);
    add_timing(&c->request, "flotilla_request_seconds", "whole interactive requests", out);
    add_timing(&c->batch_token, "flotilla_batch_token_seconds",
               "throughput of batch requests: from the engine's start to the "
               "last token, per token",
               out);
    add_power(&serve->limits, out);
    add_models(serve, out);
    add_apps(serve, out);
    flo_guards_metrics(serve, out);
    flo_fallbacks_metrics(serve, out);
    add_engines(serve, out);
}
