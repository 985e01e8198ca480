/* Telemetry store: the file of telemetry windows.  Private to this folder. */
#ifndef FLOTILLA_SERVER_WINDOWS_FILE_H
#define FLOTILLA_SERVER_WINDOWS_FILE_H

#include "base/host/db.h"

#include "server-stub/store/windows.h"

/* Kinds of names.  The name of a release is its digest; for a release with
 * several variants a blank and the variant follow. */
enum { FLO_TELEMETRY_DEVICE, FLO_TELEMETRY_RELEASE, FLO_TELEMETRY_HARDWARE };

#define FLO_TELEMETRY_NAMES_MAX 16384
struct flo_telemetry_name {
    int64_t n; /* 0: free */
    int kind;
    char text[FLO_DIGEST_TEXT + 1 + FLO_NAME_MAX];
};

/* Sum of the telemetry windows in a transaction, for a release on a hardware
 * class. */
struct flo_telemetry_total {
    uint64_t at_ms; /* time at which the total's step of the fine resolution begins */
    int64_t release, hardware;
    struct flo_sketch sketch;
};
/* largest number of totals in a transaction; a rare larger batch is written in
 * two parts */
#define FLO_TELEMETRY_TOTALS_MAX 32

struct flo_windows {
    struct flo_db *db; /* database file; NULL: opening it again failed */
    char path[4096];
    uint64_t fine_from_ms; /* time of the oldest rows in the fine resolution */
    size_t name_count;
    size_t total_count;
    struct flo_sketch scratch;
    struct flo_histogram histogram;
    struct flo_telemetry_total totals[FLO_TELEMETRY_TOTALS_MAX];
    struct flo_telemetry_name names[FLO_TELEMETRY_NAMES_MAX];
};

/* Statements of telemetry.db whose query plans the tests check. */
extern const char flo_telemetry_prune_window[];
extern const char flo_telemetry_prune_total[];
extern const char flo_telemetry_prune_merged[];

#endif
