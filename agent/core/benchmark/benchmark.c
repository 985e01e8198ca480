/* Benchmark: decides about the measurement of a release; see benchmark.h. */
#include "agent/core/benchmark/benchmark.h"

#include <assert.h>

#include <flotilla/agent.h>

enum { MEASURE = 1, FETCH = 2, BOTH = 3 }; /* steps of a benchmark, as a set */
static const struct {
    const char *word, *meaning;
    unsigned steps;
    bool ends;
} causes[] = {
#define FLO_BENCHMARK_CAUSE(name, word, steps, ends, meaning)                                      \
    [FLO_BENCHMARK_CAUSE_##name] = {word, meaning, steps, ends},
#include "agent/core/benchmark/benchmark.def"
    [FLO_BENCHMARK_CAUSES] = {"time", "its time is over", BOTH, false},
};

const char *flo_benchmark_word(enum flo_benchmark_cause cause)
{
    assert(cause <= FLO_BENCHMARK_CAUSES);
    return causes[cause].word;
}

const char *flo_benchmark_meaning(enum flo_benchmark_cause cause)
{
    assert(cause <= FLO_BENCHMARK_CAUSES);
    return causes[cause].meaning;
}

bool flo_benchmark_has_result(const struct flo_benchmark *benchmark)
{
    return benchmark->prompt.count > 0 && benchmark->generate.count > 0;
}

uint32_t flo_benchmark_answers(const struct flo_benchmark *benchmark)
{
    return benchmark->right + benchmark->wrong;
}

/* ---- when ---- */

void flo_benchmark_begin(struct flo_benchmark *b, uint64_t now_ms, uint64_t for_ms, bool is_resumed)
{
    uint64_t left_ms = is_resumed && b->left_ms < for_ms ? b->left_ms : for_ms;

    assert(b->state == FLO_BENCHMARK_NONE);
    b->state = FLO_BENCHMARK_WAITING;
    b->end_ms = now_ms + left_ms;
    b->left_ms = left_ms;
    b->quiet_ms = 0;
    b->cause = FLO_BENCHMARK_CAUSES;
    /* a download goes on after a restart of the agent, which is no loss then */
    b->losses += is_resumed && b->is_lacking == 0 ? 1 : 0;
}

/* Returns the first cause that stands in the way of the next step. */
static enum flo_benchmark_cause first_cause(const struct flo_benchmark *b,
                                            const struct flo_benchmark_facts *facts)
{
    unsigned step = b->is_lacking != 0 ? FETCH : MEASURE;

    for (size_t i = 0; i < FLO_BENCHMARK_CAUSES; i++) {
        if (facts->stands[i] && (causes[i].steps & step) != 0) {
            return (enum flo_benchmark_cause)i;
        }
    }
    return b->is_lacking != 0 && facts->now_ms < b->again_ms ? FLO_BENCHMARK_CAUSE_NETWORK
                                                             : FLO_BENCHMARK_CAUSES;
}

static enum flo_benchmark_action end(struct flo_benchmark *b)
{
    b->state = FLO_BENCHMARK_NONE;
    return flo_benchmark_has_result(b) ? FLO_BENCHMARK_FINISH : FLO_BENCHMARK_REFUSE;
}

/* Counts the time that the process measured, or the download took. */
static void count_time(struct flo_benchmark *b, uint64_t now_ms)
{
    uint64_t took_ms = b->state > FLO_BENCHMARK_WAITING ? now_ms - b->since_ms : 0;

    if (b->state == FLO_BENCHMARK_RUNNING) {
        b->measured_ms += took_ms;
    } else {
        b->fetch_ms += took_ms;
        b->end_ms += took_ms;
    }
    b->since_ms = now_ms;
    b->left_ms = b->end_ms > now_ms ? b->end_ms - now_ms : 0;
}

/* Ends the step in progress, so that the next one begins after a quiet time. */
static void pause(struct flo_benchmark *b, uint64_t now_ms)
{
    count_time(b, now_ms);
    b->yields += b->state == FLO_BENCHMARK_RUNNING ? 1 : 0;
    b->quiet_ms = 0;
    b->state = FLO_BENCHMARK_WAITING;
}

static enum flo_benchmark_action give_way(struct flo_benchmark *b, uint64_t now_ms)
{
    bool is_active = b->state > FLO_BENCHMARK_WAITING;

    /* files that had to go are not fetched again for more of the same figures */
    if ((causes[b->cause].ends || b->is_lacking != 0) && flo_benchmark_has_result(b)) {
        return end(b);
    }
    pause(b, now_ms);
    return is_active ? FLO_BENCHMARK_STOP : FLO_BENCHMARK_NOTHING;
}

/* Begins the next step when it was quiet for long enough. */
static enum flo_benchmark_action go_on(struct flo_benchmark *b, uint64_t now_ms)
{
    b->quiet_ms = b->quiet_ms == 0 ? now_ms : b->quiet_ms;
    if (b->state != FLO_BENCHMARK_WAITING || now_ms - b->quiet_ms < FLO_BENCHMARK_QUIET_MS) {
        return FLO_BENCHMARK_NOTHING;
    }
    b->since_ms = now_ms;
    if (b->is_lacking != 0) {
        b->state = FLO_BENCHMARK_FETCHING;
        b->fetches++;
        return FLO_BENCHMARK_FETCH;
    }
    b->state = FLO_BENCHMARK_RUNNING;
    return FLO_BENCHMARK_START;
}

enum flo_benchmark_action flo_benchmark_step(struct flo_benchmark *b,
                                             const struct flo_benchmark_facts *facts)
{
    enum flo_benchmark_cause cause = first_cause(b, facts);

    if (b->state == FLO_BENCHMARK_NONE) {
        return FLO_BENCHMARK_NOTHING;
    }
    count_time(b, facts->now_ms);
    b->cause = cause < FLO_BENCHMARK_CAUSES ? cause : b->cause;
    if (b->losses > FLO_BENCHMARK_LOSSES_MAX) {
        b->cause = FLO_BENCHMARK_CAUSE_LOST;
        return end(b);
    }
    if (b->fetch_ms > FLO_BENCHMARK_FETCH_MS_MAX && b->is_lacking != 0) {
        b->cause = FLO_BENCHMARK_CAUSE_SLOW;
        return end(b);
    }
    if (b->left_ms == 0) {
        /* what was in the way before is no reason if there is a result */
        b->cause = flo_benchmark_has_result(b) ? FLO_BENCHMARK_CAUSES : b->cause;
        return end(b);
    }
    if (cause < FLO_BENCHMARK_CAUSES) {
        return give_way(b, facts->now_ms);
    }
    return go_on(b, facts->now_ms);
}

enum flo_benchmark_action flo_benchmark_lost(struct flo_benchmark *b, uint64_t now_ms)
{
    assert(b->state == FLO_BENCHMARK_RUNNING);
    count_time(b, now_ms);
    b->losses++;
    b->quiet_ms = 0;
    b->state = FLO_BENCHMARK_WAITING;
    if (b->losses <= FLO_BENCHMARK_LOSSES_MAX) {
        return FLO_BENCHMARK_STOP;
    }
    b->cause = FLO_BENCHMARK_CAUSE_LOST;
    return end(b);
}

/* ---- its files ---- */

void flo_benchmark_lacks(struct flo_benchmark *b, uint64_t now_ms)
{
    assert(b->state != FLO_BENCHMARK_NONE);
    pause(b, now_ms);
    b->is_lacking = 1;
}

void flo_benchmark_fetched(struct flo_benchmark *b, uint64_t now_ms)
{
    assert(b->state == FLO_BENCHMARK_FETCHING);
    pause(b, now_ms);
    b->is_lacking = 0;
    b->tries = 0;
}

void flo_benchmark_unfetched(struct flo_benchmark *b, uint64_t now_ms, uint64_t random)
{
    assert(b->state == FLO_BENCHMARK_FETCHING);
    pause(b, now_ms);
    b->again_ms = now_ms + flo_retry_delay_ms(b->tries++, FLO_BENCHMARK_PAUSE_MS_MIN,
                                              FLO_BENCHMARK_PAUSE_MS_MAX, random);
}

/* ---- what ---- */

enum flo_benchmark_test flo_benchmark_next(struct flo_benchmark *b, uint32_t *which)
{
    bool has_case = b->played < b->cases;

    if (b->prompt.count == 0 || b->last == FLO_BENCHMARK_CASE ||
        (b->last == FLO_BENCHMARK_GENERATE && !has_case)) {
        b->last = FLO_BENCHMARK_PROMPT;
    } else if (b->last == FLO_BENCHMARK_PROMPT || b->generate.count == 0) {
        b->last = FLO_BENCHMARK_GENERATE;
    } else {
        b->last = FLO_BENCHMARK_CASE;
        *which = b->played++;
    }
    return b->last;
}

void flo_benchmark_take(struct flo_benchmark *b, enum flo_benchmark_test test, double result)
{
    assert(test < FLO_BENCHMARK_TESTS);
    if (test == FLO_BENCHMARK_PROMPT) {
        flo_benchmark_series_add(&b->prompt, result);
    } else if (test == FLO_BENCHMARK_GENERATE) {
        flo_benchmark_series_add(&b->generate, result);
    } else if (result == 1) {
        b->right++;
    } else if (result == 0) {
        b->wrong++;
    }
}
