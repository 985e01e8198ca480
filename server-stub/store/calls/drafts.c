/* Store: stores the members of a rollout as one text, before their rows are
 * made. */
#include "server-stub/store/drafts.h"
#include "server-stub/store/calls/kept.h"

int flo_fleet_draft_put(struct flo_fleet_store *store, const char *rollout, const char *members,
                        struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_MEMBER_DRAFT,
                         CHANGES(set_text(FLO_FIELD_MEMBER_DRAFT_ROLLOUT, rollout),
                                 set_text(FLO_FIELD_MEMBER_DRAFT_MEMBERS, members)),
                         err);
}

struct draft {
    flo_fleet_text_fn fn;
    void *context;
};

static int take_draft(void *context, const struct flo_row *row)
{
    const struct draft *draft = context;

    return draft->fn(draft->context, flo_row_text(row, FLO_FIELD_MEMBER_DRAFT_MEMBERS));
}

int flo_fleet_draft_get(struct flo_fleet_store *store, const char *rollout, flo_fleet_text_fn fn,
                        void *context, struct flo_err *err)
{
    struct draft draft = {fn, context};

    return flo_fleet_find_one(store,
                              ROWS(MEMBER_DRAFT, text_is(FLO_FIELD_MEMBER_DRAFT_ROLLOUT, rollout)),
                              take_draft, &draft, NULL, err);
}

int flo_fleet_draft_remove(struct flo_fleet_store *store, const char *rollout, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_MEMBER_DRAFT,
                            MATCHES(text_is(FLO_FIELD_MEMBER_DRAFT_ROLLOUT, rollout)), NULL, err);
}
