/* Telemetry: takes the last measurements of a window, closes it and stores
 * it. */
#include <unistd.h>

#include <flotilla/metrics.h>

#include "agent/shell/report/memory.h"

void flo_telemetry_recent(struct flo_shell_model *model,
                          const struct flo_serve_request_stats *stats)
{
    if (stats->error == 0 && stats->tokens_out > 1) {
        size_t place = model->recent_count++ % FLO_COUNT(model->recent_token_us);
        model->recent_token_us[place] = stats->token_us;
    }
}

const char *flo_rung_why_word(enum flo_rung_why why)
{
    static const char *const words[] = {"", "psi", "cgroup", "heat", "battery"};

    return words[why];
}

static enum flo_rung_why why_memory(const struct flo_watch *watch)
{
    return watch->pressure.cause == FLO_PRESSURE_CGROUP ? FLO_RUNG_CGROUP : FLO_RUNG_PSI;
}

uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why)
{
    const struct flo_watch *watch = shell->watch;
    uint32_t rung = 0;

    *why = FLO_RUNG_NONE;
    for (size_t i = 0; i < FLO_COUNT(watch->rungs); i++) {
        rung = watch->rungs[i] > rung ? watch->rungs[i] : rung;
        rung = watch->is_demoted[i] ? FLO_MEMORY_RUNGS - 1 : rung;
    }
    for (size_t i = 0; i < FLO_COUNT(watch->variants); i++) {
        rung = watch->variants[i].larger[0] != '\0' ? FLO_MEMORY_RUNGS : rung;
    }
    if (rung > 0) {
        *why = why_memory(watch);
    } else if (watch->limits.set != 0) {
        rung = 1;
        *why = watch->power.is_hot   ? FLO_RUNG_HEAT
               : watch->power.is_low ? FLO_RUNG_BATTERY
                                     : why_memory(watch);
    }
    return rung;
}

/* Adds the golden scores, which are measured once for each pair of releases and
 * sent in every window. */
static void set_golden(struct flo_shell *shell, uint32_t model)
{
    struct flo_measures *measures = &shell->models[model].telemetry.measures;
    int64_t own_ppm = shell->models[model].golden.own_ppm;
    int64_t former_ppm = shell->models[model].golden.former_ppm;

    if (own_ppm > 0) {
        flo_measure_set(measures, FLO_METRIC_NAME_GOLDEN_OWN, own_ppm);
    }
    if (former_ppm > 0) {
        flo_measure_set(measures, FLO_METRIC_NAME_GOLDEN_FORMER, former_ppm);
    }
}

/* Adds the bytes from and to neighbours if there were any.  Most windows have
 * none, and then need no space for them. */
static void count_neighbours(struct flo_shell *shell, struct flo_measures *measures)
{
    const struct flo_neighbour_counts *counts = shell->neighbour_counts;
    struct flo_shell_report *own = shell->report;

    if (counts->in_bytes > own->told_in) {
        flo_measure_count(measures, FLO_METRIC_NAME_NEIGHBOUR_IN, counts->in_bytes - own->told_in);
    }
    if (counts->out_bytes > own->told_out) {
        flo_measure_count(measures, FLO_METRIC_NAME_NEIGHBOUR_OUT,
                          counts->out_bytes - own->told_out);
    }
    own->told_in = counts->in_bytes;
    own->told_out = counts->out_bytes;
}

