/* Records: stores what operators did as records of the audit, and shows the
 * records to people. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/audit/head.h"
#include "server-stub/state/audit/memory.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"

struct flo_audit *flo_audit_new(void)
{
    return calloc(1, sizeof(struct flo_audit));
}

void flo_audit_free(struct flo_audit *audit)
{
    free(audit);
}

bool flo_audit_is_broken(const struct flo_audit *audit)
{
    return audit->is_broken;
}

bool flo_audit_is_cut(const struct flo_audit *audit)
{
    return audit->cut[0] != '\0';
}

void flo_audit_key_is_new(struct flo_audit *audit)
{
    audit->has_new_key = true;
}

void flo_audit_checkpoint_soon(struct flo_audit *audit)
{
    audit->unmarked = FLO_AUDIT_CHECKPOINT_RECORDS;
}

bool flo_audit_has_new_key(const struct flo_audit *audit)
{
    return audit->has_new_key;
}

int flo_controller_audit(struct flo_controller *controller, const char *who, const char *what,
                         const char *object, const char *result, const char *detail,
                         struct flo_err *err)
{
    char clean[512];
    struct flo_audit_record record = {
        .at_ms = flo_wall_ms(),
        .who = who,
        .what = what,
        .object = object,
        .result = result,
        .detail = clean,
    };

    flo_text_clean(detail, strlen(detail), clean, sizeof(clean));
    FLO_TRY(flo_fleet_audit_add(controller->store, &record, err));
    controller->audit->unmarked++;
    flo_outgoing_audit(controller, json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s}", "number",
                                             (json_int_t)record.number, "at_ms",
                                             (json_int_t)record.at_ms, "who", who, "what", what,
                                             "object", object, "result", result, "detail", clean));
    return 0;
}
