/* Eval report: writes the report as JSON with stable keys, and as a table.
 * Neither has prompts or answers, and a case is named by its number. */
#include "engine/judge/eval.h"

#include <string.h>

#define FAILED_SHOWN 20

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static double speed(const struct flo_eval_score *score)
{
    return score->rest_us == 0 ? 0 : (double)score->steps * 1e6 / (double)score->rest_us;
}

static double ttft_ms(const struct flo_eval_score *score, double q)
{
    return (double)flo_histogram_quantile(&score->ttft_us, q) / 1e3;
}

/* ---- JSON ---- */

static void put_file(struct flo_buf *out, const struct flo_eval_file *file)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(&file->digest, text);
    flo_tool_json(out, "{\"file\":", file->path);
    flo_buf_printf(out, ",\"digest\":\"%s\",\"bytes\":%llu,", text,
                   (unsigned long long)file->bytes);
}

static void put_score(struct flo_buf *out, const struct flo_eval_score *score,
                      const struct flo_suite *suite)
{
    const struct flo_engine_info *info = &score->about.info;

    put_file(out, &score->file);
    flo_tool_json(out, "\"arch\":", info->arch);
    flo_tool_json(out, ",\"name\":", info->name);
    flo_tool_json(out, ",\"kernel\":", info->kernel);
    flo_buf_printf(out,
                   ",\"parameters\":%llu,\"context\":%u,\"threads\":%u,"
                   "\"exact\":%u,\"exact_match\":%.6f,\"json_valid\":%u,",
                   (unsigned long long)info->parameters, info->context, info->threads, score->exact,
                   share(score->exact, suite->count), score->json);
    if (suite->json_count > 0) {
        flo_buf_printf(out, "\"json_validity\":%.6f,", share(score->json, suite->json_count));
    } else {
        flo_buf_text(out, "\"json_validity\":null,");
    }
    flo_buf_printf(out,
                   "\"nonfinite\":%llu,\"tokens_in\":%llu,"
                   "\"tokens_out\":%llu,\"load_ms\":%.3f,"
                   "\"ttft_ms_p50\":%.3f,\"ttft_ms_p95\":%.3f,"
                   "\"tokens_per_s\":%.2f,\"rss_bytes_peak\":%llu}",
                   (unsigned long long)score->nonfinite, (unsigned long long)score->tokens_in,
                   (unsigned long long)score->tokens_out, (double)info->load_us / 1e3,
                   ttft_ms(score, 0.5), ttft_ms(score, 0.95), speed(score),
                   (unsigned long long)score->about.rss_bytes_peak);
}

static void put_distance(struct flo_buf *out, const struct flo_eval_distance *d)
{
    flo_buf_printf(out,
                   "{\"positions\":%llu,\"top1_agreement\":%.6f,"
                   "\"kl_mean\":%.9f,\"kl_max\":%.9f,\"kl_p99\":%.9f,"
                   "\"nonfinite\":%llu,\"method\":\"teacher-forced: the same "
                   "prompt and answer for both; every position that foretells "
                   "the answer or its end; KL(against || model) in nats\"}",
                   (unsigned long long)d->positions, share(d->same_best, d->positions), d->kl_mean,
                   d->kl_max, d->kl_p99, (unsigned long long)d->nonfinite);
}

static void put_tasks(struct flo_buf *out, const struct flo_eval_report *r)
{
    for (uint32_t i = 0; i < r->suite->n_tasks; i++) {
        flo_tool_json(out, i == 0 ? "{\"task\":" : ",{\"task\":", r->suite->tasks[i]);
        flo_buf_printf(out, ",\"cases\":%u,\"exact\":%u,\"against_exact\":", r->task_cases[i],
                       r->model.task_exact[i]);
        if (r->has_against) {
            flo_buf_printf(out, "%u}", r->against.task_exact[i]);
        } else {
            flo_buf_text(out, "null}");
        }
    }
}

void flo_eval_report_json(const struct flo_eval_report *r, struct flo_buf *out)
{
    flo_buf_text(out, "{\"format\":\"flotilla-eval-1\",\"engine\":"
                      "\"" FLO_VERSION "\",\"suite\":");
    put_file(out, &r->suite_file);
    flo_buf_printf(out,
                   "\"cases\":%zu,\"json_cases\":%zu},\"decode\":\"greedy\","
                   "\"max_new_tokens\":%u,\"model\":",
                   r->suite->count, r->suite->json_count, r->tokens_max);
    put_score(out, &r->model, r->suite);
    flo_buf_text(out, ",\"against\":");
    if (r->has_against) {
        put_score(out, &r->against, r->suite);
        flo_buf_text(out, ",\"comparison\":");
        put_distance(out, &r->distance);
    } else {
        flo_buf_text(out, "null,\"comparison\":null");
    }
    flo_buf_text(out, ",\"tasks\":[");
    put_tasks(out, r);
    flo_buf_text(out, "],\"failed\":[");
    for (size_t i = 0; i < r->n_failed; i++) {
        flo_buf_printf(out, i == 0 ? "%u" : ",%u", r->failed[i]);
    }
    flo_buf_text(out, "],\"gates\":[");
    for (size_t i = 0; i < r->n_gates; i++) {
        flo_buf_printf(out,
                       "%s{\"gate\":\"%s\",\"limit\":%g,\"value\":%.9g,"
                       "\"passed\":%s}",
                       i == 0 ? "" : ",", r->gates[i].name, r->gates[i].limit, r->gates[i].value,
                       r->gates[i].has_passed ? "true" : "false");
    }
    flo_buf_printf(out, "],\"passed\":%s}\n", r->has_passed ? "true" : "false");
}

