/* Answers: stores the last answer to each order, for an order that comes
 * again. */
#ifndef FLOTILLA_AGENT_OUTBOX_ANSWERS_H
#define FLOTILLA_AGENT_OUTBOX_ANSWERS_H

#include <flotilla/base.h>

struct flo_outbox_db;

void flo_answers_keep(struct flo_outbox_db *db, const char *order, const char *text);
/* Deletes the answer to an order that is carried out again. */
void flo_answers_forget(struct flo_outbox_db *db, const char *order);
/* Returns the stored answer to an order, which the caller frees; NULL: none is
 * stored. */
char *flo_answers_find(struct flo_outbox_db *db, const char *order);

#endif
