/* Probe speed: compares a candidate's speed with the live engine's, in
 * alternating runs.
 *
 * Times are CPU times that the engines take around each token, or wall-clock
 * times if one engine is a runtime that reports no others.  A pair uses the
 * lower quartile of its times, because other work on the machine lengthens some
 * tokens.
 *
 * Such work is on one CPU and lasts half a second or longer: a neighbour on the
 * other half of a core, a busy host, a small core.  Two engines on two CPUs may
 * then differ by a factor of two with equal models.  The candidate therefore
 * computes on the CPU on which the live engine was last.
 *
 * agent/core/speed.c decides whether the pairs are enough for a verdict. */
#include "agent/serve/probe/probe_state.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/probe.h>

#define PAIR_US 20000 /* computing time of one comparison, of both engines together */
/* Number of tokens per engine that is enough with wall-clock times, because the
 * overhead of a request is the largest part of them. */
#define WALL_TOKENS 6
#define RUN_TOKENS_MIN 2
/* pause before it is checked again whether a live engine can answer */
#define WAIT_MS 50
/* time limit of the speed test, as a multiple of that of the golden cases */
#define TIMEOUTS_MAX 2

enum probe_side flo_probe_speed_side(const struct probe *probe)
{
    return (probe->turn + probe->rounds) % 2 == 0 ? PROBE_CANDIDATE : PROBE_CURRENT;
}

/* ---- begin and end ---- */

static void not_compared(struct probe *probe, const char *why)
{
    flo_log(FLO_LOG_WARN, "probe", "speed is not compared: %s", why);
    probe->is_unasked = true;
    flo_probe_judge_memory(probe);
}

/* Chooses cases that both engines can answer, spread over the document. */
static void choose_prompts(struct probe *probe, const struct serve_engine *live)
{
    const struct flo_golden *golden = &probe->golden;
    uint32_t step = golden->n_cases / PROBE_PROMPTS_MAX;
    uint32_t next = 0;
    probe->n_prompts = 0;
    for (uint32_t i = 0; i < golden->n_cases && probe->n_prompts < PROBE_PROMPTS_MAX; i++) {
        const struct flo_golden_case *c = &golden->cases[i];
        if (i >= next && c->input < FLO_GOLDEN_TEXT && flo_probe_can_play(probe->candidate, c) &&
            flo_probe_can_play(live, c)) {
            probe->prompts[probe->n_prompts++] = i;
            next = i + (step > 0 ? step : 1);
        }
    }
}

void flo_probe_speed_begin(struct probe *probe)
{
    const struct serve_engine *live = flo_serve_engine_live(probe->place);
    if (probe->limits.speed_ratio_max <= 0 || live == NULL || live == probe->candidate) {
        flo_probe_judge_memory(probe);
        return;
    }
    if (live->lacks_packed != probe->candidate->lacks_packed) {
        not_compared(probe, "one side runs without packed weights");
        return;
    }
    choose_prompts(probe, live);
    if (probe->n_prompts == 0) {
        not_compared(probe, "no case is a prompt that both engines can answer");
        return;
    }
    probe->by_wall = (probe->candidate->abilities & live->abilities & FLO_ABILITY_CPU) == 0;
    uint64_t ms = TIMEOUTS_MAX * probe->limits.timeout_ms;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(probe->deadline, &tv);
    probe->phase = PROBE_TIMING;
    probe->timing_since_ms = flo_now_ms();
    flo_speed_init(&probe->speed, probe->limits.speed_ratio_max,
                   probe->limits.must_be_faster ? 0 : FLO_SPEED_UNNOTICED_US);
    flo_probe_speed_next(probe);
}

void flo_probe_speed_end(struct probe *probe)
{
    if (probe->is_moved && probe->place->roles[FLO_ROLE_CANDIDATE] == probe->candidate) {
        flo_process_cpu_leave(probe->candidate->pid);
    }
    probe->is_moved = false;
}

static void tell_typical(struct probe *probe)
{
    struct flo_speed_typical typical = flo_speed_typical(&probe->speed);
    probe->result.token_us_candidate = typical.candidate_us;
    probe->result.token_us_current = typical.current_us;
}

static void finish_speed(struct probe *probe, int error, const char *verdict)
{
    struct flo_speed_typical typical = flo_speed_typical(&probe->speed);
    flo_probe_finish(probe, error,
                     "%s: %.3f ms per token against %.3f, %.2f times, at most %.2f; "
                     "%llu of %llu pairs over that in %llu ms",
                     verdict, typical.candidate_us / 1e3, typical.current_us / 1e3, typical.ratio,
                     probe->speed.ratio_max, (unsigned long long)probe->speed.over.yes,
                     (unsigned long long)probe->speed.over.count,
                     (unsigned long long)(flo_now_ms() - probe->timing_since_ms));
}

void flo_probe_speed_unsure(struct probe *probe)
{
    tell_typical(probe);
    finish_speed(probe, FLO_E_PROBE_UNSURE, "no sure verdict");
}

