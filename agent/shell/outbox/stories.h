/* Stories: the last known state of each execution. */
#ifndef FLOTILLA_AGENT_OUTBOX_STORIES_H
#define FLOTILLA_AGENT_OUTBOX_STORIES_H

#include <flotilla/agent.h>

struct flo_outbox_db;

/* The open execution of a model in the last life; false: none. */
bool flo_stories_open(struct flo_outbox_db *db, const char *model, struct flo_agent_execution *out);
/* The models with an open execution; gives their count. */
size_t flo_stories_models(struct flo_outbox_db *db, char (*models)[FLO_NAME_MAX + 1],
                          size_t models_max);
/* How the last execution of a rollout ended; false: there never was one. */
bool flo_stories_last(struct flo_outbox_db *db, const char *rollout, uint32_t *attempts,
                      bool *has_ended, enum flo_execution *end);
/* Id, rollout and attempt of an execution that no order began:
 * `word`.digits.attempt. Its release is set. */
void flo_stories_name(struct flo_outbox_db *db, const char *word,
                      struct flo_agent_execution *execution);

#endif
