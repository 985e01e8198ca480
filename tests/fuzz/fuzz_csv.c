/* CSV of an operator: any bytes give rows of the head's columns, or an error.
 *
 * Input: the file. */
#include <string.h>

#include "server-stub/cli/fleet/fleet.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_err err = {0};
    json_t *rows = NULL;
    json_t *row;
    size_t i;

    if (flo_csv_parse((const char *)data, bytes, &rows, &err) < 0) {
        must(rows == NULL && err.code < 0);
        return 0;
    }
    json_array_foreach(rows, i, row)
    {
        must(json_object_size(row) > 0 && json_object_size(row) <= FLO_CSV_COLUMNS_MAX);
    }
    json_decref(rows);
    return 0;
}
