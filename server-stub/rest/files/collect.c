/* REST: the contents of the artifact folder, and an immediate collection. */
#include "server-stub/rest/rest.h"
#include "server-stub/state/artifacts/artifacts.h"

/* largest number of files that an answer lists; the counts include all files */
#define ITEMS_MAX 1000

static json_t *show_counts(const struct flo_controller *controller,
                           const struct flo_artifact_counts *counts)
{
    struct flo_artifact_removed removed = flo_collector_removed(controller->collector);

    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "at_ms",
                     (json_int_t)counts->at_ms, "files", (json_int_t)counts->files, "bytes",
                     (json_int_t)counts->bytes, "deltas", (json_int_t)counts->deltas, "delta_bytes",
                     (json_int_t)counts->delta_bytes, "unnamed", (json_int_t)counts->unnamed,
                     "unnamed_bytes", (json_int_t)counts->unnamed_bytes, "removed",
                     (json_int_t)removed.files, "removed_bytes", (json_int_t)removed.bytes,
                     "kept_ms", (json_int_t)flo_collect_kept_ms(controller));
}

int flo_rest_collection(struct flo_rest_call *call, struct flo_err *err)
{
    (void)err;
    call->out = show_counts(call->controller, flo_collector_found(call->controller->collector));
    return 0;
}

static void add_item(void *context, const struct flo_digest *digest, const char *release,
                     const char *file, uint64_t bytes)
{
    json_t *items = context;
    char text[FLO_DIGEST_TEXT];

    if (json_array_size(items) < ITEMS_MAX) {
        flo_digest_text(digest, text);
        json_array_append_new(items, json_pack("{s:s,s:s?,s:s?,s:I}", "digest", text, "release",
                                               release, "file", file, "bytes", (json_int_t)bytes));
    }
}

int flo_rest_collect(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_artifact_counts counts = {0};
    json_t *items = json_array();
    int rv = flo_collect_all(call->controller, call->is_dry, add_item, items, &counts, err);

    call->out = json_pack("{s:o,s:o,s:b}", "found", show_counts(call->controller, &counts), "items",
                          items, "dry_run", (int)call->is_dry);
    return rv;
}
