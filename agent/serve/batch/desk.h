/* Desk: the thread that owns the folder of batches.
 *
 * The serving thread must never wait for a disk, so this thread does all that
 * touches the folder.  It gets clients' calls, pieces of uploads and answers of
 * requests.  It gives answers for clients, requests for the router and notes to
 * uploads.  Callbacks in the serving loop deliver these in order. */
#ifndef FLOTILLA_BATCH_DESK_H
#define FLOTILLA_BATCH_DESK_H

#include "agent/serve/batch/work.h"

struct event_base;
struct flo_httpd_request;

/* An upload of a client.  The serving thread makes and frees it. */
struct flo_batch_upload {
    void *owner; /* the serving thread's state of this upload */
    struct flo_batch_coming coming;
    uint64_t lifetime_s; /* time for which the file stays; 0: the default of the device's owner */
    char name[FLO_OBJECT_NAME_MAX + 1];
    /* The desk owns the members from here on: */
    struct flo_batch_note note, go_on_note;
    char id[FLO_OBJECT_ID]; /* "upload-..." */
    int fd;
    /* The desk's lock protects the members from here on: */
    size_t waiting_bytes;   /* bytes of pieces that have not been written yet */
    bool is_held;           /* the client's bytes are not read at present */
    bool is_going_on;       /* go_on_note is queued */
    struct flo_err failure; /* error of the upload; after an error, further pieces are ignored */
};

enum flo_batch_ask_kind {
    ASK_FILES,
    ASK_FILE,
    ASK_CONTENT,
    ASK_FILE_MAKE,
    ASK_FILE_DELETE,
    ASK_BATCHES,
    ASK_BATCH,
    ASK_BATCH_MAKE,
    ASK_BATCH_CANCEL,
};
/* A call of a client, and later the answer to it. */
struct flo_batch_ask {
    struct flo_batch_note note; /* link in the desk's queues */
    enum flo_batch_ask_kind kind;
    /* the client's HTTP request, which the serving thread owns; NULL: the
     * client is gone */
    struct flo_httpd_request *http;
    char app[FLO_NAME_MAX + 1];
    char id[64];    /* id in the path of the call; empty: none */
    char after[64]; /* id of the list's element after which the answer begins; empty: none */
    bool is_upwards, is_head;
    char purpose[32]; /* empty: any */
    uint64_t limit;
    struct flo_buf body;
    /* Upload of the file that an ASK_FILE_MAKE makes.  The desk ends it. */
    struct flo_batch_upload *upload;
    /* The answer: */
    struct flo_err err; /* code 0: none */
    struct flo_buf out;
    int fd; /* descriptor of the file that is the answer; -1: the answer is in `out` */
};
void flo_batch_ask_free(struct flo_batch_ask *ask);

/* Callbacks with which the desk passes results to the serving thread, which
 * owns each result from then on. */
struct flo_batch_desk_out {
    void *context;
    void (*answered)(void *context, struct flo_batch_ask *ask);
    void (*submit)(void *context, struct flo_batch_job *job);
    void (*go_on)(void *context, struct flo_batch_upload *upload);
    void (*ended)(void *context, struct flo_batch_upload *upload);
};

struct flo_batch_desk;
struct flo_batch_desk_options {
    const char *folder;
    uint64_t bytes_max, keep_s, delivered_s;
};
/* Opens the folder and starts the thread.
 * FLO_E_MEMORY and the errors of flo_batch_store_open()  the start failed */
FLO_MUST_USE int flo_batch_desk_open(struct event_base *base,
                                     const struct flo_batch_desk_options *options,
                                     const struct flo_batch_desk_out *out,
                                     struct flo_batch_desk **desk, struct flo_err *err);
/* Ends the desk's thread; no callback is called any more.  `desk` may be NULL,
 * also in flo_batch_desk_close(). */
void flo_batch_desk_stop(struct flo_batch_desk *desk);
void flo_batch_desk_close(struct flo_batch_desk *desk);

/* Passes a client's call to the desk, which owns it from then on. */
void flo_batch_desk_ask(struct flo_batch_desk *desk, struct flo_batch_ask *ask);
/* Passes a job, which has got its answer, to the desk, which owns the job from
 * then on. */
void flo_batch_desk_answer(struct flo_batch_desk *desk, struct flo_batch_job *job);
/* Passes a piece of an upload to the desk.  *is_enough: the client must pause
 * until go_on().  Returns the error of an earlier piece, if any. */
FLO_MUST_USE int flo_batch_desk_piece(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                                      const char *data, size_t bytes, bool *is_enough,
                                      struct flo_err *err);
/* Drops an upload, because its client is gone. */
void flo_batch_desk_drop(struct flo_batch_desk *desk, struct flo_batch_upload *upload);

#endif
