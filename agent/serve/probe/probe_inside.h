/* Probe inside: state shared by probe.c and probe_speed.c. */
#ifndef FLOTILLA_AGENT_SERVE_PROBE_INSIDE_H
#define FLOTILLA_AGENT_SERVE_PROBE_INSIDE_H

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
    PROBE_MEMORY, /* the probe waits for the runtime to report its memory */
    PROBE_DONE
};
enum probe_side { PROBE_CANDIDATE, PROBE_CURRENT, PROBE_SIDES };

/* Times of the tokens of one side in a pair. */
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
    struct flo_err first_fault; /* error of the first failed case */
    void (*done)(void *context, const struct flo_probe_result *result);
    void *context;
    struct event *deadline; /* timer for the golden cases, then for the speed */
    struct event *wake;     /* event with which the loop continues the probe */
    struct serve_call call;
    struct serve_engine *candidate; /* engine under test */
    enum probe_phase phase;
    uint64_t progress_ms; /* time when an engine last sent something */
    uint64_t token_us;    /* time of the candidate's last token */
    /* during golden cases: the current answer */
    uint32_t next_case;
    struct flo_buf text;
    int32_t tokens[FLO_GOLDEN_TOKENS_MAX];
    uint32_t n_tokens;
    uint32_t nonfinite;
    float *vector; /* numbers of the last EMBEDDING frame */
    uint32_t n_vector;
    unsigned without;  /* kinds of checks that the engine cannot do, a bit each */
    uint32_t n_unable; /* number of cases that the engine cannot play */
    /* speed */
    struct flo_speed speed;
    struct probe_times times[PROBE_SIDES]; /* times of the current pair */
    uint64_t run_us[PROBE_RUN_TOKENS_MAX];
    uint32_t n_run;
    uint64_t timing_since_ms;
    uint32_t prompts[PROBE_PROMPTS_MAX]; /* indexes of the cases that both engines can play */
    uint32_t n_prompts, prompt;
    bool by_wall;    /* wall-clock times are compared, because an engine reports no CPU times */
    bool is_unasked; /* the speed could not be compared */
    uint32_t turn;   /* 0 or 1: which side of a prompt is measured; the first side alternates */
    uint32_t rounds;
    uint32_t skipped; /* number of prompts in a row that could not be run */
    bool is_moved;    /* the candidate was moved to the CPU of the current release's engine */
};

/* ---- probe_run.c ---- */
void flo_probe_finish(struct probe *probe, int error, const char *format, ...) FLO_PRINTF(3, 4);
/* Has an engine answer a case; the phase's callback gets the result. */
FLO_MUST_USE int flo_probe_start(struct probe *probe, struct serve_engine *engine,
                                 const struct flo_golden_case *c, uint32_t tokens_max,
                                 bool ignores_end, struct flo_err *err);
/* Fills in the case's question as a request with probe priority. */
void flo_probe_put_case(struct flo_wire_generate *g, const struct flo_golden_case *c);
void flo_probe_wake_in(struct probe *probe, uint32_t ms);
/* Continues with memory, after the speed passed or was not compared. */
void flo_probe_judge_memory(struct probe *probe);
/* Can this engine answer the case? */
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
