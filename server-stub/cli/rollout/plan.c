/* Plan: prints the plan of a rollout: its devices, cost and shortest time, and
 * the cost of a rollback. */
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/cli/rollout/rollout.h"

#define WAYS_SHOWN 4

static unsigned long long count(const json_t *json, const char *path)
{
    return flo_out_u64(json, path);
}

/* Formats the bytes at a path of an object, such as "21.3 MiB". */
static const char *bytes_at(const json_t *json, const char *path, char *out)
{
    flo_out_bytes(flo_out_u64(json, path), out);
    return out;
}

/* Appends the reasons of excluded devices with their numbers, such as
 * "maintenance 2, target.ram 212". */
static void reasons(const json_t *plan, struct flo_buf *out)
{
    static const char *const lists[] = {"excluded", "reasons"};
    const char *between = "";
    char id[FLO_OUT_PLAIN];

    for (size_t l = 0; l < FLO_COUNT(lists); l++) {
        size_t i;
        json_t *row;
        json_array_foreach(json_object_get(plan, lists[l]), i, row)
        {
            flo_buf_printf(out, "%s%s %llu", between, flo_out_plain(row, "id", "?", id),
                           count(row, "devices"));
            between = ", ";
        }
    }
}

static unsigned long long excluded(const json_t *plan)
{
    unsigned long long sum = 0;
    size_t i;
    json_t *row;

    json_array_foreach(json_object_get(plan, "excluded"), i, row)
    {
        sum += count(row, "devices");
    }
    return sum;
}

static void line_eligible(const json_t *plan)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) why = {0};
    unsigned long long out = excluded(plan) + count(plan, "cannot");

    reasons(plan, &why);
    printf("  eligible   %llu", count(plan, "takes"));
    if (count(plan, "offline") > 0) {
        printf(" (%llu offline)", count(plan, "offline"));
    }
    printf(" · already there %llu", count(plan, "has"));
    if (count(plan, "silent") > 0) {
        printf(" · never reported %llu", count(plan, "silent"));
    }
    if (count(plan, "frozen") > 0) {
        printf(" · frozen %llu", count(plan, "frozen"));
    }
    printf(" · excluded %llu", out);
    printf(out > 0 && why.data != NULL ? " (%s)\n" : "\n", why.data);
}

static void line_transfer(const json_t *plan)
{
    const json_t *ways = json_object_get(plan, "ways");
    uint64_t all = flo_out_u64(plan, "bytes");
    uint64_t full = 0;
    char text[32];
    size_t i;
    json_t *way;

    printf("  transfer   ");
    json_array_foreach(ways, i, way)
    {
        full += flo_out_u64(way, "full_bytes");
        if (i < WAYS_SHOWN) {
            printf("%s%s %llu × %s", i > 0 ? " + " : "", flo_out_text(way, "way", "?"),
                   count(way, "devices"), bytes_at(way, "bytes_each", text));
        }
    }
    printf("%s → %s",
           i > WAYS_SHOWN ? " + …"
           : i == 0       ? "nothing"
                          : "",
           bytes_at(plan, "bytes", text));
    flo_rollout_print_saved(all, full);
}

static unsigned long long zoneless_in(const json_t *plan)
{
    unsigned long long sum = 0;
    json_t *phase;
    size_t i;

    json_array_foreach(json_object_get(plan, "phases"), i, phase)
    {
        sum += count(phase, "zoneless");
    }
    return sum;
}

/* Prints the sizes and times of the phases, such as "canary 10 → 45 m 00 s →
 * 399 → …", with the end of each phase. */
static void line_time(const json_t *rollout, const json_t *plan)
{
    const json_t *policy = flo_out_at(rollout, "spec.policy");
    unsigned long long zoneless = zoneless_in(plan);
    char text[32], name[FLO_OUT_PLAIN];
    size_t i;
    json_t *phase;

    if (zoneless > 0) {
        printf("  time       %llu of %llu device%s %s no zone and never begin "
               "in a device-local window: label tz\n",
               zoneless, count(plan, "devices"), flo_s(count(plan, "devices")),
               flo_plural(zoneless, "has", "have"));
    }
    if (zoneless > 0 && zoneless == count(plan, "devices")) {
        return;
    }
    printf("  time       at least ");
    flo_out_ms(flo_out_u64(plan, "time_ms"), text);
    printf("%s: ", text);
    json_array_foreach(json_object_get(plan, "phases"), i, phase)
    {
        flo_out_ms(flo_out_u64(phase, "ends_after_ms"), text);
        printf("%s%s %llu by %s", i > 0 ? " → " : "", flo_out_plain(phase, "name", "?", name),
               count(phase, "devices"), text);
    }
    printf("%s\n", flo_out_u64(policy, "rate_bytes_per_s") > 0 ? "" : "; downloads come on top");
}

