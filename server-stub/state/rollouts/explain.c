/* Explain: a rollout's decisions and their reasons, kept in memory for people.
 * A step that did something, or that ignored an event for a reason, adds its
 * trace (core/rollout/trace.c).  At most FLO_EXPLAIN_BYTES are kept while the
 * rollout is in memory.  The older part keeps only decisions, and if these are
 * too many, only the newest of them.  The log has all of it. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

#define FLO_EXPLAIN_BYTES 65536

/* Returns whether a step concerns a single device.  Ten thousand such steps
 * would hide why a phase continued.  A step is an event's line and the indented
 * lines below it. */
static bool is_of_device(const char *step)
{
    const char *line = strchr(step, '\n');
    bool is_one = false;

    while (line != NULL && line[1] == ' ') {
        line += 1 + strspn(line + 1, " ");
        if (strncmp(line, "device ", 7) != 0 && strncmp(line, "why      ignored", 16) != 0) {
            return false;
        }
        is_one = true;
        line = strchr(line, '\n');
    }
    return is_one;
}

/* Drops steps of single devices from the older half, to make room for
 * decisions. */
static void thin(struct flo_rollout_entry *entry)
{
    struct flo_buf *trace = &entry->own->trace;
    char *to = trace->data;
    const char *end = trace->data + trace->bytes;
    const char *half = trace->data + trace->bytes / 2;

    for (const char *step = trace->data; step < end;) {
        const char *next = strstr(step, "\n[");
        next = next != NULL ? next + 1 : end;
        if (step < half && is_of_device(step)) {
            entry->own->trace_cut += (uint64_t)(next - step);
        } else {
            memmove(to, step, (size_t)(next - step));
            to += next - step;
        }
        step = next;
    }
    trace->bytes = (size_t)(to - trace->data);
    trace->data[trace->bytes] = '\0';
}

/* Drops the older half of the trace at once, up to the end of a line. */
static void cut(struct flo_rollout_entry *entry)
{
    struct flo_buf *trace = &entry->own->trace;

    if (trace->bytes <= FLO_EXPLAIN_BYTES) {
        return;
    }
    thin(entry);
    if (trace->bytes <= FLO_EXPLAIN_BYTES * 3 / 4) {
        return;
    }
    size_t from = trace->bytes - FLO_EXPLAIN_BYTES / 2;
    while (from < trace->bytes && trace->data[from - 1] != '\n') {
        from++;
    }
    memmove(trace->data, trace->data + from, trace->bytes - from);
    trace->bytes -= from;
    trace->data[trace->bytes] = '\0';
    entry->own->trace_cut += from;
}

static void log_lines(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                      const struct flo_rollout_actions *actions)
{
    const char *why = actions->why;

    while (*why != '\0') {
        size_t chars = strcspn(why, "\n");
        flo_controller_say(controller, actions->count > 0 ? FLO_LOG_INFO : FLO_LOG_DEBUG, "rollout",
                           "%s: %.*s", entry->core.id, (int)chars, why);
        why += chars + (why[chars] == '\n');
    }
}

void flo_rollouts_explain(struct flo_controller *controller, struct flo_rollout_entry *entry,
                          const struct flo_rollout_event *event,
                          const struct flo_rollout_actions *actions)
{
    bool is_silent =
        event->kind == FLO_ROLLOUT_EVENT_HEARD || event->kind == FLO_ROLLOUT_EVENT_TICK;

    bool is_record =
        event->kind == FLO_ROLLOUT_EVENT_ANALYSIS && actions->why[0] == '\0' && actions->count == 1;

    if (is_record || (actions->count == 0 && (actions->why[0] == '\0' || is_silent))) {
        return;
    }
    log_lines(controller, entry, actions);
    flo_rollout_trace(&entry->core, event, actions, &entry->own->trace);
    if (entry->own->trace.failed) { /* without memory for the text, the trace is
                                       emptied and begins again */
        flo_buf_deinit(&entry->own->trace);
        entry->own->trace = (struct flo_buf){0};
        return;
    }
    cut(entry);
}

