/* Quantize report: what was written, and how far it is from the original. */
#include "engine/publish/quantize_run.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/gguf/gguf.h"

static bool is_measured(const struct quantize *q)
{
    return q->all.change_squares > 0;
}

double flo_quantize_kept(const struct quantize *q)
{
    const struct flo_fit_counters *all = &q->all;
    if (is_measured(q)) {
        return all->moved_dot_change / all->change_squares;
    }
    if (!(all->nudge_squares > 0)) {
        return 1;
    }
    double share = (double)all->blocks_pinned / (double)all->blocks;
    return 1 - share * (1 - all->moved_dot_nudge / all->nudge_squares);
}

static double rms(double error_squares, double values)
{
    return values > 0 ? sqrt(error_squares / values) : 0;
}

static double relative(const struct flo_fit_counters *counters)
{
    return rms(counters->error_squares, counters->value_squares);
}

static double weighed(const struct flo_fit_counters *counters)
{
    return rms(counters->error_weighed, counters->value_weighed);
}

static const char *text_name(const char *path)
{
    return strcmp(path, FLO_CALIBRATION_BUILT_IN) == 0 ? "the built-in text" : path;
}

/* Counts the types that a group's tensors got. */
static void count_types(const struct quantize *q, size_t group, size_t counts[FLO_QUANT_ID_COUNT])
{
    memset(counts, 0, FLO_QUANT_ID_COUNT * sizeof(*counts));
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        counts[q->types[i]] += q->chosen.group_of[i] == group ? 1 : 0;
    }
}

/* Says of each group which types it got, and what rounding it costs. */
static void tell_chosen(const struct quantize *q, struct flo_buf *out)
{
    const struct flo_budget_result *r = &q->chosen;

    flo_buf_printf(out,
                   "divergence from the original: %.6f nats per token on %" PRIu64
                   " tokens, so the perplexity rises by %.2f %%\n"
                   "nats per token if only this group had four bits, and its types now:\n",
                   r->kl, r->positions, 100 * expm1(r->kl));
    for (size_t g = 0; g < r->group_count; g++) {
        size_t counts[FLO_QUANT_ID_COUNT];
        count_types(q, g, counts);
        flo_buf_printf(out, "  %-30s %.6f ", r->groups[g].name, r->groups[g].kl);
        flo_tool_types(counts, out);
    }
    flo_buf_printf(out, "on %zu %s of %s:\n", q->table.cases,
                   q->table.only_asks ? "prompts" : "cases", text_name(q->table.suite_file.path));
    flo_compare_table(&q->table, out);
}

static void put_chosen(const struct quantize *q, struct flo_buf *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf table = {0};
    const struct flo_budget_result *r = &q->chosen;

    flo_buf_printf(out, "\"kl_mean\":%.9f,\"positions\":%" PRIu64 ",\"measured\":%u,\"groups\":[",
                   r->kl, r->positions, r->rounds);
    for (size_t g = 0; g < r->group_count; g++) {
        size_t counts[FLO_QUANT_ID_COUNT];
        const char *before = "";
        count_types(q, g, counts);
        flo_tool_json(out, g == 0 ? "{\"name\":" : ",{\"name\":", r->groups[g].name);
        flo_buf_printf(out, ",\"kl_of_four_bits\":%.9f,\"types\":{", r->groups[g].kl);
        for (size_t t = 0; t < FLO_QUANT_ID_COUNT; t++) {
            if (counts[t] > 0) {
                flo_buf_printf(out, "%s\"%s\":%zu", before, flo_quant_type((uint32_t)t)->name,
                               counts[t]);
                before = ",";
            }
        }
        flo_buf_text(out, "}}");
    }
    flo_compare_json(&q->table, &table);
    flo_buf_printf(out, "],\"table\":%.*s,", (int)strcspn(table.data, "\n"), table.data);
}

