/* The engine process, inside: what its three files share.
 *
 * worker.c    the socket, the loop, the end
 * requests.c  the answer to a frame
 * passes.c    sessions for requests, and the pass that computes for several */
#ifndef FLOTILLA_ENGINE_WORKER_H
#define FLOTILLA_ENGINE_WORKER_H

#include "engine/memory/pool.h"
#include "engine/model/file/packed.h"
#include "engine/run/run.h"

#define FLO_SESSIONS_MAX 16          /* for users; one more is for probes */
#define FLO_CLIENT_NOBODY UINT64_MAX /* no request is of this client */

struct flo_slot {
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_job *job; /* NULL: free */
    uint64_t began;      /* order in which jobs got their sessions */
    uint64_t used;       /* pass in which it was last used */
    uint64_t client;     /* the client that filled the session */
    bool is_users;       /* the last job was a user's ... */
    bool was_continued;  /* ... and went on from the one before it */
};

struct flo_worker {
    int socket;
    int fds[FLO_WIRE_FDS_MAX]; /* that came and wait for their OPEN, PACK or
                                  LOAD */
    size_t n_fds;
    bool is_sandboxed;
    bool is_reading;       /* strangers' bytes: no thread is made any more */
    struct flo_pool *pool; /* made before; NULL: none */
    void (*opened)(int socket);
    struct flo_packing packing; /* set from the first PACK on */
    struct flo_engine *engine;
    struct flo_adapters adapters;
    struct flo_slot slots[FLO_SESSIONS_MAX + 1]; /* users' but the last one */
    size_t n_slots;
    struct flo_job *paused[FLO_SESSIONS_MAX + 1]; /* the next to go on last */
    size_t n_paused;
    struct flo_waiting waiting;
    struct flo_embed embed;          /* the first that waits for vectors */
    struct flo_wire_message message; /* one of those that wait, while read */
    struct flo_kept *kept;           /* NULL: none */
    struct flo_buf in, out;
    uint64_t requests, tokens_in, tokens_out;
    struct flo_schedule schedule;
    struct flo_draft_costs costs;
    uint64_t pass;
    uint64_t starts;
    bool is_waited_for;  /* a user waits for this pass */
    bool was_broken_off; /* the last pass; the next one will not be */
};

/* One frame; only an error of the protocol is fatal, others are answered. */
FLO_MUST_USE int flo_worker_handle(struct flo_worker *worker,
                                   const struct flo_wire_message *message, struct flo_err *err);
/* Close the descriptors that came and that nothing took. */
void flo_worker_close_fds(struct flo_worker *worker);

/* The slot's job is over: count it and free the slot. */
void flo_worker_free_slot(struct flo_worker *worker, struct flo_slot *slot);
/* The first that waits for vectors; waiting.count: there is none. */
size_t flo_worker_first_embed(const struct flo_worker *worker);
/* The i-th that waits is over. */
void flo_worker_end_waiting(struct flo_worker *worker, size_t i);
/* Close adapters that were dropped and that no job uses. */
void flo_worker_sweep_adapters(struct flo_worker *worker);
/* Give waiting jobs a session, then compute one pass. false: nothing to do. */
bool flo_worker_step(struct flo_worker *worker);

#endif
