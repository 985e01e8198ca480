/* Fleet: declarations shared by commands that change a fleet. */
#ifndef FLOTILLA_CLI_FLEET_H
#define FLOTILLA_CLI_FLEET_H

#include "server-stub/cli/cli.h"

/* ---- csv.c ---- */

#define FLO_CSV_BYTES_MAX ((size_t)16 << 20)
#define FLO_CSV_COLUMNS_MAX 66
/* Parses CSV into objects with the header's words as keys and texts as values:
 * "name,site\ngw-1,lyon" becomes [{"name":"gw-1","site":"lyon"}].  Quotes are
 * those of RFC 4180.  FLO_E_USAGE names the wrong line. */
FLO_MUST_USE int flo_csv_parse(const char *text, size_t bytes, json_t **rows, struct flo_err *err);
/* Parses a CSV file; "-" reads from stdin. */
FLO_MUST_USE int flo_csv_read(const char *path, json_t **rows, struct flo_err *err);

#endif
