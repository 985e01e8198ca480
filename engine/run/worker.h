/* Worker: the engine process's internals, shared by its three files.
 *
 *   worker.c     the socket, the loop, the end
 *   requests.c   the answer to a frame
 *   passes.c     sessions for requests, and one pass for several sessions */
#ifndef FLOTILLA_ENGINE_WORKER_H
#define FLOTILLA_ENGINE_WORKER_H

#include "engine/memory/pool.h"
#include "engine/model/file/packed.h"
#include "engine/run/run.h"

#define FLO_SESSIONS_MAX 16          /* limit for users; probes have one more */
#define FLO_CLIENT_NOBODY UINT64_MAX /* client id that no request has */

struct flo_slot {
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_job *job; /* NULL: free */
    uint64_t began;      /* order in which jobs got their sessions */
    uint64_t used;       /* number of the last pass with this session */
    uint64_t client;     /* the client that filled the session */
    bool is_users;       /* the last job was a user's, ... */
    bool was_continued;  /* ... and that job continued the one before */
};

struct flo_worker {
    int socket;
    int fds[FLO_WIRE_FDS_MAX]; /* received, and waiting for their OPEN, PACK or LOAD */
    size_t n_fds;
    bool is_sandboxed;
    bool is_reading;                   /* untrusted bytes are read: no more threads can start */
    uint32_t threads;                  /* started before, with the main one */
    struct flo_pool *pool;             /* of these threads; NULL: none */
    const struct flo_compute *compute; /* NULL: the first that knows the model */
    bool accepts_inexact;
    void (*opened)(int socket);
    struct flo_packing packing; /* used from the first PACK on */
    struct flo_engine *engine;
    struct flo_adapters adapters;
    struct flo_slot slots[FLO_SESSIONS_MAX + 1]; /* the last one is not for users */
    size_t n_slots;
    /* jobs without a session; the last one resumes first */
    struct flo_job *paused[FLO_SESSIONS_MAX + 1];
    size_t n_paused;
    struct flo_waiting waiting;
    struct flo_embed embed;          /* first request that waits for vectors */
    struct flo_wire_message message; /* the waiting request that is being read */
    struct flo_kept *kept;           /* NULL: none */
    struct flo_buf in, out;
    uint64_t requests, tokens_in, tokens_out;
    struct flo_schedule schedule;
    struct flo_draft_costs costs;
    uint64_t pass;
    uint64_t starts;
    bool is_waited_for;  /* a user waits for this pass */
    bool was_broken_off; /* the last pass was cancelled; the next will not be */
};

/* Handles one frame.  Only a protocol error is returned; others are sent as
 * answers. */
FLO_MUST_USE int flo_worker_handle(struct flo_worker *worker,
                                   const struct flo_wire_message *message, struct flo_err *err);
/* Closes received descriptors that no frame took. */
void flo_worker_close_fds(struct flo_worker *worker);

/* Ends the slot's job: adds to the counters and frees the slot. */
void flo_worker_free_slot(struct flo_worker *worker, struct flo_slot *slot);
/* Returns the index of the first request that waits for vectors; waiting.count:
 * there is none. */
size_t flo_worker_first_embed(const struct flo_worker *worker);
/* Removes the i-th waiting request. */
void flo_worker_end_waiting(struct flo_worker *worker, size_t i);
/* Closes dropped adapters that no job uses. */
void flo_worker_sweep_adapters(struct flo_worker *worker);
/* Gives waiting jobs a session, then computes one pass.  false: nothing to
 * do. */
bool flo_worker_step(struct flo_worker *worker);

#endif
