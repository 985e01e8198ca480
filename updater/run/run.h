/* Worker internals: its job, its event lines, its sandbox. */
#ifndef FLOTILLA_UPDATER_RUN_H
#define FLOTILLA_UPDATER_RUN_H

#include <flotilla/updater.h>

#include "base/host/json.h"
#include "base/sandbox.h"
#include "updater/fetch/fetch.h"

#define FLO_JOB_BYTES_MAX (64 * 1024)

/* The job line (contracts/processes.md section 5).  Texts are borrowed from
 * `json`. */
struct flo_update_job {
    json_t *json; /* flo_job_deinit */
    const char *state_dir;
    const char *urls[FLO_FETCH_MIRRORS_MAX];
    size_t url_count;
    /* Devices on the local network that may have an artifact; see
     * flo_neighbours. */
    const char *neighbours[FLO_NEIGHBOURS_MAX];
    size_t neighbour_count;
    uint64_t neighbours_turn_ms, neighbours_wait_ms, neighbours_patience_ms;
    bool keeps_patches;  /* true: patches are kept for neighbours, if disk space allows */
    const char *ca_file; /* NULL: the system's CA certificates */
    const char *cert_file;
    const char *key_file;
    const char *trust_file;
    const char *bundle;        /* path of a bundle; NULL: fetch from the network */
    const char *variant;       /* name of the only variant to plan; NULL: the plan chooses */
    struct flo_digest release; /* id of the release to stage; zero: the bundle's first */
    struct flo_profile profile;
    uint64_t rate_bytes_per_s;
    uint64_t budget_bytes;
    uint64_t memory_bytes_max;
    /* Pauses and attempts of downloads; 0 means the default. */
    uint64_t pause_ms_min;
    uint64_t pause_ms_max;
    uint64_t attempts_max;
    uint64_t deadline_ms; /* time that the job has; 0: any */
    enum flo_sandbox_mode sandbox;
    struct flo_digest_list others; /* digests of downloads that other models need */
    /* lower bound of the present time in milliseconds; 0: only the clock
     * counts */
    uint64_t time_ms;
};

/* Parses a job line.  FLO_E_META_JSON, FLO_E_META_SCHEMA, FLO_E_CFG_RANGE (a
 * bad URL, for example plain http to another host), FLO_E_NOT_BUILT (an unknown
 * job). */
FLO_MUST_USE int flo_job_parse(const char *line, size_t bytes, struct flo_update_job *out,
                               struct flo_err *err);
void flo_job_deinit(struct flo_update_job *job);

/* Sends the agent the plan, as an event line.  An event line that cannot be
 * written is dropped; the worker notices the closed connection elsewhere. */
void flo_event_planned(int fd, const struct flo_release *release, const struct flo_plan *plan);
/* Tells the agent that the worker fetches no bytes now, but waits for a
 * neighbour's download. */
void flo_event_waiting(int fd);
void flo_event_downloading(int fd, uint64_t done, uint64_t total);
/* "applying", "verifying" */
void flo_event_word(int fd, const char *word);
/* Tells the agent that the first `kept` bytes of a file were made before an
 * interruption, and are correct. */
void flo_event_resumed(int fd, uint64_t kept, uint64_t total);
void flo_event_fallback(int fd, enum flo_codec from, enum flo_codec to, const struct flo_err *err);
void flo_event_staged(int fd, const struct flo_digest *release, const struct flo_plan *plan,
                      const struct flo_fetch *fetch, uint64_t took_ms);
void flo_event_failed(int fd, const struct flo_err *err, bool is_passing);

/* Enters the sandbox: no new privileges, no core file, a memory limit.  The
 * worker can write the folders of downloads, and read the files that the job
 * and TLS need.  Only the needed system calls are allowed.  Returns
 * FLO_E_SANDBOX when the kernel lacks a part and the job requires it. */
FLO_MUST_USE int flo_updater_sandbox_enter(const struct flo_update_job *job, struct flo_err *err);

/* Carries the job out.  When it returns 0, the release document and all files
 * of the chosen variant are verified blobs.  *is_passing tells whether a later
 * attempt may succeed. */
FLO_MUST_USE int flo_stage(const struct flo_update_job *job, struct flo_store *store, int fd,
                           bool *is_passing, struct flo_err *err);

#endif
