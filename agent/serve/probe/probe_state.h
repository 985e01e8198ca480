/* Declares the state that the files of a probe share. */
#ifndef FLOTILLA_AGENT_SERVE_PROBE_STATE_H
#define FLOTILLA_AGENT_SERVE_PROBE_STATE_H

#include <flotilla/golden.h>

#include "agent/core/speed.h"
#include "agent/serve/engines/engines.h"
#include "agent/serve/probe/probe.h"

#define PROBE_RUN_TOKENS_MAX 16
#define PROBE_PAIR_TOKENS_MAX 64
#define PROBE_PROMPTS_MAX 4

enum probe_phase {
    PROBE_GOLDEN_CASES,
    PROBE_TIMING,
    PROBE_MEMORY, /* a runtime must report its memory before the probe can end */
    PROBE_DONE
};
enum probe_side { PROBE_CANDIDATE, PROBE_CURRENT, PROBE_SIDES };

/* Times of the tokens of one engine, candidate or current, in a pair. */
struct probe_times {
    uint64_t us[PROBE_PAIR_TOKENS_MAX];
    uint64_t sum_us;
    uint32_t count;
};

struct probe {
    struct flo_serve *serve;
    struct serve_place *place;
    struct flo_golden golden;
    struct flo_probe_limits limits;
    struct flo_probe_result result;
    struct flo_err first_fault; /* error of the first case that failed */
    void (*done)(void *context, const struct flo_probe_result *result);
    void *context;
    /* timer for the longest time of the golden cases, then of the speed test */
    struct event *deadline;
    struct event *wake; /* event by which the loop continues the probe */
    struct serve_call call;
    struct serve_engine *candidate; /* engine under test */
    enum probe_phase phase;
    uint64_t progress_ms; /* time at which an engine last sent a frame */
    uint64_t token_us;    /* time that the candidate's last token took */
    /* The members up to n_vector belong to the golden case that is played
     * now. */
    uint32_t next_case;
    struct flo_buf text;
    int32_t tokens[FLO_GOLDEN_TOKENS_MAX];
    uint32_t n_tokens;
    uint32_t nonfinite;
    struct flo_golden_follow follow; /* how likely the answer's expected tokens are */
    float *vector;                   /* vector in the last EMBEDDING frame */
    uint32_t n_vector;
    unsigned without;  /* bit for each kind of check that the engine cannot do */
    uint32_t n_unable; /* number of cases that the engine cannot play */
    /* speed */
    struct flo_speed speed;
    /* times of the current pair, for each of the two engines */
    struct probe_times times[PROBE_SIDES];
    uint64_t run_us[PROBE_RUN_TOKENS_MAX];
    uint32_t n_run;
    uint64_t timing_since_ms;
    uint32_t prompts[PROBE_PROMPTS_MAX]; /* indices of cases that both engines can play */
    uint32_t n_prompts, prompt;
    bool by_wall;    /* wall-clock times are compared, because an engine reports no CPU times */
    bool is_unasked; /* the two speeds could not be compared */
    /* 0: the prompt's first run; 1: its second run, on the other engine; the
     * engine that runs first alternates */
    uint32_t turn;
    uint32_t rounds;
    uint32_t skipped; /* number of prompts in a row that an engine could not run */
    bool is_moved;    /* the candidate was moved to the CPU on which the live engine computes */
};

/* ---- probe_run.c ---- */
void flo_probe_finish(struct probe *probe, int error, const char *format, ...) FLO_PRINTF(3, 4);
/* Sends a case to an engine.  The answer's frames go to probe.c or
 * probe_speed.c, as the phase requires. */
FLO_MUST_USE int flo_probe_start(struct probe *probe, struct serve_engine *engine,
                                 const struct flo_golden_case *c, uint32_t tokens_max,
                                 bool ignores_end, struct flo_err *err);
/* Writes the question of a case as a request with the priority of probes. */
void flo_probe_put_case(struct flo_wire_generate *g, const struct flo_golden_case *c);
void flo_probe_wake_in(struct probe *probe, uint32_t ms);
/* Continues the probe with the check of the candidate's memory, when its speed
 * is good enough or cannot be compared. */
void flo_probe_judge_memory(struct probe *probe);
/* Tells whether this engine can answer the case. */
bool flo_probe_can_play(const struct serve_engine *engine, const struct flo_golden_case *c);

/* ---- probe_speed.c ---- */
void flo_probe_speed_begin(struct probe *probe);
void flo_probe_speed_next(struct probe *probe);
void flo_probe_speed_token(struct probe *probe, const struct flo_wire_token *token);
void flo_probe_speed_run_ended(struct probe *probe);
void flo_probe_speed_run_failed(struct probe *probe, const struct flo_err *err);
void flo_probe_speed_unsure(struct probe *probe);
enum probe_side flo_probe_speed_side(const struct probe *probe);
void flo_probe_speed_end(struct probe *probe);

#endif