/* ---- pairs ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double lower_quartile(struct probe_times *times)
{
    qsort(times->us, times->count, sizeof(times->us[0]), compare_u64);
    return (double)times->us[times->count / 4];
}

static bool is_pair(const struct probe *probe)
{
    const struct probe_times *a = &probe->times[PROBE_CANDIDATE];
    const struct probe_times *b = &probe->times[PROBE_CURRENT];
    bool has_enough = probe->by_wall && a->count >= WALL_TOKENS && b->count >= WALL_TOKENS;
    return a->count > 0 && b->count > 0 &&
           (has_enough || a->sum_us + b->sum_us >= PAIR_US ||
            a->count + PROBE_RUN_TOKENS_MAX > PROBE_PAIR_TOKENS_MAX);
}

static void take_pair(struct probe *probe)
{
    double candidate_us = lower_quartile(&probe->times[PROBE_CANDIDATE]);
    double current_us = lower_quartile(&probe->times[PROBE_CURRENT]);
    memset(probe->times, 0, sizeof(probe->times));
    switch (flo_speed_add(&probe->speed, candidate_us, current_us)) {
    case FLO_SPEED_FAST:
        tell_typical(probe);
        flo_probe_judge_memory(probe);
        break;
    case FLO_SPEED_SLOW:
        tell_typical(probe);
        finish_speed(probe, FLO_E_PROBE_SPEED, "too slow");
        break;
    case FLO_SPEED_UNSURE:
        flo_probe_speed_unsure(probe);
        break;
    case FLO_SPEED_OPEN:
        flo_probe_wake_in(probe, flo_speed_pause_ms(&probe->speed));
        break;
    }
}

/* ---- runs ---- */

void flo_probe_speed_token(struct probe *probe, const struct flo_wire_token *token)
{
    uint64_t us = probe->by_wall ? token->wall_us : token->cpu_us;
    if (token->index > 0 && us > 0 && probe->n_run < PROBE_RUN_TOKENS_MAX) {
        probe->run_us[probe->n_run++] = us;
    }
}

static void next_side(struct probe *probe)
{
    if (++probe->turn == PROBE_SIDES) {
        probe->turn = 0;
        probe->rounds++;
        probe->prompt = (probe->prompt + 1) % probe->n_prompts;
    }
}

/* Skips a prompt that an engine cannot run, for example because its context is
 * too small.  If that happens with all prompts, the speed cannot be
 * compared. */
static void skip_prompt(struct probe *probe, const char *why)
{
    probe->turn = PROBE_SIDES - 1;
    memset(probe->times, 0, sizeof(probe->times));
    next_side(probe);
    if (++probe->skipped == probe->n_prompts) {
        not_compared(probe, why);
        return;
    }
    flo_probe_speed_next(probe);
}

void flo_probe_speed_run_ended(struct probe *probe)
{
    struct probe_times *times = &probe->times[flo_probe_speed_side(probe)];
    if (probe->n_run == 0) {
        skip_prompt(probe, "an engine tells no times");
        return;
    }
    for (uint32_t i = 0; i < probe->n_run; i++) {
        times->us[times->count++] = probe->run_us[i];
        times->sum_us += probe->run_us[i];
        probe->token_us = probe->run_us[i];
    }
    next_side(probe);
    if (probe->turn == 0) {
        probe->skipped = 0;
    }
    if (probe->turn == 0 && is_pair(probe)) {
        take_pair(probe);
    } else {
        flo_probe_speed_next(probe);
    }
}

void flo_probe_speed_run_failed(struct probe *probe, const struct flo_err *err)
{
    enum probe_side side = flo_probe_speed_side(probe);
    const char *id = flo_error_id(err->code);
    if (err->code == FLO_E_INFER_BUSY) {
        flo_probe_wake_in(probe, WAIT_MS);
    } else if (strncmp(id, "infer.", strlen("infer.")) == 0) {
        skip_prompt(probe, err->what);
    } else if (side == PROBE_CURRENT) {
        /* the live engine has the problem, not the candidate, so the probe
         * waits */
        flo_probe_wake_in(probe, WAIT_MS);
    } else {
        flo_probe_finish(probe, err->code, "measuring its speed: %s", err->what);
    }
}

/* Returns how many tokens a run generates.  A slow engine generates few,
 * because many short pairs say more than a few long ones. */
static uint32_t run_tokens(const struct probe *probe)
{
    uint64_t tokens = probe->token_us > 0 ? PAIR_US / 2 / probe->token_us : UINT64_MAX;
    return tokens < RUN_TOKENS_MIN         ? RUN_TOKENS_MIN
           : tokens > PROBE_RUN_TOKENS_MAX ? PROBE_RUN_TOKENS_MAX
                                           : (uint32_t)tokens;
}

void flo_probe_speed_next(struct probe *probe)
{
    struct serve_engine *live = flo_serve_engine_live(probe->place);
    bool is_candidate = flo_probe_speed_side(probe) == PROBE_CANDIDATE;
    struct flo_err err = {0};
    if (live == NULL || live == probe->candidate) {
        flo_probe_wake_in(probe, WAIT_MS);
        return;
    }
    if (is_candidate && !probe->by_wall) {
        probe->is_moved |= flo_process_cpu_join(probe->candidate->pid, live->pid);
    }
    if (flo_probe_start(probe, is_candidate ? probe->candidate : live,
                        &probe->golden.cases[probe->prompts[probe->prompt]], run_tokens(probe) + 1,
                        true, &err) < 0) {
        flo_probe_speed_run_failed(probe, &err);
    }
}
