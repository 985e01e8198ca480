/* Witness: compares lines that devices report with the audit's table. */
#include "server-stub/state/audit/witness.h"

#include <string.h>

#include "server-stub/state/audit/head.h"
#include "server-stub/state/audit/memory.h"

/* Returns whether the line was checked lately, because most devices report the
 * same line. */
static bool was_seen(const struct flo_audit *audit, const char *line)
{
    for (size_t i = 0; i < FLO_COUNT(audit->seen); i++) {
        if (strcmp(audit->seen[i], line) == 0) {
            return true;
        }
    }
    return false;
}

struct found {
    const struct flo_audit_checkpoint *checkpoint;
    bool is_there, is_same;
};

static int compare(void *context, const struct flo_audit_record *record,
                   const struct flo_digest *hash)
{
    struct found *found = context;

    found->is_there = record->number == found->checkpoint->number;
    found->is_same = found->is_there && flo_digest_equal(hash, &found->checkpoint->hash);
    return 0;
}

static int tell(struct flo_controller *controller, const char *device,
                const struct flo_audit_checkpoint *checkpoint, bool is_there, struct flo_err *err)
{
    struct flo_audit *audit = controller->audit;

    audit->is_broken = true;
    if (audit->cut[0] != '\0') {
        return 0;
    }
    snprintf(audit->cut, sizeof(audit->cut),
             "record %llu was signed and told to device %s, and %s: the data come from a "
             "backup without --restored, or were cut",
             (unsigned long long)checkpoint->number, device,
             is_there ? "is another one now" : "is gone");
    flo_log(FLO_LOG_ERROR, "audit", "audit.cut: %s", audit->cut);
    return flo_controller_audit(controller, device, "audit.cut", "audit", "alarm", audit->cut, err);
}

int flo_audit_witness(struct flo_controller *controller, const char *device, const char *line,
                      struct flo_err *err)
{
    uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES];
    struct flo_audit *audit = controller->audit;
    struct flo_audit_checkpoint checkpoint;
    struct found found = {.checkpoint = &checkpoint};
    size_t bytes = strlen(line);

    if (audit->head == NULL || bytes >= FLO_AUDIT_LINE_TEXT || was_seen(audit, line) ||
        !flo_audit_line_parse(line, bytes, &checkpoint, signature) || checkpoint.is_restart ||
        checkpoint.is_seals || checkpoint.number == 0 ||
        checkpoint.at_ms < flo_audit_head_from_ms(controller)) {
        return 0;
    }
    FLO_TRY(flo_fleet_audit_list(controller->store, checkpoint.number, 1, compare, &found, err));
    snprintf(audit->seen[audit->seen_next++ % FLO_COUNT(audit->seen)], sizeof(audit->seen[0]), "%s",
             line);
    if (found.is_same || !flo_audit_head_is_ours(controller, &checkpoint, signature)) {
        return 0;
    }
    return tell(controller, device, &checkpoint, found.is_there, err);
}