/* Adds the values that are measured once in each window. */
static void measure_now(struct flo_shell *shell, uint32_t model)
{
    struct flo_measures *measures = &shell->models[model].telemetry.measures;
    struct flo_serve_status status = {0};
    uint64_t rss = 0, refused;
    int64_t temperature;
    enum flo_rung_why why;
    struct flo_err full = {0};

    flo_serve_get_status(shell->serve, model, &status);
    (void)flo_process_memory(getpid(), &rss, NULL, NULL);
    flo_measure_set(measures, FLO_METRIC_NAME_AGENT_RSS, (int64_t)rss);
    flo_measure_set(measures, FLO_METRIC_NAME_ENGINE_RSS,
                    (int64_t)(status.is_live ? status.roles[status.live].rss_bytes : 0));
    flo_measure_set(measures, FLO_METRIC_NAME_DISK_FREE,
                    (int64_t)flo_store_disk_free(shell->store));
    flo_measure_set(measures, FLO_METRIC_NAME_WAITING, (int64_t)status.held);
    flo_measure_count(measures, FLO_METRIC_NAME_LOST, flo_outbox_windows_lost(shell->db));
    flo_measure_count(measures, FLO_METRIC_NAME_MESSAGES_REFUSED, shell->report->messages_refused);
    shell->report->messages_refused = 0;
    (void)flo_serve_room(shell->serve, &refused, &full);
    flo_measure_count(measures, FLO_METRIC_NAME_CLIENTS_REFUSED,
                      refused - shell->report->clients_refused);
    shell->report->clients_refused = refused;
    count_neighbours(shell, measures);
    if (flo_digest_equal(&shell->models[model].golden.release,
                         &shell->models[model].telemetry.release.digest)) {
        set_golden(shell, model);
    }
    if (flo_machine_temperature(FLO_THERMAL, &temperature)) {
        flo_measure_set(measures, FLO_METRIC_NAME_TEMPERATURE, temperature);
    }
    flo_measure_set(measures, FLO_METRIC_NAME_RUNG, (int64_t)flo_report_rung(shell, &why));
    flo_measure_set(measures, FLO_METRIC_NAME_RUNG_WHY, (int64_t)why);
}

/* Removes the counts of requests that left from a window: on a device without a
 * route they are always 0, and would enlarge each
 * window. */
static void drop_away(json_t *window)
{
    json_t *counters = json_object_get(window, "counters");

    for (int i = FLO_METRIC_NAME_AWAY_DOWN; i <= FLO_METRIC_NAME_AWAY_FAILED; i++) {
        json_object_del(counters, flo_metric_fact(i)->word);
    }
}

void flo_telemetry_close(struct flo_shell *shell, uint32_t model)
{
    struct flo_measure_window *telemetry = &shell->models[model].telemetry;
    uint64_t now = flo_now_ms();
    char digest[FLO_DIGEST_TEXT];
    struct flo_buf text = {0};
    json_t *json;

    /* the ends of requests that are still queued belong to this window */
    flo_serve_hear_ends(shell->serve);
    if (flo_digest_is_zero(&telemetry->release.digest)) {
        telemetry->begin_ms = now; /* no release has served so far, so there is no window */
        return;
    }
    measure_now(shell, model);
    flo_digest_text(&telemetry->release.digest, digest);
    json = json_pack("{s:i, s:I, s:I, s:I, s:s, s:s, s:s}", "v", 1, "seq",
                     (json_int_t)++shell->report->telemetry_sequence, "at_ms",
                     (json_int_t)flo_shell_clock_told_ms(shell), "window_ms",
                     (json_int_t)(now - telemetry->begin_ms), "model", telemetry->release.model,
                     "release", digest, "version", telemetry->release.version);
    flo_json_put_text(json, "variant", telemetry->variant);
    if (json != NULL && flo_measures_put(&telemetry->measures, json)) {
        if (shell->settings.rules.n_fallbacks == 0) {
            drop_away(json);
        }
        flo_json_dump(json, &text);
        if (!text.failed) {
            flo_outbox_windows_add(shell->db, text.data);
        }
    }
    json_decref(json);
    flo_buf_deinit(&text);
    telemetry->begin_ms = now;
    flo_measures_clear(&telemetry->measures);
}

bool flo_telemetry_close_all(struct flo_shell *shell)
{
    bool has_served = false;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        has_served = has_served || !flo_digest_is_zero(&shell->models[i].telemetry.release.digest);
        flo_telemetry_close(shell, i);
    }
    return has_served;
}
