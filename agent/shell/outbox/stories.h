/* Stories: the last known state of each execution. */
#ifndef FLOTILLA_AGENT_OUTBOX_STORIES_H
#define FLOTILLA_AGENT_OUTBOX_STORIES_H

#include <flotilla/agent.h>

struct flo_outbox_db;

/* Finds the execution of a model that was open when the agent last ended;
 * false: none. */
bool flo_stories_open(struct flo_outbox_db *db, const char *model, struct flo_agent_execution *out);
/* Lists the models with an open execution; returns their count. */
size_t flo_stories_models(struct flo_outbox_db *db, char (*models)[FLO_NAME_MAX + 1],
                          size_t models_max);
/* Tells how the last execution of a rollout ended; false: there was none. */
bool flo_stories_last(struct flo_outbox_db *db, const char *rollout, uint32_t *attempts,
                      bool *has_ended, enum flo_execution *end);
/* Names an execution that no order began: id, rollout and attempt from
 * `word`.digits.attempt.  Its release must be set. */
void flo_stories_name(struct flo_outbox_db *db, const char *word,
                      struct flo_agent_execution *execution);

#endif
