/* Benchmark: decides when a device measures a release for an order, what it
 * measures next, and when that ends.
 *
 * A release that is not on the device is fetched first.  Then a process
 * measures, test by test, at idle priority.  It is ended as soon as anything
 * else needs the device (benchmark.def), and started again after a quiet time.
 * Pure: the caller passes the time and what it sees. */
#ifndef FLOTILLA_AGENT_CORE_BENCHMARK_H
#define FLOTILLA_AGENT_CORE_BENCHMARK_H

#include <flotilla/base.h>

/* Time without anything in the way before a measurement begins. */
#define FLO_BENCHMARK_QUIET_MS 5000
/* Number of times that the process may be lost, or the agent restart. */
#define FLO_BENCHMARK_LOSSES_MAX 3
/* Longest time that the downloads for a benchmark may take.  They do not count
 * as time of the benchmark. */
#define FLO_BENCHMARK_FETCH_MS_MAX UINT64_C(86400000)
/* Pauses after a download that failed. */
#define FLO_BENCHMARK_PAUSE_MS_MIN 1000
#define FLO_BENCHMARK_PAUSE_MS_MAX 60000
#define FLO_BENCHMARK_POINTS_MAX 48

/* ---- values over time ---- */

/* Values at equal distances, at most FLO_BENCHMARK_POINTS_MAX.  When all places
 * are taken, every second value goes.  All zero at first. */
struct flo_benchmark_series {
    uint32_t count;
    uint32_t every; /* one value in this many is stored; 0: each */
    uint32_t skipped;
    double values[FLO_BENCHMARK_POINTS_MAX];
};
void flo_benchmark_series_add(struct flo_benchmark_series *series, double value);
/* Returns the median of the values; 0: there are none. */
double flo_benchmark_series_median(const struct flo_benchmark_series *series);
/* Returns by how many parts of 100 the last quarter is below the first one; 0:
 * it is not, or there are fewer than 8 values. */
double flo_benchmark_series_loss(const struct flo_benchmark_series *series);

/* ---- what is asked of the process ---- */

enum flo_benchmark_test {
    FLO_BENCHMARK_PROMPT,   /* reads a prompt */
    FLO_BENCHMARK_GENERATE, /* writes tokens */
    FLO_BENCHMARK_CASE,     /* answers a golden case */
    FLO_BENCHMARK_TESTS
};

/* ---- decisions ---- */

enum flo_benchmark_cause {
#define FLO_BENCHMARK_CAUSE(name, word, steps, ends, meaning) FLO_BENCHMARK_CAUSE_##name,
#include "agent/core/benchmark/benchmark.def"
    FLO_BENCHMARK_CAUSES, /* nothing is in the way */
};
/* Returns the word of a cause, or "time" if there is none. */
const char *flo_benchmark_word(enum flo_benchmark_cause cause);
const char *flo_benchmark_meaning(enum flo_benchmark_cause cause);

enum flo_benchmark_state {
    FLO_BENCHMARK_NONE,
    FLO_BENCHMARK_WAITING, /* no process measures */
    FLO_BENCHMARK_FETCHING,
    FLO_BENCHMARK_RUNNING,
};
struct flo_benchmark {
    enum flo_benchmark_state state;
    uint64_t end_ms;                /* time at which it ends in any case */
    uint64_t quiet_ms;              /* time since which nothing is in the way; 0: something is */
    uint64_t since_ms;              /* time until which the step in progress was counted */
    uint64_t again_ms;              /* time before which no download is tried again */
    uint32_t tries;                 /* downloads that failed in a row */
    enum flo_benchmark_cause cause; /* last one that was in the way */

    /* The members from here on survive a restart of the agent. */
    uint64_t left_ms;     /* time left of the order's, when it was stored */
    uint64_t measured_ms; /* time that processes measured */
    uint64_t fetch_ms;    /* time that downloads took */
    uint32_t fetches;     /* number of downloads that began */
    uint32_t is_lacking;  /* 1: files of the release are not on the device */
    uint32_t yields;      /* number of times that something ended a measurement */
    uint32_t losses;      /* number of processes that were lost, and restarts of the agent */
    uint32_t cases;       /* number of golden cases of the release */
    uint32_t played;      /* number of cases that were asked, from the first one */
    uint32_t right, wrong;
    enum flo_benchmark_test last;
    struct flo_benchmark_series prompt, generate; /* tokens/s */
};
/* Causes that a device sees. */
struct flo_benchmark_facts {
    uint64_t now_ms;
    bool stands[FLO_BENCHMARK_CAUSES]; /* causes that apply now */
};
enum flo_benchmark_action {
    FLO_BENCHMARK_NOTHING,
    FLO_BENCHMARK_FETCH,  /* start the download */
    FLO_BENCHMARK_START,  /* start a process */
    FLO_BENCHMARK_STOP,   /* end the process or download; the benchmark goes on later */
    FLO_BENCHMARK_FINISH, /* end the process, and send what was measured */
    FLO_BENCHMARK_REFUSE, /* end the process or download; nothing was measured */
};

/* Begins a benchmark of `for_ms`.  `benchmark` is all zero, or what an earlier
 * run of the agent stored; that one lost its process or its download. */
void flo_benchmark_begin(struct flo_benchmark *benchmark, uint64_t now_ms, uint64_t for_ms,
                         bool is_resumed);
/* Decides what to do now.  Called several times a second. */
enum flo_benchmark_action flo_benchmark_step(struct flo_benchmark *benchmark,
                                             const struct flo_benchmark_facts *facts);
/* The process is lost or failed.  Returns what follows. */
enum flo_benchmark_action flo_benchmark_lost(struct flo_benchmark *benchmark, uint64_t now_ms);
/* Files of the release are not on the device, or not any more.  The caller has
 * ended a process or a download. */
void flo_benchmark_lacks(struct flo_benchmark *benchmark, uint64_t now_ms);
/* The download is complete, or not needed. */
void flo_benchmark_fetched(struct flo_benchmark *benchmark, uint64_t now_ms);
/* The download failed, and may succeed later.  `random` spreads the next try. */
void flo_benchmark_unfetched(struct flo_benchmark *benchmark, uint64_t now_ms, uint64_t random);
/* Chooses what to ask of the process next, and for CASE which one. */
enum flo_benchmark_test flo_benchmark_next(struct flo_benchmark *benchmark, uint32_t *which);
/* Takes the result of a test: tokens/s, or of a case 1 for right, 0 for wrong,
 * and another number for one that no model can play. */
void flo_benchmark_take(struct flo_benchmark *benchmark, enum flo_benchmark_test test,
                        double result);
/* Tells whether both speeds were measured. */
bool flo_benchmark_has_result(const struct flo_benchmark *benchmark);
/* Returns how many golden prompts were answered, right or wrong. */
uint32_t flo_benchmark_answers(const struct flo_benchmark *benchmark);

#endif
