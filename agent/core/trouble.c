/* Disk trouble: detects a disk that no longer returns its data. */
#include "agent/core/trouble.h"

#include <assert.h>

#include <flotilla/errors/io.h>

bool flo_trouble_is_read(int code)
{
    return code == FLO_E_IO_READ || code == FLO_E_IO_OPEN || code == FLO_E_IO_MAPPING;
}

void flo_trouble_read(struct flo_trouble *trouble, const struct flo_err *err, bool is_whole)
{
    assert(flo_trouble_is_read(err->code));
    trouble->quiet = 0;
    trouble->errors += is_whole ? FLO_TROUBLE_READS : 1;
    if (trouble->errors < FLO_TROUBLE_READS) {
        return;
    }
    trouble->errors = FLO_TROUBLE_READS; /* the count stays at the limit, so it cannot overflow */
    if (trouble->code == 0) {
        trouble->code = err->code;
        snprintf(trouble->what, sizeof(trouble->what), "%.255s", err->what);
    }
}

void flo_trouble_look(struct flo_trouble *trouble)
{
    if (trouble->errors > 0 && ++trouble->quiet >= FLO_TROUBLE_LOOKS) {
        *trouble = (struct flo_trouble){0};
    }
}
