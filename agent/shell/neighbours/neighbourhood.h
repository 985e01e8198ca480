/* Neighbourhood: the state that the files of this folder share.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_NEIGHBOURS_NEIGHBOURHOOD_H
#define FLOTILLA_AGENT_NEIGHBOURS_NEIGHBOURHOOD_H

#include "agent/shell/neighbours/neighbours.h"

#define FLO_NEIGHBOURS_LINE_BYTES 4096

struct flo_https;

/* Files of the site's listener: the pair, the authorities, the list of revoked
 * certificates. */
#define FLO_SITE_FILES 3
/* How a file was when it was read.  A replaced file has another inode or time. */
struct flo_site_note {
    uint64_t inode, changed_ns;
};

struct flo_neighbourhood {
    struct flo_shell *shell;
    struct event *tick;
    /* revoked.c */
    /* request for the list of revoked certificates in progress; NULL: none */
    struct flo_https *asking;
    uint64_t list_at_ms;    /* time at which that list arrived; 0: never */
    uint64_t list_again_ms; /* earliest next request */
    char list_file[4200];
    /* share.c */
    pid_t pid; /* id of the process that serves neighbours; 0: none runs */
    int fd;
    struct event *readable;
    uint64_t start_again_ms;
    /* Begin of the budget's day, as ms since boot, modulo 2^64. */
    uint64_t day_began_ms;
    uint64_t out_before; /* bytes that earlier serving processes sent */
    uint64_t refused_before;
    char cert_file[4200]; /* certificate with which the serving process was started */
    /* spent.c */
    char spent_file[4200];
    uint64_t kept_bytes; /* bytes of the budget used so far, as stored on disk */
    uint64_t kept_day_ms;
    uint64_t began_at_ms;   /* wall clock time at the beginning of the stored day */
    uint64_t keep_again_ms; /* time before which no write is tried again; 0: no write has failed */
    size_t bytes;
    char line[FLO_NEIGHBOURS_LINE_BYTES];
    /* site.c */
    struct flo_site_note site_notes[FLO_SITE_FILES]; /* the files at the last look */
    bool site_is_read;      /* the listener has read its files as they are now */
    uint64_t site_again_ms; /* time before which nothing is tried again; 0: nothing has failed */
    /* neighbours.c */
    json_t *fetched; /* digests that the running job fetches; NULL: no job runs */
    bool moves;
};

struct flo_shell_neighbours {
    struct flo_neighbourhood *hood; /* NULL: off */
    struct flo_neighbour_counts counts;
};

/* Requests the list of revoked certificates when it is due. */
void flo_revoked_look(struct flo_neighbourhood *hood, uint64_t now_ms);
/* Tells whether the list of revoked certificates is recent enough to let other
 * devices in. */
#define FLO_REVOKED_HOLDS_MS (24ull * 3600 * 1000)
static inline bool flo_revoked_holds(const struct flo_neighbourhood *hood, uint64_t now_ms)
{
    return hood->list_at_ms != 0 && now_ms - hood->list_at_ms < FLO_REVOKED_HOLDS_MS;
}

/* Starts or ends the process that serves neighbours, as the list, the
 * certificate and the configuration require. */
void flo_share_look(struct flo_neighbourhood *hood, uint64_t now_ms);
void flo_share_end(struct flo_neighbourhood *hood);
/* Opens the site's listener, lets devices in or not, and makes the listener read
 * files that were replaced.  Nothing happens without `site_listen`. */
void flo_site_look(struct flo_neighbourhood *hood, uint64_t now_ms);
/* Loads the stored part of the budget, so that a day that an earlier agent
 * began continues. */
void flo_spent_load(struct flo_neighbourhood *hood);
/* Stores the used budget on disk if it has grown much, or at the end of the
 * agent (is_end). */
void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end);
/* Sends the digests that this device is fetching to the process that serves
 * neighbours. */
void flo_share_tell(struct flo_neighbourhood *hood);

#endif
