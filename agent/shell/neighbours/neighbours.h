/* Neighbours: nearby devices, from which the updater's jobs fetch blobs and which a
 * process serves (docs/decisions/neighbours.md).
 *
 *   neighbours.c  jobs, counts
 *   share.c       the process: start, messages to and from it
 *   revoked.c     the list of revoked certificates, from the controller
 *   site.c        the listener for devices that ask this device's models
 *
 * Nothing is served without a list of revoked certificates that is younger than
 * a day. */
#ifndef FLOTILLA_AGENT_NEIGHBOURS_H
#define FLOTILLA_AGENT_NEIGHBOURS_H

#include "agent/shell/shell.h"

/* Opens the neighbourhood.  Nothing is opened when the configuration says "off"
 * and has no `site_listen`, or the device is not enrolled. */
FLO_MUST_USE int flo_neighbours_open(struct flo_shell *shell, struct flo_err *err);
void flo_neighbours_close(struct flo_shell *shell);

/* Adds to the line that starts a job which neighbours to ask, and how long to
 * wait for them. */
void flo_neighbours_job_add(const struct flo_shell *shell,
                            const struct flo_agent_execution *execution, json_t *job);
/* Handles a line of the updater's worker, so that neighbours learn which blobs
 * this device is fetching, and bytes of neighbours are counted. */
void flo_neighbours_job_said(struct flo_shell *shell, const char *word, const json_t *json);
void flo_neighbours_job_ended(struct flo_shell *shell);

#endif
