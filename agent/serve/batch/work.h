/* Work: one batch at a time, from its input to its answers.
 *
 * Answers are appended in the order of the requests.  They count once they are
 * on the disk and the batch's progress says so; after a kill the rest is cut
 * away and asked again.  After any error of the disk the same is done, some
 * seconds later.  Used by the thread of the store. */
#ifndef FLOTILLA_BATCH_WORK_H
#define FLOTILLA_BATCH_WORK_H

#include "agent/serve/batch/input.h"
#include "agent/serve/batch/progress.h"
#include "agent/serve/batch/store.h"
#include "agent/serve/front/memory.h"

#define FLO_BATCH_AHEAD 16 /* requests under way at one time */

/* A place in a queue; it is in the thing that it brings. */
struct flo_batch_note {
    struct flo_batch_note *next;
    int kind;
    void *thing;
};

/* A request on its way to the router, and back. */
struct flo_batch_job {
    struct flo_batch_note note;
    void *owner;  /* whoever has it */
    uint64_t run; /* the batch's, since it was opened */
    size_t slot;
    int endpoint;
    char app[FLO_NAME_MAX + 1];
    struct flo_buf body;
    struct serve_memory answer;
};
void flo_batch_job_free(struct flo_batch_job *job);

struct flo_batch_slot {
    enum { SLOT_FREE, SLOT_SENT, SLOT_WAITS, SLOT_DONE } state;
    uint64_t number;    /* number of its line */
    uint64_t end_bytes; /* offset behind the line */
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    unsigned tries;
    uint64_t again_ms;         /* when it is sent once more */
    bool is_patient;           /* ... however often that was */
    struct flo_batch_job *job; /* while it waits */
    struct flo_buf text;       /* line of its answer */
    bool has_failed;
};

struct flo_batch_work {
    struct flo_batch_store *store;
    /* A request for the router; it comes back by flo_batch_work_answer(). */
    void (*submit)(void *context, struct flo_batch_job *job);
    void *context;
    struct flo_batch *batch; /* NULL: none is worked on */
    uint64_t run;
    int in_fd, output_fd, error_fd, progress_fd;
    struct flo_batch_in in;
    struct flo_batch_check check;
    struct flo_batch_progress progress; /* with what is not synced yet */
    bool is_dirty;
    uint64_t sync_ms;                             /* answers may wait so long for a sync together */
    uint64_t committed_ms;                        /* the last one */
    bool is_ended;                                /* all lines were taken */
    bool is_late;                                 /* the batch's time is over */
    uint64_t pause_ms;                            /* nothing is sent before that */
    struct flo_batch_slot slots[FLO_BATCH_AHEAD]; /* a ring */
    size_t first, count;
};

void flo_batch_work_open(struct flo_batch_work *work);
/* Do a part of the work.  Returns when there is more, as flo_now_ms(): at once
 * (0), at that time, or only after an answer or a new batch (UINT64_MAX). */
uint64_t flo_batch_work_step(struct flo_batch_work *work);
/* A request came back; taken. */
void flo_batch_work_answer(struct flo_batch_work *work, struct flo_batch_job *job);
/* End it.  FLO_E_STATE: it has ended already. */
FLO_MUST_USE int flo_batch_work_cancel(struct flo_batch_work *work, struct flo_batch *batch,
                                       struct flo_err *err);
void flo_batch_work_close(struct flo_batch_work *work);

#endif
