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

int flo_fleet_draft_get(struct flo_fleet_store *store, const char *rollout, flo_fleet_text_fn fn,
                        void *context, struct flo_err *err)
{
    struct flo_text draft = {FLO_FIELD_MEMBER_DRAFT_MEMBERS, fn, context};

    return flo_fleet_find_one(store,
                              ROWS(MEMBER_DRAFT, text_is(FLO_FIELD_MEMBER_DRAFT_ROLLOUT, rollout)),
                              flo_fleet_take_text, &draft, NULL, err);
}

int flo_fleet_draft_remove(struct flo_fleet_store *store, const char *rollout, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_MEMBER_DRAFT,
                            MATCHES(text_is(FLO_FIELD_MEMBER_DRAFT_ROLLOUT, rollout)), NULL, err);
}
