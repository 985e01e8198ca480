/* View: draws a rollout on the screen. */
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/cli/view/view.h"

#define BAR 20
#define TREND_MS 5000 /* shortest interval between two values in the small chart of a gate */

static unsigned long long number(const json_t *json, const char *path)
{
    return (unsigned long long)flo_out_u64(json, path);
}

/* ---- phases ---- */

/* Counts the devices of a phase that succeeded. */
static uint64_t good_of(const json_t *phase)
{
    const json_t *counts = json_object_get(phase, "counts");
    uint64_t good = 0;

    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        if (flo_execution_kind((enum flo_execution)i) == FLO_EXECUTION_END_GOOD) {
            good += flo_out_u64(counts, flo_execution_word((enum flo_execution)i));
        }
    }
    return good;
}

void flo_view_phase(const json_t *phase, struct flo_buf *out)
{
    static const char *const besides[] = {"away", "silent", "overdue"};
    const json_t *counts = json_object_get(phase, "counts");
    uint64_t devices = flo_out_u64(phase, "devices");
    uint64_t good = good_of(phase);
    char name[FLO_OUT_PLAIN];

    flo_buf_printf(out, " %llu %-10s %4llu  ", number(phase, "number"),
                   flo_out_plain(phase, "name", "?", name), (unsigned long long)devices);
    for (uint64_t i = 0; i < BAR; i++) {
        flo_buf_text(out, devices > 0 && i * devices < good * BAR ? "█" : "·");
    }
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        const char *word = flo_execution_word((enum flo_execution)i);
        if (flo_out_u64(counts, word) > 0) {
            flo_buf_printf(out, "  %llu %s", number(counts, word), word);
        }
    }
    /* These counts follow in brackets: their devices are already in the counts
     * by state. */
    bool is_any = false;
    for (size_t i = 0; i < FLO_COUNT(besides); i++) {
        if (flo_out_u64(phase, besides[i]) > 0) {
            flo_buf_printf(out, "%s%llu %s", is_any ? ", " : "  (of them ",
                           number(phase, besides[i]), besides[i]);
            is_any = true;
        }
    }
    flo_buf_text(out, is_any ? ")\n" : "\n");
}

/* Draws one line about the devices of all phases together, by state. */
static void funnel_line(const json_t *phases, struct flo_buf *out)
{
    const char *gap = "  ";
    size_t k;
    json_t *phase;

    if (json_array_size(phases) < 2) {
        return; /* with a single phase, its own line already shows these numbers */
    }
    flo_buf_text(out, " all");
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        const char *word = flo_execution_word((enum flo_execution)i);
        uint64_t sum = 0;
        json_array_foreach(phases, k, phase)
        {
            sum += flo_out_u64(json_object_get(phase, "counts"), word);
        }
        if (sum > 0) {
            flo_buf_printf(out, "%s%s %llu", gap, word, (unsigned long long)sum);
            gap = " · ";
        }
    }
    flo_buf_text(out, "\n");
}

/* ---- gates ---- */

static void remember(struct flo_view *view, const char *name, double value, uint64_t now_ms)
{
    size_t i = 0;

    while (i < view->gate_count && strcmp(view->gates[i].name, name) != 0) {
        i++;
    }
    if (i == FLO_TREND_GATES) {
        return;
    }
    if (i == view->gate_count) {
        snprintf(view->gates[i].name, sizeof(view->gates[i].name), "%.63s", name);
        view->gate_count++;
    }
    size_t *count = &view->gates[i].count;
    if (*count > 0 && now_ms - view->gates[i].at_ms < TREND_MS) {
        view->gates[i].values[*count - 1] = value;
        return;
    }
    if (*count == FLO_TREND_VALUES) {
        memmove(view->gates[i].values, view->gates[i].values + 1,
                (FLO_TREND_VALUES - 1) * sizeof(double));
        *count -= 1;
    }
    view->gates[i].values[(*count)++] = value;
    view->gates[i].at_ms = now_ms;
}

