/* `rollout start`: send the specification, or show its plan. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/cli/rollout/rollout.h"

/* A phase that can prove less than it has to will be held. */
static void print_blind(const json_t *rollout)
{
    json_t *phase;
    size_t i;

    json_array_foreach(json_object_get(rollout, "phases"), i, phase)
    {
        double can = json_number_value(json_object_get(phase, "proves_pct"));
        double has = json_number_value(json_object_get(phase, "prove_pct"));
        if (can > has) {
            printf("phase %s is too small: at its first look it can prove "
                   "+%.1f %%, and has to prove +%.4g %%\n",
                   flo_out_text(phase, "name", "?"), can, has);
        }
    }
}

/* Who takes it, who cannot and why: of each reason the first names. */
static void print_plan(const struct flo_cli *cli, const json_t *rollout)
{
    const json_t *plan = json_object_get(rollout, "plan");
    char bytes[32];

    flo_out_bytes(flo_out_u64(plan, "bytes"), bytes);
    printf("%s to group %s: %llu of %llu devices take it (%s over the network, "
           "%llu are offline, %llu frozen), %llu have it, %llu cannot, %llu "
           "never reported\n",
           flo_out_text(rollout, "release", "?"),
           flo_out_text(rollout, "group", "?"),
           (unsigned long long)flo_out_u64(plan, "takes"),
           (unsigned long long)flo_out_u64(plan, "devices"), bytes,
           (unsigned long long)flo_out_u64(plan, "offline"),
           (unsigned long long)flo_out_u64(plan, "frozen"),
           (unsigned long long)flo_out_u64(plan, "has"),
           (unsigned long long)flo_out_u64(plan, "cannot"),
           (unsigned long long)flo_out_u64(plan, "silent"));
    flo_rollout_print_overlaps(rollout);
    flo_out_table(cli, json_object_get(rollout, "phases"),
                  FLO_COLUMNS(planned_phase));
    print_blind(rollout);
    if (json_array_size(json_object_get(plan, "ways")) > 0) {
        flo_out_table(cli, json_object_get(plan, "ways"),
                      FLO_COLUMNS(planned_way));
        flo_out_table(cli, json_object_get(plan, "memory"),
                      FLO_COLUMNS(planned_memory));
    }
    if (flo_out_u64(plan, "cannot") > 0) {
        flo_out_table(cli, json_object_get(plan, "reasons"),
                      FLO_COLUMNS(planned_refusal));
    }
}

int flo_cmd_rollout_start(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *spec = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    uint64_t timeout_ms;
    bool dry = flo_args_has(&cli->args, "dry-run");
    int rv = flo_args_ms(&cli->args, "timeout", UINT64_MAX, &timeout_ms, err);
    if (rv == 0) {
        rv = flo_rollout_wish(cli, &spec, err);
    }
    if (rv == 0) {
        rv = flo_api_call(cli, "POST",
                          dry ? "/v1/rollouts?dry_run=true" : "/v1/rollouts",
                          spec, &rollout, err);
    }
    if (rv < 0) {
        return rv;
    }
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, rollout, FLO_COLUMNS(rollout));
    } else if (dry) {
        print_plan(cli, rollout);
    } else {
        const char *state = flo_out_text(rollout, "state", "?");
        bool has_begun = strcmp(state, "running") == 0;
        char next[FLO_OUT_PLAIN];
        printf("rollout %s started: %s on %s%s%s%s%s\n",
               flo_out_text(rollout, "id", "?"),
               flo_out_text(rollout, "release", "?"),
               flo_out_text(rollout, "group", "?"), has_begun ? "" : ", ",
               has_begun ? "" : state, has_begun ? "" : ": waits for ",
               has_begun ? "" : flo_out_plain(rollout, "next.what", "?", next));
        flo_rollout_print_overlaps(rollout);
    }
    if (dry || !flo_args_has(&cli->args, "wait")) {
        return 0;
    }
    return flo_watch_rollout(cli, flo_out_text(rollout, "id", ""), "completed",
                             timeout_ms, err);
}
