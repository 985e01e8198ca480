/* A probe's single steps: have an engine answer a case, wait, end. */
#include "agent/serve/probe/probe_inside.h"

#include <event2/event.h>

/* ---- runs -------------------------------------------------------- */

int flo_probe_start(struct probe *probe, struct serve_engine *engine,
                    const struct flo_golden_case *c, uint32_t tokens_max,
                    bool ignores_end, struct flo_err *err)
{
    struct flo_wire_message message = {.type = FLO_WIRE_GENERATE};
    struct flo_wire_generate *g = &message.generate;
    struct flo_wire_text prompt = {c->prompt, c->prompt_bytes};
    if (c->is_raw) {
        g->prompt = prompt;
        g->reads_special = true;
    } else {
        g->n_messages = 1;
        g->messages[0].role = (struct flo_wire_text){"user", 4};
        g->messages[0].content = prompt;
    }
    g->max_tokens = tokens_max;
    g->ignores_end = ignores_end;
    g->priority = FLO_WIRE_PROBE;
    probe->text.bytes = 0;
    probe->n_tokens = 0;
    probe->n_run = 0;
    probe->nonfinite = 0;
    return flo_serve_engine_call(engine, &probe->call, &message, err);
}

void flo_probe_wake_in(struct probe *probe, uint32_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(probe->wake, &tv);
}

void flo_probe_judge_memory(struct probe *probe)
{
    uint64_t max = probe->limits.memory_bytes_max;
    uint64_t peak = 0;
    if (flo_process_memory(probe->candidate->pid, NULL, NULL, &peak)) {
        probe->result.memory_bytes = peak;
    }
    if (max > 0 && peak > max) {
        flo_probe_finish(probe, FLO_E_PROBE_MEMORY,
                         "the engine used %llu bytes at most, %llu are allowed",
                         (unsigned long long)peak, (unsigned long long)max);
    } else {
        flo_probe_finish(probe, 0, "%u of %u cases passed",
                         probe->result.passed, probe->result.cases);
    }
}

/* ---- the end ----------------------------------------------------- */

/* The verdict stands; it is told from the loop. */
void flo_probe_finish(struct probe *probe, int error, const char *format, ...)
{
    va_list list;
    if (probe->phase == PROBE_DONE) {
        return;
    }
    va_start(list, format);
    vsnprintf(probe->result.what, sizeof(probe->result.what), format, list);
    va_end(list);
    probe->result.error = error;
    probe->phase = PROBE_DONE;
    event_active(probe->wake, 0, 0);
}