/* ---- table ---- */

static void put_counts(struct flo_buf *out, const struct flo_eval_report *r, const char *name,
                       uint32_t cases, uint32_t model, uint32_t against)
{
    char text[32];

    snprintf(text, sizeof(text), "%u/%u", model, cases);
    flo_buf_printf(out, "%-18s%14s", name, text);
    if (r->has_against) {
        snprintf(text, sizeof(text), "%u/%u", against, cases);
        flo_buf_printf(out, "%14s", text);
    }
    flo_buf_text(out, "\n");
}

static void put_numbers(struct flo_buf *out, const struct flo_eval_report *r)
{
    const struct flo_eval_score *m = &r->model, *a = &r->against;
    const struct {
        const char *name;
        double model, against;
        bool is_whole;
    } rows[] = {
        {"not finite", (double)m->nonfinite, (double)a->nonfinite, true},
        {"load ms", (double)m->about.info.load_us / 1e3, (double)a->about.info.load_us / 1e3,
         false},
        {"first token ms p50", ttft_ms(m, 0.5), ttft_ms(a, 0.5), false},
        {"first token ms p95", ttft_ms(m, 0.95), ttft_ms(a, 0.95), false},
        {"tokens/s", speed(m), speed(a), false},
        {"file MiB", (double)m->file.bytes / 0x1p20, (double)a->file.bytes / 0x1p20, false},
        {"peak RSS MiB", (double)m->about.rss_bytes_peak / 0x1p20,
         (double)a->about.rss_bytes_peak / 0x1p20, false},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        int digits = rows[i].is_whole ? 0 : 1;
        flo_buf_printf(out, "%-18s%14.*f", rows[i].name, digits, rows[i].model);
        if (r->has_against) {
            flo_buf_printf(out, "%14.*f", digits, rows[i].against);
        }
        flo_buf_text(out, "\n");
    }
}

static void put_failed(struct flo_buf *out, const struct flo_eval_report *r)
{
    if (r->n_failed == 0) {
        return;
    }
    flo_buf_text(out, "not exact: case");
    for (size_t i = 0; i < r->n_failed && i < FAILED_SHOWN; i++) {
        flo_buf_printf(out, " %u", r->failed[i]);
    }
    if (r->n_failed > FAILED_SHOWN) {
        flo_buf_printf(out, " and %zu more", r->n_failed - FAILED_SHOWN);
    }
    flo_buf_text(out, "\n");
}

void flo_eval_report_table(const struct flo_eval_report *r, struct flo_buf *out)
{
    const struct flo_eval_distance *d = &r->distance;

    flo_buf_printf(out, "%-18s%14s%14s\n", "", "model", r->has_against ? "against" : "");
    put_counts(out, r, "exact", (uint32_t)r->suite->count, r->model.exact, r->against.exact);
    if (r->suite->json_count > 0) {
        put_counts(out, r, "valid JSON", (uint32_t)r->suite->json_count, r->model.json,
                   r->against.json);
    }
    for (uint32_t i = 0; r->suite->n_tasks > 1 && i < r->suite->n_tasks; i++) {
        char name[FLO_SUITE_TASK_BYTES_MAX + 1];
        const char *task = r->suite->tasks[i];
        flo_text_clean(task, strlen(task), name, sizeof(name));
        put_counts(out, r, name[0] == '\0' ? "(no task)" : name, r->task_cases[i],
                   r->model.task_exact[i], r->against.task_exact[i]);
    }
    put_numbers(out, r);
    if (r->has_against) {
        flo_buf_printf(out,
                       "top-1 agreement   %14.4f  of %llu positions\n"
                       "KL mean/p99/max   %14.6f  %.6f  %.6f nats\n",
                       share(d->same_best, d->positions), (unsigned long long)d->positions,
                       d->kl_mean, d->kl_p99, d->kl_max);
    }
    put_failed(out, r);
    for (size_t i = 0; i < r->n_gates; i++) {
        flo_buf_printf(out, "gate %-13s%14g  limit %g: %s\n", r->gates[i].name, r->gates[i].value,
                       r->gates[i].limit, r->gates[i].has_passed ? "passed" : "FAILED");
    }
}
