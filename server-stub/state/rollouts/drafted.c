/* Drafted: members of a large rollout before their rows are made.
 *
 * A rollout of 100,000 devices begins with one text of all its members.  Their
 * rows follow in slices of work.  A row takes precedence over the text: a
 * member that changes meanwhile gets its row at once.  When the rollout is read
 * again, members of the text without a row are added, and the work continues.
 *
 * The first line of the text is the time when the members joined.  Then comes a
 * line for each member with device, bucket, segment, and whether it is away:
 *
 * 1795718772345
 * 00000007-7777-4777-8777-777777777777 123456789 0 1 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/drafts.h"

/* number of rows that the call which starts a rollout makes itself, in about 8
 * ms */
#define AT_ONCE 4000

/* Returns whether the text of the draft has all facts about the member, so that
 * a row would add none. */
static bool is_plain(const struct flo_rollout_member *member, uint64_t since_at_ms)
{
    return !member->has_row && member->state == FLO_EXECUTION_QUEUED && member->attempt == 0 &&
           member->lateness == FLO_LATENESS_NONE && !member->is_back && member->retries == 0 &&
           member->held == FLO_HELD_NOT && member->held_of == 0 && !member->is_probe &&
           member->since_at_ms == since_at_ms;
}

/* ---- written ---- */

static size_t count_plain(const struct flo_rollout *core)
{
    size_t count = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        count += is_plain(&core->members[i], core->created_at_ms);
    }
    return count;
}

static char *number_to(char *to, uint32_t number)
{
    *to++ = ' ';
    return flo_digits(to, number);
}

static void add_line(struct flo_buf *text, const struct flo_rollout_member *member)
{
    char line[sizeof(member->device) + 32];
    size_t chars = strlen(member->device);

    memcpy(line, member->device, chars);
    char *to = number_to(line + chars, member->bucket);
    to = number_to(to, member->segment);
    to = number_to(to, member->is_away);
    *to++ = '\n';
    flo_buf_add(text, line, (size_t)(to - line));
}

int flo_rollouts_draft(struct flo_controller *controller, struct flo_rollout_entry *entry,
                       struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_rollout *core = &entry->core;

    uint64_t at_once = controller->options.slice_devices;

    if (count_plain(core) <= (at_once > 0 ? at_once : AT_ONCE)) {
        return 0;
    }
    flo_buf_printf(&text, "%" PRIu64 "\n", core->created_at_ms);
    for (size_t i = 0; i < core->member_count; i++) {
        struct flo_rollout_member *member = &core->members[i];
        if (is_plain(member, core->created_at_ms)) {
            add_line(&text, member);
            member->is_dirty = false;
        }
    }
    flo_buf_add(&text, "", 1);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "members of rollout %s", core->id);
    }
    entry->own->is_drafted = true;
    return flo_fleet_draft_put(controller->store, core->id, text.data, err);
}

/* ---- read ---- */

struct reading {
    struct flo_controller *controller;
    struct flo_rollout_entry *entry;
    size_t rows; /* number of members with a row, which come first and are sorted by id */
    flo_rollouts_load_fn load;
    void *context;
    struct flo_err *err;
};

static int by_device(const void *a, const void *b)
{
    const struct flo_rollout_member *one = a;
    const struct flo_rollout_member *other = b;

    return strcmp(one->device, other->device);
}

static bool has_row(const struct reading *reading, const struct flo_rollout_member *member)
{
    const struct flo_rollout *core = &reading->entry->core;

    return bsearch(member, core->members, reading->rows, sizeof(*core->members), by_device) != NULL;
}

/* Parses a member's line.  Returns false if this file did not write the line.
 * sscanf is not used, because it searches the end of its text, which is
 * megabytes away. */
static bool read_line(const char *from, uint64_t since_at_ms, struct flo_rollout_member *out)
{
    char line[sizeof(out->device) + 32];
    size_t chars = strcspn(from, "\n");
    unsigned bucket, segment;
    int is_away, used = 0;

    *out = (struct flo_rollout_member){
        .since_at_ms = since_at_ms, .heard_at_ms = since_at_ms, .state = FLO_EXECUTION_QUEUED};
    if (chars >= sizeof(line)) {
        return false;
    }
    memcpy(line, from, chars);
    line[chars] = '\0';
    if (sscanf(line, "%36[^ \n] %10u %3u %1d%n", out->device, &bucket, &segment, &is_away, &used) !=
            4 ||
        line[used] != '\0' || bucket >= FLO_BUCKETS || segment > UINT8_MAX) {
        return false;
    }
    out->bucket = bucket;
    out->segment = (uint8_t)segment;
    out->is_away = is_away != 0;
    return true;
}

static int take_text(void *context, const char *text)
{
    struct reading *reading = context;
    struct flo_rollout *core = &reading->entry->core;
    struct flo_rollout_member member;
    uint64_t since_at_ms = strtoull(text, NULL, 10);
    const char *line = strchr(text, '\n');
    /* If facts of devices cannot be read, the function ends here.  Otherwise
     * devices without facts would look like retired ones. */
    int rv = flo_fleet_facts_each(reading->controller->store, NULL, NULL, NULL, reading->err);

    reading->rows = core->member_count;
    reading->entry->own->is_drafted = true;
    for (; line != NULL && line[1] != '\0' && rv == 0; line = strchr(line + 1, '\n')) {
        if (!read_line(line + 1, since_at_ms, &member)) {
            return flo_fail(reading->err, FLO_E_DB, "rollout %s: a member cannot be read",
                            core->id);
        }
        bool is_gone = flo_fleet_facts_of(reading->controller->store, member.device) == NULL;
        if (!is_gone && !has_row(reading, &member)) {
            rv = reading->load(reading->context, &member);
        }
    }
    qsort(core->members, core->member_count, sizeof(*core->members), by_device);
    return rv;
}

int flo_rollouts_drafted_read(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              flo_rollouts_load_fn load, void *context, struct flo_err *err)
{
    struct reading reading = {
        .controller = controller, .entry = entry, .load = load, .context = context, .err = err};

    return flo_fleet_draft_get(controller->store, entry->core.id, take_text, &reading, err);
}
