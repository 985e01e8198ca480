/* Stories: the last known state of each execution. */
#ifndef FLOTILLA_AGENT_OUTBOX_STORIES_H
#define FLOTILLA_AGENT_OUTBOX_STORIES_H

#include <flotilla/agent.h>

struct flo_outbox_db;

/* The open execution of the last life; false: none. */
bool flo_stories_open(struct flo_outbox_db *db,
                      struct flo_agent_execution *out);
/* How the last execution of a rollout ended; false: there never was one. */
bool flo_stories_last(struct flo_outbox_db *db, const char *rollout,
                      uint32_t *attempts, bool *has_ended,
                      enum flo_execution *end);

#endif
