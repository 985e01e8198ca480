/* Stories: stores the last known state of each execution. */
#ifndef FLOTILLA_AGENT_OUTBOX_STORIES_H
#define FLOTILLA_AGENT_OUTBOX_STORIES_H

#include <flotilla/agent.h>

struct flo_outbox_db;

/* Finds the execution of a model that was open when the agent last ended.
 * Returns false when there was none. */
bool flo_stories_open(struct flo_outbox_db *db, const char *model, struct flo_agent_execution *out);
/* Lists the models that have an open execution.  Returns their number. */
size_t flo_stories_models(struct flo_outbox_db *db, char (*models)[FLO_NAME_MAX + 1],
                          size_t models_max);
/* Gives the number of attempts of a rollout, and whether and how its last
 * execution ended.  Returns false when the rollout had no execution. */
bool flo_stories_last(struct flo_outbox_db *db, const char *rollout, uint32_t *attempts,
                      bool *has_ended, enum flo_execution *end);
/* Sets id, rollout and attempt of an execution without an order.  Its id is
 * `word`.DIGITS.ATTEMPT, with the first digits of its release, which must be
 * set. */
void flo_stories_name(struct flo_outbox_db *db, const char *word,
                      struct flo_agent_execution *execution);

#endif
