/* Join: copies a GGUF file, or the parts of one, with the keys that a person accepts. */
#include "engine/publish/join.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/model/file/unread.h"
#include "engine/publish/explain.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

struct join {
    struct flo_gguf *gguf;
    struct flo_buf accepted; /* items of the list in the new file */
    uint64_t accepted_count, bytes;
};

static void add(struct join *join, const char *key, size_t bytes)
{
    flo_keys_item(&join->accepted, key, bytes);
    join->accepted_count++;
}

/* Lists the keys that the file or the command accepts. */
static int list_accepted(struct join *join, const struct flo_args *args, struct flo_err *err)
{
    const struct flo_gguf_kv *list = NULL;
    const char *value;

    FLO_TRY(flo_gguf_array(join->gguf, FLO_ACCEPTED_KEY, FLO_GGUF_STRING, &list, err));
    const uint8_t *at = list != NULL ? list->data : NULL;
    for (uint64_t i = 0; list != NULL && i < list->count; i++) {
        struct flo_gguf_text text = flo_gguf_next_string(&at);
        add(join, text.data, text.bytes);
    }
    for (size_t i = 0; flo_args_each(args, "accept-unknown", i, &value); i++) {
        for (size_t bytes; *value != '\0'; value += bytes + (value[bytes] == ',')) {
            bytes = strcspn(value, ",");
            add(join, value, bytes);
        }
    }
    return join->accepted.failed ? flo_fail(err, FLO_E_USAGE, "the accepted keys are too long") : 0;
}

static int write_file(void *context, int fd, struct flo_err *err)
{
    struct join *join = context;
    size_t count = flo_gguf_tensor_count(join->gguf);
    FLO_CLEANUP(flo_free_cleanup) uint32_t *types = calloc(count + 1, sizeof(*types));
    const struct flo_gguf_edit edit = {.key = FLO_ACCEPTED_KEY,
                                       .type = FLO_GGUF_ARRAY,
                                       .item_type = FLO_GGUF_STRING,
                                       .item_count = join->accepted_count,
                                       .items = join->accepted.data,
                                       .items_bytes = join->accepted.bytes};
    struct flo_gguf *written = NULL;

    if (types == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        types[i] = flo_gguf_tensor_at(join->gguf, i)->type;
    }
    FLO_TRY(flo_gguf_write(join->gguf, types, &edit, join->accepted_count > 0 ? 1 : 0, NULL, NULL,
                           fd, err));
    FLO_TRY(flo_gguf_open_fd(fd, &written, err));
    join->bytes = flo_gguf_file_bytes(written);
    int rv = flo_unread_check(written, err);
    flo_gguf_close(written);
    return rv;
}

int flo_join(const struct flo_args *args, const char *to, struct flo_err *err)
{
    struct join join = {.accepted.bytes_max = 1u << 16};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const struct flo_inputs inputs = {{args->words[0]}};

    FLO_TRY(flo_gguf_open_path(args->words[0], &join.gguf, err));
    int rv = list_accepted(&join, args, err);
    if (rv == 0) {
        rv = flo_outfile(to, inputs, write_file, &join, err);
    }
    size_t tensors = flo_gguf_tensor_count(join.gguf);
    flo_gguf_close(join.gguf);
    flo_buf_deinit(&join.accepted);
    FLO_TRY(rv);
    flo_buf_printf(&text,
                   args->is_json ? "{\"tensors\":%zu,\"bytes\":%" PRIu64 "}\n"
                                 : "%zu tensors, %" PRIu64 " bytes\n",
                   tensors, join.bytes);
    return flo_tool_print(&text, "the report", err);
}
