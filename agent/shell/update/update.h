/* Update: runs the updater's jobs, writes the slots, and removes files. */
#ifndef FLOTILLA_AGENT_UPDATE_UPDATE_H
#define FLOTILLA_AGENT_UPDATE_UPDATE_H

#include "agent/shell/serving/serving.h"

/* jobs.c */
/* Starts a job: at once or, where a killed process still runs, after its end.
 */
void flo_shell_job_start(struct flo_shell *shell, uint32_t model, uint32_t job);
/* Starts the waiting job if the engines of removed releases have ended;
 * otherwise tries later. */
void flo_shell_job_again(struct flo_shell *shell);
void flo_shell_job_cancel(struct flo_shell *shell, uint32_t job);

/* sweep.c */
/* Removes the files that neither a slot nor `keep` names; returns their count.
 */
uint32_t flo_shell_sweep(struct flo_shell *shell, const struct flo_digest *keep, size_t keep_count);
/* Makes room on a full disk for a job: removes at once the files that no slot
 * names.  If there are none, the release's steps are removed, but once per job:
 * otherwise they would be fetched and removed without end. false: there was
 * nothing to remove. */
bool flo_shell_make_room(struct flo_shell *shell, uint32_t job, const struct flo_digest *release);

/* slots.c */
/* Carries out a slot action; the event WRITTEN or UNWRITTEN follows.  false:
 * the slots were not written. */
bool flo_shell_slot_action(struct flo_shell *shell, const struct flo_agent_action *action);

#endif