static void trend_of(const struct flo_view *view, const char *name, struct flo_buf *out)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t i = 0;

    while (i < view->gate_count && strcmp(view->gates[i].name, name) != 0) {
        i++;
    }
    if (i == view->gate_count) {
        return;
    }
    double low = view->gates[i].values[0], high = low;
    for (size_t k = 0; k < view->gates[i].count; k++) {
        double value = view->gates[i].values[k];
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    for (size_t k = 0; k < view->gates[i].count; k++) {
        double share = high > low ? (view->gates[i].values[k] - low) / (high - low) : 0.4;
        flo_buf_text(out, bars[(int)(share * 7.0 + 0.5)]);
    }
}

/* Writes the first number found at one of these paths of a gate into a cell of
 * the row, as text with the unit. */
static void set_number(json_t *row, const char *key, const json_t *gate, const char *const *paths,
                       const char *unit)
{
    char text[48];

    for (; *paths != NULL; paths++) {
        const json_t *value = flo_out_at(gate, *paths);
        if (json_is_number(value)) {
            snprintf(text, sizeof(text), "%.4g%s%s", json_number_value(value),
                     unit[0] != '\0' ? " " : "", unit);
            json_object_set_new(row, key, json_string(text));
            return;
        }
    }
}

static json_t *gate_row(struct flo_view *view, const json_t *gate, uint64_t now_ms)
{
    static const char *const candidate[] = {"updated.value", "result.rate_treated", NULL};
    static const char *const control[] = {"waiting.value", "result.rate_control", NULL};
    static const char *const value[] = {"value", NULL};
    static const char *const limit[] = {"limit", NULL};
    const char *name = flo_out_text(gate, "name", "?");
    const char *unit = flo_out_text(gate, "unit", "");
    const json_t *now = flo_out_at(gate, "value");
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf trend = {0};
    json_t *row =
        json_pack("{s:s,s:s}", "name", name, "verdict", flo_out_text(gate, "verdict", "?"));

    if (json_is_number(now)) {
        remember(view, name, json_number_value(now), now_ms);
    }
    trend_of(view, name, &trend);
    if (trend.data != NULL) {
        json_object_set_new(row, "trend", json_string(trend.data));
    }
    set_number(row, "candidate", gate, candidate,
               flo_out_text(flo_out_at(gate, "updated"), "unit", ""));
    set_number(row, "control", gate, control,
               flo_out_text(flo_out_at(gate, "waiting"), "unit", ""));
    set_number(row, "value", gate, value, unit);
    set_number(row, "limit", gate, limit, unit);
    return row;
}

static void gate_table(struct flo_view *view, const json_t *gates, uint64_t now_ms, bool has_colour,
                       struct flo_buf *out)
{
    const struct flo_out_spec spec = {.has_heads = true, .has_colour = has_colour};
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();
    struct flo_err err = {0};
    size_t i;
    json_t *gate;

    json_array_foreach(gates, i, gate)
    {
        json_array_append_new(rows, gate_row(view, gate, now_ms));
    }
    if (json_array_size(rows) > 0 &&
        flo_out_render(&spec, rows, FLO_COLUMNS(watched_gate), out, &err) < 0) {
        flo_buf_printf(out, "%s\n", err.what);
    }
}

/* Draws the gates that have not passed yet: which devices each of them
 * compares, and what is missing. */
static void gate_lines(const json_t *gates, uint64_t now_ms, bool is_tty, struct flo_buf *out)
{
    char text[FLO_OUT_PLAIN];
    size_t i;
    json_t *gate;

    json_array_foreach(gates, i, gate)
    {
        uint64_t at_ms = flo_out_u64(gate, "look_at_ms");
        bool is_told = json_is_true(json_object_get(gate, "statistical")) ||
                       strcmp(flo_out_text(gate, "verdict", ""), "fail") == 0;
        if (!is_told) {
            continue;
        }
        flo_buf_printf(out, "   %s", flo_out_plain(gate, "text", "?", text));
        if (at_ms > 0 && is_tty) {
            flo_buf_printf(out, ", look %llu of 4, next in %llu min", number(gate, "look"),
                           (unsigned long long)(at_ms > now_ms ? (at_ms - now_ms) / 60000 + 1 : 0));
        }
        flo_buf_text(out, "\n");
    }
}

/* ---- causes, next, time ---- */

void flo_view_slices(const json_t *rollout, struct flo_buf *out)
{
    char plain[FLO_OUT_PLAIN];
    json_t *slice;
    size_t i;

    json_array_foreach(json_object_get(rollout, "slices"), i, slice)
    {
        flo_buf_printf(out, "slice: %s\n", flo_out_plain(slice, "text", "?", plain));
    }
}