void flo_quantize_report_json(const struct quantize *q, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"type\":\"%s\",\"bytes_before\":%" PRIu64 ",\"tensor_bytes\":%" PRIu64
                   ",\"rms_relative\":%.6g,",
                   q->mix->name, flo_gguf_file_bytes(q->source), q->bytes, relative(&q->all));
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "\"kept\":%.4f,\"kept_is\":\"%s\",\"blocks\":%" PRIu64
                       ",\"blocks_pinned\":%" PRIu64 ",",
                       flo_quantize_kept(q), is_measured(q) ? "measured" : "estimated",
                       q->all.blocks, q->all.blocks_pinned);
    }
    if (q->judge != NULL) {
        const struct flo_pinned_verdict *v = &q->verdict;
        flo_buf_printf(out,
                       "\"judged\":{\"tokens\":%" PRIu64 ",\"chunks\":%" PRIu64
                       ",\"kl_old\":%.6g,\"kl_free\":%.6g,\"kl_pinned\":%.6g,"
                       "\"is_shown\":%s",
                       v->tokens, v->chunks, v->kl_old, v->kl_free, v->kl_pinned,
                       v->is_shown ? "true" : "false");
        if (v->is_shown) {
            flo_buf_printf(out, ",\"kept\":%.4f,\"kept_error\":%.4f", v->kept, v->kept_error);
        }
        flo_buf_text(out, "},");
    }
    if (q->importance != NULL) {
        flo_tool_json(out, "\"calibration\":{\"text\":", q->calibrate);
        flo_buf_printf(out, ",\"tokens\":%" PRIu64 ",\"rms_weighed\":%.6g},",
                       flo_importance_tokens(q->importance), weighed(&q->all));
    }
    if (flo_quantize_is_chosen(q)) {
        put_chosen(q, out);
    }
    flo_buf_text(out, "\"tensors\":[");
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        const struct flo_quant_type *to = flo_quant_type(q->types[i]);
        const struct flo_fit_counters *counters = &q->tallies[i];
        flo_tool_json(out, i == 0 ? "{\"name\":" : ",{\"name\":", tensor->name);
        flo_buf_printf(out,
                       ",\"from\":\"%s\",\"type\":\"%s\",\"bytes\":%zu,"
                       "\"rms\":%.6g,\"rms_relative\":%.6g}",
                       flo_quant_type(tensor->type)->name, to->name,
                       flo_quant_bytes(to, (size_t)tensor->values),
                       rms(counters->error_squares, (double)tensor->values), relative(counters));
    }
    flo_buf_text(out, "]}\n");
}

void flo_quantize_report_text(const struct quantize *q, struct flo_buf *out)
{
    size_t counts[FLO_QUANT_ID_COUNT] = {0};
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        counts[q->types[i]]++;
    }
    flo_buf_printf(out,
                   "%s: %" PRIu64 " bytes of tensors from a file of %" PRIu64
                   "; rms error %.3f %% of the weights' rms\ntensors:",
                   q->mix->name, q->bytes, flo_gguf_file_bytes(q->source), 100 * relative(&q->all));
    flo_tool_types(counts, out);
    if (q->importance != NULL) {
        flo_buf_printf(out, "calibrated on %" PRIu64 " tokens of %s; weighed error %.3f %%\n",
                       flo_importance_tokens(q->importance), text_name(q->calibrate),
                       100 * weighed(&q->all));
    }
    if (flo_quantize_is_chosen(q)) {
        tell_chosen(q, out);
    }
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "kept %.3f of the update (%s), %" PRIu64 " of %" PRIu64
                       " blocks on their old grid\n",
                       flo_quantize_kept(q), is_measured(q) ? "measured" : "estimated",
                       q->all.blocks_pinned, q->all.blocks);
    }
    if (q->judge != NULL) {
        const struct flo_pinned_verdict *v = &q->verdict;
        if (v->is_shown) {
            flo_buf_printf(out,
                           "answers keep %.3f +/- %.3f of what the update "
                           "brings, by %" PRIu64 " tokens\n",
                           v->kept, v->kept_error, v->tokens);
        } else {
            flo_buf_printf(out,
                           "the text does not show the update, by %" PRIu64
                           " tokens: rounding hides more\n",
                           v->tokens);
        }
        flo_buf_printf(out,
                       "from the floats, nats per token: release before %.5f, "
                       "free grid %.5f, pinned %.5f\n",
                       v->kl_old, v->kl_free, v->kl_pinned);
    }
}
