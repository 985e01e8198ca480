/* Benchmarking: the state of a benchmark; not for
 * others. */
#ifndef FLOTILLA_AGENT_BENCHMARKING_H
#define FLOTILLA_AGENT_BENCHMARKING_H

#include "agent/core/benchmark/benchmark.h"
#include "agent/shell/benchmark/benchmark.h"

#define FLO_BENCHMARK_LINE 1024 /* longest line of the process */
#define FLO_BENCHMARK_JOBS_MAX 4

/* An order. */
struct flo_benchmark_job {
    char order[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1]; /* "": the only one */
    struct flo_digest release;    /* zero: the one that serves */
    uint64_t for_ms;
};

/* Numbers that the shell finds, in addition to those of the core.  0: not
 * known. */
struct flo_benchmark_seen {
    double file_bytes, rss_bytes, load_ms, first_token_ms, threads;
    double load_sum, load_count; /* load average before each start, in 1/100 */
    double clock_least;          /* least clock in parts of 100 of the highest */
    double energy_uj, energy_ms; /* while tokens were generated */
    double energy_tokens;
    double drain, drain_ms;           /* battery in parts of 100 per hour; of which time */
    struct flo_benchmark_series heat; /* 1/1000 degree C */
    bool is_packed;
    enum flo_energy_source source;
    char kernel[32];
    char version[FLO_NAME_MAX + 1], variant[FLO_NAME_MAX + 1], model[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
};

struct flo_benchmarking;
typedef void flo_benchmark_process_failed(struct flo_benchmarking *b, const struct flo_err *err);
struct flo_benchmarking {
    struct flo_shell *shell;
    flo_benchmark_done *done;
    struct event *tick;
    struct flo_benchmark_job jobs[FLO_BENCHMARK_JOBS_MAX]; /* the first one is active */
    size_t job_count;
    struct flo_benchmark core;
    struct flo_benchmark_seen seen;
    uint64_t stored_ms;                     /* time at which the state was stored last */
    uint64_t used_ms[FLO_AGENT_MODELS_MAX]; /* last request of each model, as seen last */

    /* The process. */
    flo_benchmark_process_failed *failed;
    pid_t pid;
    int fd;
    struct event *readable;
    size_t bytes;
    char line[FLO_BENCHMARK_LINE];
    bool is_open; /* the process has opened the model */
    enum flo_benchmark_test test;
    uint64_t asked_ms;
    struct flo_energy before; /* before the test in progress */
    struct flo_energy begun;  /* at the start of the process */
    uint64_t begun_ms;
};

/* ---- files.c ---- */

struct flo_benchmark_files {
    char model[4096], packed[4096], golden[4096]; /* paths; "": none */
    uint32_t context;
};
/* Finds the files of a job's release, and notes in `seen` what it is.
 * FLO_E_NOT_BUILT  the release is not on the device, or not of our engine alone
 * FLO_E_STATE      the job does not say which model */
FLO_MUST_USE int flo_benchmark_find(struct flo_shell *shell, const struct flo_benchmark_job *job,
                                    struct flo_benchmark_files *out,
                                    struct flo_benchmark_seen *seen, struct flo_err *err);

/* ---- process.c ---- */

/* Starts the process.  `failed` is called when it fails later. */
FLO_MUST_USE int flo_benchmark_process_start(struct flo_benchmarking *b,
                                             flo_benchmark_process_failed *failed,
                                             struct flo_err *err);
/* Ends the process, if there is one. */
void flo_benchmark_process_end(struct flo_benchmarking *b);
/* Tells whether the process takes too long for its present test. */
bool flo_benchmark_process_hangs(const struct flo_benchmarking *b);

/* ---- record.c ---- */

/* Stores the state of the active job; with `facts` (borrowed) its result. */
void flo_benchmark_store(struct flo_benchmarking *b, const json_t *facts);
/* Loads the state of the order.  Returns whether one is stored. */
bool flo_benchmark_load(struct flo_benchmarking *b, const char *order);
/* Tells whether the result of the order is stored. */
bool flo_benchmark_has_ended(struct flo_shell *shell, const char *order);
/* Makes the facts of the report. */
json_t *flo_benchmark_facts(const struct flo_benchmarking *b);

#endif
