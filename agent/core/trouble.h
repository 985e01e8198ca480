/* Disk trouble: detects a disk that no longer returns its data.  Pure.
 *
 * Engines and loads report errors; the disk is not tested otherwise.  One error
 * may be a bad sector, and a period without errors may have had no reads.  So
 * the disk counts as failing after FLO_TROUBLE_READS errors, and as healthy
 * again after FLO_TROUBLE_LOOKS periods without an error. */
#ifndef FLOTILLA_AGENT_CORE_TROUBLE_H
#define FLOTILLA_AGENT_CORE_TROUBLE_H

#include <flotilla/base.h>

#define FLO_TROUBLE_READS 3u
#define FLO_TROUBLE_LOOKS 3u

struct flo_trouble {
    int code; /* error code (FLO_E_...) of the trouble; 0: none */
    char what[256];
    /* number of read errors, at most FLO_TROUBLE_READS; enough quiet periods
     * clear it */
    uint32_t errors;
    uint32_t quiet; /* number of periods since the last error */
};

/* Returns whether this error says that a disk did not return its data. */
bool flo_trouble_is_read(int code);
/* Records a read error.  `is_whole`: the data is essential, so this one error
 * is enough for the trouble to begin. */
void flo_trouble_read(struct flo_trouble *trouble, const struct flo_err *err, bool is_whole);
/* Ends a period of observation.  Enough periods without a read error end the
 * trouble. */
void flo_trouble_look(struct flo_trouble *trouble);

#endif
