/* Serve: opens and closes serving, and reports its status; see serve.h. */
#include "agent/serve/api/api.h"
#include "agent/serve/batch/batch.h"
#include "agent/serve/fallback/fallback.h"
#include "agent/serve/guard/guard.h"
#include "agent/serve/probe/probe.h"
#include "agent/serve/probe/score.h"
#include "agent/serve/requests/choices.h"
#include "agent/serve/requests/requests.h"
#include "agent/serve/responses/store.h"
#include "base/host/httpd.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define HANG_MS 60000
#define REQUESTS_MAX 64
#define REMOVAL_MS 5000

static int take_pipelines(struct flo_serve *serve, const struct flo_serve_options *options,
                          struct flo_err *err)
{
    if (options->n_pipelines > FLO_SERVE_PIPELINES_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%u pipelines, at most %d", options->n_pipelines,
                        FLO_SERVE_PIPELINES_MAX);
    }
    for (uint32_t i = 0; i < options->n_pipelines; i++) {
        assert(options->pipelines[i].n_stages >= 2 &&
               options->pipelines[i].n_stages <= FLO_SERVE_STAGES_MAX);
        serve->pipelines[i] = options->pipelines[i];
    }
    serve->n_pipelines = options->n_pipelines;
    return 0;
}

/* Opens the guards and the routes of the device's owner. */
static int open_owners_rules(struct flo_serve *serve, const struct flo_serve_options *options,
                             struct flo_err *err)
{
    FLO_TRY(flo_guards_open(serve, options, &flo_router_of_guards, err));
    return flo_fallbacks_open(serve, options, &flo_router_of_fallbacks, err);
}

/* Opens what serving consists of. */
static int open_parts(struct flo_serve *serve, const struct flo_serve_options *options,
                      const struct flo_serve_handlers *handlers, struct flo_err *err)
{
    FLO_TRY(options->is_apart ? flo_apart_open(&serve->apart, &serve->base, err) : 0);
    FLO_TRY(flo_news_open(options->is_apart ? serve->home : NULL, handlers, &serve->news, err));
    FLO_TRY(flo_reaper_open(serve, err));
    if (strlen(options->engine_path) >= sizeof(serve->engine_path)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "the engine's path is too long");
    }
    snprintf(serve->engine_path, sizeof(serve->engine_path), "%s", options->engine_path);
    FLO_TRY(flo_router_open(serve, err));
    FLO_TRY(take_pipelines(serve, options, err));
    FLO_TRY(open_owners_rules(serve, options, err));
    FLO_TRY(flo_api_open(serve, options, err));
    return options->is_apart ? flo_apart_start(serve->apart, err) : 0;
}

int flo_serve_open(struct event_base *base, const struct flo_serve_options *options,
                   const struct flo_serve_handlers *handlers, struct flo_serve **out,
                   struct flo_err *err)
{
    struct flo_serve *serve = calloc(1, sizeof(*serve));
    if (serve == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for serving");
    }
    serve->kernel_fd = -1;
    serve->base = base;
    serve->home = base;
    for (unsigned i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        serve->places[i] = (struct serve_place){.serve = serve, .model = i};
    }
    serve->hold_ms_max = options->hold_ms_max;
    serve->hang_ms_max = options->hang_ms_max > 0 ? options->hang_ms_max : HANG_MS;
    serve->requests_max = options->requests_max > 0 ? options->requests_max : REQUESTS_MAX;
    serve->removal_ms = options->removal_ms > 0 ? options->removal_ms : REMOVAL_MS;
    serve->sandbox = options->sandbox;
    serve->limits.keeps_prompts = options->keeps_prompts;
    serve->origins = options->origins;
    serve->shared_prefixes = json_incref(options->shared_prefixes);
    serve->has_page = !options->has_no_page;
    serve->has_no_ollama = options->has_no_ollama;
    serve->has_no_anthropic = options->has_no_anthropic;
    serve->is_llama_alone = options->backend != NULL && strcmp(options->backend, "llama") == 0;
    serve->accepts_inexact = options->accepts_inexact;
    int rv = open_parts(serve, options, handlers, err);
    if (rv < 0) {
        flo_httpd_close(serve->httpd);
        flo_fd_cleanup(&serve->kernel_fd);
        flo_batch_close(serve->batch);
        flo_guards_close(serve);
        flo_serve_engine_free_all(serve);
        flo_fallbacks_close(serve);
        flo_reaper_close(serve);
        flo_event_drop(&serve->turn);
        flo_news_close(serve->news);
        flo_apart_close(serve->apart);
        json_decref(serve->shared_prefixes);
        free(serve);
        return rv;
    }
    *out = serve;
    return 0;
}

