/* Desk: the thread that owns the folder of batches.
 *
 * The serving thread must never wait for a disk, so this thread does everything
 * that touches the folder.  Its inputs are clients' calls, pieces of uploads
 * and answers of requests.  Its outputs are answers for clients, requests for
 * the router and notes to uploads, delivered in order by callbacks in the
 * serving loop. */
#ifndef FLOTILLA_BATCH_DESK_H
#define FLOTILLA_BATCH_DESK_H

#include "agent/serve/batch/work.h"

struct event_base;
struct flo_httpd_request;

/* An upload from a client; made and freed by the serving thread. */
struct flo_batch_upload {
    void *owner; /* owned by the serving thread */
    uint64_t bytes;
    uint64_t lifetime_s; /* time for which the file is kept; 0: the device owner's default */
    char name[FLO_OBJECT_NAME_MAX + 1];
    /* Members that the desk owns: */
    struct flo_batch_note note, go_on_note;
    char id[FLO_OBJECT_ID]; /* "upload-..." */
    int fd;
    /* Members that the desk's lock protects: */
    size_t waiting_bytes;   /* bytes of pieces that are not written yet */
    bool is_held;           /* reading from the client is paused */
    bool is_going_on;       /* go_on_note is queued */
    struct flo_err failure; /* error of the upload; once it is set, later pieces are ignored */
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
/* A client's call, and its answer. */
struct flo_batch_ask {
    struct flo_batch_note note; /* used by the desk */
    enum flo_batch_ask_kind kind;
    struct flo_httpd_request *http; /* owned by the serving thread; NULL: the client is gone */
    char app[FLO_NAME_MAX + 1];
    char id[64];    /* id from the path */
    char after[64]; /* list position to continue after */
    bool is_upwards, is_head;
    char purpose[32]; /* empty: any */
    uint64_t limit;
    struct flo_buf body;
    /* Upload of ASK_FILE_MAKE; the desk ends the upload. */
    struct flo_batch_upload *upload;
    /* The answer: */
    struct flo_err err; /* code 0: none */
    struct flo_buf out;
    int fd; /* file to send as the answer; -1: `out` is the answer */
};
void flo_batch_ask_free(struct flo_batch_ask *ask);

/* Outputs of the desk; the serving thread owns each from then on. */
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
/* Opens the folder and starts the thread.  Errors of flo_batch_store_open(),
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_batch_desk_open(struct event_base *base,
                                     const struct flo_batch_desk_options *options,
                                     const struct flo_batch_desk_out *out,
                                     struct flo_batch_desk **desk, struct flo_err *err);
/* Ends the thread; no more outputs follow.  NULL is fine, here and below. */
void flo_batch_desk_stop(struct flo_batch_desk *desk);
void flo_batch_desk_close(struct flo_batch_desk *desk);

/* Pass calls, uploads and answers to the desk; each takes ownership of its
 * argument. */
void flo_batch_desk_ask(struct flo_batch_desk *desk, struct flo_batch_ask *ask);
void flo_batch_desk_answer(struct flo_batch_desk *desk, struct flo_batch_job *job);
/* Adds a piece of an upload.  *is_enough is true when the client has to pause
 * until go_on().  Returns an earlier error of the upload. */
FLO_MUST_USE int flo_batch_desk_piece(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                                      const char *data, size_t bytes, bool *is_enough,
                                      struct flo_err *err);
/* Drops an upload whose client is gone. */
void flo_batch_desk_drop(struct flo_batch_desk *desk, struct flo_batch_upload *upload);

#endif
