/* Labels: checks the labels of a device, and merges changes into them. */
#include <string.h>

#include "server-stub/core/select/labels.h"

static int check_key(const char *key, struct flo_err *err)
{
    return flo_name_is_valid(key) ? 0
                                  : flo_fail(err, FLO_E_REST_SCHEMA,
                                             "label `%.80s`: a key is a name of a-z, 0-9, `.`, "
                                             "`_` and `-`",
                                             key);
}

static int check_count(const json_t *labels, struct flo_err *err)
{
    return json_object_size(labels) <= FLO_LABELS_MAX
               ? 0
               : flo_fail(err, FLO_E_REST_MEANING, "%zu labels, %d are possible",
                          json_object_size(labels), FLO_LABELS_MAX);
}

static int check_value(const char *key, const json_t *value, struct flo_err *err)
{
    return json_is_string(value) && json_string_length(value) <= FLO_LABEL_BYTES_MAX &&
                   flo_text_is_line(json_string_value(value))
               ? 0
               : flo_fail(err, FLO_E_REST_SCHEMA,
                          "label %s: a line of text of at most %d bytes "
                          "belongs here",
                          key, FLO_LABEL_BYTES_MAX);
}

int flo_labels_check(const json_t *labels, struct flo_err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        FLO_TRY(check_key(key, err));
        FLO_TRY(check_value(key, value, err));
    }
    return check_count(labels, err);
}

static int merge_one(json_t *labels, const char *key, json_t *value, bool *is_news,
                     struct flo_err *err)
{
    const json_t *before = json_object_get(labels, key);

    FLO_TRY(check_key(key, err));
    if (json_is_null(value)) {
        *is_news = *is_news || before != NULL;
        (void)json_object_del(labels, key);
        return 0;
    }
    FLO_TRY(check_value(key, value, err));
    *is_news = *is_news || before == NULL || !json_equal(before, value);
    json_object_set(labels, key, value);
    return 0;
}

int flo_labels_merge(json_t *labels, const json_t *patch, bool *is_news, struct flo_err *err)
{
    const char *key;
    json_t *value;

    *is_news = false;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        FLO_TRY(merge_one(labels, key, value, is_news, err));
    }
    return check_count(labels, err);
}
