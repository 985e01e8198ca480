/* Updates: the updater's jobs, slots, and the removal of files. */
#ifndef FLOTILLA_AGENT_UPDATE_UPDATE_H
#define FLOTILLA_AGENT_UPDATE_UPDATE_H

#include "agent/shell/serving/serving.h"

/* jobs.c */
/* At once or, where a process that was killed has not ended yet, after it. */
void flo_shell_job_start(struct flo_shell *shell, uint32_t model, uint32_t job);
/* Start the waiting job again, if the engines of removed releases have ended;
 * else later. */
void flo_shell_job_again(struct flo_shell *shell);
void flo_shell_job_cancel(struct flo_shell *shell, uint32_t job);

/* sweep.c */
/* Remove files that neither a slot nor one of these names; returns how many are
 * gone. */
uint32_t flo_shell_sweep(struct flo_shell *shell, const struct flo_digest *keep, size_t keep_count);
/* The disk is full for a job of that release: remove at once the files that no
 * slot names.  Where there are none, the release's steps go, once per job: a
 * disk that is full again must not fetch them without end.  false: there was
 * nothing. */
bool flo_shell_make_room(struct flo_shell *shell, uint32_t job, const struct flo_digest *release);

/* slots.c */
/* WRITTEN or UNWRITTEN follows; false: it was not written. */
bool flo_shell_slot_action(struct flo_shell *shell, const struct flo_agent_action *action);

#endif
