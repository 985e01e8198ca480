/* Update: runs the updater's jobs, writes the slots, and deletes unused
 * files. */
#ifndef FLOTILLA_AGENT_UPDATE_UPDATE_H
#define FLOTILLA_AGENT_UPDATE_UPDATE_H

#include "agent/shell/serving/serving.h"

/* jobs.c */
/* Starts a job: at once, or after a killed process that still runs has
 * ended. */
void flo_shell_job_start(struct flo_shell *shell, uint32_t model, uint32_t job);
/* Starts the waiting job, if the engines of removed releases have ended.  If
 * not, tries again later.  Returns false when no job waits. */
bool flo_shell_job_again(struct flo_shell *shell);
/* Tells whether a job runs or waits. */
bool flo_shell_job_is_open(const struct flo_shell *shell);
void flo_shell_job_cancel(struct flo_shell *shell, uint32_t job);

/* sweep.c */
/* Says which timer of the loop makes it look for jobs that wait, and for unused
 * files. */
void flo_shell_collect_by(struct flo_shell *shell, struct event *collect);
/* Deletes the files that neither a slot nor `keep` names.  Returns their
 * number. */
uint32_t flo_shell_sweep(struct flo_shell *shell, const struct flo_digest *keep, size_t keep_count);
/* Frees space on a full disk for a job, by deleting the files that no slot
 * names.  If there are none, the intermediate steps of the release are deleted,
 * once for each job: else they would be fetched and deleted without end.
 * Returns false when nothing could be deleted. */
bool flo_shell_make_room(struct flo_shell *shell, uint32_t job, const struct flo_digest *release);

/* slots.c */
/* Carries out an action on slots.  The event FLO_AGENT_WRITTEN or
 * FLO_AGENT_UNWRITTEN follows.  Returns false when the slots were not
 * written. */
bool flo_shell_slot_action(struct flo_shell *shell, const struct flo_agent_action *action);

#endif
