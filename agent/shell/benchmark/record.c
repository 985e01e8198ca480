/* Record: stores a benchmark, so that a restart of the agent goes on with it and
 * a lost upload is sent again; and makes the facts of its report. */
#include <string.h>

#include "agent/shell/benchmark/benchmarking.h"
#include "agent/shell/outbox/outbox_db.h"

#define KEY "benchmark" /* key of the state in outbox.db */
#define BYTES_MAX 32768
#define POINT_TEXT 16

/* clang-format off */
/* Numbers of the core that are stored. */
#define CORE_NUMBERS(X) \
    X(left_ms) X(measured_ms) X(fetch_ms) X(fetches) X(is_lacking) X(yields) X(losses) X(cases) \
    X(played) X(right) X(wrong)
/* Numbers of the shell that are stored. */
#define SEEN_NUMBERS(X) \
    X(file_bytes) X(rss_bytes) X(load_ms) X(first_token_ms) X(threads) X(load_sum) \
    X(load_count) X(clock_least) X(energy_uj) X(energy_ms) X(energy_tokens) X(drain) X(drain_ms) \
    X(fetched_bytes)
/* Texts of the shell that are stored. */
#define SEEN_TEXTS(X) X(kernel) X(version) X(variant) X(model) X(release)
/* clang-format on */

/* ---- series ---- */

static json_t *series_json(const struct flo_benchmark_series *series)
{
    json_t *values = json_array();

    for (uint32_t i = 0; i < series->count; i++) {
        json_array_append_new(values, flo_json_finite(series->values[i]));
    }
    return json_pack("{s:I, s:o}", "every", (json_int_t)series->every, "values", values);
}

static void series_read(const json_t *json, struct flo_benchmark_series *out)
{
    const json_t *values = json_object_get(json, "values");

    memset(out, 0, sizeof(*out));
    out->every = (uint32_t)flo_json_number_to(json, "every", UINT32_MAX / 2);
    for (size_t i = 0; i < json_array_size(values) && i < FLO_BENCHMARK_POINTS_MAX; i++) {
        out->values[out->count++] = json_number_value(json_array_get(values, i));
    }
}

/* ---- the state ---- */

static json_t *state_json(const struct flo_benchmarking *b)
{
    json_t *json = json_object();

#define PUT_CORE(name) json_object_set_new(json, #name, json_integer((json_int_t)b->core.name));
#define PUT_SEEN(name) json_object_set_new(json, #name, flo_json_finite(b->seen.name));
#define PUT_TEXT(name) json_object_set_new(json, #name, json_string(b->seen.name));
    CORE_NUMBERS(PUT_CORE)
    SEEN_NUMBERS(PUT_SEEN)
    SEEN_TEXTS(PUT_TEXT)
    json_object_set_new(json, "packed", json_boolean(b->seen.is_packed));
    json_object_set_new(json, "source", json_integer(b->seen.source));
    json_object_set_new(json, "prompt", series_json(&b->core.prompt));
    json_object_set_new(json, "generate", series_json(&b->core.generate));
    json_object_set_new(json, "heat", series_json(&b->seen.heat));
    return json;
}

static void state_read(const json_t *json, struct flo_benchmarking *b)
{
    memset(&b->core, 0, sizeof(b->core));
    memset(&b->seen, 0, sizeof(b->seen));
#define READ_CORE(name)                                                                            \
    b->core.name = (__typeof__(b->core.name))flo_json_number_to(json, #name, UINT32_MAX);
#define READ_SEEN(name) b->seen.name = json_number_value(json_object_get(json, #name));
#define READ_TEXT(name) flo_json_copy_text(json, #name, b->seen.name, sizeof(b->seen.name));
    CORE_NUMBERS(READ_CORE)
    SEEN_NUMBERS(READ_SEEN)
    SEEN_TEXTS(READ_TEXT)
    b->seen.is_packed = json_is_true(json_object_get(json, "packed"));
    b->seen.source = (enum flo_energy_source)flo_json_number_to(json, "source", FLO_ENERGY_READ);
    series_read(json_object_get(json, "prompt"), &b->core.prompt);
    series_read(json_object_get(json, "generate"), &b->core.generate);
    series_read(json_object_get(json, "heat"), &b->seen.heat);
}

void flo_benchmark_store(struct flo_benchmarking *b, const json_t *facts)
{
    struct flo_buf text = {0};
    json_t *json = json_pack("{s:s, s:o}", "order", b->jobs[0].order, "state", state_json(b));

    if (facts != NULL) {
        json_object_set(json, "facts", (json_t *)(uintptr_t)facts);
    }
    flo_json_dump(json, &text);
    json_decref(json);
    if (!text.failed) {
        flo_values_set(b->shell->db, KEY, text.data);
    }
    flo_buf_deinit(&text);
    b->stored_ms = flo_now_ms();
}

/* Returns what is stored about the order, which the caller frees; NULL: nothing
 * is. */
static json_t *read_record(struct flo_shell *shell, const char *order)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(shell->db, KEY);
    json_t *json = NULL;

    if (text == NULL || flo_json_parse(text, strlen(text), BYTES_MAX, &json, NULL) < 0) {
        return NULL;
    }
    if (!flo_json_says(json, "order", order)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

bool flo_benchmark_load(struct flo_benchmarking *b, const char *order)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = read_record(b->shell, order);

    if (json == NULL) {
        return false;
    }
    state_read(json_object_get(json, "state"), b);
    return true;
}

bool flo_benchmark_is_kept(struct flo_shell *shell, const char *order)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = read_record(shell, order);

    return json != NULL;
}

