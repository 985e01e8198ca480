/* The numbers of serving as Prometheus text. */
#include "agent/serve/internal.h"

static void add_number(struct flo_buf *out, const char *name, const char *type,
                       const char *help, uint64_t value)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help,
                   name, type, name, (unsigned long long)value);
}

static void add_seconds(struct flo_buf *out, uint64_t us)
{
    flo_buf_printf(out, " %llu.%06llu\n", (unsigned long long)(us / 1000000),
                   (unsigned long long)(us % 1000000));
}

/* Upper ends in us: half a millisecond to a minute. */
static const uint32_t bounds_us[SERVE_TIMING_BOUNDS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,   100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000};

void flo_timing_add(struct serve_timing *timing, uint64_t us)
{
    timing->count++;
    timing->sum_us += us;
    for (size_t i = 0; i < SERVE_TIMING_BOUNDS; i++) {
        timing->within[i] += us <= bounds_us[i];
    }
}

static void add_timing(struct flo_buf *out, const char *name, const char *help,
                       const struct serve_timing *timing)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help,
                   name);
    for (size_t i = 0; i < SERVE_TIMING_BOUNDS; i++) {
        flo_buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name,
                       (double)bounds_us[i] / 1e6,
                       (unsigned long long)timing->within[i]);
    }
    flo_buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum", name,
                   (unsigned long long)timing->count, name);
    add_seconds(out, timing->sum_us);
    flo_buf_printf(out, "%s_count %llu\n", name,
                   (unsigned long long)timing->count);
}

static void add_engines(const struct flo_serve *serve, struct flo_buf *out)
{
    static const char *const names[FLO_ROLE_COUNT] = {"current", "candidate"};
    const struct serve_engine *live = flo_router_live(serve);
    flo_buf_text(out, "# HELP flotilla_engine_rss_bytes resident memory of an "
                      "engine process\n"
                      "# TYPE flotilla_engine_rss_bytes gauge\n");
    for (int i = 0; i < FLO_ROLE_COUNT; i++) {
        const struct serve_engine *engine = serve->roles[i];
        uint64_t rss = 0;
        if (engine != NULL &&
            flo_process_memory(engine->pid, &rss, NULL, NULL)) {
            flo_buf_printf(out,
                           "flotilla_engine_rss_bytes{role=\"%s\",model=\"%s\","
                           "version=\"%s\"} %llu\n",
                           names[i], engine->model, engine->version,
                           (unsigned long long)rss);
        }
    }
    flo_buf_text(out, "# HELP flotilla_serving_info the release that takes new "
                      "requests\n# TYPE flotilla_serving_info gauge\n");
    if (live != NULL) {
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&live->release, digest);
        flo_buf_printf(out,
                       "flotilla_serving_info{model=\"%s\",version=\"%s\","
                       "release=\"%s\",kernel=\"%s\"} 1\n",
                       live->model, live->version, digest, live->kernel);
    }
}

void flo_api_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    const struct serve_counters *c = &serve->counters;
    add_number(out, "flotilla_requests_total", "counter",
               "inference requests that ended", c->requests);
    add_number(out, "flotilla_request_errors_total", "counter",
               "requests that ended with an error", c->errors);
    add_number(out, "flotilla_requests_cancelled_total", "counter",
               "requests whose client went away", c->cancelled);
    add_number(out, "flotilla_requests_lost_total", "counter",
               "requests that an engine took down with it", c->lost);
    add_number(out, "flotilla_tokens_in_total", "counter",
               "prompt tokens of finished requests", c->tokens_in);
    add_number(out, "flotilla_tokens_out_total", "counter", "generated tokens",
               c->tokens_out);
    add_number(out, "flotilla_engines_lost_total", "counter",
               "engine processes that died or were killed for a hang",
               c->engines_lost);
    add_number(out, "flotilla_requests_running", "gauge",
               "requests on an engine", serve->n_running);
    add_number(out, "flotilla_requests_held", "gauge",
               "requests that wait for a model", serve->n_held);
    add_timing(out, "flotilla_queue_seconds",
               "wait for a model and for a session of its engine", &c->queue);
    add_timing(out, "flotilla_prompt_seconds", "computing of the prompt",
               &c->prompt);
    add_timing(out, "flotilla_ttft_seconds", "from request to first token",
               &c->ttft);
    add_timing(out, "flotilla_token_seconds",
               "from one token to the next, each", &c->token);
    add_timing(out, "flotilla_request_seconds", "whole requests", &c->request);
    add_engines(serve, out);
}