/* ---- the decisions alone ---- */

/* Returns whether a line is a detail, which carries out a decision or concerns
 * a single device. */
static bool is_detail(const char *line)
{
    static const char *const begins[] = {"device ", "devices ", "desired ", "order ",
                                         "each ",   "recall ",  "record ",  "why      ignored"};

    for (size_t i = 0; i < FLO_COUNT(begins); i++) {
        if (strncmp(line, begins[i], strlen(begins[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void add_line(const struct flo_controller *controller, const struct flo_rollout_entry *entry,
                     json_t *lines, const char *line, size_t chars)
{
    size_t blanks = strspn(line, " ");

    if (blanks < chars && !is_detail(line + blanks)) {
        json_array_append_new(
            lines, flo_rollouts_named(controller, &entry->core, line + blanks, chars - blanks));
    }
}

/* Parses a step's line, which begins with "[seconds.ms]" since the rollout was
 * made. */
static json_t *decision(const struct flo_controller *controller,
                        const struct flo_rollout_entry *entry, const char *step, const char *end)
{
    json_t *lines = json_array();
    const char *close = strchr(step, ']');
    double seconds = strtod(step + 1, NULL);
    size_t chars = strcspn(step, "\n");

    if (close == NULL || close >= step + chars) {
        close = step - 1; /* a line without a time: the step before it was cut off */
    }
    add_line(controller, entry, lines, close + 1, (size_t)(step + chars - close - 1));
    for (const char *at = step + chars; at < end; at += chars) {
        at += *at == '\n';
        chars = strcspn(at, "\n");
        add_line(controller, entry, lines, at, chars);
    }
    return json_pack("{s:I,s:o}", "at_ms",
                     (json_int_t)(entry->core.created_at_ms + (uint64_t)(seconds * 1000)), "lines",
                     lines);
}

static json_t *decisions(const struct flo_controller *controller,
                         const struct flo_rollout_entry *entry)
{
    json_t *list = json_array();
    const char *step = entry->own->trace.data != NULL ? entry->own->trace.data : "";

    while (*step != '\0') {
        const char *next = strstr(step, "\n[");
        const char *end = next != NULL ? next : step + strlen(step);
        if (*step == '[' && !is_of_device(step)) {
            json_t *one = decision(controller, entry, step, end);
            /* An event with one line only decided nothing, so it is left
             * out. */
            if (json_array_size(json_object_get(one, "lines")) > 1) {
                json_array_append(list, one);
            }
            json_decref(one);
        }
        step = next != NULL ? next + 1 : end;
    }
    return list;
}

json_t *flo_rollouts_explained(const struct flo_controller *controller,
                               const struct flo_rollout_entry *entry)
{
    json_t *lines = json_array();
    const char *at = entry->own->trace.data != NULL ? entry->own->trace.data : "";

    while (*at != '\0') {
        size_t chars = strcspn(at, "\n");
        json_array_append_new(lines, flo_rollouts_named(controller, &entry->core, at, chars));
        at += chars + (at[chars] == '\n');
    }
    const char *reason = entry->core.reason;
    json_t *json = json_pack("{s:s,s:s,s:o,s:I,s:I,s:o}", "id", entry->core.id, "state",
                             flo_rollout_state_word(entry->core.state), "reason",
                             flo_rollouts_named(controller, &entry->core, reason, strlen(reason)),
                             "created_at_ms", (json_int_t)entry->core.created_at_ms, "cut_bytes",
                             (json_int_t)entry->own->trace_cut, "trace", lines);
    if (json != NULL) {
        json_object_set_new(json, "decisions", decisions(controller, entry));
        flo_rollouts_show_remaining(controller, entry, json);
    }
    return json;
}
