/* Inside the mailbox: its state and the statements that its files share. */
#ifndef FLOTILLA_AGENT_MAILBOX_INSIDE_H
#define FLOTILLA_AGENT_MAILBOX_INSIDE_H

#include "agent/shell/shell.h"

#define TRACE_LINES_MAX 2000
#define STORIES_MAX 200
#define ANSWERS_MAX 256
#define MEMORY_EVENTS_MAX 32
#define TELEMETRY_ROW_BYTES                                                    \
    1024 /* for the cap: windows are about that long                           \
          */
#define FILE_NAME "outbox.db"

/* An event that is not in the database yet. */
struct memory_event {
    uint64_t sequence;
    char *text;
    bool has_execution;
    struct flo_agent_execution execution;
};

/* An error as a note. */
struct told {
    uint64_t at_ms; /* the last time; 0: never */
    uint64_t more;  /* not told since */
};

struct flo_mailbox {
    struct flo_db *db; /* NULL: no database could be had */
    char boot[37];
    bool is_boot_stored; /* so nothing under it was sent before it was stored */
    struct flo_outbox outbox;
    uint64_t sequence; /* of the last event, stored or not */
    uint64_t rows_max;
    uint64_t rows;
    uint64_t lost;
    uint64_t corrupt;
    uint64_t telemetry_sent;               /* highest id under way */
    struct told told[FLO_ERROR_COUNT + 1]; /* by -code; 0: no code */
    bool is_counted;                       /* notes and servings are right */
    int64_t notes;                         /* that wait for their ack */
    int64_t servings;
    uint64_t servings_more; /* not told since */
    size_t memory_count;
    struct memory_event memory[MEMORY_EVENTS_MAX];
};

void flo_mailbox_complain(const struct flo_err *err);
/* One statement; kinds says what is bound in turn: a text_1, b text_2,
 * n number. */
FLO_MUST_USE int flo_mailbox_run(struct flo_mailbox *mailbox, const char *sql,
                                 const char *kinds, const char *text_1,
                                 int64_t number, const char *text_2,
                                 struct flo_err *err);
/* First column of the first row; 0 when there is none. */
int64_t flo_mailbox_number(struct flo_mailbox *mailbox, const char *sql);
/* First text of the first row by one key; the caller frees, NULL: none. */
char *flo_mailbox_text(struct flo_mailbox *mailbox, const char *sql,
                       const char *key);
/* Without syncs (NORMAL) or with (FULL). */
int flo_mailbox_relax(struct flo_mailbox *mailbox, bool is_relaxed);
int64_t flo_mailbox_crc(const char *text);
/* What an execution's last event says of it (mailbox_story.c). */
FLO_MUST_USE int
flo_mailbox_story_store(struct flo_mailbox *mailbox,
                        const struct flo_agent_execution *execution,
                        struct flo_err *err);
/* An event waits for its ack: count it by what it is (mailbox_notes.c). */
void flo_mailbox_waits(struct flo_mailbox *mailbox, const char *text);
/* Make room: the oldest windows go, counted as lost (mailbox_telemetry.c). */
void flo_mailbox_telemetry_drop(struct flo_mailbox *mailbox, uint64_t count);

#endif
