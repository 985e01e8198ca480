/* Newest statements, paths and the orders of a desired document.  Taken text is
 * written and read again; a path leads to its own root alone. */
#include <string.h>

#include <flotilla/newest.h>

#include "base/host/json.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void look_at_statement(const char *text, size_t bytes)
{
    struct flo_newest newest, again;
    struct flo_buf written = {0};

    if (flo_newest_parse(text, bytes, NULL, &newest, NULL) == 0) {
        must(newest.number <= FLO_NEWEST_NUMBER_MAX);
        flo_newest_write(&newest, &written);
        must(flo_newest_parse(written.data, written.bytes, newest.fleet, &again, NULL) == 0);
        must(again.number == newest.number && flo_digest_equal(&again.root, &newest.root));
        flo_buf_deinit(&written);
    }
}

static void look_at_path(const json_t *json)
{
    struct flo_newest_path path, again;
    struct flo_digest leaf, other, root;
    struct flo_buf written = {0};
    json_t *read = NULL;

    flo_newest_desired(json, &leaf);
    if (flo_newest_path_read(json, &path, NULL) == 0) {
        flo_newest_root(&leaf, &path, &root);
        flo_newest_leaf("gw-1", &leaf, &other);
        flo_newest_root(&other, &path, &other);
        must(!flo_digest_equal(&root, &other));
        flo_newest_path_write(&path, &written);
        must(flo_json_parse(written.data, written.bytes, written.bytes, &read, NULL) == 0);
        must(flo_newest_path_read(read, &again, NULL) == 0);
        must(again.count == path.count && again.sides == path.sides);
        json_decref(read);
        flo_buf_deinit(&written);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *json = NULL;

    look_at_statement((const char *)data, bytes);
    if (flo_json_parse((const char *)data, bytes, 1 << 16, &json, NULL) == 0) {
        look_at_path(json);
        json_decref(json);
    }
    return 0;
}
