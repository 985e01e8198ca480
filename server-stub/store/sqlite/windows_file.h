/* The file of telemetry windows; internal header. */
#ifndef FLOTILLA_SERVER_WINDOWS_FILE_H
#define FLOTILLA_SERVER_WINDOWS_FILE_H

#include "base/host/db.h"

#include "server-stub/store/windows.h"

enum { FLO_TELEMETRY_DEVICE, FLO_TELEMETRY_RELEASE, FLO_TELEMETRY_HARDWARE };

#define FLO_TELEMETRY_NAMES_MAX 16384
struct flo_telemetry_name {
    int64_t n; /* 0: free */
    int kind;
    char text[FLO_DIGEST_TEXT];
};

/* Sums of a transaction's windows, by release and hardware class. */
struct flo_telemetry_total {
    uint64_t at_ms; /* start of its step of the fine resolution */
    int64_t release, hardware;
    struct flo_sketch sketch;
};
#define FLO_TELEMETRY_TOTALS_MAX 32 /* larger batches are written in two parts; they are rare */

struct flo_windows {
    struct flo_db *db; /* NULL: reopening the file failed */
    char path[4096];
    uint64_t fine_from_ms; /* no fine rows are older than this */
    size_t name_count;
    size_t total_count;
    struct flo_sketch scratch;
    struct flo_histogram histogram;
    struct flo_telemetry_total totals[FLO_TELEMETRY_TOTALS_MAX];
    struct flo_telemetry_name names[FLO_TELEMETRY_NAMES_MAX];
};

/* Statements whose plans the tests check. */
extern const char flo_telemetry_prune_window[];
extern const char flo_telemetry_prune_total[];
extern const char flo_telemetry_prune_merged[];

#endif
