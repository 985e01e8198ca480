/* Windows: telemetry that waits to be sent. */
#ifndef FLOTILLA_AGENT_OUTBOX_WINDOWS_H
#define FLOTILLA_AGENT_OUTBOX_WINDOWS_H

#include <flotilla/base.h>

struct flo_outbox_db;

void flo_outbox_windows_add(struct flo_outbox_db *db, const char *text);
/* Returns the text of the next unsent window, which the caller frees, and its
 * *id; NULL: there is none. */
char *flo_outbox_windows_next(struct flo_outbox_db *db, uint64_t *id);
void flo_outbox_windows_done(struct flo_outbox_db *db, uint64_t id, bool is_delivered);
/* Marks all stored windows as unsent, because a new connection begins. */
void flo_outbox_windows_again(struct flo_outbox_db *db);
/* Returns the number of windows dropped since the last call. */
uint64_t flo_outbox_windows_lost(struct flo_outbox_db *db);

#endif
