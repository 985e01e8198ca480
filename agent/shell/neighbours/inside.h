/* Neighbourhood: the state that the files of this folder share. */
#ifndef FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H
#define FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H

#include "agent/shell/neighbours/neighbours.h"

#define FLO_NEIGHBOURS_LINE_BYTES 4096

struct flo_https;

struct flo_neighbourhood {
    struct flo_shell *shell;
    struct event *tick;
    /* revoked.c */
    struct flo_https *asking; /* NULL: no request is in progress */
    uint64_t list_at_ms;      /* arrival of the list; 0: never */
    uint64_t list_again_ms;   /* earliest next request */
    char list_file[4200];
    /* share.c */
    pid_t pid; /* process that serves neighbours; 0: none runs */
    int fd;
    struct event *readable;
    uint64_t start_again_ms;
    /* Start of the budget's day, in ms since boot, modulo 2^64. */
    uint64_t day_began_ms;
    uint64_t out_before; /* bytes sent by earlier processes */
    uint64_t refused_before;
    char cert_file[4200]; /* certificate that the process was started with */
    /* spent.c */
    char spent_file[4200];
    uint64_t kept_bytes; /* used bytes of the budget, as stored */
    uint64_t kept_day_ms;
    uint64_t began_at_ms;   /* start of that day by the wall clock */
    uint64_t keep_again_ms; /* no write before this time; 0: no write has failed */
    size_t bytes;
    char line[FLO_NEIGHBOURS_LINE_BYTES];
    /* neighbours.c */
    json_t *fetched; /* digests that the job under way fetches; NULL: no job */
    bool moves;
};

/* Requests the list of revoked certificates when it is due. */
void flo_revoked_look(struct flo_neighbourhood *hood, uint64_t now_ms);
/* Tests whether the list is recent enough to serve neighbours. */
#define FLO_REVOKED_HOLDS_MS (24ull * 3600 * 1000)
static inline bool flo_revoked_holds(const struct flo_neighbourhood *hood, uint64_t now_ms)
{
    return hood->list_at_ms != 0 && now_ms - hood->list_at_ms < FLO_REVOKED_HOLDS_MS;
}

/* Starts or ends the process, as list, certificate and configuration require.
 */
void flo_share_look(struct flo_neighbourhood *hood, uint64_t now_ms);
void flo_share_end(struct flo_neighbourhood *hood);
/* Continues the budget's day of an earlier agent. */
void flo_spent_load(struct flo_neighbourhood *hood);
/* Stores the used budget: where it has grown much, and at the end. */
void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end);
/* Tells the process which digests this device is fetching. */
void flo_share_tell(struct flo_neighbourhood *hood);

#endif
