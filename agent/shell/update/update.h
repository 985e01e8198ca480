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

/* A guest: a release whose files come and stay though no execution asked for them
 * and no slot names them.  A job of an execution goes first: the guest's job
 * ends, and its files may go. */
struct flo_guest {
    struct flo_digest
        release; /* release whose document is here, and whose files stay; zero: none */
    /* what the guest's job fetches: only release.digest is set, so the variant is
     * the plan's, and the limits are those of the configuration */
    struct flo_agent_execution asked;
    /* Called before a job of an execution begins, so that it finds the disk as it
     * would be without the guest; NULL: nobody looks after a guest. */
    void (*leave)(struct flo_shell *shell);
    /* Called with each line of the guest's job (contracts/processes.md section 5),
     * borrowed; "lost" without a line: the job ended without an answer.  After
     * "staged", "failed" and "lost" there is no job; before that, it must not be
     * cancelled here. */
    void (*said)(struct flo_shell *shell, const char *word, const json_t *line);
};
/* Number of the guest's job; those of executions are lower.  It is started with
 * FLO_NO_MODEL, when no job is open and no killed process is left. */
#define FLO_JOB_GUEST UINT32_MAX
struct flo_guest *flo_shell_guest(struct flo_shell *shell);

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
