/* Work: processes one batch at a time, from its input to its answers.
 *
 * Answers are appended in the order of the requests.  They count once they are
 * on the disk and the batch's progress records them.  After a crash the rest is
 * truncated and asked again; the same happens some seconds after any disk
 * error.  Used by the thread of the store. */
#ifndef FLOTILLA_BATCH_WORK_H
#define FLOTILLA_BATCH_WORK_H

#include "agent/serve/batch/input.h"
#include "agent/serve/batch/progress.h"
#include "agent/serve/batch/store.h"
#include "agent/serve/front/memory.h"

#define FLO_BATCH_AHEAD 16 /* requests running at the same time */

/* Link of a queue; it is embedded in the queued object. */
struct flo_batch_note {
    struct flo_batch_note *next;
    int kind;
    void *thing;
};

/* A request that is sent to the router, and its answer. */
struct flo_batch_job {
    struct flo_batch_note note;
    void *owner; /* value of work->run when the job was made; if it differs now, the job is stale */
    uint64_t run; /* work->run when the job was made; another value: stale */
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
    uint64_t end_bytes; /* file offset after the request's line */
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    unsigned tries;
    uint64_t again_ms;         /* time of the next try */
    bool is_patient;           /* ... and the number of tries is not limited */
    struct flo_batch_job *job; /* job of the request while it waits; else NULL */
    struct flo_buf text;       /* the answer's line */
    bool has_failed;
};

struct flo_batch_work {
    struct flo_batch_store *store;
    /* Sends a request to the router; flo_batch_work_answer() returns the
     * answer. */
    void (*submit)(void *context, struct flo_batch_job *job);
    void *context;
    struct flo_batch *batch; /* NULL: no batch is open */
    uint64_t run;
    int in_fd, output_fd, error_fd, progress_fd;
    struct flo_batch_in in;
    struct flo_batch_check check;
    struct flo_batch_progress progress; /* progress, including answers that are not synced yet */
    bool is_dirty;
    uint64_t sync_ms;      /* longest time that answers wait for a common sync */
    uint64_t committed_ms; /* time of the last commit */
    bool is_ended;         /* all lines of the input were read */
    bool is_late;          /* the batch's 24 hours are over */
    uint64_t pause_ms;     /* nothing is sent before this time */
    struct flo_batch_slot slots[FLO_BATCH_AHEAD]; /* a ring */
    size_t first, count;
};

void flo_batch_work_open(struct flo_batch_work *work);
/* Does a part of the work.  Returns the time of the next call, as flo_now_ms();
 * 0: at once, UINT64_MAX: only after an answer or a new batch. */
uint64_t flo_batch_work_step(struct flo_batch_work *work);
/* Takes the answer of a request, with ownership of the job. */
void flo_batch_work_answer(struct flo_batch_work *work, struct flo_batch_job *job);
/* Cancels the batch.  FLO_E_STATE: the batch has already ended. */
FLO_MUST_USE int flo_batch_work_cancel(struct flo_batch_work *work, struct flo_batch *batch,
                                       struct flo_err *err);
void flo_batch_work_close(struct flo_batch_work *work);

#endif
