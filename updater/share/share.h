/* Blob sharing: serves blobs to neighbours.  One process, started by the agent
 * where the configuration says `neighbours: serve`.
 *
 * The process talks to unknown clients on the local network, so its rights are
 * minimal: it can read blobs/ and write nothing.  A client needs a certificate
 * of the fleet that is not revoked.  It must know a blob's digest, from a
 * release that was assigned to it: the server lists no blobs. */
#ifndef FLOTILLA_UPDATER_SHARE_H
#define FLOTILLA_UPDATER_SHARE_H

#include <flotilla/updater.h>

#include "base/host/json.h"
#include "base/sandbox.h"

#define FLO_SHARE_LINE_BYTES_MAX (64 * 1024)
#define FLO_SHARE_FETCHED_MAX 256
#define FLO_SHARE_DAY_MS (24ull * 3600 * 1000)

/* ---- lines of JSON by the agent (contracts/processes.md section 5) ---- */

/* The job, which is the first line that the agent sends.  Texts are borrowed
 * from `json`. */
struct flo_share_job {
    json_t *json; /* flo_share_job_deinit */
    const char *state_dir;
    const char *device; /* this device's id, as in its certificate */
    const char *listen; /* "host:port" */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *revoked_file;
    uint64_t rate_bytes_per_s; /* 0: no limit */
    uint64_t budget_bytes;     /* limit per 24 hours; 0: none */
    uint64_t used_bytes;       /* bytes of the budget that were used before this process */
    uint64_t used_ms;          /* time since the present 24 hours began */
    uint64_t transfers_max;    /* most transfers at the same time */
    uint64_t time_ms;          /* lower bound of the present time in milliseconds */
    enum flo_sandbox_mode sandbox;
};
/* FLO_E_META_JSON, FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_share_job_parse(const char *line, size_t bytes, struct flo_share_job *out,
                                     struct flo_err *err);
void flo_share_job_deinit(struct flo_share_job *job);

/* Blobs that this device is downloading itself.  The agent sends this list in a
 * line after the job.  A client that asks for one of the blobs is told to
 * wait. */
struct flo_share_fetched {
    struct flo_digest blobs[FLO_SHARE_FETCHED_MAX];
    size_t count;
    bool moves; /* true: bytes are arriving, or are being verified */
};
FLO_MUST_USE int flo_share_fetched_parse(const char *line, size_t bytes,
                                         struct flo_share_fetched *out, struct flo_err *err);

/* ---- the byte budget: pure ---- */

struct flo_share_budget {
    uint64_t limit_bytes; /* 0: none */
    uint64_t used_bytes;
    uint64_t began_ms; /* start of the 24 hours, in milliseconds since boot */
};
/* Tells whether another blob may begin.  Sets *left_ms to the time until the
 * budget is reset. */
bool flo_share_budget_has(struct flo_share_budget *budget, uint64_t now_ms, uint64_t *left_ms);
/* Counts bytes that were sent.  Returns false when the budget of these 24 hours
 * is used up. */
bool flo_share_budget_spend(struct flo_share_budget *budget, uint64_t bytes, uint64_t now_ms);

/* ---- the process ---- */

/* Enters the sandbox; called when sockets, certificates and the store are
 * open. */
FLO_MUST_USE int flo_share_sandbox_enter(const struct flo_share_job *job, struct flo_err *err);
/* Serves until the agent closes the connection.  Writes lines to `fd`:
 *   {"event":"listening","port":N}
 *   {"event":"served","bytes":N,"used_bytes":N,"used_ms":N,"refused":N}
 * `bytes` and `refused` are counted from the start of the process. */
FLO_MUST_USE int flo_share_serve(const struct flo_share_job *job, int fd, struct flo_err *err);
/* Runs `flotilla-updater share`: reads the job's line from `fd`, then serves.
 * Returns the exit code. */
int flo_share_run(int fd);

#endif