void flo_view_scans(const json_t *rollout, bool is_all, struct flo_buf *out)
{
    char plain[FLO_OUT_PLAIN];
    json_t *scan;
    size_t i;

    json_array_foreach(json_object_get(rollout, "scans"), i, scan)
    {
        if (is_all || number(scan, "values") == 0 || number(scan, "left_values") > 0) {
            flo_buf_printf(out, "scan: %s\n", flo_out_plain(scan, "text", "?", plain));
        }
    }
}

/* Returns the word for a slice's consequence, or without one the word for how
 * it was found. */
static const char *word_of(const json_t *slice)
{
    const char *end = flo_out_text(slice, "end", "told");

    return strcmp(end, "told") != 0 ? end : flo_out_text(slice, "kind", "?");
}

void flo_view_slices_line(const json_t *rollout, struct flo_buf *out)
{
    char plain[FLO_OUT_PLAIN];
    json_t *slice;
    size_t i;

    json_array_foreach(json_object_get(rollout, "slices"), i, slice)
    {
        flo_buf_printf(out, "%s%s %s", i == 0 ? "" : ", ", word_of(slice),
                       flo_out_plain(slice, "slice", "?", plain));
    }
}

static void cause_lines(const json_t *causes, struct flo_buf *out)
{
    char device[FLO_OUT_PLAIN], meaning[FLO_OUT_PLAIN], fix[FLO_OUT_PLAIN];
    size_t i;
    json_t *cause;

    json_array_foreach(causes, i, cause)
    {
        uint64_t devices = flo_out_u64(cause, "devices");
        flo_buf_printf(out, " failed  %s: %s%s", flo_out_text(cause, "id", "?"),
                       flo_out_plain(cause,
                                     flo_out_text(cause, "name", NULL) != NULL ? "name" : "device",
                                     "?", device),
                       devices > 1 ? "" : " – ");
        if (devices > 1) {
            flo_buf_printf(out, " and %llu more – ", (unsigned long long)devices - 1);
        }
        flo_buf_printf(out, "%s\n         do: %s\n", flo_out_plain(cause, "meaning", "", meaning),
                       flo_out_plain(cause, "fix", "", fix));
    }
}

/* Returns the sum of the soaks in phases that have not begun. Each phase counts
 * its own soak and the trial on its devices. */
static uint64_t soaks_to_come(const json_t *rollout)
{
    const json_t *phases = flo_out_at(rollout, "spec.phases");
    const char *own = flo_out_text(flo_out_at(rollout, "spec"), "soak", "0s");
    uint64_t sum = 0, ms, own_ms = 0;
    size_t i;
    json_t *phase;

    (void)flo_duration_parse(own, &own_ms);
    json_array_foreach(phases, i, phase)
    {
        const char *soak = flo_out_text(phase, "soak", "0s");
        if (i + 1 > flo_out_u64(rollout, "phase")) {
            sum += own_ms + (flo_duration_parse(soak, &ms) ? ms : 0);
        }
    }
    return sum;
}

static const json_t *phase_now(const json_t *rollout)
{
    return json_array_get(json_object_get(rollout, "phases"),
                          (size_t)flo_out_u64(rollout, "phase") - 1);
}

/* Returns how long the present soak still lasts. */
static uint64_t soak_left(const json_t *rollout, uint64_t now_ms)
{
    uint64_t at_ms = flo_out_u64(phase_now(rollout), "soak.until_ms");

    return at_ms > now_ms ? at_ms - now_ms : 0;
}

/* Tells whether only time has to pass, because each device of the phase is on
 * trial or has ended. */
static bool only_soaks(const json_t *rollout)
{
    const json_t *phase = phase_now(rollout);
    const json_t *counts = json_object_get(phase, "counts");
    uint64_t still = flo_out_u64(phase, "soak.devices");

    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        enum flo_execution state = (enum flo_execution)i;
        still += flo_execution_is_end(state) ? flo_out_u64(counts, flo_execution_word(state)) : 0;
    }
    return still >= flo_out_u64(phase, "devices");
}

static uint64_t good_of_all(const json_t *rollout)
{
    uint64_t good = 0;
    size_t i;
    json_t *phase;

    json_array_foreach(json_object_get(rollout, "phases"), i, phase)
    {
        good += good_of(phase);
    }
    return good;
}

