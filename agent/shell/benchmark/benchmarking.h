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
    bool is_named;                /* the order names the release */
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
    double fetched_bytes;             /* size of the downloads */
    struct flo_benchmark_series heat; /* 1/1000 degree C */
    bool is_packed;
    enum flo_energy_source source;
    char kernel[32];
    char version[FLO_NAME_MAX + 1], variant[FLO_NAME_MAX + 1], model[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
};

struct flo_benchmarking;
typedef void flo_benchmark_process_failed(struct flo_benchmarking *b, const struct flo_err *err);
/* `err` NULL: the release is here. */
typedef void flo_benchmark_fetch_ended(struct flo_benchmarking *b, const struct flo_err *err,
                                       bool is_passing);
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
    uint64_t admitted_ms;                   /* time of the last look whether it may run here */

    /* The download. */
    flo_benchmark_fetch_ended *fetch_ended;
    bool is_planned;           /* the plan is told, and was not looked at yet */
    struct flo_err unfetched;  /* why the last one failed; code 0: none did */
    struct flo_digest leaving; /* release whose files go when nothing writes; zero: none */

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
 * FLO_E_BLOB_ABSENT  the release is not on the device
 * FLO_E_NOT_BUILT    it is not of our engine alone
 * FLO_E_STATE        the job does not say which model */
FLO_MUST_USE int flo_benchmark_find(struct flo_shell *shell, const struct flo_benchmark_job *job,
                                    struct flo_benchmark_files *out,
                                    struct flo_benchmark_seen *seen, struct flo_err *err);

/* Checks that a release is one of our engine alone.  FLO_E_NOT_BUILT. */
FLO_MUST_USE int flo_benchmark_check_kind(const struct flo_release *release, bool is_runtime,
                                          bool is_adapter, struct flo_err *err);

/* ---- fetch.c ---- */

/* Checks that the release that an order names may run here, as far as it is
 * known yet.
 * FLO_E_TARGET_DENIED, FLO_E_TARGET_FLOOR, FLO_E_TARGET_REVOKED, sig.* */
FLO_MUST_USE int flo_benchmark_admit(struct flo_shell *shell, const struct flo_benchmark_job *job,
                                     struct flo_err *err);
/* Starts the download.  `ended` is called when it ends by itself, or cannot
 * start. */
void flo_benchmark_fetch_start(struct flo_benchmarking *b, flo_benchmark_fetch_ended *ended);
/* Checks the release and variant that the plan of the download names. */
FLO_MUST_USE int flo_benchmark_check_plan(struct flo_benchmarking *b, struct flo_err *err);
/* Removes what neither a slot nor an execution names, unless a job runs. */
void flo_benchmark_fetch_sweep(struct flo_shell *shell);
/* Ends the download of the active job.  Its files, finished or not, go when
 * nothing writes any more, unless the next job measures the same release. */
void flo_benchmark_fetch_drop(struct flo_benchmarking *b);
/* Removes the files that are to go, if nothing writes.  Returns whether some are
 * left. */
bool flo_benchmark_fetch_is_leaving(struct flo_benchmarking *b);

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
