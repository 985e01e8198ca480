/* A device that serves blobs to its neighbours: one process, started by the
 * agent where the configuration says `neighbours: serve`.
 *
 * The process meets strangers of the local network, so it has as little as it
 * can: it reads blobs/ and nothing else, and writes nowhere.  A client shows a
 * certificate of the fleet that is not revoked.  It has to name a blob by its
 * digest, which it knows from a release that it was offered: nothing is
 * listed. */
#ifndef FLOTILLA_UPDATER_SHARE_H
#define FLOTILLA_UPDATER_SHARE_H

#include <flotilla/updater.h>

#include "base/host/json.h"
#include "base/sandbox.h"

#define FLO_SHARE_LINE_BYTES_MAX (64 * 1024)
#define FLO_SHARE_FETCHED_MAX 256
#define FLO_SHARE_DAY_MS (24ull * 3600 * 1000)

/* ---- lines of JSON by the agent (contracts/processes.md section 5) ---- */

/* The first line.  Texts are borrowed from `json`. */
struct flo_share_job {
    json_t *json; /* flo_share_job_deinit */
    const char *state_dir;
    const char *device; /* whose certificate serves */
    const char *listen; /* "host:port" */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *revoked_file;
    uint64_t rate_bytes_per_s; /* 0: no limit */
    uint64_t budget_bytes;     /* limit of 24 hours; 0: no limit */
    uint64_t used_bytes;       /* spent of the budget before this process */
    uint64_t used_ms;          /* since these 24 hours began */
    uint64_t transfers_max;    /* at once */
    uint64_t time_ms;          /* the time is at least this */
    enum flo_sandbox_mode sandbox;
};
/* FLO_E_META_JSON, FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_share_job_parse(const char *line, size_t bytes, struct flo_share_job *out,
                                     struct flo_err *err);
void flo_share_job_deinit(struct flo_share_job *job);

/* A later line: what the device fetches itself, from elsewhere.  A client that
 * asks for one of these blobs is told to wait. */
struct flo_share_fetched {
    struct flo_digest blobs[FLO_SHARE_FETCHED_MAX];
    size_t count;
    bool moves; /* bytes come, or what came is being checked */
};
FLO_MUST_USE int flo_share_fetched_parse(const char *line, size_t bytes,
                                         struct flo_share_fetched *out, struct flo_err *err);

/* ---- the byte budget: pure ---- */

struct flo_share_budget {
    uint64_t limit_bytes; /* 0: none */
    uint64_t used_bytes;
    uint64_t began_ms; /* when the 24 hours began; by the time since boot */
};
/* May another blob begin?  *left_ms: until the next day begins. */
bool flo_share_budget_has(struct flo_share_budget *budget, uint64_t now_ms, uint64_t *left_ms);
/* So many bytes were sent.  false: that was all for this day. */
bool flo_share_budget_spend(struct flo_share_budget *budget, uint64_t bytes, uint64_t now_ms);

/* ---- the process ---- */

/* Sockets, certificates and the store are open. */
FLO_MUST_USE int flo_share_sandbox_enter(const struct flo_share_job *job, struct flo_err *err);
/* Serve until the agent goes away; answers with lines on `fd`:
 *   {"event":"listening","port":N}
 *   {"event":"served","bytes":N,"used_bytes":N,"used_ms":N,"refused":N}
 * `bytes` and `refused` count from the start of the process. */
FLO_MUST_USE int flo_share_serve(const struct flo_share_job *job, int fd, struct flo_err *err);
/* `flotilla-updater share`: the job's line from `fd`, then serve.  Returns the
 * exit code. */
int flo_share_run(int fd);

#endif