void flo_serve_close(struct flo_serve *serve)
{
    if (serve == NULL) {
        return;
    }
    flo_apart_stop(serve->apart);
    serve->is_closing = true;
    flo_batch_stop(serve->batch); /* batches write no more answers from here on */
    if (serve->probe != NULL) {
        flo_probe_close(serve->probe);
    }
    flo_score_stop(serve->score, false);
    flo_router_close(serve);
    flo_serve_engine_free_all(serve);
    flo_guards_close(serve);
    flo_fallbacks_close(serve);
    flo_reaper_close(serve);
    flo_httpd_close(serve->httpd);
    flo_fd_cleanup(&serve->kernel_fd);
    flo_choices_free(serve, true);
    flo_batch_close(serve->batch);
    flo_event_drop(&serve->turn);
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        flo_event_drop(&serve->places[i].removal);
    }
    flo_responses_close(serve);
    flo_news_close(serve->news);
    flo_apart_close(serve->apart);
    json_decref(serve->shared_prefixes);
    free(serve);
}

void flo_serve_hear(struct flo_serve *serve)
{
    flo_news_hear(serve->news);
}

void flo_serve_hear_ends(struct flo_serve *serve)
{
    flo_news_hear_ends(serve->news);
}

uint16_t flo_serve_port(const struct flo_serve *serve)
{
    return serve->port;
}

/* Reads the memory of the engines' processes.  The caller calls it last,
 * because the kernel may take long. */
static void count_memory(struct flo_serve_status *out)
{
    for (int i = 0; i < FLO_ROLE_COUNT; i++) {
        if (out->roles[i].is_loaded &&
            !flo_process_pss(out->roles[i].pid, &out->roles[i].pss_bytes)) {
            out->roles[i].pss_bytes = 0;
        }
    }
}

static void look(const struct serve_place *place, struct flo_serve_status *out)
{
    FLO_INSIDE(place->serve);

    out->is_live = flo_serve_engine_live(place) != NULL;
    out->live = place->live;
    out->held = (uint32_t)place->n_held;
    out->held_batch = flo_router_held_batch(place);
    out->is_wanted = place->demand.is_asked;
    out->is_wanted_softly = place->demand.is_asked && place->demand.is_soft;
    out->used_ms = place->used_ms;
    const struct serve_engine *now = flo_serve_engine_live(place);
    if (now != NULL) {
        out->load_ms = now->loaded_at_ms - now->started_ms;
        out->loaded_ms = now->loaded_at_ms;
        out->threads = now->threads;
        out->context = now->context;
        out->draft = now->draft;
    }
    for (int i = 0; i < FLO_ROLE_COUNT; i++) {
        const struct serve_engine *engine = place->roles[i];
        if (engine == NULL || engine->state != ENGINE_READY) {
            continue;
        }
        out->roles[i].is_loaded = true;
        out->roles[i].pid = engine->pid;
        out->roles[i].requests = engine->n_calls;
        out->roles[i].release = engine->release;
        out->roles[i].is_packed = engine->is_packed;
        out->roles[i].is_silent = engine->is_silent;
        if (!flo_serve_engine_memory(engine, &out->roles[i].rss_bytes, NULL)) {
            out->roles[i].rss_bytes = 0;
        }
        memcpy(out->kernel, engine->kernel, sizeof(out->kernel));
    }
}

void flo_serve_get_status(const struct flo_serve *serve, unsigned model,
                          struct flo_serve_status *out)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    memset(out, 0, sizeof(*out));
    look(&serve->places[model], out);
    count_memory(out);
}

int flo_serve_template_read(const char *value, char **text, struct flo_err *err)
{
    return flo_wire_template_read(value, text, err);
}

int flo_serve_abilities_read(const struct flo_config *config, uint64_t *out, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, "abilities");

    *out = 0;
    for (size_t i = 0; i < count; i++) {
        const char *word = flo_config_texts_get(config, "abilities", i);
        uint64_t bit;
        if (!flo_wire_ability_parse(word, &bit)) {
            return flo_fail(err, FLO_E_CFG_RANGE,
                            "`abilities`: `%.40s` is no ability of a runtime (docs/runtimes.md)",
                            word);
        }
        *out |= bit;
    }
    return 0;
}

void flo_serve_limit(struct flo_serve *serve, const struct flo_serve_limits *limits)
{
    FLO_INSIDE(serve);
    struct flo_serve_limits before = serve->limits;

    serve->limits = *limits;
    if (before.holds_batch != limits->holds_batch ||
        before.refuses_loads != limits->refuses_loads) {
        flo_router_limits_changed(serve);
    }
}
