/* Answers: stores the last answer to each order, for orders that come again.
 * The records say which order holds (flo_statement_look). */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/outbox/outbox_state.h"

static int store_answer(struct flo_outbox_db *db, const char *order, const char *text,
                        struct flo_err *err)
{
    FLO_TRY(flo_outbox_db_run(db,
                              "INSERT INTO answer (ord, body) VALUES (?, ?) ON CONFLICT (ord) "
                              "DO UPDATE SET body = excluded.body",
                              FLO_DB_VALUES(flo_db_text(order), flo_db_text(text)), err));
    return flo_outbox_db_run(db,
                             "DELETE FROM answer WHERE rowid <= (SELECT max(rowid) FROM "
                             "answer) - ?",
                             FLO_DB_VALUES(flo_db_number(ANSWERS_MAX)), err);
}

/* Stores an answer without a sync.  If a power failure loses it, the order is
 * answered once more. */
void flo_answers_keep(struct flo_outbox_db *db, const char *order, const char *text)
{
    struct flo_err err = {0};

    if (flo_outbox_db_relax(db, true) < 0 || store_answer(db, order, text, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
    (void)!flo_outbox_db_relax(db, false);
}

char *flo_answers_find(struct flo_outbox_db *db, const char *order)
{
    return flo_outbox_db_text(db, "SELECT body FROM answer WHERE ord = ?", order);
}

void flo_answers_forget(struct flo_outbox_db *db, const char *order)
{
    struct flo_err err = {0};

    if (flo_outbox_db_relax(db, true) < 0 ||
        flo_outbox_db_run(db, "DELETE FROM answer WHERE ord = ?", FLO_DB_VALUES(flo_db_text(order)),
                          &err) < 0) {
        flo_outbox_db_complain(&err);
    }
    (void)!flo_outbox_db_relax(db, false);
}
