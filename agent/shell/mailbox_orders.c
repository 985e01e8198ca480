/* Orders in the mailbox: which one used which number, and what it was answered.
 *
 * The device record knows which numbers were used and is the last word; what
 * is here tells the order that comes again, which a power cut may have left
 * undone, from another one with its number. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/mailbox_inside.h"

void flo_mailbox_use(struct flo_mailbox *mailbox, const char *number,
                     const char *order, bool is_done)
{
    struct flo_err err = {0};

    if (flo_mailbox_run(mailbox,
                        "INSERT INTO used (number, ord, done) VALUES (?, ?, ?) "
                        "ON CONFLICT (number) DO NOTHING",
                        "abn", number, is_done, order, &err) < 0 ||
        flo_mailbox_run(mailbox,
                        "DELETE FROM used WHERE rowid <= (SELECT max(rowid) "
                        "FROM used) - ?",
                        "n", NULL, USED_MAX, NULL, &err) < 0) {
        flo_mailbox_complain(&err);
    }
}

enum flo_used flo_mailbox_used(struct flo_mailbox *mailbox, const char *number,
                               const char *order)
{
    struct flo_db_statement *statement;
    enum flo_used found = FLO_USED_UNREADABLE;
    bool has_row = false;

    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db,
                       "SELECT ord, done FROM used WHERE number = ?",
                       &statement, NULL) < 0) {
        return FLO_USED_UNREADABLE;
    }
    flo_db_bind_text(statement, 1, number);
    if (flo_db_step(statement, &has_row, NULL) == 0) {
        found = FLO_USED_UNKNOWN;
    }
    if (has_row) {
        int64_t done = flo_db_column_i64(statement, 1);

        found = strcmp(flo_db_column_text(statement, 0), order) != 0
                    ? FLO_USED_BY_ANOTHER
                : done == 0 ? FLO_USED_OPEN
                : done == 2 ? FLO_USED_BEFORE
                            : FLO_USED_DONE;
        flo_db_reset(statement);
    }
    return found;
}

static int store_answer(struct flo_mailbox *mailbox, const char *order,
                        const char *text, struct flo_err *err)
{
    int rv = flo_mailbox_run(
        mailbox,
        "INSERT INTO answer (ord, body) VALUES (?, ?) ON CONFLICT (ord) "
        "DO UPDATE SET body = excluded.body",
        "ab", order, 0, text, err);

    if (rv == 0) {
        rv = flo_mailbox_run(
            mailbox,
            "DELETE FROM answer WHERE rowid <= (SELECT max(rowid) FROM "
            "answer) - ?",
            "n", NULL, ANSWERS_MAX, NULL, err);
    }
    if (rv == 0 && flo_mailbox_answer_is_final(text)) {
        rv = flo_mailbox_run(mailbox, "UPDATE used SET done = 1 WHERE ord = ?",
                             "a", order, 0, NULL, err);
    }
    return rv;
}

/* Not synced: an answer that a power cut takes is given again. */
void flo_mailbox_answer(struct flo_mailbox *mailbox, const char *order,
                        const char *text)
{
    struct flo_err err = {0};

    if (flo_mailbox_relax(mailbox, true) < 0 ||
        store_answer(mailbox, order, text, &err) < 0) {
        flo_mailbox_complain(&err);
    }
    (void)!flo_mailbox_relax(mailbox, false);
}

char *flo_mailbox_answer_of(struct flo_mailbox *mailbox, const char *order)
{
    return flo_mailbox_text(mailbox, "SELECT body FROM answer WHERE ord = ?",
                            order);
}

bool flo_mailbox_answer_is_final(const char *text)
{
    return strstr(text, "\"outcome\":\"running\"") == NULL;
}
