/* Windows of telemetry that wait to be sent. */
#ifndef FLOTILLA_AGENT_OUTBOX_WINDOWS_H
#define FLOTILLA_AGENT_OUTBOX_WINDOWS_H

#include <flotilla/base.h>

struct flo_outbox_db;

void flo_outbox_windows_add(struct flo_outbox_db *db, const char *text);
/* The next unsent window (id, text to free), or NULL. */
char *flo_outbox_windows_next(struct flo_outbox_db *db, uint64_t *id);
void flo_outbox_windows_done(struct flo_outbox_db *db, uint64_t id, bool is_delivered);
/* A new connection: everything that is still here is sent again. */
void flo_outbox_windows_again(struct flo_outbox_db *db);
/* Windows dropped since the last call. */
uint64_t flo_outbox_windows_lost(struct flo_outbox_db *db);

#endif
