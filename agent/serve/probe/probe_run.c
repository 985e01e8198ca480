/* Probe run: has single steps of a probe: sends a case to an engine, waits,
 * ends the probe. */
#include "agent/serve/probe/probe_state.h"

#include <event2/event.h>
#include <string.h>

#include <flotilla/errors/probe.h>
#include <flotilla/plural.h>

#define STATS_MS 20 /* time between two checks whether the memory has been reported */

bool flo_probe_can_play(const struct serve_engine *engine, const struct flo_golden_case *c)
{
    uint64_t needs = c->input == FLO_GOLDEN_RAW     ? FLO_ABILITY_RAW
                     : c->input == FLO_GOLDEN_TEXT  ? FLO_ABILITY_VECTORS
                     : c->input == FLO_GOLDEN_AUDIO ? FLO_ABILITY_AUDIO
                                                    : 0;
    return engine->is_silent == (c->input == FLO_GOLDEN_FILE) &&
           (engine->is_silent || (engine->abilities & needs) == needs);
}

/* ---- runs ---- */

static struct flo_wire_text prompt_of(const struct flo_golden_case *c)
{
    return (struct flo_wire_text){c->prompt, c->prompt_bytes};
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

void flo_probe_put_case(struct flo_wire_generate *g, const struct flo_golden_case *c)
{
    _Static_assert(FLO_GOLDEN_MESSAGES_MAX <= FLO_WIRE_MESSAGES_MAX, "a case's conversation fits");
    g->priority = FLO_WIRE_PROBE;
    if (c->input == FLO_GOLDEN_AUDIO) {
        g->audio = (struct flo_wire_text){c->audio, c->audio_bytes};
        return;
    }
    if (c->input == FLO_GOLDEN_FILE) {
        g->file = prompt_of(c);
        return;
    }
    if (c->input == FLO_GOLDEN_RAW) {
        g->prompt = prompt_of(c);
        g->reads_special = true;
        return;
    }
    if (c->input == FLO_GOLDEN_PROMPT) {
        g->n_messages = 1;
        g->messages[0].role = text_of("user");
        g->messages[0].content = prompt_of(c);
        return;
    }
    for (uint32_t i = 0; i < c->n_messages; i++) {
        g->messages[i].role = text_of(c->messages[i].role);
        g->messages[i].content = text_of(c->messages[i].content);
    }
    g->n_messages = c->n_messages;
}

/* Tells whether the case is played now to compare probabilities.  The speed
 * test plays it without them. */
static bool asks_losses(const struct probe *probe, const struct flo_golden_case *c)
{
    return probe->phase == PROBE_GOLDEN_CASES &&
           flo_golden_count(c, probe->without | ~(1u << FLO_GOLDEN_LOSSES)) > 0;
}

int flo_probe_start(struct probe *probe, struct serve_engine *engine,
                    const struct flo_golden_case *c, uint32_t tokens_max, bool ignores_end,
                    struct flo_err *err)
{
    static struct flo_wire_message message;
    const struct flo_serve_route *route = &probe->place->route;
    bool is_candidate = engine == probe->candidate;
    memset(&message, 0, sizeof(message));
    if (c->input == FLO_GOLDEN_TEXT) {
        message.type = FLO_WIRE_EMBED;
        message.embed.n_inputs = 1;
        message.embed.inputs[0].data = prompt_of(c);
    } else {
        message.type = FLO_WIRE_GENERATE;
        flo_probe_put_case(&message.generate, c);
        message.generate.max_tokens = c->input == FLO_GOLDEN_AUDIO ? 0 : tokens_max;
        message.generate.logprobs = asks_losses(probe, c) ? 1 + FLO_WIRE_LOGPROBS_MAX : 0;
        message.generate.ignores_end =
            ignores_end && (engine->abilities & FLO_ABILITY_ENDLESS) != 0;
    }
    flo_wire_name_adapter(&message, is_candidate ? probe->limits.adapter : route->adapter,
                          is_candidate ? probe->limits.adapter_scale : route->adapter_scale);
    flo_golden_follow(&probe->follow, c);
    probe->text.bytes = 0;
    probe->n_vector = 0;
    probe->n_tokens = 0;
    probe->n_run = 0;
    probe->nonfinite = 0;
    return flo_serve_engine_call(engine, &probe->call, &message, err);
}

void flo_probe_wake_in(struct probe *probe, uint32_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(probe->wake, &tv);
}

void flo_probe_judge_memory(struct probe *probe)
{
    struct serve_engine *candidate = probe->candidate;
    uint64_t max = probe->limits.memory_bytes_max;
    uint64_t peak = 0;
    if (candidate->runtime[0] != '\0' && probe->phase != PROBE_MEMORY) {
        probe->phase = PROBE_MEMORY;
        flo_serve_engine_ask_stats(candidate);
    }
    if (probe->phase == PROBE_MEMORY && !candidate->has_stats) {
        flo_probe_wake_in(probe, STATS_MS);
        return;
    }
    if (flo_serve_engine_memory(candidate, NULL, &peak)) {
        probe->result.memory_bytes = peak;
    }
    if (max > 0 && peak > max) {
        flo_probe_finish(probe, FLO_E_PROBE_MEMORY,
                         "the engine used %llu bytes at most, %llu are allowed",
                         (unsigned long long)peak, (unsigned long long)max);
    } else {
        flo_probe_finish(probe, 0, "%u of %u case%s passed%s", probe->result.passed,
                         probe->result.cases, flo_s(probe->result.cases),
                         probe->is_unasked ? ", speed is not compared" : "");
    }
}

/* ---- the end ---- */

/* Ends the probe with this error, or 0.  The event loop reports the end
 * later. */
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