static void line_undo(const json_t *plan)
{
    const json_t *undo = json_object_get(plan, "undo");
    char version[FLO_OUT_PLAIN];
    size_t i;
    json_t *row;

    printf("  undo       %llu keep the release before (", count(undo, "kept"));
    json_array_foreach(json_object_get(undo, "to"), i, row)
    {
        printf("%s%s: %llu", i > 0 ? ", " : "", flo_out_plain(row, "version", "?", version),
               count(row, "devices"));
    }
    printf(count(undo, "kept") == 0 ? "none)" : "): 0 bytes to go back");
    if (count(undo, "first") > 0) {
        printf(" · %llu have none to go back to", count(undo, "first"));
    }
    printf("\n");
}

static void line_against(const json_t *plan, const char *list, const char *head)
{
    char text[FLO_OUT_PLAIN];
    size_t i;
    json_t *row;

    json_array_foreach(json_object_get(plan, list), i, row)
    {
        printf("  %s: %s\n", head, flo_out_plain(row, "what", "?", text));
        printf("             fix: %s\n", flo_out_plain(row, "fix", "", text));
    }
}

/* Prints whether a start would have to wait now, or be refused. */
static void line_now(const json_t *rollout, const json_t *plan)
{
    if (count(rollout, "approvals.needed") > 0) {
        printf("  approval   %llu other %s must approve it\n", count(rollout, "approvals.needed"),
               count(rollout, "approvals.needed") == 1 ? "person" : "people");
    }
    line_against(plan, "refusals", "now        a start is refused");
    line_against(plan, "holds", "held       today it would not begin");
}

/* Prints how many devices the gates can compare, and from which time on. */
static void line_base(const json_t *plan)
{
    char text[FLO_OUT_PLAIN];
    const json_t *base = json_object_get(plan, "base");

    if (base != NULL) {
        printf("  gates      %s\n", flo_out_plain(base, "text", "?", text));
    }
}

/* Prints the phases in which a proof is uncertain, so that a person may be
 * asked. */
static void print_unsure(const json_t *plan)
{
    char text[FLO_OUT_PLAIN];
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(plan, "unsure"), i, row)
    {
        printf("%s\n", flo_out_plain(row, "text", "?", text));
    }
}

static bool knows_memory(const json_t *plan)
{
    json_t *way;
    size_t i;

    json_array_foreach(json_object_get(plan, "memory"), i, way)
    {
        if (strcmp(flo_out_text(way, "way", ""), "unknown") != 0) {
            return true;
        }
    }
    return false;
}

void flo_rollout_print_plan(const struct flo_cli *cli, const json_t *rollout)
{
    const json_t *plan = json_object_get(rollout, "plan");
    const json_t *ways = json_object_get(plan, "ways");
    char release[FLO_OUT_PLAIN], group[FLO_OUT_PLAIN];

    printf("plan for %s on %s: %llu device%s\n", flo_out_plain(rollout, "release", "?", release),
           flo_out_plain(rollout, "group", "?", group), count(plan, "devices") + excluded(plan),
           flo_s(count(plan, "devices") + excluded(plan)));
    line_eligible(plan);
    line_transfer(plan);
    line_time(rollout, plan);
    line_undo(plan);
    line_base(plan);
    line_now(rollout, plan);
    flo_rollout_print_overlaps(rollout);
    if (json_array_size(json_object_get(plan, "sights")) > 0) {
        flo_out_table(cli, json_object_get(plan, "sights"), FLO_COLUMNS(planned_sight));
    }
    print_unsure(plan);
    if (json_array_size(json_object_get(plan, "sites")) > 0) {
        flo_out_table(cli, json_object_get(plan, "sites"), FLO_COLUMNS(planned_site));
    }
    if (json_array_size(ways) > 1 ||
        json_is_string(json_object_get(json_array_get(ways, 0), "why"))) {
        flo_out_table(cli, ways, FLO_COLUMNS(planned_way));
    }
    if (knows_memory(plan)) {
        flo_out_table(cli, json_object_get(plan, "memory"), FLO_COLUMNS(planned_memory));
    }
    if (json_array_size(json_object_get(plan, "groups")) > 0) {
        flo_out_table(cli, json_object_get(plan, "groups"), FLO_COLUMNS(planned_group));
    }
    if (excluded(plan) > 0) {
        flo_out_table(cli, json_object_get(plan, "excluded"), FLO_COLUMNS(planned_excuse));
    }
    if (count(plan, "cannot") > 0) {
        flo_out_table(cli, json_object_get(plan, "reasons"), FLO_COLUMNS(planned_refusal));
    }
}
