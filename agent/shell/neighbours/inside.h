/* Neighbourhood: state that the files of this folder share. */
#ifndef FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H
#define FLOTILLA_AGENT_NEIGHBOURS_INSIDE_H

#include "agent/shell/neighbours/neighbours.h"

#define FLO_NEIGHBOURS_LINE_BYTES 4096

struct flo_https;

struct flo_neighbourhood {
    struct flo_shell *shell;
    struct event *tick;
    /* revoked.c */
    struct flo_https *asking; /* request for the list in progress; NULL: none */
    uint64_t list_at_ms;      /* time when the list arrived; 0: never */
    uint64_t list_again_ms;   /* earliest next request */
    char list_file[4200];
    /* share.c */
    pid_t pid; /* process that serves neighbours; 0: none runs */
    int fd;
    struct event *readable;
    uint64_t start_again_ms;
    /* Start of the budget's day, in ms since boot, modulo 2^64. */
    uint64_t day_began_ms;
    uint64_t out_before; /* bytes that earlier processes sent */
    uint64_t refused_before;
    char cert_file[4200]; /* certificate that the process was started with */
    /* spent.c */
    char spent_file[4200];
    uint64_t kept_bytes; /* used bytes of the budget, as stored on disk */
    uint64_t kept_day_ms;
    uint64_t began_at_ms;   /* wall clock at the start of that day */
    uint64_t keep_again_ms; /* time before which no write is tried; 0: no write has failed */
    size_t bytes;
    char line[FLO_NEIGHBOURS_LINE_BYTES];
    /* neighbours.c */
    json_t *fetched; /* digests that the running job fetches; NULL: no job */
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
/* Loads the used budget, so that the day which an earlier agent began goes
 * on. */
void flo_spent_load(struct flo_neighbourhood *hood);
/* Stores the used budget on disk if it has grown much, or (is_end) at the end
 * of the agent. */
void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end);
/* Tells the process which digests this device is fetching. */
void flo_share_tell(struct flo_neighbourhood *hood);

#endif
