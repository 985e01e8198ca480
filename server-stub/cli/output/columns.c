/* Columns: the columns of columns.def, as arrays. */
#include "server-stub/cli/output/output.h"

#define FLO_OBJECT(name) const struct flo_column flo_columns_##name[] = {
#define FLO_COLUMN(head, path, form) {head, path, form, false},
#define FLO_COLUMN_WIDE(head, path, form) {head, path, form, true},
#define FLO_OBJECT_END                                                                             \
    }                                                                                              \
    ;
#include "server-stub/cli/output/columns.def"
#undef FLO_OBJECT
#undef FLO_COLUMN
#undef FLO_COLUMN_WIDE
#undef FLO_OBJECT_END

#define FLO_OBJECT(name) const size_t flo_columns_##name##_count = FLO_COUNT(flo_columns_##name);
#define FLO_COLUMN(head, path, form)
#define FLO_COLUMN_WIDE(head, path, form)
#define FLO_OBJECT_END
#include "server-stub/cli/output/columns.def"