bool flo_benchmark_has_ended(struct flo_shell *shell, const char *order)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = read_record(shell, order);

    return json_is_object(json_object_get(json, "facts"));
}

int flo_benchmark_report(struct flo_shell *shell, const char *order, json_t *report,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = read_record(shell, order);

    return json_object_set(report, "facts", json_object_get(json, "facts")) == 0
               ? 0
               : flo_fail(err, FLO_E_STATE, "the result of order %s is not stored", order);
}

/* ---- facts ---- */

/* A number of the report; it is left out unless it is above 0. */
struct known {
    const char *name;
    double value;
};

static void put_known(json_t *facts, const struct known *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].value > 0) {
            flo_json_set_figure(facts, list[i].name, list[i].value);
        }
    }
}

/* Puts the values as a text, "10.1 10.2 9.8". */
static void put_series(json_t *facts, const char *name, const struct flo_benchmark_series *series,
                       double scale)
{
    char text[FLO_BENCHMARK_POINTS_MAX * POINT_TEXT] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < series->count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.4g", i == 0 ? "" : " ",
                                 series->values[i] * scale);
    }
    flo_json_put_text(facts, name, text);
}

static double most(const struct flo_benchmark_series *series)
{
    double out = 0;

    for (uint32_t i = 0; i < series->count; i++) {
        out = series->values[i] > out ? series->values[i] : out;
    }
    return out;
}

static void put_energy(json_t *facts, const struct flo_benchmark_seen *seen)
{
    flo_json_put_text(facts, "energy", flo_energy_source_word(seen->source));
    if (seen->energy_tokens > 0 && seen->energy_uj > 0) {
        flo_json_set_figure(facts, "joules-per-token", seen->energy_uj / 1e6 / seen->energy_tokens);
    }
}

static void put_strain(json_t *facts, const struct flo_benchmarking *b)
{
    const struct flo_benchmark_seen *seen = &b->seen;

    if (seen->heat.count > 0) {
        flo_json_set_figure(facts, "temperature-start", seen->heat.values[0] / 1000);
        flo_json_set_figure(facts, "temperature-most", most(&seen->heat) / 1000);
        put_series(facts, "temperature-series", &seen->heat, 1e-3);
    }
    flo_json_set_figure(facts, "slowdown-percent", flo_benchmark_series_loss(&b->core.generate));
    if (seen->load_count > 0) {
        flo_json_set_figure(facts, "other-load", seen->load_sum / seen->load_count / 100);
    }
}

json_t *flo_benchmark_facts(const struct flo_benchmarking *b)
{
    const struct flo_benchmark *core = &b->core;
    const struct flo_benchmark_seen *seen = &b->seen;
    json_t *facts = json_object();

    flo_json_put_text(facts, "model", seen->model);
    flo_json_put_text(facts, "version", seen->version);
    flo_json_put_text(facts, "release", seen->release);
    flo_json_put_text(facts, "variant", seen->variant);
    flo_json_put_text(facts, "ended", flo_benchmark_word(core->cause));
    flo_json_set_figure(facts, "measured-ms", (double)core->measured_ms);
    flo_json_set_figure(facts, "yields", core->yields);
    flo_json_set_figure(facts, "restarts", core->losses);
    flo_json_set_figure(facts, "prompt-tps", flo_benchmark_series_median(&core->prompt));
    flo_json_set_figure(facts, "generate-tps", flo_benchmark_series_median(&core->generate));
    const struct known known[] = {
        {"first-token-ms", seen->first_token_ms},
        {"load-ms", seen->load_ms},
        {"rss-bytes", seen->rss_bytes},
        {"file-bytes", seen->file_bytes},
        {"threads", seen->threads},
        {"clock-least-percent", seen->clock_least},
        {"watts", seen->energy_ms > 0 ? seen->energy_uj / 1e3 / seen->energy_ms : 0},
        {"battery-percent-per-hour", seen->drain},
        {"fetch-bytes", seen->fetched_bytes},
        {"fetch-ms", seen->fetched_bytes > 0 ? (double)core->fetch_ms : 0},
    };
    put_known(facts, known, FLO_COUNT(known));
    flo_json_put_text(facts, "kernel", seen->kernel);
    json_object_set_new(facts, "packed", json_boolean(seen->is_packed));
    if (flo_benchmark_answers(core) > 0) {
        flo_json_set_figure(facts, "right", core->right);
        flo_json_set_figure(facts, "cases", flo_benchmark_answers(core));
    }
    put_series(facts, "generate-series", &core->generate, 1);
    put_strain(facts, b);
    put_energy(facts, seen);
    return facts;
}
