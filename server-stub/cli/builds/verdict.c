/* Verdicts: the figures of a build against its gates. */
#include "server-stub/cli/builds/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>
#include <flotilla/errors/probe.h>

#include "server-stub/cli/output/output.h"

/* ---- figures ---- */

static const json_t *model_at(const json_t *report, size_t place)
{
    return json_array_get(json_object_get(report, "models"), place);
}

/* Returns a number, or NAN for null. */
static double real(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Returns a variant's figure for a gate; NAN: it was not measured. */
static double figure(const json_t *report, const json_t *model, enum flo_build_gate gate)
{
    double cases = real(flo_out_at(report, "suite.cases"));
    double right = real(json_object_get(model, "exact"));

    switch (gate) {
    case FLO_BUILD_ANSWERS:
        return 100 * right / cases;
    case FLO_BUILD_LOST:
        return 100 * (real(json_object_get(model_at(report, 0), "exact")) - right) / cases;
    case FLO_BUILD_KL:
        return real(json_object_get(model, "kl_mean"));
    case FLO_BUILD_BYTES:
        return real(json_object_get(model, "bytes"));
    case FLO_BUILD_MEMORY:
        return real(json_object_get(model, "rss_bytes_peak"));
    case FLO_BUILD_SPEED:
        return real(json_object_get(model, "answer_tokens_per_s"));
    case FLO_BUILD_PROMPT:
        return real(json_object_get(model, "prompt_tokens_per_s"));
    case FLO_BUILD_GATES:
    default:
        return NAN;
    }
}

/* ---- verdicts ---- */

static void show(char *out, size_t bytes, double value, const struct flo_build_gate_row *row)
{
    if (row->is_bytes) {
        snprintf(out, bytes, "%.0f bytes", value);
    } else {
        snprintf(out, bytes, "%.4g%s", value, row->is_percent ? " points" : "");
    }
}

/* Rounds to six digits: enough for people, and short in JSON. */
static double rounded(double value)
{
    char text[32];

    snprintf(text, sizeof(text), fabs(value) >= 1e6 ? "%.0f" : "%.6g", value);
    return strtod(text, NULL);
}

/* Shows a figure or a limit in the table. */
static void show_figure(char *out, size_t bytes, double value, const struct flo_build_gate_row *row)
{
    if (!isfinite(value)) {
        snprintf(out, bytes, "-");
    } else if (row->is_bytes) {
        snprintf(out, bytes, "%.0f", value);
    } else {
        snprintf(out, bytes, "%.4g%s", value, row->is_percent ? " %" : "");
    }
}

static int append(json_t *verdicts, const char *variant, const struct flo_build_gate_row *row,
                  double limit, double measured, struct flo_err *err)
{
    char missing[32], limit_text[32], measured_text[32], by[64] = "";
    bool is_known = isfinite(measured);
    bool passes = is_known && (row->is_min ? measured >= limit : measured <= limit);

    if (!is_known) {
        snprintf(by, sizeof(by), "not measured");
    } else if (!passes) {
        show(missing, sizeof(missing), fabs(measured - limit), row);
        snprintf(by, sizeof(by), "%s too %s", missing, row->is_min ? "few" : "much");
    }
    show_figure(limit_text, sizeof(limit_text), limit, row);
    show_figure(measured_text, sizeof(measured_text), measured, row);
    json_t *verdict =
        json_pack("{s:s s:s s:s s:f s:o s:s s:s s:b s:s s:s}", "variant", variant, "gate",
                  row->name, "measure", row->measure, "limit", rounded(limit), "measured",
                  flo_json_finite_if(is_known, rounded(is_known ? measured : 0)), "limit_text",
                  limit_text, "measured_text", measured_text, "passed", passes, "verdict",
                  passes ? "passed" : "failed", "short_by", by);
    return json_array_append_new(verdicts, verdict) == 0 ? 0
                                                         : flo_fail(err, FLO_E_MEMORY, "a verdict");
}

int flo_build_judge(const struct flo_build_spec *spec, const struct flo_build_plan *plan,
                    const json_t *report, json_t *verdicts, struct flo_err *err)
{
    for (size_t i = 0; i < spec->variant_count; i++) {
        const struct flo_build_variant *variant = &spec->variants[i];
        const json_t *model = model_at(report, plan->places[i]);
        for (size_t g = 0; g < FLO_BUILD_GATES; g++) {
            if (variant->gates.has[g]) {
                FLO_TRY(append(verdicts, variant->name, &flo_build_gate_rows[g],
                               variant->gates.values[g],
                               figure(report, model, (enum flo_build_gate)g), err));
            }
        }
    }
    return 0;
}

int flo_build_judge_golden(const struct flo_build_spec *spec, uint64_t kept, json_t *verdicts,
                           struct flo_err *err)
{
    static const struct flo_build_gate_row row = {
        .name = "golden.kept_min", .measure = "golden prompts", .is_min = true};

    return append(verdicts, "all", &row, (double)spec->golden.kept_min, (double)kept, err);
}

int flo_build_check(const json_t *verdicts, struct flo_err *err)
{
    const json_t *first = NULL, *verdict;
    size_t i, failed = 0;

    json_array_foreach((json_t *)(uintptr_t)verdicts, i, verdict)
    {
        if (!json_is_true(json_object_get(verdict, "passed"))) {
            first = failed++ == 0 ? verdict : first;
        }
    }
    if (failed == 0) {
        return 0;
    }
    const json_t *measured = json_object_get(first, "measured");
    char given[48] = "not measured";
    if (json_is_number(measured)) {
        snprintf(given, sizeof(given), "%.10g", json_number_value(measured));
    }
    flo_fail(err, FLO_E_MODEL_GATE,
             "variant %s: %s is %s, and `%s` is %.10g (%s); %zu of %zu gates failed",
             json_string_value(json_object_get(first, "variant")),
             json_string_value(json_object_get(first, "measure")), given,
             json_string_value(json_object_get(first, "gate")),
             json_number_value(json_object_get(first, "limit")),
             json_string_value(json_object_get(first, "short_by")), failed,
             json_array_size(verdicts));
    return flo_err_fix(err, "change the model or the gate; results so far are kept");
}

int flo_build_fail_step(const struct flo_build_step *step, const char *end, int number,
                        struct flo_err *err)
{
    static const int codes[] = {[FLO_BUILD_IMPORT] = FLO_E_MODEL_FOLDER,
                                [FLO_BUILD_QUANTIZE] = FLO_E_MODEL_GATE,
                                [FLO_BUILD_EVALUATE] = FLO_E_MODEL_GATE,
                                [FLO_BUILD_GOLDEN] = FLO_E_PROBE_GOLDEN};

    flo_fail(err, codes[step->kind],
             "step `%s`: the reason stands above (flotilla-model %s, %s %d)", step->name,
             step->words[0], end, number);
    return flo_err_fix(err, "correct it and run the build again: finished steps are kept");
}

/* ---- figures for the release ---- */

static void put_figures(const json_t *report, const char *name, const json_t *model, char *out,
                        size_t out_bytes)
{
    const json_t *right = json_object_get(model, "exact");
    double kl = real(json_object_get(model, "kl_mean"));
    int used =
        snprintf(out, out_bytes, "%.32s: %.0f bytes", name, real(json_object_get(model, "bytes")));

    if (isfinite(kl)) {
        used += snprintf(out + used, out_bytes - (size_t)used, ", KL %.4f", kl);
    }
    if (json_is_integer(right)) {
        snprintf(out + used, out_bytes - (size_t)used, ", %lld of %.0f right",
                 (long long)json_integer_value(right), real(flo_out_at(report, "suite.cases")));
    }
}

void flo_build_quality(const struct flo_build_spec *spec, const struct flo_build_plan *plan,
                       const json_t *report, char *out, size_t out_bytes)
{
    char one[128];

    out[0] = '\0';
    for (size_t i = 0; i < spec->variant_count; i++) {
        const json_t *model = model_at(report, plan->places[i]);
        size_t used = strlen(out);
        put_figures(report, spec->variants[i].name, model, one, sizeof(one));
        if (used + strlen(one) + 3 > out_bytes) {
            return;
        }
        snprintf(out + used, out_bytes - used, "%s%s", used > 0 ? "; " : "", one);
    }
}
