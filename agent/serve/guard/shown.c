/* Shown: writes guards for clients (/v1/models) and operators (/metrics). */
#include "agent/serve/guard/guards.h"

void flo_guards_list(const struct serve_place *place, struct flo_buf *out)
{
    static const char *const stages[FLO_GUARD_STAGES] = {
        [FLO_GUARD_PROMPT] = "prompt", [FLO_GUARD_ANSWER] = "answer"};
    const struct guards *guards = place->serve->guards;
    const char *comma = "";

    if (guards == NULL) {
        return;
    }
    flo_buf_text(out, ",\"guards\":[");
    for (uint32_t i = 0; i < guards->count; i++) {
        const struct flo_serve_guard *guard = &guards->all[i].is;
        const char *between = "";
        if (!flo_guard_fits(guard, place)) {
            continue;
        }
        flo_buf_printf(out, "%s{\"name\":\"%s\",\"stages\":[", comma, guard->name);
        for (int stage = 0; stage < FLO_GUARD_STAGES; stage++) {
            if (guard->looks_at[stage]) {
                flo_buf_printf(out, "%s\"%s\"", between, stages[stage]);
                between = ",";
            }
        }
        flo_buf_text(out, "]}");
        comma = ",";
    }
    flo_buf_text(out, "]");
}

void flo_guards_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    static const char *const words[GUARD_VERDICTS] = {[GUARD_PASSED] = "passed",
                                                      [GUARD_EDITED] = "edited",
                                                      [GUARD_REFUSED] = "refused",
                                                      [GUARD_FAILED] = "failed"};
    const struct guards *guards = serve->guards;

    if (guards == NULL) {
        return;
    }
    flo_buf_text(out, "# HELP flotilla_guard_verdicts_total looks of a guard at "
                      "prompts and answers\n"
                      "# TYPE flotilla_guard_verdicts_total counter\n");
    for (uint32_t i = 0; i < guards->count; i++) {
        for (int kind = 0; kind < GUARD_VERDICTS; kind++) {
            flo_buf_printf(out,
                           "flotilla_guard_verdicts_total{guard=\"%s\",verdict=\"%s\"} "
                           "%llu\n",
                           guards->all[i].is.name, words[kind],
                           (unsigned long long)guards->all[i].verdicts[kind]);
        }
    }
}
