/* Orders in the mailbox: what each was answered, for those that come again.
 * Which order holds is in the records (flo_statement_look). */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/mailbox_inside.h"

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
