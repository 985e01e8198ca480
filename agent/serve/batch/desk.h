/* Desk: the thread that has the folder of batches.
 *
 * The serving thread never waits for a disk, so that everything that touches
 * the folder is done here.  Asks, pieces of uploads and answers go in; answers
 * for clients, requests for the router and words to uploads come out, in
 * order, by a call in the serving loop. */
#ifndef FLOTILLA_BATCH_DESK_H
#define FLOTILLA_BATCH_DESK_H

#include "agent/serve/batch/work.h"

struct event_base;
struct flo_httpd_request;

/* A file that comes from a client; made, and freed, by the serving thread. */
struct flo_batch_upload {
    void *owner; /* the serving thread's */
    uint64_t bytes;
    uint64_t lifetime_s; /* 0: as the owner of the device says */
    char name[FLO_OBJECT_NAME_MAX + 1];
    /* The desk's: */
    struct flo_batch_note note, go_on_note;
    char id[FLO_OBJECT_ID]; /* "upload-..." */
    int fd;
    /* By the desk's lock: */
    size_t waiting_bytes;   /* in pieces that are not written yet */
    bool is_held;           /* the client was told to wait */
    bool is_going_on;       /* go_on_note is on its way */
    struct flo_err failure; /* no further piece is of use */
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
/* A client's question, and its answer. */
struct flo_batch_ask {
    struct flo_batch_note note; /* the desk's */
    enum flo_batch_ask_kind kind;
    struct flo_httpd_request *http; /* the serving thread's; NULL: gone */
    char app[FLO_NAME_MAX + 1];
    char id[64];    /* id in the path */
    char after[64]; /* place where a list goes on */
    bool is_upwards, is_head;
    char purpose[32]; /* empty: any */
    uint64_t limit;
    struct flo_buf body;
    /* Upload of ASK_FILE_MAKE; the desk ends it. */
    struct flo_batch_upload *upload;
    /* The answer: */
    struct flo_err err; /* code 0: none */
    struct flo_buf out;
    int fd; /* file whose bytes are asked for; -1: `out` is the answer */
};
void flo_batch_ask_free(struct flo_batch_ask *ask);

/* Things that come out; each is the serving thread's from there on. */
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
/* Open the folder and begin.  flo_batch_store_open()'s errors, FLO_E_MEMORY. */
FLO_MUST_USE int flo_batch_desk_open(struct event_base *base,
                                     const struct flo_batch_desk_options *options,
                                     const struct flo_batch_desk_out *out,
                                     struct flo_batch_desk **desk, struct flo_err *err);
/* The thread has ended, and nothing comes out any more.  NULL is fine, here and
 * below. */
void flo_batch_desk_stop(struct flo_batch_desk *desk);
void flo_batch_desk_close(struct flo_batch_desk *desk);

/* Each is taken. */
void flo_batch_desk_ask(struct flo_batch_desk *desk, struct flo_batch_ask *ask);
void flo_batch_desk_answer(struct flo_batch_desk *desk, struct flo_batch_job *job);
/* More of a file.  true: enough for now, until go_on().  An error that the
 * upload has met before. */
FLO_MUST_USE int flo_batch_desk_piece(struct flo_batch_desk *desk, struct flo_batch_upload *upload,
                                      const char *data, size_t bytes, bool *is_enough,
                                      struct flo_err *err);
/* The client is gone. */
void flo_batch_desk_drop(struct flo_batch_desk *desk, struct flo_batch_upload *upload);

#endif
