/* Benchmark: decides about the measurement of a release; see benchmark.h. */
#include "agent/core/benchmark/benchmark.h"

#include <assert.h>

static const struct {
    const char *word, *meaning;
    bool ends;
} causes[] = {
#define FLO_BENCHMARK_CAUSE(name, word, ends, meaning)                                             \
    [FLO_BENCHMARK_CAUSE_##name] = {word, meaning, ends},
#include "agent/core/benchmark/benchmark.def"
    [FLO_BENCHMARK_CAUSES] = {"time", "its time is over", false},
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
    b->losses += is_resumed ? 1 : 0;
}

static enum flo_benchmark_cause first_cause(const struct flo_benchmark_facts *facts)
{
    for (size_t i = 0; i < FLO_BENCHMARK_CAUSES; i++) {
        if (facts->stands[i]) {
            return (enum flo_benchmark_cause)i;
        }
    }
    return FLO_BENCHMARK_CAUSES;
}

static enum flo_benchmark_action end(struct flo_benchmark *b)
{
    b->state = FLO_BENCHMARK_NONE;
    return flo_benchmark_has_result(b) ? FLO_BENCHMARK_FINISH : FLO_BENCHMARK_REFUSE;
}

/* Counts the time that the process measured. */
static void count_time(struct flo_benchmark *b, uint64_t now_ms)
{
    if (b->state == FLO_BENCHMARK_RUNNING) {
        b->measured_ms += now_ms - b->since_ms;
        b->since_ms = now_ms;
    }
    b->left_ms = b->end_ms > now_ms ? b->end_ms - now_ms : 0;
}

static enum flo_benchmark_action give_way(struct flo_benchmark *b)
{
    bool is_running = b->state == FLO_BENCHMARK_RUNNING;

    b->quiet_ms = 0;
    if (causes[b->cause].ends && flo_benchmark_has_result(b)) {
        return end(b);
    }
    b->state = FLO_BENCHMARK_WAITING;
    b->yields += is_running ? 1 : 0;
    return is_running ? FLO_BENCHMARK_STOP : FLO_BENCHMARK_NOTHING;
}

enum flo_benchmark_action flo_benchmark_step(struct flo_benchmark *b,
                                             const struct flo_benchmark_facts *facts)
{
    enum flo_benchmark_cause cause = first_cause(facts);

    if (b->state == FLO_BENCHMARK_NONE) {
        return FLO_BENCHMARK_NOTHING;
    }
    count_time(b, facts->now_ms);
    b->cause = cause < FLO_BENCHMARK_CAUSES ? cause : b->cause;
    if (b->losses > FLO_BENCHMARK_LOSSES_MAX) {
        b->cause = FLO_BENCHMARK_CAUSE_LOST;
        return end(b);
    }
    if (b->left_ms == 0) {
        /* what was in the way before is no reason if there is a result */
        b->cause = flo_benchmark_has_result(b) ? FLO_BENCHMARK_CAUSES : b->cause;
        return end(b);
    }
    if (cause < FLO_BENCHMARK_CAUSES) {
        return give_way(b);
    }
    b->quiet_ms = b->quiet_ms == 0 ? facts->now_ms : b->quiet_ms;
    if (b->state == FLO_BENCHMARK_WAITING &&
        facts->now_ms - b->quiet_ms >= FLO_BENCHMARK_QUIET_MS) {
        b->state = FLO_BENCHMARK_RUNNING;
        b->since_ms = facts->now_ms;
        return FLO_BENCHMARK_START;
    }
    return FLO_BENCHMARK_NOTHING;
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