uint64_t flo_view_left_ms(const struct flo_view *view, const json_t *rollout, uint64_t now_ms)
{
    uint64_t good = good_of_all(rollout);
    uint64_t members = flo_out_u64(rollout, "members");
    uint64_t to_ms = view->moved_ms > 0 ? view->moved_ms : now_ms;
    uint64_t took_ms = to_ms - view->begin_ms;

    if (strcmp(flo_out_text(rollout, "state", ""), "running") != 0 || good >= members) {
        return 0;
    }
    uint64_t soaks_ms = soak_left(rollout, now_ms) + soaks_to_come(rollout);
    if (soak_left(rollout, now_ms) > 0 && only_soaks(rollout)) {
        /* all devices only soak, so no further device ends before, and only the
         * soaks remain */
        return soaks_ms;
    }
    if (good <= view->begin_good || took_ms == 0) {
        return 0;
    }
    double per_ms = (double)(good - view->begin_good) / (double)took_ms;
    return (uint64_t)((double)(members - good) / per_ms) + soaks_ms;
}

static void end_lines(const struct flo_view *view, const json_t *rollout, uint64_t now_ms,
                      bool is_tty, struct flo_buf *out)
{
    char what[FLO_OUT_PLAIN], in[32], left[32];
    uint64_t at_ms = flo_out_u64(rollout, "next.at_ms");
    uint64_t left_ms = flo_view_left_ms(view, rollout, now_ms);

    if (json_object_get(rollout, "next") != NULL) {
        bool is_timed = is_tty && at_ms > now_ms;
        flo_out_ms(is_timed ? at_ms - now_ms : 0, in);
        flo_buf_printf(out, " waits%s%s for: %s\n", is_timed ? " at most " : "", is_timed ? in : "",
                       flo_out_plain(rollout, "next.what", "?", what));
    }
    if (is_tty && left_ms > 0) {
        flo_out_ms(left_ms, left);
        flo_buf_printf(out, " about %s left, as fast as now%s\n", left,
                       soaks_to_come(rollout) > 0 ? " and with its soaks" : "");
    }
    if (is_tty) {
        flo_buf_text(out, " Ctrl-C leaves; the rollout goes on\n");
    }
}

/* ---- whole ---- */

static void head_line(const json_t *rollout, bool has_colour, struct flo_buf *out)
{
    const char *state = flo_out_text(rollout, "state", "?");
    const char *tone = has_colour ? flo_tone_of(state) : "";
    char reason[FLO_OUT_PLAIN], group[FLO_OUT_PLAIN];

    flo_buf_printf(out, "%s  %s  group %s  %s%s%s  phase %llu of %zu  %s\n",
                   flo_out_text(rollout, "id", "?"), flo_out_text(rollout, "release", "?"),
                   flo_out_plain(rollout, "group", "?", group), tone, state,
                   tone[0] != '\0' ? FLO_TONE_END : "", number(rollout, "phase"),
                   json_array_size(json_object_get(rollout, "phases")),
                   flo_out_plain(rollout, "reason", "", reason));
}

void flo_view_rollout(struct flo_view *view, const json_t *rollout, uint64_t now_ms, bool is_tty,
                      bool has_colour, struct flo_buf *out)
{
    const json_t *phases = json_object_get(rollout, "phases");
    const json_t *gates = json_object_get(rollout, "gates");
    size_t i;
    json_t *phase;

    if (view->begin_ms == 0) {
        view->begin_ms = now_ms;
        view->begin_good = good_of_all(rollout);
    }
    if (view->moved_ms == 0 || view->moved_good != good_of_all(rollout)) {
        view->moved_ms = now_ms;
        view->moved_good = good_of_all(rollout);
    }
    head_line(rollout, has_colour, out);
    json_array_foreach(phases, i, phase)
    {
        flo_view_phase(phase, out);
    }
    funnel_line(phases, out);
    if (is_tty) {
        gate_table(view, gates, now_ms, has_colour, out);
    }
    gate_lines(gates, now_ms, is_tty, out);
    flo_view_slices(rollout, out);
    cause_lines(json_object_get(rollout, "causes"), out);
    end_lines(view, rollout, now_ms, is_tty, out);
}
