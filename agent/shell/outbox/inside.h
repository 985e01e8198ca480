/* Outbox internals: the state of outbox.db and the statements that its files
 * share. */
#ifndef FLOTILLA_AGENT_OUTBOX_INSIDE_H
#define FLOTILLA_AGENT_OUTBOX_INSIDE_H

#include "agent/shell/outbox/answers.h"
#include "agent/shell/outbox/events.h"
#include "agent/shell/outbox/notes.h"
#include "agent/shell/outbox/outbox_db.h"
#include "agent/shell/outbox/stories.h"
#include "agent/shell/outbox/windows.h"
#include "base/host/db.h"

#define TRACE_LINES_MAX 2000
#define STORIES_MAX 200
#define ANSWERS_MAX 256
#define MEMORY_EVENTS_MAX 32
#define MEMORY_STORIES_MAX 8
#define MEMORY_WINDOWS_MAX 32
#define TELEMETRY_ROW_BYTES                                                                        \
    1024 /* length of a telemetry window, about, for the limit of their number                     \
          */
#define FILE_NAME "outbox.db"
#define NO_OUTBOX "there is no outbox"

/* An event that is not in the database yet. */
struct memory_event {
    uint64_t sequence;
    enum flo_event_kind kind;
    json_t *json;
    bool has_execution;
};

/* A window that could not be written to the database. */
struct memory_window {
    uint64_t id;
    char *text;
    bool is_sent;
};

/* A rate limit of one error that is sent as a note. */
struct told {
    uint64_t at_ms; /* time of this error's last event; 0: never */
    uint64_t more;  /* not told since */
};

struct flo_outbox_db {
    struct flo_db *sqlite; /* open database; NULL: it could not be opened */
    char path[4200];       /* path of the file in `dir` */
    char dir[4200];
    struct flo_err replaced; /* error after another process removed the file; code 0: none */
    char boot[37];
    bool is_boot_stored; /* the boot id is stored; events are not sent under an unstored one */
    struct flo_outbox outbox;
    uint64_t sequence; /* number of the newest event, stored or not */
    uint64_t rows_max;
    uint64_t rows;
    uint64_t lost;
    uint64_t corrupt;
    uint64_t telemetry_sent;              /* highest id of a window that was sent */
    struct told told[FLO_ERRORS_MAX + 1]; /* indexed by flo_error_place() */
    bool is_counted;                      /* `waiting` is valid */
    int64_t waiting[FLO_EVENT_KINDS];     /* number of events without an ack, by kind */
    uint64_t servings_more;               /* not told since */
    size_t memory_count;
    struct memory_event memory[MEMORY_EVENTS_MAX];
    uint32_t flush_failures; /* number of failed flushes in a row */
    /* Error of the newest window; code 0: it was stored. */
    struct flo_err failed;
    size_t windows_count;
    uint64_t windows_told; /* number of windows that were ever in memory */
    struct memory_window windows[MEMORY_WINDOWS_MAX];
    size_t story_count; /* states of executions that are newer than the file's, the oldest first */
    struct flo_agent_execution stories[MEMORY_STORIES_MAX];
};

void flo_outbox_windows_free(struct flo_outbox_db *db);
void flo_outbox_db_complain(const struct flo_err *err);
/* Opens or creates the file at `path`, with its tables. */
FLO_MUST_USE int flo_outbox_file_open(struct flo_outbox_db *db, struct flo_err *err);
/* Creates the file again if it was removed.  To be called before each write,
 * outside of transactions. */
void flo_outbox_db_look(struct flo_outbox_db *db);
/* Does what flo_db_run does; FLO_E_DB if there is no database. */
FLO_MUST_USE int flo_outbox_db_run(struct flo_outbox_db *db, const char *sql,
                                   const struct flo_db_value *values, size_t count,
                                   struct flo_err *err);
/* Runs a query and returns the first column of its first row as a number; 0:
 * there is no row. */
int64_t flo_outbox_db_number(struct flo_outbox_db *db, const char *sql);
/* Runs a query for a key and returns the first column as text, which the caller
 * frees; NULL: there is no row. */
char *flo_outbox_db_text(struct flo_outbox_db *db, const char *sql, const char *key);
/* Sets `synchronous` to NORMAL (relaxed, no sync per commit) or to FULL. */
int flo_outbox_db_relax(struct flo_outbox_db *db, bool is_relaxed);
int64_t flo_outbox_db_crc(const char *text);
FLO_MUST_USE int flo_values_store(struct flo_outbox_db *db, const char *key, const char *value,
                                  struct flo_err *err);
FLO_MUST_USE int flo_values_store_number(struct flo_outbox_db *db, const char *key, int64_t value,
                                         struct flo_err *err);
FLO_MUST_USE int flo_outbox_db_begin(struct flo_outbox_db *db, struct flo_err *err);
/* Ends a transaction: commits or, where `rv` is an error, rolls back. */
FLO_MUST_USE int flo_outbox_db_commit(struct flo_outbox_db *db, int rv, struct flo_err *err);
/* Remembers an execution's last state: in memory at first, then stored with the
 * events that report it. */
void flo_stories_remember(struct flo_outbox_db *db, const struct flo_agent_execution *execution);
FLO_MUST_USE int flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err);
/* Drops the oldest windows to make room, and counts them as lost. */
void flo_outbox_windows_drop(struct flo_outbox_db *db, uint64_t count);

#endif
