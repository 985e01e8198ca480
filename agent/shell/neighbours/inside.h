/* Inside of the room. */
#ifndef FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H
#define FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H

#include "agent/shell/neighbours/neighbours.h"

#define FLO_NEIGHBOURS_LINE_BYTES 4096

struct flo_https;

struct flo_neighbourhood {
    struct flo_shell *shell;
    struct event *tick;
    /* revoked.c */
    struct flo_https *asking; /* NULL: no question is under way */
    uint64_t list_at_ms;      /* when the list came; 0: never */
    uint64_t list_again_ms;   /* not asked before */
    char list_file[4200];
    /* share.c */
    pid_t pid; /* 0: it does not run */
    int fd;
    struct event *readable;
    uint64_t start_again_ms;
    /* Begin of the budget's day, since boot, modulo 2^64. */
    uint64_t day_began_ms;
    uint64_t out_before; /* bytes and refusals of earlier processes */
    uint64_t refused_before;
    char cert_file[4200]; /* with which it was started */
    /* spent.c */
    char spent_file[4200];
    uint64_t kept_bytes; /* used part of the budget, on the disk */
    uint64_t kept_day_ms;
    uint64_t began_at_ms;   /* that day's begin by the wall clock */
    uint64_t keep_again_ms; /* not written before; 0: no try has failed */
    size_t bytes;
    char line[FLO_NEIGHBOURS_LINE_BYTES];
    /* the job under way */
    json_t *fetched; /* digests; NULL: no job */
    bool moves;
};

/* Ask for the list where it is time. */
void flo_revoked_look(struct flo_neighbourhood *hood, uint64_t now_ms);
/* Is the list young enough to serve by? */
#define FLO_REVOKED_HOLDS_MS (24ull * 3600 * 1000)
static inline bool flo_revoked_holds(const struct flo_neighbourhood *hood, uint64_t now_ms)
{
    return hood->list_at_ms != 0 && now_ms - hood->list_at_ms < FLO_REVOKED_HOLDS_MS;
}

/* Start the process, or end it, as list, certificate and configuration say. */
void flo_share_look(struct flo_neighbourhood *hood, uint64_t now_ms);
void flo_share_end(struct flo_neighbourhood *hood);
/* The budget's day goes on where an earlier agent left it. */
void flo_spent_load(struct flo_neighbourhood *hood);
/* Keep it on the disk: where it has grown by much, and at the end. */
void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end);
/* Tell it what this device is fetching. */
void flo_share_tell(struct flo_neighbourhood *hood);

#endif
