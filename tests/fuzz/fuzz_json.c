/* Strict JSON: whatever is accepted must come back from its canonical text,
 * no getter may stumble over it, and jansson's own reader must see the same. */
#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void ask_all(const json_t *object)
{
    const char *const key = "a";
    const char *text;
    uint64_t u64;
    double real;
    bool yes;
    json_t *part;
    struct flo_digest digest;
    struct flo_err err;

    (void)flo_json_get_text(object, key, 8, &text, &err);
    (void)flo_json_get_u64(object, key, 1, 8, &u64, &err);
    (void)flo_json_get_real(object, key, 0, 1, &real, &err);
    (void)flo_json_get_bool(object, key, &yes, &err);
    (void)flo_json_get_object(object, key, &part, &err);
    (void)flo_json_get_array(object, key, 2, &part, &err);
    (void)flo_json_get_digest(object, key, &digest, &err);
    (void)flo_json_get_name(object, key, &text, &err);
    (void)flo_json_get_uuid(object, key, &text, &err);
}

static void same_as_jansson(const json_t *json, const uint8_t *data, size_t bytes)
{
    struct flo_buf own = {0}, known = {0};
    json_t *other = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, NULL);

    if (other == NULL) {
        abort();
    }
    flo_json_dump(json, &own);
    flo_json_dump(other, &known);
    if (own.failed || known.failed || strcmp(own.data, known.data) != 0) {
        abort();
    }
    json_decref(other);
    flo_buf_deinit(&own);
    flo_buf_deinit(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_buf one = {0};
    struct flo_buf two = {0};
    struct flo_err err = {0};
    json_t *json = NULL;
    json_t *back = NULL;

    if (flo_json_parse((const char *)data, bytes, 1 << 16, &json, &err) < 0) {
        return 0;
    }
    ask_all(json);
    same_as_jansson(json, data, bytes);
    flo_json_dump_canonical(json, &one);
    if (one.failed || flo_json_parse(one.data, one.bytes, 1 << 24, &back, &err) < 0) {
        abort();
    }
    flo_json_dump_canonical(back, &two);
    if (two.failed || strcmp(one.data, two.data) != 0) {
        abort();
    }
    json_decref(json);
    json_decref(back);
    flo_buf_deinit(&one);
    flo_buf_deinit(&two);
    return 0;
}
