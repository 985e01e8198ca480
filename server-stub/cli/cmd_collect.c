/* Command release collect: removes artifacts that no device needs. */
#include "server-stub/cli/cli.h"

#include <flotilla/plural.h>

static void show(const struct flo_cli *cli, const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items");
    const json_t *found = json_object_get(answer, "found");
    char kept[32];
    char deltas[32];
    char unnamed[32];
    char age[32];

    if (json_array_size(items) > 0) {
        flo_out_table(cli, items, FLO_COLUMNS(unused));
    }
    flo_out_bytes(flo_out_u64(found, "bytes"), kept);
    flo_out_bytes(flo_out_u64(found, "delta_bytes"), deltas);
    flo_out_bytes(flo_out_u64(found, "unnamed_bytes"), unnamed);
    (void)printf("%s: %llu delta%s that no device can begin with, %s; %llu "
                 "file%s of no release, %s\n",
                 json_is_true(json_object_get(answer, "dry_run")) ? "would be removed" : "removed",
                 (unsigned long long)flo_out_u64(found, "deltas"),
                 flo_s(flo_out_u64(found, "deltas")), deltas,
                 (unsigned long long)flo_out_u64(found, "unnamed"),
                 flo_s(flo_out_u64(found, "unnamed")), unnamed);
    flo_out_ms(flo_out_u64(found, "kept_ms"), age);
    (void)printf("kept: %llu file%s, %s; nothing goes before it is %s old\n",
                 (unsigned long long)flo_out_u64(found, "files"),
                 flo_s(flo_out_u64(found, "files")), kept, age);
}

int flo_cmd_release_collect(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s}", "reason", flo_args_text(&cli->args, "reason", ""));
    int rv = flo_api_call(cli, "POST", "/v1/collection", body, &answer, err);

    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_json(cli, answer);
    } else if (rv == 0) {
        show(cli, answer);
    }
    return rv;
}
