/* Worker: the state of the engine process, shared by its four files.
 *     worker.c     the socket, the loop, the end
 *     requests.c   the answer to a frame
 *     drafts.c     the draft file of OPEN
 *     passes.c     sessions for requests, and one pass for several sessions */
#ifndef FLOTILLA_ENGINE_WORKER_H
#define FLOTILLA_ENGINE_WORKER_H

#include "engine/memory/pool.h"
#include "engine/model/file/packed.h"
#include "engine/run/run.h"

/* most sessions for users; batch work and probes have one more */
#define FLO_SESSIONS_MAX 16
#define FLO_CLIENT_NOBODY UINT64_MAX /* client id that no request has */

struct flo_slot {
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_job *job; /* NULL: free */
    uint64_t began;      /* value of worker->starts when the job got its session */
    uint64_t used;       /* value of worker->pass when a pass last used this session */
    uint64_t client;     /* client whose request filled the session */
    bool is_users;       /* the last job in this session was a user's */
    bool was_continued;  /* the last job continued the conversation that was in the session */
};

struct flo_worker {
    int socket;
    int fds[FLO_WIRE_FDS_MAX]; /* descriptors received for an OPEN, PACK or LOAD still to come */
    size_t n_fds;
    bool is_sandboxed;
    /* the process reads untrusted bytes, and so starts no more threads */
    bool is_reading;
    uint32_t threads;      /* number of threads already started, with the main one */
    struct flo_pool *pool; /* pool of the started threads; NULL: none */
    /* filler that computes; NULL: the first that knows the model */
    const struct flo_compute *compute;
    bool accepts_inexact;
    void (*opened)(int socket);
    struct flo_packing packing; /* state of packing, used from the first PACK on */
    struct flo_engine *engine;
    struct flo_adapters adapters;
    struct flo_slot slots[FLO_SESSIONS_MAX + 1]; /* sessions; the last one is not for users */
    size_t n_slots;
    /* jobs whose session was given to a user's request; the last of them
     * resumes first */
    struct flo_job *paused[FLO_SESSIONS_MAX + 1];
    size_t n_paused;
    struct flo_waiting waiting;
    struct flo_embed embed;          /* state of the first waiting request for vectors */
    struct flo_wire_message message; /* frame of the waiting request that is being read */
    struct flo_kept *kept;           /* NULL: none */
    struct flo_buf in, out;
    uint64_t requests, tokens_in, tokens_out;
    struct flo_schedule schedule;
    struct flo_drafting drafting;
    struct flo_err draft_lost; /* reason why the draft file is not used; code 0: none */
    uint64_t pass;
    uint64_t starts;
    bool is_waited_for;  /* a user waits for the current pass */
    bool was_broken_off; /* the last pass was cancelled, so the next one will not be */
};

/* Handles one frame.  It returns only protocol errors; any other error is sent
 * as FAILED. */
FLO_MUST_USE int flo_worker_handle(struct flo_worker *worker,
                                   const struct flo_wire_message *message, struct flo_err *err);
/* Closes the received descriptors that no frame has used. */
void flo_worker_close_fds(struct flo_worker *worker);

/* Opens the draft file of OPEN, which is the last descriptor, for the engine that
 * was opened with these options.  Answers are the same without it, so an error
 * ends only the draft. */
void flo_worker_open_draft(struct flo_worker *worker, const struct flo_wire_open *in,
                           const struct flo_engine_options *opened);
/* Returns the memory that this draft file would need; 0: it cannot be used. */
uint64_t flo_worker_plan_draft(const struct flo_worker *worker, const struct flo_wire_open *in,
                               const struct flo_engine_plan *plan);
/* Writes to READY what became of the draft file. */
void flo_worker_put_draft(const struct flo_worker *worker, struct flo_wire_ready *ready);

/* Ends the job of the slot, adds its numbers to the worker's counters, and
 * frees the slot. */
void flo_worker_free_slot(struct flo_worker *worker, struct flo_slot *slot);
/* Returns the index of the first waiting request for vectors, or waiting.count
 * if there is none. */
size_t flo_worker_first_embed(const struct flo_worker *worker);
/* Removes the waiting request at index i. */
void flo_worker_end_waiting(struct flo_worker *worker, size_t i);
/* Closes the dropped adapters that no job uses. */
void flo_worker_sweep_adapters(struct flo_worker *worker);
/* Gives waiting requests a session, then computes one pass.  Returns false if
 * there was nothing to compute. */
bool flo_worker_step(struct flo_worker *worker);

#endif
