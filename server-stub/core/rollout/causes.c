/* Causes: tells why devices of a rollout failed, as error ids with counts. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Kinds of causes: first the index of an error id, then the kinds of members
 * without one. */
enum { SILENT = FLO_ROLLOUT_CAUSES_MAX, OVERDUE, OTHER, KINDS };
static const char *const words[] = {"silent", "overdue", "other"};

#define SHOWN 4 /* in a text */

uint8_t flo_rollout_cause(struct flo_rollout *rollout, const char *id)
{
    assert(rollout->cause_count <= FLO_ROLLOUT_CAUSES_MAX);
    for (uint32_t i = 0; i < rollout->cause_count; i++) {
        if (strncmp(rollout->causes[i], id, FLO_NAME_MAX) == 0) {
            return (uint8_t)(i + 1);
        }
    }
    if (id[0] == '\0' || rollout->cause_count == FLO_ROLLOUT_CAUSES_MAX) {
        return 0;
    }
    snprintf(rollout->causes[rollout->cause_count], FLO_NAME_MAX + 1, "%s", id);
    return (uint8_t)++rollout->cause_count;
}

/* Returns the kind of a member's cause; -1: it has none, because an order
 * rolled it back. */
static int kind_of(const struct flo_rollout_member *member)
{
    enum flo_execution state = (enum flo_execution)member->state;

    assert(member->cause <= FLO_ROLLOUT_CAUSES_MAX);
    if (flo_execution_kind(state) == FLO_EXECUTION_END_BAD) {
        return member->cause > 0                    ? member->cause - 1
               : state == FLO_EXECUTION_ROLLED_BACK ? -1
                                                    : OTHER;
    }
    if (flo_execution_is_end(state) || member->lateness == FLO_LATENESS_NONE) {
        return -1;
    }
    return member->lateness == FLO_LATENESS_SILENT ? SILENT : OVERDUE;
}

static int by_devices(const void *a, const void *b)
{
    const struct flo_rollout_cause *one = a;
    const struct flo_rollout_cause *other = b;

    return one->devices != other->devices ? (one->devices < other->devices ? 1 : -1)
                                          : strcmp(one->id, other->id);
}

size_t flo_rollout_causes(const struct flo_rollout *rollout, struct flo_rollout_cause *out,
                          size_t max)
{
    struct flo_rollout_cause all[KINDS] = {0};
    size_t count = 0;

    assert(rollout->cause_count <= FLO_ROLLOUT_CAUSES_MAX && max > 0);
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        int kind = kind_of(member);
        if (kind >= 0) {
            all[kind].member = i;
            all[kind].devices++;
        }
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (all[i].devices > 0) {
            all[i].id = i < SILENT ? rollout->causes[i] : words[i - SILENT];
            all[count++] = all[i];
        }
    }
    qsort(all, count, sizeof(all[0]), by_devices);
    count = count < max ? count : max;
    memcpy(out, all, count * sizeof(all[0]));
    return count;
}

void flo_rollout_causes_text(const struct flo_rollout *rollout, char *out, size_t bytes)
{
    struct flo_rollout_cause causes[SHOWN];
    size_t count = flo_rollout_causes(rollout, causes, SHOWN);
    size_t used = 0;

    assert(out != NULL && bytes > 0);
    out[0] = '\0';
    for (size_t i = 0; i < count && used < bytes; i++) {
        used += (size_t)snprintf(out + used, bytes - used, "%s%.40s %u", i > 0 ? ", " : "",
                                 causes[i].id, causes[i].devices);
    }
    if (count == 0) {
        snprintf(out, bytes, "no cause known");
    }
}

/* Limits error ids to known ones: a device cannot show people text of its own,
 * nor more ids than the table holds. */
const char *flo_rollout_cause_id(const char *id)
{
    int code = id != NULL ? flo_error_code(id) : 0;

    return id == NULL ? NULL : code < 0 ? flo_error_id(code) : "other";
}
