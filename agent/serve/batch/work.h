/* Work: processes one batch at a time, from its input to its answers.
 *
 * Answers are appended in the order of the requests.  An answer counts when it
 * is on the disk and the batch's progress includes it.  After a crash, or some
 * seconds after a disk error, answers that do not count are cut off.  Their
 * requests are sent again.  The thread of the store uses this. */
#ifndef FLOTILLA_BATCH_WORK_H
#define FLOTILLA_BATCH_WORK_H

#include "agent/serve/batch/input.h"
#include "agent/serve/batch/progress.h"
#include "agent/serve/batch/store.h"
#include "agent/serve/front/memory.h"

#define FLO_BATCH_AHEAD 16 /* largest number of requests of a batch that run at once */

/* Link of a queue, which is a member of the queued object. */
struct flo_batch_note {
    struct flo_batch_note *next;
    int kind;
    void *thing;
};

/* A request that the router gets, and later its answer. */
struct flo_batch_job {
    struct flo_batch_note note;
    void *owner; /* struct serve_batch that submitted the job */
    /* value of work->run when the job was made; a job with another value is
     * ignored */
    uint64_t run;
    size_t slot;
    int endpoint;
    char app[FLO_NAME_MAX + 1];
    struct flo_buf body;
    struct serve_memory answer;
};
void flo_batch_job_free(struct flo_batch_job *job);

struct flo_batch_slot {
    enum { SLOT_FREE, SLOT_SENT, SLOT_WAITS, SLOT_DONE } state;
    uint64_t number;    /* line number */
    uint64_t end_bytes; /* offset in the file after the request's line */
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    unsigned tries;
    uint64_t again_ms;         /* time at which the request is sent again */
    bool is_patient;           /* the request is sent again without a limit of tries */
    struct flo_batch_job *job; /* job of a request that waits; NULL: the request does not wait */
    struct flo_buf text;       /* the answer's line */
    bool has_failed;
};

struct flo_batch_work {
    struct flo_batch_store *store;
    /* Sends a request to the router; its answer comes by
     * flo_batch_work_answer(). */
    void (*submit)(void *context, struct flo_batch_job *job);
    void *context;
    struct flo_batch *batch; /* batch that is being processed; NULL: none */
    uint64_t run;
    int in_fd, output_fd, error_fd, progress_fd;
    struct flo_batch_in in;
    struct flo_batch_check check;
    struct flo_batch_progress progress; /* progress, with answers that have not been synced yet */
    bool is_dirty;
    uint64_t sync_ms;      /* longest time that answers wait for a common sync */
    uint64_t committed_ms; /* time at which answers were last synced */
    bool is_ended;         /* all lines of the input have been read */
    bool is_late;          /* the 24 hours of the batch are over */
    uint64_t pause_ms;     /* time before which no request is sent */
    struct flo_batch_slot slots[FLO_BATCH_AHEAD]; /* a ring */
    size_t first, count;
};

void flo_batch_work_open(struct flo_batch_work *work);
/* Does a part of the work.  Returns the time of flo_now_ms() at which to call
 * again; 0: at once; UINT64_MAX: only after an answer or a new batch. */
uint64_t flo_batch_work_step(struct flo_batch_work *work);
/* Takes the answer of a request, and owns the job from then on. */
void flo_batch_work_answer(struct flo_batch_work *work, struct flo_batch_job *job);
/* Cancels the batch.
 * FLO_E_STATE  the batch has already ended */
FLO_MUST_USE int flo_batch_work_cancel(struct flo_batch_work *work, struct flo_batch *batch,
                                       struct flo_err *err);
void flo_batch_work_close(struct flo_batch_work *work);

#endif
