/* Telemetry: what the requests of a window were like, as histograms.  Numbers
 * only: no text of a request ever gets here. */
#include <string.h>
#include <unistd.h>

#include "agent/shell/shell.h"

void flo_telemetry_request(struct flo_telemetry *telemetry,
                           const struct flo_serve_request_stats *stats)
{
    telemetry->requests++;
    telemetry->tokens_in += stats->tokens_in;
    telemetry->tokens_out += stats->tokens_out;
    if (stats->error != 0) {
        telemetry->errors++;
        return;
    }
    flo_histogram_add(&telemetry->ttft, stats->ttft_us);
    flo_histogram_add(&telemetry->request, stats->total_us);
    flo_histogram_add(&telemetry->queue, stats->queue_us);
    if (stats->tokens_out > 1) {
        flo_histogram_add(&telemetry->token, stats->token_us);
    }
}

static json_t *histogram_json(const struct flo_histogram *histogram)
{
    struct flo_buf text = {0};
    json_t *json;

    flo_histogram_encode(histogram, &text);
    json = text.failed ? NULL : json_stringn(text.data, text.bytes);
    flo_buf_deinit(&text);
    return json;
}

static json_t *gauges_json(struct flo_shell *shell)
{
    struct flo_serve_status status = {0};
    uint64_t rss = 0;
    int64_t temperature;
    json_t *json;

    flo_serve_get_status(shell->serve, &status);
    (void)flo_process_memory(getpid(), &rss, NULL, NULL);
    json = json_pack(
        "{s:I, s:I, s:I, s:I}", "agent_rss_bytes", (json_int_t)rss,
        "engine_rss_bytes",
        (json_int_t)(status.is_live ? status.roles[status.live].rss_bytes : 0),
        "disk_free_bytes", (json_int_t)flo_store_disk_free(shell->store),
        "queue", (json_int_t)status.held);
    if (json != NULL && flo_machine_temperature(FLO_THERMAL, &temperature)) {
        json_object_set_new(json, "temperature_mc", json_integer(temperature));
    }
    return json;
}

void flo_telemetry_close(struct flo_shell *shell)
{
    struct flo_telemetry *telemetry = &shell->telemetry;
    uint64_t now = flo_now_ms();
    char digest[FLO_DIGEST_TEXT];
    struct flo_buf text = {0};
    json_t *json;

    if (flo_digest_is_zero(&telemetry->release.digest)) {
        return; /* nothing served yet: the window goes on */
    }
    flo_digest_text(&telemetry->release.digest, digest);
    json = json_pack("{s:i, s:I, s:I, s:I, s:s, s:s, s:s,"
                     " s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:o,"
                     " s:{s:o, s:o, s:o, s:o}}",
                     "v", 1, "seq", (json_int_t)++telemetry->sequence, "at_ms",
                     (json_int_t)flo_wall_ms(), "window_ms",
                     (json_int_t)(now - telemetry->begin_ms), "model",
                     telemetry->release.model, "release", digest, "version",
                     telemetry->release.version, "counters", "requests",
                     (json_int_t)telemetry->requests, "errors",
                     (json_int_t)telemetry->errors, "tokens_out",
                     (json_int_t)telemetry->tokens_out, "tokens_in",
                     (json_int_t)telemetry->tokens_in, "engine_restarts",
                     (json_int_t)telemetry->engine_restarts, "lost",
                     (json_int_t)flo_windows_lost(shell->db), "gauges",
                     gauges_json(shell), "histograms", "ttft_us",
                     histogram_json(&telemetry->ttft), "token_us",
                     histogram_json(&telemetry->token), "request_us",
                     histogram_json(&telemetry->request), "queue_us",
                     histogram_json(&telemetry->queue));
    if (json != NULL) {
        flo_json_dump(json, &text);
        json_decref(json);
        if (!text.failed) {
            flo_windows_add(shell->db, text.data);
        }
    }
    flo_buf_deinit(&text);
    telemetry->begin_ms = now;
    telemetry->requests = telemetry->errors = 0;
    telemetry->tokens_in = telemetry->tokens_out = 0;
    telemetry->engine_restarts = 0;
    memset(&telemetry->ttft, 0, sizeof(telemetry->ttft));
    memset(&telemetry->token, 0, sizeof(telemetry->token));
    memset(&telemetry->request, 0, sizeof(telemetry->request));
    memset(&telemetry->queue, 0, sizeof(telemetry->queue));
}
